//! The recorded command stream: one encoder with one open compute pass, submitted in batches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::device::Device;
use super::pipeline::PARAM_WORDS;
use super::staging::{Staging, mapping_error};
use crate::error::{Error, Result};

/// Dispatches in one batch.
const BATCH: usize = 64;
/// Copies in one batch.
const COPIES: usize = 256;
/// Dispatches that may wait for the GPU before the host does.
const MAX_IN_FLIGHT: usize = 512;
/// Uploaded bytes after which a batch is submitted, and the most that may wait for the GPU.
const MAX_STAGED: usize = 128 << 20;
const MAX_STAGED_IN_FLIGHT: usize = 256 << 20;
/// The least sizes of staging buffers: many small uploads share one.
const MIN_UPLOAD: usize = 1 << 20;
const MIN_DOWNLOAD: usize = 4 << 10;
/// The largest piece of a transfer.
pub(super) const MAX_PIECE: usize = 32 << 20;
/// What a mapped range must be aligned to.
const STAGING_ALIGN: usize = 8;

type Pass = wgpu::ComputePass<'static>;

pub(super) struct Stream {
    recorder: Mutex<Recorder>,
    /// One slot of parameters for each dispatch of a batch, written just before the submit.
    slots: wgpu::Buffer,
    slots_group: wgpu::BindGroup,
    uploads: Staging,
    downloads: Staging,
}

#[derive(Default)]
struct Recorder {
    /// Dropped first: a pass ends before its encoder.
    pass: Option<Pass>,
    encoder: Option<wgpu::CommandEncoder>,
    /// Parameters of the batch, `PARAM_WORDS` for each dispatch.
    params: Vec<u32>,
    dispatches: usize,
    copies: usize,
    filling: Vec<Filling>,
    /// Bytes uploaded by the batch.
    staged: usize,
    in_flight: VecDeque<Batch>,
    serial: u64,
}

/// A mapped buffer that is being filled with uploads.
struct Filling {
    raw: wgpu::Buffer,
    used: usize,
}

/// A submitted batch, in the order of `serial`.
#[derive(Clone)]
pub(super) struct Batch {
    index: wgpu::SubmissionIndex,
    serial: u64,
    dispatches: usize,
    /// The sizes of its staging buffers, which may be larger than what they carry.
    staged: usize,
}

