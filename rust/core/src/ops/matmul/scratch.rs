//! Packing buffers, kept per thread so that a product in a loop allocates nothing.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;

thread_local! {
    static SPARE: Cell<Option<Scratch>> = const { Cell::new(None) };
}

/// Uninitialized memory on a cache line's (and vector's) boundary. Taken from the thread while in
/// use, so that a product that the thread runs while waiting for another one finds none and makes
/// its own.
pub(super) struct Scratch {
    ptr: NonNull<u8>,
    layout: Layout,
}

impl Scratch {
    const ALIGN: usize = 128;

    /// Room for `len` elements of `T`; give it back with `keep`.
    pub(super) fn take<T>(len: usize) -> Self {
        let bytes = (len * size_of::<T>()).next_multiple_of(4096).max(4096);
        if let Some(spare) = SPARE.take().filter(|spare| spare.layout.size() >= bytes) {
            return spare;
        }
        let layout = Layout::from_size_align(bytes, Self::ALIGN)
            .expect("a scratch buffer is a few megabytes");
        // SAFETY: the size is not zero.
        let ptr = unsafe { alloc(layout) };
        let ptr = NonNull::new(ptr).unwrap_or_else(|| handle_alloc_error(layout));
        Self { ptr, layout }
    }

    pub(super) fn ptr<T>(&self) -> *mut T {
        self.ptr.as_ptr().cast()
    }

    pub(super) fn keep(self) {
        SPARE.set(Some(self));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and not freed since.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}
