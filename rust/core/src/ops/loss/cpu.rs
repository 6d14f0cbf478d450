//! Samples whose classes are consecutive go row by row; others in tiles, one sample per lane.

use super::{Plan, Reduction};
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::norm::lanes::{
    CHUNK, LANES, Math, Ptr, Real, SHORT, Target, Tile, column_sums, dense, exp_chunk,
    exp_column_sum, exp_rows, exp_sum, larger, load, log_lanes, per_isa, row_max, store, sums,
    turn, turn_back,
};
use crate::ops::{Call, cast};
use crate::tensor::Tensor;
use std::ops::Range;

const GRAIN: usize = 8192;
/// Samples whose losses are summed as one piece.
const PIECE: usize = 4096;

struct Job<T> {
    x: Ptr<T>,
    target: Ptr<i64>,
    weight: Option<Ptr<T>>,
    /// Of each sample: the largest logit, the logarithm of the sum, the factor of softmax.
    stats: Ptr<T>,
    /// Losses when going forward, their gradients when going back.
    loss: Ptr<T>,
    grad: Ptr<T>,
    /// The step from one loss gradient to the next, 0 when all are the same.
    step: usize,
    scale: T,
    weight_sum: T,
    /// The target's share, and every class's share of the smoothing.
    share: T,
    spread: T,
    plan: Plan,
}

impl<T: Real> Job<T> {
    fn samples(&self) -> usize {
        self.plan.samples()
    }

    /// The weight of a class, which lies inside.
    #[inline(always)]
    unsafe fn weight(&self, class: usize) -> T {
        // SAFETY: passed on from the caller.
        self.weight.map_or(T::ONE, |w| unsafe { *w.at(class) })
    }

    /// The target of sample `i`, or None when it is ignored.
    #[inline(always)]
    unsafe fn class(&self, i: usize) -> Option<usize> {
        // SAFETY: i is a sample, and targets were checked.
        let class = unsafe { *self.target.at(i) };
        (class != self.plan.ignore).then_some(class as usize)
    }
}

/// One weight per class: those given; ones where smoothing needs them.
fn weights(given: Option<&Tensor>, plan: &Plan, dtype: DType) -> Result<Option<Tensor>> {
    match given {
        Some(w) => Ok(Some(dense(w, dtype)?)),
        None if plan.smoothing > 0.0 => {
            Ok(Some(cast::full(&[plan.classes], 1.0, dtype, crate::storage::Device::Cpu)?))
        }
        None => Ok(None),
    }
}

/// The weights of all classes; only smoothing asks for it.
fn total_weight<T: Real>(weight: Option<&Tensor>, plan: &Plan) -> T {
    let Some(w) = weight.filter(|_| plan.smoothing > 0.0) else { return T::ZERO };
    let w = Ptr::<T>::of(w);
    // SAFETY: there is one weight for each class.
    T::from_f64((0..plan.classes).map(|k| unsafe { *w.at(k) }.to_f64()).sum())
}

pub(super) fn forward<T: Real>(c: &Call, outs: &[Tensor], plan: &Plan) -> Result<()> {
    let x = dense(c.x(0), T::DTYPE)?;
    let target = dense(c.x(1), DType::I64)?;
    let weight = weights(c.opt(2), plan, T::DTYPE)?;
    let samples = plan.samples();
    let class = Ptr::<i64>::of(&target);
    for i in 0..samples {
        // SAFETY: one target for each sample.
        let t = unsafe { *class.at(i) };
        if t != plan.ignore && !(0..plan.classes as i64).contains(&t) {
            return Err(plan.out_of_bounds(t, i));
        }
    }
    let each = plan.reduction == Reduction::None;
    let kept = if each { Some(Target::new(&outs[0], T::DTYPE)?) } else { None };
    let losses = match &kept {
        Some(target) => target.t.clone(),
        None => Tensor::empty(&[samples], T::DTYPE, x.device())?,
    };
    let job = Job::<T> {
        x: Ptr::of(&x),
        target: class,
        weight_sum: total_weight(weight.as_ref(), plan),
        weight: weight.as_ref().map(Ptr::of),
        stats: Ptr::of(&outs[2]),
        loss: Ptr::of(&losses),
        grad: Ptr::of(&losses),
        step: 1,
        scale: T::ONE,
        share: T::from_f64(1.0 - plan.smoothing),
        spread: T::from_f64(plan.spread()),
        plan: *plan,
    };
    // SAFETY: samples are partitioned; all tensors outlive the calls.
    each_sample(plan, &|r| unsafe { forward_rows(&job, r) }, &|r| unsafe {
        forward_tiles(&job, r);
    });
    let (loss, total) = totals(&job);
    cast::raw_copy(&Tensor::scalar(total, T::DTYPE)?, &outs[1])?;
    match kept {
        Some(target) => target.finish(),
        None => {
            let loss = if plan.reduction == Reduction::Mean { loss / total } else { loss };
            cast::raw_copy(&Tensor::scalar(loss, T::DTYPE)?, &outs[0])
        }
    }
}

