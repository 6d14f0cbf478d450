//! The CPU kernels under the ops: contiguous operands, half types computed in float32.

use super::cpu::{self, Divisor};
use super::geometry::{AVERAGE, MAX, adaptive, input_shape, planes, rank, windows};
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

/// Runs the body with `T` f32 or f64, by the result's dtype, and pointers to contiguous data of that type.
macro_rules! floats {
    ($x:expr, $out:expr, $t:ident, |$from:ident, $to:ident| $body:expr) => {{
        let (x, out): (&Tensor, &Tensor) = ($x, $out);
        let dtype = if out.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let x = cast::dense(x, dtype)?;
        let direct = out.dtype() == dtype;
        let wide =
            if direct { out.detach() } else { Tensor::empty(out.shape(), dtype, Device::Cpu)? };
        if dtype == DType::F64 {
            type $t = f64;
            let ($from, $to) = (x.ptr::<$t>().cast_const(), wide.ptr::<$t>());
            $body
        } else {
            type $t = f32;
            let ($from, $to) = (x.ptr::<$t>().cast_const(), wide.ptr::<$t>());
            $body
        }
        if !direct {
            cast::raw_copy(&wide, out)?;
        }
        Ok(())
    }};
}

pub fn max(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = windows(c, c.x(0).shape(), &MAX)?;
    let index = outs[1].ptr::<i64>();
    floats!(c.x(0), &outs[0], T, |x, y| {
        // SAFETY: the tensors have the shape's sizes.
        unsafe { cpu::max_pool2d::<T>(&s, x, y, index, &threads::run) }
    })
}

pub fn adaptive_max(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = adaptive(c.x(0).shape(), c.ints(0))?;
    let index = outs[1].ptr::<i64>();
    floats!(c.x(0), &outs[0], T, |x, y| {
        // SAFETY: the tensors have the shape's sizes.
        unsafe { cpu::adaptive_max_pool2d::<T>(&s, x, y, index, &threads::run) }
    })
}

/// Both kinds of maxima: the indices say all.
pub fn scatter(c: &Call, outs: &[Tensor]) -> Result<()> {
    let rank = rank(c, 0)?;
    let (n_c, [h, w]) = planes(outs[0].shape(), rank)?;
    let outputs: usize = c.x(0).shape()[c.x(0).ndim() - rank..].iter().product();
    let s = cpu::AdaptiveShape { n_c, h, w, oh: 1, ow: outputs };
    let index = cast::dense(c.x(1), DType::I64)?;
    floats!(c.x(0), &outs[0], T, |g, x| {
        let index = index.ptr::<i64>();
        // SAFETY: the tensors have the shape's sizes; indices outside a plane are passed over.
        unsafe { cpu::adaptive_max_pool2d_backward::<T>(&s, g, index, x, &threads::run) }
    })
}

/// Elements that a task moves.
const GRAIN: usize = 1 << 14;

/// y[o] = x[index[o]] within each plane, 0 where the index is outside.
pub fn gather(c: &Call, outs: &[Tensor]) -> Result<()> {
    let rank = rank(c, 0)?;
    let (_, [h, w]) = planes(c.x(0).shape(), rank)?;
    let outputs: usize = c.x(1).shape()[c.x(1).ndim() - rank..].iter().product();
    let index = cast::dense(c.x(1), DType::I64)?;
    let index = index.ptr::<i64>() as usize;
    let n = outs[0].numel();
    floats!(c.x(0), &outs[0], T, |x, y| {
        let (x, y) = (x as usize, y as usize);
        threads::for_range(n, GRAIN, &|range| {
            for i in range {
                // SAFETY: `index` and `y` have n elements; the place in `x` is checked to lie in its plane.
                unsafe {
                    let at = *(index as *const i64).add(i) as usize;
                    let plane = (x as *const T).add(i / outputs * h * w);
                    *(y as *mut T).add(i) = if at < h * w { *plane.add(at) } else { 0.0 };
                }
            }
        });
    })
}

fn divisor(c: &Call, first: usize) -> Divisor {
    Divisor { count_include_pad: c.flag(first), divisor_override: c.opt_int(first + 1) }
}

pub fn average(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = windows(c, c.x(0).shape(), &AVERAGE)?;
    let by = divisor(c, 4);
    floats!(c.x(0), &outs[0], T, |x, y| {
        // SAFETY: the tensors have the shape's sizes.
        unsafe { cpu::avg_pool2d::<T>(&s, x, y, by, &threads::run) }
    })
}

pub fn average_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = windows(c, outs[0].shape(), &AVERAGE.after_size())?;
    let by = divisor(c, 5);
    floats!(c.x(0), &outs[0], T, |g, x| {
        // SAFETY: the tensors have the shape's sizes.
        unsafe { cpu::avg_pool2d_backward::<T>(&s, g, x, by, &threads::run) }
    })
}

pub fn adaptive_average(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = adaptive(c.x(0).shape(), c.ints(0))?;
    floats!(c.x(0), &outs[0], T, |x, y| {
        // SAFETY: the tensors have the shape's sizes.
        unsafe { cpu::adaptive_avg_pool2d::<T>(&s, x, y, &threads::run) }
    })
}

pub fn adaptive_average_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let g = c.x(0);
    let size = spatial(g.shape(), rank(c, 0)?);
    let (s, _) = adaptive(&input_shape(c, g.shape())?, &size)?;
    floats!(g, &outs[0], T, |g, x| {
        // SAFETY: the tensors have the shape's sizes.
        unsafe { cpu::adaptive_avg_pool2d_backward::<T>(&s, g, x, &threads::run) }
    })
}

/// The last sizes of a shape, as an argument.
pub fn spatial(shape: &[usize], rank: usize) -> Vec<i64> {
    shape[shape.len() - rank..].iter().map(|&n| n as i64).collect()
}
