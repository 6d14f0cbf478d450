use crate::dtype::DType;
use crate::error::{Error, Kind, Result};
use crate::ops::Call;
use crate::ops::row::{GradRow, Row};
use crate::tensor::Tensor;
fn missing<T>() -> Result<T> { Err(Error::new(Kind::NotImplemented, "gpu")) }
pub fn value(_call: &Call, _row: &'static Row, _dtype: DType, _inputs: &[&Tensor], _out: &Tensor) -> Result<()> { missing() }
pub fn gradient(_call: &Call, _row: &'static Row, _grad: &'static GradRow, _inputs: &[&Tensor], _out: &Tensor) -> Result<()> { missing() }
pub fn copy(_src: &Tensor, _dst: &Tensor) -> Result<()> { missing() }
pub fn fill(_dst: &Tensor, _value: &Tensor) -> Result<()> { missing() }
