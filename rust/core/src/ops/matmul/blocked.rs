//! The loops around the kernels: what is packed, what is used in place, and which task owns which
//! tiles.

use super::gemm::{Output, Pack, Par, Shared, Strided, TASK_FLOPS, par_or_here};
use super::kernels::{Kernels, Real, Tile};
use crate::cpu::scratch;
use crate::cpu::simd::isa;
use std::mem::MaybeUninit;

/// The longest run of k that a kernel sums before C is touched: a panel of B of this length stays
/// in the L1 cache.
const KC: usize = 256;
/// Bounds on the packed parts of A and of B, in bytes.
const PACKED_A: usize = 4 << 20;
const PACKED_B: usize = 8 << 20;
/// Bounds on the panels of one task: its part of A stays in the L2 cache.
const TASK_ROWS: usize = 16;
const TASK_COLS: usize = 8;
/// The most columns of a panel, in bytes.
const PANEL: usize = 128;

/// How many tasks so large a product is worth: a power of two, which suits most numbers of threads.
fn task_count(m: usize, n: usize, k: usize) -> usize {
    let flops = (2 * m).saturating_mul(n).saturating_mul(k);
    (flops / TASK_FLOPS).clamp(1, 128).next_power_of_two()
}

/// The product of two operands that know how to pack themselves.
///
/// # Safety
/// As `gemm`; `a` and `b` must keep the promise of `Pack`.
pub unsafe fn gemm_with<T: Real, A: Pack<T>, B: Pack<T>>(
    m: usize,
    n: usize,
    k: usize,
    a: &A,
    b: &B,
    out: &Output<T>,
    par: Par<'_>,
) {
    if m == 0 || n == 0 {
        return;
    }
    let kernels = T::kernels(isa());
    let nr = kernels.nr;
    // Panels of A are as equal in height as can be: a short last one would waste the kernel.
    let mr = m.div_ceil(m.div_ceil(kernels.mr));
    let kc = k.div_ceil(k.div_ceil(KC).max(1));
    let size = size_of::<T>();

    let a_direct = a.strided().filter(|_| n <= 2 * nr || m.saturating_mul(k) <= (16 << 10) / size);
    let b_direct = b
        .strided()
        .filter(|s| s.x_stride == 1 && (m <= mr || k.saturating_mul(n) <= (32 << 10) / size));

    let rows = m.div_ceil(mr);
    let tasks = task_count(m, n, k);
    // Where no two tasks would use the same panel of B, each packs its own, which then stays in its
    // cache.
    let b_local = b_direct.is_none() && rows <= TASK_ROWS && n.div_ceil(nr) >= tasks;

    let ks = k.min(kc * 4);
    let fit = |bytes: usize, unit: usize| (bytes / size / ks.max(1)).max(unit) / unit * unit;
    let mb = if a_direct.is_some() { m } else { fit(PACKED_A, mr).min(m) };
    let nb = if b_direct.is_some() || b_local { n } else { fit(PACKED_B, nr).min(n) };
    let a_len = if a_direct.is_some() { 0 } else { mb * ks };
    let b_len = match (b_direct, b_local) {
        (_, true) => 0,
        (Some(_), _) => nr * ks,
        (None, _) => nb.next_multiple_of(nr) * ks,
    };
    let panels = scratch::take::<T>(a_len + b_len);
    let b_packed = panels.ptr().cast::<T>();
    // SAFETY: inside the scratch.
    let a_packed = unsafe { b_packed.add(b_len) };

    let mut block = Block {
        kernels,
        a,
        b,
        out,
        k,
        mr,
        kc,
        a_direct,
        b_direct,
        b_local,
        a_packed,
        b_packed,
        at: Range::default(),
    };
    for n0 in (0..n).step_by(nb) {
        for k0 in (0..k.max(1)).step_by(ks.max(1)) {
            for m0 in (0..m).step_by(mb) {
                block.at = Range {
                    m0,
                    m1: m.min(m0 + mb),
                    n0,
                    n1: n.min(n0 + nb),
                    k0,
                    k1: k.min(k0 + ks),
                };
                // SAFETY: the caller's; the scratch holds one block's panels.
                unsafe {
                    block.pack(m0 == 0, par);
                    block.multiply(par);
                }
            }
        }
    }
}

