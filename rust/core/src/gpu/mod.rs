//! The GPU machinery: one recorded stream of work per device. It knows no op by name.
//!
//! Calls record and return; work runs in the order of the calls, in batches. Reading waits.

mod adapter;
mod device;
mod disk;
mod groups;
pub mod map;
mod pipeline;
mod pool;
pub mod prelude;
pub mod reduce;
mod staging;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
pub use adapter::AdapterReport;
pub use device::{DeviceInfo, set_interrupt_hook};
pub use pipeline::Kernel;
pub use pool::MemoryStats;

use device::Device;
use groups::Groups;
use pipeline::{PARAM_WORDS, Pipelines};
use pool::{Block, Pool};
use stream::Stream;

/// An opened device with its stream, its memory pool and its compiled kernels.
pub struct Gpu {
    stream: Stream,
    pipelines: Pipelines,
    groups: Groups,
    pool: Mutex<Pool>,
    poison: AtomicBool,
    device: Device,
}

/// GPU memory of a tensor. Dropping it gives the memory back to the pool; its content is
/// whatever was there before until it is written.
pub struct Buffer {
    block: Block,
    bytes: usize,
    gpu: Arc<Gpu>,
}

static CURRENT: Mutex<Option<Arc<Gpu>>> = Mutex::new(None);
/// The process that opened the GPU, 0 before. Checked before `CURRENT`, which another thread may
/// have held during a fork.
static OWNER: AtomicU32 = AtomicU32::new(0);

