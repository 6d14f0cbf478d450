//! Products with a vector, or with a few rows: bound by reading the matrix once, so nothing is
//! packed.

use super::gemm::{Gemm, Par, Real, Shared, TASK_FLOPS, par_or_here};
use super::kernels::{self, AXPY_ROWS};
use crate::cpu::scratch;
use crate::cpu::simd::isa;
use std::mem::MaybeUninit;

/// Up to this many rows, dot products with a matrix contiguous along k beat packing it.
const DOT_ROWS: usize = 16;
/// With so short a sum, adding up the lanes costs more than packing.
const DOT_K: usize = 64;
/// Results that a task holds at a time.
const HELD: usize = 2048;

/// A product seen from its thin side: `out[r, j] = sum over p of x[r, p] * mat[p, j]` with few rows
/// r.
struct Thin<T> {
    rows: usize,
    cols: usize,
    k: usize,
    x: *const T,
    x_rs: isize,
    x_ks: isize,
    mat: *const T,
    mat_ks: isize,
    mat_cs: isize,
    out: *mut T,
    out_rs: isize,
    out_cs: isize,
    bias_cols: *const T,
    bias_rows: *const T,
    accumulate: bool,
    relu: bool,
}

/// Computes `g` if it is thin and its matrix is contiguous one way or the other; false, and nothing
/// done, if not.
///
/// # Safety
/// As `gemm`.
pub(super) unsafe fn thin<T: Real>(g: &Gemm<T>, par: Par<'_>) -> bool {
    let rows = g.m.min(g.n);
    if rows == 0 || g.k == 0 || rows > DOT_ROWS {
        return false;
    }
    let mut t = Thin {
        rows,
        cols: g.n,
        k: g.k,
        x: g.a,
        x_rs: g.a_rs,
        x_ks: g.a_cs,
        mat: g.b,
        mat_ks: g.b_rs,
        mat_cs: g.b_cs,
        out: g.c,
        out_rs: g.c_rs,
        out_cs: 1,
        bias_cols: g.bias_n,
        bias_rows: g.bias_m,
        accumulate: g.accumulate,
        relu: g.relu,
    };
    if g.m > g.n {
        t = Thin {
            cols: g.m,
            x: g.b,
            x_rs: g.b_cs,
            x_ks: g.b_rs,
            mat: g.a,
            mat_ks: g.a_cs,
            mat_cs: g.a_rs,
            out_rs: 1,
            out_cs: g.c_rs,
            bias_cols: g.bias_m,
            bias_rows: g.bias_n,
            ..t
        };
    }
    let by_dots = t.mat_ks == 1 && (rows == 1 || g.k >= DOT_K);
    let by_axpy = t.mat_cs == 1 && rows <= AXPY_ROWS;
    if by_dots || by_axpy {
        // SAFETY: the caller's.
        unsafe { t.run(by_dots, par) };
    }
    by_dots || by_axpy
}

impl<T: Real> Thin<T> {
    unsafe fn run(mut self, by_dots: bool, par: Par<'_>) {
        // The dot kernel wants x contiguous along k.
        let scratch = (by_dots && self.x_ks != 1).then(|| scratch::take::<T>(self.rows * self.k));
        if let Some(scratch) = &scratch {
            let copy = scratch.ptr().cast::<T>();
            for r in 0..self.rows {
                for p in 0..self.k {
                    // SAFETY: the scratch holds rows * k elements; x is the caller's.
                    unsafe {
                        let from = self.x.offset(r as isize * self.x_rs + p as isize * self.x_ks);
                        *copy.add(r * self.k + p) = *from;
                    }
                }
            }
            (self.x, self.x_rs, self.x_ks) = (copy, self.k as isize, 1);
        }
        let kernels = T::kernels(isa());
        let kernel = if by_dots { kernels.dot } else { kernels.axpy };
        // Bound by memory, not by arithmetic: a task is worth its start at fewer operations.
        let work = (2 * self.k).saturating_mul(self.cols);
        let tasks = (work / (TASK_FLOPS / 4)).clamp(1, self.cols.div_ceil(64));
        let step = self.cols.div_ceil(tasks).next_multiple_of(16);
        let shared = Shared(&self);
        par_or_here(self.cols.div_ceil(step), par, &|task| {
            let t = shared.get();
            let end = t.cols.min((task + 1) * step);
            let mut held = [const { MaybeUninit::<T>::uninit() }; HELD];
            let sums = held.as_mut_ptr().cast::<T>();
            let chunk = HELD / t.rows;
            for first in (task * step..end).step_by(chunk) {
                let cols = chunk.min(end - first);
                // SAFETY: the caller's; `held` has room for the chunk, and tasks write disjoint
                // columns.
                unsafe {
                    kernel(&kernels::Thin {
                        k: t.k,
                        rows: t.rows,
                        cols,
                        x: t.x,
                        x_rs: t.x_rs,
                        x_ks: t.x_ks,
                        mat: t.mat.offset(first as isize * t.mat_cs),
                        mat_rs: if by_dots { t.mat_cs } else { t.mat_ks },
                        out: sums,
                        os: chunk,
                    });
                    t.finish(sums, chunk, first, cols);
                }
            }
        });
    }

    unsafe fn finish(&self, sums: *const T, chunk: usize, first: usize, cols: usize) {
        // SAFETY: the caller's: these columns of C and of the biases; the kernel has written
        // `sums`.
        unsafe {
            for r in 0..self.rows {
                for j in 0..cols {
                    let at = self
                        .out
                        .offset(r as isize * self.out_rs + (first + j) as isize * self.out_cs);
                    let mut v = *sums.add(r * chunk + j);
                    if self.accumulate {
                        v = v + *at;
                    }
                    if !self.bias_cols.is_null() {
                        v = v + *self.bias_cols.add(first + j);
                    }
                    if !self.bias_rows.is_null() {
                        v = v + *self.bias_rows.add(r);
                    }
                    *at = if self.relu && v < T::default() { T::default() } else { v };
                }
            }
        }
    }
}
