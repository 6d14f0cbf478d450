//! Rows of consecutive elements in lanes; other dimensions as columns, one per lane. Very short rows are
//! turned into columns in a tile that stays in the first cache level.

use super::{Kind, Shape};
use crate::cpu::threads;
use crate::ops::norm::lanes::{
    Buffer, CHUNK, LANES, Math, Ptr, Real, SHORT, Tile, buffer_sum, column_sums, exp_chunk,
    exp_column_sum, exp_rows, exp_sum, larger, load, log_lanes, per_isa, row_max, store, sums,
    turn, turn_back,
};
use crate::tensor::Tensor;
use std::ops::Range;

/// Elements a thread takes at once.
const GRAIN: usize = 8192;
/// Rows of a tile whose exponentials fit a buffer.
const RUN: usize = CHUNK / LANES;

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
    let mut buffer = [T::ZERO; CHUNK];
    for row in range {
        // SAFETY: each row has n elements in all three tensors.
        unsafe {
            let at = row * job.n;
            let (a, b, y) = (job.a.at(at).cast_const(), job.b.at(at).cast_const(), job.y.at(at));
            match job.kind {
                Kind::Softmax => softmax_row::<T, M>(a, y, job.n, &mut buffer),
                Kind::LogSoftmax => {
                    let m = row_max(a, job.n);
                    let log = M::log(T::from_f64(exp_sum::<T, M>(a, job.n, m, &mut buffer)));
                    for i in 0..job.n {
                        *y.add(i) = (*a.add(i) - m) - log;
                    }
                }
                Kind::SoftmaxGrad => softmax_grad_row::<T, M>(a, b, y, job.n),
                Kind::LogSoftmaxGrad => log_softmax_grad_row::<T, M>(a, b, y, job.n, &mut buffer),
            }
        }
    }
}

#[inline(always)]
unsafe fn softmax_row<T: Real, M: Math<T>>(x: *const T, y: *mut T, n: usize, e: &mut Buffer<T>) {
    // SAFETY (here and below): chunks and blocks stay inside the n elements.
    unsafe {
        let m = row_max(x, n);
        let mut s = 0.0;
        for start in (0..n).step_by(CHUNK) {
            let len = (n - start).min(CHUNK);
            let padded = exp_chunk::<T, M>(x.add(start), len, m, T::ZERO, e);
            s += buffer_sum(e, padded);
            if n > CHUNK {
                std::ptr::copy_nonoverlapping(e.as_ptr(), y.add(start), len);
            }
        }
        let r = T::from_f64(1.0 / s);
        let from = if n > CHUNK { y.cast_const() } else { e.as_ptr() };
        for i in 0..n {
            *y.add(i) = *from.add(i) * r;
        }
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
        for i in 0..n {
            *out.add(i) = *y.add(i) * (*g.add(i) - s);
        }
    }
}

#[inline(always)]
unsafe fn log_softmax_grad_row<T: Real, M: Math<T>>(
    g: *const T,
    y: *const T,
    out: *mut T,
    n: usize,
    e: &mut Buffer<T>,
) {
    unsafe {
        let [s] = sums!(T, n, [acc], |i, len| {
            let g = load(g.add(i), len, T::ZERO);
            for l in 0..LANES {
                acc[l] += g[l];
            }
        });
        let s = T::from_f64(s);
        for start in (0..n).step_by(CHUNK) {
            let count = (n - start).min(CHUNK);
            exp_chunk::<T, M>(y.add(start), count, T::ZERO, T::ZERO, e);
            for (i, p) in e[..count].iter().enumerate() {
                *out.add(start + i) = *g.add(start + i) - *p * s;
            }
        }
    }
}

