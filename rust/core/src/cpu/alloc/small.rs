//! Blocks below 64 KiB: free lists of each thread, so that a pair of alloc and free costs no lock.

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;

use super::{ALIGN, LARGE, account, class_of};

/// Four classes for each power of two.
const STEPS: u32 = 2;
const FIRST: usize = class_of(ALIGN, STEPS).0;
const CLASSES: usize = class_of(LARGE - 1, STEPS).0 - FIRST + 1;
/// What a thread keeps of one class at most, in bytes.
const KEPT: usize = 128 << 10;
/// A thread tells the shared counters when it is this far from what it told last.
const REPORT: usize = 64 << 10;

thread_local! {
    static LOCAL: Local = const { Local::new() };
}

/// One thread's free blocks: each class is a list linked through the blocks' first words.
struct Local {
    heads: [Cell<*mut u8>; CLASSES],
    counts: [Cell<usize>; CLASSES],
    /// What this thread has allocated less what it has freed since its last report.
    pending: Cell<isize>,
}

/// A free block that this thread kept.
#[inline]
pub(super) fn take(bytes: usize) -> Option<NonNull<u8>> {
    let (class, size) = class(bytes);
    let local = |local: &Local| {
        let ptr = local.take(class)?;
        local.account(size as isize);
        Some(ptr)
    };
    LOCAL.try_with(local).ok().flatten()
}

/// A block from the system, unless it has none.
pub(super) fn fresh(bytes: usize) -> Option<NonNull<u8>> {
    let (_, size) = class(bytes);
    // SAFETY: the size is not zero.
    let ptr = NonNull::new(unsafe { std::alloc::alloc(layout(size)) })?;
    if LOCAL.try_with(|local| local.account(size as isize)).is_err() {
        account(size as isize);
    }
    Some(ptr)
}

/// Takes a block back that came from `take` or `fresh` with this size.
#[inline]
pub(super) fn give(ptr: NonNull<u8>, bytes: usize) {
    let (class, size) = class(bytes);
    let kept = LOCAL.try_with(|local| {
        local.account(-(size as isize));
        local.give(class, size, ptr)
    });
    match kept {
        Ok(true) => {}
        Ok(false) => release(ptr, size),
        // A thread that is ending has no lists any more.
        Err(_) => {
            account(-(size as isize));
            release(ptr, size);
        }
    }
}

/// Reports what this thread has allocated and freed.
pub(super) fn flush() {
    // A thread that is ending has reported already.
    let _ = LOCAL.try_with(|local| account(local.pending.take()));
}

/// Gives this thread's free blocks back to the system.
pub(super) fn empty() {
    let _ = LOCAL.try_with(Local::empty);
}

#[inline]
const fn class(bytes: usize) -> (usize, usize) {
    let (class, size) = class_of(if bytes < ALIGN { ALIGN } else { bytes }, STEPS);
    (class - FIRST, size)
}

const fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the sizes of classes are at most `LARGE`.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}

#[cold]
fn release(ptr: NonNull<u8>, size: usize) {
    // SAFETY: `fresh` made it with this layout, and it is in no list.
    unsafe { std::alloc::dealloc(ptr.as_ptr(), layout(size)) };
}

impl Local {
    const fn new() -> Self {
        Self {
            heads: [const { Cell::new(std::ptr::null_mut()) }; CLASSES],
            counts: [const { Cell::new(0) }; CLASSES],
            pending: Cell::new(0),
        }
    }

    #[inline]
    fn take(&self, class: usize) -> Option<NonNull<u8>> {
        let ptr = NonNull::new(self.heads[class].get())?;
        // SAFETY: a block in a list holds the next one's address in its first word.
        self.heads[class].set(unsafe { ptr.cast::<*mut u8>().read() });
        self.counts[class].set(self.counts[class].get() - 1);
        Some(ptr)
    }

    /// Whether the list had room for it.
    #[inline]
    fn give(&self, class: usize, size: usize, ptr: NonNull<u8>) -> bool {
        let count = self.counts[class].get() + 1;
        if count * size > KEPT {
            return false;
        }
        // SAFETY: the block is free, aligned, and larger than a pointer.
        unsafe { ptr.cast::<*mut u8>().write(self.heads[class].get()) };
        self.heads[class].set(ptr.as_ptr());
        self.counts[class].set(count);
        true
    }

    #[inline]
    fn account(&self, delta: isize) {
        let pending = self.pending.get() + delta;
        self.pending.set(pending);
        if pending.unsigned_abs() > REPORT {
            account(self.pending.take());
        }
    }

    fn empty(&self) {
        let mut bytes = ALIGN;
        while bytes < LARGE {
            let (class, size) = class(bytes);
            while let Some(ptr) = self.take(class) {
                release(ptr, size);
            }
            bytes = size + 1;
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.empty();
        account(self.pending.take());
    }
}
