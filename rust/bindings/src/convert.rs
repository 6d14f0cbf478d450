//! Python values to tensors and arguments, and back.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyRange, PyString, PyTuple};
use rubigo_core::dtype::DType;
use rubigo_core::ops::{Attr, ParamKind};
use rubigo_core::tensor::Number;
use rubigo_core::{Device, Tensor};
use smallvec::SmallVec;

use crate::error::IntoPyResult;
use crate::tensor::PyTensor;
use crate::types::{parse_device, parse_dtype};

/// A Python number, or `None` for anything else.
pub fn number(object: &Bound<'_, PyAny>) -> PyResult<Option<Number>> {
    if let Ok(f) = object.cast::<PyFloat>() {
        return Ok(Some(Number::Float(f.value())));
    }
    if let Ok(b) = object.cast::<PyBool>() {
        return Ok(Some(Number::Bool(b.is_true())));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(Some(match object.extract::<i64>() {
            Ok(v) => Number::Int(v),
            Err(_) => {
                Number::Float(object.extract::<f64>().map_err(|_| {
                    PyOverflowError::new_err("the integer is too large for any dtype")
                })?)
            }
        }));
    }
    // numpy's integers are no Python ints, and what it calls an index has one.
    if object.is_instance_of::<PyTensor>()
        || object.hasattr("__array_interface__")? && object.hasattr("__len__")?
    {
        return Ok(None);
    }
    Ok(object.extract::<i64>().ok().map(Number::Int))
}

/// A tensor, a number or an array, as an operand.
pub fn operand(object: &Bound<'_, PyAny>) -> PyResult<Option<Tensor>> {
    if let Ok(t) = object.cast::<PyTensor>() {
        return Ok(Some(t.get().tensor()));
    }
    if let Some(n) = number(object)? {
        return Tensor::number(n).py().map(Some);
    }
    if object.hasattr("__array_interface__")? {
        return crate::interop::from_array(object, true).map(Some);
    }
    Ok(None)
}

pub fn wrap(py: Python<'_>, t: Tensor) -> PyResult<Py<PyAny>> {
    // An op on nothing but numbers gives a tensor of the default type.
    let t = if t.is_wrapped() {
        let d = if t.dtype() == DType::F64 { DType::F32 } else { t.dtype() };
        rubigo_core::ops::cast::to(&t, d).py()?
    } else {
        t
    };
    Ok(Py::new(py, PyTensor::new(t))?.into_any())
}

pub fn number_to_py(py: Python<'_>, n: Number) -> PyResult<Py<PyAny>> {
    Ok(match n {
        Number::Bool(v) => PyBool::new(py, v).to_owned().into_any().unbind(),
        Number::Int(v) => v.into_pyobject(py)?.into_any().unbind(),
        Number::Float(v) => v.into_pyobject(py)?.into_any().unbind(),
    })
}

/// The one element of a tensor; waits for a GPU without the interpreter lock.
pub fn item(py: Python<'_>, t: &Tensor) -> PyResult<Number> {
    crate::ops::detached(py, &[Some(t.clone())], || t.item())
}

/// An integer from an int, a 0-d integer tensor or anything with `__index__`.
pub fn int(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Ok(t) = object.cast::<PyTensor>() {
        let t = t.get().tensor();
        if !t.dtype().is_float()
            && let Number::Int(v) = item(object.py(), &t)?
        {
            return Ok(v);
        }
        return Err(PyTypeError::new_err(
            "only integer tensors of one element convert to an index",
        ));
    }
    object.extract::<i64>()
}

pub fn float(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    if let Ok(t) = object.cast::<PyTensor>() {
        return Ok(item(object.py(), &t.get().tensor())?.as_f64());
    }
    object.extract::<f64>()
}

pub fn ints(object: &Bound<'_, PyAny>) -> PyResult<SmallVec<[i64; 4]>> {
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let mut out = SmallVec::new();
        for item in object.try_iter()? {
            out.push(int(&item?)?);
        }
        return Ok(out);
    }
    Ok(smallvec::smallvec![int(object)?])
}

