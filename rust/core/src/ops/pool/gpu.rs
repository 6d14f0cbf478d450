//! The GPU kernels. A task folds a rectangle for one element: the window of a result, or, on the way back, the
//! results whose windows hold an element, so that no two threads write to one place.

use super::cpu::{AdaptiveShape, PoolShape};
use super::geometry::{AVERAGE, MAX, adaptive, input_shape, planes, rank, windows};
use super::kernels::spatial;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Kernel};
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

const TEXT: &str = include_str!("gpu.wgsl");
const WINDOWS: &str = include_str!("windows.wgsl");
const ADAPTIVE: &str = include_str!("adaptive.wgsl");

/// Threads of a workgroup; as many share a task whose rectangle has at least this many elements.
const LANES: usize = 64;

/// What both kinds of windows are to a kernel.
struct Grid {
    adaptive: bool,
    input: [usize; 2],
    output: [usize; 2],
    /// Kernel, stride, padding and dilation.
    window: [[usize; 2]; 4],
    /// The most elements of a window, and the most windows that hold an element.
    reach: usize,
    users: usize,
}

impl Grid {
    fn fixed(s: &PoolShape) -> Self {
        let kernel = [s.kh, s.kw];
        let span = |a: usize| ((kernel[a] - 1) * s.dilation[a] + 1).div_ceil(s.stride[a]);
        Self {
            adaptive: false,
            input: [s.h, s.w],
            output: [s.oh, s.ow],
            window: [kernel, s.stride, s.padding, s.dilation],
            reach: s.kh.min(s.h).saturating_mul(s.kw.min(s.w)),
            users: span(0).min(s.oh).saturating_mul(span(1).min(s.ow)),
        }
    }

    fn even(s: &AdaptiveShape) -> Result<Self> {
        let (input, output) = ([s.h, s.w], [s.oh, s.ow]);
        if (0..2).any(|a| (input[a] + 1).saturating_mul(output[a] + 1) > u32::MAX as usize) {
            return Err(Error::memory(
                "GPU adaptive pooling is limited to 2^32 pairs of positions",
            )
            .hint("use device=\"cpu\""));
        }
        let per = |n: [usize; 2], of: [usize; 2]| {
            (0..2).map(|a| n[a].div_ceil(of[a].max(1)) + 1).product::<usize>()
        };
        Ok(Self {
            adaptive: true,
            input,
            output,
            window: [[1, 1]; 4],
            reach: per(input, output),
            users: per(output, input),
        })
    }

    /// The windows of a call whose argument `first` is the kernel size; without one they are adaptive.
    fn of_scatter(c: &Call, x: &[usize], y: &[usize]) -> Result<Self> {
        if c.ints(1).is_empty() {
            return Self::even(&adaptive(x, &spatial(y, rank(c, 0)?))?.0);
        }
        Ok(Self::fixed(&windows(c, x, &MAX.after_size())?.0))
    }
}

/// What an average divides by: the offset of `count_include_pad` among the arguments.
fn divisor(c: &Call, first: usize) -> [u32; 3] {
    let by = c.opt_int(first + 1);
    let value = by.unwrap_or(1) as f32;
    [u32::from(c.flag(first)), u32::from(by.is_some()), value.to_bits()]
}

/// One kernel: `name` is the section of the text, `inputs` and `outs` what it binds in this order.
struct Pass<'a> {
    name: &'a str,
    grid: &'a Grid,
    inputs: &'a [&'a Tensor],
    outs: &'a [&'a Tensor],
    divisor: [u32; 3],
    /// Elements that a task folds at most.
    fold: usize,
}

impl Pass<'_> {
    fn run(&self) -> Result<()> {
        let (g, tasks) = (self.grid, self.outs[0].numel());
        if tasks == 0 {
            return Ok(());
        }
        let most = u32::MAX as usize / 2;
        let sizes = [tasks, g.input[0] * g.input[1], self.inputs[0].numel()];
        if sizes.iter().any(|&n| n > most) {
            return Err(Error::memory("GPU pooling reaches the first 2^31 elements only")
                .hint("split the tensor, or use device=\"cpu\""));
        }
        let width = if self.fold >= LANES { LANES } else { 1 };
        let mut params = vec![tasks as u32, width as u32];
        let mut offsets = [0; 4];
        let tensors = self.inputs.iter().chain(self.outs);
        for (to, t) in offsets.iter_mut().zip(tensors) {
            *to = t.layout().offset;
        }
        let sizes = [g.input, g.output].into_iter().chain(g.window).flatten();
        params.extend(offsets.into_iter().chain(sizes).map(|v| v as u32));
        params.extend(self.divisor);
        let axes = if g.adaptive { ADAPTIVE } else { WINDOWS };
        let key = format!("pool.{}.{}", self.name, if g.adaptive { "even" } else { "fixed" });
        let source = || section(TEXT, "fold").to_owned() + axes + section(TEXT, self.name);
        let kernel = Kernel { key: &key, source: &source };
        let buffers: Vec<&Buffer> =
            self.inputs.iter().chain(self.outs).map(|t| t.buffer()).collect();
        let gpu = self.outs[0].buffer().gpu();
        let groups = gpu.fold_groups((tasks * width).div_ceil(LANES) as u64);
        gpu.dispatch(&kernel, &buffers, &params, groups)
    }
}

