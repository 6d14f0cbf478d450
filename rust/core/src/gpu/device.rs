//! An open device: what it can do, whether it is well, and waiting for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use wgpu::Features;

use super::adapter;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Hook;

/// What one opened device can do.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    pub name: String,
    /// "vulkan", "metal" or "dx12".
    pub backend: &'static str,
    pub driver: String,
    /// "discrete", "integrated", "virtual", "cpu" or "other".
    pub device_type: &'static str,
    /// PCI vendor id, 0 where there is none.
    pub vendor: u32,
    pub subgroup_min: u32,
    pub subgroup_max: u32,
    pub has_f16: bool,
    pub has_subgroups: bool,
    pub has_f32_atomics: bool,
    /// The largest tensor in bytes: both a buffer and a binding of this size are allowed.
    pub max_buffer_bytes: usize,
    /// Workgroups in one dimension of one dispatch.
    pub max_workgroups: u32,
    pub max_workgroup_threads: u32,
    /// Workgroup memory in bytes.
    pub max_workgroup_bytes: u32,
    /// Buffers in one dispatch.
    pub max_buffers: u32,
    /// Bytes at whose multiples a binding may start.
    pub buffer_alignment: u32,
}

impl DeviceInfo {
    /// The device is the CPU in disguise (lavapipe, WARP).
    pub fn is_software(&self) -> bool {
        self.device_type == "cpu"
    }
}

/// A blocking wait is cut into slices so that Ctrl-C and the time limit are noticed.
const WAIT_SLICE: Duration = Duration::from_millis(50);
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);

static INTERRUPT: RwLock<Option<Hook>> = RwLock::new(None);

/// Every wait calls `hook` at least each 50 ms; its error ends the wait.
pub fn set_interrupt_hook(hook: Hook) {
    *INTERRUPT.write().unwrap_or_else(PoisonError::into_inner) = Some(hook);
}

fn check_interrupt() -> Result<()> {
    let hook = *INTERRUPT.read().unwrap_or_else(PoisonError::into_inner);
    hook.map_or(Ok(()), |hook| hook())
}

/// An open device: the handles, what it can do, and whether it is still well.
pub(super) struct Device {
    pub(super) wgpu: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: DeviceInfo,
    pub(super) adapter: wgpu::AdapterInfo,
    health: Arc<Health>,
    pid: u32,
    timeout: Duration,
}

#[derive(Default)]
struct Health {
    /// Set with either of the two below, so that the common check is one load.
    troubled: AtomicBool,
    lost: Mutex<Option<String>>,
    /// The first error that no scope caught.
    error: Mutex<Option<Error>>,
}

impl Health {
    fn lose(&self, why: String) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.troubled.store(true, Ordering::Release);
    }

    fn record(&self, error: Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.troubled.store(true, Ordering::Release);
    }
}

impl Device {
    /// Opens the best adapter, or the one `RUBIGO_GPU` names.
    pub(super) fn open() -> Result<Self> {
        adapter::first_that(Self::request)
    }

    fn request(adapter: &wgpu::Adapter) -> std::result::Result<Self, String> {
        let wanted = Features::SHADER_F16
            | Features::SUBGROUP
            | Features::SUBGROUP_BARRIER
            | Features::SHADER_FLOAT32_ATOMIC
            | Features::PIPELINE_CACHE;
        let features = adapter.features() & wanted;
        let limits = adapter.limits();
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("rubigo"),
            required_features: features,
            required_limits: limits.clone(),
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|e| e.to_string())?;

        let health = Arc::new(Health::default());
        let on_error = Arc::clone(&health);
        device.on_uncaptured_error(Arc::new(move |e| on_error.record(translate(&e))));
        let on_loss = Arc::clone(&health);
        device.set_device_lost_callback(move |reason, msg| {
            on_loss.lose(format!("{reason:?}: {msg}"));
        });

