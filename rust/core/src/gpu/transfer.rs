//! Bytes to, from and within the GPU. WebGPU copies whole words only; odd ends are merged by kernel.

use super::pool::mib;
use super::stream::MAX_PIECE;
use super::{Buffer, Gpu, Kernel};
use crate::error::{Error, Kind, Result};

/// Copies of this size on between two buffers are left to the driver, although that ends the pass.
const DRIVER_COPY: usize = 1 << 20;

const COPY: &str = "
@group(0) @binding(0) var<storage, read_write> src: array<u32>;
@group(0) @binding(1) var<storage, read_write> dst: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * 256u + lane;
    if (i < param(2u)) { dst[param(1u) + i] = src[param(0u) + i]; }
}
";

const FILL: &str = "
@group(0) @binding(0) var<storage, read_write> dst: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(group, groups) * 256u + lane;
    if (i < param(0u)) { dst[i] = param(1u); }
}
";

/// Writes the bits of `param(1)` where the mask `param(2)` has ones.
const MERGE: &str = "
@group(0) @binding(0) var<storage, read_write> dst: array<u32>;
@compute @workgroup_size(1)
fn main() {
    let i = param(0u);
    dst[i] = (dst[i] & ~param(2u)) | (param(1u) & param(2u));
}
";

impl Gpu {
    /// Writes `bytes` at `offset`, in order with the recorded work. Any offset and length; bytes
    /// of `dst` outside the range stay as they are.
    pub fn upload(&self, dst: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.device.check()?;
        self.owns(dst)?;
        in_range(dst, offset, bytes.len())?;
        // Up to the next word, then whole words, then what is left of the last.
        let head = (offset.wrapping_neg() % 4).min(bytes.len());
        self.merge(dst, offset, &bytes[..head])?;
        let (offset, bytes) = (offset + head, &bytes[head..]);
        let ends_buffer = offset + bytes.len() == dst.bytes();
        // The padding after the last byte of a buffer is nobody's.
        let body = if ends_buffer { bytes.len() } else { bytes.len() & !3 };
        for (i, piece) in bytes[..body].chunks(MAX_PIECE).enumerate() {
            let at = dst.start() + (offset + i * MAX_PIECE) as u64;
            self.stream.upload(&self.device, (dst.raw(), at), piece)?;
        }
        self.merge(dst, offset + body, &bytes[body..])
    }

    /// Reads `out.len()` bytes from `offset` on, after all work recorded so far. Blocks.
    pub fn download(&self, src: &Buffer, offset: usize, out: &mut [u8]) -> Result<()> {
        self.device.check()?;
        self.owns(src)?;
        in_range(src, offset, out.len())?;
        for (i, piece) in out.chunks_mut(MAX_PIECE).enumerate() {
            let at = offset + i * MAX_PIECE;
            let word = src.start() + (at & !3) as u64;
            self.stream.download(&self.device, (src.raw(), word), at % 4, piece)?;
        }
        self.pipelines.save_if_due();
        Ok(())
    }

    /// Copies `bytes` bytes; all three numbers are multiples of 4. The ranges may overlap.
    pub fn copy(
        &self,
        src: &Buffer,
        src_offset: usize,
        dst: &Buffer,
        dst_offset: usize,
        bytes: usize,
    ) -> Result<()> {
        self.device.check()?;
        self.owns(src)?;
        self.owns(dst)?;
        in_range(src, src_offset, bytes)?;
        in_range(dst, dst_offset, bytes)?;
        if !(src_offset | dst_offset | bytes).is_multiple_of(4) {
            return Err(Error::value(format!(
                "GPU copies are whole words: offsets {src_offset} and {dst_offset} and length \
                 {bytes} must be multiples of 4"
            )));
        }
        let same = src.raw() == dst.raw();
        let distance = (src.start() + src_offset as u64).abs_diff(dst.start() + dst_offset as u64);
        if same && distance == 0 || bytes == 0 {
            return Ok(());
        }
        if same && distance < bytes as u64 {
            let between = src.gpu().alloc(bytes)?;
            self.copy(src, src_offset, &between, 0, bytes)?;
            return self.copy(&between, 0, dst, dst_offset, bytes);
        }
        if !same && bytes >= DRIVER_COPY {
            let from = (src.raw(), src.start() + src_offset as u64);
            let to = (dst.raw(), dst.start() + dst_offset as u64);
            self.stream.copy(&self.device, from, to, bytes as u64)?;
            return Ok(());
        }
        let words = bytes / 4;
        let params = [(src_offset / 4) as u32, (dst_offset / 4) as u32, words as u32];
        let kernel = Kernel { key: "words.copy", source: &|| COPY.to_owned() };
        self.dispatch(&kernel, &[src, dst], &params, self.fold_groups(words.div_ceil(256) as u64))
    }

    /// Sets every word of `dst`, its padding included.
    pub fn fill(&self, dst: &Buffer, word: u32) -> Result<()> {
        let words = dst.bytes().div_ceil(4);
        let kernel = Kernel { key: "words.fill", source: &|| FILL.to_owned() };
        let groups = self.fold_groups(words.div_ceil(256) as u64);
        self.dispatch(&kernel, &[dst], &[words as u32, word], groups)
    }

    /// Writes one to three bytes inside one word.
    fn merge(&self, dst: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (mut value, mut mask) = ([0; 4], [0; 4]);
        let place = offset % 4..offset % 4 + bytes.len();
        value[place.clone()].copy_from_slice(bytes);
        mask[place].fill(0xff);
        let params = [(offset / 4) as u32, u32::from_le_bytes(value), u32::from_le_bytes(mask)];
        let kernel = Kernel { key: "words.merge", source: &|| MERGE.to_owned() };
        self.dispatch(&kernel, &[dst], &params, [1, 1, 1])
    }
}

fn in_range(buffer: &Buffer, offset: usize, bytes: usize) -> Result<()> {
    if offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes()) {
        return Ok(());
    }
    let held = buffer.bytes();
    Err(Error::index(format!("{bytes} bytes at {offset} lie outside a GPU buffer of {held} bytes")))
}

/// The error for a tensor that no buffer can hold.
pub(super) fn too_large(bytes: usize, largest: usize, name: &str) -> Error {
    let (asked, most) = (mib(bytes), mib(largest));
    Error::new(
        Kind::Memory,
        format!(
            "a GPU tensor of {asked:.1} MiB is larger than the {most:.1} MiB that one buffer of \
             '{name}' may have"
        ),
    )
    .hint("split the tensor, or use device=\"cpu\"")
}
