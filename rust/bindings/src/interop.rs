//! numpy both ways without a copy, through `__array_interface__`.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rubigo_core::dtype::DType;
use rubigo_core::layout::{Dims, Layout, contiguous_strides};
use rubigo_core::ops::{cast, elementwise, reduce};
use rubigo_core::storage::Storage;
use rubigo_core::{Device, Tensor, apply};
use std::sync::Arc;

use crate::convert::{self, wrap};
use crate::error::IntoPyResult;
use crate::ops::detached;
use crate::tensor::PyTensor;
use crate::types::{parse_device, parse_dtype};

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(tensor, m)?)?;
    m.add_function(wrap_pyfunction!(as_tensor, m)?)?;
    m.add_function(wrap_pyfunction!(from_numpy, m)?)?;
    m.add_function(wrap_pyfunction!(_array_interface, m)?)
}

/// A new tensor with a copy of `data`: a number, nested lists, an array or a tensor.
#[pyfunction]
#[pyo3(signature = (data, *, dtype = None, device = None, requires_grad = false))]
fn tensor(
    data: &Bound<'_, PyAny>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let dtype = dtype.map(parse_dtype).transpose()?;
    let device = match device {
        Some(d) => parse_device(d)?,
        None => data.cast::<PyTensor>().map_or(Device::Cpu, |t| t.get().tensor().device()),
    };
    if data.cast::<PyTensor>().is_ok_and(|t| t.get().tensor().requires_grad()) {
        let py = data.py();
        let text =
            c"tensor(x) copies the values only, and no gradient reaches x: use x.clone(), or \
            x.detach().clone() if that is meant";
        PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), text, 1)?;
    }
    let t = convert::tensor_from(data, dtype, device)?;
    if requires_grad {
        t.set_requires_grad(true).py()?;
    }
    Ok(PyTensor::new(t))
}

/// `data` as a tensor, sharing its memory where that is possible.
#[pyfunction]
#[pyo3(signature = (data, dtype = None, device = None))]
fn as_tensor(
    data: &Bound<'_, PyAny>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let py = data.py();
    let dtype = dtype.map(parse_dtype).transpose()?;
    let device = device.map(parse_device).transpose()?;
    if let Ok(t) = data.cast::<PyTensor>() {
        let t = t.get().tensor();
        let same = dtype.is_none_or(|d| d == t.dtype()) && device.is_none_or(|d| d == t.device());
        if same {
            return Ok(data.clone().unbind());
        }
    }
    let t = if let Ok(t) = data.cast::<PyTensor>() {
        t.get().tensor()
    } else if data.hasattr("__array_interface__")? {
        from_array(data, false)?
    } else {
        return wrap(py, convert::tensor_from(data, dtype, device.unwrap_or(Device::Cpu))?);
    };
    let (dtype, device) = (dtype.unwrap_or(t.dtype()), device.unwrap_or(t.device()));
    let t = py.detach(|| cast::to(&t, dtype).and_then(|t| cast::to_device(&t, device))).py()?;
    wrap(py, t)
}

/// A tensor over the memory of a numpy array. Read-only arrays are copied, and bools that are neither 0 nor 1.
#[pyfunction]
fn from_numpy(array: &Bound<'_, PyAny>) -> PyResult<PyTensor> {
    if !array.hasattr("__array_interface__")? || array.is_instance_of::<PyTensor>() {
        return Err(PyTypeError::new_err(format!(
            "expected a numpy.ndarray, got {}",
            array.get_type().name()?
        )));
    }
    Ok(PyTensor::new(from_array(array, false)?))
}

/// Keeps a Python object alive; released with the interpreter lock held.
struct Owner(#[allow(dead_code)] Py<PyAny>);

fn dtype_of(typestr: &str) -> Option<DType> {
    Some(match typestr.get(1..)? {
        "b1" => DType::Bool,
        "u1" => DType::U8,
        "i1" => DType::I8,
        "u2" => DType::U16,
        "i2" => DType::I16,
        "u4" => DType::U32,
        "i4" => DType::I32,
        "u8" => DType::U64,
        "i8" => DType::I64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        _ => return None,
    })
}

fn typestr(d: DType) -> Option<&'static str> {
    Some(match d {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::U16 => "<u2",
        DType::I16 => "<i2",
        DType::U32 => "<u4",
        DType::I32 => "<i4",
        DType::U64 => "<u8",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::BF16 => return None,
    })
}

