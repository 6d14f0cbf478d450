//! A Python number, and how it is stored in a dtype.

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::with_dtype;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    Big(u64),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Bool(v) => v as u8 as f64,
            Number::Int(v) => v as f64,
            Number::Big(v) => v as f64,
            Number::Float(v) => v,
        }
    }

    /// The integer, where it is one.
    pub fn as_int(self) -> Option<i128> {
        match self {
            Number::Bool(v) => Some(v.into()),
            Number::Int(v) => Some(v.into()),
            Number::Big(v) => Some(v.into()),
            Number::Float(_) => None,
        }
    }

    pub fn dtype(self) -> DType {
        match self {
            Number::Bool(_) => DType::Bool,
            Number::Int(_) => DType::I64,
            Number::Big(_) => DType::U64,
            Number::Float(_) => DType::F64,
        }
    }

    /// Whether a dtype holds it, by PyTorch's rule: fractions are cut off, a negative integer wraps in an unsigned
    /// dtype as far as its size fits, and only infinities become infinite.
    fn fits(self, dtype: DType) -> bool {
        let Some((lo, hi)) = dtype.int_range().filter(|_| dtype != DType::Bool) else {
            let most = match dtype {
                DType::F16 => half::f16::MAX.to_f64(),
                DType::BF16 => half::bf16::MAX.to_f64(),
                DType::F32 => f32::MAX.into(),
                _ => return true,
            };
            let v = self.as_f64();
            return !v.is_finite() || v.abs() <= most;
        };
        match self.as_int() {
            Some(v) => (if lo == 0 { -hi } else { lo }..=hi).contains(&v),
            None => {
                let v = self.as_f64();
                // One past the end is a power of two, exact as a float, where `hi` may not be.
                v >= lo as f64 && (v <= hi as f64) && v < (hi + 1) as f64
            }
        }
    }

    /// The number as a 0-d tensor; one that the dtype does not hold is an error.
    pub fn exact(self, dtype: DType) -> Result<Tensor> {
        if !self.fits(dtype) {
            return Err(Error::runtime(format!(
                "value {self} cannot be converted to type {} without overflow",
                dtype.name()
            )));
        }
        with_dtype!(dtype, T => {
            let element = match self {
                Number::Bool(v) => T::from_i64(v.into()),
                Number::Int(v) => T::from_i64(v),
                Number::Big(v) => T::from_u64(v),
                // Not half's own function of that name.
                Number::Float(v) => <T as Element>::from_f64(v),
            };
            Tensor::from_slice(&[element], &[])
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Bool(v) => v.fmt(f),
            Number::Int(v) => v.fmt(f),
            Number::Big(v) => v.fmt(f),
            Number::Float(v) => v.fmt(f),
        }
    }
}
