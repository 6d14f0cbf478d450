//! Layer, root-mean-square and group norm: rows of consecutive elements. A group's weight and bias are
//! spread over its elements first, so that all three are one kernel.

use super::fused::{Kind, Plan, Saved};
use super::lanes::{LANES, Math, Ptr, Real, load, per_isa, store, sums};
use super::moments::moments;
use crate::cpu::threads;
use crate::error::Result;
use crate::tensor::Tensor;
use std::ops::Range;

const GRAIN: usize = 8192;

struct Job<T> {
    x: Ptr<T>,
    g: Ptr<T>,
    /// The output, or the input's gradient.
    out: Ptr<T>,
    /// For each element of a sample, if there are any.
    weight: Option<Ptr<T>>,
    bias: Option<Ptr<T>>,
    var: Ptr<T>,
    mean: Ptr<T>,
    /// Sums for weight and bias, one set of a sample's elements for each block of samples.
    partial: Option<(Ptr<T>, Ptr<T>)>,
    /// Samples in a block.
    block: usize,
    plan: Plan,
}

/// Weight or bias for each element of a sample.
fn spread<T: Real>(plan: &Plan, t: &Tensor) -> Result<Tensor> {
    if plan.seg == 1 {
        return Ok(t.clone());
    }
    let out = Tensor::empty(&[plan.channels * plan.seg], T::DTYPE, t.device())?;
    let (from, to) = (Ptr::<T>::of(t), Ptr::<T>::of(&out));
    for c in 0..plan.channels {
        // SAFETY: `t` has a value for each channel, `out` a segment.
        unsafe {
            std::slice::from_raw_parts_mut(to.at(c * plan.seg), plan.seg).fill(*from.at(c));
        }
    }
    Ok(out)
}

pub(super) fn forward<T: Real>(
    plan: &Plan,
    x: &Tensor,
    wb: Option<&(Tensor, Tensor)>,
    y: &Tensor,
    var: &Tensor,
    mean: &Tensor,
) -> Result<()> {
    let wb = match wb {
        Some((w, b)) => Some((spread::<T>(plan, w)?, spread::<T>(plan, b)?)),
        None => None,
    };
    let job = Job::<T> {
        x: Ptr::of(x),
        g: Ptr::of(x),
        out: Ptr::of(y),
        weight: wb.as_ref().map(|(w, _)| Ptr::of(w)),
        bias: wb.as_ref().map(|(_, b)| Ptr::of(b)),
        var: Ptr::of(var),
        mean: Ptr::of(mean),
        partial: None,
        block: 1,
        plan: plan.clone(),
    };
    // SAFETY: rows are partitioned; all tensors outlive the call.
    threads::for_range(plan.rows, (GRAIN / plan.len).max(1), &|r| unsafe { forward_rows(&job, r) });
    Ok(())
}

pub(super) fn backward<T: Real>(
    plan: &Plan,
    s: &Saved,
    gx: &Tensor,
    affine: Option<(&Tensor, &Tensor)>,
) -> Result<()> {
    let weight = s.weight.as_ref().map(|w| spread::<T>(plan, w)).transpose()?;
    let width = plan.groups * plan.len;
    let samples = plan.rows / plan.groups;
    // At most 256 sets of partial sums, which take a sixteenth of the input's memory each way.
    let block = if affine.is_some() {
        samples.div_ceil((samples / 16).clamp(1, 256))
    } else {
        (GRAIN / width).max(1)
    };
    let blocks = samples.div_ceil(block);
    let partial =
        affine.map(|_| Tensor::empty(&[2, blocks, width], T::DTYPE, gx.device())).transpose()?;
    let sums = partial.as_ref().map(|p| {
        let p = Ptr::<T>::of(p);
        // SAFETY: the tensor has two halves of that size.
        (p, unsafe { p.skip(blocks * width) })
    });
    let job = Job::<T> {
        x: Ptr::of(&s.x),
        g: Ptr::of(&s.g),
        out: Ptr::of(gx),
        weight: weight.as_ref().map(Ptr::of),
        bias: None,
        var: Ptr::of(&s.var),
        mean: Ptr::of(&s.mean),
        partial: sums,
        block,
        plan: plan.clone(),
    };
    // SAFETY: blocks of samples and groups partition the rows and the partial sums.
    threads::for_range(blocks * plan.groups, 1, &|r| unsafe { backward_rows(&job, r) });
    if let (Some((gw, gb)), Some((pw, pb))) = (affine, sums) {
        join(plan, pw, blocks, Ptr::of(gw));
        join(plan, pb, blocks, Ptr::of(gb));
    }
    Ok(())
}