impl Stream {
    pub(super) fn new(device: &Device, params: &wgpu::BindGroupLayout) -> Result<Self> {
        let (slots, slots_group) = device.scoped(|| {
            let slots = device.wgpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some("rubigo params"),
                size: (BATCH * PARAM_WORDS * 4) as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let group = device.wgpu.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("rubigo params"),
                layout: params,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &slots,
                        offset: 0,
                        size: wgpu::BufferSize::new(PARAM_WORDS as u64 * 4),
                    }),
                }],
            });
            (slots, group)
        })?;
        Ok(Self {
            recorder: Mutex::default(),
            slots,
            slots_group,
            uploads: Staging::uploads(),
            downloads: Staging::downloads(),
        })
    }

    /// Appends one dispatch; submits when the batch is full, waits when too much is in flight.
    pub(super) fn dispatch(
        &self,
        device: &Device,
        pipeline: &wgpu::ComputePipeline,
        group: &wgpu::BindGroup,
        params: &[u32],
        groups: [u32; 3],
    ) -> Result<()> {
        let mut r = self.lock();
        let slot = r.dispatches;
        r.params.extend_from_slice(params);
        r.params.resize((slot + 1) * PARAM_WORDS, 0);
        let pass = r.pass(device);
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.set_bind_group(1, &self.slots_group, &[(slot * PARAM_WORDS * 4) as u32]);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        r.dispatches += 1;
        if r.dispatches < BATCH {
            return Ok(());
        }
        self.submit(device, &mut r);
        drop(r);
        self.throttle(device)
    }

    /// Records a copy between two different buffers.
    pub(super) fn copy(
        &self,
        device: &Device,
        from: (&wgpu::Buffer, u64),
        to: (&wgpu::Buffer, u64),
        bytes: u64,
    ) -> Result<()> {
        let mut r = self.lock();
        r.encoder(device).copy_buffer_to_buffer(from.0, from.1, to.0, to.1, bytes);
        self.copied(device, r)
    }

    /// Counts a recorded copy; submits when the batch is full, waits when too much is in flight.
    fn copied(&self, device: &Device, mut r: MutexGuard<'_, Recorder>) -> Result<()> {
        r.copies += 1;
        if r.copies < COPIES && r.staged < MAX_STAGED {
            return Ok(());
        }
        self.submit(device, &mut r);
        drop(r);
        self.throttle(device)
    }

    /// Records the upload of at most `MAX_PIECE` bytes. `offset` is a multiple of 4; a length
    /// that is not is filled up with zeros.
    pub(super) fn upload(
        &self,
        device: &Device,
        to: (&wgpu::Buffer, u64),
        bytes: &[u8],
    ) -> Result<()> {
        let padded = bytes.len().next_multiple_of(4);
        let mut r = self.lock();
        let (raw, at) = self.stage(device, &mut r, padded)?;
        let mut view = raw
            .get_mapped_range_mut(at as u64..(at + padded) as u64)
            .map_err(|e| mapping_error(&e))?;
        let whole = bytes.len() & !3;
        view.slice(..whole).copy_from_slice(&bytes[..whole]);
        if whole < padded {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            view.slice(whole..).copy_from_slice(&last);
        }
        drop(view);
        r.encoder(device).copy_buffer_to_buffer(&raw, at as u64, to.0, to.1, padded as u64);
        r.staged += padded;
        self.copied(device, r)
    }

    /// Submits what is recorded, waits, and copies `out.len()` bytes from `skip` bytes after the
    /// offset in `from`, which is a multiple of 4.
    pub(super) fn download(
        &self,
        device: &Device,
        from: (&wgpu::Buffer, u64),
        skip: usize,
        out: &mut [u8],
    ) -> Result<()> {
        let start = Instant::now();
        let bytes = (skip + out.len()).next_multiple_of(4);
        let raw = self.downloads.take(device, bytes, MIN_DOWNLOAD)?;
        let (sender, receiver) = mpsc::channel();
        let batch = {
            let mut r = self.lock();
            r.encoder(device).copy_buffer_to_buffer(from.0, from.1, &raw, 0, bytes as u64);
            let batch = self.submit(device, &mut r);
            raw.map_async(wgpu::MapMode::Read, .., move |mapped| {
                // The receiver is gone when the wait below was interrupted.
                let _ = sender.send(mapped.is_ok());
            });
            batch
        };
        if let Some(batch) = batch {
            self.wait(device, &batch)?;
        }
        // Another thread's poll may have finished the batch and still be about to call back.
        let mapped = loop {
            match receiver.recv_timeout(Duration::from_millis(50)) {
                Ok(mapped) => break mapped,
                Err(mpsc::RecvTimeoutError::Disconnected) => break false,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    device.check_wait(start)?;
                    device.poll();
                }
            }
        };
        device.check()?;
        if !mapped {
            return Err(Error::runtime("the GPU did not give its result to the host"));
        }
        let view = raw.get_mapped_range(..bytes as u64).map_err(|e| mapping_error(&e))?;
        out.copy_from_slice(&view[skip..skip + out.len()]);
        drop(view);
        raw.unmap();
        self.downloads.give(raw);
        Ok(())
    }

    /// Submits what is recorded.
    pub(super) fn flush(&self, device: &Device) -> Result<()> {
        self.submit(device, &mut self.lock());
        self.throttle(device)
    }

    /// Submits what is recorded and waits for all of it.
    pub(super) fn synchronize(&self, device: &Device) -> Result<()> {
        let last = {
            let mut r = self.lock();
            self.submit(device, &mut r);
            r.in_flight.back().cloned()
        };
        last.map_or(Ok(()), |batch| self.wait(device, &batch))
    }

    /// Drops idle staging buffers.
    pub(super) fn trim(&self) {
        self.uploads.clear();
        self.downloads.clear();
    }

    fn wait(&self, device: &Device, batch: &Batch) -> Result<()> {
        device.wait(&batch.index)?;
        let mut r = self.lock();
        while r.in_flight.front().is_some_and(|b| b.serial <= batch.serial) {
            r.in_flight.pop_front();
        }
        Ok(())
    }

    /// Waits for the oldest batches until few enough are in flight. The recorder is not locked
    /// meanwhile.
    fn throttle(&self, device: &Device) -> Result<()> {
        loop {
            let oldest = {
                let r = self.lock();
                let dispatches: usize = r.in_flight.iter().map(|b| b.dispatches).sum();
                let staged: usize = r.in_flight.iter().map(|b| b.staged).sum();
                if dispatches <= MAX_IN_FLIGHT && staged <= MAX_STAGED_IN_FLIGHT {
                    return Ok(());
                }
                r.in_flight.front().cloned()
            };
            match oldest {
                Some(batch) => self.wait(device, &batch)?,
                None => return Ok(()),
            }
        }
    }

    fn submit(&self, device: &Device, r: &mut Recorder) -> Option<Batch> {
        r.pass = None;
        let encoder = r.encoder.take()?;
        let filled = std::mem::take(&mut r.filling);
        let mut staged = 0;
        for f in &filled {
            f.raw.unmap();
            staged += f.raw.size() as usize;
        }
        if !r.params.is_empty() {
            device.queue.write_buffer(&self.slots, 0, bytemuck::cast_slice(&r.params));
            r.params.clear();
        }
        let index = device.queue.submit([encoder.finish()]);
        for Filling { raw, .. } in filled {
            let (uploads, done) = (self.uploads.clone(), raw.clone());
            raw.map_async(wgpu::MapMode::Write, .., move |mapped| {
                if mapped.is_ok() {
                    uploads.give(done);
                }
            });
        }
        r.serial += 1;
        let batch = Batch {
            index,
            serial: r.serial,
            // A batch of copies alone counts too, so that the queue of batches stays bounded.
            dispatches: std::mem::take(&mut r.dispatches).max(1),
            staged,
        };
        r.staged = 0;
        r.copies = 0;
        r.in_flight.push_back(batch.clone());
        device.poll();
        Some(batch)
    }

    /// A mapped buffer and the place in it for `bytes` more.
    fn stage(
        &self,
        device: &Device,
        r: &mut Recorder,
        bytes: usize,
    ) -> Result<(wgpu::Buffer, usize)> {
        if let Some(f) = r.filling.last_mut() {
            let at = f.used.next_multiple_of(STAGING_ALIGN);
            if at + bytes <= f.raw.size() as usize {
                f.used = at + bytes;
                return Ok((f.raw.clone(), at));
            }
        }
        let raw = self.uploads.take(device, bytes, MIN_UPLOAD)?;
        r.filling.push(Filling { raw: raw.clone(), used: bytes });
        Ok((raw, 0))
    }

    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// The open pass, or a new one.
    fn pass(&mut self, device: &Device) -> &mut Pass {
        let encoder = self.encoder.get_or_insert_with(|| new_encoder(device));
        self.pass.get_or_insert_with(|| {
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
        })
    }

    /// The encoder outside of a pass, for copies.
    fn encoder(&mut self, device: &Device) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder.get_or_insert_with(|| new_encoder(device))
    }
}

fn new_encoder(device: &Device) -> wgpu::CommandEncoder {
    device.wgpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}
