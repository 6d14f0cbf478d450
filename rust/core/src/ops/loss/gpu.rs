//! Dispatch of the three kernels. A target that is no class is found by the first one, which costs a wait
//! for the GPU in each forward pass.

use super::{Plan, Reduction};
use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::gpu::Kernel;
use crate::ops::norm::lanes::{Target, dense};
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

/// Rounds of a loop that every driver is known to run; a thread makes three passes.
const MOST: usize = 256 * 65_535 / 3;
/// From so many classes on, a whole workgroup works on one sample.
const LONG: usize = 256;
/// Pairs that a workgroup adds up.
const PER: usize = 256 * 64;

fn offset(t: &Tensor) -> u32 {
    t.layout().offset as u32
}

/// The parameters that both directions share.
fn params(plan: &Plan, x: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> [u32; 9] {
    let ignore = plan.ignore as u64;
    [
        plan.samples() as u32,
        plan.classes as u32,
        plan.inner as u32,
        offset(x),
        // The target is bound as pairs of words.
        offset(target),
        weight.map_or(0, offset),
        ignore as u32,
        (ignore >> 32) as u32,
        (plan.smoothing as f32).to_bits(),
    ]
}

fn flags(text: &str, plan: &Plan, weighted: bool) -> String {
    text.replace("LOGITS_", &plan.logits.to_string()).replace("WEIGHTED_", &weighted.to_string())
}

pub(super) fn forward(c: &Call, outs: &[Tensor], plan: &Plan) -> Result<()> {
    if plan.classes > MOST {
        return Err(Error::new(
            Kind::NotImplemented,
            format!("the GPU kernel takes up to {MOST} classes, got {}", plan.classes),
        )
        .hint("move the input with .to(\"cpu\") for this step"));
    }
    let x = dense(c.x(0), DType::F32)?;
    let target = dense(c.x(1), DType::I64)?;
    let weight = c.opt(2).map(|w| dense(w, DType::F32)).transpose()?;
    let samples = plan.samples();
    let floats = |n: usize| Tensor::empty(&[n], DType::F32, Device::Gpu);
    let each = plan.reduction == Reduction::None;
    let loss = Target::new(&outs[0], DType::F32)?;
    let losses = if each { loss.t.clone() } else { floats(samples)? };
    let weights = floats(samples)?;
    let bad = Tensor::empty(&[1], DType::I32, Device::Gpu)?;
    let gpu = outs[0].buffer().gpu();
    gpu.fill(bad.buffer(), u32::MAX)?;

    let cols = if plan.classes > LONG && (plan.inner == 1 || plan.classes > 2048) { 1 } else { 32 };
    let weighted = weight.is_some();
    let key = format!("class_loss.{cols}.{}.{weighted}", plan.logits);
    let source = || {
        flags(include_str!("forward.wgsl"), plan, weighted).replace("COLS_u", &format!("{cols}u"))
    };
    let mut words = params(plan, &x, &target, weight.as_ref()).to_vec();
    words.extend([offset(&losses), offset(&weights), offset(&outs[2])]);
    gpu.dispatch(
        &Kernel { key: &key, source: &source },
        &[
            x.buffer(),
            target.buffer(),
            weight.as_ref().unwrap_or(&x).buffer(),
            losses.buffer(),
            weights.buffer(),
            outs[2].buffer(),
            bad.buffer(),
        ],
        &words,
        gpu.fold_groups(samples.div_ceil(cols) as u64),
    )?;
    total(&losses, &weights, samples, if each { None } else { Some(&loss.t) }, &outs[1], plan)?;
    check(&bad, &target, plan)?;
    loss.finish()
}

/// Adds up in rounds until one pair is left.
fn total(
    losses: &Tensor,
    weights: &Tensor,
    samples: usize,
    loss: Option<&Tensor>,
    weight: &Tensor,
    plan: &Plan,
) -> Result<()> {
    let gpu = weight.buffer().gpu();
    let (mut a, mut b, mut n) = (losses.clone(), weights.clone(), samples);
    loop {
        let groups = n.div_ceil(PER).max(1);
        let last = groups == 1;
        let empty = || Tensor::empty(&[groups], DType::F32, Device::Gpu);
        let a_out = if let (true, Some(loss)) = (last, loss) { loss.clone() } else { empty()? };
        let b_out = if last { weight.clone() } else { empty()? };
        let mean = u32::from(last && plan.reduction == Reduction::Mean);
        let source = || include_str!("sum.wgsl").replace("PER_u", &format!("{PER}u"));
        gpu.dispatch(
            &Kernel { key: "class_loss.sum", source: &source },
            &[a.buffer(), b.buffer(), a_out.buffer(), b_out.buffer()],
            &[n as u32, mean, offset(&a), offset(&b), offset(&a_out), offset(&b_out)],
            gpu.fold_groups(groups as u64),
        )?;
        if last {
            return Ok(());
        }
        (a, b, n) = (a_out, b_out, groups);
    }
}

/// Reads whether a target was out of bounds, and then which.
fn check(bad: &Tensor, target: &Tensor, plan: &Plan) -> Result<()> {
    let mut word = [0; 4];
    let gpu = bad.buffer().gpu();
    gpu.download(bad.buffer(), offset(bad) as usize * 4, &mut word)?;
    let first = u32::from_le_bytes(word);
    if first == u32::MAX {
        return Ok(());
    }
    let mut class = [0; 8];
    gpu.download(target.buffer(), (offset(target) + first) as usize * 8, &mut class)?;
    Err(plan.out_of_bounds(i64::from_le_bytes(class), first as usize))
}

pub(super) fn backward(c: &Call, out: &Tensor, plan: &Plan) -> Result<()> {
    let g = dense(c.x(0), DType::F32)?;
    let x = dense(c.x(1), DType::F32)?;
    let target = dense(c.x(2), DType::I64)?;
    let weight = c.opt(3).map(|w| dense(w, DType::F32)).transpose()?;
    let (total, stats) = (cast::contiguous(c.x(4))?, cast::contiguous(c.x(5))?);
    let grad = Target::new(out, DType::F32)?;
    let weighted = weight.is_some();
    let key = format!("class_loss_backward.{}.{weighted}", plan.logits);
    let source = || flags(include_str!("backward.wgsl"), plan, weighted);
    let mut words = params(plan, &x, &target, weight.as_ref()).to_vec();
    words.extend([offset(&g), offset(&total), offset(&stats), offset(&grad.t)]);
    words.push(x.numel() as u32);
    words.push(u32::from(plan.reduction == Reduction::None));
    words.push(u32::from(plan.reduction == Reduction::Mean));
    let gpu = out.buffer().gpu();
    gpu.dispatch(
        &Kernel { key: &key, source: &source },
        &[
            x.buffer(),
            target.buffer(),
            weight.as_ref().unwrap_or(&x).buffer(),
            stats.buffer(),
            g.buffer(),
            total.buffer(),
            grad.t.buffer(),
        ],
        &words,
        gpu.fold_groups(x.numel().div_ceil(256) as u64),
    )?;
    grad.finish()
}