/// Where the elements of an array lie.
struct Memory {
    ptr: usize,
    read_only: bool,
    owner: Py<PyAny>,
    /// The length, where an object with a buffer stands in place of an address.
    bytes: Option<usize>,
}

impl Memory {
    fn of(array: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok((ptr, read_only)) = data.extract() {
            return Ok(Self { ptr, read_only, owner: array.clone().unbind(), bytes: None });
        }
        let py = array.py();
        let view = py.import("builtins")?.call_method1("memoryview", (data,)).map_err(|_| {
            PyTypeError::new_err(format!(
                "the array interface's data is neither (address, read_only) nor an object with a buffer: {}",
                data.get_type()
            ))
        })?;
        // The view keeps the object, and its length, as they are.
        let view = view.call_method1("cast", ("B",))?;
        let buffer = PyBuffer::<u8>::get(&view)?;
        Ok(Self {
            ptr: buffer.buf_ptr() as usize,
            read_only: buffer.readonly(),
            bytes: Some(buffer.len_bytes()),
            owner: view.unbind(),
        })
    }
}

/// Reads an array; what numpy can say and a tensor cannot (negative strides, big endian) is copied
/// by numpy first.
pub fn from_array(array: &Bound<'_, PyAny>, copy: bool) -> PyResult<Tensor> {
    let py = array.py();
    let info = array.getattr("__array_interface__")?.cast_into::<PyDict>()?;
    let get = |k: &str| -> PyResult<Bound<'_, PyAny>> {
        info.get_item(k)?
            .ok_or_else(|| PyValueError::new_err(format!("the array interface lacks {k}")))
    };
    let kind: String = get("typestr")?.extract()?;
    let Some(dtype) = dtype_of(&kind) else {
        return Err(PyTypeError::new_err(format!(
            "can't convert an array of type {kind} to a tensor: the supported types are bool, \
             integers of 8 to 64 bits and floats of 16 to 64 bits{}",
            match kind.get(1..2) {
                Some("V") => "; take one field of a structured array: array[\"name\"]",
                Some("O") => "; if its objects are numbers, use array.astype(float)",
                _ => "",
            }
        )));
    };
    let shape: Vec<usize> = get("shape")?.extract()?;
    let memory = Memory::of(array, &get("data")?)?;
    let (ptr, read_only) = (memory.ptr, memory.read_only);
    // Only objects that are no arrays themselves have one.
    let skip: usize = match info.get_item("offset")? {
        Some(offset) if !offset.is_none() => offset.extract()?,
        _ => 0,
    };
    let ptr = ptr
        .checked_add(skip)
        .ok_or_else(|| PyValueError::new_err("the array interface's offset is out of range"))?;
    let size = dtype.size();
    let strides: Option<Vec<isize>> = match info.get_item("strides")? {
        Some(s) if !s.is_none() => Some(s.extract()?),
        _ => None,
    };
    // A list that is too short would make the extent too small, and reads go beyond the memory.
    if let Some(s) = strides.as_ref().filter(|s| s.len() != shape.len()) {
        return Err(PyValueError::new_err(format!(
            "the array interface has {} strides for {} sizes",
            s.len(),
            shape.len()
        )));
    }
    let regular =
        strides.as_ref().is_none_or(|s| s.iter().all(|&s| s >= 0 && s as usize % size == 0));
    let native = !kind.starts_with('>') && ptr % size == 0;
    if (!regular || !native) && memory.bytes.is_some() {
        return Err(PyValueError::new_err(
            "an array interface over a buffer object needs aligned elements in the machine's byte order, and \
             strides that are positive: give an array instead",
        ));
    }
    if !regular || !native {
        let numpy = py.import("numpy")?;
        let plain = numpy.call_method1("ascontiguousarray", (array,))?;
        let plain = plain.call_method1("astype", (typestr(dtype).unwrap_or("<f4"),))?;
        // `ascontiguousarray` turns a 0-d array into one of a single element.
        let plain = plain.call_method1("reshape", (PyTuple::new(py, &shape)?,))?;
        return from_array(&plain, true);
    }
    rubigo_core::layout::checked_numel(&shape).py()?;
    let strides: Dims = strides.map_or_else(
        || contiguous_strides(&shape),
        |s| s.iter().map(|&s| s as usize / size).collect(),
    );
    let layout = Layout { shape: shape[..].into(), strides, offset: 0 };
    let bytes = layout
        .checked_extent()
        .and_then(|end| end.checked_mul(size))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or_else(|| PyValueError::new_err("the array's strides reach beyond any memory"))?;
    // Nothing but this knows how long a buffer is: numpy reads beyond it.
    if memory.bytes.is_some_and(|held| skip.checked_add(bytes).is_none_or(|end| end > held)) {
        return Err(PyValueError::new_err(format!(
            "the array interface describes {bytes} bytes from byte {skip} on, more than its buffer has"
        )));
    }
    let owner = Box::new(Owner(memory.owner));
    if bytes > 0 && ptr == 0 {
        return Err(PyValueError::new_err("the array interface has no memory"));
    }
    let ptr = if bytes == 0 {
        std::ptr::NonNull::<u64>::dangling().as_ptr().cast()
    } else {
        ptr as *mut u8
    };
    // SAFETY: the array owns the memory its interface describes, and the owner keeps the array.
    let storage = unsafe { Storage::foreign(ptr, bytes, owner) };
    let t = sound(py, Tensor::from_parts(Arc::new(storage), layout, dtype))?;
    if copy || read_only {
        return detached(py, &[Some(t.clone())], || cast::copy_data(&t));
    }
    Ok(t)
}

