//! `rubigo.dtype` and `rubigo.device`.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyType};
use rubigo_core::Device;
use rubigo_core::dtype::{self, DType};
use std::collections::HashMap;

use crate::error::IntoPyResult;

/// The type of a tensor's elements, such as `rubigo.float32`.
#[pyclass(name = "dtype", module = "rubigo", frozen, eq, hash)]
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
pub struct PyDType(pub DType);

#[pymethods]
impl PyDType {
    #[new]
    fn new(name: &Bound<'_, PyAny>) -> PyResult<Self> {
        parse_dtype(name).map(Self)
    }

    fn __repr__(&self) -> String {
        format!("rubigo.{}", self.0.name())
    }

    fn __str__(&self) -> String {
        self.__repr__()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (&'static str,)) {
        (py.get_type::<Self>(), (self.0.name(),))
    }

    /// The name without the package, as numpy and safetensors know it.
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    /// Whether it is one of the float types.
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }

    /// Whether it holds negative numbers.
    #[getter]
    fn is_signed(&self) -> bool {
        self.0.is_signed()
    }

    /// Whether it holds complex numbers: never, there are none.
    #[getter]
    fn is_complex(&self) -> bool {
        false
    }
}

/// Where a tensor lives: `rubigo.device("cpu")` or `rubigo.device("gpu")`.
#[pyclass(name = "device", module = "rubigo", frozen)]
#[derive(Clone, Copy)]
pub struct PyDevice(pub Device);

#[pymethods]
impl PyDevice {
    #[new]
    fn new(device: &Bound<'_, PyAny>) -> PyResult<Self> {
        parse_device(device).map(Self)
    }

    fn __repr__(&self) -> String {
        format!("device(type='{}')", self.0)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        parse_device(other).is_ok_and(|d| d == self.0)
    }

    fn __hash__(&self) -> u64 {
        self.0 as u64
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyType>, (String,)) {
        (py.get_type::<Self>(), (self.0.to_string(),))
    }

    /// "cpu" or "gpu".
    #[getter]
    fn r#type(&self) -> String {
        self.0.to_string()
    }

    /// None: there is one device of each type.
    #[getter]
    fn index(&self) -> Option<usize> {
        None
    }
}

static DTYPES: PyOnceLock<HashMap<DType, Py<PyAny>>> = PyOnceLock::new();

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDType>()?;
    m.add_class::<PyDevice>()?;
    let py = m.py();
    let mut all = HashMap::new();
    for d in dtype::ALL {
        let object = Py::new(py, PyDType(d))?.into_any();
        let name = if d == DType::Bool { "bool" } else { d.name() };
        m.add(name, &object)?;
        all.insert(d, object);
    }
    for (alias, d) in [
        ("half", DType::F16),
        ("float", DType::F32),
        ("double", DType::F64),
        ("short", DType::I16),
        ("int", DType::I32),
        ("long", DType::I64),
    ] {
        m.add(alias, &all[&d])?;
    }
    DTYPES.get_or_init(py, || all);
    Ok(())
}

/// The one Python object of a dtype, so that `is` works.
pub fn dtype_object(py: Python<'_>, d: DType) -> PyResult<Py<PyAny>> {
    match DTYPES.get(py).and_then(|all| all.get(&d)) {
        Some(object) => Ok(object.clone_ref(py)),
        None => Ok(Py::new(py, PyDType(d))?.into_any()),
    }
}

/// A dtype from `rubigo.float32`, "float32", `float`, or a numpy dtype.
pub fn parse_dtype(object: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(d) = object.cast::<PyDType>() {
        return Ok(d.get().0);
    }
    if let Ok(name) = object.cast::<PyString>() {
        let name = name.to_cow()?;
        return DType::parse(name.strip_prefix("rubigo.").unwrap_or(&name)).py();
    }
    let py = object.py();
    if object.is(py.get_type::<PyFloat>()) {
        return Ok(DType::F64);
    }
    if object.is(py.get_type::<PyBool>()) {
        return Ok(DType::Bool);
    }
    if object.is(py.get_type::<PyInt>()) {
        return Ok(DType::I64);
    }
    // numpy.dtype has `.name`; numpy.float32, the class, has `__name__`.
    for attr in ["name", "__name__"] {
        if let Ok(name) = object.getattr(attr)
            && let Ok(name) = name.extract::<String>()
            && let Ok(d) = DType::parse(if name == "bool_" { "bool" } else { &name })
        {
            return Ok(d);
        }
    }
    Err(PyTypeError::new_err(format!(
        "expected a dtype such as rubigo.float32, got {}",
        object.repr().map_or_else(|_| "an object".into(), |r| r.to_string())
    )))
}

pub fn parse_device(object: &Bound<'_, PyAny>) -> PyResult<Device> {
    if let Ok(d) = object.cast::<PyDevice>() {
        return Ok(d.get().0);
    }
    let Ok(name) = object.extract::<String>() else {
        return Err(PyTypeError::new_err(format!(
            "expected a device, \"cpu\" or \"gpu\", got {}",
            object.get_type().name()?
        )));
    };
    match name.as_str() {
        "cpu" | "cpu:0" => Ok(Device::Cpu),
        "gpu" | "gpu:0" => Ok(Device::Gpu),
        _ => Err(PyValueError::new_err(format!(
            "unknown device {name:?}: the devices are \"cpu\" and \"gpu\" (any GPU that Vulkan, \
             Metal or DX12 reaches)"
        ))),
    }
}
