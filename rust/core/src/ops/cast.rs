//! Copies: to another dtype, another device, another layout; and the plumbing built from them.

use super::{Attr, Call, OpDef, Spec};
use crate::apply::call;
use crate::autograd::Vjp;
use crate::cpu::map::{self, In, Out};
use crate::cpu::{runs, transpose};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, show};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&ALIAS, &CAST, &TO_DEVICE, &CLONE];

pub static ALIAS: OpDef = OpDef::view(
    "alias",
    "input: Tensor",
    "The same elements as a new variable",
    |l, _| Ok(l.clone()),
    |v| Vjp::only(v.g(0)),
)
.private();

/// The gradient is cast back by the engine, which gives every gradient its tensor's dtype.
pub static CAST: OpDef = OpDef::kernel(
    "cast",
    "input: Tensor, dtype: dtype",
    "The elements converted to another dtype",
    |c| Ok(smallvec![Spec::new(c.x(0).shape(), c.dtype(0).unwrap_or(c.x(0).dtype()))]),
    copy_kernel,
)
.gpu(copy_kernel)
.vjp(|v| Vjp::only(v.g(0)), 0, 0)
.public("to")
.private();

pub static CLONE: OpDef = OpDef::kernel(
    "clone",
    "input: Tensor",
    "A contiguous copy",
    |c| Ok(smallvec![Spec::like(c.x(0))]),
    copy_kernel,
)
.gpu(copy_kernel)
.vjp(|v| Vjp::only(v.g(0)), 0, 0);

pub static TO_DEVICE: OpDef = OpDef::new(
    "to_device",
    "input: Tensor, device: device",
    "The elements on another device",
    super::Body::Dynamic { cpu: Some(move_to), gpu: Some(move_to) },
)
.vjp(|v| Vjp::only(v.g(0)), 0, 0)
.public("to")
.private();

fn copy_kernel(c: &Call, outs: &[Tensor]) -> Result<()> {
    raw_copy(c.x(0), &outs[0])
}

fn move_to(c: &Call) -> Result<super::Outs> {
    let Attr::Device(device) = c.attr(0) else {
        return Err(Error::type_("device must be \"cpu\" or \"gpu\""));
    };
    let out = Tensor::empty(c.x(0).shape(), c.x(0).dtype(), *device)?;
    raw_copy(c.x(0), &out)?;
    Ok(smallvec![out])
}

pub fn to(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.dtype() == dtype && !t.is_wrapped() {
        return Ok(t.clone());
    }
    call(&CAST, &[t], &[dtype.into()])
}

/// As `to`, but a Python number that the dtype does not hold is an error: for values that are stored as they are.
pub fn fit(value: &Tensor, dtype: DType) -> Result<Tensor> {
    match value.as_number() {
        Some(n) => n.exact(dtype),
        None => to(value, dtype),
    }
}

pub fn to_device(t: &Tensor, device: Device) -> Result<Tensor> {
    if t.device() == device { Ok(t.clone()) } else { call(&TO_DEVICE, &[t], &[device.into()]) }
}

pub fn contiguous(t: &Tensor) -> Result<Tensor> {
    if t.is_contiguous() { Ok(t.clone()) } else { call(&CLONE, &[t], &[]) }
}

/// A contiguous copy, on the tape.
pub fn copy(t: &Tensor) -> Result<Tensor> {
    call(&CLONE, &[t], &[])
}

/// A contiguous copy without history.
pub fn copy_data(t: &Tensor) -> Result<Tensor> {
    let out = Tensor::empty(t.shape(), t.dtype(), t.device())?;
    raw_copy(t, &out)?;
    Ok(out)
}

pub fn full(shape: &[usize], value: f64, dtype: DType, device: Device) -> Result<Tensor> {
    if value == 0.0 && value.is_sign_positive() {
        return Tensor::zeros(shape, dtype, device);
    }
    let out = Tensor::empty(shape, dtype, device)?;
    fill(&out, &Tensor::scalar(value, dtype)?)?;
    Ok(out)
}

pub fn full_like(t: &Tensor, value: f64) -> Result<Tensor> {
    full(t.shape(), value, t.dtype(), t.device())
}

/// Writes a 0-d CPU value into every element.
pub fn fill(dst: &Tensor, value: &Tensor) -> Result<()> {
    let wide = value.alias(value.layout().expand(dst.shape())?);
    match dst.device() {
        Device::Cpu => cpu_copy(&wide, dst),
        Device::Gpu => crate::gpu::map::fill(dst, value)?,
    }
    Ok(())
}

/// The sum over the dimensions along which `shape` was broadcast.
pub fn sum_to(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let lead = t.ndim().checked_sub(shape.len()).ok_or_else(|| {
        Error::shape(format!("cannot sum shape {} to {}", show(t.shape()), show(shape)))
    })?;
    let dims: Vec<i64> = (0..t.ndim())
        .filter(|&d| d < lead || (shape[d - lead] == 1 && t.shape()[d] != 1))
        .map(|d| d as i64)
        .collect();
    let summed = if dims.is_empty() {
        t.clone()
    } else {
        call(&super::reduce::SUM, &[t], &[dims[..].into(), true.into(), t.dtype().into()])?
    };
    if summed.shape() == shape { Ok(summed) } else { super::view::reshape(&summed, shape) }
}

