//! Forward convolution and input gradient with many channels: a tiled product over channels-last bands of the input.

use super::kernels::Kernels;
use super::layout::{Window, fill, pack_band};
use super::plan::{Pass, Plan};
use super::tile::{MAX_MR, Run, Tile};
use super::transpose::Transpose;
use super::{Elem, share};
use crate::cpu::scratch;
use crate::ops::matmul::gemm::Par;

/// Longest k per pass over the output pixels: a panel of that length stays in the first-level cache.
const MAX_K: usize = 256;
/// Output pixels for which a band of input is packed at a time, about.
const BAND_PIXELS: usize = 384;
/// What moving one weight costs, in multiply-adds.
const PACK_COST: usize = 32;
/// Small images are taken together until they have this many.
const GROUP_PIXELS: usize = 128;

/// Consecutive output channels that share a panel: `nv` vectors from channel `first`.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) first: usize,
    pub(super) nv: usize,
}

/// Pairs of vectors; an odd count has one triple (or is a single vector).
pub(super) fn blocks(channels: usize, lanes: usize) -> Vec<Block> {
    let mut left = channels.div_ceil(lanes);
    let mut out = Vec::new();
    let mut first = 0;
    while left > 0 {
        let nv = if left % 2 == 1 { left.min(3) } else { 2 };
        out.push(Block { first, nv });
        first += nv * lanes;
        left -= nv;
    }
    out
}

/// A pass as runs over the band, cut into pieces of at most `MAX_K`.
struct Program {
    pieces: Vec<Vec<Run>>,
    /// Where the pass's panel starts, in k.
    k0: usize,
}

fn program(pass: &Pass, c: usize, band_cols: usize, k0: usize) -> Program {
    let total = pass.taps.len() * c;
    let longest = total.div_ceil(total.div_ceil(MAX_K).max(1)).max(1);
    let mut pieces = vec![Vec::<Run>::new()];
    let mut room = longest;
    for tap in &pass.taps {
        let (mut off, mut len) = ((tap.dy * band_cols + tap.dx) * c, c);
        while len > 0 {
            if room == 0 {
                pieces.push(Vec::new());
                room = longest;
            }
            let take = len.min(room);
            let piece = pieces.last_mut().expect("never empty");
            match piece.last_mut() {
                Some(last) if last.off + last.len == off => last.len += take,
                _ => piece.push(Run { off, len: take }),
            }
            (off, len, room) = (off + take, len - take, room - take);
        }
    }
    Program { pieces, k0 }
}

/// How the work is cut: by images or bands of rows, by group, and by output channels where those are few.
struct Cut {
    images: usize,
    rows: usize,
    image_units: usize,
    row_units: usize,
    channel_units: usize,
}

fn cut(p: &Plan, blocks: usize) -> Cut {
    let [rows, cols] = p.grid;
    let (mut images, mut band) = (1, rows);
    if rows * cols <= 2 * GROUP_PIXELS {
        images = (GROUP_PIXELS / (rows * cols)).clamp(1, p.n);
    } else {
        let bands = rows.div_ceil((BAND_PIXELS / cols).max(1));
        band = rows.div_ceil(bands);
    }
    let (image_units, row_units) = (p.n.div_ceil(images), rows.div_ceil(band));
    let units = image_units * row_units * p.groups;
    let channel_units = (16 / units).clamp(1, blocks);
    Cut { images, rows: band, image_units, row_units, channel_units }
}

