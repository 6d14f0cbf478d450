//! Creation functions with PyTorch's forms: sizes one by one or as a list, `requires_grad`, `arange`'s overloads.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rubigo_core::dtype::DType;
use rubigo_core::ops::{Attr, OpDef, create};
use rubigo_core::{Device, Tensor, apply};

use crate::convert;
use crate::error::IntoPyResult;
use crate::tensor::PyTensor;
use crate::types::{parse_device, parse_dtype};

/// dtype and device arguments; a device without a GPU fails when the tensor is made.
pub struct Options {
    pub dtype: Option<DType>,
    pub device: Option<Device>,
    pub requires_grad: bool,
}

impl Options {
    pub fn new(
        dtype: Option<&Bound<'_, PyAny>>,
        device: Option<&Bound<'_, PyAny>>,
        requires_grad: bool,
    ) -> PyResult<Self> {
        Ok(Self {
            dtype: dtype.map(parse_dtype).transpose()?,
            device: device.map(parse_device).transpose()?,
            requires_grad,
        })
    }

    pub fn finish(&self, t: Tensor) -> PyResult<PyTensor> {
        if self.requires_grad {
            t.set_requires_grad(true).py()?;
        }
        Ok(PyTensor::new(t))
    }

    fn make(
        &self,
        py: Python<'_>,
        op: &'static OpDef,
        inputs: &[&Tensor],
        mut attrs: Vec<Attr>,
    ) -> PyResult<PyTensor> {
        attrs.push(self.dtype.into());
        attrs.push(self.device.into());
        let t = py.detach(|| apply::call(op, inputs, &attrs)).py()?;
        self.finish(t)
    }
}

/// `f(2, 3)`, `f((2, 3))`, `f([2, 3])` and `f(size=(2, 3))`.
pub fn sizes(args: &Bound<'_, PyTuple>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<i64>> {
    let list = match (args.len(), size) {
        (0, Some(s)) => return Ok(convert::ints(s)?.to_vec()),
        (0, None) => return Err(PyTypeError::new_err("missing required argument 'size'")),
        (_, Some(_)) => return Err(PyTypeError::new_err("the size was given twice")),
        (1, None) => convert::ints(&args.get_item(0)?)?,
        _ => convert::ints(args.as_any())?,
    };
    Ok(list.to_vec())
}

macro_rules! sized {
    ($($name:ident $op:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (*args, size = None, dtype = None, device = None, requires_grad = false))]
        fn $name(
            args: &Bound<'_, PyTuple>,
            size: Option<&Bound<'_, PyAny>>,
            dtype: Option<&Bound<'_, PyAny>>,
            device: Option<&Bound<'_, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<PyTensor> {
            let shape = sizes(args, size)?;
            let options = Options::new(dtype, device, requires_grad)?;
            options.make(args.py(), &create::$op, &[], vec![shape[..].into()])
        }
    )*};
}
sized! {
    zeros ZEROS "A tensor of zeros.";
    ones ONES "A tensor of ones.";
    empty EMPTY "A tensor whose elements are whatever the memory holds.";
}

macro_rules! alike {
    ($($name:ident $op:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        #[pyfunction]
        #[pyo3(signature = (input, *, dtype = None, device = None, requires_grad = false))]
        fn $name(
            input: &Bound<'_, PyTensor>,
            dtype: Option<&Bound<'_, PyAny>>,
            device: Option<&Bound<'_, PyAny>>,
            requires_grad: bool,
        ) -> PyResult<PyTensor> {
            let options = Options::new(dtype, device, requires_grad)?;
            options.make(input.py(), &create::$op, &[&input.get().tensor()], vec![])
        }
    )*};
}
alike! {
    zeros_like ZEROS_LIKE "Zeros in the shape, dtype and device of the input.";
    ones_like ONES_LIKE "Ones in the shape, dtype and device of the input.";
    empty_like EMPTY_LIKE "Memory in the shape, dtype and device of the input.";
}

fn number(value: &Bound<'_, PyAny>) -> PyResult<Attr> {
    convert::attr(value, rubigo_core::ops::ParamKind::Number, false)
}

/// One value everywhere.
#[pyfunction]
#[pyo3(signature = (size, fill_value, *, dtype = None, device = None, requires_grad = false))]
fn full(
    size: &Bound<'_, PyAny>,
    fill_value: &Bound<'_, PyAny>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let options = Options::new(dtype, device, requires_grad)?;
    let shape = convert::ints(size)?;
    options.make(size.py(), &create::FULL, &[], vec![shape[..].into(), number(fill_value)?])
}

