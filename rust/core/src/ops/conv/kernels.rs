//! The CPU kernels under the ops: contiguous operands, half types computed in float32.

use super::cpu::{ConvShape, Elem, conv2d, conv2d_grad_input, conv2d_grad_weight};
use super::geometry::{input_shape, of_call, weight_shape};
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

#[derive(Clone, Copy)]
enum Pass {
    Forward,
    GradInput,
    GradWeight,
}

pub fn forward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = of_call(c, 0, c.x(0).shape(), c.x(1).shape())?;
    run(Pass::Forward, &s, [c.x(0), c.x(1)], c.opt(2), &outs[0])
}

pub fn grad_input(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, w) = (c.x(0), c.x(1));
    let (s, _) = of_call(c, 1, &input_shape(c, g.shape(), w.shape())?, w.shape())?;
    run(Pass::GradInput, &s, [g, w], None, &outs[0])
}

pub fn grad_weight(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, g) = (c.x(0), c.x(1));
    let (s, _) = of_call(c, 1, x.shape(), &weight_shape(c, x, g)?)?;
    run(Pass::GradWeight, &s, [x, g], None, &outs[0])
}

fn run(
    pass: Pass,
    s: &ConvShape,
    [a, b]: [&Tensor; 2],
    bias: Option<&Tensor>,
    out: &Tensor,
) -> Result<()> {
    let dtype = if out.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let (a, b) = (cast::dense(a, dtype)?, cast::dense(b, dtype)?);
    let bias = bias.map(|b| cast::dense(b, dtype)).transpose()?;
    let direct = out.dtype() == dtype;
    let wide = if direct { out.detach() } else { Tensor::empty(out.shape(), dtype, Device::Cpu)? };
    if dtype == DType::F64 {
        typed::<f64>(pass, s, [&a, &b], bias.as_ref(), &wide);
    } else {
        typed::<f32>(pass, s, [&a, &b], bias.as_ref(), &wide);
    }
    if direct { Ok(()) } else { cast::raw_copy(&wide, out) }
}

fn typed<T: Elem>(
    pass: Pass,
    s: &ConvShape,
    [a, b]: [&Tensor; 2],
    bias: Option<&Tensor>,
    out: &Tensor,
) {
    let (a, b) = (a.ptr::<T>().cast_const(), b.ptr::<T>().cast_const());
    let bias = bias.map_or(std::ptr::null(), |b| b.ptr::<T>().cast_const());
    let (out, par) = (out.ptr::<T>(), &threads::run);
    // SAFETY: contiguous tensors whose shapes `s` was made from.
    unsafe {
        match pass {
            Pass::Forward => conv2d(s, a, b, bias, out, false, par),
            Pass::GradInput => conv2d_grad_input(s, a, b, out, par),
            Pass::GradWeight => conv2d_grad_weight(s, a, b, out, par),
        }
    }
}
