//! Tensors of one value, and the identity matrix.

use super::{default_dtype, device_of, made, number_of, shape_of};
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::ops::{Call, OpDef, Outs, cast};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
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
        cast::fill(&out.alias(diagonal), &Number::Int(1).exact(dtype)?)?;
        Ok(smallvec![out])
    },
);

fn float_unless(c: &Call) -> DType {
    c.dtype(1).unwrap_or(DType::F32)
}

fn filled(shape: &[usize], value: Number, dtype: DType, device: Device) -> Result<Outs> {
    let value = value.exact(dtype)?;
    let out = Tensor::empty(shape, dtype, device)?;
    cast::fill(&out, &value)?;
    Ok(smallvec![out])
}
