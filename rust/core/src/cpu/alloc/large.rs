//! Blocks from 64 KiB on: pages from the system, kept after use in one cache that all threads share.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{LARGE, MAX_BYTES, account, class_of, limits};

/// Eight classes for each power of two.
const STEPS: u32 = 3;
const FIRST: usize = class_of(LARGE, STEPS).0;
const CLASSES: usize = class_of(MAX_BYTES, STEPS).0 - FIRST + 1;

static CACHE: Cache = Cache { locked: AtomicBool::new(false), kept: UnsafeCell::new(Kept::new()) };

/// A block that was kept; its contents are whatever its last user left.
pub(super) fn take(bytes: usize) -> Option<NonNull<u8>> {
    let (class, size) = class(bytes);
    let address = CACHE.with(|kept| kept.take(class, size))?;
    account(size as isize);
    NonNull::new(address as *mut u8)
}

/// A block of zeros from the system, unless it has none.
pub(super) fn fresh(bytes: usize) -> Option<NonNull<u8>> {
    let (_, size) = class(bytes);
    let ptr = os::reserve(size)?;
    account(size as isize);
    Some(ptr)
}

/// Takes a block back that came from `take` or `fresh` with this size.
pub(super) fn give(ptr: NonNull<u8>, bytes: usize) {
    let (class, size) = class(bytes);
    account(-(size as isize));
    let limit = cache_limit();
    if size > limit {
        os::release(ptr, size);
    } else if CACHE.with(|kept| kept.give(class, size, ptr.as_ptr() as usize)) > limit {
        trim(limit);
    }
}

/// Gives kept blocks back, those unused longest first, until at most `keep` bytes are left.
pub(super) fn trim(keep: usize) {
    while let Some((address, size)) = CACHE.with(|kept| kept.oldest_beyond(keep)) {
        if let Some(ptr) = NonNull::new(address as *mut u8) {
            os::release(ptr, size);
        }
    }
}

pub(super) fn cached() -> usize {
    CACHE.with(|kept| kept.bytes)
}

pub(super) fn cache_limit() -> usize {
    (limits::memory() / 4).min(4 << 30)
}

const fn class(bytes: usize) -> (usize, usize) {
    let (class, size) = class_of(bytes, STEPS);
    (class - FIRST, size)
}

struct KeptBlock {
    address: usize,
    size: usize,
    /// When it was given back, counted in blocks given back.
    since: u64,
}

struct Kept {
    /// By class; the one given back last is at the end and is used first, as it may still be in a CPU cache.
    blocks: [VecDeque<KeptBlock>; CLASSES],
    bytes: usize,
    given: u64,
}

impl Kept {
    const fn new() -> Self {
        Self { blocks: [const { VecDeque::new() }; CLASSES], bytes: 0, given: 0 }
    }

    fn take(&mut self, class: usize, size: usize) -> Option<usize> {
        let block = self.blocks[class].pop_back()?;
        self.bytes -= size;
        Some(block.address)
    }

    /// Keeps a block and returns how many bytes are kept now.
    fn give(&mut self, class: usize, size: usize, address: usize) -> usize {
        self.given += 1;
        self.blocks[class].push_back(KeptBlock { address, size, since: self.given });
        self.bytes += size;
        self.bytes
    }

    fn oldest_beyond(&mut self, keep: usize) -> Option<(usize, usize)> {
        if self.bytes <= keep {
            return None;
        }
        let lists = self.blocks.iter_mut().filter(|list| !list.is_empty());
        let block = lists.min_by_key(|list| list[0].since)?.pop_front()?;
        self.bytes -= block.size;
        Some((block.address, block.size))
    }
}

/// A spin lock rather than a `Mutex`, because `fork` must be able to take and release it: in the child of a fork
/// that met it held it would otherwise stay held for ever. What it guards takes some ten nanoseconds.
struct Cache {
    locked: AtomicBool,
    kept: UnsafeCell<Kept>,
}

// SAFETY: `kept` is only touched between `lock` and `unlock`.
unsafe impl Sync for Cache {}

impl Cache {
    fn with<R>(&self, f: impl FnOnce(&mut Kept) -> R) -> R {
        os::lock_around_fork();
        self.lock();
        // SAFETY: we hold the lock, and `f` neither panics nor calls back.
        let result = f(unsafe { &mut *self.kept.get() });
        self.unlock();
        result
    }

    fn lock(&self) {
        let mut tries = 0;
        while self.locked.swap(true, Ordering::Acquire) {
            tries += 1;
            if tries % 64 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
    }
}

#[cfg(unix)]
mod os {
    use super::{AtomicBool, CACHE, NonNull, Ordering};

    /// Huge pages make the first touch of a large block several times cheaper.
    #[cfg(target_os = "linux")]
    const HUGE_FROM: usize = 4 << 20;

    pub(super) fn reserve(size: usize) -> Option<NonNull<u8>> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let ptr = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
        if ptr == libc::MAP_FAILED {
            return None;
        }
        #[cfg(target_os = "linux")]
        if size >= HUGE_FROM {
            // SAFETY: the range is the mapping just made. The advice may be refused: the pages are small then.
            unsafe { libc::madvise(ptr, size, libc::MADV_HUGEPAGE) };
        }
        NonNull::new(ptr.cast())
    }

    pub(super) fn release(ptr: NonNull<u8>, size: usize) {
        // SAFETY: `reserve` made this mapping with this size, and its block is gone.
        unsafe { libc::munmap(ptr.as_ptr().cast(), size) };
    }

    /// From now on `fork` waits for the lock and both sides release it.
    pub(super) fn lock_around_fork() {
        extern "C" fn lock() {
            CACHE.lock();
        }
        extern "C" fn unlock() {
            CACHE.unlock();
        }
        // No `Once`: in the child of a fork that met one half-way it would never end.
        static DONE: AtomicBool = AtomicBool::new(false);
        if !DONE.load(Ordering::Relaxed) && !DONE.swap(true, Ordering::Relaxed) {
            // SAFETY: the handlers are plain functions that live as long as the program.
            unsafe { libc::pthread_atfork(Some(lock), Some(unlock), Some(unlock)) };
        }
    }
}

#[cfg(not(unix))]
mod os {
    use super::NonNull;
    use std::alloc::Layout;

    pub(super) fn reserve(size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout(size)) })
    }

    pub(super) fn release(ptr: NonNull<u8>, size: usize) {
        // SAFETY: `reserve` made it with this layout, and its block is gone.
        unsafe { std::alloc::dealloc(ptr.as_ptr(), layout(size)) };
    }

    fn layout(size: usize) -> Layout {
        // SAFETY: the alignment is a power of two, and sizes are at most isize::MAX less the alignment.
        unsafe { Layout::from_size_align_unchecked(size, super::super::ALIGN) }
    }

    pub(super) fn lock_around_fork() {}
}
