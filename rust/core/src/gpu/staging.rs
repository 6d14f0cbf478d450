//! Buffers that host and GPU both see, for transfers, and their reuse.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::device::Device;
use crate::error::{Error, Result};

/// Idle buffers kept for each direction, in bytes.
const MAX_IDLE: u64 = 128 << 20;

/// Idle staging buffers of one direction. Buffers for uploads are mapped while they are here;
/// they come back in callbacks, inside any poll.
#[derive(Clone)]
pub(super) struct Staging {
    map: wgpu::BufferUsages,
    idle: Arc<Mutex<Vec<wgpu::Buffer>>>,
}

impl Staging {
    pub(super) fn uploads() -> Self {
        Self { map: wgpu::BufferUsages::MAP_WRITE, idle: Arc::default() }
    }

    pub(super) fn downloads() -> Self {
        Self { map: wgpu::BufferUsages::MAP_READ, idle: Arc::default() }
    }

    /// A buffer for `bytes` bytes, at least `least`; one for uploads is mapped.
    pub(super) fn take(&self, device: &Device, bytes: usize, least: usize) -> Result<wgpu::Buffer> {
        let size = bytes.next_power_of_two().max(least) as u64;
        let mut idle = self.lock();
        if let Some(place) = idle.iter().rposition(|b| b.size() == size) {
            return Ok(idle.swap_remove(place));
        }
        drop(idle);
        let mapped_at_creation = self.map == wgpu::BufferUsages::MAP_WRITE;
        let copy = if mapped_at_creation {
            wgpu::BufferUsages::COPY_SRC
        } else {
            wgpu::BufferUsages::COPY_DST
        };
        let usage = self.map | copy;
        let label = Some("rubigo staging");
        let descriptor = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation };
        device.scoped(|| device.wgpu.create_buffer(&descriptor))
    }

    pub(super) fn give(&self, raw: wgpu::Buffer) {
        let mut idle = self.lock();
        let held: u64 = idle.iter().map(wgpu::Buffer::size).sum();
        if held + raw.size() <= MAX_IDLE {
            idle.push(raw);
        }
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<wgpu::Buffer>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn mapping_error(e: &wgpu::MapRangeError) -> Error {
    Error::runtime(format!("GPU staging memory: {e}"))
}
