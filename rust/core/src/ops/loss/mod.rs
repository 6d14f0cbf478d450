//! Losses of classes. `class_loss` is softmax, logarithm and the choice of the target's class in one pass;
//! `cross_entropy` and `nll_loss` are it, and `cross_entropy` with probabilities is a composition.

mod compose;
mod cpu;
mod gpu;
#[cfg(test)]
mod tests;

use super::norm::lanes::compute_dtype;
use super::{Call, OpDef, Spec, Specs};
use crate::apply::apply;
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, numel, show};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&CROSS_ENTROPY, &NLL_LOSS, &CLASS_LOSS, &CLASS_LOSS_BACKWARD];

pub static CROSS_ENTROPY: OpDef = OpDef::composed(
    "cross_entropy",
    "input: Tensor, target: Tensor, weight: Tensor? = None, ignore_index: int = -100, reduction: str = 'mean', \
     label_smoothing: float = 0.0",
    "-log softmax(x)[y] for class indices, or the cross-entropy with class probabilities",
    compose::cross_entropy,
)
.private();

pub static NLL_LOSS: OpDef = OpDef::composed(
    "nll_loss",
    "input: Tensor, target: Tensor, weight: Tensor? = None, ignore_index: int = -100, reduction: str = 'mean'",
    "-x[y] for log probabilities x",
    compose::nll_loss,
)
.private();

/// Its results: the loss, the weights of all samples summed, and for each sample the largest logit, the
/// logarithm of the rest's sum, and the factor of softmax in the gradient.
pub static CLASS_LOSS: OpDef = OpDef::kernel(
    "class_loss",
    "input: Tensor, target: Tensor, weight: Tensor?, ignore_index: int, reduction: str, \
     label_smoothing: float, logits: bool",
    "cross_entropy (of logits) or nll_loss, with what its gradient needs",
    infer,
    forward,
)
.gpu(forward)
.vjp(vjp, 0b111, 0b110)
.composite(compose::plain)
.public("nll_loss")
.private();

pub static CLASS_LOSS_BACKWARD: OpDef = OpDef::kernel(
    "class_loss_backward",
    "grad: Tensor, input: Tensor, target: Tensor, weight: Tensor?, total: Tensor, stats: Tensor, \
     ignore_index: int, reduction: str, label_smoothing: float, logits: bool",
    "The gradient of class_loss for its input",
    infer_backward,
    backward,
)
.gpu(backward)
.no_grad("class_loss is differentiated again through its plain definition")
.private();

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

impl Reduction {
    fn of(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "sum" => Ok(Self::Sum),
            "mean" => Ok(Self::Mean),
            _ => Err(Error::value(format!("'{text}' is not a valid value for reduction"))
                .hint("it is 'none', 'sum' or 'mean'")),
        }
    }
}

/// The arguments: `n` times `inner` samples of `classes`, a sample's classes `inner` apart.
#[derive(Clone, Copy)]
struct Plan {
    n: usize,
    classes: usize,
    inner: usize,
    ignore: i64,
    reduction: Reduction,
    smoothing: f64,
    logits: bool,
}

impl Plan {
    /// `c` has the four attributes of `class_loss`.
    fn of(c: &Call, shape: &[usize]) -> Result<Self> {
        let dim = class_dim(shape)?;
        let smoothing = c.float(2);
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::value(format!(
                "label_smoothing must be between 0 and 1, got {smoothing}"
            )));
        }
        Ok(Self {
            n: numel(&shape[..dim]),
            classes: shape[dim],
            inner: numel(&shape[dim + 1..]),
            ignore: c.int(0),
            reduction: Reduction::of(c.str(1))?,
            smoothing,
            logits: c.flag(3),
        })
    }

    fn samples(&self) -> usize {
        self.n * self.inner
    }

    /// What each class gets of the smoothed target.
    fn spread(&self) -> f64 {
        self.smoothing / self.classes as f64
    }

    /// Target `class` of sample `i` is neither a class nor ignored.
    fn out_of_bounds(&self, class: i64, i: usize) -> Error {
        let place = if self.inner == 1 {
            format!("sample {i}")
        } else {
            format!("sample {}, position {}", i / self.inner, i % self.inner)
        };
        let classes = self.classes;
        Error::index(format!("Target {class} is out of bounds for {classes} classes ({place})"))
    }
}

/// Dimension 1, or 0 of a single sample.
fn class_dim(shape: &[usize]) -> Result<usize> {
    if shape.is_empty() {
        return Err(Error::shape("input must have a class dimension, got a 0-d tensor"));
    }
    Ok(usize::from(shape.len() > 1))
}

