//! The memory every CPU tensor lives in: freed blocks are kept by size and handed out again.
//!
//! Below 64 KiB each thread keeps its own free lists, which cost no lock. Larger blocks come from the system page by
//! page and are kept in one bounded cache, so that a result as large as the last one causes no page faults.
//! Sizes are rounded up to a quarter (small) or an eighth (large) of a power of two.

mod large;
mod small;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

use super::{limits, threads};
use crate::error::{Error, Result};

/// Blocks start at a multiple of this: a cache line, and the widest vector.
pub const ALIGN: usize = 64;
/// From this size on a block comes from the shared cache.
const LARGE: usize = 64 << 10;
/// Rounded up to its class, this still is a valid size.
const MAX_BYTES: usize = (isize::MAX as usize) / 2;

/// Signed: a thread may report that it freed a block before another has reported that it allocated it.
static ALLOCATED: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);
static POISON: AtomicBool = AtomicBool::new(false);

/// Memory owned by one storage, aligned to `ALIGN` and given back on drop.
#[derive(Debug)]
pub struct Block {
    ptr: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is plain memory with one owner; who writes to it when is its user's concern.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    pub fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// The size asked for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What `memory_stats` tells, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// In living blocks, as rounded up. What other threads did with small blocks arrives in steps of 64 KiB.
    pub allocated_bytes: usize,
    /// The most that was ever in living blocks since the start or `reset_peak`.
    pub peak_bytes: usize,
    /// Kept for reuse in the shared cache (each thread's small lists are not counted; they hold 128 KiB per class at most).
    pub cached_bytes: usize,
    pub cache_limit_bytes: usize,
    /// More than this is refused: physical memory or the cgroup's limit.
    pub limit_bytes: usize,
}

/// A block of `bytes` bytes with unspecified contents.
#[inline]
pub fn alloc(bytes: usize) -> Result<Block> {
    let block = if bytes < LARGE { small_block(bytes)? } else { large_block(bytes)?.0 };
    if POISON.load(Ordering::Relaxed) {
        // SAFETY: the block is ours and has `bytes` bytes.
        unsafe { block.ptr().write_bytes(0xFF, bytes) };
    }
    Ok(block)
}

/// A block of `bytes` zeros. A large one fresh from the system is zero already and is not touched.
pub fn alloc_zeroed(bytes: usize) -> Result<Block> {
    if bytes < LARGE {
        let block = small_block(bytes)?;
        // SAFETY: the block is ours and has `bytes` bytes.
        unsafe { block.ptr().write_bytes(0, bytes) };
        return Ok(block);
    }
    let (block, zeroed) = large_block(bytes)?;
    if !zeroed {
        threads::for_range(bytes, 1 << 20, &|part| {
            // SAFETY: the parts do not overlap and lie within the block.
            unsafe { block.ptr().add(part.start).write_bytes(0, part.len()) };
        });
    }
    Ok(block)
}

pub fn memory_stats() -> MemoryStats {
    small::flush();
    MemoryStats {
        allocated_bytes: allocated(),
        peak_bytes: PEAK.load(Ordering::Relaxed).max(0) as usize,
        cached_bytes: large::cached(),
        cache_limit_bytes: large::cache_limit(),
        limit_bytes: limits::memory(),
    }
}

