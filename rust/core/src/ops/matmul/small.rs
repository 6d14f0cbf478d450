//! Products so small that planning and packing would cost more than multiplying.

use super::gemm::{Gemm, Pack, Strided};
use super::kernels::{Kernels, Real, Tile};
use crate::cpu::simd::isa;
use std::mem::MaybeUninit;

/// Sides up to which a product is small.
const SIDE: usize = 64;
/// The most columns of a panel, in bytes.
const PANEL: usize = 128;

/// Room for one panel of B.
#[repr(align(128))]
struct Local(#[allow(dead_code, reason = "only memory")] [u8; SIDE * PANEL]);

/// Computes `g` if it is small; false, and nothing done, if not.
///
/// # Safety
/// As `gemm`.
pub(super) unsafe fn small<T: Real>(g: &Gemm<T>) -> bool {
    if g.m.max(g.n).max(g.k) > SIDE {
        return false;
    }
    if g.m == 0 || g.n == 0 {
        return true;
    }
    let kernels: &Kernels<T> = T::kernels(isa());
    let (nr, lanes) = (kernels.nr, kernels.lanes);
    let mr = g.m.div_ceil(g.m.div_ceil(kernels.mr));
    let source = Strided { ptr: g.b, k_stride: g.b_rs, x_stride: g.b_cs };
    let mut local = MaybeUninit::<Local>::uninit();
    let local = local.as_mut_ptr().cast::<T>();
    for col in (0..g.n).step_by(nr) {
        let cols = nr.min(g.n - col);
        let vectors = cols.div_ceil(lanes);
        // SAFETY: the caller's; `local` holds a panel of at most SIDE rows.
        unsafe {
            // Kernels read whole vectors of contiguous columns.
            let (b, b_rs) = if g.b_cs == 1 && cols == vectors * lanes {
                (g.b.add(col), g.b_rs)
            } else {
                source.pack(0, g.k, col, cols, vectors * lanes, local);
                (local.cast_const(), (vectors * lanes) as isize)
            };
            for row in (0..g.m).step_by(mr) {
                let rows = mr.min(g.m - row);
                kernels.strided[rows - 1][vectors - 1](&Tile {
                    k: g.k,
                    a: g.a.offset(row as isize * g.a_rs),
                    a_rs: g.a_rs,
                    a_cs: g.a_cs,
                    b,
                    b_rs,
                    c: g.c.offset(row as isize * g.c_rs),
                    c_rs: g.c_rs,
                    col,
                    cols,
                    block: usize::MAX,
                    block_stride: 0,
                    load_c: g.accumulate,
                    bias_n: if g.bias_n.is_null() { g.bias_n } else { g.bias_n.add(col) },
                    bias_m: if g.bias_m.is_null() { g.bias_m } else { g.bias_m.add(row) },
                    relu: g.relu,
                });
            }
        }
    }
    true
}
