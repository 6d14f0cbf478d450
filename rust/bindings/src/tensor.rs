//! `rubigo.Tensor`: operators and what is no op. The ops themselves are added from the table.

use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyTuple, PyType};
use rubigo_core::dtype::DType;
use rubigo_core::layout::Layout;
use rubigo_core::ops::matmul::MATMUL;
use rubigo_core::ops::{arith, cast, elementwise as e, view};
use rubigo_core::tensor::Number;
use rubigo_core::{Tensor, apply};
use std::sync::{PoisonError, RwLock};

use crate::convert::{self, wrap};
use crate::error::IntoPyResult;
use crate::operators::{binary, in_place};
use crate::ops::{detached, run};
use crate::types::{PyDevice, dtype_object, parse_device, parse_dtype};

/// A multi-dimensional array of one dtype on one device.
#[pyclass(name = "Tensor", module = "rubigo", frozen, subclass, weakref, dict)]
pub struct PyTensor {
    /// Replaced only by `t.data = other`. Always `Some` for a finished object: the collector may visit one whose
    /// memory is allocated (zeroed, which reads as an unlocked `None`) but not filled yet.
    cell: RwLock<Option<Tensor>>,
}

impl PyTensor {
    pub fn new(t: Tensor) -> Self {
        Self { cell: RwLock::new(Some(t)) }
    }

    #[inline]
    pub fn tensor(&self) -> Tensor {
        let cell = self.cell.read().unwrap_or_else(PoisonError::into_inner);
        cell.as_ref().expect("a finished object has its tensor").clone()
    }

    pub fn set(&self, t: Tensor) {
        let old = {
            let mut cell = self.cell.write().unwrap_or_else(PoisonError::into_inner);
            cell.replace(t)
        };
        drop(old);
    }
}

#[pymethods]
impl PyTensor {
    /// `Tensor(2, 3)` has that shape and any values, `Tensor([1, 2])` holds float32 copies of a list, and
    /// `Tensor(tensor)` is another variable over the same memory.
    #[new]
    #[pyo3(signature = (*data, requires_grad = false))]
    fn py_new(data: &Bound<'_, PyTuple>, requires_grad: bool) -> PyResult<Self> {
        use rubigo_core::Device::Cpu;
        let first = data.get_item(0).ok();
        if let Some(value) = first.as_ref().filter(|_| data.len() == 1)
            && convert::number(value)?.is_some_and(|n| !matches!(n, Number::Int(_)))
        {
            let n = value.repr()?;
            return Err(PyTypeError::new_err(format!(
                "Tensor(): data must be a sequence, or sizes as integers, got {n}; \
                 rubigo.tensor({n}) makes a 0-d tensor"
            )));
        }
        let t = match first.as_ref().map(|d| d.cast::<PyTensor>()) {
            Some(Ok(t)) if data.len() == 1 => t.get().tensor().detach(),
            Some(Err(_))
                if data.len() == 1
                    && first.as_ref().is_some_and(|d| d.extract::<i64>().is_err()) =>
            {
                convert::tensor_from(&data.get_item(0)?, Some(DType::F32), Cpu)?
            }
            _ => {
                let shape = match first {
                    Some(_) => crate::create::sizes(data, None)?,
                    None => vec![0],
                };
                let attrs = [shape[..].into(), DType::F32.into(), Cpu.into()];
                apply::call(&rubigo_core::ops::create::EMPTY, &[], &attrs).py()?
            }
        };
        if requires_grad {
            t.set_requires_grad(true).py()?;
        }
        Ok(Self::new(t))
    }

