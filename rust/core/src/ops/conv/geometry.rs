//! The sizes of a convolution, worked out and checked from shapes and arguments.

use super::cpu::ConvShape;
use crate::error::{Error, Result};
use crate::layout::{Dims, checked_numel, show};
use crate::ops::Call;
use crate::tensor::Tensor;

/// The window's arguments for both spatial axes; a sequence is an image of height 1.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
}

/// Argument `i` (one int, or one for each axis), as [for height, for width].
pub fn axes(c: &Call, i: usize, rank: usize, name: &str, least: i64) -> Result<[usize; 2]> {
    let given = c.ints(i);
    if given.len() != 1 && given.len() != rank {
        return Err(Error::value(format!("{name} must be an int or {rank} ints, got {given:?}")));
    }
    if let Some(bad) = given.iter().find(|&&v| v < least || v > i64::from(i32::MAX)) {
        return Err(Error::value(format!(
            "{name} must be at least {least} and below 2^31, got {bad}"
        )));
    }
    let last = given[given.len() - 1] as usize;
    Ok(if rank == 1 { [least as usize, last] } else { [given[0] as usize, last] })
}

impl Window {
    /// Reads stride, padding and dilation from argument `first` on.
    pub fn read(c: &Call, first: usize, rank: usize) -> Result<Self> {
        Ok(Self {
            stride: axes(c, first, rank, "stride", 1)?,
            padding: axes(c, first + 1, rank, "padding", 0)?,
            dilation: axes(c, first + 2, rank, "dilation", 1)?,
        })
    }
}

pub fn groups(c: &Call, i: usize) -> Result<usize> {
    match c.int(i) {
        g if g >= 1 => Ok(g as usize),
        g => Err(Error::value(format!("groups must be positive, got {g}"))),
    }
}

/// The last two sizes of a shape as an image; a sequence has height 1.
fn image(shape: &[usize], rank: usize) -> [usize; 2] {
    let last = shape[shape.len() - 1];
    [if rank == 1 { 1 } else { shape[shape.len() - 2] }, last]
}

/// The shape of the result of `x` (N, C, ..) or (C, ..) and a weight (out, C / groups, ..).
pub fn forward(
    x: &[usize],
    w: &[usize],
    window: &Window,
    groups: usize,
    rank: usize,
) -> Result<(ConvShape, Dims)> {
    let batched = x.len() == rank + 2;
    if !batched && x.len() != rank + 1 {
        return Err(Error::shape(format!(
            "expected a {}-D (unbatched) or {}-D (batched) input, got shape {}",
            rank + 1,
            rank + 2,
            show(x)
        ))
        .hint("the layout is (N, C, ...spatial)"));
    }
    if w.len() != rank + 2 || w[2..].contains(&0) || w[0] == 0 || w[1] == 0 {
        return Err(Error::shape(format!(
            "the weight must be (out_channels, in_channels / groups, ...kernel) with {} dimensions \
             and no size of 0, got shape {}",
            rank + 2,
            show(w)
        )));
    }
    let c_in = x[x.len() - rank - 1];
    if w[1].checked_mul(groups) != Some(c_in) {
        return Err(Error::shape(format!(
            "given groups={groups} and a weight of shape {}, expected the input {} to have {} \
             channels, but got {c_in} channels instead",
            show(w),
            show(x),
            w[1].saturating_mul(groups)
        )));
    }
    if !w[0].is_multiple_of(groups) {
        return Err(Error::shape(format!(
            "the {} output channels of a weight of shape {} cannot be split into {groups} groups",
            w[0],
            show(w)
        )));
    }
    let mut s = ConvShape {
        n: if batched { x[0] } else { 1 },
        c_in,
        h: image(x, rank)[0],
        w: image(x, rank)[1],
        c_out: w[0],
        kh: image(w, rank)[0],
        kw: image(w, rank)[1],
        stride: window.stride,
        padding: window.padding,
        dilation: window.dilation,
        groups,
        oh: 0,
        ow: 0,
    };
    let (size, kernel) = ([s.h, s.w], [s.kh, s.kw]);
    let mut out = [0; 2];
    for a in 0..2 {
        let padded = size[a] + 2 * s.padding[a];
        let reach = (kernel[a] - 1).saturating_mul(s.dilation[a]);
        if size[a] == 0 || reach >= padded {
            return Err(Error::shape(format!(
                "the padded input size per axis, {padded}, is smaller than the dilated kernel, {}: \
                 input {}, weight {}",
                reach.saturating_add(1),
                show(x),
                show(w)
            )));
        }
        out[a] = (padded - reach - 1) / s.stride[a] + 1;
        // A step never taken may have any length; a short one keeps the kernels' tables small.
        if out[a] == 1 {
            s.stride[a] = 1;
        }
        if kernel[a] == 1 {
            s.dilation[a] = 1;
        }
    }
    [s.oh, s.ow] = out;
    let mut dims: Dims = x[..x.len() - rank - 1].into();
    dims.push(s.c_out);
    dims.extend_from_slice(&out[2 - rank..]);
    check_padding(size, out, s.padding, s.c_in / groups)?;
    Ok((s, dims))
}

