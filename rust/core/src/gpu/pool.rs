//! GPU memory: size classes, slices of shared pages for small blocks, one buffer for each large one.
//!
//! A freed block is handed out again at once: work is recorded in one order, so what used it
//! before runs before what uses it next.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// From this size on a block has a buffer of its own.
const LARGE: u64 = 64 << 10;
const PAGE: u64 = 4 << 20;
/// Slices start at multiples of this; no device asks for more.
const SLICE_ALIGN: u64 = 256;

/// What the pool holds, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStats {
    /// In living buffers, rounded up to their size classes.
    pub allocated_bytes: usize,
    pub peak_allocated_bytes: usize,
    /// Taken from the driver.
    pub reserved_bytes: usize,
    pub peak_reserved_bytes: usize,
    /// Reserved and not in use.
    pub cached_bytes: usize,
    /// Living buffers.
    pub buffers: usize,
    /// Driver allocations made since the device was opened.
    pub driver_allocations: usize,
    pub limit_bytes: Option<usize>,
}

/// A piece of GPU memory: the whole of a buffer, or a slice of a page.
#[derive(Clone)]
pub(super) struct Block {
    pub(super) raw: wgpu::Buffer,
    pub(super) offset: u64,
    /// No other block of this pool has or had the same number.
    pub(super) serial: u64,
    class: u64,
    page: Option<usize>,
}

struct Page {
    raw: wgpu::Buffer,
    used: u64,
    living: usize,
}

pub(super) struct Pool {
    free: BTreeMap<u64, Vec<Block>>,
    /// A page that was given back leaves a hole, so that the numbers in blocks stay right.
    pages: Vec<Option<Page>>,
    next_serial: u64,
    stats: MemoryStats,
}

/// The size class of a request: the next eighth of a power of two.
pub(super) fn class_of(bytes: usize, largest: usize) -> u64 {
    let bytes = (bytes as u64).max(SLICE_ALIGN);
    let step = (1 << bytes.ilog2()) / 8;
    bytes.next_multiple_of(step.max(SLICE_ALIGN)).min(largest as u64)
}

/// What has to be asked of the driver when the pool has no block of `class`.
pub(super) fn driver_bytes(class: u64) -> u64 {
    if class < LARGE { PAGE } else { class }
}

impl Pool {
    pub(super) fn new(limit: Option<usize>) -> Self {
        let stats = MemoryStats { limit_bytes: limit, ..MemoryStats::default() };
        Self { free: BTreeMap::new(), pages: Vec::new(), next_serial: 0, stats }
    }

    /// A cached block, or a new slice of a page that has room.
    pub(super) fn take(&mut self, class: u64) -> Option<Block> {
        let block = self.free.get_mut(&class).and_then(Vec::pop).or_else(|| self.slice(class))?;
        if let Some(page) = block.page.and_then(|p| self.pages[p].as_mut()) {
            page.living += 1;
        }
        let s = &mut self.stats;
        s.buffers += 1;
        s.allocated_bytes += class as usize;
        s.peak_allocated_bytes = s.peak_allocated_bytes.max(s.allocated_bytes);
        Some(block)
    }

    pub(super) fn give(&mut self, block: Block) {
        self.stats.buffers -= 1;
        self.stats.allocated_bytes -= block.class as usize;
        if let Some(page) = block.page.and_then(|p| self.pages[p].as_mut()) {
            page.living -= 1;
        }
        self.free.entry(block.class).or_default().push(block);
    }

