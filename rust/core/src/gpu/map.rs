//! Elementwise work on the GPU: rows, their gradients, copies and fills, over operands of any
//! strides and dtypes.

pub(super) mod element;
mod source;
#[cfg(test)]
pub(super) mod tests;

use super::Kernel;
use crate::dtype::{Compute, DType, Element};
use crate::error::{Error, Result};
use crate::layout::{Dims, coalesce};
use crate::ops::row::{self, Class, GradRow, Row};
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::with_dtype;
use element::{Num, letter};
use smallvec::SmallVec;
use source::{Arg, MAX_DIMS, Mode, SHAPE, Source, THREADS};

/// The row's value for these inputs, which broadcast to the shape of `out`.
pub fn value(
    call: &Call,
    row: &'static Row,
    dtype: DType,
    inputs: &[&Tensor],
    out: &Tensor,
) -> Result<()> {
    let masked = usize::from(row.class == Class::Masked);
    let num = compute_for(call, dtype, &inputs[masked..]);
    let names = row.names();
    let mut operands = Operands::new();
    for (i, &x) in inputs.iter().enumerate() {
        let num = if i < masked { Num::Bool } else { num };
        operands.push(Operand::tensor(names.vars[i], num, x));
    }
    let compute = if num == Num::F32 { Compute::F32 } else { dtype.compute() };
    push_params(&mut operands, call, row, num, compute);
    let result = if row.class == Class::Compare { Num::Bool } else { num };
    let text = || {
        if num == Num::F32 {
            row.text.unwrap_or_default().to_owned()
        } else {
            source::suffixed(row.int_text.unwrap_or_default(), num)
        }
    };
    launch([call.op.name, ""], &text, &operands, result, out)
}

/// The gradient by one variable; `inputs` are g, the row's variables and its result, of which those that the derivative
/// does not read are stand-ins.
pub fn gradient(
    call: &Call,
    row: &'static Row,
    grad: &'static GradRow,
    inputs: &[&Tensor],
    out: &Tensor,
) -> Result<()> {
    let names = row.names();
    let this = |g: &&GradRow| g.var == grad.var;
    let found = names.grads.iter().flatten().find(|(g, _, _)| this(g));
    let (reads, reads_result) = found.map_or((u32::MAX, true), |&(_, mask, result)| (mask, result));
    let mut operands = Operands::new();
    operands.push(Operand::tensor(grad.g.unwrap_or("g_"), Num::F32, inputs[0]));
    for (i, &name) in names.vars.iter().enumerate() {
        let masked = i == 0 && row.class == Class::Masked;
        if reads >> i & 1 == 1 {
            let num = if masked { Num::Bool } else { Num::F32 };
            operands.push(Operand::tensor(name, num, inputs[1 + i]));
        }
    }
    if reads_result {
        operands.push(Operand::tensor(row.result, Num::F32, inputs[1 + names.vars.len()]));
    }
    push_params(&mut operands, call, row, Num::F32, Compute::F32);
    let text = || match grad.g {
        Some(_) => grad.text.to_owned(),
        None => format!("g_ * ({})", grad.text),
    };
    launch([call.op.name, grad.var], &text, &operands, Num::F32, out)
}

/// Copies elements of one shape, whatever the dtypes and strides of the two.
pub fn copy(src: &Tensor, dst: &Tensor) -> Result<()> {
    let raw = same_bits(src.dtype(), dst.dtype());
    if let Some(raw) = raw
        && src.is_contiguous()
        && dst.is_contiguous()
    {
        let size = raw.size();
        let (from, to) = (src.layout().offset * size, dst.layout().offset * size);
        let bytes = dst.numel() * size;
        if (from | to | bytes).is_multiple_of(4) {
            return dst.buffer().gpu().copy(src.buffer(), from, dst.buffer(), to, bytes);
        }
    }
    let (from, to) = raw.map_or((src.dtype(), dst.dtype()), |raw| (raw, raw));
    let num = if to == DType::Bool { Num::Bool } else { Num::of(from) };
    let mut operand = Operand::tensor("x", num, src);
    operand.dtype = from;
    launch_as(["copy", ""], &|| "x".to_owned(), &[operand], num, dst, to)
}

/// Writes a 0-d CPU value into every element.
pub fn fill(dst: &Tensor, value: &Tensor) -> Result<()> {
    let exact = Tensor::empty(&[], dst.dtype(), Device::Cpu)?;
    cast::raw_copy(value, &exact)?;
    let num = Num::of(dst.dtype());
    let operand = Operand::tensor("x", num, &exact);
    launch(["fill", ""], &|| "x".to_owned(), &[operand], num, dst)
}