/// Kernels work on padded copies of a few planes; a padding that dwarfs the images is refused before it
/// exhausts the memory.
pub fn check_padding(
    size: [usize; 2],
    out: [usize; 2],
    padding: [usize; 2],
    channels: usize,
) -> Result<()> {
    let padded = [size[0] + 2 * padding[0], size[1] + 2 * padding[1]];
    let most = size[0].saturating_mul(size[1]).saturating_add(out[0].saturating_mul(out[1]));
    let most = most.saturating_mul(64).max((1 << 26) / channels.max(1));
    if checked_numel(&padded).is_ok_and(|n| n <= most) {
        return Ok(());
    }
    Err(Error::memory(format!(
        "a padding of {padding:?} around {} x {} pixels is too large",
        size[0], size[1]
    )))
}

/// The sizes of a call of an op: the forward's, whose input and weight have these shapes.
pub fn of_call(c: &Call, first: usize, x: &[usize], w: &[usize]) -> Result<(ConvShape, Dims)> {
    let rank = w.len().saturating_sub(2).clamp(1, 2);
    forward(x, w, &Window::read(c, first, rank)?, groups(c, first + 3)?, rank)
}

/// The input shape whose spatial sizes are argument 0, for a result of shape `y`.
pub fn input_shape(c: &Call, y: &[usize], w: &[usize]) -> Result<Dims> {
    let rank = w.len().saturating_sub(2).clamp(1, 2);
    let size = sizes(c, rank)?;
    let channels = w.get(1).copied().unwrap_or(0).saturating_mul(groups(c, 4)?);
    let mut x: Dims = y[..y.len().saturating_sub(rank + 1)].into();
    x.push(channels);
    x.extend(size);
    Ok(x)
}

/// The weight shape whose spatial sizes are argument 0.
pub fn weight_shape(c: &Call, x: &Tensor, y: &Tensor) -> Result<Dims> {
    let rank = c.ints(0).len();
    let size = sizes(c, rank)?;
    let channel = |t: &Tensor| t.ndim().checked_sub(rank + 1).map_or(0, |i| t.shape()[i]);
    let mut w: Dims = [channel(y), channel(x) / groups(c, 4)?][..].into();
    w.extend(size);
    Ok(w)
}

fn sizes(c: &Call, rank: usize) -> Result<Dims> {
    let size = c.ints(0);
    if size.len() != rank || !(1..=2).contains(&rank) || size.iter().any(|&s| s < 1) {
        return Err(Error::value(format!("size must be {rank} positive ints, got {size:?}")));
    }
    Ok(size.iter().map(|&s| s as usize).collect())
}
