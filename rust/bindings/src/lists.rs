//! Tensors as nested lists.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rubigo_core::Tensor;
use rubigo_core::dtype::{DType, Flag};

use crate::convert::flat;
use crate::error::IntoPyResult;

/// The elements as nested lists of Python numbers.
pub fn of(py: Python<'_>, t: &Tensor) -> PyResult<Py<PyAny>> {
    room_for_lists(t.shape())?;
    let shape = t.shape();
    match t.dtype() {
        DType::Bool => nest(py, &mut flat::<Flag>(py, t)?.into_iter().map(Flag::get), shape),
        DType::U64 => nest(py, &mut flat::<u64>(py, t)?.into_iter(), shape),
        d if d.is_int() => nest(py, &mut flat::<i64>(py, t)?.into_iter(), shape),
        _ => nest(py, &mut flat::<f64>(py, t)?.into_iter(), shape),
    }
}

/// Refuses nested lists that memory cannot hold: with a size of 0 inside, there can be any number of them.
fn room_for_lists(shape: &[usize]) -> PyResult<()> {
    const OBJECT: usize = 64;
    const DEPTH: usize = 64;
    if shape.len() > DEPTH {
        return Err(crate::error::to_py(rubigo_core::Error::value(format!(
            "lists are nested {DEPTH} deep at most, the tensor has {} dimensions",
            shape.len()
        ))));
    }
    let (mut objects, mut level) = (1usize, 1usize);
    for &n in shape {
        level = level.saturating_mul(n);
        objects = objects.saturating_add(level);
    }
    rubigo_core::cpu::alloc::check(objects.saturating_mul(OBJECT)).py()
}

fn nest<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    flat: &mut impl Iterator<Item = T>,
    shape: &[usize],
) -> PyResult<Py<PyAny>> {
    let Some((&n, rest)) = shape.split_first() else {
        let value = flat.next().ok_or_else(|| PyIndexError::new_err("no element"))?;
        return value.into_py_any(py);
    };
    let mut items = Vec::with_capacity(n);
    for _ in 0..n {
        items.push(nest(py, flat, rest)?);
    }
    Ok(PyList::new(py, items)?.into_any().unbind())
}