pub(super) fn backward<T: Real>(c: &Call, out: &Tensor, plan: &Plan) -> Result<()> {
    let g = dense(c.x(0), T::DTYPE)?;
    let x = dense(c.x(1), T::DTYPE)?;
    let target = dense(c.x(2), DType::I64)?;
    let weight = weights(c.opt(3), plan, T::DTYPE)?;
    let (total, stats) = (dense(c.x(4), T::DTYPE)?, dense(c.x(5), T::DTYPE)?);
    let grad = Target::new(out, T::DTYPE)?;
    let job = Job::<T> {
        x: Ptr::of(&x),
        target: Ptr::of(&target),
        weight_sum: total_weight(weight.as_ref(), plan),
        weight: weight.as_ref().map(Ptr::of),
        stats: Ptr::of(&stats),
        loss: Ptr::of(&g),
        grad: Ptr::of(&grad.t),
        step: usize::from(plan.reduction == Reduction::None),
        scale: match plan.reduction {
            // SAFETY: the total is one element.
            Reduction::Mean => T::ONE / unsafe { *Ptr::of(&total).at(0) },
            _ => T::ONE,
        },
        share: T::from_f64(1.0 - plan.smoothing),
        spread: T::from_f64(plan.spread()),
        plan: *plan,
    };
    check_again(&job)?;
    // SAFETY: samples are partitioned; all tensors outlive the calls.
    each_sample(plan, &|r| unsafe { backward_rows(&job, r) }, &|r| unsafe {
        backward_tiles(&job, r);
    });
    grad.finish()
}

/// Targets may have been written to since the loss was computed.
fn check_again<T: Real>(job: &Job<T>) -> Result<()> {
    for i in 0..job.samples() {
        // SAFETY: one target for each sample.
        if let Some(t) = unsafe { job.class(i) }
            && t >= job.plan.classes
        {
            return Err(job.plan.out_of_bounds(t as i64, i));
        }
    }
    Ok(())
}

/// Shares out samples, or tiles of them.
fn each_sample(
    plan: &Plan,
    by_row: &(dyn Fn(Range<usize>) + Sync),
    by_tile: &(dyn Fn(Range<usize>) + Sync),
) {
    let classes = plan.classes.max(1);
    if by_tiles(plan) {
        threads::for_range(tiles(plan), (GRAIN / (classes * LANES)).max(1), by_tile);
    } else {
        threads::for_range(plan.n, (GRAIN / classes).max(1), by_row);
    }
}

/// All losses and the weights of all targets, summed piece by piece.
fn totals<T: Real>(job: &Job<T>) -> (f64, f64) {
    let samples = job.samples();
    let mut pieces = vec![(0.0, 0.0); samples.div_ceil(PIECE)];
    let out = Ptr::from_slice(&mut pieces);
    threads::for_range(samples, PIECE, &|range| {
        let piece = range.start / PIECE;
        let mut sums = (0.0, 0.0);
        for i in range {
            // SAFETY: i is a sample; each piece has its own place.
            unsafe {
                sums.0 += (*job.loss.at(i)).to_f64();
                sums.1 += job.class(i).map_or(0.0, |t| job.weight(t).to_f64());
            }
        }
        // SAFETY: as above.
        unsafe { *out.at(piece) = sums };
    });
    pieces.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
}

per_isa! {
    fn forward_rows(job: &Job<T>, range: Range<usize>) = forward_rows_body;
    fn forward_tiles(job: &Job<T>, range: Range<usize>) = forward_tiles_body;
    fn backward_rows(job: &Job<T>, range: Range<usize>) = backward_rows_body;
    fn backward_tiles(job: &Job<T>, range: Range<usize>) = backward_tiles_body;
}