/// One value in the shape, dtype and device of the input.
#[pyfunction]
#[pyo3(signature = (input, fill_value, *, dtype = None, device = None, requires_grad = false))]
fn full_like(
    input: &Bound<'_, PyTensor>,
    fill_value: &Bound<'_, PyAny>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let options = Options::new(dtype, device, requires_grad)?;
    let x = input.get().tensor();
    options.make(input.py(), &create::FULL_LIKE, &[&x], vec![number(fill_value)?])
}

/// Ones on the diagonal, zeros elsewhere.
#[pyfunction]
#[pyo3(signature = (n, m = None, *, dtype = None, device = None, requires_grad = false))]
fn eye(
    py: Python<'_>,
    n: i64,
    m: Option<i64>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let options = Options::new(dtype, device, requires_grad)?;
    options.make(py, &create::EYE, &[], vec![n.into(), m.into()])
}

/// `arange(end)`, `arange(start, end)`, `arange(start, end, step)`.
#[pyfunction]
#[pyo3(signature = (*args, start = None, end = None, step = None, dtype = None, device = None, requires_grad = false))]
fn arange(
    args: &Bound<'_, PyTuple>,
    start: Option<&Bound<'_, PyAny>>,
    end: Option<&Bound<'_, PyAny>>,
    step: Option<&Bound<'_, PyAny>>,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let given: Vec<Attr> = args.iter().map(|a| number(&a)).collect::<PyResult<_>>()?;
    let named = |v: Option<&Bound<'_, PyAny>>| v.map(number).transpose();
    let zero = Attr::Int(0);
    let (first, last, by) = match (given.as_slice(), named(start)?, named(end)?, named(step)?) {
        ([], s, Some(e), by) => (s.unwrap_or(zero), e, by),
        ([e], None, None, by) => (zero, e.clone(), by),
        ([e], Some(s), None, by) => (s, e.clone(), by),
        ([s], None, Some(e), by) => (s.clone(), e, by),
        ([s, e], None, None, by) => (s.clone(), e.clone(), by),
        ([s, e, by], None, None, None) => (s.clone(), e.clone(), Some(by.clone())),
        _ => {
            return Err(PyTypeError::new_err(
                "arange() takes (end), (start, end) or (start, end, step)",
            ));
        }
    };
    let options = Options::new(dtype, device, requires_grad)?;
    options.make(args.py(), &create::ARANGE, &[], vec![first, last, by.unwrap_or(Attr::Int(1))])
}

/// `steps` numbers from start to end, both included.
#[pyfunction]
#[pyo3(signature = (start, end, steps, *, dtype = None, device = None, requires_grad = false))]
fn linspace(
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    steps: i64,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let options = Options::new(dtype, device, requires_grad)?;
    let attrs = vec![number(start)?, number(end)?, steps.into()];
    options.make(start.py(), &create::LINSPACE, &[], attrs)
}

/// The base to the power of `steps` numbers from start to end.
#[pyfunction]
#[pyo3(signature = (start, end, steps, base = 10.0, *, dtype = None, device = None, requires_grad = false))]
fn logspace(
    start: &Bound<'_, PyAny>,
    end: &Bound<'_, PyAny>,
    steps: i64,
    base: f64,
    dtype: Option<&Bound<'_, PyAny>>,
    device: Option<&Bound<'_, PyAny>>,
    requires_grad: bool,
) -> PyResult<PyTensor> {
    let options = Options::new(dtype, device, requires_grad)?;
    let attrs = vec![number(start)?, number(end)?, steps.into(), base.into()];
    options.make(start.py(), &create::LOGSPACE, &[], attrs)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(zeros, m)?)?;
    m.add_function(wrap_pyfunction!(ones, m)?)?;
    m.add_function(wrap_pyfunction!(empty, m)?)?;
    m.add_function(wrap_pyfunction!(full, m)?)?;
    m.add_function(wrap_pyfunction!(zeros_like, m)?)?;
    m.add_function(wrap_pyfunction!(ones_like, m)?)?;
    m.add_function(wrap_pyfunction!(empty_like, m)?)?;
    m.add_function(wrap_pyfunction!(full_like, m)?)?;
    m.add_function(wrap_pyfunction!(eye, m)?)?;
    m.add_function(wrap_pyfunction!(arange, m)?)?;
    m.add_function(wrap_pyfunction!(linspace, m)?)?;
    m.add_function(wrap_pyfunction!(logspace, m)?)
}
