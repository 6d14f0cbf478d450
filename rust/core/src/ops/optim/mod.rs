//! Optimizer steps: in place, over all tensors of a group in one call. The mathematics is PyTorch's.
//!
//! float32 and float64 are updated where they lie; half types and strided tensors in a float32 (float64) copy,
//! which is written back. Nothing is recorded for autograd; versions are counted up.

mod cpu;
mod gpu;
mod rules;
#[cfg(test)]
mod tests;

use super::cast;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::show;
use crate::mode;
use crate::storage::Device;
use crate::tensor::Tensor;
use rules::{AdamRule, Coefficients, Momentum, RmsRule, Rule, SLOTS, SgdRule};
use smallvec::SmallVec;

/// `p -= lr * v` with `v = momentum * v + (1 - dampening) * g`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
    /// `v` is set to the gradient.
    pub first: bool,
}

/// `p -= lr * m / (sqrt(v) + eps)` with bias-corrected means of the gradient and of its square.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adam {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
    /// Weight decay shrinks the parameter itself.
    pub decoupled: bool,
}

/// `p -= lr * g / (sqrt(v) + eps)` with a running mean of the squared gradient.
#[derive(Clone, Copy, Debug, Default)]
pub struct RmsProp {
    pub lr: f64,
    pub alpha: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub maximize: bool,
}

/// Tensors that are stepped together, one for each parameter.
type List<'a> = (&'static str, &'a [Tensor]);

/// With `buffers` there is momentum.
pub fn sgd_step(
    params: &[Tensor],
    grads: &[Tensor],
    buffers: Option<&[Tensor]>,
    how: &Sgd,
) -> Result<()> {
    let k = |_| how.coefficients();
    let mut lists = lists(params, grads);
    match buffers {
        None => run::<SgdRule>("sgd_step", &lists, k),
        Some(buffers) => {
            lists.push(("momentum_buffers", buffers));
            match (how.nesterov, how.first) {
                (false, false) => run::<Momentum<false, false>>("sgd_step", &lists, k),
                (false, true) => run::<Momentum<false, true>>("sgd_step", &lists, k),
                (true, false) => run::<Momentum<true, false>>("sgd_step", &lists, k),
                (true, true) => run::<Momentum<true, true>>("sgd_step", &lists, k),
            }
        }
    }
}

/// `steps` counts this step for each parameter, from 1; with `max_exp_avg_sqs` it is AMSGrad.
pub fn adam_step(
    params: &[Tensor],
    grads: &[Tensor],
    exp_avgs: &[Tensor],
    exp_avg_sqs: &[Tensor],
    max_exp_avg_sqs: Option<&[Tensor]>,
    steps: &[i64],
    how: &Adam,
) -> Result<()> {
    if steps.len() != params.len() || steps.iter().any(|&s| s < 1) {
        let msg = format!("steps must hold a count from 1 for each of the {} params", params.len());
        return Err(Error::value(msg).in_op("adam_step"));
    }
    let k = |i: usize| how.coefficients(steps[i]);
    let mut lists = lists(params, grads);
    lists.extend([("exp_avgs", exp_avgs), ("exp_avg_sqs", exp_avg_sqs)]);
    match max_exp_avg_sqs {
        None => run::<AdamRule<false>>("adam_step", &lists, k),
        Some(largest) => {
            lists.push(("max_exp_avg_sqs", largest));
            run::<AdamRule<true>>("adam_step", &lists, k)
        }
    }
}

/// With `grad_avgs` the square of the mean gradient is taken off; with `buffers` there is momentum.
pub fn rmsprop_step(
    params: &[Tensor],
    grads: &[Tensor],
    square_avgs: &[Tensor],
    grad_avgs: Option<&[Tensor]>,
    buffers: Option<&[Tensor]>,
    how: &RmsProp,
) -> Result<()> {
    let k = |_| how.coefficients();
    let mut lists = lists(params, grads);
    lists.push(("square_avgs", square_avgs));
    lists.extend(grad_avgs.map(|list| ("grad_avgs", list)));
    lists.extend(buffers.map(|list| ("momentum_buffers", list)));
    match (grad_avgs.is_some(), buffers.is_some()) {
        (false, false) => run::<RmsRule<false, false>>("rmsprop_step", &lists, k),
        (false, true) => run::<RmsRule<false, true>>("rmsprop_step", &lists, k),
        (true, false) => run::<RmsRule<true, false>>("rmsprop_step", &lists, k),
        (true, true) => run::<RmsRule<true, true>>("rmsprop_step", &lists, k),
    }
}