    /// Counts `bytes` that are about to be asked of the driver; Err when they exceed the limit.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<()> {
        let s = &mut self.stats;
        let total = s.reserved_bytes.saturating_add(bytes as usize);
        if let Some(limit) = s.limit_bytes
            && total > limit
        {
            let (held, more, limit) = (mib(s.reserved_bytes), mib(bytes as usize), mib(limit));
            return Err(Error::memory(format!(
                "out of GPU memory: {held:.1} MiB are held, {more:.1} MiB more exceed the limit of \
                 {limit:.1} MiB"
            )));
        }
        s.reserved_bytes = total;
        Ok(())
    }

    /// Takes back a `reserve` that the driver refused.
    pub(super) fn unreserve(&mut self, bytes: u64) {
        self.stats.reserved_bytes -= bytes as usize;
    }

    /// Adds a buffer of `driver_bytes(class)` bytes, already reserved.
    pub(super) fn add(&mut self, raw: wgpu::Buffer, class: u64) {
        let s = &mut self.stats;
        s.peak_reserved_bytes = s.peak_reserved_bytes.max(s.reserved_bytes);
        s.driver_allocations += 1;
        if class < LARGE {
            let page = Some(Page { raw, used: 0, living: 0 });
            match self.pages.iter().position(Option::is_none) {
                Some(hole) => self.pages[hole] = page,
                None => self.pages.push(page),
            }
        } else {
            let serial = self.serial();
            let block = Block { raw, offset: 0, serial, class, page: None };
            self.free.entry(class).or_default().push(block);
        }
    }

    /// Gives up every cached block, and every page without a living slice.
    pub(super) fn trim(&mut self) {
        let mut freed = 0;
        for page in &mut self.pages {
            if page.as_ref().is_some_and(|p| p.living == 0) {
                *page = None;
                freed += PAGE;
            }
        }
        let pages = &self.pages;
        for (class, blocks) in &mut self.free {
            let before = blocks.len();
            blocks.retain(|b| b.page.is_some_and(|p| pages[p].is_some()));
            if *class >= LARGE {
                freed += class * (before - blocks.len()) as u64;
            }
        }
        self.free.retain(|_, blocks| !blocks.is_empty());
        self.stats.reserved_bytes -= freed as usize;
    }

    pub(super) fn stats(&self) -> MemoryStats {
        let s = self.stats;
        MemoryStats { cached_bytes: s.reserved_bytes - s.allocated_bytes, ..s }
    }

    pub(super) fn reset_peak(&mut self) {
        self.stats.peak_allocated_bytes = self.stats.allocated_bytes;
        self.stats.peak_reserved_bytes = self.stats.reserved_bytes;
    }

    pub(super) fn set_limit(&mut self, limit: Option<usize>) {
        self.stats.limit_bytes = limit;
    }

    fn slice(&mut self, class: u64) -> Option<Block> {
        if class >= LARGE {
            return None;
        }
        let roomy = |p: &Page| p.used + class <= PAGE;
        let index = self.pages.iter().rposition(|p| p.as_ref().is_some_and(roomy))?;
        let serial = self.serial();
        let page = self.pages[index].as_mut()?;
        let offset = page.used;
        page.used += class;
        Some(Block { raw: page.raw.clone(), offset, serial, class, page: Some(index) })
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }
}

pub(super) fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// Three quarters of this machine's memory, the default limit of a software device: its driver
/// would promise more and the process would be killed.
pub(super) fn software_limit() -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let physical = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
    });
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = group.iter().filter_map(|p| read(p)?.trim().parse::<usize>().ok());
    limits.chain(physical).min().map(|bytes| bytes / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_an_eighth() {
        assert_eq!(class_of(0, usize::MAX), 256);
        assert_eq!(class_of(257, usize::MAX), 512);
        assert_eq!(class_of(1 << 20, usize::MAX), 1 << 20);
        assert_eq!(class_of((1 << 20) + 1, usize::MAX), (1 << 20) + (1 << 17));
        assert_eq!(class_of(1000, 1000), 1000);
        for bytes in (2048..3_000_000).step_by(97) {
            let class = class_of(bytes, usize::MAX);
            assert!(class >= bytes as u64 && class.is_multiple_of(256));
            assert!(class as f64 <= bytes as f64 * 1.125 + 256.0);
        }
    }
}
