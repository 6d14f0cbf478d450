//! Copies of one dtype whose source and destination run along the same dimension: slices, joined tensors.

use crate::cpu::map::GRAIN;
use crate::cpu::threads;
use crate::layout::offset_of;

/// Shorter runs are left to the tiles, which gather several of them.
const SHORT: usize = 128;

/// Copies `shape` elements run by run, if both operands have long ones. Says whether it did.
///
/// # Safety
/// Both operands must be valid for the shape and must not overlap in part.
pub unsafe fn copy(
    shape: &[usize],
    src: *const u8,
    src_strides: &[usize],
    dst: *mut u8,
    dst_strides: &[usize],
    size: usize,
) -> bool {
    let Some(last) = shape.len().checked_sub(1) else { return false };
    let run = shape[last];
    if src_strides[last] != 1 || dst_strides[last] != 1 || run * size < SHORT {
        return false;
    }
    let (src, dst) = (src as usize, dst as usize);
    let outer = &shape[..last];
    threads::for_range(shape.iter().product(), 16 * GRAIN, &|range| {
        let mut at = range.start;
        while at < range.end {
            let (row, column) = (at / run, at % run);
            let len = (run - column).min(range.end - at);
            let from = offset_of(row, outer, src_strides) + column;
            let to = offset_of(row, outer, dst_strides) + column;
            // SAFETY: the run lies inside of both; `copy` allows them to be the same memory.
            unsafe {
                let from = (src as *const u8).add(from * size);
                std::ptr::copy(from, (dst as *mut u8).add(to * size), len * size);
            }
            at += len;
        }
    });
    true
}