    /// The sizes, as a tuple.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.tensor().shape())
    }

    /// The type of the elements.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        dtype_object(py, self.tensor().dtype())
    }

    /// Where the elements are: the CPU or the GPU.
    #[getter]
    fn device(&self) -> PyDevice {
        PyDevice(self.tensor().device())
    }

    /// The number of dimensions; `dim()` is the same.
    #[getter]
    fn ndim(&self) -> usize {
        self.tensor().ndim()
    }

    /// The number of dimensions.
    fn dim(&self) -> usize {
        self.tensor().ndim()
    }

    /// The number of elements.
    fn numel(&self) -> usize {
        self.tensor().numel()
    }

    /// The number of elements; `numel()` is the same.
    fn nelement(&self) -> usize {
        self.tensor().numel()
    }

    /// Bytes of one element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.tensor().dtype().size()
    }

    /// Bytes of one element.
    fn element_size(&self) -> usize {
        self.tensor().dtype().size()
    }

    /// Bytes of all elements, without what lies between those of a view.
    #[getter]
    fn nbytes(&self) -> usize {
        let t = self.tensor();
        t.numel() * t.dtype().size()
    }

    /// The sizes as a tuple, or that of dimension `dim`.
    #[pyo3(signature = (dim = None))]
    fn size(&self, py: Python<'_>, dim: Option<i64>) -> PyResult<Py<PyAny>> {
        pick(py, self.tensor().shape(), dim)
    }

    /// Steps in memory, in elements, to the next element of each dimension, or of `dim`.
    #[pyo3(signature = (dim = None))]
    fn stride(&self, py: Python<'_>, dim: Option<i64>) -> PyResult<Py<PyAny>> {
        pick(py, self.tensor().strides(), dim)
    }

    /// Where in its memory the first element lies, in elements.
    fn storage_offset(&self) -> usize {
        self.tensor().layout().offset
    }

    /// Whether the elements lie in memory row by row, without gaps.
    fn is_contiguous(&self) -> bool {
        self.tensor().is_contiguous()
    }

    /// Whether the dtype is one of the float types.
    fn is_floating_point(&self) -> bool {
        self.tensor().dtype().is_float()
    }

    /// Whether the elements are complex numbers: never, there are none.
    fn is_complex(&self) -> bool {
        false
    }

    /// The address of the first element; a `TypeError` on the GPU.
    fn data_ptr(&self) -> PyResult<usize> {
        let t = self.tensor();
        if t.device() != rubigo_core::Device::Cpu {
            return Err(PyTypeError::new_err("data_ptr(): GPU memory has no address"));
        }
        Ok(t.byte_ptr() as usize)
    }

    /// A number that counts in-place writes to the memory.
    #[getter]
    fn _version(&self) -> u32 {
        self.tensor().version()
    }

    #[getter]
    fn _base(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.tensor().base().map(|t| wrap(py, t)).transpose()
    }

    /// Whether both are the same view of the same memory.
    fn is_set_to(&self, other: &Self) -> bool {
        let (a, b) = (self.tensor(), other.tensor());
        a.same_storage(&b) && a.layout() == b.layout()
    }

    /// The place of the first element in the memory, and a copy of all elements from there to the last: for deep
    /// copies, which share memory as their originals do.
    fn _copy_memory(&self, py: Python<'_>) -> PyResult<(usize, Self)> {
        let t = self.tensor();
        let n = t.layout().extent() - t.layout().offset;
        let flat = Layout { offset: t.layout().offset, ..Layout::contiguous(&[n]) };
        let copy = py.detach(|| cast::copy_data(&t.alias(flat))).py()?;
        Ok((t.layout().offset, Self::new(copy)))
    }

    /// The same for all tensors over one memory, as long as it lives.
    fn _memory_id(&self) -> usize {
        std::sync::Arc::as_ptr(self.tensor().storage()) as usize
    }

    /// This tensor's elements in a copy of its memory that begins at element `start`; None if they are not all in it.
    fn _in_copy(&self, start: usize, copy: &Self) -> Option<Self> {
        let (t, copy) = (self.tensor(), copy.tensor());
        let mut layout = t.layout().clone();
        layout.offset = layout.offset.checked_sub(start)?;
        let fits = t.dtype() == copy.dtype() && layout.extent() <= copy.numel();
        fits.then(|| Self::new(copy.alias(layout)))
    }

    /// Whether both are views of one memory.
    fn _shares_memory(&self, other: &Self) -> bool {
        self.tensor().same_storage(&other.tensor())
    }

    /// All dimensions in reverse order, over the same memory.
    #[getter(T)]
    fn transposed(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let t = self.tensor();
        let dims: Vec<i64> = (0..t.ndim() as i64).rev().collect();
        run(py, &view::PERMUTE, &[&t], &[dims[..].into()])
    }

    /// The last two dimensions exchanged, over the same memory.
    #[getter(mT)]
    fn matrix_transposed(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let t = self.tensor();
        if t.ndim() < 2 {
            return Err(crate::error::to_py(rubigo_core::Error::runtime(format!(
                "mT is only supported on matrices or batches of matrices, got a {}-d tensor",
                t.ndim()
            ))));
        }
        run(py, &view::TRANSPOSE, &[&t], &[(-2i64).into(), (-1i64).into()])
    }

    /// The only element as a Python number; waits for a GPU.
    fn item(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let t = self.tensor();
        convert::number_to_py(py, convert::item(py, &t)?)
    }

    /// The elements as nested lists of Python numbers.
    fn tolist(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        crate::lists::of(py, &self.tensor())
    }

    /// The same memory without the history: no gradient flows through the result.
    fn detach(&self) -> Self {
        Self::new(self.tensor().detach())
    }

    /// The tensor itself if it is contiguous, a contiguous copy otherwise.
    fn contiguous(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let t = self.tensor();
        let out = detached(py, &[Some(t.clone())], || cast::contiguous(&t))?;
        wrap(py, out)
    }

    /// `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`; itself when nothing changes.
    #[pyo3(signature = (*args, dtype = None, device = None, copy = false, non_blocking = false))]
    fn to(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        dtype: Option<&Bound<'_, PyAny>>,
        device: Option<&Bound<'_, PyAny>>,
        copy: bool,
        non_blocking: bool,
    ) -> PyResult<Py<PyAny>> {
        let _ = non_blocking;
        let py = slf.py();
        let mut want_dtype = dtype.map(parse_dtype).transpose()?;
        let mut want_device = device.map(parse_device).transpose()?;
        for a in args.iter() {
            if let Ok(t) = a.cast::<PyTensor>() {
                let t = t.get().tensor();
                want_dtype = Some(t.dtype());
                want_device = Some(t.device());
            } else if let Ok(d) = parse_device(&a) {
                want_device = Some(d);
            } else if a.is_none() {
            } else {
                want_dtype = Some(parse_dtype(&a).map_err(|e| match a.extract::<String>() {
                    Ok(name) => PyValueError::new_err(format!(
                        "to(): {name:?} is neither a device, which is \"cpu\" or \"gpu\", nor a dtype"
                    )),
                    Err(_) => e,
                })?);
            }
        }
        let t = slf.get().tensor();
        let d = want_dtype.unwrap_or(t.dtype());
        let dev = want_device.unwrap_or(t.device());
        if d == t.dtype() && dev == t.device() && !copy {
            return Ok(slf.clone().into_any().unbind());
        }
        let out = py
            .detach(|| {
                // The cast happens where the wider dtype is allowed: before the way to a GPU.
                let x = if dev == rubigo_core::Device::Gpu { cast::to(&t, d)? } else { t.clone() };
                let x = cast::to_device(&x, dev)?;
                let x = cast::to(&x, d)?;
                if copy && x.same_storage(&t) { cast::copy(&x) } else { Ok(x) }
            })
            .py()?;
        wrap(py, out)
    }

    // Autograd.

    /// Whether operations on it are recorded, so that `backward()` can fill its `grad`.
    #[getter]
    fn requires_grad(&self) -> bool {
        self.tensor().requires_grad()
    }

    #[setter]
    fn set_requires_grad(&self, on: bool) -> PyResult<()> {
        self.tensor().set_requires_grad(on).py()
    }

    /// Sets `requires_grad`, and returns the tensor.
    #[pyo3(signature = (requires_grad = true))]
    fn requires_grad_<'py>(
        slf: &Bound<'py, Self>,
        requires_grad: bool,
    ) -> PyResult<Bound<'py, Self>> {
        slf.get().tensor().set_requires_grad(requires_grad).py()?;
        Ok(slf.clone())
    }

    /// Cuts the history off in place, and returns the tensor, a leaf from then on.
    fn detach_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().tensor().cut_off().py()?;
        Ok(slf.clone())
    }

    /// Whether it was made by the user, not by a recorded operation.
    #[getter]
    fn is_leaf(&self) -> bool {
        self.tensor().is_leaf()
    }

    /// The gradient that `backward()` summed up; None before. Assigning None drops it.
    #[getter]
    fn grad(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let t = self.tensor();
        let grad = t.grad();
        if grad.is_none() && !t.is_leaf() && !t.retains_grad() {
            let text = c"the .grad of a tensor that is no leaf is not filled by backward(): call \
                .retain_grad() on it before, or look at the leaf it was made from";
            PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), text, 1)?;
        }
        grad.map(|g| wrap(py, g)).transpose()
    }

    /// Whether this is no leaf, and its gradient is kept.
    #[getter]
    fn retains_grad(&self) -> bool {
        self.tensor().retains_grad()
    }

    #[setter]
    fn set_grad(&self, grad: Option<&Bound<'_, PyTensor>>) -> PyResult<()> {
        self.tensor().set_grad(grad.map(|g| g.get().tensor())).py()
    }

    /// The same memory without the history; assigning replaces the memory of the variable.
    #[getter]
    fn data(&self) -> Self {
        Self::new(self.tensor().detach())
    }

    /// The same variable over other memory: optimizers and hooks keep it.
    #[setter]
    fn set_data(&self, data: &Bound<'_, PyTensor>) -> PyResult<()> {
        let old = self.tensor();
        if old.grad_fn().is_some() {
            return Err(crate::error::to_py(rubigo_core::Error::runtime(
                "the data of a tensor with a history cannot be replaced",
            )));
        }
        let new = data.get().tensor();
        if old.requires_grad() && !new.dtype().is_float() {
            return Err(crate::error::to_py(rubigo_core::Error::runtime(format!(
                "data set to a tensor that requires gradients must be floating point or complex \
                 dtype, got {}",
                new.dtype().name()
            ))));
        }
        self.set(old.with_data(&new));
        Ok(())
    }

    /// The node of the graph that this tensor is the result of; None for leaves.
    #[getter]
    fn grad_fn(&self) -> Option<crate::autograd::PyNode> {
        self.tensor().grad_fn().map(crate::autograd::PyNode::new)
    }

    /// Keeps the gradient of a tensor that is no leaf in its `grad`.
    fn retain_grad(&self) -> PyResult<()> {
        self.tensor().retain_grad().py()
    }

    /// Adds the gradients of this tensor to the `grad` of the leaves it was computed from.
    ///
    /// `gradient` is that of this tensor, needed unless it has one element. `retain_graph` keeps what a second
    /// call needs, `create_graph` records the gradients themselves, `inputs` names the only tensors to fill.
    #[pyo3(signature = (gradient = None, retain_graph = None, create_graph = false, inputs = None))]
    fn backward(
        slf: &Bound<'_, Self>,
        gradient: Option<&Bound<'_, PyTensor>>,
        retain_graph: Option<bool>,
        create_graph: bool,
        inputs: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        // One tensor is meant as itself, not as the sequence of its rows.
        let inputs: Option<Vec<Bound<'_, PyTensor>>> = match inputs {
            None => None,
            Some(one) => Some(match one.cast::<PyTensor>() {
                Ok(t) => vec![t.clone()],
                Err(_) => one.extract().map_err(|_| {
                    PyTypeError::new_err(
                        "backward(): inputs must be a tensor or a sequence of tensors",
                    )
                })?,
            }),
        };
        if inputs.as_ref().is_some_and(Vec::is_empty) {
            return Err(crate::error::to_py(rubigo_core::Error::runtime(
                "'inputs' argument to backward() cannot be empty",
            )));
        }
        let roots = vec![(slf.get().tensor(), gradient.map(|g| g.get().tensor()))];
        let inputs = inputs.map(|v| v.iter().map(|t| t.get().tensor()).collect());
        crate::autograd::run_backward(
            slf.py(),
            roots,
            inputs,
            retain_graph.unwrap_or(create_graph),
            create_graph,
        )
    }

    /// Calls `hook(grad)` when the gradient is known; what it returns, unless None, takes its place.
    ///
    /// The handle's `remove()` ends that.
    fn register_hook(
        slf: &Bound<'_, Self>,
        hook: Py<PyAny>,
    ) -> PyResult<crate::autograd::PyHandle> {
        crate::autograd::register_hook(slf, hook)
    }

    /// Calls `hook(tensor)` once the `grad` of this leaf has been added to.
    ///
    /// The handle's `remove()` ends that.
    fn register_post_accumulate_grad_hook(
        slf: &Bound<'_, Self>,
        hook: Py<PyAny>,
    ) -> PyResult<crate::autograd::PyHandle> {
        crate::autograd::register_after(slf, hook)
    }

    // Operators.

    fn __add__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::add, false)
    }
    fn __radd__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::add, true)
    }
    fn __iadd__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::add)
    }
    fn __sub__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::sub, false)
    }
    fn __rsub__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::sub, true)
    }
    fn __isub__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::sub)
    }
    fn __mul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::mul, false)
    }
    fn __rmul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::mul, true)
    }
    fn __imul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::mul)
    }
    fn __truediv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::div, false)
    }
    fn __rtruediv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::div, true)
    }
    fn __itruediv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::div)
    }
    fn __floordiv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::floor_divide, false)
    }
    fn __rfloordiv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::floor_divide, true)
    }
    fn __ifloordiv__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::floor_divide)
    }
    fn __mod__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::remainder, false)
    }
    fn __rmod__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::remainder, true)
    }
    fn __imod__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::remainder)
    }
    fn __pow__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        modulo: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        if !modulo.is_none() {
            return Err(PyTypeError::new_err(
                "pow() with three arguments is not supported for tensors",
            ));
        }
        binary(slf, other, &arith::POW, false)
    }
    fn __rpow__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        _modulo: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        binary(slf, other, &arith::POW, true)
    }
    fn __ipow__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        _modulo: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        in_place(slf, other, &arith::POW)
    }
    fn __matmul__(slf: &Bound<'_, Self>, other: &Bound<'_, PyTensor>) -> PyResult<Py<PyAny>> {
        run(slf.py(), &MATMUL, &[&slf.get().tensor(), &other.get().tensor()], &[])
    }
    fn __and__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_and, false)
    }
    fn __rand__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_and, true)
    }
    fn __iand__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::bitwise_and)
    }
    fn __or__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_or, false)
    }
    fn __ror__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_or, true)
    }
    fn __ior__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::bitwise_or)
    }
    fn __ilshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::bitwise_left_shift)
    }
    fn __irshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::bitwise_right_shift)
    }
    fn __xor__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_xor, false)
    }
    fn __rxor__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_xor, true)
    }
    fn __ixor__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        in_place(slf, other, &e::bitwise_xor)
    }
    fn __lshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_left_shift, false)
    }
    fn __rlshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_left_shift, true)
    }
    fn __rshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_right_shift, false)
    }
    fn __rrshift__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        binary(slf, other, &e::bitwise_right_shift, true)
    }
    fn __neg__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        run(py, &e::neg, &[&self.tensor()], &[])
    }
    fn __pos__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }
    fn __abs__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        run(py, &e::abs, &[&self.tensor()], &[])
    }
    fn __invert__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        run(py, &arith::BITWISE_NOT, &[&self.tensor()], &[])
    }

    fn __richcmp__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        op: CompareOp,
    ) -> PyResult<Py<PyAny>> {
        let op = match op {
            CompareOp::Lt => &e::lt,
            CompareOp::Le => &e::le,
            CompareOp::Eq => &e::eq,
            CompareOp::Ne => &e::ne,
            CompareOp::Gt => &e::gt,
            CompareOp::Ge => &e::ge,
        };
        // Comparisons are right for integers of any size.
        match convert::operand(other)? {
            Some(b) => run(slf.py(), op, &[&slf.get().tensor(), &b], &[]),
            None => Ok(slf.py().NotImplemented()),
        }
    }

    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        slf.as_ptr() as isize >> 4
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        let t = self.tensor();
        if t.numel() != 1 {
            return Err(crate::error::to_py(
                rubigo_core::Error::runtime(format!(
                    "Boolean value of Tensor with {} elements is ambiguous",
                    t.numel()
                ))
                .hint("use .any() or .all()"),
            ));
        }
        Ok(match convert::item(py, &t)? {
            Number::Bool(v) => v,
            Number::Int(v) => v != 0,
            Number::Big(v) => v != 0,
            Number::Float(v) => v != 0.0,
        })
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(convert::item(py, &self.tensor())?.as_f64())
    }

    fn __int__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let n = self.item(py)?;
        Ok(py.get_type::<pyo3::types::PyInt>().call1((n,))?.unbind())
    }

    fn __index__(slf: &Bound<'_, Self>) -> PyResult<i64> {
        convert::int(slf.as_any())
    }

    fn __len__(&self) -> PyResult<usize> {
        self.tensor()
            .shape()
            .first()
            .copied()
            .ok_or_else(|| PyTypeError::new_err("len() of a 0-d tensor"))
    }

    fn __contains__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let hit = binary(slf, other, &e::eq, false)?;
        let hit = hit.bind(slf.py()).cast::<PyTensor>()?.get().tensor();
        let any = detached(slf.py(), &[Some(hit.clone())], || {
            apply::call(&rubigo_core::ops::reduce::ANY, &[&hit], &[])?.item()
        })?;
        Ok(any == Number::Bool(true))
    }

    fn __getitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        crate::index::get(py, &self.tensor(), key)
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        crate::index::set(py, &self.tensor(), key, value)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(cell) = self.cell.try_read() else { return Ok(()) };
        let Some(tensor) = cell.as_ref() else { return Ok(()) };
        let mut result = Ok(());
        tensor.peek_owned(&mut |any| {
            let mut see = |object: &Py<PyAny>| {
                if result.is_ok() {
                    result = visit.call(object);
                }
            };
            if let Some(hook) = any.downcast_ref::<crate::autograd::PyHook>() {
                see(&hook.callable);
            } else if let Some(rule) = any.downcast_ref::<crate::autograd::PyRule>() {
                see(&rule.rule);
                see(&rule.release);
            }
        });
        result
    }

    fn __clear__(&self) {
        if let Ok(cell) = self.cell.try_read()
            && let Some(tensor) = cell.as_ref()
        {
            tensor.clear_owned();
        }
    }

    /// Shallow copies share the memory, as views do.
    fn __copy__(&self) -> Self {
        Self::new(self.tensor().detach())
    }

    #[classmethod]
    fn __class_getitem__(cls: &Bound<'_, PyType>, _item: &Bound<'_, PyAny>) -> Py<PyType> {
        cls.clone().unbind()
    }
}

fn pick(py: Python<'_>, values: &[usize], dim: Option<i64>) -> PyResult<Py<PyAny>> {
    let Some(dim) = dim else {
        return Ok(PyTuple::new(py, values)?.into_any().unbind());
    };
    let n = values.len() as i64;
    if dim < -n || dim >= n {
        return Err(PyIndexError::new_err(format!(
            "dimension out of range (expected to be in range of [{}, {}], but got {dim})",
            -n,
            n - 1
        )));
    }
    let i = if dim < 0 { dim + n } else { dim } as usize;
    Ok(values[i].into_pyobject(py)?.into_any().unbind())
}