/// Lets the peak start again from what is allocated now.
pub fn reset_peak() {
    small::flush();
    PEAK.store(ALLOCATED.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Gives the shared cache and the calling thread's small blocks back to the system.
pub fn empty_cache() {
    small::empty();
    large::trim(0);
}

/// For tests: fill new blocks with 0xFF (a NaN in every float type), so that reading what nobody wrote shows.
pub fn set_poison(on: bool) {
    POISON.store(on, Ordering::Relaxed);
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.bytes >= LARGE {
            large::give(self.ptr, self.bytes);
        } else if self.bytes > 0 {
            small::give(self.ptr, self.bytes);
        }
    }
}

#[inline]
fn small_block(bytes: usize) -> Result<Block> {
    if bytes == 0 {
        return Ok(Block { ptr: NonNull::<Line>::dangling().cast(), bytes });
    }
    if let Some(ptr) = small::take(bytes) {
        return Ok(Block { ptr, bytes });
    }
    fresh_small_block(bytes)
}

/// Something as aligned as a block, for the address of empty ones.
#[repr(align(64))]
struct Line;

#[cold]
fn fresh_small_block(bytes: usize) -> Result<Block> {
    check(bytes)?;
    let ptr = small::fresh(bytes).or_else(|| {
        empty_cache();
        small::fresh(bytes)
    });
    ptr.map(|ptr| Block { ptr, bytes }).ok_or_else(|| exhausted(bytes))
}

/// A large block, and whether it is known to be zero.
fn large_block(bytes: usize) -> Result<(Block, bool)> {
    check(bytes)?;
    if let Some(ptr) = large::take(bytes) {
        return Ok((Block { ptr, bytes }, false));
    }
    // What is kept must not take the process over its limit either.
    large::trim(limits::memory().saturating_sub(allocated()).saturating_sub(bytes));
    let ptr = large::fresh(bytes).or_else(|| {
        empty_cache();
        large::fresh(bytes)
    });
    ptr.map(|ptr| (Block { ptr, bytes }, true)).ok_or_else(|| exhausted(bytes))
}

fn allocated() -> usize {
    ALLOCATED.load(Ordering::Relaxed).max(0) as usize
}

fn account(delta: isize) {
    let now = ALLOCATED.fetch_add(delta, Ordering::Relaxed) + delta;
    if delta > 0 {
        PEAK.fetch_max(now, Ordering::Relaxed);
    }
}

/// Refuses what would take this process over its limit: asked for memory that does not come from here, too.
pub fn check(bytes: usize) -> Result<()> {
    let fits = allocated().checked_add(bytes).is_some_and(|total| total <= limits::memory());
    if fits && bytes <= MAX_BYTES { Ok(()) } else { Err(refusal(bytes)) }
}

#[cold]
fn refusal(bytes: usize) -> Error {
    let (used, limit) = (gib(allocated()), gib(limits::memory()));
    shortage(bytes, &format!("{used} are in use and this process may use {limit}"))
}

#[cold]
fn exhausted(bytes: usize) -> Error {
    shortage(bytes, &format!("the system has no more, with {} in use here", gib(allocated())))
}

fn shortage(bytes: usize, why: &str) -> Error {
    Error::memory(format!("cannot allocate {}: {why}", gib(bytes)))
        .hint("use a smaller batch or a smaller dtype, or free tensors that are no longer needed")
}

fn gib(bytes: usize) -> String {
    format!("{:.3} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// Index and size of the class of `bytes`, with `1 << steps` classes for each power of two.
#[inline]
const fn class_of(bytes: usize, steps: u32) -> (usize, usize) {
    let last = bytes - 1;
    let shift = last.ilog2() - steps;
    let step = last >> shift;
    (((shift as usize) << steps) + step, (step + 1) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::sync::Mutex;

    /// The cache, the poison switch and the counters are global, so tests that look at them take turns.
    static TURN: Mutex<()> = Mutex::new(());

    fn bytes_of(block: &Block) -> &[u8] {
        // SAFETY: the tests read blocks they have filled.
        unsafe { std::slice::from_raw_parts(block.ptr(), block.bytes()) }
    }

    #[test]
    fn classes_cover_their_sizes_and_waste_little() {
        for (steps, from, to) in [(2, ALIGN, LARGE), (3, LARGE, 1 << 24)] {
            let mut last = class_of(from, steps);
            for bytes in from..to {
                let (class, size) = class_of(bytes, steps);
                assert!(size >= bytes && size <= bytes + (bytes >> steps));
                assert!((class, size) == last || (class == last.0 + 1 && size > last.1));
                last = (class, size);
            }
        }
    }

    #[test]
    fn blocks_are_aligned_distinct_and_writable() {
        let _turn = TURN.lock().unwrap();
        let sizes = [1, 63, 64, 65, 100, 4096, LARGE - 1, LARGE, LARGE + 1, 3 << 20, (5 << 20) + 7];
        for round in 0..3u8 {
            let blocks: Vec<Block> = sizes.iter().map(|&n| alloc(n).unwrap()).collect();
            for (i, block) in blocks.iter().enumerate() {
                assert_eq!(block.ptr() as usize % ALIGN, 0);
                // SAFETY: the block is ours.
                unsafe { block.ptr().write_bytes(i as u8 ^ round, block.bytes()) };
            }
            for (i, block) in blocks.iter().enumerate() {
                assert!(bytes_of(block).iter().all(|&b| b == i as u8 ^ round));
            }
        }
        let empty = alloc(0).unwrap();
        assert_eq!((empty.bytes(), empty.ptr() as usize % ALIGN), (0, 0));
    }

    #[test]
    fn zeroed_and_poisoned_blocks_are() {
        let _turn = TURN.lock().unwrap();
        set_poison(true);
        for bytes in [1, 100, LARGE - 1, LARGE, 9 << 20] {
            for _ in 0..2 {
                assert!(bytes_of(&alloc(bytes).unwrap()).iter().all(|&b| b == 0xFF));
                assert!(bytes_of(&alloc_zeroed(bytes).unwrap()).iter().all(|&b| b == 0));
            }
        }
        set_poison(false);
    }

    #[test]
    fn large_blocks_come_back_and_are_counted() {
        let _turn = TURN.lock().unwrap();
        empty_cache();
        reset_peak();
        let before = memory_stats();
        assert_eq!(before.cached_bytes, 0);
        let first = alloc(40 << 20).unwrap();
        let address = first.ptr();
        drop(first);
        let after = memory_stats();
        assert_eq!(after.cached_bytes, 40 << 20);
        assert!(after.peak_bytes >= before.allocated_bytes + (40 << 20));
        let again = alloc((40 << 20) - 100).unwrap();
        assert_eq!(again.ptr(), address);
        assert!(memory_stats().allocated_bytes >= before.allocated_bytes + (40 << 20));
        drop(again);
        empty_cache();
        assert_eq!(memory_stats().cached_bytes, 0);
        reset_peak();
        assert!(memory_stats().peak_bytes < before.allocated_bytes + (40 << 20));
    }

    #[test]
    fn the_cache_is_bounded() {
        let _turn = TURN.lock().unwrap();
        let limit = memory_stats().cache_limit_bytes;
        // Untouched pages cost nothing, so blocks as large as this can be made anywhere.
        let blocks: Vec<Block> = (0..5).map(|_| alloc(limit / 3).unwrap()).collect();
        drop(blocks);
        let kept = memory_stats().cached_bytes;
        assert!(kept > 0 && kept <= limit);
        empty_cache();
    }

    #[test]
    fn refuses_what_cannot_be_had() {
        let _turn = TURN.lock().unwrap();
        for bytes in [limits::memory() + 1, isize::MAX as usize, usize::MAX] {
            for error in [alloc(bytes).unwrap_err(), alloc_zeroed(bytes).unwrap_err()] {
                assert_eq!(error.kind, Kind::Memory);
                assert!(error.msg.contains("GiB") && error.msg.contains("may use"));
            }
        }
        let half = alloc(limits::memory() / 2).unwrap();
        assert_eq!(alloc(limits::memory() / 4 * 3).unwrap_err().kind, Kind::Memory);
        drop(half);
        empty_cache();
    }

    #[test]
    fn blocks_may_be_freed_by_another_thread() {
        let _turn = TURN.lock().unwrap();
        let before = memory_stats().allocated_bytes;
        for _ in 0..20 {
            let blocks: Vec<Block> = (1..400).map(|i| alloc(i * 300).unwrap()).collect();
            std::thread::spawn(move || drop(blocks)).join().unwrap();
        }
        // Threads of other tests may not have reported yet.
        let now = memory_stats().allocated_bytes;
        assert!(now.abs_diff(before) <= 64 * LARGE, "{before} then {now}");
    }

    #[cfg(unix)]
    #[test]
    fn a_forked_child_can_allocate() {
        let _turn = TURN.lock().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Keeps the lock busy, so that forks meet it held.
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(alloc(1 << 20));
                }
            });
            for _ in 0..50 {
                // SAFETY: the child only allocates and leaves by _exit.
                match unsafe { libc::fork() } {
                    0 => {
                        let ok = alloc(1 << 20).is_ok() && alloc(100).is_ok();
                        // SAFETY: ends the child without running the test harness's exit code.
                        unsafe { libc::_exit(i32::from(!ok)) };
                    }
                    child => {
                        let mut status = -1;
                        // SAFETY: waits for the child made above.
                        unsafe { libc::waitpid(child, &raw mut status, 0) };
                        assert_eq!(status, 0);
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
