//! `x[key]` and `x[key] = value`: reads the key; the core does the rest.

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyList, PyRange, PySlice, PyTuple};
use rubigo_core::Tensor;
use rubigo_core::ops::index::advanced::{self, Item};
use smallvec::SmallVec;

use crate::convert::{self, wrap};
use crate::error::IntoPyResult;
use crate::ops::detached;
use crate::tensor::PyTensor;

fn items(key: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
    match key.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().map(|k| item(&k)).collect(),
        Err(_) => Ok(vec![item(key)?]),
    }
}

fn item(key: &Bound<'_, PyAny>) -> PyResult<Item> {
    if let Ok(slice) = key.cast::<PySlice>() {
        let bound = |name: &str| -> PyResult<Option<i64>> {
            let v = slice.getattr(name)?;
            if v.is_none() { Ok(None) } else { convert::int(&v).map(Some) }
        };
        let step = bound("step")?.unwrap_or(1);
        return Ok(Item::Slice { start: bound("start")?, end: bound("stop")?, step });
    }
    if key.is_none() {
        return Ok(Item::None);
    }
    if key.is_instance_of::<PyEllipsis>() {
        return Ok(Item::Ellipsis);
    }
    if let Ok(b) = key.cast::<PyBool>() {
        return Ok(Item::Bool(b.is_true()));
    }
    if let Ok(t) = key.cast::<PyTensor>() {
        return Ok(Item::Tensor(t.get().tensor()));
    }
    let sequence = key.is_instance_of::<PyList>()
        || key.is_instance_of::<PyTuple>()
        || key.is_instance_of::<PyRange>();
    if sequence || key.hasattr("__array_interface__")? {
        let t = convert::tensor_from(key, None, rubigo_core::Device::Cpu)?;
        // An empty list is an empty index, not an empty float tensor.
        if t.numel() == 0 {
            return Ok(Item::Tensor(
                rubigo_core::ops::cast::to(&t, rubigo_core::dtype::DType::I64).py()?,
            ));
        }
        return Ok(Item::Tensor(t));
    }
    if let Ok(i) = key.extract::<i64>() {
        return Ok(Item::Int(i));
    }
    if key.is_instance_of::<pyo3::types::PyInt>() {
        return Err(PyIndexError::new_err("the index does not fit 64 bits"));
    }
    let text = format!(
        "only integers, slices (`:`), ellipsis (`...`), None and integer or bool tensors are valid \
         indices, got {}",
        key.get_type().name()?
    );
    // As in PyTorch, which takes a text for a sequence.
    let sequence = key.is_instance_of::<pyo3::types::PyString>()
        || key.is_instance_of::<pyo3::types::PyBytes>();
    Err(if sequence { PyTypeError::new_err(text) } else { PyIndexError::new_err(text) })
}

/// What the time depends on: the tensor, and the tensors that index it.
fn involved(t: &Tensor, items: &[Item]) -> SmallVec<[Option<Tensor>; 4]> {
    let indices = items.iter().filter_map(|item| match item {
        Item::Tensor(index) => Some(Some(index.clone())),
        _ => None,
    });
    std::iter::once(Some(t.clone())).chain(indices).collect()
}

pub fn get(py: Python<'_>, t: &Tensor, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let items = items(key)?;
    wrap(py, detached(py, &involved(t, &items), || advanced::get(t, &items))?)
}

pub fn set(
    py: Python<'_>,
    t: &Tensor,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let items = items(key)?;
    let value = match convert::operand(value)? {
        Some(v) => v,
        None => convert::tensor_from(value, None, rubigo_core::Device::Cpu)?,
    };
    py.detach(|| advanced::set(t, &items, &value)).py()
}