/// Adds up the blocks' sums, and those of each channel's elements.
fn join<T: Real>(plan: &Plan, partial: Ptr<T>, blocks: usize, out: Ptr<T>) {
    let (seg, width) = (plan.seg, plan.groups * plan.len);
    threads::for_range(plan.channels, (GRAIN / (blocks * seg)).max(16), &|range| {
        let mut acc = vec![0.0f64; range.len()];
        for b in 0..blocks {
            // SAFETY: each block has a sum for every element of a sample.
            let sums = unsafe {
                let from = partial.at(b * width + range.start * seg).cast_const();
                std::slice::from_raw_parts(from, range.len() * seg)
            };
            for (a, sums) in acc.iter_mut().zip(sums.chunks_exact(seg)) {
                *a += sums.iter().map(|v| v.to_f64()).sum::<f64>();
            }
        }
        for (c, a) in range.zip(acc) {
            // SAFETY: one result for each channel.
            unsafe { *out.at(c) = T::from_f64(a) };
        }
    });
}

per_isa! {
    fn forward_rows(job: &Job<T>, range: Range<usize>) = forward_body;
    fn backward_rows(job: &Job<T>, range: Range<usize>) = backward_body;
}

// SAFETY (both bodies): `range` counts rows, or blocks of them, of the job's tensors.

#[inline(always)]
unsafe fn forward_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (n, eps) = (job.plan.len, job.plan.eps);
    for row in range {
        unsafe {
            let (x, y) = (job.x.at(row * n).cast_const(), job.out.at(row * n));
            let (mean, var) = if job.plan.kind == Kind::Rms {
                let [squares] = sums!(T, n, [acc], |i, len| {
                    let v = load(x.add(i), len, T::ZERO);
                    for l in 0..LANES {
                        acc[l] = M::fma(v[l], v[l], acc[l]);
                    }
                });
                (0.0, squares / n as f64)
            } else {
                let m = moments::<T, M>(x, 1, 0, n);
                (m.mean, m.var())
            };
            let (m, r) = (T::from_f64(mean), T::from_f64(1.0 / (var + eps).sqrt()));
            *job.mean.at(row) = m;
            *job.var.at(row) = T::from_f64(var);
            if let (Some(w), Some(b)) = (job.weight, job.bias) {
                let group = row % job.plan.groups * n;
                let (w, b) = (w.at(group).cast_const(), b.at(group).cast_const());
                for i in 0..n {
                    *y.add(i) = M::fma((*x.add(i) - m) * r, *w.add(i), *b.add(i));
                }
            } else {
                for i in 0..n {
                    *y.add(i) = (*x.add(i) - m) * r;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn backward_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (n, groups) = (job.plan.len, job.plan.groups);
    let samples = job.plan.rows / groups;
    for task in range {
        let (block, group) = (task / groups, task % groups);
        let partial = job.partial.map(|(w, b)| {
            let at = (block * groups + group) * n;
            // SAFETY: each block has a place for every element of a sample.
            unsafe {
                let (w, b) = (w.at(at), b.at(at));
                std::slice::from_raw_parts_mut(w, n).fill(T::ZERO);
                std::slice::from_raw_parts_mut(b, n).fill(T::ZERO);
                (w, b)
            }
        });
        for sample in block * job.block..((block + 1) * job.block).min(samples) {
            let row = sample * groups + group;
            unsafe {
                let (x, g) = (job.x.at(row * n).cast_const(), job.g.at(row * n).cast_const());
                let out = job.out.at(row * n);
                let w = job.weight.map(|w| w.at(group * n).cast_const());
                let m = *job.mean.at(row);
                let r = T::from_f64(1.0 / ((*job.var.at(row)).to_f64() + job.plan.eps).sqrt());
                let [s1, s2] = sums!(T, n, [a1, a2], |i, len| {
                    // Padded lanes have g = 0.
                    let (x, g) = (load(x.add(i), len, T::ZERO), load(g.add(i), len, T::ZERO));
                    let mut gx = [T::ZERO; LANES];
                    for l in 0..LANES {
                        gx[l] = g[l] * ((x[l] - m) * r);
                    }
                    if let Some((pw, pb)) = partial {
                        let mut sw = load(pw.add(i).cast_const(), len, T::ZERO);
                        let mut sb = load(pb.add(i).cast_const(), len, T::ZERO);
                        for l in 0..LANES {
                            sw[l] += gx[l];
                            sb[l] += g[l];
                        }
                        store(pw.add(i), len, &sw);
                        store(pb.add(i), len, &sb);
                    }
                    if let Some(w) = w {
                        let w = load(w.add(i), len, T::ZERO);
                        for l in 0..LANES {
                            a1[l] = M::fma(g[l], w[l], a1[l]);
                            a2[l] = M::fma(gx[l], w[l], a2[l]);
                        }
                    } else {
                        for l in 0..LANES {
                            a1[l] += g[l];
                            a2[l] += gx[l];
                        }
                    }
                });
                let c1 = if job.plan.kind == Kind::Rms { 0.0 } else { s1 / n as f64 };
                let (c1, c2) = (T::from_f64(c1), T::from_f64(s2 / n as f64) * r);
                if let Some(w) = w {
                    for i in 0..n {
                        *out.add(i) = r * (*g.add(i) * *w.add(i) - (c1 + (*x.add(i) - m) * c2));
                    }
                } else {
                    for i in 0..n {
                        *out.add(i) = r * (*g.add(i) - (c1 + (*x.add(i) - m) * c2));
                    }
                }
            }
        }
    }
}
