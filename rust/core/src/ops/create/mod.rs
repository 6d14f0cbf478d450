//! Tensors from nothing: constants, ranges, grids. The bindings add `requires_grad` and PyTorch's overloads.
//!
//! Ranges for the GPU are computed on the CPU and uploaded: the same bits on both, and they are short.

mod constant;
mod range;

use super::{Body, Call, OpDef, Outs, view};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, show};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

use super::Attr;

pub use constant::{EMPTY, EMPTY_LIKE, EYE, FULL, FULL_LIKE, ONES, ONES_LIKE, ZEROS, ZEROS_LIKE};
pub use range::{ARANGE, LINSPACE, LOGSPACE};

pub static OPS: &[&OpDef] = &[
    &ZEROS,
    &ONES,
    &EMPTY,
    &FULL,
    &EYE,
    &ZEROS_LIKE,
    &ONES_LIKE,
    &EMPTY_LIKE,
    &FULL_LIKE,
    &ARANGE,
    &LINSPACE,
    &LOGSPACE,
    &MESHGRID,
];

/// A row that makes its result itself, on either device.
const fn made(
    name: &'static str,
    sig: &'static str,
    doc: &'static str,
    make: fn(&Call) -> Result<Outs>,
) -> OpDef {
    OpDef::new(name, sig, doc, Body::Dynamic { cpu: Some(make), gpu: Some(make) })
        .no_grad("it reads no values of a tensor")
        .bind(0)
}

/// A shape that a user asked for.
pub fn shape_of(sizes: &[i64]) -> Result<Dims> {
    if let Some(d) = sizes.iter().position(|&n| n < 0) {
        return Err(Error::runtime(format!(
            "size {} of dimension {d} is negative in {sizes:?}",
            sizes[d]
        )));
    }
    Ok(sizes.iter().map(|&n| n as usize).collect())
}

fn device_of(c: &Call, i: usize) -> Device {
    match c.attr(i) {
        Attr::Device(d) => *d,
        _ => c.opt(0).map_or(Device::Cpu, Tensor::device),
    }
}

fn number_of(c: &Call, i: usize) -> Number {
    match *c.attr(i) {
        Attr::Bool(v) => Number::Bool(v),
        Attr::Int(v) => Number::Int(v),
        Attr::Big(v) => Number::Big(v),
        _ => Number::Float(c.float(i)),
    }
}

/// What a number is stored as where no dtype is named.
fn default_dtype(n: Number) -> DType {
    match n {
        Number::Bool(_) => DType::Bool,
        Number::Int(_) | Number::Big(_) => DType::I64,
        Number::Float(_) => DType::F32,
    }
}

pub static MESHGRID: OpDef = OpDef::composed(
    "meshgrid",
    "tensors: Tensor[], indexing: str = 'ij'",
    "The coordinates of a grid: one tensor per vector, 'ij' by rows first, 'xy' as in plots",
    meshgrid,
)
.many()
.private();

fn meshgrid(c: &Call) -> Result<Outs> {
    let mut vectors: Vec<Tensor> = c.tensors().cloned().collect();
    if vectors.is_empty() {
        return Err(Error::runtime("expects at least one tensor"));
    }
    let swapped = match c.str(0) {
        "ij" => false,
        "xy" => vectors.len() > 1,
        other => {
            return Err(Error::runtime(format!(
                "indexing must be \"xy\" or \"ij\", got {other:?}"
            )));
        }
    };
    for v in &vectors {
        if v.ndim() > 1 {
            return Err(Error::shape(format!(
                "expects 0-d or 1-d tensors, got shape {}",
                show(v.shape())
            )));
        }
        if v.dtype() != vectors[0].dtype() {
            return Err(Error::type_(format!(
                "expects one dtype, got {} and {}",
                vectors[0].dtype().name(),
                v.dtype().name()
            )));
        }
    }
    c.device()?;
    if swapped {
        vectors.swap(0, 1);
    }
    let shape: Dims = vectors.iter().map(Tensor::numel).collect();
    let mut grids = Outs::new();
    for (d, v) in vectors.iter().enumerate() {
        let mut along: Dims = smallvec![1; shape.len()];
        along[d] = shape[d];
        grids.push(view::expand(&view::reshape(v, &along)?, &shape)?);
    }
    if swapped {
        grids.swap(0, 1);
    }
    Ok(grids)
}

#[cfg(test)]
mod tests;
