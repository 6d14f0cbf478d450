//! The micro-kernel: a few rows of scalars times a panel of vectors, summed over runs of k.
//!
//! All three convolutions are this product. Rows are output pixels (forward, input gradient) or kernel taps (weight
//! gradient), read in place from a channels-last band; vector lanes are channels.

use super::lanes::Lanes;

/// Rows of the largest tile of any instruction set.
pub(super) const MAX_MR: usize = 8;
/// Vectors per panel row of the widest kernel.
pub(super) const MAX_NV: usize = 3;

/// `len` consecutive k; the first reads its scalars at `off`.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) off: usize,
    pub(super) len: usize,
}

/// c[i, :] = relu?(base[i, :] + sum over k of a[rows[i] + off(k)] * panel[k, :]) for i < m.
pub(super) struct Tile<'a, T> {
    pub(super) a: *const T,
    /// Where each row starts; rows from `m` on repeat a valid one and are computed but not stored.
    pub(super) rows: [usize; MAX_MR],
    pub(super) m: usize,
    /// From one k of a run to the next.
    pub(super) a_step: usize,
    pub(super) runs: &'a [Run],
    /// One row of NV vectors per k.
    pub(super) panel: *const T,
    pub(super) base: *const T,
    /// 0 repeats one row, which is a bias.
    pub(super) base_step: usize,
    pub(super) c: *mut T,
    pub(super) c_step: usize,
    pub(super) relu: bool,
}

#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, const MR: usize, const NV: usize>(t: &Tile<'_, V::T>) {
    let mut acc = [[V::zero(); NV]; MR];
    let mut rows = [0; MR];
    rows.copy_from_slice(&t.rows[..MR]);
    let mut b = t.panel;
    for run in t.runs {
        let mut a = t.a.add(run.off);
        for _ in 0..run.len {
            let mut bv = [acc[0][0]; NV];
            for v in 0..NV {
                bv[v] = V::load(b.add(v * V::N));
            }
            for i in 0..MR {
                let x = V::splat(*a.add(rows[i]));
                for v in 0..NV {
                    acc[i][v] = x.fma(bv[v], acc[i][v]);
                }
            }
            a = a.wrapping_add(t.a_step);
            b = b.add(NV * V::N);
        }
    }
    // Unrolled, so that the accumulators stay in registers.
    for i in 0..MR {
        if i < t.m {
            for v in 0..NV {
                let mut y = acc[i][v].add(V::load(t.base.add(i * t.base_step + v * V::N)));
                if t.relu {
                    y = y.relu();
                }
                y.store(t.c.add(i * t.c_step + v * V::N));
            }
        }
    }
}