/// An unsigned dtype of the size of both when a copy between them keeps the bits.
fn same_bits(src: DType, dst: DType) -> Option<DType> {
    let as_bits = |d: DType| !d.is_float();
    let kept = src == dst
        || (as_bits(src) && as_bits(dst) && src.size() == dst.size() && dst != DType::Bool);
    kept.then_some(match dst.size() {
        1 => DType::U8,
        2 => DType::U16,
        4 => DType::U32,
        _ => DType::U64,
    })
}

/// One variable of an expression: a GPU tensor, or the bits of a number.
struct Operand<'a> {
    name: &'a str,
    num: Num,
    dtype: DType,
    tensor: Option<&'a Tensor>,
    bits: u64,
}

type Operands<'a> = SmallVec<[Operand<'a>; 8]>;

impl<'a> Operand<'a> {
    /// 0-d CPU tensors go along as numbers: nothing is uploaded.
    fn tensor(name: &'a str, num: Num, t: &'a Tensor) -> Self {
        let on_gpu = t.device() == Device::Gpu;
        let bits = if on_gpu { 0 } else { scalar_bits(t, num) };
        Self { name, num, dtype: t.dtype(), tensor: on_gpu.then_some(t), bits }
    }
}

fn push_params(to: &mut Operands<'_>, call: &Call, row: &'static Row, num: Num, compute: Compute) {
    let bits = row::params(call, compute);
    for (&name, bits) in row.names().params.iter().zip(bits) {
        to.push(Operand { name, num, dtype: DType::F32, tensor: None, bits });
    }
}

/// The 0-d CPU tensor's value, converted as the CPU's loads do.
fn scalar_bits(t: &Tensor, num: Num) -> u64 {
    with_dtype!(t.dtype(), T => {
        // SAFETY: a 0-d CPU tensor of this dtype has one element.
        let v = unsafe { *t.ptr::<T>() };
        match num {
            Num::F32 => v.to_f32().to_bits() as u64,
            Num::U64 => v.to_u64(),
            Num::Bool => u64::from(v != T::default()),
            _ => v.to_i64() as u64,
        }
    })
}

/// The narrowest type that gives what the CPU's 64 bits give: small integers are computed in 32.
fn compute_for(call: &Call, dtype: DType, inputs: &[&Tensor]) -> Num {
    let Some(mut range) = dtype.int_range() else { return Num::F32 };
    if dtype == DType::U64 {
        return Num::U64;
    }
    let mut hold = |(lo, hi): (i128, i128)| range = (range.0.min(lo), range.1.max(hi));
    for t in inputs {
        if t.device() == Device::Cpu {
            let v = scalar_bits(t, Num::I64) as i64 as i128;
            hold((v, v));
        } else if let Some(r) = t.dtype().int_range() {
            hold(r);
        }
    }
    for v in row::params(call, Compute::I64) {
        hold((v as i64 as i128, v as i64 as i128));
    }
    let within = |d: DType| d.int_range().is_some_and(|(lo, hi)| lo <= range.0 && range.1 <= hi);
    if within(DType::I32) {
        Num::I32
    } else if within(DType::U32) {
        Num::U32
    } else {
        Num::I64
    }
}

fn launch(
    key: [&str; 2],
    text: &dyn Fn() -> String,
    operands: &[Operand],
    result: Num,
    out: &Tensor,
) -> Result<()> {
    launch_as(key, text, operands, result, out, out.dtype())
}

/// The walk over the operands after neighbouring dimensions were joined; operand 0 is the result.
struct Walk {
    shape: Dims,
    strides: SmallVec<[Dims; 4]>,
    offsets: Dims,
}

