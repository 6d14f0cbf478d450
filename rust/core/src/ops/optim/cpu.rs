//! A step on the CPU: all tensors as one range of elements, shared out in pieces of a fixed size.

use super::GRAD;
use super::rules::{Real, Rule, SLOTS};
use crate::cpu::simd::{Isa, isa};
use crate::cpu::{map, threads};
use crate::tensor::Tensor;

/// The slots of one parameter: contiguous, of type T, and kept alive by the caller.
pub(super) struct Item<T> {
    slots: [*mut T; SLOTS],
    n: usize,
    k: [T; 8],
}

// SAFETY: a step's pieces are disjoint, and the caller keeps the memory alive.
unsafe impl<T> Sync for Item<T> {}

impl<T> Item<T> {
    pub(super) fn new(tensors: &[Tensor], k: [T; 8]) -> Self {
        let mut slots = [std::ptr::null_mut(); SLOTS];
        for (slot, t) in slots.iter_mut().zip(tensors) {
            *slot = t.ptr();
        }
        Self { slots, n: tensors[0].numel(), k }
    }
}

pub(super) fn run<T: Real, R: Rule>(items: &[Item<T>]) {
    let piece = variant::<T, R>();
    let mut ends = Vec::with_capacity(items.len());
    let mut total = 0;
    for item in items {
        total += item.n;
        ends.push(total);
    }
    threads::for_range(total, 2 * map::GRAIN, &|range| {
        let mut at = range.start;
        let mut i = ends.partition_point(|&end| end <= at);
        while at < range.end {
            let item = &items[i];
            let end = ends[i].min(range.end);
            // SAFETY: `at..end` lies in the item, and no other piece has these elements.
            unsafe { piece(item, at + item.n - ends[i], end - at) };
            at = end;
            i += 1;
        }
    });
}

/// Steps `n` elements from `start`.
type Piece<T> = unsafe fn(&Item<T>, usize, usize);

/// The loop compiled for this machine's vectors; the results do not depend on it.
fn variant<T: Real, R: Rule>() -> Piece<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        unsafe fn avx2<T: Real, R: Rule>(item: &Item<T>, start: usize, n: usize) {
            // SAFETY: passed on.
            unsafe { piece::<T, R>(item, start, n) }
        }
        if matches!(isa(), Isa::Avx2 | Isa::Avx512) {
            return avx2::<T, R>;
        }
    }
    piece::<T, R>
}

/// Elements loaded together: their loop has no branches and no aliases.
const LANES: usize = 32;

#[inline(always)]
unsafe fn piece<T: Real, R: Rule>(item: &Item<T>, start: usize, n: usize) {
    let mut done = 0;
    while done + LANES <= n {
        // SAFETY: the caller has n elements from `start`; so below.
        unsafe { block::<T, R>(item, start + done, LANES) };
        done += LANES;
    }
    if done < n {
        unsafe { block::<T, R>(item, start + done, n - done) };
    }
}

#[inline(always)]
unsafe fn block<T: Real, R: Rule>(item: &Item<T>, at: usize, n: usize) {
    let mut e = [[T::default(); LANES]; SLOTS];
    for slot in 0..R::USED {
        // SAFETY: the slot has at + n elements; n <= LANES.
        unsafe { item.slots[slot].add(at).copy_to_nonoverlapping(e[slot].as_mut_ptr(), n) };
    }
    for lane in 0..LANES {
        let mut element = [T::default(); SLOTS];
        for slot in 0..R::USED {
            element[slot] = e[slot][lane];
        }
        R::apply(&item.k, &mut element);
        for slot in 0..R::USED {
            e[slot][lane] = element[slot];
        }
    }
    for slot in 0..R::USED {
        if slot != GRAD {
            // SAFETY: as above.
            unsafe { item.slots[slot].add(at).copy_from_nonoverlapping(e[slot].as_ptr(), n) };
        }
    }
}
