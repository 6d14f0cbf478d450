//! Adaptive pooling: output i of an axis covers floor(i * size / outputs) .. ceil((i + 1) * size / outputs).

use super::{Job, scatter_max};
use crate::ops::conv::cpu::{Elem, share, sum};
use crate::ops::matmul::gemm::Par;
use std::ops::Range;

/// The sizes of an adaptive pooling: x is `[n_c, h, w]`, y is `[n_c, oh, ow]`.
#[derive(Clone, Debug)]
pub struct AdaptiveShape {
    pub n_c: usize,
    pub h: usize,
    pub w: usize,
    pub oh: usize,
    pub ow: usize,
}

fn span(o: usize, size: usize, outputs: usize) -> Range<usize> {
    o * size / outputs..((o + 1) * size).div_ceil(outputs)
}

impl AdaptiveShape {
    fn work(&self) -> usize {
        self.n_c * (self.h * self.w + self.oh * self.ow) * 16
    }

    /// Calls `f(o, rows, cols)` for each output of a plane, in order.
    fn for_windows(&self, mut f: impl FnMut(usize, Range<usize>, Range<usize>)) {
        for oy in 0..self.oh {
            for ox in 0..self.ow {
                let rows = span(oy, self.h, self.oh);
                f(oy * self.ow + ox, rows, span(ox, self.w, self.ow));
            }
        }
    }
}

/// y = the mean of each window.
///
/// # Safety
/// The pointers must be valid for the shape's sizes.
pub unsafe fn adaptive_avg_pool2d<T: Elem>(
    s: &AdaptiveShape,
    x: *const T,
    y: *mut T,
    par: Par<'_>,
) {
    let job = Job::new(x, y);
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        // SAFETY: the caller's contract; windows lie in the plane.
        unsafe {
            let (x, y) = (job.from.add(plane * s.h * s.w), job.to.add(plane * s.oh * s.ow));
            s.for_windows(|o, rows, cols| {
                let count = rows.len() * cols.len();
                let total = if cols.len() == s.w {
                    sum(x.add(rows.start * s.w), count)
                } else {
                    let mut total = T::default();
                    for row in rows {
                        total += sum(x.add(row * s.w + cols.start), cols.len());
                    }
                    total
                };
                *y.add(o) = total / T::from_i64(count as i64);
            });
        }
    });
}

/// gx, every element written.
///
/// # Safety
/// As for `adaptive_avg_pool2d`.
pub unsafe fn adaptive_avg_pool2d_backward<T: Elem>(
    s: &AdaptiveShape,
    gy: *const T,
    gx: *mut T,
    par: Par<'_>,
) {
    let job = Job::new(gy, gx);
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        // SAFETY: the caller's contract; windows lie in the plane.
        unsafe {
            let (gy, gx) = (job.from.add(plane * s.oh * s.ow), job.to.add(plane * s.h * s.w));
            std::ptr::write_bytes(gx, 0, s.h * s.w);
            s.for_windows(|o, rows, cols| {
                let g = *gy.add(o) / T::from_i64((rows.len() * cols.len()) as i64);
                for row in rows {
                    for col in cols.clone() {
                        *gx.add(row * s.w + col) += g;
                    }
                }
            });
        }
    });
}

/// y = the largest of each window; idx = where in its h * w plane, by the rules of `max_pool2d`.
///
/// # Safety
/// The pointers must be valid for the shape's sizes.
pub unsafe fn adaptive_max_pool2d<T: Elem>(
    s: &AdaptiveShape,
    x: *const T,
    y: *mut T,
    idx: *mut i64,
    par: Par<'_>,
) {
    let job = Job { index_to: idx, ..Job::new(x, y) };
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        // SAFETY: the caller's contract; windows lie in the plane.
        unsafe {
            let x = job.from.add(plane * s.h * s.w);
            s.for_windows(|o, rows, cols| {
                let mut at = rows.start * s.w + cols.start;
                let mut best = T::LOWEST;
                for row in rows {
                    for col in cols.clone() {
                        let v = *x.add(row * s.w + col);
                        if v > best || v.partial_cmp(&v).is_none() {
                            (best, at) = (v, row * s.w + col);
                        }
                    }
                }
                *job.to.add(plane * s.oh * s.ow + o) = best;
                *job.index_to.add(plane * s.oh * s.ow + o) = at as i64;
            });
        }
    });
}

/// gx, every element written.
///
/// # Safety
/// As for `adaptive_max_pool2d`.
pub unsafe fn adaptive_max_pool2d_backward<T: Elem>(
    s: &AdaptiveShape,
    gy: *const T,
    idx: *const i64,
    gx: *mut T,
    par: Par<'_>,
) {
    scatter_max([s.n_c, s.h * s.w, s.oh * s.ow], gy, idx, gx, par);
}