/// One argument that is no tensor.
pub fn attr(object: &Bound<'_, PyAny>, kind: ParamKind, optional: bool) -> PyResult<Attr> {
    if object.is_none() {
        if optional {
            return Ok(Attr::None);
        }
        return Err(PyTypeError::new_err("None is not allowed here"));
    }
    Ok(match kind {
        ParamKind::Bool => Attr::Bool(object.is_truthy()?),
        ParamKind::Int => Attr::Int(int(object)?),
        ParamKind::Float => Attr::Float(float(object)?),
        ParamKind::Number => match number(object)? {
            Some(n) => n.into(),
            None => match object.cast::<PyTensor>() {
                Ok(t) => item(object.py(), &t.get().tensor())?.into(),
                Err(_) => Attr::Float(object.extract::<f64>()?),
            },
        },
        // One int stays one int: `split(x, 3)` is not `split(x, [3])`.
        ParamKind::Ints if is_sequence(object) => Attr::Ints(ints(object)?),
        ParamKind::Ints => Attr::Int(int(object)?),
        ParamKind::Floats => Attr::Floats(object.extract()?),
        ParamKind::Str => match object.cast::<PyString>() {
            Ok(s) => Attr::Str(s.to_string()),
            Err(_) => {
                return Err(PyTypeError::new_err(format!(
                    "expected a str, got {}",
                    object.get_type().name()?
                )));
            }
        },
        ParamKind::DType => Attr::DType(parse_dtype(object)?),
        ParamKind::Device => Attr::Device(parse_device(object)?),
        ParamKind::Tensor | ParamKind::Tensors => {
            return Err(PyTypeError::new_err("a tensor parameter is no attribute"));
        }
    })
}

/// Numbers collected from nested lists.
enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    /// Some integer needs more than 63 bits: right only where a dtype that holds it is named.
    Big(Vec<i128>),
}

struct Nested {
    values: Values,
    shape: Vec<usize>,
}

/// `rubigo.tensor(data)`: from numbers, nested lists, arrays or tensors; always a copy.
pub fn tensor_from(
    data: &Bound<'_, PyAny>,
    dtype: Option<DType>,
    device: Device,
) -> PyResult<Tensor> {
    let t = if let Ok(t) = data.cast::<PyTensor>() {
        rubigo_core::ops::cast::copy_data(&t.get().tensor()).py()?
    } else if data.hasattr("__array_interface__")? {
        crate::interop::from_array(data, true)?
    } else {
        let mut shape = Vec::new();
        measure(data, &mut shape)?;
        let mut nested = Nested { values: Values::Bool(Vec::new()), shape };
        collect(data, 0, &mut nested, &mut Vec::new())?;
        let shape = &nested.shape;
        match &nested.values {
            // No element at all is a float tensor, as `torch.tensor([])`.
            Values::Bool(v) if v.is_empty() => Tensor::empty(shape, DType::F32, Device::Cpu),
            Values::Bool(v) => Tensor::from_slice(v, shape),
            Values::Int(v) => Tensor::from_slice(v, shape),
            Values::Big(v) => big(v, shape, dtype),
            Values::Float(v) if dtype == Some(DType::F64) => Tensor::from_slice(v, shape),
            Values::Float(v) => {
                let v: Vec<f32> = v.iter().map(|&x| x as f32).collect();
                Tensor::from_slice(&v, shape)
            }
        }
        .py()?
    };
    let t = match dtype {
        Some(d) => {
            check_range(&t, d)?;
            rubigo_core::ops::cast::to(&t.detach(), d).py()?
        }
        None => t,
    };
    rubigo_core::ops::cast::to_device(&t.detach(), device).py().map(|t| t.detach())
}

/// Integers of more than 63 bits, as uint64 or as floats.
fn big(values: &[i128], shape: &[usize], dtype: Option<DType>) -> rubigo_core::Result<Tensor> {
    match dtype {
        Some(DType::U64) if values.iter().all(|&v| u64::try_from(v).is_ok()) => {
            let v: Vec<u64> = values.iter().map(|&v| v as u64).collect();
            Tensor::from_slice(&v, shape)
        }
        Some(d) if d.is_float() => {
            let v: Vec<f64> = values.iter().map(|&v| v as f64).collect();
            Tensor::from_slice(&v, shape)
        }
        _ => Err(rubigo_core::Error::new(
            rubigo_core::Kind::Overflow,
            "an integer does not fit int64; name a dtype that holds it, such as uint64 or float64",
        )),
    }
}

/// A Python integer that does not fit the asked dtype is an error, not a wrapped value.
fn check_range(t: &Tensor, dtype: DType) -> PyResult<()> {
    let (Some((lo, hi)), DType::I64) = (dtype.int_range(), t.dtype()) else { return Ok(()) };
    if dtype == DType::Bool || dtype == DType::I64 || t.numel() > 1 << 20 {
        return Ok(());
    }
    for v in t.to_vec::<i64>().py()? {
        if i128::from(v) < lo || i128::from(v) > hi {
            return Err(PyOverflowError::new_err(format!(
                "value {v} cannot be converted to {} without overflow",
                dtype.name()
            )));
        }
    }
    Ok(())
}

fn is_sequence(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyList>()
        || object.is_instance_of::<PyTuple>()
        || object.is_instance_of::<PyRange>()
}

const MAX_DEPTH: usize = 64;