// SAFETY (all bodies): `range` counts samples or tiles of the job, whose pointers are to tensors of the
// plan's sizes; targets were checked.

#[inline(always)]
unsafe fn forward_rows_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (c, samples) = (job.plan.classes, job.samples());
    let mut buffer = [T::ZERO; CHUNK];
    for i in range {
        unsafe {
            let x = job.x.at(i * c).cast_const();
            let (mut top, mut log, mut factor, mut loss) = (T::ZERO, T::ZERO, T::ZERO, T::ZERO);
            if let Some(class) = job.class(i) {
                if job.plan.logits {
                    top = row_max(x, c);
                    log = M::log(T::from_f64(exp_sum::<T, M>(x, c, top, &mut buffer)));
                }
                let w = job.weight(class) * job.share;
                factor = w + job.weight_sum * job.spread;
                loss = w * ((top - *x.add(class)) + log);
                if let (Some(w), true) = (job.weight, job.plan.smoothing > 0.0) {
                    let w = w.at(0).cast_const();
                    let [all] = sums!(T, c, [acc], |k, len| {
                        let (v, w) = (load(x.add(k), len, T::ZERO), load(w.add(k), len, T::ZERO));
                        for l in 0..len {
                            acc[l] = M::fma(w[l], (top - v[l]) + log, acc[l]);
                        }
                    });
                    loss += T::from_f64(all) * job.spread;
                }
            }
            *job.loss.at(i) = loss;
            *job.stats.at(i) = top;
            *job.stats.at(samples + i) = log;
            *job.stats.at(2 * samples + i) = factor;
        }
    }
}

#[inline(always)]
unsafe fn backward_rows_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (c, samples) = (job.plan.classes, job.samples());
    let mut buffer = [T::ZERO; CHUNK];
    for i in range {
        unsafe {
            let (x, out) = (job.x.at(i * c).cast_const(), job.grad.at(i * c));
            let class = job.class(i);
            let g = *job.loss.at(i * job.step) * job.scale;
            if let (Some(_), true) = (class, job.plan.logits) {
                let (top, log) = (*job.stats.at(i), *job.stats.at(samples + i));
                let factor = g * *job.stats.at(2 * samples + i);
                let spread = g * job.spread;
                for start in (0..c).step_by(CHUNK) {
                    let count = (c - start).min(CHUNK);
                    exp_chunk::<T, M>(x.add(start), count, top, log, &mut buffer);
                    let out = out.add(start);
                    for (k, e) in buffer[..count].iter().enumerate() {
                        *out.add(k) = factor * *e;
                    }
                    if let (Some(w), true) = (job.weight, job.plan.smoothing > 0.0) {
                        let w = w.at(start).cast_const();
                        for k in 0..count {
                            *out.add(k) = *out.add(k) - spread * *w.add(k);
                        }
                    }
                }
            } else {
                std::slice::from_raw_parts_mut(out, c).fill(T::ZERO);
            }
            if let Some(class) = class {
                *out.add(class) = *out.add(class) - g * job.share * job.weight(class);
            }
        }
    }
}

/// Samples are lanes where their classes are apart, or few.
fn by_tiles(plan: &Plan) -> bool {
    plan.inner > 1 || plan.classes <= SHORT
}

fn tiles(plan: &Plan) -> usize {
    if plan.inner > 1 { plan.n * plan.inner.div_ceil(LANES) } else { plan.n.div_ceil(LANES) }
}

/// The first sample, its place in the input, and how many samples a tile has.
#[inline(always)]
fn tile_at(plan: &Plan, task: usize) -> (usize, usize, usize) {
    if plan.inner == 1 {
        let first = task * LANES;
        return (first, first * plan.classes, (plan.n - first).min(LANES));
    }
    let tiles = plan.inner.div_ceil(LANES);
    let (n, at) = (task / tiles, task % tiles * LANES);
    (n * plan.inner + at, n * plan.classes * plan.inner + at, (plan.inner - at).min(LANES))
}

