//! Maximum pooling with so few outputs per row that rows would leave vectors empty: several planes at a time, gathered
//! through a table.

use super::window::{by_isa, store};
use super::{Elem, PoolShape};
use crate::cpu::simd::{Isa, isa};
use crate::ops::conv::cpu::lanes::Lanes;

/// Outputs per table, about.
const OUTPUTS: usize = 64;
/// A vector of any instruction set.
const MAX_LANES: usize = 16;

pub(super) struct Plan<'a, T> {
    s: &'a PoolShape,
    planes: usize,
    /// Outputs of a group, up to whole vectors.
    padded: usize,
    /// `[tap][output]`: what it reads, counted from the group's first plane; and the same as numbers.
    at: Vec<u32>,
    numbers: Vec<T>,
    /// Where each output's plane starts.
    plane: Vec<i64>,
}

impl<'a, T: Elem> Plan<'a, T> {
    /// `None` where rows are long enough, or where a window holds nothing but padding.
    pub(super) fn new(s: &'a PoolShape) -> Option<Self> {
        let outputs = s.oh * s.ow;
        if s.ow * 4 > T::lanes() || outputs == 0 || outputs > OUTPUTS || s.h * s.w > 1 << 12 {
            return None;
        }
        let planes = OUTPUTS / outputs;
        let padded = (planes * outputs).next_multiple_of(MAX_LANES);
        let mut at = vec![0; s.kh * s.kw * padded];
        for i in 0..planes * outputs {
            let (plane, o) = (i / outputs, i % outputs);
            let read = |k: usize| {
                let row = o / s.ow * s.stride[0] + k / s.kw * s.dilation[0];
                let col = o % s.ow * s.stride[1] + k % s.kw * s.dilation[1];
                let row = row.checked_sub(s.padding[0]).filter(|&row| row < s.h)?;
                let col = col.checked_sub(s.padding[1]).filter(|&col| col < s.w)?;
                Some(((plane * s.h + row) * s.w + col) as u32)
            };
            // A tap in the padding reads again what the last one read, which changes nothing.
            let mut last = (0..s.kh * s.kw).find_map(read)?;
            for k in 0..s.kh * s.kw {
                last = read(k).unwrap_or(last);
                at[k * padded + i] = last;
            }
        }
        let numbers = at.iter().map(|&i| T::from_i64(i64::from(i))).collect();
        let plane = (0..padded).map(|i| (i / outputs * s.h * s.w) as i64).collect();
        Some(Self { s, planes, padded, at, numbers, plane })
    }

    pub(super) fn groups(&self) -> usize {
        self.s.n_c.div_ceil(self.planes)
    }
}

by_isa! {
    /// y and idx of one group of planes.
    max = max_body(p: &Plan<'_, T>, group: usize, x: *const T, y: *mut T, idx: *mut i64)
}

#[inline(always)]
unsafe fn max_body<T: Elem, V: Lanes<T = T>>(
    p: &Plan<'_, T>,
    group: usize,
    x: *const T,
    y: *mut T,
    idx: *mut i64,
) {
    let s = p.s;
    let first = group * p.planes;
    let n = p.planes.min(s.n_c - first) * s.oh * s.ow;
    let x = x.add(first * s.h * s.w);
    let (y, idx) = (y.add(first * s.oh * s.ow), idx.add(first * s.oh * s.ow));
    for o in (0..n).step_by(V::N) {
        let left = V::N.min(n - o);
        let mut best = V::splat(T::LOWEST);
        // A window full of -inf has the index of its first element.
        let mut taken = V::load(p.numbers.as_ptr().add(o));
        for k in 0..s.kh * s.kw {
            let at = p.at.as_ptr().add(k * p.padded + o);
            let v = if left == V::N {
                V::gather(x, at)
            } else {
                // The last group may lack planes that the table has.
                let mut inside = [0; MAX_LANES];
                std::ptr::copy_nonoverlapping(at, inside.as_mut_ptr(), left);
                V::gather(x, inside.as_ptr())
            };
            best.take_larger(v, &mut taken, V::load(p.numbers.as_ptr().add(k * p.padded + o)));
        }
        store(best, y.add(o), left);
        let mut at = [T::default(); MAX_LANES];
        taken.store(at.as_mut_ptr());
        for i in 0..left {
            *idx.add(o + i) = at[i].to_index() as i64 - p.plane[o + i];
        }
    }
}
