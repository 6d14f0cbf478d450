//! Work memory that a thread keeps between calls, so that kernels neither allocate nor fault pages in.

use std::cell::RefCell;

/// A cache line; vectors that start on one are loaded at full speed.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "only its address is used")] [u8; 64]);

/// What a thread keeps at most per buffer; larger ones are freed at once.
const KEPT_LINES: usize = (8 << 20) / 64;

thread_local! {
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with room for `len` elements of unspecified (but initialized) content. Calls may nest.
pub(crate) fn with<T: Copy, R>(len: usize, f: impl FnOnce(*mut T) -> R) -> R {
    let lines = (len * size_of::<T>()).div_ceil(64);
    let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < lines {
        buffer.resize(lines, Line([0; 64]));
    }
    let result = f(buffer.as_mut_ptr().cast());
    if buffer.len() <= KEPT_LINES {
        KEPT.with_borrow_mut(|kept| kept.push(buffer));
    }
    result
}
