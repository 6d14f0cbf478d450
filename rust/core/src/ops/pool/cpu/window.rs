//! One plane of a pooling with fixed windows.
//!
//! The plane is first copied with its border, columns sorted by their residue modulo the stride: then neighbouring
//! outputs read neighbouring elements whatever the stride, and no tap needs a check.

use super::{Divisor, Elem, PoolShape};
use crate::ops::conv::cpu::layout::{Window, pack_plane};
use crate::ops::conv::cpu::scratch;
use crate::cpu::simd::{Isa, isa};

/// Outputs of a row that are made together, in registers.
const N: usize = 16;

/// What all planes of one call share.
pub(super) struct Plan<'a, T> {
    s: &'a PoolShape,
    width: usize,
    rows: usize,
    /// Where each tap reads in the copied plane, counted from the output's own column.
    taps: Vec<usize>,
    /// What the windows of each row and of each column divide by, together their product; empty for the largest.
    by_row: Vec<T>,
    by_col: Vec<T>,
}

impl<'a, T: Elem> Plan<'a, T> {
    pub(super) fn max(s: &'a PoolShape) -> Self {
        Self::new(s, s.dilation)
    }

    pub(super) fn average(s: &'a PoolShape, by: Divisor) -> Self {
        let mut plan = Self::new(s, [1, 1]);
        let whole = !by.count_include_pad;
        let count = |axis: usize, kernel, size, outputs| -> Vec<T> {
            (0..outputs)
                .map(|o| extent(o, s.stride[axis], s.padding[axis], kernel, size, whole))
                .map(|count| T::from_i64(count.max(1) as i64))
                .collect()
        };
        plan.by_row = count(0, s.kh, s.h, s.oh);
        plan.by_col = count(1, s.kw, s.w, s.ow);
        if let Some(divisor) = by.divisor_override {
            plan.by_row = vec![T::from_i64(1); s.oh];
            plan.by_col = vec![T::from_i64(divisor); s.ow];
        }
        // Outputs are divided a vector at a time.
        plan.by_col.resize(s.ow + N, T::from_i64(1));
        plan
    }

    fn new(s: &'a PoolShape, dilation: [usize; 2]) -> Self {
        let step = s.stride[1];
        let reach = (s.kw - 1) * dilation[1];
        // At least the plane itself: a gradient is made in the same layout.
        let cols = ((s.ow.max(1) - 1) * step + reach + 1).max(s.padding[1] + s.w);
        let rows = ((s.oh.max(1) - 1) * s.stride[0] + (s.kh - 1) * dilation[0] + 1)
            .max(s.padding[0] + s.h);
        let width = cols.div_ceil(step);
        let taps = (0..s.kh * s.kw)
            .map(|k| (k / s.kw * dilation[0], k % s.kw * dilation[1]))
            .map(|(dy, dx)| dy * step * width + dx % step * width + dx / step)
            .collect();
        Self { s, width, rows, taps, by_row: Vec::new(), by_col: Vec::new() }
    }

    fn pitch(&self) -> usize {
        self.s.stride[1] * self.width
    }

    /// Elements of a copied plane, with slack for whole vectors.
    fn len(&self) -> usize {
        self.rows * self.pitch() + 4 * N
    }

    unsafe fn pack(&self, x: *const T, border: T, plane: *mut T) {
        let s = self.s;
        let win = Window {
            h: s.h,
            w: s.w,
            top: -(s.padding[0] as isize),
            left: -(s.padding[1] as isize),
            rows: self.rows,
            cols: self.pitch(),
        };
        pack_plane(x, &win, s.stride[1], self.width, border, plane);
    }
}

/// How much of the window of output `o` lies in the padded plane or, if `whole`, in the plane itself.
fn extent(o: usize, stride: usize, padding: usize, kernel: usize, size: usize, whole: bool) -> usize {
    let start = o * stride;
    let end = (start + kernel).min(size + 2 * padding);
    if whole {
        end.min(size + padding).saturating_sub(start.max(padding))
    } else {
        end.saturating_sub(start)
    }
}

