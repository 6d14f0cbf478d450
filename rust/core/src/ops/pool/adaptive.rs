//! Pooling with windows that share the input evenly: only the number of results is given.

use super::def::{float, scatter_back};
use super::geometry::{self, expect, input_shape, rank};
use super::gpu;
use super::kernels::{self, spatial};
use crate::apply::{apply, call};
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{Attr, Call, OpDef, Outs, Spec, Specs};
use smallvec::smallvec;

const AVG_SIG: &str = "input: Tensor, output_size: int[]";
const MAX_SIG: &str = "input: Tensor, output_size: int[], return_indices: bool = False";

pub static ADAPTIVE_AVG_POOL1D: OpDef = OpDef::kernel(
    "adaptive_avg_pool1d",
    AVG_SIG,
    "Means of output_size windows that share the sequence evenly",
    |c| average(c, 1),
    kernels::adaptive_average,
)
.gpu(gpu::adaptive_average)
.vjp(average_vjp, 0, 0)
.private();

pub static ADAPTIVE_AVG_POOL2D: OpDef = OpDef::kernel(
    "adaptive_avg_pool2d",
    AVG_SIG,
    "Means of output_size windows that share the image evenly",
    |c| average(c, 2),
    kernels::adaptive_average,
)
.gpu(gpu::adaptive_average)
.vjp(average_vjp, 0, 0)
.private();

pub static ADAPTIVE_AVG_POOL_BACKWARD: OpDef = OpDef::kernel(
    "adaptive_avg_pool_backward",
    "grad: Tensor, size: int[]",
    "The gradient of an adaptive average pooling for its input, whose spatial size is given",
    |c| {
        let dtype = float(c)?;
        let g = c.x(0).shape();
        let x = input_shape(c, g)?;
        expect(g, &geometry::adaptive(&x, &spatial(g, rank(c, 0)?))?.1)?;
        Ok(smallvec![Spec::new(&x, dtype)])
    },
    kernels::adaptive_average_backward,
)
.gpu(gpu::adaptive_average_backward)
.vjp(
    |v| {
        let rank = v.call().ints(0).len();
        let op = if rank == 1 { &ADAPTIVE_AVG_POOL1D } else { &ADAPTIVE_AVG_POOL2D };
        Vjp::only(call(op, &[&v.g(0)?], &[spatial(v.shape(0), rank)[..].into()]))
    },
    0,
    0,
)
.private();

pub static ADAPTIVE_MAX_POOL1D: OpDef = OpDef::composed(
    "adaptive_max_pool1d",
    MAX_SIG,
    "Maxima of output_size windows that share the sequence evenly",
    |c| max(c, 1),
)
.private();

pub static ADAPTIVE_MAX_POOL2D: OpDef = OpDef::composed(
    "adaptive_max_pool2d",
    MAX_SIG,
    "Maxima of output_size windows that share the image evenly",
    |c| max(c, 2),
)
.private();

pub static ADAPTIVE_MAX_POOL: OpDef = OpDef::kernel(
    "adaptive_max_pool",
    AVG_SIG,
    "Maxima of output_size windows, and where in their planes they were found",
    |c| {
        let dtype = float(c)?;
        let (_, dims) = geometry::adaptive(c.x(0).shape(), c.ints(0))?;
        Ok(smallvec![Spec::new(&dims, dtype), Spec::new(&dims, DType::I64)])
    },
    kernels::adaptive_max,
)
.gpu(gpu::adaptive_max)
.vjp(|v| scatter_back(v, v.call().ints(0).len(), &[Attr::Ints(smallvec![])]), 0, 0b10)
.private();

fn sized(c: &Call, rank: usize) -> Result<()> {
    if c.ints(0).len() == rank {
        return Ok(());
    }
    Err(Error::value(format!("output_size must be {rank} ints, got {:?}", c.ints(0))))
}

fn average(c: &Call, rank: usize) -> Result<Specs> {
    let dtype = float(c)?;
    sized(c, rank)?;
    Ok(smallvec![Spec::new(&geometry::adaptive(c.x(0).shape(), c.ints(0))?.1, dtype)])
}

fn average_vjp(v: &Vjp) -> Result<Grads> {
    let size = spatial(v.shape(0), v.call().ints(0).len());
    Vjp::only(call(&ADAPTIVE_AVG_POOL_BACKWARD, &[&v.g(0)?], &[size[..].into()]))
}

fn max(c: &Call, rank: usize) -> Result<Outs> {
    sized(c, rank)?;
    let mut outs = apply(&ADAPTIVE_MAX_POOL, c.inputs, &[c.attr(0).clone()])?;
    if !c.flag(1) {
        outs.truncate(1);
    }
    Ok(outs)
}
