//! DLPack, versioned (1.x) and legacy capsules, both ways, without a copy on the CPU.

use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rubigo_core::dtype::DType;
use rubigo_core::layout::{Dims, Layout, contiguous_strides};
use rubigo_core::ops::cast;
use rubigo_core::storage::Storage;
use rubigo_core::{Device, Tensor};
use std::ffi::{CStr, c_void};
use std::sync::Arc;

use crate::error::IntoPyResult;
use crate::interop::sound;
use crate::tensor::PyTensor;

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: [i32; 2],
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// The capsule of DLPack before 1.0.
#[repr(C)]
struct Legacy {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Legacy)>,
}

#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    flags: u64,
    tensor: DlTensor,
}

const CPU: i32 = 1;
const READ_ONLY: u64 = 1;
const COPIED: u64 = 2;
const LEGACY: &CStr = c"dltensor";
const LEGACY_USED: &CStr = c"used_dltensor";
const VERSIONED: &CStr = c"dltensor_versioned";
const VERSIONED_USED: &CStr = c"used_dltensor_versioned";

/// What an exported capsule keeps alive.
struct Export {
    _tensor: Tensor,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

fn code_of(d: DType) -> (u8, u8) {
    let bits = d.size() as u8 * 8;
    let code = match d {
        DType::Bool => 6,
        DType::BF16 => 4,
        d if d.is_float() => 2,
        d if d.is_signed() => 0,
        _ => 1,
    };
    (code, bits)
}

fn dtype_of(code: u8, bits: u8) -> Option<DType> {
    rubigo_core::dtype::ALL.into_iter().find(|&d| code_of(d) == (code, bits))
}

fn describe(t: &Tensor, export: &mut Export) -> DlTensor {
    let (code, bits) = code_of(t.dtype());
    DlTensor {
        data: t.byte_ptr().cast(),
        device: [CPU, 0],
        ndim: t.ndim() as i32,
        code,
        bits,
        lanes: 1,
        shape: export.shape.as_mut_ptr(),
        strides: export.strides.as_mut_ptr(),
        byte_offset: 0,
    }
}

unsafe extern "C" fn free_legacy(m: *mut Legacy) {
    // SAFETY: made by `to_dlpack` with these boxes; the consumer calls this once.
    unsafe {
        drop(Box::from_raw((*m).context.cast::<Export>()));
        drop(Box::from_raw(m));
    }
}

unsafe extern "C" fn free_versioned(m: *mut Versioned) {
    // SAFETY: as above.
    unsafe {
        drop(Box::from_raw((*m).context.cast::<Export>()));
        drop(Box::from_raw(m));
    }
}

/// A capsule that nobody consumed frees its tensor itself.
unsafe extern "C" fn capsule_gone(capsule: *mut ffi::PyObject) {
    // SAFETY: the interpreter hands us the capsule that is being destroyed.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, VERSIONED.as_ptr()) != 0 {
            let m = ffi::PyCapsule_GetPointer(capsule, VERSIONED.as_ptr()).cast::<Versioned>();
            if let Some(f) = (*m).deleter {
                f(m);
            }
        } else if ffi::PyCapsule_IsValid(capsule, LEGACY.as_ptr()) != 0 {
            let m = ffi::PyCapsule_GetPointer(capsule, LEGACY.as_ptr()).cast::<Legacy>();
            if let Some(f) = (*m).deleter {
                f(m);
            }
        }
    }
}

/// A capsule over the tensor's memory; `copy=True` over a copy of it.
#[pyfunction]
#[pyo3(signature = (t, *, stream = None, max_version = None, dl_device = None, copy = None))]
fn _to_dlpack(
    t: &Bound<'_, PyTensor>,
    stream: Option<&Bound<'_, PyAny>>,
    max_version: Option<(u32, u32)>,
    dl_device: Option<(i32, i32)>,
    copy: Option<bool>,
) -> PyResult<Py<PyAny>> {
    let py = t.py();
    let mut x = t.get().tensor();
    if x.requires_grad() {
        return Err(PyBufferError::new_err(
            "can't export a tensor that requires gradient; use tensor.detach()",
        ));
    }
    if stream.is_some_and(|s| !s.is_none()) {
        return Err(PyBufferError::new_err("CPU memory has no stream: stream must be None"));
    }
    if dl_device.is_some_and(|d| d.0 != CPU) {
        return Err(PyBufferError::new_err("only export to the CPU (device type 1) is possible"));
    }
    let on_gpu = x.device() != Device::Cpu;
    if on_gpu && (copy == Some(false) || dl_device.is_none()) {
        return Err(PyBufferError::new_err(
            "a gpu tensor can't be exported without a copy; use tensor.cpu(), or dl_device=(1, 0)",
        ));
    }
    let copied = on_gpu || copy == Some(true);
    if copied {
        x = py
            .detach(|| {
                let x = rubigo_core::ops::cast::to_device(&x, Device::Cpu)?;
                rubigo_core::ops::cast::copy_data(&x)
            })
            .py()?;
    }
    let mut export = Box::new(Export {
        shape: x.shape().iter().map(|&n| n as i64).collect(),
        strides: x.strides().iter().map(|&n| n as i64).collect(),
        _tensor: x.clone(),
    });
    let tensor = describe(&x, &mut export);
    let context = Box::into_raw(export).cast();
    let (pointer, name): (*mut c_void, &CStr) = if max_version.is_some_and(|v| v.0 >= 1) {
        let flags = if copied { COPIED } else { 0 };
        let m =
            Versioned { major: 1, minor: 1, context, deleter: Some(free_versioned), flags, tensor };
        (Box::into_raw(Box::new(m)).cast(), VERSIONED)
    } else {
        let m = Legacy { tensor, context, deleter: Some(free_legacy) };
        (Box::into_raw(Box::new(m)).cast(), LEGACY)
    };
    // SAFETY: the pointer is fresh, the name static, the destructor frees what nobody consumed.
    unsafe {
        Ok(Bound::from_owned_ptr_or_err(
            py,
            ffi::PyCapsule_New(pointer, name.as_ptr(), Some(capsule_gone)),
        )?
        .unbind())
    }
}

