//! Batch norm. A channel with enough neighbouring elements is worked on piece by piece; with few, channels
//! are the lanes, after a copy that puts them side by side if they are not.

use super::fused::{Plan, Saved};
use super::lanes::{LANES, Math, Ptr, Real, blocks, load, per_isa, store, sum_lanes};
use super::moments::{Moments, moments};
use crate::cpu::threads;
use crate::error::Result;
use crate::layout::Layout;
use crate::ops::cast;
use crate::tensor::Tensor;
use std::ops::Range;

const GRAIN: usize = 8192;
/// Below so many neighbours, channels become the lanes.
const FEW: usize = 16;
/// Rows whose statistics are taken together.
const RUN: usize = 64;

struct Job<T> {
    x: Ptr<T>,
    g: Ptr<T>,
    /// The output, or the input's gradient.
    out: Ptr<T>,
    wb: Option<(Ptr<T>, Ptr<T>)>,
    var: Ptr<T>,
    mean: Ptr<T>,
    /// The gradients of weight and bias, if asked for.
    affine: Option<(Ptr<T>, Ptr<T>)>,
    /// Mean and variance are known and only read.
    given: bool,
    n: usize,
    channels: usize,
    seg: usize,
    eps: f64,
}

/// `[n, channels, seg]` seen as `[n, seg, channels]`.
fn turned(plan: &Plan, t: &Tensor) -> Tensor {
    let flat = Layout::contiguous(&[plan.n, plan.channels, plan.seg]);
    t.alias(Layout { offset: t.layout().offset, ..flat }.permute(&[0, 2, 1]))
}

/// Whether channels are the lanes, and whether that takes copies.
fn by_columns(plan: &Plan) -> (bool, bool) {
    (plan.seg < FEW, plan.seg < FEW && plan.seg > 1)
}

impl<T: Real> Job<T> {
    fn new(plan: &Plan, x: &Tensor, g: &Tensor, out: &Tensor, var: &Tensor, mean: &Tensor) -> Self {
        let (columns, turn) = by_columns(plan);
        Self {
            x: Ptr::of(x),
            g: Ptr::of(g),
            out: Ptr::of(out),
            wb: None,
            var: Ptr::of(var),
            mean: Ptr::of(mean),
            affine: None,
            given: false,
            n: if turn { plan.n * plan.seg } else { plan.n },
            channels: plan.channels,
            seg: if columns { 1 } else { plan.seg },
            eps: plan.eps,
        }
    }

    fn run(
        &self,
        columns: bool,
        by_channel: &(dyn Fn(Range<usize>) + Sync),
        by_tile: &(dyn Fn(Range<usize>) + Sync),
    ) {
        let grain = |width: usize| (GRAIN / (self.n * self.seg * width)).max(1);
        if columns {
            threads::for_range(self.channels.div_ceil(LANES), grain(LANES), by_tile);
        } else {
            threads::for_range(self.channels, grain(1), by_channel);
        }
    }

    #[inline(always)]
    fn rstd(&self, var: f64) -> T {
        T::from_f64(1.0 / (var + self.eps).sqrt())
    }
}

/// With `given`, `var` and `mean` are read, otherwise written.
pub(super) fn forward<T: Real>(
    plan: &Plan,
    x: &Tensor,
    wb: Option<&(Tensor, Tensor)>,
    y: &Tensor,
    var: &Tensor,
    mean: &Tensor,
    given: bool,
) -> Result<()> {
    let (columns, turn) = by_columns(plan);
    let from = if turn { cast::copy_data(&turned(plan, x))? } else { x.clone() };
    let to = if turn { Tensor::empty(from.shape(), T::DTYPE, x.device())? } else { y.clone() };
    let job = Job::<T> {
        wb: wb.map(|(w, b)| (Ptr::of(w), Ptr::of(b))),
        given,
        ..Job::new(plan, &from, &from, &to, var, mean)
    };
    // SAFETY: channels are partitioned; all tensors outlive the call.
    job.run(columns, &|r| unsafe { forward_channels(&job, r) }, &|r| unsafe {
        forward_tiles(&job, r);
    });
    if turn { cast::raw_copy(&to, &turned(plan, y)) } else { Ok(()) }
}

