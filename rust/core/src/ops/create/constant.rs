//! Tensors of one value, and the identity matrix.

use super::{default_dtype, device_of, made, number_of, shape_of};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::ops::{Call, OpDef, Outs, cast};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use crate::with_dtype;
use smallvec::smallvec;

const SIZED: &str = "*size: int[], *, dtype: dtype? = None, device: device? = None";
const LIKE: &str = "input: Tensor, *, dtype: dtype? = None, device: device? = None";

pub static ZEROS: OpDef = made("zeros", SIZED, "All zeros", |c| {
    Ok(smallvec![Tensor::zeros(&shape_of(c.ints(0))?, float_unless(c), device_of(c, 2))?])
});

pub static ONES: OpDef = made("ones", SIZED, "All ones", |c| {
    filled(&shape_of(c.ints(0))?, Number::Int(1), float_unless(c), device_of(c, 2))
});

pub static EMPTY: OpDef = made("empty", SIZED, "Memory as it happens to be", |c| {
    Ok(smallvec![Tensor::empty(&shape_of(c.ints(0))?, float_unless(c), device_of(c, 2))?])
});

pub static FULL: OpDef = made(
    "full",
    "size: int[], fill_value: Number, *, dtype: dtype? = None, device: device? = None",
    "One value everywhere; its kind is the dtype where none is named",
    |c| {
        let value = number_of(c, 1);
        let dtype = c.dtype(2).unwrap_or(default_dtype(value));
        filled(&shape_of(c.ints(0))?, value, dtype, device_of(c, 3))
    },
);

pub static ZEROS_LIKE: OpDef = made("zeros_like", LIKE, "Zeros in the input's shape", |c| {
    let x = c.x(0);
    Ok(smallvec![Tensor::zeros(x.shape(), c.dtype(0).unwrap_or(x.dtype()), device_of(c, 1))?])
});

pub static ONES_LIKE: OpDef = made("ones_like", LIKE, "Ones in the input's shape", |c| {
    let x = c.x(0);
    filled(x.shape(), Number::Int(1), c.dtype(0).unwrap_or(x.dtype()), device_of(c, 1))
});

pub static EMPTY_LIKE: OpDef = made("empty_like", LIKE, "Memory in the input's shape", |c| {
    let x = c.x(0);
    Ok(smallvec![Tensor::empty(x.shape(), c.dtype(0).unwrap_or(x.dtype()), device_of(c, 1))?])
});

pub static FULL_LIKE: OpDef = made(
    "full_like",
    "input: Tensor, fill_value: Number, *, dtype: dtype? = None, device: device? = None",
    "One value in the input's shape and dtype",
    |c| {
        let x = c.x(0);
        filled(x.shape(), number_of(c, 0), c.dtype(1).unwrap_or(x.dtype()), device_of(c, 2))
    },
);

pub static EYE: OpDef = made(
    "eye",
    "n: int, m: int? = None, *, dtype: dtype? = None, device: device? = None",
    "Ones on the diagonal, zeros elsewhere",
    |c| {
        let shape = shape_of(&[c.int(0), c.opt_int(1).unwrap_or(c.int(0))])?;
        let dtype = c.dtype(2).unwrap_or(DType::F32);
        let out = Tensor::zeros(&shape, dtype, device_of(c, 3))?;
        let diagonal = Layout {
            shape: smallvec![shape[0].min(shape[1])],
            strides: smallvec![shape[1] + 1],
            offset: 0,
        };
        cast::fill(&out.alias(diagonal), &exact(Number::Int(1), dtype)?)?;
        Ok(smallvec![out])
    },
);

fn float_unless(c: &Call) -> DType {
    c.dtype(1).unwrap_or(DType::F32)
}

fn filled(shape: &[usize], value: Number, dtype: DType, device: Device) -> Result<Outs> {
    let value = exact(value, dtype)?;
    let out = Tensor::empty(shape, dtype, device)?;
    cast::fill(&out, &value)?;
    Ok(smallvec![out])
}

/// The number as a 0-d tensor; integers keep all their digits, and no value may fall out of the dtype's range.
fn exact(value: Number, dtype: DType) -> Result<Tensor> {
    let overflow = || {
        Error::runtime(format!(
            "value {} cannot be converted to {} without overflow",
            show(value),
            dtype.name()
        ))
    };
    if let Some((lo, hi)) = dtype.int_range().filter(|_| dtype != DType::Bool) {
        let fits = match value {
            Number::Bool(_) => true,
            Number::Int(v) => (lo..=hi).contains(&v.into()),
            // One past the end is a power of two, exact as a float.
            Number::Float(v) => v.trunc() >= lo as f64 && v.trunc() < (hi + 1) as f64,
        };
        if !fits {
            return Err(overflow());
        }
    }
    with_dtype!(dtype, T => {
        let element = match value {
            Number::Bool(v) => T::from_i64(v.into()),
            Number::Int(v) => T::from_i64(v),
            Number::Float(v) => T::from_f64(v),
        };
        // Half types become infinite, as in PyTorch.
        if dtype == DType::F32 && value.as_f64().is_finite() && !element.to_f64().is_finite() {
            return Err(overflow());
        }
        Tensor::from_slice(&[element], &[])
    })
}

fn show(value: Number) -> String {
    match value {
        Number::Bool(v) => v.to_string(),
        Number::Int(v) => v.to_string(),
        Number::Float(v) => v.to_string(),
    }
}