fn lists<'a>(params: &'a [Tensor], grads: &'a [Tensor]) -> SmallVec<[List<'a>; SLOTS]> {
    smallvec::smallvec![("params", params), ("grads", grads)]
}

/// The gradient's place in the lists: the one that is only read.
const GRAD: usize = 1;

fn run<R: Rule>(op: &'static str, lists: &[List], k: impl Fn(usize) -> Coefficients) -> Result<()> {
    let tensors = lists.iter().flat_map(|(_, list)| *list);
    mode::observed_step(op, tensors, || step::<R>(lists, k)).map_err(|e| e.in_op(op))
}

/// Checks everything first, so that an error leaves all tensors as they were.
fn step<R: Rule>(lists: &[List], k: impl Fn(usize) -> Coefficients) -> Result<()> {
    let params = lists[0].1;
    for (name, list) in lists {
        if list.len() != params.len() {
            return Err(Error::value(format!(
                "there are {} params but {} {name}",
                params.len(),
                list.len()
            )));
        }
    }
    for i in 0..params.len() {
        check(lists, i)?;
    }
    let mut work = Work::default();
    for i in 0..params.len() {
        let device = params[i].device();
        let compute = if params[i].dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let native: SmallVec<[Tensor; SLOTS]> =
            lists.iter().map(|(_, list)| cast::dense(&list[i], compute)).collect::<Result<_>>()?;
        match (device, compute) {
            (Device::Gpu, _) => work.gpu.push((native.clone(), k(i))),
            (_, DType::F64) => work.double.push(cpu::Item::new(&native, k(i))),
            _ => work.single.push(cpu::Item::new(&native, k(i).map(|v| v as f32))),
        }
        for (slot, own) in native.into_iter().enumerate() {
            let list = &lists[slot].1[i];
            if slot != GRAD && !own.same_storage(list) {
                work.copies.push((own, list.clone()));
            } else {
                work.alive.push(own);
            }
        }
    }
    for (tensors, k) in &work.gpu {
        gpu::step::<R>(tensors, k)?;
    }
    cpu::run::<f32, R>(&work.single);
    cpu::run::<f64, R>(&work.double);
    for (own, target) in &work.copies {
        cast::raw_copy(own, target)?;
    }
    for (slot, (_, list)) in lists.iter().enumerate() {
        if slot != GRAD {
            list.iter().for_each(|t| t.storage().bump_version());
        }
    }
    Ok(())
}

/// What is to be done once all memory is there, and what must live until it is.
#[derive(Default)]
struct Work {
    gpu: Vec<(SmallVec<[Tensor; SLOTS]>, Coefficients)>,
    single: Vec<cpu::Item<f32>>,
    double: Vec<cpu::Item<f64>>,
    /// Copies to be written back to their tensors.
    copies: Vec<(Tensor, Tensor)>,
    alive: Vec<Tensor>,
}

fn check(lists: &[List], i: usize) -> Result<()> {
    let p = &lists[0].1[i];
    if !p.dtype().is_float() {
        return Err(Error::type_(format!(
            "params[{i}] must be of a float dtype, it is {}",
            p.dtype().name()
        )));
    }
    for (slot, (name, list)) in lists.iter().enumerate() {
        let t = &list[i];
        if t.shape() != p.shape() {
            return Err(Error::shape(format!(
                "params[{i}] has shape {}, but {name}[{i}] {}",
                show(p.shape()),
                show(t.shape())
            )));
        }
        if t.device() != p.device() {
            return Err(Error::runtime(format!(
                "params[{i}] is on {}, but {name}[{i}] on {}",
                p.device(),
                t.device()
            )));
        }
        if !t.dtype().is_float()
            || (t.dtype() == DType::F64 && p.dtype() != DType::F64 && slot != GRAD)
        {
            return Err(Error::type_(format!(
                "params[{i}] is of {}, but {name}[{i}] of {}",
                p.dtype().name(),
                t.dtype().name()
            )));
        }
        if slot != GRAD && t.layout().may_self_overlap() {
            return Err(Error::runtime(format!(
                "{name}[{i}] is written to, but some of its elements share one memory location"
            ))
            .hint("clone() the expanded tensor first"));
        }
    }
    Ok(())
}