pub(super) fn backward<T: Real>(
    plan: &Plan,
    s: &Saved,
    gx: &Tensor,
    affine: Option<(&Tensor, &Tensor)>,
) -> Result<()> {
    let (columns, turn) = by_columns(plan);
    let side = |t: &Tensor| if turn { cast::copy_data(&turned(plan, t)) } else { Ok(t.clone()) };
    let (x, g) = (side(&s.x)?, side(&s.g)?);
    let to = if turn { Tensor::empty(x.shape(), T::DTYPE, x.device())? } else { gx.clone() };
    let job = Job::<T> {
        wb: s.weight.as_ref().map(|w| (Ptr::of(w), Ptr::of(w))),
        affine: affine.map(|(w, b)| (Ptr::of(w), Ptr::of(b))),
        ..Job::new(plan, &x, &g, &to, &s.var, &s.mean)
    };
    // SAFETY: channels are partitioned; all tensors outlive the call.
    job.run(columns, &|r| unsafe { backward_channels(&job, r) }, &|r| unsafe {
        backward_tiles(&job, r);
    });
    if turn { cast::raw_copy(&to, &turned(plan, gx)) } else { Ok(()) }
}

per_isa! {
    fn forward_channels(job: &Job<T>, range: Range<usize>) = forward_channels_body;
    fn forward_tiles(job: &Job<T>, range: Range<usize>) = forward_tiles_body;
    fn backward_channels(job: &Job<T>, range: Range<usize>) = backward_channels_body;
    fn backward_tiles(job: &Job<T>, range: Range<usize>) = backward_tiles_body;
}

// SAFETY (all bodies): `range` counts channels, or tiles of them, of the job's tensors.