/// Memory of another library; calls its deleter when the last tensor over it is gone.
enum Imported {
    Legacy(*mut Legacy),
    Versioned(*mut Versioned),
}

// SAFETY: the pointers are only used to free, once.
unsafe impl Send for Imported {}
unsafe impl Sync for Imported {}

impl Drop for Imported {
    fn drop(&mut self) {
        // Deleters may touch Python objects.
        Python::attach(|_| {
            // SAFETY: the producer's deleter frees its own structure, once.
            unsafe {
                match *self {
                    Imported::Legacy(m) => {
                        if let Some(f) = (*m).deleter {
                            f(m);
                        }
                    }
                    Imported::Versioned(m) => {
                        if let Some(f) = (*m).deleter {
                            f(m);
                        }
                    }
                }
            }
        });
    }
}

/// A tensor over the memory of any object with `__dlpack__` (or a capsule).
#[pyfunction]
#[pyo3(signature = (x, *, device = None, copy = None))]
fn from_dlpack(
    x: &Bound<'_, PyAny>,
    device: Option<&Bound<'_, PyAny>>,
    copy: Option<bool>,
) -> PyResult<PyTensor> {
    let py = x.py();
    let target = device.map(crate::types::parse_device).transpose()?;
    if let Ok(t) = x.cast::<PyTensor>() {
        let mut t = t.get().tensor().detach();
        let to = target.unwrap_or(t.device());
        if copy == Some(true) {
            t = py.detach(|| cast::copy_data(&t)).py()?;
        } else if copy == Some(false) && to != t.device() {
            return Err(needs_copy(&format!("the tensor is on {}, not on {to}", t.device())));
        }
        return Ok(PyTensor::new(py.detach(|| cast::to_device(&t, to)).py()?));
    }
    let capsule = if x.hasattr("__dlpack__")? {
        let kwargs = PyDict::new(py);
        kwargs.set_item("max_version", (1, 1))?;
        if copy.is_some() {
            kwargs.set_item("copy", copy)?;
        }
        match x.call_method("__dlpack__", PyTuple::empty(py), Some(&kwargs)) {
            Ok(c) => c,
            // Producers from before 1.0 do not know the arguments.
            Err(e) if e.is_instance_of::<PyTypeError>(py) => x.call_method0("__dlpack__")?,
            Err(e) => return Err(e),
        }
    } else {
        x.clone()
    };
    let target = target.unwrap_or(Device::Cpu);
    if copy == Some(false) && target != Device::Cpu {
        return Err(needs_copy("the memory is on the CPU, not on the GPU"));
    }
    let mut t = import(&capsule, copy != Some(false))?;
    if copy == Some(true) {
        t = py.detach(|| cast::copy_data(&t)).py()?;
    }
    Ok(PyTensor::new(py.detach(|| cast::to_device(&t, target)).py()?))
}

fn needs_copy(why: &str) -> PyErr {
    PyBufferError::new_err(format!("{why}: that needs a copy, which copy=False forbids"))
}