/// The tensor itself, or a copy where memory that came from outside holds bools other than 0 and 1.
pub fn sound(py: Python<'_>, t: Tensor) -> PyResult<Tensor> {
    if t.dtype() != DType::Bool || t.numel() == 0 {
        return Ok(t);
    }
    detached(py, &[Some(t.clone())], || {
        let _mode = rubigo_core::autograd::NoGrad::new();
        let bytes = Tensor::from_parts(t.storage().clone(), t.layout().clone(), DType::U8);
        if apply::call(&reduce::AMAX, &[&bytes], &[])?.item()?.as_f64() <= 1.0 {
            return Ok(t);
        }
        let zero = Tensor::scalar(0.0, DType::U8)?;
        apply::call(&elementwise::ne, &[&bytes, &zero], &[])
    })
}

/// The dict that numpy reads; raises for tensors numpy cannot see.
#[pyfunction]
fn _array_interface<'py>(t: &Bound<'py, PyTensor>) -> PyResult<Bound<'py, PyDict>> {
    let py = t.py();
    let t = t.get().tensor();
    if t.device() != Device::Cpu {
        return Err(PyTypeError::new_err(
            "can't convert a gpu tensor to numpy; use tensor.cpu() to copy it to the host first",
        ));
    }
    let Some(kind) = typestr(t.dtype()) else {
        return Err(PyTypeError::new_err(format!(
            "numpy has no {}; cast it first: tensor.float()",
            t.dtype().name()
        )));
    };
    let d = PyDict::new(py);
    d.set_item("version", 3)?;
    d.set_item("typestr", kind)?;
    d.set_item("shape", PyTuple::new(py, t.shape())?)?;
    let strides: Vec<usize> = t.strides().iter().map(|s| s * t.dtype().size()).collect();
    d.set_item("strides", PyTuple::new(py, strides)?)?;
    d.set_item("data", (t.byte_ptr() as usize, false))?;
    Ok(d)
}