/// Records the kernel; `dtype` is what the result's bytes are taken for.
fn launch_as(
    key: [&str; 2],
    text: &dyn Fn() -> String,
    operands: &[Operand],
    result: Num,
    out: &Tensor,
    dtype: DType,
) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let tensors = || operands.iter().filter_map(|o| o.tensor);
    let most = u32::MAX as usize - 4 * THREADS;
    if out.numel() > most || tensors().chain([out]).any(|t| t.layout().extent() > most) {
        return Err(Error::memory("GPU kernels reach the first 2^32 elements of a tensor only")
            .hint("split the tensor, or use device=\"cpu\""));
    }
    let wide: SmallVec<[Dims; 6]> =
        tensors().map(|t| row::broadcast_strides(t, out.shape())).collect();
    let mut all: SmallVec<[&[usize]; 7]> = smallvec::smallvec![out.strides()];
    all.extend(wide.iter().map(|s| &s[..]));
    let (mut shape, mut strides) = coalesce(out.shape(), &all);
    if shape.is_empty() {
        shape.push(1);
        strides.iter_mut().for_each(|s| s.push(1));
    }
    let offsets: Dims = [out].into_iter().chain(tensors()).map(|t| t.layout().offset).collect();
    let walk = Walk { shape, strides, offsets };

    let mode = mode(&walk, out, dtype);
    let args: SmallVec<[Arg; 8]> = operands
        .iter()
        .map(|o| Arg { name: o.name, num: o.num, buffer: o.tensor.map(|_| o.dtype) })
        .collect();
    let key = kernel_key(key, &args, result, dtype, mode);
    let source = || Source { args: &args, text: text(), result, out: dtype, mode }.wgsl();
    let kernel = Kernel { key: &key, source: &source };
    let buffers: SmallVec<[_; 7]> = tensors().chain([out]).map(Tensor::buffer).collect();
    let mut params: SmallVec<[u32; 64]> = SmallVec::from_elem(0, SHAPE);
    let scalars = operands.iter().filter(|o| o.tensor.is_none());
    for (i, o) in scalars.enumerate() {
        params[source::SCALARS + 2 * i] = o.bits as u32;
        params[source::SCALARS + 2 * i + 1] = (o.bits >> 32) as u32;
    }
    walk.record(&mut |walk| {
        let n: usize = walk.shape.iter().product();
        let inner = walk.shape[walk.shape.len() - 1];
        params.truncate(SHAPE);
        params[source::COUNT] = n as u32;
        params[source::DIMS] = walk.shape.len() as u32;
        params[source::QUADS] = u32::from(inner.is_multiple_of(4));
        for (i, &at) in walk.offsets.iter().enumerate() {
            params[source::OFFSETS + i] = at as u32;
        }
        let tables = [&walk.shape].into_iter().chain(&walk.strides);
        params.extend(tables.flat_map(|d| d.iter().rev().map(|&v| v as u32)));
        let gpu = out.buffer().gpu();
        let groups = gpu.fold_groups(n.div_ceil(4 * THREADS) as u64);
        gpu.dispatch(&kernel, &buffers, &params, groups)
    })
}

impl Walk {
    /// Calls `f` with pieces that have few enough dimensions.
    fn record(self, f: &mut dyn FnMut(&Self) -> Result<()>) -> Result<()> {
        if self.shape.len() <= MAX_DIMS {
            return f(&self);
        }
        for i in 0..self.shape[0] {
            let strides: SmallVec<[Dims; 4]> = self.strides.iter().map(|s| s[1..].into()).collect();
            let starts = self.offsets.iter().zip(&self.strides).map(|(at, s)| at + i * s[0]);
            let piece = Self { shape: self.shape[1..].into(), strides, offsets: starts.collect() };
            piece.record(f)?;
        }
        Ok(())
    }

    fn is_run(&self) -> bool {
        self.shape.len() == 1 && self.strides.iter().all(|s| s[0] == 1)
    }
}

fn mode(walk: &Walk, out: &Tensor, dtype: DType) -> Mode {
    let n = out.numel();
    if walk.is_run() && n.is_multiple_of(4) && walk.offsets.iter().all(|o| o.is_multiple_of(4)) {
        return Mode::Quads;
    }
    let size = dtype.size();
    let (start, end) = (out.layout().offset * size, (out.layout().offset + n) * size);
    // The padding after the last byte of a buffer is nobody's.
    let whole = start.is_multiple_of(4)
        && (end.is_multiple_of(4) || end == out.buffer().bytes())
        && out.is_contiguous()
        && walk.shape.len() <= MAX_DIMS;
    if size < 4 && whole { Mode::Words } else { Mode::Scatter }
}

fn kernel_key(name: [&str; 2], args: &[Arg], result: Num, out: DType, mode: Mode) -> String {
    let mut key = String::with_capacity(48);
    key.push_str("map.");
    key.push_str(name[0]);
    key.push('.');
    key.push_str(name[1]);
    key.push(match mode {
        Mode::Quads => ':',
        Mode::Words => ';',
        Mode::Scatter => '!',
    });
    for arg in args {
        key.push(arg.num.tag());
        key.push(arg.buffer.map_or('-', letter));
    }
    key.push(result.tag());
    key.push(letter(out));
    key
}