/// The shape of class indices for an input of this shape.
fn target_shape(shape: &[usize]) -> Result<Dims> {
    let mut out: Dims = shape.into();
    out.remove(class_dim(shape)?);
    Ok(out)
}

fn check(x: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<()> {
    let wanted = target_shape(x.shape())?;
    if !x.dtype().is_float() {
        return Err(Error::type_(format!("not implemented for {}", x.dtype().name()))
            .hint("cast it first: x.float()"));
    }
    if !matches!(target.dtype(), DType::I64 | DType::U8) {
        return Err(Error::type_(format!(
            "class indices must be int64 or uint8, got {}",
            target.dtype().name()
        ))
        .hint("cast them first: target.long()"));
    }
    if target.shape() != wanted.as_slice() {
        return Err(Error::shape(format!(
            "expected a target of shape {} for input of shape {}, got {}",
            show(&wanted),
            show(x.shape()),
            show(target.shape())
        )));
    }
    check_weight(x, weight)
}

fn check_weight(x: &Tensor, weight: Option<&Tensor>) -> Result<()> {
    let Some(w) = weight else { return Ok(()) };
    let classes = x.shape()[class_dim(x.shape())?];
    if w.shape() != [classes] {
        return Err(Error::shape(format!(
            "weight must have one value for each of the {classes} classes, got shape {}",
            show(w.shape())
        )));
    }
    if w.dtype() != x.dtype() && w.dtype() != compute_dtype(x.dtype()) {
        return Err(Error::type_(format!(
            "weight is {}, the input {}",
            w.dtype().name(),
            x.dtype().name()
        ))
        .hint("cast it first: weight.to(input.dtype)"));
    }
    Ok(())
}

fn infer(c: &Call) -> Result<Specs> {
    let (x, target) = (c.x(0), c.x(1));
    check(x, target, c.opt(2))?;
    let plan = Plan::of(c, x.shape())?;
    if plan.smoothing > 0.0 && !plan.logits {
        return Err(Error::value("label_smoothing needs logits"));
    }
    let shape = if plan.reduction == Reduction::None { target.dims() } else { Dims::new() };
    let stats = compute_dtype(x.dtype());
    Ok(smallvec![
        Spec::new(&shape, x.dtype()),
        Spec::new(&[], stats),
        Spec::new(&[3, plan.samples()], stats),
    ])
}

fn infer_backward(c: &Call) -> Result<Specs> {
    let (g, x, target, total, stats) = (c.x(0), c.x(1), c.x(2), c.x(4), c.x(5));
    check(x, target, c.opt(3))?;
    let plan = Plan::of(c, x.shape())?;
    let loss = if plan.reduction == Reduction::None { target.dims() } else { Dims::new() };
    let dtype = compute_dtype(x.dtype());
    let saved = stats.shape() == [3, plan.samples()] && total.shape().is_empty();
    if g.shape() != loss.as_slice() || !saved || stats.dtype() != dtype || total.dtype() != dtype {
        return Err(Error::shape("expected what class_loss gave, and a gradient of its loss"));
    }
    Ok(smallvec![Spec::like(x)])
}

fn forward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let plan = Plan::of(c, c.x(0).shape())?;
    match (outs[0].device(), compute_dtype(outs[0].dtype())) {
        (Device::Gpu, _) => gpu::forward(c, outs, &plan),
        (_, DType::F64) => cpu::forward::<f64>(c, outs, &plan),
        _ => cpu::forward::<f32>(c, outs, &plan),
    }
}

fn backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let plan = Plan::of(c, c.x(1).shape())?;
    match (outs[0].device(), compute_dtype(outs[0].dtype())) {
        (Device::Gpu, _) => gpu::backward(c, &outs[0], &plan),
        (_, DType::F64) => cpu::backward::<f64>(c, &outs[0], &plan),
        _ => cpu::backward::<f32>(c, &outs[0], &plan),
    }
}

fn vjp(v: &Vjp) -> Result<Grads> {
    let mut out: Grads = smallvec![None; v.inputs.len()];
    if v.needs(2) {
        return Err(Error::runtime("weight has a gradient only in the plain definition"));
    }
    if v.needs(0) {
        let inputs = [
            Some(v.g(0)?),
            v.opt_x(0).cloned(),
            v.opt_x(1).cloned(),
            v.opt_x(2).cloned(),
            Some(v.y(1).clone()),
            Some(v.y(2).clone()),
        ];
        out[0] = Some(apply(&CLASS_LOSS_BACKWARD, &inputs, v.attrs)?.swap_remove(0));
    }
    Ok(out)
}