#[inline(always)]
unsafe fn columns_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let mut buffer = [T::ZERO; CHUNK];
    let tiles = job.inner.div_ceil(LANES);
    for task in range {
        let (outer, column) = (task / tiles, task % tiles * LANES);
        let at = outer * job.n * job.inner + column;
        // SAFETY: the tile's columns and their n elements lie inside the tensors.
        unsafe {
            let (a, b, y) = (job.a.at(at).cast_const(), job.b.at(at).cast_const(), job.y.at(at));
            let len = (job.inner - column).min(LANES);
            let size = (job.n, job.inner);
            if len == LANES {
                tile::<T, M>(a, b, y, size, LANES, job.kind, &mut buffer);
            } else {
                tile::<T, M>(a, b, y, size, len, job.kind, &mut buffer);
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
    (n, step): (usize, usize),
    len: usize,
    kind: Kind,
    buffer: &mut Buffer<T>,
) {
    // SAFETY: the caller gives n elements for each column; lanes from `len` on are padding.
    unsafe {
        let zero = [T::ZERO; LANES];
        macro_rules! at {
            ($p:expr, $k:expr) => {
                load($p.add(($k) * step), len, T::ZERO)
            };
        }
        match kind {
            Kind::Softmax | Kind::LogSoftmax => {
                let mut m = [T::LOWEST; LANES];
                for k in 0..n {
                    let v = at!(a, k);
                    for l in 0..LANES {
                        m[l] = larger(v[l], m[l]);
                    }
                }
                let mut s = zero;
                if kind == Kind::LogSoftmax {
                    s = exp_column_sum::<T, M>(a, step, len, n, &m, buffer);
                    log_lanes::<T, M>(&mut s);
                    for k in 0..n {
                        let mut v = at!(a, k);
                        for l in 0..LANES {
                            v[l] = (v[l] - m[l]) - s[l];
                        }
                        store(y.add(k * step), len, &v);
                    }
                    return;
                }
                for start in (0..n).step_by(RUN) {
                    let rows = (n - start).min(RUN);
                    exp_rows::<T, M>(a.add(start * step), step, len, rows, (&m, &zero), buffer);
                    let mut acc = zero;
                    for (k, e) in buffer[..rows * LANES].as_chunks::<LANES>().0.iter().enumerate() {
                        for l in 0..LANES {
                            acc[l] += e[l];
                        }
                        store(y.add((start + k) * step), len, e);
                    }
                    for l in 0..LANES {
                        s[l] += acc[l];
                    }
                }
                for l in 0..LANES {
                    s[l] = T::ONE / s[l];
                }
                for k in 0..n {
                    let mut v = at!(y.cast_const(), k);
                    for l in 0..LANES {
                        v[l] = v[l] * s[l];
                    }
                    store(y.add(k * step), len, &v);
                }
            }
            Kind::SoftmaxGrad => {
                let s = column_sums!(T, n, |k, acc| {
                    let (g, y) = (at!(a, k), at!(b, k));
                    for l in 0..LANES {
                        acc[l] = M::fma(g[l], y[l], acc[l]);
                    }
                });
                for k in 0..n {
                    let (g, mut v) = (at!(a, k), at!(b, k));
                    for l in 0..LANES {
                        v[l] = v[l] * (g[l] - s[l]);
                    }
                    store(y.add(k * step), len, &v);
                }
            }
            Kind::LogSoftmaxGrad => {
                let s = column_sums!(T, n, |k, acc| {
                    let g = at!(a, k);
                    for l in 0..LANES {
                        acc[l] += g[l];
                    }
                });
                for start in (0..n).step_by(RUN) {
                    let rows = (n - start).min(RUN);
                    exp_rows::<T, M>(b.add(start * step), step, len, rows, (&zero, &zero), buffer);
                    for (k, e) in buffer[..rows * LANES].as_chunks::<LANES>().0.iter().enumerate() {
                        let mut g = at!(a, start + k);
                        for l in 0..LANES {
                            g[l] = g[l] - e[l] * s[l];
                        }
                        store(y.add((start + k) * step), len, &g);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn short_rows_body<T: Real, M: Math<T>>(job: &Job<T>, range: Range<usize>) {
    let n = job.n;
    let mut tiles: [Tile<T>; 3] = [[[T::ZERO; LANES]; SHORT]; 3];
    let mut buffer = [T::ZERO; CHUNK];
    for start in range.clone().step_by(LANES) {
        let rows = (range.end - start).min(LANES);
        let [a, b, y] = &mut tiles;
        // SAFETY: the rows lie inside the tensors; a tile holds SHORT >= n elements of LANES rows.
        unsafe {
            turn(job.a.at(start * n), rows, n, a);
            turn(job.b.at(start * n), rows, n, b);
            let to = y.as_mut_ptr().cast::<T>();
            let (a, b) = (a.as_ptr().cast(), b.as_ptr().cast());
            tile::<T, M>(a, b, to, (n, LANES), LANES, job.kind, &mut buffer);
            turn_back(y, rows, n, job.y.at(start * n));
        }
    }
}
