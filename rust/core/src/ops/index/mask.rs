//! Masks: filling, selecting, and the positions of what is not zero.

use super::cpu::Ptr;
use super::def;
use super::gpu;
use super::plan::dense;
use crate::apply::call;
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::broadcast;
use crate::ops::expr::t;
use crate::ops::{Bind, Body, Call, OpDef, Outs, cast, elementwise as e, join, view};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

const IN: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;

/// The row-major positions, in order.
pub static POSITIONS: OpDef = OpDef::new(
    "nonzero_flat",
    "input: Tensor",
    "The positions, counted in row-major order, of the elements that are not zero",
    Body::Dynamic { cpu: Some(find), gpu: Some(|c| one(gpu::positions(c.x(0)))) },
)
.no_grad("the result is an index")
.public("nonzero")
.private();

const CHUNK: usize = 64 * 1024;

fn find(c: &Call) -> Result<Outs> {
    let mask = dense(c.x(0), DType::Bool)?;
    let n = mask.numel();
    let chunks = n.div_ceil(CHUNK);
    let from = Ptr(mask.ptr::<u8>());
    let mut starts = vec![0usize; chunks + 1];
    let counts = Ptr(starts.as_mut_ptr());
    threads::run(chunks, &|k| {
        let len = CHUNK.min(n - k * CHUNK);
        // SAFETY: the chunk lies inside the mask, whose bytes are 0 or 1; each task has its own count.
        unsafe {
            let at = from.get().add(k * CHUNK);
            *counts.get().add(k + 1) = (0..len).map(|i| usize::from(*at.add(i) != 0)).sum();
        }
    });
    for k in 0..chunks {
        starts[k + 1] += starts[k];
    }
    let out = Tensor::empty(&[starts[chunks]], DType::I64, Device::Cpu)?;
    let to = Ptr(out.ptr::<i64>());
    threads::run(chunks, &|k| {
        let (mut at, end) = (starts[k], starts[k + 1]);
        for i in k * CHUNK..n.min((k + 1) * CHUNK) {
            // SAFETY: the chunk's results go to starts[k]..starts[k + 1], whatever the mask became.
            unsafe {
                if *from.get().add(i) != 0 && at < end {
                    *to.get().add(at) = i as i64;
                    at += 1;
                }
            }
        }
        // A writer racing with us may have cleared elements since they were counted.
        (at..end).for_each(|i| unsafe { *to.get().add(i) = 0 });
    });
    one(Ok(out))
}

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

pub fn positions(mask: &Tensor) -> Result<Tensor> {
    call(&POSITIONS, &[mask], &[])
}

/// Row-major positions as an index for each dimension.
pub fn coordinates(flat: &Tensor, shape: &[usize]) -> Result<Vec<Tensor>> {
    let mut out = Vec::with_capacity(shape.len());
    let mut rest = flat.clone();
    for (d, &n) in shape.iter().enumerate().rev() {
        let size = Tensor::number(Number::Int(n.max(1) as i64))?;
        out.push(if d == 0 { rest.clone() } else { call(&e::remainder, &[&rest, &size], &[])? });
        if d > 0 {
            rest = call(&e::floor_divide, &[&rest, &size], &[])?;
        }
    }
    out.reverse();
    Ok(out)
}

pub static NONZERO: OpDef = OpDef::composed(
    "nonzero",
    "input: Tensor, *, as_tuple: bool = False",
    "The indices of the elements that are not zero: one row each, or with as_tuple a tensor for each dimension",
    |c| {
        let x = c.x(0);
        let flat = positions(x)?;
        if c.flag(0) {
            let shape = if x.ndim() == 0 { &[1] } else { x.shape() };
            return Ok(coordinates(&flat, shape)?.into());
        }
        if x.ndim() == 0 {
            return one(Tensor::empty(&[flat.numel(), 0], DType::I64, x.device()));
        }
        one(join::stack(&coordinates(&flat, x.shape())?, 1))
    },
);

pub static ARGWHERE: OpDef = OpDef::composed(
    "argwhere",
    "input: Tensor",
    "The indices of the elements that are not zero, one row each",
    |c| one(call(&NONZERO, &[c.x(0)], &[false.into()])),
);

fn check_mask(mask: &Tensor) -> Result<()> {
    if mask.dtype() == DType::Bool {
        return Ok(());
    }
    Err(Error::runtime(format!("expected a BoolTensor for mask, got {}", mask.dtype().name()))
        .hint("compare first, or cast with mask.bool()"))
}

pub static MASKED_FILL: OpDef = OpDef::composed(
    "masked_fill",
    "input: Tensor, mask: Tensor, value: Tensor",
    "The input with a value where the mask holds",
    |c| {
        let (x, mask, value) = (c.x(0), c.x(1), c.x(2));
        check_mask(mask)?;
        if value.ndim() != 0 {
            return Err(Error::runtime(format!(
                "value must be a 0-dimensional tensor, got one with {} dimension(s)",
                value.ndim()
            )));
        }
        // PyTorch takes the number of a 0-d tensor on the CPU; one on the GPU is not waited for.
        let value = if value.device() == Device::Cpu && !value.requires_grad() {
            value.item()?.exact(x.dtype())?
        } else {
            cast::to(value, x.dtype())?
        };
        one(t::select(mask, &value, x))
    },
)
.bind(IN);

pub static MASKED_SELECT: OpDef = OpDef::composed(
    "masked_select",
    "input: Tensor, mask: Tensor",
    "The elements where the mask holds, in row-major order",
    |c| {
        let (x, mask) = (c.x(0), c.x(1));
        check_mask(mask)?;
        let shape = broadcast(x.shape(), mask.shape())?;
        let flat = |t: &Tensor| view::reshape(&view::expand(t, &shape)?, &[shape.iter().product()]);
        let at = positions(&view::expand(mask, &shape)?)?;
        one(def::read(&flat(x)?, &[at], &[(&[0i64][..]).into(), false.into(), true.into()]))
    },
);

pub static MASKED_SCATTER: OpDef = OpDef::composed(
    "masked_scatter",
    "input: Tensor, mask: Tensor, source: Tensor",
    "The input with the elements of source, in order, where the mask holds",
    |c| {
        let (x, mask, source) = (c.x(0), c.x(1), c.x(2));
        check_mask(mask)?;
        let shape = broadcast(x.shape(), mask.shape())?;
        let n = shape.iter().product::<usize>();
        let at = positions(&view::expand(mask, &shape)?)?;
        if source.numel() < at.numel() {
            return Err(Error::runtime(format!(
                "number of elements of source ({}) is less than the number of ones in mask ({})",
                source.numel(),
                at.numel()
            )));
        }
        let values = view::narrow(&view::reshape(source, &[source.numel()])?, 0, 0, at.numel())?;
        let flat = view::reshape(&view::expand(x, &shape)?, &[n])?;
        let attrs = [(&[0i64][..]).into(), "set".into(), false.into(), true.into()];
        one(view::reshape(
            &def::write(&flat, &cast::to(&values, x.dtype())?, &[at], &attrs)?,
            &shape,
        ))
    },
)
.bind(IN);