#[inline(always)]
unsafe fn forward_tiles_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (c, samples) = (job.plan.classes, job.samples());
    let mut buffer = [T::ZERO; CHUNK];
    let mut columns: Tile<T> = [[T::ZERO; LANES]; SHORT];
    for task in range {
        let (first, place, len) = tile_at(&job.plan, task);
        unsafe {
            let (mut x, mut inner) = (job.x.at(place).cast_const(), job.plan.inner);
            if inner == 1 {
                turn(x, len, c, &mut columns);
                (x, inner) = (columns.as_ptr().cast(), LANES);
            }
            let (mut top, mut log) = ([T::ZERO; LANES], [T::ZERO; LANES]);
            if job.plan.logits {
                top = [T::LOWEST; LANES];
                for k in 0..c {
                    let v = load(x.add(k * inner), len, T::ZERO);
                    for l in 0..LANES {
                        top[l] = larger(v[l], top[l]);
                    }
                }
                log = exp_column_sum::<T, M>(x, inner, len, c, &top, &mut buffer);
                log_lanes::<T, M>(&mut log);
            }
            let mut all = [T::ZERO; LANES];
            if job.plan.smoothing > 0.0 {
                all = column_sums!(T, c, |k, acc| {
                    let (v, w) = (load(x.add(k * inner), len, T::ZERO), job.weight(k));
                    for l in 0..LANES {
                        acc[l] = M::fma(w, (top[l] - v[l]) + log[l], acc[l]);
                    }
                });
            }
            for l in 0..len {
                let i = first + l;
                let (mut loss, mut factor) = (T::ZERO, T::ZERO);
                if let Some(class) = job.class(i) {
                    let w = job.weight(class) * job.share;
                    factor = w + job.weight_sum * job.spread;
                    loss = w * ((top[l] - *x.add(class * inner + l)) + log[l]);
                    if job.plan.smoothing > 0.0 {
                        loss += all[l] * job.spread;
                    }
                }
                *job.loss.at(i) = loss;
                *job.stats.at(2 * samples + i) = factor;
            }
            store(job.stats.at(first), len, &top);
            store(job.stats.at(samples + first), len, &log);
        }
    }
}

#[inline(always)]
unsafe fn backward_tiles_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (c, samples) = (job.plan.classes, job.samples());
    let mut buffer = [T::ZERO; CHUNK];
    let mut columns: Tile<T> = [[T::ZERO; LANES]; SHORT];
    let mut grads: Tile<T> = columns;
    for task in range {
        let (first, place, len) = tile_at(&job.plan, task);
        unsafe {
            let (mut x, mut inner) = (job.x.at(place).cast_const(), job.plan.inner);
            let mut out = job.grad.at(place);
            if job.plan.inner == 1 {
                turn(x, len, c, &mut columns);
                (x, inner) = (columns.as_ptr().cast(), LANES);
                out = grads.as_mut_ptr().cast();
            }
            let top = load(job.stats.at(first).cast_const(), len, T::ZERO);
            let log = load(job.stats.at(samples + first).cast_const(), len, T::ZERO);
            let mut factor = load(job.stats.at(2 * samples + first).cast_const(), len, T::ZERO);
            let mut g = [T::ZERO; LANES];
            // 1 where softmax counts: not for ignored samples, nor for log probabilities.
            let mut live = [T::ZERO; LANES];
            for l in 0..len {
                if job.class(first + l).is_some() {
                    g[l] = *job.loss.at((first + l) * job.step) * job.scale;
                    live[l] = if job.plan.logits { T::ONE } else { T::ZERO };
                }
                factor[l] = g[l] * factor[l];
            }
            for start in (0..c).step_by(CHUNK / LANES) {
                let rows = (c - start).min(CHUNK / LANES);
                let from = x.add(start * inner);
                exp_rows::<T, M>(from, inner, len, rows, (&top, &log), &mut buffer);
                for (k, e) in buffer[..rows * LANES].as_chunks::<LANES>().0.iter().enumerate() {
                    let spread = job.spread * job.weight(start + k);
                    let mut v = [T::ZERO; LANES];
                    for l in 0..LANES {
                        let d = factor[l] * e[l] - spread * g[l];
                        v[l] = if live[l] == T::ONE { d } else { T::ZERO };
                    }
                    store(out.add((start + k) * inner), len, &v);
                }
            }
            for l in 0..len {
                if let Some(class) = job.class(first + l) {
                    let at = out.add(class * inner + l);
                    *at = *at - g[l] * job.share * job.weight(class);
                }
            }
            if job.plan.inner == 1 {
                turn_back(&grads, len, c, job.grad.at(place));
            }
        }
    }
}
