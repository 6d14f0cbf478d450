//! The norms as callers see them, and their plain definition.

use super::fused::{BATCH, GROUP, Kind, LAYER, NORMALIZE, RMS, plan_of};
use super::lanes::compute_dtype;
use crate::apply::{apply, call};
use crate::autograd::{NoGrad, write};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{numel, show};
use crate::ops::expr::t;
use crate::ops::{Attr, Call, OpDef, Outs, cast, elementwise as e, reduce, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

fn first(op: &'static OpDef, inputs: &[Option<Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let mut outs = apply(op, inputs, attrs)?;
    outs.truncate(1);
    Ok(outs)
}

pub(super) fn layer_norm(c: &Call) -> Result<Outs> {
    first(&LAYER, c.inputs, c.attrs)
}

pub(super) fn rms_norm(c: &Call) -> Result<Outs> {
    let eps = c.opt_float(1).unwrap_or(match c.x(0).dtype() {
        DType::F64 => f64::EPSILON,
        // Half types are computed in float32.
        _ => f32::EPSILON.into(),
    });
    let inputs = [c.opt(0).cloned(), c.opt(1).cloned(), None];
    first(&RMS, &inputs, &[c.attr(0).clone(), eps.into()])
}

fn one_value(x: &Tensor, count: usize) -> Result<()> {
    if count == 1 {
        return Err(Error::value(format!(
            "expected more than 1 value per channel when training, got input of shape {}",
            show(x.shape())
        ))
        .hint("use a larger batch, or model.eval()"));
    }
    Ok(())
}

/// The size of dimension 1 and the product of all others.
fn channels(x: &Tensor) -> Result<(usize, usize)> {
    if x.ndim() < 2 {
        return Err(Error::shape(format!(
            "expected an input of shape (N, C, ...), got {}",
            show(x.shape())
        )));
    }
    Ok((x.shape()[1], x.shape()[0] * numel(&x.shape()[2..])))
}

pub(super) fn group_norm(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let (channels, each) = channels(x)?;
    let groups = c.int(0);
    if groups > 0 && channels as i64 % groups == 0 {
        one_value(x, each * (channels / groups as usize))?;
    }
    first(&GROUP, c.inputs, &[(&[groups][..]).into(), c.attr(1).clone()])
}

/// `running = (1 - momentum) * running + momentum * value`, in place and without history.
fn track(running: &Tensor, value: &Tensor, momentum: f64) -> Result<()> {
    let kept = t::scale(running, 1.0 - momentum)?;
    write(running, &t::add(&kept, &t::scale(value, momentum)?)?)
}

/// The running statistics, which come together or not at all.
fn running<'a>(c: &Call<'a>) -> Result<Option<(&'a Tensor, &'a Tensor)>> {
    match (c.opt(1), c.opt(2)) {
        (None, None) => Ok(None),
        (Some(mean), Some(var)) => {
            let (channels, _) = channels(c.x(0))?;
            for (what, t) in [("running_mean", mean), ("running_var", var)] {
                if t.shape() != [channels] {
                    return Err(Error::shape(format!(
                        "{what} should have shape ({channels},), got {}",
                        show(t.shape())
                    )));
                }
            }
            Ok(Some((mean, var)))
        }
        _ => Err(Error::value(
            "running_mean and running_var must either both be None or neither be None",
        )),
    }
}

/// By the running statistics.
fn evaluate(c: &Call) -> Result<Outs> {
    let Some((mean, var)) = running(c)? else {
        return Err(Error::runtime("running_mean must be defined in evaluation mode"));
    };
    let inputs = [
        c.opt(0).cloned(),
        Some(mean.detach()),
        Some(var.detach()),
        c.opt(3).cloned(),
        c.opt(4).cloned(),
    ];
    apply(&NORMALIZE, &inputs, &[c.attr(2).clone()])
}

