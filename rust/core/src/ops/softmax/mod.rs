//! softmax and its logarithm along one dimension. Gradients read only the result; the fused backward ops
//! are differentiable themselves, so that no input is kept for higher derivatives.

mod cpu;
mod gpu;
#[cfg(test)]
mod tests;

use super::expr::t;
use super::norm::lanes::{Target, compute_dtype, dense};
use super::{Call, OpDef, Spec, Specs, elementwise, reduce};
use crate::apply::call;
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{numel, wrap_dim};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&SOFTMAX, &LOG_SOFTMAX, &SOFTMAX_BACKWARD, &LOG_SOFTMAX_BACKWARD];

const SIGNATURE: &str = "input: Tensor, dim: int, dtype: dtype? = None";
const BACKWARD: &str = "grad: Tensor, output: Tensor, dim: int";

pub static SOFTMAX: OpDef = OpDef::kernel(
    "softmax",
    SIGNATURE,
    "exp(x) / sum(exp(x)) along a dimension; dtype casts the input first",
    infer,
    |c, o| run(c, &[c.x(0)], &o[0], Kind::Softmax),
)
.gpu(|c, o| run(c, &[c.x(0)], &o[0], Kind::Softmax))
.vjp(|v| Vjp::only(call(&SOFTMAX_BACKWARD, &[&v.g(0)?, v.y(0)], &v.attrs[..1])), 0, 1);

pub static LOG_SOFTMAX: OpDef = OpDef::kernel(
    "log_softmax",
    SIGNATURE,
    "The logarithm of softmax, without overflow",
    infer,
    |c, o| run(c, &[c.x(0)], &o[0], Kind::LogSoftmax),
)
.gpu(|c, o| run(c, &[c.x(0)], &o[0], Kind::LogSoftmax))
.vjp(|v| Vjp::only(call(&LOG_SOFTMAX_BACKWARD, &[&v.g(0)?, v.y(0)], &v.attrs[..1])), 0, 1);

pub static SOFTMAX_BACKWARD: OpDef = OpDef::kernel(
    "softmax_backward",
    BACKWARD,
    "The gradient of softmax: y * (g - sum(g * y))",
    infer_backward,
    |c, o| run(c, &[c.x(0), c.x(1)], &o[0], Kind::SoftmaxGrad),
)
.gpu(|c, o| run(c, &[c.x(0), c.x(1)], &o[0], Kind::SoftmaxGrad))
.vjp(softmax_second, 3, 0)
.private();

pub static LOG_SOFTMAX_BACKWARD: OpDef = OpDef::kernel(
    "log_softmax_backward",
    BACKWARD,
    "The gradient of log_softmax: g - exp(y) * sum(g)",
    infer_backward,
    |c, o| run(c, &[c.x(0), c.x(1)], &o[0], Kind::LogSoftmaxGrad),
)
.gpu(|c, o| run(c, &[c.x(0), c.x(1)], &o[0], Kind::LogSoftmaxGrad))
.vjp(log_softmax_second, 3, 0)
.private();

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Softmax,
    LogSoftmax,
    SoftmaxGrad,
    LogSoftmaxGrad,
}

/// The dimension has `n` elements, `inner` apart, and `outer` times as many stand before it.
#[derive(Clone, Copy)]
struct Shape {
    outer: usize,
    n: usize,
    inner: usize,
}

impl Shape {
    fn of(shape: &[usize], dim: i64) -> Result<Self> {
        let d = wrap_dim(dim, shape.len())?;
        if shape.is_empty() {
            return Ok(Self { outer: 1, n: 1, inner: 1 });
        }
        Ok(Self { outer: numel(&shape[..d]), n: shape[d], inner: numel(&shape[d + 1..]) })
    }
}

fn infer(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    Shape::of(x.shape(), c.int(0))?;
    let dtype = c.dtype(1).unwrap_or(x.dtype());
    if !dtype.is_float() {
        return Err(Error::type_(format!("not implemented for {}", dtype.name()))
            .hint("cast it first: x.float(), or pass dtype=rubigo.float32"));
    }
    Ok(smallvec![Spec::new(x.shape(), dtype)])
}

fn infer_backward(c: &Call) -> Result<Specs> {
    let (g, y) = (c.x(0), c.x(1));
    Shape::of(y.shape(), c.int(0))?;
    if g.shape() != y.shape() || !g.dtype().is_float() || !y.dtype().is_float() {
        return Err(Error::shape(format!(
            "expected two float tensors of one shape, got {} {} and {} {}",
            g.dtype().name(),
            crate::layout::show(g.shape()),
            y.dtype().name(),
            crate::layout::show(y.shape())
        )));
    }
    Ok(smallvec![Spec::like(y)])
}

fn run(c: &Call, inputs: &[&Tensor], out: &Tensor, kind: Kind) -> Result<()> {
    let shape = Shape::of(out.shape(), c.int(0))?;
    let dtype = compute_dtype(out.dtype());
    let a = dense(inputs[0], dtype)?;
    let b = inputs.get(1).map_or_else(|| Ok(a.clone()), |t| dense(t, dtype))?;
    let y = Target::new(out, dtype)?;
    if out.numel() > 0 {
        match (out.device(), dtype) {
            (Device::Gpu, _) => gpu::run(&a, &b, &y.t, shape, kind)?,
            (_, DType::F64) => cpu::run::<f64>(&a, &b, &y.t, shape, kind),
            _ => cpu::run::<f32>(&a, &b, &y.t, shape, kind),
        }
    }
    y.finish()
}

/// The sum along the op's dimension, which stays with size 1.
fn total(x: &Tensor, v: &Vjp) -> Result<Tensor> {
    call(&reduce::SUM, &[x], &[v.attrs[0].clone(), true.into()])
}

/// With s = sum(g y) and u = sum(h y): y (h - u) for g, and h (g - s) - g u for y.
fn softmax_second(v: &Vjp) -> Result<Grads> {
    let (h, g, y) = (v.g(0)?, v.x(0), v.x(1));
    let mut out: Grads = smallvec![None, None];
    if v.needs(0) {
        out[0] = Some(call(&SOFTMAX_BACKWARD, &[&h, y], v.attrs)?);
    }
    if v.needs(1) {
        let centred = t::sub(g, &total(&t::mul(g, y)?, v)?)?;
        let rest = t::mul(g, &total(&t::mul(&h, y)?, v)?)?;
        out[1] = Some(t::sub(&t::mul(&h, &centred)?, &rest)?);
    }
    Ok(out)
}

/// With p = exp(y): h - sum(h p) for g, and -h p sum(g) for y.
fn log_softmax_second(v: &Vjp) -> Result<Grads> {
    let (h, g, y) = (v.g(0)?, v.x(0), v.x(1));
    let hp = t::mul(&h, &call(&elementwise::exp, &[y], &[])?)?;
    let mut out: Grads = smallvec![None, None];
    if v.needs(0) {
        out[0] = Some(t::sub(&h, &total(&hp, v)?)?);
    }
    if v.needs(1) {
        out[1] = Some(t::neg(&t::mul(&hp, &total(g, v)?)?)?);
    }
    Ok(out)
}
