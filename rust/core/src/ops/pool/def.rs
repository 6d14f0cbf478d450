//! The windowed ops, and the two that move values to and from where maxima were found.

use super::adaptive;
use super::geometry::{AVERAGE, MAX, expect, input_shape, lead, rank, window_attrs, windows};
use super::gpu;
use super::kernels::{self, spatial};
use crate::apply::{apply, call};
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{Attr, Attrs, Call, OpDef, Outs, Spec, Specs};
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[
    &MAX_POOL1D,
    &MAX_POOL2D,
    &MAX_POOL,
    &MAX_SCATTER,
    &MAX_GATHER,
    &AVG_POOL1D,
    &AVG_POOL2D,
    &AVG_POOL_BACKWARD,
    &adaptive::ADAPTIVE_AVG_POOL1D,
    &adaptive::ADAPTIVE_AVG_POOL2D,
    &adaptive::ADAPTIVE_AVG_POOL_BACKWARD,
    &adaptive::ADAPTIVE_MAX_POOL1D,
    &adaptive::ADAPTIVE_MAX_POOL2D,
    &adaptive::ADAPTIVE_MAX_POOL,
];

const MAX_SIG: &str = "input: Tensor, kernel_size: int[], stride: int[]? = None, padding: int[] = 0, \
                       dilation: int[] = 1, ceil_mode: bool = False, return_indices: bool = False";
const AVG_SIG: &str = "input: Tensor, kernel_size: int[], stride: int[]? = None, padding: int[] = 0, \
                       ceil_mode: bool = False, count_include_pad: bool = True, \
                       divisor_override: int? = None";

pub static MAX_POOL1D: OpDef = OpDef::composed(
    "max_pool1d",
    MAX_SIG,
    "The largest value of each window of a sequence (N, C, L) or (C, L)",
    |c| max_pool(c, 1),
)
.private();

pub static MAX_POOL2D: OpDef = OpDef::composed(
    "max_pool2d",
    MAX_SIG,
    "The largest value of each window of an image (N, C, H, W) or (C, H, W)",
    |c| max_pool(c, 2),
)
.private();

pub static MAX_POOL: OpDef = OpDef::kernel(
    "max_pool",
    "input: Tensor, kernel_size: int[], stride: int[]? = None, padding: int[] = 0, \
     dilation: int[] = 1, ceil_mode: bool = False",
    "The largest value of each window, and where in its plane it was found",
    |c| {
        let dtype = float(c)?;
        let (_, dims) = windows(c, c.x(0).shape(), &MAX)?;
        Ok(smallvec![Spec::new(&dims, dtype), Spec::new(&dims, DType::I64)])
    },
    kernels::max,
)
.gpu(gpu::max)
.vjp(|v| scatter_back(v, v.call().ints(0).len(), v.attrs), 0, 0b10)
.private();

/// Without a kernel size the windows are adaptive.
pub static MAX_SCATTER: OpDef = OpDef::kernel(
    "max_scatter",
    "grad: Tensor, indices: Tensor, size: int[], kernel_size: int[], stride: int[]? = None, \
     padding: int[] = 0, dilation: int[] = 1, ceil_mode: bool = False",
    "The gradient of a maximum pooling: each value added where the maximum was found",
    |c| {
        let dtype = float(c)?;
        let (g, size) = (c.x(0).shape(), rank(c, 0)?);
        let x = input_shape(c, g)?;
        let want = if c.ints(1).is_empty() {
            super::geometry::adaptive(&x, &spatial(g, size))?.1
        } else {
            windows(c, &x, &MAX.after_size())?.1
        };
        expect(g, &want)?;
        check_indices(c.x(1), &want)?;
        Ok(smallvec![Spec::new(&x, dtype)])
    },
    kernels::scatter,
)
.gpu(gpu::scatter)
.vjp(
    |v| {
        let g = call(&MAX_GATHER, &[&v.g(0)?, v.x(1)], v.attrs)?;
        Ok(smallvec![Some(g), None])
    },
    0b10,
    0,
)
.private();

pub static MAX_GATHER: OpDef = OpDef::kernel(
    "max_gather",
    "input: Tensor, indices: Tensor, size: int[], kernel_size: int[], stride: int[]? = None, \
     padding: int[] = 0, dilation: int[] = 1, ceil_mode: bool = False",
    "The values at the places where a pooling found its maxima",
    |c| {
        let dtype = float(c)?;
        let (x, index) = (c.x(0).shape(), c.x(1));
        let lead = lead(c)?;
        expect(x, &input_shape(c, x)?)?;
        if index.ndim() != x.len() || index.shape()[..lead] != x[..lead] {
            return Err(Error::shape(format!(
                "indices of shape {} do not belong to an input of shape {}",
                crate::layout::show(index.shape()),
                crate::layout::show(x)
            )));
        }
        check_indices(index, index.shape())?;
        Ok(smallvec![Spec::new(index.shape(), dtype)])
    },
    kernels::gather,
)
.gpu(gpu::gather)
.vjp(
    |v| {
        let g = call(&MAX_SCATTER, &[&v.g(0)?, v.x(1)], v.attrs)?;
        Ok(smallvec![Some(g), None])
    },
    0b10,
    0,
)
.private();