/// The part of the text between `//// name` and the next such line.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let head = format!("//// {name}\n");
    let start = text.find(&head).map_or(text.len(), |i| i + head.len());
    text[start..].split("////").next().unwrap_or_default()
}

/// Runs a kernel that reads `x` and makes `out` in float32, whatever their types.
fn in_f32(x: &Tensor, out: &Tensor, f: impl FnOnce(&Tensor, &Tensor) -> Result<()>) -> Result<()> {
    let x = cast::dense(x, DType::F32)?;
    if out.dtype() == DType::F32 {
        return f(&x, out);
    }
    let wide = Tensor::empty(out.shape(), DType::F32, Device::Gpu)?;
    f(&x, &wide)?;
    cast::raw_copy(&wide, out)
}

fn maxima(grid: &Grid, c: &Call, outs: &[Tensor]) -> Result<()> {
    in_f32(c.x(0), &outs[0], |x, y| {
        let (inputs, outs) = ([x], [y, &outs[1]]);
        let fold = grid.reach;
        Pass { name: "max", grid, inputs: &inputs, outs: &outs, divisor: [0; 3], fold }.run()
    })
}

pub fn max(c: &Call, outs: &[Tensor]) -> Result<()> {
    maxima(&Grid::fixed(&windows(c, c.x(0).shape(), &MAX)?.0), c, outs)
}

pub fn adaptive_max(c: &Call, outs: &[Tensor]) -> Result<()> {
    maxima(&Grid::even(&adaptive(c.x(0).shape(), c.ints(0))?.0)?, c, outs)
}

pub fn scatter(c: &Call, outs: &[Tensor]) -> Result<()> {
    let grid = &Grid::of_scatter(c, outs[0].shape(), c.x(0).shape())?;
    let index = cast::dense(c.x(1), DType::I64)?;
    in_f32(c.x(0), &outs[0], |g, x| {
        let (inputs, outs) = ([g, &index], [x]);
        let fold = grid.users;
        Pass { name: "scatter", grid, inputs: &inputs, outs: &outs, divisor: [0; 3], fold }.run()
    })
}

pub fn gather(c: &Call, outs: &[Tensor]) -> Result<()> {
    let rank = rank(c, 0)?;
    let (n_c, [h, w]) = planes(c.x(0).shape(), rank)?;
    let y = outs[0].shape();
    let ow = y[y.len() - rank..].iter().product();
    let grid = &Grid::even(&AdaptiveShape { n_c, h: 1, w: h * w, oh: 1, ow })?;
    let index = cast::dense(c.x(1), DType::I64)?;
    in_f32(c.x(0), &outs[0], |x, y| {
        let (inputs, outs) = ([x, &index], [y]);
        Pass { name: "gather", grid, inputs: &inputs, outs: &outs, divisor: [0; 3], fold: 1 }.run()
    })
}

fn mean(grid: &Grid, divisor: [u32; 3], c: &Call, outs: &[Tensor]) -> Result<()> {
    in_f32(c.x(0), &outs[0], |x, y| {
        let (inputs, outs, fold) = ([x], [y], grid.reach);
        Pass { name: "mean", grid, inputs: &inputs, outs: &outs, divisor, fold }.run()
    })
}

fn mean_backward(grid: &Grid, divisor: [u32; 3], c: &Call, outs: &[Tensor]) -> Result<()> {
    in_f32(c.x(0), &outs[0], |g, x| {
        let (inputs, outs, fold) = ([g], [x], grid.users);
        Pass { name: "mean_backward", grid, inputs: &inputs, outs: &outs, divisor, fold }.run()
    })
}

pub fn average(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = windows(c, c.x(0).shape(), &AVERAGE)?;
    mean(&Grid::fixed(&s), divisor(c, 4), c, outs)
}

pub fn average_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = windows(c, outs[0].shape(), &AVERAGE.after_size())?;
    mean_backward(&Grid::fixed(&s), divisor(c, 5), c, outs)
}

pub fn adaptive_average(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = adaptive(c.x(0).shape(), c.ints(0))?;
    mean(&Grid::even(&s)?, [0; 3], c, outs)
}

pub fn adaptive_average_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let g = c.x(0);
    let size = spatial(g.shape(), rank(c, 0)?);
    let (s, _) = adaptive(&input_shape(c, g.shape())?, &size)?;
    mean_backward(&Grid::even(&s)?, [0; 3], c, outs)
}