/// Compiles a kernel for each instruction set and picks one at run time.
macro_rules! by_isa {
    ($(#[$doc:meta])* $name:ident = $body:ident($($arg:ident: $ty:ty),*)) => {
        $(#[$doc])*
        pub(super) unsafe fn $name<T: Elem>($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            unsafe fn avx512<T: Elem>($($arg: $ty),*) {
                $body($($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<T: Elem>($($arg: $ty),*) {
                $body($($arg),*);
            }
            match isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512($($arg),*),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2($($arg),*),
                _ => $body($($arg),*),
            }
        }
    };
}

by_isa! {
    /// y and idx of one plane.
    max = max_body(p: &Plan<'_, T>, x: *const T, y: *mut T, idx: *mut i64)
}
by_isa! {
    /// y of one plane.
    average = average_body(p: &Plan<'_, T>, x: *const T, y: *mut T)
}
by_isa! {
    /// gx of one plane.
    average_backward = average_backward_body(p: &Plan<'_, T>, gy: *const T, gx: *mut T)
}

#[inline(always)]
unsafe fn load<T: Copy>(p: *const T) -> [T; N] {
    p.cast::<[T; N]>().read_unaligned()
}

/// Writes the first `n` elements.
#[inline(always)]
unsafe fn store<T: Copy>(v: &[T; N], p: *mut T, n: usize) {
    if n >= N {
        p.cast::<[T; N]>().write_unaligned(*v);
    } else {
        std::ptr::copy_nonoverlapping(v.as_ptr(), p, n);
    }
}

#[inline(always)]
unsafe fn max_body<T: Elem>(p: &Plan<'_, T>, x: *const T, y: *mut T, idx: *mut i64) {
    const NONE: u32 = u32::MAX;
    let s = p.s;
    let [sh, sw] = s.stride;
    let in_plane: Vec<i64> = (0..s.kh * s.kw)
        .map(|k| (k / s.kw * s.dilation[0] * s.w + k % s.kw * s.dilation[1]) as i64)
        .collect();
    scratch::with(p.len(), |plane: *mut T| {
        p.pack(x, T::LOWEST, plane);
        for oy in 0..s.oh {
            let row = plane.add(oy * sh * p.pitch());
            for from in (0..s.ow).step_by(N) {
                let mut best = [T::LOWEST; N];
                let mut taken = [NONE; N];
                for (k, &tap) in p.taps.iter().enumerate() {
                    let v = load(row.add(tap + from));
                    for i in 0..N {
                        let take = (v[i] > best[i]) | (v[i] != v[i]);
                        best[i] = if take { v[i] } else { best[i] };
                        taken[i] = if take { k as u32 } else { taken[i] };
                    }
                }
                let n = N.min(s.ow - from);
                let o = oy * s.ow + from;
                store(&best, y.add(o), n);
                let corner = (oy * sh * s.w) as i64 - (s.padding[0] * s.w + s.padding[1]) as i64;
                for i in 0..n {
                    *idx.add(o + i) = if taken[i] == NONE {
                        first_inside(s, oy, from + i)
                    } else {
                        corner + ((from + i) * sw) as i64 + in_plane[taken[i] as usize]
                    };
                }
            }
        }
    });
}

/// Where the first element of a window lies, which is the index of a window full of -inf; -1 if all is padding.
#[cold]
fn first_inside(s: &PoolShape, oy: usize, ox: usize) -> i64 {
    let first = |o: usize, axis: usize, kernel: usize, size: usize| {
        let start = o * s.stride[axis];
        (0..kernel)
            .filter_map(|k| (start + k * s.dilation[axis]).checked_sub(s.padding[axis]))
            .find(|&at| at < size)
    };
    match (first(oy, 0, s.kh, s.h), first(ox, 1, s.kw, s.w)) {
        (Some(row), Some(col)) => (row * s.w + col) as i64,
        _ => -1,
    }
}

#[inline(always)]
unsafe fn average_body<T: Elem>(p: &Plan<'_, T>, x: *const T, y: *mut T) {
    let s = p.s;
    scratch::with(p.len(), |plane: *mut T| {
        p.pack(x, T::default(), plane);
        for oy in 0..s.oh {
            let row = plane.add(oy * s.stride[0] * p.pitch());
            for from in (0..s.ow).step_by(N) {
                let mut sums = [T::default(); N];
                for &tap in &p.taps {
                    let v = load(row.add(tap + from));
                    for i in 0..N {
                        sums[i] += v[i];
                    }
                }
                let cols = load(p.by_col.as_ptr().add(from));
                for i in 0..N {
                    sums[i] = sums[i] / (cols[i] * p.by_row[oy]);
                }
                store(&sums, y.add(oy * s.ow + from), N.min(s.ow - from));
            }
        }
    });
}

#[inline(always)]
unsafe fn average_backward_body<T: Elem>(p: &Plan<'_, T>, gy: *const T, gx: *mut T) {
    let s = p.s;
    let step = s.stride[1];
    scratch::with(p.len(), |plane: *mut T| {
        std::ptr::write_bytes(plane, 0, p.len());
        for oy in 0..s.oh {
            let row = plane.add(oy * s.stride[0] * p.pitch());
            for from in (0..s.ow).step_by(N) {
                // Zero behind the row's end: adding it changes nothing there.
                let mut share = [T::default(); N];
                let n = N.min(s.ow - from);
                std::ptr::copy_nonoverlapping(gy.add(oy * s.ow + from), share.as_mut_ptr(), n);
                let cols = load(p.by_col.as_ptr().add(from));
                for i in 0..N {
                    share[i] = share[i] / (cols[i] * p.by_row[oy]);
                }
                for &tap in &p.taps {
                    let at = row.add(tap + from);
                    let mut sums = load(at);
                    for i in 0..N {
                        sums[i] += share[i];
                    }
                    store(&sums, at, N);
                }
            }
        }
        for y in 0..s.h {
            let from = plane.add((y + s.padding[0]) * p.pitch());
            let to = gx.add(y * s.w);
            // Column c of the plane lies at padding + c of its copy.
            for residue in 0..step {
                let first = (residue + step - s.padding[1] % step) % step;
                let from = from.add(residue * p.width + (first + s.padding[1]) / step);
                for (q, col) in (first..s.w).step_by(step).enumerate() {
                    *to.add(col) = *from.add(q);
                }
            }
        }
    });
}
