//! Rows of consecutive elements in lanes; other dimensions as columns, one per lane. Very short rows are
//! turned into columns in a tile that stays in the first cache level.

use super::{Kind, Shape};
use crate::cpu::threads;
use crate::ops::norm::lanes::{
    LANES, Math, Ptr, Real, blocks, column_sums, larger, load, per_isa, row_max, store, sums,
};
use crate::tensor::Tensor;
use std::ops::Range;

/// Elements a thread takes at once.
const GRAIN: usize = 8192;
/// Rows of at most so many elements are worked on as columns.
const SHORT: usize = 16;

struct Job<T> {
    a: Ptr<T>,
    b: Ptr<T>,
    y: Ptr<T>,
    n: usize,
    inner: usize,
    kind: Kind,
}

/// `a` is the input, or the gradient with `b` the output; all are contiguous.
pub(super) fn run<T: Real>(a: &Tensor, b: &Tensor, y: &Tensor, s: Shape, kind: Kind) {
    let job =
        Job::<T> { a: Ptr::of(a), b: Ptr::of(b), y: Ptr::of(y), n: s.n, inner: s.inner, kind };
    // SAFETY (all three): tasks partition the rows or columns of tensors that outlive the call.
    if s.inner > 1 {
        let tasks = s.outer * s.inner.div_ceil(LANES);
        threads::for_range(tasks, (GRAIN / (s.n * LANES)).max(1), &|r| unsafe { columns(&job, r) });
    } else if s.n > SHORT {
        threads::for_range(s.outer, (GRAIN / s.n).max(1), &|r| unsafe { rows(&job, r) });
    } else {
        let grain = (GRAIN / s.n).next_multiple_of(LANES);
        threads::for_range(s.outer, grain, &|r| unsafe { short_rows(&job, r) });
    }
}

per_isa! {
    fn rows(job: &Job<T>, range: Range<usize>) = rows_body;
    fn columns(job: &Job<T>, range: Range<usize>) = columns_body;
    fn short_rows(job: &Job<T>, range: Range<usize>) = short_rows_body;
}

#[inline(always)]
unsafe fn rows_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    for row in range {
        // SAFETY: each row has n elements in all three tensors.
        unsafe {
            let at = row * job.n;
            let (a, b, y) = (job.a.at(at).cast_const(), job.b.at(at).cast_const(), job.y.at(at));
            match job.kind {
                Kind::Softmax => softmax_row::<T, M>(a, y, job.n),
                Kind::LogSoftmax => log_softmax_row::<T, M>(a, y, job.n),
                Kind::SoftmaxGrad => softmax_grad_row::<T, M>(a, b, y, job.n),
                Kind::LogSoftmaxGrad => log_softmax_grad_row::<T, M>(a, b, y, job.n),
            }
        }
    }
}

#[inline(always)]
unsafe fn softmax_row<T: Real, M: Math<T>>(x: *const T, y: *mut T, n: usize) {
    // SAFETY (here and below): blocks stay inside the n elements.
    unsafe {
        let m = row_max(x, n);
        let [s] = sums!(T, n, [acc], |i, len| {
            let v = load(x.add(i), len, T::LOWEST);
            let mut e = [T::ZERO; LANES];
            for l in 0..LANES {
                e[l] = M::exp(v[l] - m);
            }
            store(y.add(i), len, &e);
            if len < LANES {
                e[len..].fill(T::ZERO);
            }
            for l in 0..LANES {
                acc[l] += e[l];
            }
        });
        let r = T::from_f64(1.0 / s);
        blocks!(0..n, |i, len| {
            let mut v = load(y.add(i), len, T::ZERO);
            for l in 0..LANES {
                v[l] = v[l] * r;
            }
            store(y.add(i), len, &v);
        });
    }
}

#[inline(always)]
unsafe fn log_softmax_row<T: Real, M: Math<T>>(x: *const T, y: *mut T, n: usize) {
    unsafe {
        let m = row_max(x, n);
        let [s] = sums!(T, n, [acc], |i, len| {
            let v = load(x.add(i), len, T::LOWEST);
            let mut e = [T::ZERO; LANES];
            for l in 0..LANES {
                e[l] = M::exp(v[l] - m);
            }
            if len < LANES {
                e[len..].fill(T::ZERO);
            }
            for l in 0..LANES {
                acc[l] += e[l];
            }
        });
        let log = M::log(T::from_f64(s));
        blocks!(0..n, |i, len| {
            let mut v = load(x.add(i), len, T::ZERO);
            for l in 0..LANES {
                v[l] = (v[l] - m) - log;
            }
            store(y.add(i), len, &v);
        });
    }
}

#[inline(always)]
unsafe fn softmax_grad_row<T: Real, M: Math<T>>(g: *const T, y: *const T, out: *mut T, n: usize) {
    unsafe {
        let [s] = sums!(T, n, [acc], |i, len| {
            let (g, y) = (load(g.add(i), len, T::ZERO), load(y.add(i), len, T::ZERO));
            for l in 0..LANES {
                acc[l] = M::fma(g[l], y[l], acc[l]);
            }
        });
        let s = T::from_f64(s);
        blocks!(0..n, |i, len| {
            let (g, mut y) = (load(g.add(i), len, T::ZERO), load(y.add(i), len, T::ZERO));
            for l in 0..LANES {
                y[l] = y[l] * (g[l] - s);
            }
            store(out.add(i), len, &y);
        });
    }
}

