//! Class losses as callers see them, and their plain definition.

use super::{CLASS_LOSS, Plan, Reduction, check, check_weight, class_dim, target_shape};
use crate::apply::{apply, call};
use crate::autograd::{self, NoGrad};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::show;
use crate::ops::expr::t;
use crate::ops::softmax::LOG_SOFTMAX;
use crate::ops::{Call, Outs, cast, elementwise as e, reduce, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

pub(super) fn cross_entropy(c: &Call) -> Result<Outs> {
    let (x, target) = (c.x(0), c.x(1));
    if target.dtype().is_float() && x.dtype().is_float() {
        if target.shape() == x.shape() {
            return probabilities(c);
        }
        if target.shape() != target_shape(x.shape())?.as_slice() {
            return Err(Error::shape(format!(
                "class probabilities must have the input's shape {}, got {}",
                show(x.shape()),
                show(target.shape())
            )));
        }
    }
    fused(c, [c.attr(0).clone(), c.attr(1).clone(), c.float(2).into(), true.into()])
}

pub(super) fn nll_loss(c: &Call) -> Result<Outs> {
    fused(c, [c.attr(0).clone(), c.attr(1).clone(), 0.0.into(), false.into()])
}

/// The fused op; where a gradient for `weight` is asked for, the plain definition.
fn fused(c: &Call, attrs: [crate::ops::Attr; 4]) -> Result<Outs> {
    let inputs = [c.opt(0).cloned(), c.opt(1).cloned(), c.opt(2).cloned()];
    if !autograd::is_enabled() || !c.opt(2).is_some_and(Tensor::requires_grad) {
        let mut outs = apply(&CLASS_LOSS, &inputs, &attrs)?;
        outs.truncate(1);
        return Ok(outs);
    }
    // The kernel checks the targets' values.
    let mode = NoGrad::new();
    apply(&CLASS_LOSS, &inputs, &attrs)?;
    drop(mode);
    plain(&Call { op: &CLASS_LOSS, inputs: &inputs, attrs: &attrs })
}

fn number(v: f64) -> Result<Tensor> {
    Tensor::number(Number::Float(v))
}

fn sum(x: &Tensor, dim: usize) -> Result<Tensor> {
    call(&reduce::SUM, &[x], &[dim.into()])
}

fn sum_all(x: &Tensor) -> Result<Tensor> {
    call(&reduce::SUM, &[x], &[])
}

/// One value per class, to broadcast over an input of `ndim` dimensions.
fn along(w: &Tensor, dim: usize, ndim: usize) -> Result<Tensor> {
    let mut shape = vec![1; ndim];
    shape[dim] = w.numel();
    view::reshape(w, &shape)
}

/// `class_loss` in plain ops.
pub(super) fn plain(c: &Call) -> Result<Outs> {
    let (x, weight) = (c.x(0), c.opt(2));
    check(x, c.x(1), weight)?;
    let target = cast::to(c.x(1), DType::I64)?;
    let plan = Plan::of(c, x.shape())?;
    let dim = class_dim(x.shape())?;
    let logp = if plan.logits { call(&LOG_SOFTMAX, &[x], &[dim.into()])? } else { x.clone() };
    let classes: Vec<i64> = (0..plan.classes as i64).collect();
    let classes = cast::to_device(&Tensor::from_slice(&classes, &[plan.classes])?, x.device())?;
    let mut column = target.dims();
    column.insert(dim, 1);
    let column = view::reshape(&target, &column)?;
    let hit = t::eq(&column, &along(&classes, dim, x.ndim())?)?;
    let valid = call(&e::ne, &[&target, &Tensor::number(Number::Int(plan.ignore))?], &[])?;
    let zero = number(0.0)?;
    let pick = |v: &Tensor| sum(&t::select(&hit, v, &zero)?, dim);

    let weights = weight.map(|w| along(w, dim, x.ndim())).transpose()?;
    let weight_of = match &weights {
        Some(w) => t::select(&valid, &pick(&view::expand(w, x.shape())?)?, &zero)?,
        None => cast::to(&valid, x.dtype())?,
    };
    let mut loss = t::neg(&t::mul(&t::select(&valid, &pick(&logp)?, &zero)?, &weight_of)?)?;
    if plan.smoothing > 0.0 {
        let all = weights.map_or_else(|| Ok(logp.clone()), |w| t::mul(&logp, &w))?;
        let all = t::select(&valid, &sum(&all, dim)?, &zero)?;
        loss = t::sub(&t::scale(&loss, 1.0 - plan.smoothing)?, &t::scale(&all, plan.spread())?)?;
    }
    Ok(smallvec![match plan.reduction {
        Reduction::None => loss,
        Reduction::Sum => sum_all(&loss)?,
        Reduction::Mean => t::div(&sum_all(&loss)?, &sum_all(&weight_of)?)?,
    }])
}

/// -sum(w t log softmax(x)); the mean is over the samples, whatever their weights.
fn probabilities(c: &Call) -> Result<Outs> {
    let (x, weight) = (c.x(0), c.opt(2));
    check_weight(x, weight)?;
    let plan = Plan::of(c, x.shape())?;
    if plan.ignore >= 0 {
        return Err(Error::runtime("ignore_index is not supported for floating point target"));
    }
    let dim = class_dim(x.shape())?;
    let mut target = c.x(1).clone();
    if plan.smoothing > 0.0 {
        let shared = number(plan.spread())?;
        target = t::add(&t::scale(&target, 1.0 - plan.smoothing)?, &shared)?;
    }
    let logp = call(&LOG_SOFTMAX, &[x], &[dim.into()])?;
    let mut terms = t::mul(&logp, &target)?;
    if let Some(w) = weight {
        terms = t::mul(&terms, &along(w, dim, x.ndim())?)?;
    }
    let loss = t::neg(&sum(&terms, dim)?)?;
    let samples = if x.numel() == 0 { 0 } else { plan.samples() };
    Ok(smallvec![match plan.reduction {
        Reduction::None => loss,
        Reduction::Sum => sum_all(&loss)?,
        Reduction::Mean => t::div(&sum_all(&loss)?, &number(samples as f64)?)?,
    }])
}