impl Gpu {
    /// Whether this process has a device open: asking opens none.
    pub fn is_open() -> bool {
        OWNER.load(Ordering::Acquire) == std::process::id()
            && CURRENT.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The process's GPU, opened at first use and again after a loss. `RUBIGO_GPU` chooses it.
    pub fn get() -> Result<Arc<Gpu>> {
        let pid = std::process::id();
        if ![0, pid].contains(&OWNER.load(Ordering::Acquire)) {
            return Err(device::fork_error());
        }
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = &*current
            && !gpu.device.is_lost()
        {
            return Ok(Arc::clone(gpu));
        }
        OWNER.store(pid, Ordering::Release);
        let gpu = Arc::new(Self::open()?);
        *current = Some(Arc::clone(&gpu));
        Ok(gpu)
    }

    /// Every adapter that the drivers show, with the decision about it.
    pub fn adapters() -> Vec<AdapterReport> {
        adapter::adapters()
    }

    fn open() -> Result<Self> {
        let device = Device::open()?;
        let pipelines = Pipelines::new(&device)?;
        let stream = Stream::new(&device, &pipelines.params)?;
        let limit = if device.info.is_software() { pool::software_limit() } else { None };
        let pool = Mutex::new(Pool::new(limit));
        let groups = Groups::default();
        Ok(Self { stream, pipelines, groups, pool, poison: AtomicBool::new(false), device })
    }

    pub fn info(&self) -> &DeviceInfo {
        &self.device.info
    }

    /// Memory for `bytes` bytes, rounded up to whole words; what it holds is not defined.
    pub fn alloc(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        self.device.check()?;
        let info = self.info();
        if bytes > info.max_buffer_bytes {
            return Err(transfer::too_large(bytes, info.max_buffer_bytes, &info.name));
        }
        let class = pool::class_of(bytes, info.max_buffer_bytes);
        let block = loop {
            if let Some(block) = self.pool().take(class) {
                break block;
            }
            self.grow(class)?;
        };
        let buffer = Buffer { block, bytes, gpu: Arc::clone(self) };
        if self.poison.load(Ordering::Relaxed) {
            self.fill(&buffer, u32::MAX)?;
        }
        Ok(buffer)
    }

    /// Records one dispatch of `groups` workgroups. Buffer i is binding i of group 0; `params`
    /// are what `param(i)` returns in the kernel, at most 128 words.
    pub fn dispatch(
        &self,
        kernel: &Kernel<'_>,
        buffers: &[&Buffer],
        params: &[u32],
        groups: [u32; 3],
    ) -> Result<()> {
        self.device.check()?;
        let (key, info) = (kernel.key, self.info());
        if params.len() > PARAM_WORDS || buffers.len() > info.max_buffers as usize {
            let (p, b, most) = (params.len(), buffers.len(), info.max_buffers);
            return Err(Error::runtime(format!(
                "GPU kernel '{key}' got {p} parameters and {b} buffers; at most {PARAM_WORDS} and \
                 {most} are possible"
            )));
        }
        let most = info.max_workgroups;
        if groups.iter().any(|&n| n > most) {
            return Err(Error::runtime(format!(
                "GPU kernel '{key}' got {groups:?} workgroups; at most {most} per dimension"
            )));
        }
        for buffer in buffers {
            self.owns(buffer)?;
        }
        if groups.contains(&0) {
            return Ok(());
        }
        let compiled = self.pipelines.get(&self.device, kernel, buffers.len())?;
        let group = self.groups.get(&self.device, &compiled.layout.group, buffers);
        self.stream.dispatch(&self.device, &compiled.pipeline, &group, params, groups)
    }

    /// Starts what is recorded, without waiting.
    pub fn flush(&self) -> Result<()> {
        self.device.check()?;
        self.stream.flush(&self.device)
    }

    /// Starts what is recorded and waits until all work is done.
    pub fn synchronize(&self) -> Result<()> {
        self.device.check()?;
        self.stream.synchronize(&self.device)?;
        self.pipelines.save_if_due();
        Ok(())
    }

    /// `n` workgroups as a grid under the device's limit per dimension. The grid may hold a few
    /// more than `n`; kernels find their number with `linear_group` and compare it.
    pub fn fold_groups(&self, n: u64) -> [u32; 3] {
        fold(n, u64::from(self.info().max_workgroups))
    }

    pub fn memory_stats(&self) -> MemoryStats {
        self.pool().stats()
    }

    /// Sets the peaks to what is held now.
    pub fn reset_peak(&self) {
        self.pool().reset_peak();
    }

    /// Gives cached memory back to the driver, as far as no unfinished work uses it.
    pub fn empty_cache(&self) {
        if self.device.forked() {
            return;
        }
        self.trim();
        self.device.poll();
    }

    /// The most memory that may be held; None leaves it to the driver.
    pub fn set_memory_limit(&self, bytes: Option<usize>) {
        self.pool().set_limit(bytes);
    }

    /// For tests: new buffers are filled with NaN, so that reads before writes show.
    pub fn set_poison(&self, on: bool) {
        self.poison.store(on, Ordering::Relaxed);
    }

    /// Writes compiled kernels to the user's cache folder now; waits do it now and then.
    pub fn save_pipelines(&self) {
        if !self.device.forked() {
            self.pipelines.save();
        }
    }

    /// For tests: loses the device as a driver reset would.
    pub fn lose_for_test(&self) {
        self.device.wgpu.destroy();
        let _ = self.stream.synchronize(&self.device);
        self.device.poll();
    }

    /// Asks the driver for memory of a class; out of memory, gives up what is cached and asks again.
    fn grow(&self, class: u64) -> Result<()> {
        let Err(first) = self.ask_driver(class) else { return Ok(()) };
        if first.kind != crate::error::Kind::Memory {
            return Err(first);
        }
        self.trim();
        // What recorded work still uses is freed when that work is done.
        self.stream.synchronize(&self.device)?;
        self.device.poll();
        self.ask_driver(class).map_err(|e| {
            let held = pool::mib(self.memory_stats().allocated_bytes);
            e.hint(format!(
                "{held:.1} MiB are in living tensors; free some or make batches smaller"
            ))
        })
    }

    fn trim(&self) {
        self.groups.clear();
        self.pool().trim();
        self.stream.trim();
    }

    fn ask_driver(&self, class: u64) -> Result<()> {
        let bytes = pool::driver_bytes(class);
        self.pool().reserve(bytes)?;
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let raw = self.device.scoped(|| {
            self.device.wgpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some("rubigo"),
                size: bytes,
                usage,
                mapped_at_creation: false,
            })
        });
        let mut pool = self.pool();
        match raw {
            Ok(raw) => pool.add(raw, class),
            Err(e) => {
                pool.unreserve(bytes);
                return Err(e);
            }
        }
        Ok(())
    }

    /// Err when the buffer is another device's, as those of a lost one are.
    fn owns(&self, buffer: &Buffer) -> Result<()> {
        if std::ptr::eq(self, Arc::as_ptr(&buffer.gpu)) {
            return Ok(());
        }
        buffer.gpu.device.check()?;
        Err(Error::runtime("a GPU buffer was used with another device than its own"))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// The size that was asked for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    fn raw(&self) -> &wgpu::Buffer {
        &self.block.raw
    }

    fn start(&self) -> u64 {
        self.block.offset
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.gpu.device.forked() {
            // The driver's threads and locks did not survive the fork: leak rather than free.
            std::mem::forget(self.block.clone());
            std::mem::forget(Arc::clone(&self.gpu));
            return;
        }
        self.gpu.pool().give(self.block.clone());
    }
}

fn fold(n: u64, most: u64) -> [u32; 3] {
    let z = n.div_ceil(most * most).max(1);
    let y = n.div_ceil(most * z).max(1);
    let x = n.div_ceil(y * z);
    [x, y, z].map(|d| u32::try_from(d).unwrap_or(u32::MAX))
}

/// Refuses dtypes that a GPU tensor cannot have.
pub fn check_dtype(dtype: crate::dtype::DType) -> Result<()> {
    if dtype == crate::dtype::DType::F64 {
        return Err(Error::type_("float64 is not available on the GPU")
            .hint("cast it first: x.to(rubigo.float32)"));
    }
    Ok(())
}
