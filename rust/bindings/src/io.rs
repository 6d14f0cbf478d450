//! Tensors in safetensors files. The nest of dicts and lists around them is Python's part.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use rubigo_core::dtype::DType;
use rubigo_core::layout::Layout;
use rubigo_core::ops::cast;
use rubigo_core::storage::{Memory, Storage};
use rubigo_core::{Device, Tensor, io};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::convert::wrap;
use crate::error::IntoPyResult;
use crate::tensor::PyTensor;

/// Contiguous on the CPU, and bools as 0 and 1: memory that others can write may hold other bytes by now.
fn as_written(t: &Tensor) -> rubigo_core::Result<Tensor> {
    let t = cast::to_device(t, Device::Cpu)?;
    if t.dtype() == DType::Bool { cast::copy_data(&t) } else { cast::contiguous(&t) }
}

/// Writes named tensors and text metadata; the old file stays if anything fails.
#[pyfunction]
fn save_tensors(
    py: Python<'_>,
    path: PathBuf,
    tensors: Vec<(String, Bound<'_, PyTensor>)>,
    metadata: BTreeMap<String, String>,
) -> PyResult<()> {
    let named: Vec<(String, Tensor)> =
        tensors.into_iter().map(|(n, t)| (n, t.get().tensor().detach())).collect();
    py.detach(|| {
        let mut dense = Vec::with_capacity(named.len());
        for (name, t) in &named {
            dense.push((name.as_str(), as_written(t)?));
        }
        let entries: Vec<(&str, &str, &[usize], &[u8])> = dense
            .iter()
            .map(|(name, t)| {
                let bytes = t.numel() * t.dtype().size();
                // SAFETY: `t` is contiguous CPU memory of that many bytes, alive until the write ends.
                let data = unsafe { std::slice::from_raw_parts(t.byte_ptr(), bytes) };
                (*name, t.dtype().safetensors(), t.shape(), data)
            })
            .collect();
        io::write(&path, &entries, &metadata)
    })
    .py()
}

/// (name, tensor) pairs and the metadata of a file. All tensors share the file's one block.
#[pyfunction]
fn load_tensors(
    py: Python<'_>,
    path: PathBuf,
) -> PyResult<(Vec<(String, Py<PyAny>)>, BTreeMap<String, String>)> {
    let (entries, metadata, data) = py.detach(|| io::read(&path)).py()?;
    let bytes = data.bytes().len();
    let base = data.bytes().as_ptr() as usize;
    let storage = Arc::new(Storage::from_memory(Memory::Cpu(data.into_block()), bytes));
    let mut out = Vec::with_capacity(entries.len());
    for e in entries {
        let dtype = DType::parse(e.dtype).py()?;
        let mut layout = Layout::contiguous(&e.shape);
        let aligned =
            (base + e.bytes.start) % dtype.size() == 0 && e.bytes.start % dtype.size() == 0;
        let t = if aligned {
            layout.offset = e.bytes.start / dtype.size();
            Tensor::from_parts(storage.clone(), layout, dtype)
        } else {
            let t = Tensor::empty(&e.shape, dtype, Device::Cpu).py()?;
            // SAFETY: the range was checked against the file's length, the tensor has its size.
            unsafe {
                let src = storage.ptr().add(e.bytes.start);
                std::ptr::copy_nonoverlapping(src, t.byte_ptr(), e.bytes.len());
            }
            t
        };
        out.push((e.name, wrap(py, t)?));
    }
    Ok((out, metadata))
}

/// Writes bytes under a temporary name, syncs, and renames.
#[pyfunction]
fn write_atomic(py: Python<'_>, path: PathBuf, data: Vec<u8>) -> PyResult<()> {
    py.detach(|| io::write_atomic(&path, &data)).py()
}

/// The elements as bytes, in row-major order: for pickle.
#[pyfunction]
fn _to_bytes<'py>(t: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyByteArray>> {
    let py = t.py();
    let t = t.get().tensor();
    let t = py.detach(|| as_written(&t)).py()?;
    // SAFETY: `t` is contiguous CPU memory of that many bytes.
    let data = unsafe { std::slice::from_raw_parts(t.byte_ptr(), t.numel() * t.dtype().size()) };
    PyByteArray::new_with(py, data.len(), |bytes| {
        // Nobody else has the array yet.
        py.detach(|| bytes.copy_from_slice(data));
        Ok(())
    })
}

/// A tensor with a copy of these bytes.
#[pyfunction]
fn _from_bytes(
    data: &Bound<'_, PyAny>,
    dtype: &Bound<'_, PyAny>,
    shape: Vec<usize>,
) -> PyResult<PyTensor> {
    let dtype = crate::types::parse_dtype(dtype)?;
    let buffer = PyBuffer::<u8>::get(data)?;
    let t = Tensor::empty(&shape, dtype, Device::Cpu).py()?;
    let bytes = t.numel() * dtype.size();
    if buffer.len_bytes() != bytes {
        return Err(PyValueError::new_err(format!(
            "{} bytes do not fill a {} tensor of shape {}: it needs {bytes}",
            buffer.len_bytes(),
            dtype.name(),
            rubigo_core::layout::show(&shape)
        )));
    }
    // SAFETY: `t` is fresh and contiguous.
    let held = unsafe { std::slice::from_raw_parts_mut(t.byte_ptr(), bytes) };
    buffer.copy_to_slice(data.py(), held)?;
    if dtype == DType::Bool && held.iter().any(|&b| b > 1) {
        return Err(PyValueError::new_err("a bool tensor holds only the bytes 0 and 1"));
    }
    Ok(PyTensor::new(t))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(save_tensors, m)?)?;
    m.add_function(wrap_pyfunction!(load_tensors, m)?)?;
    m.add_function(wrap_pyfunction!(_to_bytes, m)?)?;
    m.add_function(wrap_pyfunction!(_from_bytes, m)?)?;
    m.add_function(wrap_pyfunction!(write_atomic, m)?)
}