/// Attributes: training, momentum, eps.
pub(super) fn batch_norm(c: &Call) -> Result<Outs> {
    if !c.flag(0) {
        return evaluate(c);
    }
    let x = c.x(0);
    let (_, count) = channels(x)?;
    one_value(x, count)?;
    let running = running(c)?;
    let inputs = [c.opt(0).cloned(), c.opt(3).cloned(), c.opt(4).cloned()];
    let mut outs = apply(&BATCH, &inputs, &[(&[][..] as &[i64]).into(), c.attr(2).clone()])?;
    if let Some((mean, var)) = running
        && x.numel() > 0
    {
        let _mode = NoGrad::new();
        let unbiased = t::scale(&outs[1].detach(), count as f64 / (count as f64 - 1.0))?;
        track(mean, &outs[2].detach(), c.float(1))?;
        track(var, &unbiased, c.float(1))?;
    }
    outs.truncate(1);
    Ok(outs)
}

/// Group norm with one channel per group. Attributes: `use_input_stats`, momentum, eps.
pub(super) fn instance_norm(c: &Call) -> Result<Outs> {
    if !c.flag(0) {
        return evaluate(c);
    }
    let x = c.x(0);
    let (channels, _) = channels(x)?;
    let positions = numel(&x.shape()[2..]);
    if positions == 1 {
        return Err(Error::value(format!(
            "expected more than 1 spatial element when training, got input of shape {}",
            show(x.shape())
        )));
    }
    let running = running(c)?;
    let inputs = [c.opt(0).cloned(), c.opt(3).cloned(), c.opt(4).cloned()];
    let groups = [channels.max(1) as i64];
    let mut outs = apply(&GROUP, &inputs, &[groups[..].into(), c.attr(2).clone()])?;
    if let Some((mean, var)) = running
        && x.numel() > 0
    {
        let _mode = NoGrad::new();
        let over_batch = |t: &Tensor| {
            let t = view::reshape(&t.detach(), &[x.shape()[0], channels])?;
            call(&reduce::MEAN, &[&t], &[0usize.into(), false.into()])
        };
        let unbiased =
            t::scale(&over_batch(&outs[1])?, positions as f64 / (positions as f64 - 1.0))?;
        track(mean, &over_batch(&outs[2])?, c.float(1))?;
        track(var, &unbiased, c.float(1))?;
    }
    outs.truncate(1);
    Ok(outs)
}

/// A fused norm in plain ops.
pub(super) fn plain(c: &Call) -> Result<Outs> {
    // Half types are computed in float32, as in the kernels.
    let x = &cast::to(c.x(0), compute_dtype(c.x(0).dtype()))?;
    let plan = plan_of(c)?;
    let (folded, dims): (Vec<usize>, &[i64]) = match plan.kind {
        Kind::Batch => (vec![plan.n, plan.channels, plan.seg], &[0, 2]),
        _ => (vec![plan.rows, plan.len], &[1]),
    };
    let number = |v: f64| Tensor::number(Number::Float(v));
    let mean_of = |v: &Tensor| {
        t::div(&call(&reduce::SUM, &[v], &[dims.into(), true.into()])?, &number(plan.len as f64)?)
    };
    let x3 = view::reshape(x, &folded)?;
    let (mean, centred) = if plan.kind == Kind::Rms {
        (Tensor::zeros(&[plan.rows], x.dtype(), x.device())?, x3)
    } else {
        let mean = mean_of(&x3)?;
        let centred = t::sub(&x3, &mean)?;
        (mean, centred)
    };
    let var = mean_of(&call(&e::square, &[&centred], &[])?)?;
    let scale = call(&e::rsqrt, &[&t::add(&var, &number(plan.eps)?)?], &[])?;
    let mut y = t::mul(&centred, &scale)?;
    // Weight and bias stand along the second of these dimensions.
    y = view::reshape(&y, &[plan.n, plan.channels, plan.seg])?;
    let column = |t: &Tensor| view::reshape(t, &[1, plan.channels, 1]);
    if let Some(w) = c.opt(1) {
        y = t::mul(&y, &column(w)?)?;
    }
    if let Some(b) = c.opt(2) {
        y = t::add(&y, &column(b)?)?;
    }
    let rows = |t: &Tensor| view::reshape(t, &[plan.rows]);
    let y = cast::to(&view::reshape(&y, x.shape())?, c.x(0).dtype())?;
    Ok(smallvec![y, rows(&var)?, rows(&mean)?])
}