#[inline(always)]
unsafe fn log_softmax_grad_row<T: Real, M: Math<T>>(
    g: *const T,
    y: *const T,
    out: *mut T,
    n: usize,
) {
    unsafe {
        let [s] = sums!(T, n, [acc], |i, len| {
            let g = load(g.add(i), len, T::ZERO);
            for l in 0..LANES {
                acc[l] += g[l];
            }
        });
        let s = T::from_f64(s);
        blocks!(0..n, |i, len| {
            let (mut g, y) = (load(g.add(i), len, T::ZERO), load(y.add(i), len, T::ZERO));
            for l in 0..LANES {
                g[l] = g[l] - M::exp(y[l]) * s;
            }
            store(out.add(i), len, &g);
        });
    }
}

#[inline(always)]
unsafe fn columns_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let tiles = job.inner.div_ceil(LANES);
    for task in range {
        let (outer, column) = (task / tiles, task % tiles * LANES);
        let at = outer * job.n * job.inner + column;
        // SAFETY: the tile's columns and their n elements lie inside the tensors.
        unsafe {
            let (a, b, y) = (job.a.at(at).cast_const(), job.b.at(at).cast_const(), job.y.at(at));
            let len = (job.inner - column).min(LANES);
            if len == LANES {
                tile::<T, M>(a, b, y, job.n, job.inner, LANES, job.kind);
            } else {
                tile::<T, M>(a, b, y, job.n, job.inner, len, job.kind);
            }
        }
    }
}

/// Up to LANES columns of `n` elements, `step` apart.
#[inline(always)]
unsafe fn tile<T: Real, M: Math<T>>(
    a: *const T,
    b: *const T,
    y: *mut T,
    n: usize,
    step: usize,
    len: usize,
    kind: Kind,
) {
    // SAFETY: the caller gives n elements for each column; lanes from `len` on are padding.
    unsafe {
        match kind {
            Kind::Softmax | Kind::LogSoftmax => {
                let mut m = [T::LOWEST; LANES];
                for k in 0..n {
                    let v = load(a.add(k * step), len, T::ZERO);
                    for l in 0..LANES {
                        m[l] = larger(v[l], m[l]);
                    }
                }
                let keep = kind == Kind::Softmax;
                let mut s = column_sums!(T, n, |k, acc| {
                    let mut v = load(a.add(k * step), len, T::ZERO);
                    for l in 0..LANES {
                        v[l] = M::exp(v[l] - m[l]);
                        acc[l] += v[l];
                    }
                    if keep {
                        store(y.add(k * step), len, &v);
                    }
                });
                if keep {
                    for l in 0..LANES {
                        s[l] = T::ONE / s[l];
                    }
                    for k in 0..n {
                        let mut v = load(y.add(k * step), len, T::ZERO);
                        for l in 0..LANES {
                            v[l] = v[l] * s[l];
                        }
                        store(y.add(k * step), len, &v);
                    }
                } else {
                    for l in 0..LANES {
                        s[l] = M::log(s[l]);
                    }
                    for k in 0..n {
                        let mut v = load(a.add(k * step), len, T::ZERO);
                        for l in 0..LANES {
                            v[l] = (v[l] - m[l]) - s[l];
                        }
                        store(y.add(k * step), len, &v);
                    }
                }
            }
            Kind::SoftmaxGrad => {
                let s = column_sums!(T, n, |k, acc| {
                    let (g, y) =
                        (load(a.add(k * step), len, T::ZERO), load(b.add(k * step), len, T::ZERO));
                    for l in 0..LANES {
                        acc[l] = M::fma(g[l], y[l], acc[l]);
                    }
                });
                for k in 0..n {
                    let (g, mut v) =
                        (load(a.add(k * step), len, T::ZERO), load(b.add(k * step), len, T::ZERO));
                    for l in 0..LANES {
                        v[l] = v[l] * (g[l] - s[l]);
                    }
                    store(y.add(k * step), len, &v);
                }
            }
            Kind::LogSoftmaxGrad => {
                let s = column_sums!(T, n, |k, acc| {
                    let g = load(a.add(k * step), len, T::ZERO);
                    for l in 0..LANES {
                        acc[l] += g[l];
                    }
                });
                let mut v = [T::ZERO; LANES];
                for k in 0..n {
                    let (g, o) =
                        (load(a.add(k * step), len, T::ZERO), load(b.add(k * step), len, T::ZERO));
                    for l in 0..LANES {
                        v[l] = g[l] - M::exp(o[l]) * s[l];
                    }
                    store(y.add(k * step), len, &v);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn short_rows_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let n = job.n;
    let mut tiles = [[[T::ZERO; LANES]; SHORT]; 3];
    for start in range.clone().step_by(LANES) {
        let rows = (range.end - start).min(LANES);
        // SAFETY: the rows lie inside the tensors; a tile holds SHORT >= n elements of LANES rows.
        unsafe {
            let from = [job.a.at(start * n), job.b.at(start * n)];
            for (tile, from) in tiles.iter_mut().zip(from) {
                for r in 0..rows {
                    for k in 0..n {
                        tile[k][r] = *from.add(r * n + k);
                    }
                }
            }
            let [a, b, y] = &mut tiles;
            let (a, b, y) =
                (a.as_ptr().cast::<T>(), b.as_ptr().cast::<T>(), y.as_mut_ptr().cast::<T>());
            tile::<T, M>(a, b, y, n, LANES, LANES, job.kind);
            let to = job.y.at(start * n);
            for r in 0..rows {
                for k in 0..n {
                    *to.add(r * n + k) = *y.add(k * LANES + r);
                }
            }
        }
    }
}