#[inline(always)]
unsafe fn forward_channels_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (seg, step) = (job.seg, job.channels * job.seg);
    for c in range {
        unsafe {
            let (x, y) = (job.x.at(c * seg).cast_const(), job.out.at(c * seg));
            if !job.given {
                let m = moments::<T, M>(x, job.n, step, seg);
                *job.mean.at(c) = T::from_f64(m.mean);
                *job.var.at(c) = T::from_f64(m.var());
            }
            let (m, r) = (*job.mean.at(c), job.rstd((*job.var.at(c)).to_f64()));
            let (w, b) = job.wb.map_or((T::ONE, T::ZERO), |(w, b)| (*w.at(c), *b.at(c)));
            let scale = r * w;
            for piece in 0..job.n {
                let at = piece * step;
                for i in at..at + seg {
                    *y.add(i) = M::fma(*x.add(i) - m, scale, b);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn backward_channels_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let (seg, step) = (job.seg, job.channels * job.seg);
    let count = (job.n * seg) as f64;
    for c in range {
        unsafe {
            let (x, g) = (job.x.at(c * seg).cast_const(), job.g.at(c * seg).cast_const());
            let out = job.out.at(c * seg);
            let (m, r) = (*job.mean.at(c), job.rstd((*job.var.at(c)).to_f64()));
            let (mut s1, mut s2) = (0.0, 0.0);
            let per = (RUN * LANES / seg).max(1);
            let mut from = 0;
            while from < job.n {
                let to = (from + per).min(job.n);
                let (mut a1, mut a2) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                for piece in from..to {
                    let at = piece * step;
                    blocks!(at..at + seg, |i, len| {
                        let (x, g) = (load(x.add(i), len, m), load(g.add(i), len, T::ZERO));
                        for l in 0..LANES {
                            a1[l] += g[l];
                            a2[l] = M::fma(g[l], x[l] - m, a2[l]);
                        }
                    });
                }
                s1 += sum_lanes(&a1);
                s2 += sum_lanes(&a2);
                from = to;
            }
            s2 *= r.to_f64();
            if let Some((gw, gb)) = job.affine {
                *gw.at(c) = T::from_f64(s2);
                *gb.at(c) = T::from_f64(s1);
            }
            let scale = r * job.wb.map_or(T::ONE, |(w, _)| *w.at(c));
            let (c1, c2) = (T::from_f64(s1 / count), T::from_f64(s2 / count) * r);
            for piece in 0..job.n {
                let at = piece * step;
                for i in at..at + seg {
                    *out.add(i) = scale * (*g.add(i) - c1 - (*x.add(i) - m) * c2);
                }
            }
        }
    }
}

/// The first channel of a tile and how many it has.
#[inline(always)]
fn tile_at(channels: usize, tile: usize) -> (usize, usize) {
    (tile * LANES, (channels - tile * LANES).min(LANES))
}

#[inline(always)]
unsafe fn forward_tiles_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let step = job.channels;
    for tile in range {
        let (c, len) = tile_at(step, tile);
        unsafe {
            let (x, y) = (job.x.at(c).cast_const(), job.out.at(c));
            if !job.given {
                let mut total = [Moments::default(); LANES];
                let mut from = 0;
                while from < job.n {
                    let to = (from + RUN).min(job.n);
                    let n = (to - from) as f64;
                    let mut mean = [T::ZERO; LANES];
                    for row in from..to {
                        let v = load(x.add(row * step), len, T::ZERO);
                        for l in 0..LANES {
                            mean[l] += v[l];
                        }
                    }
                    let share = T::from_f64(1.0 / n);
                    for l in 0..LANES {
                        mean[l] = mean[l] * share;
                    }
                    let (mut d, mut d2) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                    for row in from..to {
                        let v = load(x.add(row * step), len, T::ZERO);
                        for l in 0..LANES {
                            let e = v[l] - mean[l];
                            d[l] += e;
                            d2[l] = M::fma(e, e, d2[l]);
                        }
                    }
                    for l in 0..len {
                        total[l].join(Moments::of(
                            mean[l].to_f64(),
                            d[l].to_f64(),
                            d2[l].to_f64(),
                            n,
                        ));
                    }
                    from = to;
                }
                for l in 0..len {
                    *job.mean.at(c + l) = T::from_f64(total[l].mean);
                    *job.var.at(c + l) = T::from_f64(total[l].var());
                }
            }
            let (mut m, mut scale, mut shift) =
                ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
            for l in 0..len {
                m[l] = *job.mean.at(c + l);
                let (w, b) =
                    job.wb.map_or((T::ONE, T::ZERO), |(w, b)| (*w.at(c + l), *b.at(c + l)));
                scale[l] = job.rstd((*job.var.at(c + l)).to_f64()) * w;
                shift[l] = b;
            }
            for row in 0..job.n {
                let mut v = load(x.add(row * step), len, T::ZERO);
                for l in 0..LANES {
                    v[l] = M::fma(v[l] - m[l], scale[l], shift[l]);
                }
                store(y.add(row * step), len, &v);
            }
        }
    }
}

#[inline(always)]
unsafe fn backward_tiles_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let step = job.channels;
    for tile in range {
        let (c, len) = tile_at(step, tile);
        unsafe {
            let (x, g) = (job.x.at(c).cast_const(), job.g.at(c).cast_const());
            let out = job.out.at(c);
            let m = load(job.mean.at(c).cast_const(), len, T::ZERO);
            let (mut s1, mut s2) = ([0.0f64; LANES], [0.0f64; LANES]);
            let mut from = 0;
            while from < job.n {
                let to = (from + RUN).min(job.n);
                let (mut a1, mut a2) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                for row in from..to {
                    let x = load(x.add(row * step), len, T::ZERO);
                    let g = load(g.add(row * step), len, T::ZERO);
                    for l in 0..LANES {
                        a1[l] += g[l];
                        a2[l] = M::fma(g[l], x[l] - m[l], a2[l]);
                    }
                }
                for l in 0..LANES {
                    s1[l] += a1[l].to_f64();
                    s2[l] += a2[l].to_f64();
                }
                from = to;
            }
            let (mut scale, mut c1, mut c2) =
                ([T::ZERO; LANES], [T::ZERO; LANES], [T::ZERO; LANES]);
            for l in 0..len {
                let r = job.rstd((*job.var.at(c + l)).to_f64());
                let s2 = s2[l] * r.to_f64();
                if let Some((gw, gb)) = job.affine {
                    *gw.at(c + l) = T::from_f64(s2);
                    *gb.at(c + l) = T::from_f64(s1[l]);
                }
                scale[l] = r * job.wb.map_or(T::ONE, |(w, _)| *w.at(c + l));
                c1[l] = T::from_f64(s1[l] / job.n as f64);
                c2[l] = T::from_f64(s2 / job.n as f64) * r;
            }
            for row in 0..job.n {
                let x = load(x.add(row * step), len, T::ZERO);
                let mut g = load(g.add(row * step), len, T::ZERO);
                for l in 0..LANES {
                    g[l] = scale[l] * (g[l] - c1[l] - (x[l] - m[l]) * c2[l]);
                }
                store(out.add(row * step), len, &g);
            }
        }
    }
}
