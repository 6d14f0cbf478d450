//! One generic entry for all rows of the op table: functions, methods and in-place methods.
//!
//! A method descriptor has no room for "which op", so each op gets its own C function: the same code with
//! another number. Arguments are read by the op's signature.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use rubigo_core::ops::{self, Attr, Attrs, Bind, Body, OpDef, Outs, ParamKind, Signature};
use rubigo_core::{Tensor, apply, autograd};
use smallvec::SmallVec;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::convert;
use crate::error::IntoPyResult;
use crate::tensor::PyTensor;

type Fast = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Function,
    Method,
    InPlace,
}

unsafe extern "C" fn function<const N: usize>(
    _: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    n: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls with its vectorcall convention.
    unsafe { enter(N, Form::Function, std::ptr::null_mut(), args, n, names) }
}

unsafe extern "C" fn method<const N: usize>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    n: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    unsafe { enter(N, Form::Method, slf, args, n, names) }
}

unsafe extern "C" fn in_place<const N: usize>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    n: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as above.
    unsafe { enter(N, Form::InPlace, slf, args, n, names) }
}

macro_rules! sixteen {
    ($f:ident, $base:expr) => {
        [
            $f::<{ $base }>,
            $f::<{ $base + 1 }>,
            $f::<{ $base + 2 }>,
            $f::<{ $base + 3 }>,
            $f::<{ $base + 4 }>,
            $f::<{ $base + 5 }>,
            $f::<{ $base + 6 }>,
            $f::<{ $base + 7 }>,
            $f::<{ $base + 8 }>,
            $f::<{ $base + 9 }>,
            $f::<{ $base + 10 }>,
            $f::<{ $base + 11 }>,
            $f::<{ $base + 12 }>,
            $f::<{ $base + 13 }>,
            $f::<{ $base + 14 }>,
            $f::<{ $base + 15 }>,
        ]
    };
}
macro_rules! table {
    ($f:ident: $($row:literal)*) => { [$(sixteen!($f, $row * 16)),*] };
}
const ROWS: usize = 32;
static FUNCTIONS: [[Fast; 16]; ROWS] = table!(function: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
static METHODS: [[Fast; 16]; ROWS] = table!(method: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
static IN_PLACE: [[Fast; 16]; ROWS] = table!(in_place: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);

unsafe fn enter(
    index: usize,
    form: Form,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    n: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter called us, so this thread is attached.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: `args` holds n positional arguments and one for each keyword name.
    let result = catch_unwind(AssertUnwindSafe(|| unsafe {
        let given = Given::new(py, slf, args, n as usize, names);
        call(py, index, form, &given)
    }));
    match result {
        Ok(Ok(object)) => object.into_ptr(),
        Ok(Err(e)) => {
            e.restore(py);
            std::ptr::null_mut()
        }
        Err(_) => {
            PyRuntimeError::new_err(format!(
                "internal error in {}: please report it",
                ops::registry().ops[index].name
            ))
            .restore(py);
            std::ptr::null_mut()
        }
    }
}

/// The arguments of one call, borrowed from the interpreter.
struct Given<'py> {
    positional: SmallVec<[Bound<'py, PyAny>; 6]>,
    keywords: SmallVec<[(Bound<'py, PyString>, Bound<'py, PyAny>); 4]>,
}

impl<'py> Given<'py> {
    unsafe fn new(
        py: Python<'py>,
        slf: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        n: usize,
        names: *mut ffi::PyObject,
    ) -> Self {
        let mut positional = SmallVec::new();
        let mut keywords = SmallVec::new();
        // SAFETY: the interpreter owns the arguments for the length of the call.
        unsafe {
            if !slf.is_null() {
                positional.push(Bound::from_borrowed_ptr(py, slf));
            }
            for i in 0..n {
                positional.push(Bound::from_borrowed_ptr(py, *args.add(i)));
            }
            if !names.is_null() {
                let names = Bound::from_borrowed_ptr(py, names).cast_into_unchecked::<PyTuple>();
                for (i, name) in names.iter().enumerate() {
                    let value = Bound::from_borrowed_ptr(py, *args.add(n + i));
                    keywords.push((name.cast_into_unchecked::<PyString>(), value));
                }
            }
        }
        Self { positional, keywords }
    }
}

struct Parsed {
    inputs: SmallVec<[Option<Tensor>; 4]>,
    attrs: Attrs,
}

fn call(py: Python<'_>, index: usize, form: Form, given: &Given) -> PyResult<Py<PyAny>> {
    let r = ops::registry();
    let op = r.ops[index];
    let parsed = parse(op, &r.signatures[index], given)?;
    if form == Form::InPlace {
        run_in_place(py, op, &parsed)?;
        return Ok(given.positional[0].clone().unbind());
    }
    let outs = released(py, is_much(op, &parsed.inputs, &parsed.attrs), || {
        apply::apply(op, &parsed.inputs, &parsed.attrs)
    })?;
    wrap_outs(py, op, outs)
}

fn run_in_place(py: Python<'_>, op: &'static OpDef, p: &Parsed) -> PyResult<()> {
    released(py, is_much(op, &p.inputs, &p.attrs), || {
        autograd::apply_inplace(op, &p.inputs, &p.attrs)
    })?;
    Ok(())
}

/// Elements above which an op is worth letting other Python threads run meanwhile (about 20 us).
const RELEASE: usize = 16 * 1024;

/// A guess, rather too high, at whether an op has much to do: its result may be larger than what it is given, by
/// broadcasting, by the sizes among its arguments, or by pairing all elements.
fn is_much(op: &OpDef, inputs: &[Option<Tensor>], attrs: &[Attr]) -> bool {
    if waits_or_large(inputs) {
        return true;
    }
    let tensors = || inputs.iter().flatten();
    let rank = tensors().map(Tensor::ndim).max().unwrap_or(0);
    // From the last dimension, as broadcasting counts.
    let size = |d: usize| {
        let sizes = tensors().filter_map(|t| t.shape().iter().rev().nth(d));
        sizes.copied().max().unwrap_or(1)
    };
    let wide: usize = (0..rank).map(size).fold(1, usize::saturating_mul);
    if matches!(op.body, Body::Row(_)) {
        return wide >= RELEASE;
    }
    let length = |v: &i64| v.unsigned_abs().max(1) as usize;
    let sizes = attrs.iter().map(|a| match a {
        Attr::Int(v) => length(v),
        Attr::Ints(v) => v.iter().map(length).fold(1, usize::saturating_mul),
        _ => 1,
    });
    if sizes.fold(wide, usize::saturating_mul) >= RELEASE {
        return true;
    }
    // What has an in-place form pairs no elements.
    let pairs = tensors().map(Tensor::numel).fold(1, usize::saturating_mul);
    op.bind.0 & Bind::INPLACE == 0 && pairs >= 8 * RELEASE
}

fn waits_or_large(inputs: &[Option<Tensor>]) -> bool {
    inputs.iter().flatten().any(|t| t.numel() >= RELEASE || t.device() != rubigo_core::Device::Cpu)
}

/// Runs `f`, without the interpreter lock when the inputs are many elements or wait for a GPU.
pub fn detached<T: Send>(
    py: Python<'_>,
    inputs: &[Option<Tensor>],
    f: impl FnOnce() -> rubigo_core::Result<T> + Send,
) -> PyResult<T> {
    released(py, waits_or_large(inputs), f)
}

fn released<T: Send>(
    py: Python<'_>,
    much: bool,
    f: impl FnOnce() -> rubigo_core::Result<T> + Send,
) -> PyResult<T> {
    if much { py.detach(f).py() } else { f().py() }
}

pub fn wrap_outs(py: Python<'_>, op: &OpDef, mut outs: Outs) -> PyResult<Py<PyAny>> {
    if outs.len() == 1 && !op.many {
        return convert::wrap(py, outs.swap_remove(0));
    }
    let items = outs.into_iter().map(|t| convert::wrap(py, t)).collect::<PyResult<Vec<_>>>()?;
    let items = PyTuple::new(py, items)?;
    match NAMED.get(py).and_then(|named| named.bind(py).get_item(op.name).ok().flatten()) {
        Some(class) if items.len() == 2 => Ok(class.call1(items)?.unbind()),
        _ => Ok(items.into_any().unbind()),
    }
}

/// The classes of results that have names, by op: `sort` gives (values, indices).
static NAMED: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

#[pyfunction]
fn set_named_results(py: Python<'_>, classes: Py<PyDict>) {
    NAMED.get_or_init(py, || classes);
}

/// The other names of ops, for the generator: (alias, name).
#[pyfunction]
fn aliases() -> Vec<(&'static str, &'static str)> {
    rubigo_core::ops::ALIASES.to_vec()
}

fn parse(op: &OpDef, sig: &Signature, given: &Given) -> PyResult<Parsed> {
    let mut values: SmallVec<[Option<&Bound<'_, PyAny>>; 8]> =
        smallvec::smallvec![None; sig.params.len()];
    let mut spread = None;
    let open = sig.params.iter().filter(|p| !p.keyword_only).count();
    for (i, value) in given.positional.iter().enumerate() {
        // `x.permute(0, 2, 1)`: the rest of the arguments are the elements of one list.
        if sig.variadic == Some(i) && (given.positional.len() > i + 1 || !is_list(value)) {
            let rest: Result<SmallVec<[i64; 4]>, _> =
                given.positional[i..].iter().map(convert::int).collect();
            spread = Some((
                i,
                Attr::Ints(rest.map_err(|e| named(op, sig.params[i].name, e, value.py()))?),
            ));
            break;
        }
        if i >= open {
            return Err(PyTypeError::new_err(format!(
                "{}() takes {open} positional arguments but {} were given",
                op.name,
                given.positional.len()
            )));
        }
        values[i] = Some(value);
    }
    for (name, value) in &given.keywords {
        let text = name.to_cow()?;
        let Some(i) = sig.params.iter().position(|p| p.name == text || alias(&text) == p.name)
        else {
            let known: Vec<&str> = sig.params.iter().map(|p| p.name).collect();
            return Err(PyTypeError::new_err(format!(
                "{}() got an unexpected keyword argument '{text}'; it takes {}",
                op.name,
                known.join(", ")
            )));
        };
        if values[i].is_some() || spread.as_ref().is_some_and(|s| s.0 == i) {
            return Err(PyTypeError::new_err(format!(
                "{}() got multiple values for argument '{text}'",
                op.name
            )));
        }
        values[i] = Some(value);
    }
    let mut out = Parsed { inputs: SmallVec::new(), attrs: SmallVec::new() };
    let mut numbers: SmallVec<[(usize, &Bound<'_, PyAny>); 2]> = SmallVec::new();
    for (i, (param, value)) in sig.params.iter().zip(values).enumerate() {
        if let Some((at, list)) = &spread
            && *at == i
        {
            out.attrs.push(list.clone());
            continue;
        }
        let fail = |e: PyErr, v: &Bound<'_, PyAny>| named(op, param.name, e, v.py());
        match (param.kind, value) {
            (ParamKind::Tensor, Some(v)) if v.is_none() && param.optional => out.inputs.push(None),
            (ParamKind::Tensor, Some(v)) => match convert::operand(v).map_err(|e| fail(e, v))? {
                Some(t) => {
                    if t.is_wrapped() {
                        numbers.push((out.inputs.len(), v));
                    }
                    out.inputs.push(Some(t));
                }
                None => {
                    return Err(PyTypeError::new_err(format!(
                        "{}(): argument '{}' must be a Tensor, not {}",
                        op.name,
                        param.name,
                        v.get_type().fully_qualified_name()?
                    )));
                }
            },
            (ParamKind::Tensor, None) if param.optional => out.inputs.push(None),
            (ParamKind::Tensors, Some(v)) => {
                let items = v.try_iter().map_err(|_| {
                    let got = v.get_type().name().map_or_else(|_| "it".into(), |n| n.to_string());
                    PyTypeError::new_err(format!(
                        "{}(): argument '{}' must be a list of Tensors, not {got}",
                        op.name, param.name
                    ))
                })?;
                for item in items {
                    let item = item?;
                    let Ok(t) = item.cast::<PyTensor>() else {
                        return Err(PyTypeError::new_err(format!(
                            "{}(): '{}' must be a list of Tensors, it holds a {}",
                            op.name,
                            param.name,
                            item.get_type().name()?
                        )));
                    };
                    out.inputs.push(Some(t.get().tensor()));
                }
                if out.inputs.is_empty() {
                    return Err(PyRuntimeError::new_err(format!(
                        "{}(): expected a non-empty list of Tensors",
                        op.name
                    )));
                }
            }
            (kind, Some(v)) => {
                let optional = param.optional || param.default == Some(Attr::None);
                out.attrs.push(convert::attr(v, kind, optional).map_err(|e| fail(e, v))?);
            }
            (_, None) => match &param.default {
                Some(d) if !matches!(param.kind, ParamKind::Tensor | ParamKind::Tensors) => {
                    out.attrs.push(d.clone());
                }
                None if param.optional => out.attrs.push(Attr::None),
                _ => {
                    return Err(PyTypeError::new_err(format!(
                        "{}() missing required argument '{}'",
                        op.name, param.name
                    )));
                }
            },
        }
    }
    let compares = matches!(op.body, Body::Row(row) if row.class == ops::row::Class::Compare);
    let floats = |t: &Tensor| t.dtype().is_float() && !t.is_wrapped();
    if let Some(a) = out.inputs.iter().flatten().find(|t| !t.is_wrapped())
        && !compares
        && !out.inputs.iter().flatten().any(floats)
    {
        for &(i, given) in &numbers {
            if let Some(n) = &out.inputs[i] {
                crate::operators::fits(n, a, given)?;
            }
        }
    }
    Ok(out)
}

fn is_list(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>()
}

/// The array API's and numpy's words for PyTorch's, and what its method calls otherwise than its function.
fn alias(name: &str) -> &str {
    match name {
        "axis" => "dim",
        "keepdims" => "keepdim",
        "x" | "self" => "input",
        "split_size" => "split_size_or_sections",
        _ => name,
    }
}

fn named(op: &OpDef, param: &str, e: PyErr, py: Python<'_>) -> PyErr {
    PyErr::from_type(e.get_type(py), format!("{}(): argument '{param}': {}", op.name, e.value(py)))
}

/// The signature as Python shows it, then the doc line.
fn doc(op: &OpDef, sig: &Signature, form: Form) -> String {
    let name = match form {
        Form::InPlace => format!("{}_", op.name),
        _ => op.name.to_string(),
    };
    let mut params: Vec<String> = Vec::new();
    let mut starred = false;
    for (i, p) in sig.params.iter().enumerate() {
        if p.keyword_only && !starred {
            params.push("*".to_string());
            starred = true;
        }
        let text = if i == 0 && form != Form::Function { "$self" } else { p.name };
        params.push(match p.default_text {
            "" if p.optional => format!("{text}=None"),
            "" => text.to_string(),
            d if d.contains("inf")
                || !d.starts_with([
                    'N', 'T', 'F', '\'', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
                ]) =>
            {
                format!("{text}=...")
            }
            d => format!("{text}={d}"),
        });
    }
    format!("{name}({})\n--\n\n{}.", params.join(", "), op.doc)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    let class = py.get_type::<PyTensor>();
    let r = ops::registry();
    assert!(r.ops.len() <= ROWS * 16, "more ops than entry points: raise ROWS");
    let functions = PyModule::new(py, "_ops")?;
    for (i, op) in r.ops.iter().enumerate() {
        let sig = &r.signatures[i];
        let flags = op.bind.0;
        let has = |bit: u8| flags & bit != 0;
        if has(Bind::FUNCTION) || has(Bind::PRIVATE) {
            let def = definition(op.name, FUNCTIONS[i / 16][i % 16], &doc(op, sig, Form::Function));
            // SAFETY: the definition is leaked, so it outlives the function.
            let f = unsafe {
                Bound::from_owned_ptr_or_err(
                    py,
                    ffi::PyCFunction_NewEx(def, std::ptr::null_mut(), std::ptr::null_mut()),
                )?
            };
            let target = if has(Bind::PRIVATE) { m } else { &functions };
            target.add(op.name, &f)?;
            m.add(op.name, f)?;
        }
        if has(Bind::METHOD) {
            let text = doc(op, sig, Form::Method);
            add_method(py, &class, op.name, METHODS[i / 16][i % 16], &text)?;
        }
        if has(Bind::INPLACE) {
            let text = doc(op, sig, Form::InPlace);
            add_method(py, &class, &format!("{}_", op.name), IN_PLACE[i / 16][i % 16], &text)?;
        }
    }
    for &(alias, name) in ops::ALIASES {
        functions.add(alias, m.getattr(name)?)?;
        m.add(alias, m.getattr(name)?)?;
        class.setattr(alias, class.getattr(name)?)?;
        if let Some(in_place) = class.getattr_opt(format!("{name}_"))? {
            class.setattr(format!("{alias}_"), in_place)?;
        }
    }
    m.add("_functions", functions)?;
    m.add_function(wrap_pyfunction!(aliases, m)?)?;
    m.add_function(wrap_pyfunction!(set_named_results, m)?)
}

fn definition(name: &str, f: Fast, doc: &str) -> *mut ffi::PyMethodDef {
    let leak = |s: &str| CString::new(s).unwrap_or_default().into_raw().cast_const();
    Box::into_raw(Box::new(ffi::PyMethodDef {
        ml_name: leak(name),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: f },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: leak(doc),
    }))
}

fn add_method(
    py: Python<'_>,
    class: &Bound<'_, pyo3::types::PyType>,
    name: &str,
    f: Fast,
    doc: &str,
) -> PyResult<()> {
    let def = definition(name, f, doc);
    // SAFETY: the definition is leaked, so it outlives the descriptor.
    let descriptor = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_ptr().cast(), def))?
    };
    class.setattr(name, descriptor)
}

/// A plain call from other parts of the bindings.
pub fn run(
    py: Python<'_>,
    op: &'static OpDef,
    inputs: &[&Tensor],
    attrs: &[Attr],
) -> PyResult<Py<PyAny>> {
    let inputs: SmallVec<[Option<Tensor>; 4]> = inputs.iter().map(|&t| Some(t.clone())).collect();
    let much = is_much(op, &inputs, attrs);
    let outs = released(py, much, || apply::apply(op, &inputs, attrs))?;
    wrap_outs(py, op, outs)
}
