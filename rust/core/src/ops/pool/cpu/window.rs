//! One plane of a pooling with fixed windows.
//!
//! The plane is first copied with its border, columns sorted by their residue modulo the stride: then neighbouring
//! outputs read neighbouring elements whatever the stride, and no tap needs a check.

use super::{Divisor, Elem, PoolShape};
use crate::cpu::scratch;
use crate::cpu::simd::{Isa, isa};
use crate::ops::conv::cpu::lanes::Lanes;
use crate::ops::conv::cpu::layout::{Window, pack_plane};

/// Slack for the whole vectors of any instruction set.
const SLACK: usize = 64;

/// What all planes of one call share.
pub(super) struct Plan<'a, T> {
    s: &'a PoolShape,
    width: usize,
    rows: usize,
    /// Where each tap reads in the copied plane, counted from the output's own column.
    taps: Vec<usize>,
    /// The same in the plane itself.
    in_plane: Vec<i64>,
    /// For each residue: its first column of the plane, and where that lies in a row of the copy.
    residues: Vec<(usize, usize)>,
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
        plan.by_col.resize(s.ow + SLACK, T::from_i64(1));
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
        let in_plane = (0..s.kh * s.kw)
            .map(|k| (k / s.kw * dilation[0] * s.w + k % s.kw * dilation[1]) as i64)
            .collect();
        let residues = (0..step)
            .map(|residue| {
                let first = (residue + step - s.padding[1] % step) % step;
                (first, residue * width + (first + s.padding[1]) / step)
            })
            .collect();
        Self { s, width, rows, taps, in_plane, residues, by_row: Vec::new(), by_col: Vec::new() }
    }

    fn pitch(&self) -> usize {
        self.s.stride[1] * self.width
    }

    /// Elements of a copied plane, with slack for whole vectors.
    fn len(&self) -> usize {
        self.rows * self.pitch() + SLACK
    }

    /// Calls `f` with a copy of the plane in a border.
    pub(super) unsafe fn with_copy(&self, x: *const T, border: T, f: impl FnOnce(*const T)) {
        let s = self.s;
        let win = Window {
            h: s.h,
            w: s.w,
            top: -(s.padding[0] as isize),
            left: -(s.padding[1] as isize),
            rows: self.rows,
            cols: self.pitch(),
        };
        scratch::with(self.len(), |plane: *mut T| {
            pack_plane(x, &win, s.stride[1], self.width, border, plane);
            f(plane);
        });
    }

    /// Lets `f` add up a plane's gradient in the layout of the copy, then writes it to gx.
    pub(super) unsafe fn make_plane(&self, gx: *mut T, f: impl FnOnce(*mut T)) {
        let s = self.s;
        scratch::with(self.len(), |plane: *mut T| {
            std::ptr::write_bytes(plane, 0, self.len());
            f(plane);
            for y in 0..s.h {
                let from = plane.add((y + s.padding[0]) * self.pitch());
                let to = gx.add(y * s.w);
                for &(first, at) in &self.residues {
                    let mut at = from.add(at);
                    for col in (first..s.w).step_by(s.stride[1]) {
                        *to.add(col) = *at;
                        at = at.wrapping_add(1);
                    }
                }
            }
        });
    }
}

/// How much of the window of output `o` lies in the padded plane or, if `whole`, in the plane itself.
fn extent(
    o: usize,
    stride: usize,
    padding: usize,
    kernel: usize,
    size: usize,
    whole: bool,
) -> usize {
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
                $body::<T, T::Wide>($($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<T: Elem>($($arg: $ty),*) {
                $body::<T, T::Middle>($($arg),*);
            }
            match isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512($($arg),*),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2($($arg),*),
                _ => $body::<T, T::Plain>($($arg),*),
            }
        }
    };
}

pub(super) use by_isa;

by_isa! {
    /// y and idx of one plane, which `plane` holds a copy of.
    max = max_body(p: &Plan<'_, T>, plane: *const T, y: *mut T, idx: *mut i64)
}
by_isa! {
    /// y of one plane, which `plane` holds a copy of.
    average = average_body(p: &Plan<'_, T>, plane: *const T, y: *mut T)
}
by_isa! {
    /// Adds the gradient to the copy of the plane.
    average_backward = average_backward_body(p: &Plan<'_, T>, gy: *const T, plane: *mut T)
}

#[inline(always)]
pub(super) unsafe fn store<V: Lanes>(v: V, p: *mut V::T, n: usize) {
    if n < V::N {
        v.store_first(p, n);
    } else {
        v.store(p);
    }
}

#[inline(always)]
unsafe fn max_body<T: Elem, V: Lanes<T = T>>(
    p: &Plan<'_, T>,
    plane: *const T,
    y: *mut T,
    idx: *mut i64,
) {
    let s = p.s;
    for oy in 0..s.oh {
        let row = plane.add(oy * s.stride[0] * p.pitch());
        let corner = (oy * s.stride[0] * s.w) as i64 - (s.padding[0] * s.w + s.padding[1]) as i64;
        for from in (0..s.ow).step_by(V::N) {
            let mut best = V::splat(T::LOWEST);
            // The number of the tap, which the float holds exactly.
            let mut taken = V::splat(T::from_i64(-1));
            for (k, &tap) in p.taps.iter().enumerate() {
                let v = V::load(row.add(tap + from));
                best.take_larger(v, &mut taken, V::splat(T::from_i64(k as i64)));
            }
            let n = V::N.min(s.ow - from);
            let o = oy * s.ow + from;
            store(best, y.add(o), n);
            let mut at = [T::default(); 16];
            taken.store(at.as_mut_ptr());
            for i in 0..n {
                *idx.add(o + i) = if at[i] < T::default() {
                    first_inside(s, oy, from + i)
                } else {
                    corner + ((from + i) * s.stride[1]) as i64 + p.in_plane[at[i].to_index()]
                };
            }
        }
    }
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
unsafe fn average_body<T: Elem, V: Lanes<T = T>>(p: &Plan<'_, T>, plane: *const T, y: *mut T) {
    let s = p.s;
    for oy in 0..s.oh {
        let row = plane.add(oy * s.stride[0] * p.pitch());
        let rows = V::splat(p.by_row[oy]);
        for from in (0..s.ow).step_by(V::N) {
            let mut sum = V::zero();
            for &tap in &p.taps {
                sum = sum.add(V::load(row.add(tap + from)));
            }
            let count = V::load(p.by_col.as_ptr().add(from)).fma(rows, V::zero());
            store(sum.div(count), y.add(oy * s.ow + from), V::N.min(s.ow - from));
        }
    }
}

#[inline(always)]
unsafe fn average_backward_body<T: Elem, V: Lanes<T = T>>(
    p: &Plan<'_, T>,
    gy: *const T,
    plane: *mut T,
) {
    let s = p.s;
    for oy in 0..s.oh {
        let row = plane.add(oy * s.stride[0] * p.pitch());
        let rows = V::splat(p.by_row[oy]);
        for from in (0..s.ow).step_by(V::N) {
            let (g, n) = (gy.add(oy * s.ow + from), s.ow - from);
            // Behind the row's end zeros are added, which changes nothing.
            let g = if n < V::N { V::load_first(g, n, V::zero()) } else { V::load(g) };
            let count = V::load(p.by_col.as_ptr().add(from)).fma(rows, V::zero());
            let share = g.div(count);
            for &tap in &p.taps {
                let at = row.add(tap + from);
                share.add(V::load(at)).store(at);
            }
        }
    }
}
