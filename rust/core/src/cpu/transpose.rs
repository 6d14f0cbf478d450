//! Copies whose source runs along another dimension than their destination, in blocks that stay in cache.

use crate::cpu::map::GRAIN;
use crate::cpu::threads;
use crate::layout::Dims;

/// Elements of a block's side: 32 rows of 32 eight-byte elements fill a quarter of the first cache level.
const SIDE: usize = 32;

/// Copies `shape` elements to contiguous memory from strided memory of the same element size, if some
/// outer dimension of the source has stride 1 and the last has not. Says whether it did.
///
/// # Safety
/// Both operands must be valid for the shape and must not overlap.
pub unsafe fn copy(
    shape: &[usize],
    src: *const u8,
    strides: &[usize],
    dst: *mut u8,
    size: usize,
) -> bool {
    let Some(last) = shape.len().checked_sub(1) else { return false };
    let Some(run) = strides.iter().take(last).position(|&s| s == 1) else { return false };
    if strides[last] == 1 || shape[run] < 8 || shape[last] < 8 {
        return false;
    }
    // SAFETY: passed on from the caller.
    unsafe {
        match size {
            1 => blocks::<u8>(shape, run, src.cast(), strides, dst.cast()),
            2 => blocks::<u16>(shape, run, src.cast(), strides, dst.cast()),
            4 => blocks::<u32>(shape, run, src.cast(), strides, dst.cast()),
            _ => blocks::<u64>(shape, run, src.cast(), strides, dst.cast()),
        }
    }
    true
}

unsafe fn blocks<T: Copy>(
    shape: &[usize],
    run: usize,
    src: *const T,
    strides: &[usize],
    dst: *mut T,
) {
    let last = shape.len() - 1;
    let out_strides = crate::layout::contiguous_strides(shape);
    let (rows, cols) = (shape[run], shape[last]);
    let bands = rows.div_ceil(SIDE);
    let outer: Dims = (0..last).filter(|&d| d != run).collect();
    let planes: usize = outer.iter().map(|&d| shape[d]).product();
    let (from, to) = (src as usize, dst as usize);
    let (step_in, step_out) = (strides[last], out_strides[run]);
    let grain = (GRAIN / (SIDE * cols)).max(1);
    threads::for_range(planes * bands, grain, &|range| {
        for task in range {
            let (mut plane, band) = (task / bands, task % bands);
            let (mut a, mut b) = (0, 0);
            for &d in outer.iter().rev() {
                a += plane % shape[d] * strides[d];
                b += plane % shape[d] * out_strides[d];
                plane /= shape[d];
            }
            let first = band * SIDE;
            let height = SIDE.min(rows - first);
            for left in (0..cols).step_by(SIDE) {
                let width = SIDE.min(cols - left);
                // SAFETY: the block lies inside of the shape.
                unsafe {
                    let s = (from as *const T).add(a + first + left * step_in);
                    let d = (to as *mut T).add(b + first * step_out + left);
                    for r in 0..height {
                        for c in 0..width {
                            *d.add(r * step_out + c) = *s.add(r + c * step_in);
                        }
                    }
                }
            }
        }
    });
}