/// `dst += src` on memory the engine owns: no history, no version.
pub fn add_into(dst: &Tensor, src: &Tensor) -> Result<()> {
    let inputs = [Some(dst.clone()), Some(src.clone())];
    let op = &super::elementwise::add;
    let c = Call { op, inputs: &inputs, attrs: super::expr::ONE };
    if super::row::run_into(op, &c, dst)? {
        return Ok(());
    }
    let _mode = crate::autograd::NoGrad::new();
    raw_copy(&call(op, &[dst, src], super::expr::ONE)?, dst)
}

/// Stores `value`, broadcast and cast, into the memory of `x`.
pub fn store(x: &Tensor, value: &Tensor) -> Result<()> {
    let value = value.alias(value.layout().expand(x.shape())?);
    if value.overlaps(x) && !value.is_twin(x) {
        return raw_copy(&copy_data(&value)?, x);
    }
    raw_copy(&value, x)
}

/// Copies elements between tensors of one shape, whatever their dtypes, strides and devices.
pub fn raw_copy(src: &Tensor, dst: &Tensor) -> Result<()> {
    debug_assert_eq!(src.shape(), dst.shape());
    if src.numel() == 0 {
        return Ok(());
    }
    // Bools in memory that others can write may have come to hold other bytes than 0 and 1: a copy has those two.
    if (src.dtype(), dst.dtype(), src.device()) == (DType::Bool, DType::Bool, Device::Cpu) {
        let bytes = Tensor::from_parts(src.storage().clone(), src.layout().clone(), DType::U8);
        return raw_copy(&bytes, dst);
    }
    match (src.device(), dst.device()) {
        (Device::Cpu, Device::Cpu) => cpu_copy(src, dst),
        (Device::Gpu, Device::Gpu) => crate::gpu::map::copy(src, dst)?,
        (Device::Cpu, Device::Gpu) => {
            let staged = dense(src, dst.dtype())?;
            let size = dst.dtype().size();
            let bytes = dst.numel() * size;
            // SAFETY: `staged` is contiguous and has `bytes` bytes.
            let data = unsafe { std::slice::from_raw_parts(staged.byte_ptr(), bytes) };
            if dst.is_contiguous() {
                let buffer = dst.buffer();
                buffer.gpu().upload(buffer, dst.layout().offset * size, data)?;
            } else {
                let whole = Tensor::empty(dst.shape(), dst.dtype(), Device::Gpu)?;
                raw_copy(&staged, &whole)?;
                crate::gpu::map::copy(&whole, dst)?;
            }
        }
        (Device::Gpu, Device::Cpu) => {
            let staged = dense(src, src.dtype())?;
            let out = if dst.is_contiguous() && dst.dtype() == src.dtype() {
                dst.detach()
            } else {
                Tensor::empty(src.shape(), src.dtype(), Device::Cpu)?
            };
            let size = src.dtype().size();
            // SAFETY: `out` is contiguous CPU memory of that many bytes.
            let data =
                unsafe { std::slice::from_raw_parts_mut(out.byte_ptr(), out.numel() * size) };
            let buffer = staged.buffer();
            buffer.gpu().download(buffer, staged.layout().offset * size, data)?;
            if !out.same_storage(dst) {
                cpu_copy(&out, dst);
            }
        }
    }
    Ok(())
}

/// A contiguous tensor of this dtype on the same device, without history.
pub fn dense(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.is_contiguous() && t.dtype() == dtype {
        return Ok(t.detach());
    }
    let out = Tensor::empty(t.shape(), dtype, t.device())?;
    raw_copy(t, &out)?;
    Ok(out)
}

fn cpu_copy(src: &Tensor, dst: &Tensor) {
    let n = dst.numel();
    if src.dtype() == dst.dtype() && src.is_contiguous() && dst.is_contiguous() {
        let size = src.dtype().size();
        let (from, to) = (src.byte_ptr() as usize, dst.byte_ptr() as usize);
        crate::cpu::threads::for_range(n, 16 * map::GRAIN, &|r| {
            // SAFETY: both have n contiguous elements; `copy` allows them to be the same memory.
            unsafe {
                std::ptr::copy(
                    (from as *const u8).add(r.start * size),
                    (to as *mut u8).add(r.start * size),
                    r.len() * size,
                );
            }
        });
        return;
    }
    if src.dtype() == dst.dtype() && n > 0 {
        let size = src.dtype().size();
        let (from, to) = (src.byte_ptr(), dst.byte_ptr());
        // Dimensions that stay together are one.
        let (shape, strides) =
            crate::layout::coalesce(dst.shape(), &[src.strides(), dst.strides()]);
        // SAFETY: both are valid for the shape; the callers rule out partial overlap.
        let done = unsafe {
            runs::copy(&shape, from, &strides[0], to, &strides[1], size)
                || dst.is_contiguous() && transpose::copy(&shape, from, &strides[0], to, size)
        };
        if done {
            return;
        }
    }
    let compute = map::copy_compute(src.dtype(), dst.dtype());
    let strides = |l: &Layout| -> Dims { l.strides.clone() };
    let ins =
        [In { ptr: src.byte_ptr(), dtype: src.dtype(), strides: strides(src.layout()), compute }];
    let out =
        Out { ptr: dst.byte_ptr(), dtype: dst.dtype(), strides: strides(dst.layout()), compute };
    // SAFETY: both are valid for the shape; the callers rule out partial overlap.
    unsafe { map::map(dst.shape(), &ins, &out, map::identity(compute), &[]) };
}