/// Room for one panel of B on the stack.
#[repr(align(128))]
struct Local(#[allow(dead_code, reason = "only memory")] [u8; KC * PANEL]);

/// The part of the product whose panels are packed at one time.
#[derive(Clone, Copy, Default)]
struct Range {
    m0: usize,
    m1: usize,
    n0: usize,
    n1: usize,
    k0: usize,
    k1: usize,
}

struct Block<'a, T: 'static, A, B> {
    kernels: &'static Kernels<T>,
    a: &'a A,
    b: &'a B,
    out: &'a Output<T>,
    k: usize,
    mr: usize,
    kc: usize,
    a_direct: Option<Strided<T>>,
    b_direct: Option<Strided<T>>,
    b_local: bool,
    a_packed: *mut T,
    b_packed: *mut T,
    at: Range,
}

impl<T: Real, A: Pack<T>, B: Pack<T>> Block<'_, T, A, B> {
    /// Where the panel of A with first row `x0` starts, for the run of k at `k0`: runs one after
    /// the other, in each its panels.
    fn a_panel(&self, k0: usize, kc: usize, x0: usize) -> *mut T {
        let r = &self.at;
        // SAFETY: inside the packed part of A.
        unsafe { self.a_packed.add((k0 - r.k0) * (r.m1 - r.m0) + (x0 - r.m0) * kc) }
    }

    /// As `a_panel`; where B is used in place, only its ragged last panel is packed, at the front.
    fn b_panel(&self, k0: usize, kc: usize, x0: usize) -> *mut T {
        let r = &self.at;
        let nr = self.kernels.nr;
        // SAFETY: inside the packed part of B.
        unsafe {
            match self.b_direct {
                Some(_) => self.b_packed.add((k0 - r.k0) * nr),
                None => self
                    .b_packed
                    .add((k0 - r.k0) * (r.n1 - r.n0).next_multiple_of(nr) + (x0 - r.n0) * kc),
            }
        }
    }

    /// Whether a kernel can read this panel of B in place: it reads whole vectors.
    fn b_in_place(&self, cols: usize) -> Option<Strided<T>> {
        self.b_direct.filter(|_| cols.is_multiple_of(self.kernels.lanes))
    }

    fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let (r, kc) = (self.at, self.kc);
        // With k = 0 there is one empty run, which writes C.
        (r.k0..r.k1.max(r.k0 + 1)).step_by(kc.max(1)).map(move |k0| (k0, kc.min(r.k1 - k0)))
    }

    /// Packs this block's panels of A, and those of B where the block is the first to use them.
    unsafe fn pack(&self, with_b: bool, par: Par<'_>) {
        let r = self.at;
        let (mr, nr) = (self.mr, self.kernels.nr);
        let a_panels = if self.a_direct.is_some() { 0 } else { (r.m1 - r.m0).div_ceil(mr) };
        let b_panels = if !with_b || self.b_local {
            0
        } else if self.b_direct.is_some() {
            usize::from(self.b_in_place((r.n1 - r.n0) % nr).is_none())
        } else {
            (r.n1 - r.n0).div_ceil(nr)
        };
        let b_first = if self.b_direct.is_some() { r.n1 - (r.n1 - r.n0) % nr } else { r.n0 };
        let panels = a_panels + b_panels;
        let elements = (a_panels * mr + b_panels * nr) * (r.k1 - r.k0);
        // A hundred thousand elements take some twenty microseconds to pack.
        let tasks = (elements >> 17).clamp(1, panels.max(1));
        let shared = Shared(self);
        par_or_here(tasks, par, &|task| {
            let block = shared.get();
            for panel in task * panels / tasks..(task + 1) * panels / tasks {
                for (k0, kc) in block.runs() {
                    // SAFETY: the panel lies inside its packed part, and each is written by one
                    // task.
                    unsafe {
                        if panel < a_panels {
                            let x0 = r.m0 + panel * mr;
                            let nx = mr.min(r.m1 - x0);
                            block.a.pack(k0, kc, x0, nx, nx, block.a_panel(k0, kc, x0));
                        } else {
                            let x0 = b_first + (panel - a_panels) * nr;
                            let nx = nr.min(r.n1 - x0);
                            block.b.pack(k0, kc, x0, nx, nr, block.b_panel(k0, kc, x0));
                        }
                    }
                }
            }
        });
    }

    /// All tiles of this block, in tasks of some rows and columns of tiles each.
    unsafe fn multiply(&self, par: Par<'_>) {
        let r = self.at;
        let rows = (r.m1 - r.m0).div_ceil(self.mr);
        let cols = (r.n1 - r.n0).div_ceil(self.kernels.nr);
        let wanted = task_count(r.m1 - r.m0, r.n1 - r.n0, r.k1 - r.k0);
        let (mut down, mut across) = (rows.div_ceil(TASK_ROWS), cols.div_ceil(TASK_COLS));
        if self.b_local {
            across = across.max(wanted);
        }
        while down * across < wanted && (down < rows || across < cols) {
            let taller = rows * self.mr * across >= cols * self.kernels.nr * down;
            if down < rows && (taller || across == cols) {
                down += 1;
            } else {
                across += 1;
            }
        }
        let shared = Shared(self);
        par_or_here(down * across, par, &|task| {
            let block = shared.get();
            let (i, j) = (task % down, task / down);
            let rows = i * rows / down..(i + 1) * rows / down;
            let cols = j * cols / across..(j + 1) * cols / across;
            // SAFETY: tasks write disjoint tiles of C.
            unsafe { block.tiles(rows, cols) };
        });
    }

    unsafe fn tiles(&self, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) {
        let r = self.at;
        let (mr, nr, lanes) = (self.mr, self.kernels.nr, self.kernels.lanes);
        let out = self.out;
        let mut local = MaybeUninit::<Local>::uninit();
        let local = local.as_mut_ptr().cast::<T>();
        for (k0, kc) in self.runs() {
            let last = k0 + kc == self.k;
            for j in cols.clone() {
                let col = r.n0 + j * nr;
                let width = nr.min(r.n1 - col);
                // SAFETY: the caller's and the packed layout: every offset stays inside its
                // operand.
                unsafe {
                    let (b, b_rs) = match self.b_in_place(width) {
                        Some(s) => (s.ptr.offset(k0 as isize * s.k_stride).add(col), s.k_stride),
                        None if self.b_local => {
                            self.b.pack(k0, kc, col, width, nr, local);
                            (local.cast_const(), nr as isize)
                        }
                        None => (self.b_panel(k0, kc, col).cast_const(), nr as isize),
                    };
                    for i in rows.clone() {
                        let row = r.m0 + i * mr;
                        let height = mr.min(r.m1 - row);
                        let (a, a_rs, a_cs) = match self.a_direct {
                            Some(s) => (
                                s.ptr.offset(k0 as isize * s.k_stride + row as isize * s.x_stride),
                                s.x_stride,
                                s.k_stride,
                            ),
                            None => (self.a_panel(k0, kc, row).cast_const(), 0, 0),
                        };
                        let table = if self.a_direct.is_some() {
                            self.kernels.strided
                        } else {
                            self.kernels.packed
                        };
                        table[height - 1][width.div_ceil(lanes) - 1](&Tile {
                            k: kc,
                            a,
                            a_rs,
                            a_cs,
                            b,
                            b_rs,
                            c: out.c.offset(row as isize * out.c_rs),
                            c_rs: out.c_rs,
                            col,
                            cols: width,
                            block: out.block,
                            block_stride: out.block_stride,
                            load_c: out.accumulate || k0 > 0,
                            bias_n: if last && !out.bias_n.is_null() {
                                out.bias_n.add(col)
                            } else {
                                std::ptr::null()
                            },
                            bias_m: if last && !out.bias_m.is_null() {
                                out.bias_m.add(row)
                            } else {
                                std::ptr::null()
                            },
                            relu: last && out.relu,
                        });
                    }
                }
            }
        }
    }
}