fn measure(object: &Bound<'_, PyAny>, shape: &mut Vec<usize>) -> PyResult<()> {
    if let Ok(t) = object.cast::<PyTensor>() {
        shape.extend_from_slice(t.get().tensor().shape());
        return Ok(());
    }
    if !is_sequence(object) {
        return Ok(());
    }
    if shape.len() >= MAX_DEPTH {
        return Err(PyValueError::new_err(format!("lists are nested more than {MAX_DEPTH} deep")));
    }
    let n = object.len()?;
    shape.push(n);
    if n > 0 {
        measure(&object.get_item(0)?, shape)?;
    }
    Ok(())
}

fn collect(
    object: &Bound<'_, PyAny>,
    depth: usize,
    out: &mut Nested,
    path: &mut Vec<usize>,
) -> PyResult<()> {
    let ragged = |out: &Nested, path: &[usize], what: String| {
        let at: String = path.iter().map(|i| format!("[{i}]")).collect();
        Err(PyValueError::new_err(format!(
            "the nested lists are ragged: expected shape {} from the first elements, but data{at} {what}",
            rubigo_core::layout::show(&out.shape)
        )))
    };
    if let Ok(t) = object.cast::<PyTensor>() {
        let t = t.get().tensor();
        if t.shape() != &out.shape[depth..] {
            return ragged(
                out,
                path,
                format!("has shape {}", rubigo_core::layout::show(t.shape())),
            );
        }
        match t.dtype() {
            DType::Bool => {
                t.to_vec::<bool>().py()?.into_iter().for_each(|v| out.push(Number::Bool(v)));
            }
            d if d.is_int() => {
                t.to_vec::<i64>().py()?.into_iter().for_each(|v| out.push(Number::Int(v)));
            }
            _ => t.to_vec::<f64>().py()?.into_iter().for_each(|v| out.push(Number::Float(v))),
        }
        return Ok(());
    }
    if is_sequence(object) {
        let n = object.len()?;
        if out.shape.get(depth) != Some(&n) {
            return ragged(out, path, format!("is a list of length {n}"));
        }
        for (i, item) in object.try_iter()?.enumerate() {
            path.push(i);
            collect(&item?, depth + 1, out, path)?;
            path.pop();
        }
        return Ok(());
    }
    if depth != out.shape.len() {
        return ragged(out, path, format!("is a {}", object.get_type().name()?));
    }
    if object.is_instance_of::<PyInt>()
        && object.extract::<i64>().is_err()
        && let Ok(v) = object.extract::<i128>()
    {
        out.push_big(v);
        return Ok(());
    }
    match number(object)? {
        Some(n) => out.push(n),
        // numpy scalars and 0-d arrays.
        None => match object.call_method0("item") {
            Ok(v) => match number(&v)? {
                Some(n) => out.push(n),
                None => return Err(not_a_number(object, path)?),
            },
            Err(_) => return Err(not_a_number(object, path)?),
        },
    }
    Ok(())
}

fn not_a_number(object: &Bound<'_, PyAny>, path: &[usize]) -> PyResult<PyErr> {
    let at: String = path.iter().map(|i| format!("[{i}]")).collect();
    Ok(PyTypeError::new_err(format!(
        "cannot make a tensor from a {} (at data{at})",
        object.get_type().name()?
    )))
}

impl Nested {
    fn push_big(&mut self, value: i128) {
        match &mut self.values {
            Values::Big(v) => v.push(value),
            Values::Float(v) => v.push(value as f64),
            Values::Int(v) => {
                let mut wide: Vec<i128> = v.iter().map(|&i| i as i128).collect();
                wide.push(value);
                self.values = Values::Big(wide);
            }
            Values::Bool(v) => {
                let mut wide: Vec<i128> = v.iter().map(|&b| b as i128).collect();
                wide.push(value);
                self.values = Values::Big(wide);
            }
        }
    }

    /// Adds a number; the kind of all widens from bool to int to float.
    fn push(&mut self, n: Number) {
        match (&mut self.values, n) {
            (Values::Big(v), Number::Bool(b)) => v.push(b as i128),
            (Values::Big(v), Number::Int(i)) => v.push(i as i128),
            (Values::Big(v), n) => {
                self.values = Values::Float(v.iter().map(|&i| i as f64).collect());
                self.push(n);
            }
            (Values::Bool(v), Number::Bool(b)) => v.push(b),
            (Values::Int(v), Number::Bool(b)) => v.push(b as i64),
            (Values::Int(v), Number::Int(i)) => v.push(i),
            (Values::Float(v), n) => v.push(n.as_f64()),
            (Values::Bool(v), n) => {
                self.values = Values::Int(v.iter().map(|&b| b as i64).collect());
                self.push(n);
            }
            (Values::Int(v), n) => {
                self.values = Values::Float(v.iter().map(|&i| i as f64).collect());
                self.push(n);
            }
        }
    }
}