/// y = relu?(gather(x, w) + bias?), every element of y written.
///
/// # Safety
/// The pointers must be valid for the plan's sizes; `bias` may be null.
pub(super) unsafe fn run<T: Elem>(
    p: &Plan,
    x: *const T,
    w: *const T,
    bias: *const T,
    y: *mut T,
    relu: bool,
    par: Par<'_>,
) {
    let kernels = T::kernels();
    let lanes = kernels.lanes;
    let blocks = blocks(p.c_out, lanes);
    let padded = p.c_out.div_ceil(lanes) * lanes;
    let band_cols = (p.grid[1] - 1) * p.in_step[1] + p.reach[1] + 1;
    let mut k0 = 0;
    let programs: Vec<_> = (p.passes.iter())
        .map(|pass| {
            let out = program(pass, p.c_in, band_cols, k0);
            k0 += pass.taps.len() * p.c_in;
            out
        })
        .collect();
    let k = k0;
    let cut = cut(p, blocks.len());
    let units = cut.image_units * cut.row_units * p.groups * cut.channel_units;
    let positions = p.n * p.grid[0] * p.grid[1] * p.groups;
    scratch::with(p.groups * (k + 1) * padded, |panels: *mut T| {
        let biases = panels.add(p.groups * k * padded);
        for g in 0..p.groups {
            let to = biases.add(g * padded);
            fill(to, padded);
            if !bias.is_null() {
                std::ptr::copy_nonoverlapping(bias.add(g * p.c_out), to, p.c_out);
            }
        }
        let job = Job { p, kernels, x, w, y, relu, panels, biases, padded, k, band_cols };
        let all_blocks = p.groups * blocks.len();
        share(par, all_blocks, p.groups * k * padded * PACK_COST, &|i| {
            // SAFETY: the caller's contract; each block's panel is written by one task.
            unsafe { job.pack_panel(i / blocks.len(), blocks[i % blocks.len()]) }
        });
        share(par, units, positions * p.work(), &|unit| {
            let (unit, part) = (unit / cut.channel_units, unit % cut.channel_units);
            let (unit, g) = (unit / p.groups, unit % p.groups);
            let (image, band) =
                (unit / cut.row_units * cut.images, unit % cut.row_units * cut.rows);
            let images = cut.images.min(p.n - image);
            let rows = cut.rows.min(p.grid[0] - band);
            let from = blocks.len() * part / cut.channel_units;
            let to = blocks.len() * (part + 1) / cut.channel_units;
            // SAFETY: the caller's contract; units write disjoint parts of y.
            unsafe { job.unit(&programs, &blocks[from..to], g, (image, images), (band, rows)) }
        });
    });
}

/// One call, as all its tasks see it.
struct Job<'a, T: 'static> {
    p: &'a Plan,
    kernels: &'static Kernels<T>,
    x: *const T,
    w: *const T,
    y: *mut T,
    relu: bool,
    /// [group][block][k][lane of the block]
    panels: *mut T,
    /// [group][padded channel]
    biases: *const T,
    /// Output channels per group, up to whole vectors.
    padded: usize,
    k: usize,
    band_cols: usize,
}

// SAFETY: tasks read x, w and biases, and write disjoint parts of panels and y.
unsafe impl<T> Sync for Job<'_, T> {}

