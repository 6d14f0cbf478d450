//! Weight gradient with many channels: the tiled product of `tile.rs`, summed over pixels.

use super::gather::{Block, blocks};
use super::kernels::Kernels;
use super::layout::{Window, fill, pack_band};
use super::tile::{MAX_MR, Run, Tile};
use super::transpose::Transpose;
use super::{ConvShape, Elem, share, task_count};
use crate::cpu::scratch;
use crate::ops::matmul::gemm::Par;

/// Output pixels per band: the gradients of a band are one panel.
const BAND_PIXELS: usize = 256;
/// Vectors of output channels per task.
const TASK_VECTORS: usize = 4;
/// Weights per task, about; they stay in the second-level cache.
const TASK_WEIGHTS: usize = 1 << 16;
/// Tasks that a large convolution is cut into at least, by splitting the batch.
const TASKS: usize = 16;
/// Multiply-adds that each weight of a part must get, for the adding up of the parts to be cheap beside them.
const PART_WORK: usize = 512;

/// gw = sum over images and pixels of gy * x, every element written.
///
/// The batch is cut into a number of parts that depends on the shape alone, and their sums are added in a fixed tree.
///
/// # Safety
/// The pointers must be valid for the shape's sizes.
pub(super) unsafe fn run<T: Elem>(
    s: &ConvShape,
    x: *const T,
    gy: *const T,
    gw: *mut T,
    par: Par<'_>,
) {
    let kernels = T::kernels();
    let kernel = s.kh * s.kw;
    let (c_in, c_out) = (s.c_in / s.groups, s.c_out / s.groups);
    let lanes = kernels.lanes;
    let out_block = (TASK_VECTORS * lanes).min(c_out);
    let in_block = (TASK_WEIGHTS / (kernel * out_block)).clamp(1, c_in);
    let in_blocks = c_in.div_ceil(in_block);
    let in_block = c_in.div_ceil(in_blocks);
    let out_blocks = c_out.div_ceil(out_block);
    let blocks = s.groups * in_blocks * out_blocks;

    // A tile reads one cache line of every pixel of the band, which must stay in the first-level cache.
    let pixels = BAND_PIXELS / (s.stride[0] * s.stride[1]).min(4);
    let (mut images, mut rows) = (1, s.oh);
    if s.oh * s.ow <= pixels {
        images = (pixels / (s.oh * s.ow)).clamp(1, s.n);
    } else {
        rows = s.oh.div_ceil(s.oh.div_ceil((pixels / s.ow).max(1)));
    }
    let units = s.n.div_ceil(images) * s.oh.div_ceil(rows);
    let work = s.n * s.oh * s.ow * s.groups * c_in * c_out * kernel;

    let rows_of_tile = in_block * kernel;
    let len = rows_of_tile * out_block.next_multiple_of(lanes);
    let parts = TASKS
        .div_ceil(blocks)
        .min(task_count(units * blocks, work))
        .min(work / (blocks * len * PART_WORK))
        .clamp(1, units);
    scratch::with(parts * blocks * len, |sums: *mut T| {
        let job = Job { s, kernels, x, gy, gw, sums, in_block, out_block, images, rows, len };
        let block = |i: usize| {
            let (i, out) = (i / out_blocks, i % out_blocks);
            Part { g: i / in_blocks, c0: i % in_blocks * in_block, o0: out * out_block }
        };
        share(par, parts * blocks, work, &|i| {
            let (at, part) = (i / parts, i % parts);
            let units = units * part / parts..units * (part + 1) / parts;
            // SAFETY: the caller's contract; each task has its own sums.
            unsafe { job.sum(&block(at), units, job.sums.add(i * len)) }
        });
        share(par, blocks, parts * blocks * len, &|at| {
            // SAFETY: the caller's contract; blocks cover disjoint weights.
            unsafe { job.finish(&block(at), job.sums.add(at * parts * len), parts) }
        });
    });
}

/// The weights of one task: those of a group from input channel `c0` and output channel `o0`.
struct Part {
    g: usize,
    c0: usize,
    o0: usize,
}

struct Job<'a, T: 'static> {
    s: &'a ConvShape,
    kernels: &'static Kernels<T>,
    x: *const T,
    gy: *const T,
    gw: *mut T,
    /// [block][part][vectors of output channels][input channel, tap][lane]
    sums: *mut T,
    in_block: usize,
    out_block: usize,
    images: usize,
    rows: usize,
    len: usize,
}

// SAFETY: tasks read x and gy, and write disjoint parts of sums and gw.
unsafe impl<T> Sync for Job<'_, T> {}