pub static AVG_POOL1D: OpDef = OpDef::kernel(
    "avg_pool1d",
    AVG_SIG,
    "The mean of each window of a sequence (N, C, L) or (C, L)",
    |c| average(c, 1),
    kernels::average,
)
.gpu(gpu::average)
.vjp(average_vjp, 0, 0)
.private();

pub static AVG_POOL2D: OpDef = OpDef::kernel(
    "avg_pool2d",
    AVG_SIG,
    "The mean of each window of an image (N, C, H, W) or (C, H, W)",
    |c| average(c, 2),
    kernels::average,
)
.gpu(gpu::average)
.vjp(average_vjp, 0, 0)
.private();

pub static AVG_POOL_BACKWARD: OpDef = OpDef::kernel(
    "avg_pool_backward",
    "grad: Tensor, size: int[], kernel_size: int[], stride: int[]? = None, padding: int[] = 0, \
     ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int? = None",
    "The gradient of an average pooling for its input, whose spatial size is given",
    |c| {
        let dtype = float(c)?;
        let x = input_shape(c, c.x(0).shape())?;
        expect(c.x(0).shape(), &windows(c, &x, &AVERAGE.after_size())?.1)?;
        check_divisor(c, 6)?;
        Ok(smallvec![Spec::new(&x, dtype)])
    },
    kernels::average_backward,
)
.gpu(gpu::average_backward)
.vjp(
    |v| {
        let op = if v.call().ints(0).len() == 1 { &AVG_POOL1D } else { &AVG_POOL2D };
        Vjp::only(call(op, &[&v.g(0)?], &v.attrs[1..]))
    },
    0,
    0,
)
.private();

/// Floats only: means of integers are none, and maxima of integers have no use in a network.
pub fn float(c: &Call) -> Result<DType> {
    let dtype = c.x(0).dtype();
    if dtype.is_float() {
        return Ok(dtype);
    }
    Err(Error::type_(format!("pooling takes floats, got {}", dtype.name()))
        .hint("cast first: x.float()"))
}

fn check_indices(index: &Tensor, want: &[usize]) -> Result<()> {
    if index.dtype() != DType::I64 {
        return Err(Error::type_(format!("indices must be int64, got {}", index.dtype().name())));
    }
    expect(index.shape(), want)
}

fn check_divisor(c: &Call, i: usize) -> Result<()> {
    match c.opt_int(i) {
        Some(0) => Err(Error::value("divisor_override must not be zero")),
        _ => Ok(()),
    }
}

fn max_pool(c: &Call, rank: usize) -> Result<Outs> {
    let attrs = window_attrs(c, rank)?;
    let mut outs = apply(&MAX_POOL, c.inputs, &attrs)?;
    if !c.flag(5) {
        outs.truncate(1);
    }
    Ok(outs)
}

fn average(c: &Call, rank: usize) -> Result<Specs> {
    let dtype = float(c)?;
    if c.ints(0).len() != rank {
        return Err(Error::value(format!("kernel_size must be {rank} ints, got {:?}", c.ints(0))));
    }
    check_divisor(c, 5)?;
    Ok(smallvec![Spec::new(&windows(c, c.x(0).shape(), &AVERAGE)?.1, dtype)])
}

fn average_vjp(v: &Vjp) -> Result<Grads> {
    let mut attrs: Attrs = smallvec![spatial(v.shape(0), v.call().ints(0).len())[..].into()];
    attrs.extend(v.attrs.iter().cloned());
    Vjp::only(call(&AVG_POOL_BACKWARD, &[&v.g(0)?], &attrs))
}

/// The gradient of a maximum: scattered to where it was found. `window` is kernel size, stride, ...
pub fn scatter_back(v: &Vjp, rank: usize, window: &[Attr]) -> Result<Grads> {
    let mut attrs: Attrs = smallvec![spatial(v.shape(0), rank)[..].into()];
    attrs.extend(window.iter().cloned());
    Vjp::only(call(&MAX_SCATTER, &[&v.g(0)?, v.y(1)], &attrs))
}
