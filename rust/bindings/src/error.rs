//! The one place where an `Error` becomes a Python exception.

use pyo3::exceptions::*;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use rubigo_core::{Error, Kind};
use std::sync::Arc;

static SHAPE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static DEVICE_LOST: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// `ShapeError` is a ValueError and a RuntimeError: PyTorch raises the second for sizes that do not fit.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    let make = |name: &str, bases: Vec<Bound<'_, PyAny>>, doc: &str| -> PyResult<Py<PyType>> {
        let dict = pyo3::types::PyDict::new(py);
        dict.set_item("__module__", "rubigo")?;
        dict.set_item("__doc__", doc)?;
        let bases = pyo3::types::PyTuple::new(py, bases)?;
        let class = py.get_type::<PyType>().call1((name, bases, dict))?;
        m.add(name, &class)?;
        Ok(class.cast_into::<PyType>()?.unbind())
    };
    let value = py.get_type::<PyValueError>().into_any();
    let runtime = py.get_type::<PyRuntimeError>().into_any();
    let shape =
        make("ShapeError", vec![value, runtime.clone()], "Sizes that do not fit together.")?;
    SHAPE_ERROR.get_or_init(py, || shape);
    let lost = make(
        "DeviceLostError",
        vec![runtime],
        "The GPU is gone; its tensors are lost, and a new device opens at the next use.",
    )?;
    DEVICE_LOST.get_or_init(py, || lost);
    Ok(())
}

/// The error that carries an exception through the core: from a hook, a custom Function or a signal's handler.
pub fn keep(e: PyErr) -> Error {
    let mut out = from_py(&e);
    out.raised = Some(Arc::new(e));
    out
}

/// What a signal's handler raised: for Ctrl-C, or a handler of the user's own.
pub fn interrupted() -> rubigo_core::Result<()> {
    Python::attach(|py| py.check_signals().map_err(keep))
}

/// The exception for an error; one that it carries as it was raised.
pub fn to_py(e: Error) -> PyErr {
    if let Some(raised) = e.raised.as_ref().and_then(|r| r.downcast_ref::<PyErr>()) {
        return Python::attach(|py| raised.clone_ref(py));
    }
    let text = e.to_string();
    match e.kind {
        Kind::Value => PyValueError::new_err(text),
        Kind::Type => PyTypeError::new_err(text),
        Kind::Index => PyIndexError::new_err(text),
        Kind::Runtime => PyRuntimeError::new_err(text),
        Kind::Memory => PyMemoryError::new_err(text),
        Kind::Overflow => PyOverflowError::new_err(text),
        Kind::NotImplemented => PyNotImplementedError::new_err(text),
        Kind::Interrupted => PyKeyboardInterrupt::new_err(text),
        Kind::Io(0) => PyOSError::new_err(text),
        Kind::Io(errno) => PyOSError::new_err((errno, text)),
        Kind::Shape => typed(&SHAPE_ERROR, text),
        Kind::DeviceLost => typed(&DEVICE_LOST, text),
    }
}

fn typed(class: &PyOnceLock<Py<PyType>>, text: String) -> PyErr {
    Python::attach(|py| match class.get(py) {
        Some(class) => PyErr::from_type(class.bind(py).clone(), text),
        None => PyRuntimeError::new_err(text),
    })
}

/// The kind and the text of an exception.
fn from_py(e: &PyErr) -> Error {
    Python::attach(|py| {
        let kind = if e.is_instance_of::<PyKeyboardInterrupt>(py) {
            Kind::Interrupted
        } else if e.is_instance_of::<PyIndexError>(py) {
            Kind::Index
        } else if e.is_instance_of::<PyTypeError>(py) {
            Kind::Type
        } else if e.is_instance_of::<PyMemoryError>(py) {
            Kind::Memory
        } else if e.is_instance_of::<PyRuntimeError>(py) {
            Kind::Runtime
        } else {
            Kind::Value
        };
        Error::new(kind, e.to_string())
    })
}

pub trait IntoPyResult<T> {
    fn py(self) -> PyResult<T>;
}

impl<T> IntoPyResult<T> for rubigo_core::Result<T> {
    #[inline]
    fn py(self) -> PyResult<T> {
        self.map_err(to_py)
    }
}