impl<T: Elem> Job<'_, T> {
    fn channels(&self, part: &Part) -> (usize, usize) {
        let s = self.s;
        let c_in = self.in_block.min(s.c_in / s.groups - part.c0);
        let c_out = self.out_block.min(s.c_out / s.groups - part.o0);
        (c_in, c_out)
    }

    /// The sums of one part of the batch.
    unsafe fn sum(&self, part: &Part, units: std::ops::Range<usize>, sums: *mut T) {
        let s = self.s;
        fill(sums, self.len);
        let (c_in, c_out) = self.channels(part);
        let blocks = blocks(c_out, self.kernels.lanes);
        let bands = s.oh.div_ceil(self.rows);
        let cols = (s.ow - 1) * s.stride[1] + (s.kw - 1) * s.dilation[1] + 1;
        let reach = (s.kh - 1) * s.dilation[0] + 1;
        // An odd number of cache lines from pixel to pixel spreads a tile's reads over all sets of the cache.
        let pitch = if c_in.is_multiple_of(32) { c_in + 16 } else { c_in };
        let band_len = ((self.rows - 1) * s.stride[0] + reach) * cols * pitch;
        let pixels = self.images * self.rows * s.ow;
        let width = 3 * self.kernels.lanes;
        // In the order of a weight tensor.
        let taps: Vec<usize> = (0..c_in)
            .flat_map(|c| (0..s.kh * s.kw).map(move |k| (c, k / s.kw, k % s.kw)))
            .map(|(c, r, q)| (r * s.dilation[0] * cols + q * s.dilation[1]) * pitch + c)
            .collect();
        scratch::with(self.images * band_len + 128 + pixels * width, |xs: *mut T| {
            let panel = xs.add((self.images * band_len + 64).next_multiple_of(64));
            let mut runs = Vec::with_capacity(self.images * self.rows);
            for unit in units {
                let image = unit / bands * self.images;
                let images = self.images.min(s.n - image);
                let row = unit % bands * self.rows;
                let rows = self.rows.min(s.oh - row);
                let win = Window {
                    h: s.h,
                    w: s.w,
                    top: (row * s.stride[0]) as isize - s.padding[0] as isize,
                    left: -(s.padding[1] as isize),
                    rows: (rows - 1) * s.stride[0] + reach,
                    cols,
                };
                runs.clear();
                for i in 0..images {
                    let channel = (image + i) * s.c_in + part.g * (s.c_in / s.groups) + part.c0;
                    let band = xs.add(i * band_len);
                    pack_band(self.x.add(channel * s.h * s.w), c_in, pitch, &win, band);
                    runs.extend((0..rows).map(|t| Run {
                        off: i * band_len + t * s.stride[0] * cols * pitch,
                        len: s.ow,
                    }));
                }
                for block in &blocks {
                    self.pack_panel(part, block, c_out, (image, images), (row, rows), panel);
                    let sums = sums.add(block.first * taps.len());
                    self.product(&taps, block.nv, s.stride[1] * pitch, &runs, xs, panel, sums);
                }
            }
        });
    }

    /// panel[pixel][lane]: the output gradients of a block's channels.
    unsafe fn pack_panel(
        &self,
        part: &Part,
        block: &Block,
        c_out: usize,
        (image, images): (usize, usize),
        (row, rows): (usize, usize),
        panel: *mut T,
    ) {
        let s = self.s;
        let width = block.nv * self.kernels.lanes;
        let valid = width.min(c_out - block.first);
        let (plane, pixels) = (s.oh * s.ow, rows * s.ow);
        for i in 0..images {
            let to = panel.add(i * pixels * width);
            let first = part.g * (s.c_out / s.groups) + part.o0 + block.first;
            let from = self.gy.add(((image + i) * s.c_out + first) * plane + row * s.ow);
            (self.kernels.transpose)(&Transpose {
                src: from,
                src_step: plane,
                dst: to,
                dst_step: width,
                rows: valid,
                cols: pixels,
            });
            if valid < width {
                for pixel in 0..pixels {
                    fill(to.add(pixel * width + valid), width - valid);
                }
            }
        }
    }

    /// sums[channel, tap][lane] += sum over the runs' pixels.
    unsafe fn product(
        &self,
        taps: &[usize],
        nv: usize,
        a_step: usize,
        runs: &[Run],
        xs: *const T,
        panel: *const T,
        sums: *mut T,
    ) {
        let width = nv * self.kernels.lanes;
        let mr = self.kernels.mr;
        for (i, taps) in taps.chunks(mr).enumerate() {
            let mut rows = [taps[taps.len() - 1]; MAX_MR];
            rows[..taps.len()].copy_from_slice(taps);
            let c = sums.add(i * mr * width);
            (self.kernels.tile[nv - 1])(&Tile {
                a: xs,
                rows,
                m: taps.len(),
                a_step,
                runs,
                panel,
                base: c,
                base_step: width,
                c,
                c_step: width,
                relu: false,
            });
        }
    }

    /// Adds the parts' sums and writes them where they belong in gw.
    unsafe fn finish(&self, part: &Part, sums: *mut T, parts: usize) {
        let s = self.s;
        let mut apart = 1;
        while apart < parts {
            for first in (0..parts - apart).step_by(2 * apart) {
                let (to, from) = (sums.add(first * self.len), sums.add((first + apart) * self.len));
                for i in 0..self.len {
                    *to.add(i) += *from.add(i);
                }
            }
            apart *= 2;
        }
        let kernel = s.kh * s.kw;
        let (c_in, c_out) = self.channels(part);
        for block in blocks(c_out, self.kernels.lanes) {
            let width = block.nv * self.kernels.lanes;
            let sums = sums.add(block.first * c_in * kernel);
            let o = part.g * (s.c_out / s.groups) + part.o0 + block.first;
            (self.kernels.transpose)(&Transpose {
                src: sums,
                src_step: width,
                dst: self.gw.add((o * (s.c_in / s.groups) + part.c0) * kernel),
                dst_step: s.c_in / s.groups * kernel,
                rows: c_in * kernel,
                cols: width.min(c_out - block.first),
            });
        }
    }
}