impl<T: Elem> Job<'_, T> {
    fn panel(&self, g: usize, block: Block) -> *mut T {
        self.panels.wrapping_add((g * self.padded + block.first) * self.k)
    }

    unsafe fn pack_panel(&self, g: usize, block: Block) {
        let p = self.p;
        let width = block.nv * self.kernels.lanes;
        let valid = width.min(p.c_out - block.first);
        let w = self.w.add(g * p.w_group + block.first * p.w_out);
        let panel = self.panel(g, block);
        // Transposed a few input channels at a time, in the order of memory, then sorted by tap.
        let at_once = if p.w_in == p.kernel { 16 } else { 1 };
        let order: Vec<usize> =
            p.passes.iter().flat_map(|pass| pass.taps.iter().map(|tap| tap.w)).collect();
        scratch::with(at_once * p.kernel * width, |rows: *mut T| {
            if valid < width {
                fill(rows, at_once * p.kernel * width);
            }
            for c in (0..p.c_in).step_by(at_once) {
                let channels = at_once.min(p.c_in - c);
                (self.kernels.transpose)(&Transpose {
                    src: w.add(c * p.w_in),
                    src_step: p.w_out,
                    dst: rows,
                    dst_step: width,
                    rows: valid,
                    cols: channels * p.kernel,
                });
                for (i, tap) in order.iter().enumerate() {
                    let to = panel.add((i * p.c_in + c) * width);
                    for channel in 0..channels {
                        let from = rows.add((channel * p.kernel + tap) * width);
                        std::ptr::copy_nonoverlapping(from, to.add(channel * width), width);
                    }
                }
            }
        });
    }

    /// Images `image..`, grid rows `band..`, one group, some blocks of output channels.
    unsafe fn unit(
        &self,
        programs: &[Program],
        blocks: &[Block],
        g: usize,
        (image, images): (usize, usize),
        (band, rows): (usize, usize),
    ) {
        let p = self.p;
        let win = Window {
            h: p.input[0],
            w: p.input[1],
            top: p.top + (band * p.in_step[0]) as isize,
            left: p.left,
            rows: (rows - 1) * p.in_step[0] + p.reach[0] + 1,
            cols: self.band_cols,
        };
        let band_len = win.rows * win.cols * p.c_in;
        let pixels = images * rows * p.grid[1];
        let width = 3 * self.kernels.lanes;
        scratch::with(images * band_len + 128 + pixels * width, |xs: *mut T| {
            let ys = xs.add((images * band_len + 64).next_multiple_of(64));
            for i in 0..images {
                let plane = (image + i) * p.groups + g;
                let from = self.x.add(plane * p.c_in * win.h * win.w);
                pack_band(from, p.c_in, p.c_in, &win, xs.add(i * band_len));
            }
            let mut starts = Vec::with_capacity(pixels + MAX_MR);
            for (pass, program) in p.passes.iter().zip(programs) {
                let rows = pass.rows.saturating_sub(band).min(rows);
                if rows == 0 {
                    continue;
                }
                starts.clear();
                for i in 0..images {
                    for t in 0..rows {
                        let row = i * band_len + t * p.in_step[0] * win.cols * p.c_in;
                        let step = p.in_step[1] * p.c_in;
                        starts.extend((0..pass.cols).map(|u| row + u * step));
                    }
                }
                for &block in blocks {
                    self.product(program, g, block, xs, &mut starts, ys);
                    for i in 0..images {
                        let from = ys.add(i * rows * pass.cols * block.nv * self.kernels.lanes);
                        self.store(pass, block, from, (image + i, g), band, rows);
                    }
                }
            }
        });
    }

    /// ys[pixel][lane] for all pixels of a unit and one block.
    unsafe fn product(
        &self,
        program: &Program,
        g: usize,
        block: Block,
        xs: *const T,
        starts: &mut Vec<usize>,
        ys: *mut T,
    ) {
        let width = block.nv * self.kernels.lanes;
        let (mr, pixels) = (self.kernels.mr, starts.len());
        let kernel = self.kernels.tile[block.nv - 1];
        let mut panel: *const T = self.panel(g, block).add(program.k0 * width);
        // The last tile's missing rows repeat the last pixel.
        starts.resize(pixels + MAX_MR, starts[pixels - 1]);
        for (i, runs) in program.pieces.iter().enumerate() {
            for pixel in (0..pixels).step_by(mr) {
                let mut rows = [0; MAX_MR];
                rows.copy_from_slice(&starts[pixel..pixel + MAX_MR]);
                let c = ys.add(pixel * width);
                let bias = self.biases.add(g * self.padded + block.first);
                let (base, base_step) = if i == 0 { (bias, 0) } else { (c.cast_const(), width) };
                kernel(&Tile {
                    a: xs,
                    rows,
                    m: mr.min(pixels - pixel),
                    a_step: 1,
                    runs,
                    panel,
                    base,
                    base_step,
                    c,
                    c_step: width,
                    relu: self.relu && i + 1 == program.pieces.len(),
                });
            }
            panel = panel.add(runs.iter().map(|run| run.len).sum::<usize>() * width);
        }
        starts.truncate(pixels);
    }

    /// Writes one image's part of a block's result to y.
    unsafe fn store(
        &self,
        pass: &Pass,
        block: Block,
        ys: *const T,
        (image, g): (usize, usize),
        band: usize,
        rows: usize,
    ) {
        let p = self.p;
        let width = block.nv * self.kernels.lanes;
        let valid = width.min(p.c_out - block.first);
        let plane = p.output[0] * p.output[1];
        let channel = (image * p.groups + g) * p.c_out + block.first;
        let y = self.y.add(channel * plane);
        if p.out_step == [1, 1] {
            let to = y.add(band * p.output[1]);
            (self.kernels.transpose)(&Transpose {
                src: ys,
                src_step: width,
                dst: to,
                dst_step: plane,
                rows: rows * pass.cols,
                cols: valid,
            });
            return;
        }
        for t in 0..rows {
            let row = pass.first[0] + (band + t) * p.out_step[0];
            let to = y.add(row * p.output[1] + pass.first[1]);
            let from = ys.add(t * pass.cols * width);
            for lane in 0..valid {
                for u in 0..pass.cols {
                    *to.add(lane * plane + u * p.out_step[1]) = *from.add(u * width + lane);
                }
            }
        }
    }
}
