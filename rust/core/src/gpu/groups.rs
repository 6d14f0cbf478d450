//! Bind groups, kept: making one costs 4 µs, more than all the rest of a dispatch. A training step
//! gets the same blocks from the pool each time, so that nearly every dispatch finds its group.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::Buffer;
use super::device::Device;

/// What an empty tensor binds: room for one element of any type a kernel declares. Blocks are larger.
const EMPTY: usize = 16;

/// Groups kept before all are dropped; far more than a step of a large model needs.
const MOST: usize = 16_384;

/// The block and the size of each binding.
type Key = SmallVec<[(u64, u64); 6]>;

#[derive(Default)]
pub(super) struct Groups {
    made: Mutex<HashMap<Key, wgpu::BindGroup>>,
}

impl Groups {
    /// The group that binds `buffers` in order. `layout` is the one for their number.
    pub(super) fn get(
        &self,
        device: &Device,
        layout: &wgpu::BindGroupLayout,
        buffers: &[&Buffer],
    ) -> wgpu::BindGroup {
        let key: Key = buffers.iter().map(|b| (b.block.serial, bound_bytes(b))).collect();
        if let Some(group) = self.lock().get(&key) {
            return group.clone();
        }
        let entries: SmallVec<[_; 6]> = buffers.iter().zip(0..).map(|(b, i)| entry(b, i)).collect();
        let group = device.wgpu.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        });
        let mut made = self.lock();
        if made.len() >= MOST {
            made.clear();
        }
        made.insert(key, group.clone());
        group
    }

    /// Drops all groups: they keep memory alive that the pool has given up.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, wgpu::BindGroup>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kernels see the asked size in whole words, at least one.
fn bound_bytes(buffer: &Buffer) -> u64 {
    (if buffer.bytes == 0 { EMPTY } else { buffer.bytes.next_multiple_of(4) }) as u64
}

fn entry(buffer: &Buffer, binding: u32) -> wgpu::BindGroupEntry<'_> {
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: &buffer.block.raw,
        offset: buffer.block.offset,
        size: wgpu::BufferSize::new(bound_bytes(buffer)),
    });
    wgpu::BindGroupEntry { binding, resource }
}
