//! Python values to tensors and arguments, and back.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use rubigo_core::dtype::{DType, Element, Flag};
use rubigo_core::ops::{Attr, ParamKind, cast};
use rubigo_core::tensor::Number;
use rubigo_core::{Device, Tensor};
use smallvec::SmallVec;

use crate::error::IntoPyResult;
use crate::ops::detached;
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
        if let Ok(v) = object.extract::<i64>() {
            return Ok(Some(Number::Int(v)));
        }
        if let Ok(v) = object.extract::<u64>() {
            return Ok(Some(Number::Big(v)));
        }
        let v = object
            .extract::<f64>()
            .map_err(|_| PyOverflowError::new_err("the integer is too large for any dtype"))?;
        return Ok(Some(Number::Float(v)));
    }
    // numpy's integers are no Python ints, and what it calls an index has one.
    if object.is_instance_of::<PyTensor>()
        || object.hasattr("__array_interface__")? && object.hasattr("__len__")?
    {
        return Ok(None);
    }
    if let Ok(v) = object.extract::<i64>() {
        return Ok(Some(Number::Int(v)));
    }
    // numpy's floats beside float64 count as Python's, its bools do not count as numbers.
    let float = object.hasattr("__array_interface__")? && object.hasattr("is_integer")?;
    Ok(if float { object.extract::<f64>().ok().map(Number::Float) } else { None })
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
        cast::to(&t, d).py()?
    } else {
        t
    };
    Ok(Py::new(py, PyTensor::new(t))?.into_any())
}

pub fn number_to_py(py: Python<'_>, n: Number) -> PyResult<Py<PyAny>> {
    Ok(match n {
        Number::Bool(v) => PyBool::new(py, v).to_owned().into_any().unbind(),
        Number::Int(v) => v.into_pyobject(py)?.into_any().unbind(),
        Number::Big(v) => v.into_pyobject(py)?.into_any().unbind(),
        Number::Float(v) => v.into_pyobject(py)?.into_any().unbind(),
    })
}

/// The one element of a tensor; waits for a GPU without the interpreter lock.
pub fn item(py: Python<'_>, t: &Tensor) -> PyResult<Number> {
    detached(py, &[Some(t.clone())], || t.item())
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
    object.extract::<i64>().map_err(|e| {
        if e.is_instance_of::<PyOverflowError>(object.py()) {
            return PyOverflowError::new_err("the integer does not fit in 64 bits");
        }
        e
    })
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
    /// What tensors, arrays and numpy's scalars among the elements promote to; `None` without any.
    typed: Option<DType>,
    /// The widest Python number beside them.
    plain: Option<DType>,
    /// Whether an integer dtype is asked for: floats are then cut off, so that integers beside them keep their digits.
    whole: bool,
    /// The type of the last scalar of numpy's, and its dtype.
    scalar: Option<(usize, DType)>,
}