        let a = adapter.get_info();
        let largest = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let info = DeviceInfo {
            name: a.name.clone(),
            backend: adapter::backend_name(a.backend),
            driver: adapter::driver_of(&a),
            device_type: adapter::type_name(a.device_type),
            vendor: a.vendor,
            subgroup_min: a.subgroup_min_size,
            subgroup_max: a.subgroup_max_size,
            has_f16: features.contains(Features::SHADER_F16),
            has_subgroups: features.contains(Features::SUBGROUP),
            has_f32_atomics: features.contains(Features::SHADER_FLOAT32_ATOMIC),
            max_buffer_bytes: usize::try_from(largest & !3).unwrap_or(usize::MAX & !3),
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_workgroup_threads: limits.max_compute_invocations_per_workgroup,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_buffers: limits.max_storage_buffers_per_shader_stage,
            buffer_alignment: limits.min_storage_buffer_offset_alignment,
        };
        let seconds = std::env::var("RUBIGO_GPU_TIMEOUT").ok().and_then(|s| s.parse::<f64>().ok());
        let timeout = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        Ok(Self {
            wgpu: device,
            queue,
            info,
            adapter: a,
            health,
            pid: std::process::id(),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        })
    }

    /// The process has forked since the device was opened: no handle may be touched, not even freed.
    pub(super) fn forked(&self) -> bool {
        std::process::id() != self.pid
    }

    pub(super) fn is_lost(&self) -> bool {
        self.health.lost.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Err after a fork or a device loss, and once for an error that an earlier call caused.
    pub(super) fn check(&self) -> Result<()> {
        if self.forked() {
            return Err(fork_error());
        }
        if !self.health.troubled.load(Ordering::Acquire) {
            return Ok(());
        }
        let lost = self.health.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = &*lost {
            let msg = format!("the GPU '{}' was lost ({why})", self.info.name);
            return Err(Error::new(Kind::DeviceLost, msg)
                .hint("tensors on it are gone; the next use of device=\"gpu\" opens it again"));
        }
        self.health.troubled.store(false, Ordering::Release);
        let error = self.health.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map_or(Ok(()), Err)
    }

    /// Frees what finished batches held and runs their callbacks, without blocking.
    pub(super) fn poll(&self) {
        self.poll_with(wgpu::PollType::Poll);
    }

    /// Blocks until the batch is done. Never longer than the time limit.
    pub(super) fn wait(&self, batch: &wgpu::SubmissionIndex) -> Result<()> {
        let start = Instant::now();
        loop {
            let wait = wgpu::PollType::Wait {
                submission_index: Some(batch.clone()),
                timeout: Some(WAIT_SLICE.min(self.timeout)),
            };
            match self.poll_with(wait) {
                Some(Ok(_)) => return self.check(),
                Some(Err(wgpu::PollError::Timeout)) => {}
                Some(Err(e)) => {
                    self.check()?;
                    return Err(Error::runtime(format!("the GPU refused a batch ({e})")));
                }
                None => self.check()?,
            }
            self.check_wait(start)?;
        }
    }

    /// Between two slices of a wait: was Ctrl-C pressed, is the time over?
    pub(super) fn check_wait(&self, start: Instant) -> Result<()> {
        check_interrupt()?;
        if start.elapsed() < self.timeout {
            return Ok(());
        }
        let s = self.timeout.as_secs_f64();
        Err(Error::runtime(format!("the GPU '{}' gave no answer in {s} s", self.info.name))
            .hint("RUBIGO_GPU_TIMEOUT sets the limit in seconds"))
    }

    /// wgpu panics when a poll finds the device lost; that becomes our own mark (None).
    fn poll_with(
        &self,
        how: wgpu::PollType,
    ) -> Option<std::result::Result<wgpu::PollStatus, wgpu::PollError>> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.wgpu.poll(how)));
        // It also panics when another thread's poll overtook this one; the next then goes well.
        let again = || catch_unwind(AssertUnwindSafe(|| self.wgpu.poll(wgpu::PollType::Poll)));
        if polled.is_err() && again().is_err() {
            self.health.lose(String::from("the driver failed during a wait"));
        }
        polled.ok()
    }

    /// Runs `make`; an error inside it is an Err of ours, an out-of-memory one of `Kind::Memory`.
    pub(super) fn scoped<T>(&self, make: impl FnOnce() -> T) -> Result<T> {
        let memory = self.wgpu.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.wgpu.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.wgpu.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        // The futures are ready at once on native backends.
        let errors = [
            pollster::block_on(validation.pop()),
            pollster::block_on(internal.pop()),
            pollster::block_on(memory.pop()),
        ];
        self.check()?;
        errors.into_iter().flatten().next().map_or(Ok(made), |e| Err(translate(&e)))
    }
}

pub(super) fn fork_error() -> Error {
    Error::runtime("the GPU was opened before this process was forked and cannot be used in it")
        .hint("start workers with the 'spawn' method, or use the GPU only after the fork")
}

fn translate(e: &wgpu::Error) -> Error {
    match e {
        wgpu::Error::OutOfMemory { .. } => Error::memory("the GPU is out of memory"),
        e => Error::runtime(format!("GPU error: {e}")),
    }
}
