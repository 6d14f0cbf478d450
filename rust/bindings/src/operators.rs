//! What the operators of `Tensor` share: an operand may be a number.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyInt;
use rubigo_core::ops::{Attr, OpDef};
use rubigo_core::tensor::Number;
use rubigo_core::{Tensor, autograd};

use crate::convert;
use crate::ops::{detached, run};
use crate::tensor::PyTensor;

static ONE: [Attr; 1] = [Attr::Int(1)];

pub fn binary(
    slf: &Bound<'_, PyTensor>,
    other: &Bound<'_, PyAny>,
    op: &'static OpDef,
    swap: bool,
) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Some(b) = convert::operand(other)? else {
        return Ok(py.NotImplemented());
    };
    let a = slf.get().tensor();
    fits(&b, &a, other)?;
    let (a, b) = if swap { (b, a) } else { (a, b) };
    run(py, op, &[&a, &b], &ONE)
}

/// An integer of more than 64 bits is right as a float beside floats, and wrong beside integers.
pub fn fits(number: &Tensor, a: &Tensor, given: &Bound<'_, PyAny>) -> PyResult<()> {
    if !a.dtype().is_float()
        && matches!(number.as_number(), Some(Number::Float(_)))
        && given.is_instance_of::<PyInt>()
    {
        return Err(PyOverflowError::new_err(format!(
            "the integer {given} does not fit {}",
            a.dtype().name()
        )));
    }
    Ok(())
}

pub fn in_place(
    slf: &Bound<'_, PyTensor>,
    other: &Bound<'_, PyAny>,
    op: &'static OpDef,
) -> PyResult<()> {
    let Some(b) = convert::operand(other)? else {
        return Err(PyTypeError::new_err(format!(
            "unsupported operand for in-place {}: {}",
            op.name,
            other.get_type().name()?
        )));
    };
    let a = slf.get().tensor();
    fits(&b, &a, other)?;
    let inputs = [Some(a), Some(b)];
    detached(slf.py(), &inputs, || autograd::apply_inplace(op, &inputs, &ONE))?;
    Ok(())
}