/// `rubigo.tensor(data)`: from numbers, nested sequences, arrays or tensors; always a copy.
pub fn tensor_from(
    data: &Bound<'_, PyAny>,
    mut dtype: Option<DType>,
    device: Device,
) -> PyResult<Tensor> {
    let py = data.py();
    let t = if let Ok(t) = data.cast::<PyTensor>() {
        let t = t.get().tensor();
        detached(py, &[Some(t.clone())], || cast::copy_data(&t))?
    } else if data.hasattr("__array_interface__")? {
        crate::interop::from_array(data, true)?
    } else {
        let mut shape = Vec::new();
        measure(data, &mut shape)?;
        let values = Values::Bool(Vec::new());
        let whole = dtype.is_some_and(DType::is_int);
        let mut nested = Nested { values, shape, typed: None, plain: None, whole, scalar: None };
        collect(data, 0, &mut nested, &mut Vec::new())?;
        if dtype.is_none() {
            dtype = nested.natural().py()?;
        }
        py.detach(|| nested.tensor(dtype)).py()?
    };
    let d = dtype.unwrap_or(t.dtype());
    detached(py, &[Some(t.clone())], || {
        // A GPU has no float64: the cast comes before the way there.
        let on_cpu =
            |t: &Tensor| cast::to(&t.detach(), d).and_then(|t| cast::to_device(&t, device));
        Ok(on_cpu(&t)?.detach())
    })
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

/// A number that does not fit the asked integer dtype is an error, not a wrapped value.
fn check_range(
    values: impl Iterator<Item = Number>,
    dtype: Option<DType>,
) -> rubigo_core::Result<()> {
    let Some(d) = dtype.filter(|d| d.is_int()) else { return Ok(()) };
    let Some((lo, hi)) = d.int_range() else { return Ok(()) };
    for n in values {
        let fits = match n.as_int() {
            Some(v) => (lo..=hi).contains(&v),
            // One past the end is a power of two, exact as a float.
            None => n.as_f64() > lo as f64 - 1.0 && n.as_f64() < (hi + 1) as f64,
        };
        if !fits {
            return Err(rubigo_core::Error::new(
                rubigo_core::Kind::Overflow,
                format!("value {n} cannot be converted to {} without overflow", d.name()),
            ));
        }
    }
    Ok(())
}

/// What PyTorch takes for a sequence: anything with a length and items, but texts and mappings.
fn is_sequence(object: &Bound<'_, PyAny>) -> bool {
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        return true;
    }
    let text = object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyDict>();
    // SAFETY: the object is alive and this thread is attached.
    !text && unsafe { pyo3::ffi::PySequence_Check(object.as_ptr()) } == 1
}

const MAX_DEPTH: usize = 64;

/// A tensor or an array among the elements of a sequence.
fn element(object: &Bound<'_, PyAny>) -> PyResult<Option<Tensor>> {
    if is_plain(object) {
        return Ok(None);
    }
    if let Ok(t) = object.cast::<PyTensor>() {
        return Ok(Some(t.get().tensor()));
    }
    if !has_interface(object)? || is_scalar(object)? {
        return Ok(None);
    }
    crate::interop::from_array(object, false).map(Some)
}

/// A number or list of Python's own: there are many, and none is asked for an interface. numpy's float64, which is a
/// float, too, is not among them.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyFloat>()
        || object.is_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyList>()
        || object.is_exact_instance_of::<PyTuple>()
}

fn has_interface(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.hasattr("__array_interface__")
}

fn is_scalar(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!object.hasattr("__len__")?)
}

/// The elements on the CPU, row by row; a GPU is waited for without the interpreter lock.
pub fn flat<T: Element>(py: Python<'_>, t: &Tensor) -> PyResult<Vec<T>> {
    detached(py, &[Some(t.clone())], || t.to_vec::<T>())
}