fn import(capsule: &Bound<'_, PyAny>, may_copy: bool) -> PyResult<Tensor> {
    let (py, raw) = (capsule.py(), capsule.as_ptr());
    // Bools that are neither 0 nor 1 are no bools here.
    let checked = |t: Tensor| {
        let out = sound(py, t.clone())?;
        if may_copy || out.same_storage(&t) {
            return Ok(out);
        }
        Err(needs_copy("some bool is stored as neither 0 nor 1"))
    };
    // SAFETY: the capsule's name says which structure it holds; renaming it makes us its owner.
    unsafe {
        if ffi::PyCapsule_IsValid(raw, VERSIONED.as_ptr()) != 0 {
            let m = ffi::PyCapsule_GetPointer(raw, VERSIONED.as_ptr()).cast::<Versioned>();
            if (*m).major > 1 {
                return Err(PyBufferError::new_err(format!(
                    "DLPack version {}.{} is not known",
                    (*m).major,
                    (*m).minor
                )));
            }
            let (layout, dtype, ptr) = read(&(*m).tensor)?;
            let read_only = (*m).flags & READ_ONLY != 0;
            if read_only && !may_copy {
                return Err(needs_copy("the memory is read-only"));
            }
            ffi::PyCapsule_SetName(raw, VERSIONED_USED.as_ptr());
            let t = adopt(layout, dtype, ptr, Imported::Versioned(m));
            let t = checked(t)?;
            if read_only { py.detach(|| cast::copy_data(&t)).py() } else { Ok(t) }
        } else if ffi::PyCapsule_IsValid(raw, LEGACY.as_ptr()) != 0 {
            let m = ffi::PyCapsule_GetPointer(raw, LEGACY.as_ptr()).cast::<Legacy>();
            let (layout, dtype, ptr) = read(&(*m).tensor)?;
            ffi::PyCapsule_SetName(raw, LEGACY_USED.as_ptr());
            checked(adopt(layout, dtype, ptr, Imported::Legacy(m)))
        } else {
            Err(PyValueError::new_err(
                "expected an object with __dlpack__ or a DLPack capsule that was not used yet",
            ))
        }
    }
}

fn adopt(layout: Layout, dtype: DType, ptr: *mut u8, owner: Imported) -> Tensor {
    let bytes = layout.extent() * dtype.size();
    // SAFETY: the producer keeps the memory until its deleter is called by `owner`.
    let storage = unsafe { Storage::foreign(ptr, bytes, Box::new(owner)) };
    Tensor::from_parts(Arc::new(storage), layout, dtype)
}

unsafe fn read(t: &DlTensor) -> PyResult<(Layout, DType, *mut u8)> {
    if t.device[0] != CPU {
        return Err(PyBufferError::new_err(format!(
            "the memory is on a device of type {}; copy it to the CPU first",
            t.device[0]
        )));
    }
    let dtype = dtype_of(t.code, t.bits).filter(|_| t.lanes == 1).ok_or_else(|| {
        PyBufferError::new_err(format!(
            "no dtype for DLPack type code {} with {} bits and {} lanes",
            t.code, t.bits, t.lanes
        ))
    })?;
    let n = usize::try_from(t.ndim)
        .map_err(|_| PyBufferError::new_err(format!("{} dimensions", t.ndim)))?;
    // SAFETY: the producer gives n sizes, and n strides or none.
    let (shape, strides) = unsafe {
        let list = |p: *mut i64| -> Vec<i64> { (0..n).map(|i| *p.add(i)).collect() };
        (list(t.shape), (!t.strides.is_null()).then(|| list(t.strides)))
    };
    if shape.iter().any(|&s| s < 0) || strides.iter().flatten().any(|&s| s < 0) {
        return Err(PyBufferError::new_err("negative sizes or strides; copy the array first"));
    }
    let shape: Dims = shape.iter().map(|&s| s as usize).collect();
    rubigo_core::layout::checked_numel(&shape).py()?;
    let strides: Dims = strides
        .map_or_else(|| contiguous_strides(&shape), |s| s.iter().map(|&s| s as usize).collect());
    let layout = Layout { shape, strides, offset: 0 };
    let bytes = layout.checked_extent().and_then(|end| end.checked_mul(dtype.size()));
    let start = (t.data as usize).checked_add(t.byte_offset as usize);
    let end = bytes.and_then(|bytes| start?.checked_add(bytes));
    if bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) || end.is_none() {
        return Err(PyBufferError::new_err("the strides or the offset reach beyond any memory"));
    }
    let empty = layout.numel() == 0;
    let ptr = if empty || t.data.is_null() {
        std::ptr::NonNull::<u64>::dangling().as_ptr().cast::<u8>()
    } else {
        // SAFETY: the offset lies inside the producer's memory.
        unsafe { t.data.cast::<u8>().add(t.byte_offset as usize) }
    };
    if !empty && t.data.is_null() {
        return Err(PyBufferError::new_err("the capsule has no memory"));
    }
    if ptr as usize % dtype.size() != 0 {
        return Err(PyBufferError::new_err("the memory is not aligned for its dtype"));
    }
    Ok((layout, dtype, ptr))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_to_dlpack, m)?)?;
    m.add_function(wrap_pyfunction!(from_dlpack, m)?)
}
