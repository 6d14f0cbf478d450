//! The inner loops of products with few rows, written once over `Lanes`.

use super::kernels::{AXPY_ROWS, Thin};
use super::lanes::Lanes;

#[inline(always)]
pub(super) unsafe fn axpy_text<S: Lanes>(g: &Thin<S::T>) {
    // SAFETY: the caller's.
    unsafe {
        match g.rows {
            1 => axpy_rows::<S, 1, 8>(g),
            2 => axpy_rows::<S, 2, 4>(g),
            3 => axpy_rows::<S, 3, 4>(g),
            _ => axpy_rows::<S, AXPY_ROWS, 4>(g),
        }
    }
}

/// P rows of the matrix at a time, so that `out` is loaded and stored once for P products.
#[inline(always)]
unsafe fn axpy_rows<S: Lanes, const R: usize, const P: usize>(g: &Thin<S::T>) {
    // SAFETY: the caller's.
    unsafe {
        let full = g.k / P * P;
        for p in (0..full).step_by(P) {
            axpy_pass::<S, R, P>(g, p);
        }
        for p in full..g.k {
            axpy_pass::<S, R, 1>(g, p);
        }
    }
}

#[inline(always)]
unsafe fn axpy_pass<S: Lanes, const R: usize, const P: usize>(g: &Thin<S::T>, p: usize) {
    // SAFETY: the caller's.
    unsafe {
        let mut x = [[S::zero(); P]; R];
        for r in 0..R {
            for q in 0..P {
                x[r][q] = S::splat(g.x.offset(r as isize * g.x_rs + (p + q) as isize * g.x_ks));
            }
        }
        let mat = g.mat.offset(p as isize * g.mat_rs);
        let full = g.cols / S::LANES * S::LANES;
        for j in (0..full).step_by(S::LANES) {
            let mut row = [S::zero(); P];
            for q in 0..P {
                row[q] = S::load(mat.offset(q as isize * g.mat_rs).add(j));
            }
            for r in 0..R {
                let out = g.out.add(r * g.os + j);
                let mut y = if p == 0 { S::zero() } else { S::load(out) };
                for q in 0..P {
                    y = S::fma(x[r][q], row[q], y);
                }
                S::store(out, y);
            }
        }
        let rest = g.cols - full;
        if rest > 0 {
            for r in 0..R {
                let out = g.out.add(r * g.os + full);
                let mut y = if p == 0 { S::zero() } else { S::load_part(out, rest) };
                for q in 0..P {
                    y = S::fma(
                        x[r][q],
                        S::load_part(mat.offset(q as isize * g.mat_rs).add(full), rest),
                        y,
                    );
                }
                S::store_part(out, rest, y);
            }
        }
    }
}

/// Columns in blocks, which stay in the cache while all rows meet them.
#[inline(always)]
pub(super) unsafe fn dot_text<S: Lanes>(g: &Thin<S::T>) {
    // SAFETY: the caller's.
    unsafe {
        let mut j = 0;
        while g.rows == 1 && j + 8 <= g.cols {
            dot_block::<S, 1, 8>(g, 0, j);
            j += 8;
        }
        while j + 4 <= g.cols {
            dot_columns::<S, 4>(g, j);
            j += 4;
        }
        if j + 2 <= g.cols {
            dot_columns::<S, 2>(g, j);
            j += 2;
        }
        if j < g.cols {
            dot_columns::<S, 1>(g, j);
        }
    }
}

#[inline(always)]
unsafe fn dot_columns<S: Lanes, const C: usize>(g: &Thin<S::T>, j: usize) {
    // SAFETY: the caller's.
    unsafe {
        let full = g.rows / 4 * 4;
        for r in (0..full).step_by(4) {
            dot_block::<S, 4, C>(g, r, j);
        }
        match g.rows - full {
            1 => dot_block::<S, 1, C>(g, full, j),
            2 => dot_block::<S, 2, C>(g, full, j),
            3 => dot_block::<S, 3, C>(g, full, j),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn dot_block<S: Lanes, const R: usize, const C: usize>(
    g: &Thin<S::T>,
    first: usize,
    j: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let x = g.x.offset(first as isize * g.x_rs);
        let mat = g.mat.offset(j as isize * g.mat_rs);
        let mut acc = [[S::zero(); C]; R];
        let full = g.k / S::LANES * S::LANES;
        for p in (0..full).step_by(S::LANES) {
            let mut col = [S::zero(); C];
            for c in 0..C {
                col[c] = S::load(mat.offset(c as isize * g.mat_rs).add(p));
            }
            for r in 0..R {
                let v = S::load(x.offset(r as isize * g.x_rs).add(p));
                for c in 0..C {
                    acc[r][c] = S::fma(v, col[c], acc[r][c]);
                }
            }
        }
        let rest = g.k - full;
        if rest > 0 {
            for r in 0..R {
                let v = S::load_part(x.offset(r as isize * g.x_rs).add(full), rest);
                for c in 0..C {
                    let m = S::load_part(mat.offset(c as isize * g.mat_rs).add(full), rest);
                    acc[r][c] = S::fma(v, m, acc[r][c]);
                }
            }
        }
        for r in 0..R {
            for c in 0..C {
                *g.out.add((first + r) * g.os + j + c) = S::sum(acc[r][c]);
            }
        }
    }
}