fn measure(object: &Bound<'_, PyAny>, shape: &mut Vec<usize>) -> PyResult<()> {
    if let Some(t) = element(object)? {
        shape.extend_from_slice(t.shape());
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
    if let Some(dtype) = out.scalar_dtype(object)? {
        if depth != out.shape.len() {
            return ragged(out, path, format!("is a {}", object.get_type().name()?));
        }
        out.push(match dtype {
            DType::Bool => Number::Bool(object.is_truthy()?),
            DType::U64 => unsigned(object.extract()?),
            d if d.is_int() => Number::Int(object.extract()?),
            _ => Number::Float(object.extract()?),
        });
        return out.add_type(dtype);
    }
    if let Some(t) = element(object)? {
        if out.shape.get(depth..) != Some(t.shape()) {
            return ragged(
                out,
                path,
                format!("has shape {}", rubigo_core::layout::show(t.shape())),
            );
        }
        let py = object.py();
        out.add_type(t.dtype())?;
        match t.dtype() {
            DType::Bool => {
                flat::<Flag>(py, &t)?.into_iter().for_each(|v| out.push(Number::Bool(v.get())));
            }
            DType::U64 => flat::<u64>(py, &t)?.into_iter().for_each(|v| out.push(unsigned(v))),
            d if d.is_int() => {
                flat::<i64>(py, &t)?.into_iter().for_each(|v| out.push(Number::Int(v)));
            }
            _ => flat::<f64>(py, &t)?.into_iter().for_each(|v| out.push(Number::Float(v))),
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
        out.plain = out.plain.max(Some(DType::I64));
        out.push_big(v);
        return Ok(());
    }
    let Some(n) = number(object)? else { return Err(not_a_number(object, path)?) };
    let dtype = if matches!(n, Number::Float(_)) { DType::F32 } else { n.dtype() };
    out.plain = out.plain.max(Some(dtype));
    out.push(n);
    Ok(())
}

fn unsigned(v: u64) -> Number {
    i64::try_from(v).map_or(Number::Big(v), Number::Int)
}

fn not_a_number(object: &Bound<'_, PyAny>, path: &[usize]) -> PyResult<PyErr> {
    let at: String = path.iter().map(|i| format!("[{i}]")).collect();
    let hint = if object.hasattr("__dlpack__")? { "\n  hint: rg.from_dlpack(x)" } else { "" };
    Ok(PyTypeError::new_err(format!(
        "cannot make a tensor from a {} (at data{at}){hint}",
        object.get_type().fully_qualified_name()?
    )))
}

impl Nested {
    /// The dtype of an element that is a scalar of numpy's.
    fn scalar_dtype(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Option<DType>> {
        let kind = object.get_type().as_ptr() as usize;
        if let Some((known, dtype)) = self.scalar
            && known == kind
        {
            return Ok(Some(dtype));
        }
        let other = is_plain(object) || object.is_instance_of::<PyTensor>();
        if other || !has_interface(object)? || !is_scalar(object)? {
            return Ok(None);
        }
        let dtype = crate::interop::from_array(object, true)?.dtype();
        // Only of numpy's own types is it known that all scalars of one have one dtype.
        if object.get_type().module()? == "numpy" {
            self.scalar = Some((kind, dtype));
        }
        Ok(Some(dtype))
    }

    fn add_type(&mut self, dtype: DType) -> PyResult<()> {
        self.typed = Some(self.typed.map_or(Ok(dtype), |d| d.promote(dtype)).py()?);
        Ok(())
    }

    /// The dtype of lists with typed elements; without any it follows from the numbers.
    fn natural(&self) -> rubigo_core::Result<Option<DType>> {
        match (self.typed, self.plain) {
            (Some(a), Some(b)) => a.promote(b).map(Some),
            (typed, _) => Ok(typed),
        }
    }

    fn tensor(&self, dtype: Option<DType>) -> rubigo_core::Result<Tensor> {
        let shape = &self.shape;
        match &self.values {
            // No element at all is a float tensor, as `torch.tensor([])`.
            Values::Bool(v) if v.is_empty() => Tensor::empty(shape, DType::F32, Device::Cpu),
            Values::Bool(v) => Tensor::from_bools(v, shape),
            Values::Int(v) => {
                check_range(v.iter().map(|&v| Number::Int(v)), dtype)?;
                Tensor::from_slice(v, shape)
            }
            Values::Big(v) => big(v, shape, dtype),
            Values::Float(v) if dtype.is_some_and(|d| d == DType::F64 || !d.is_float()) => {
                check_range(v.iter().map(|&v| Number::Float(v)), dtype)?;
                Tensor::from_slice(v, shape)
            }
            Values::Float(v) => {
                let v: Vec<f32> = v.iter().map(|&x| x as f32).collect();
                Tensor::from_slice(&v, shape)
            }
        }
    }

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
        let n = match n {
            // What int64 does not hold stays as it is, to be refused.
            Number::Float(v) if self.whole && v.abs() < i64::MAX as f64 => Number::Int(v as i64),
            n => n,
        };
        match (&mut self.values, n) {
            (Values::Big(v), Number::Bool(b)) => v.push(b as i128),
            (Values::Big(v), Number::Int(i)) => v.push(i as i128),
            (_, Number::Big(i)) => self.push_big(i.into()),
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
