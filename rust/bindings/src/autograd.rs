//! Backward, hooks, custom functions and the recording switch.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rubigo_core::Tensor;
use rubigo_core::autograd::{self, Backward, Edge, GradHook, Grads, Hook, Leaf, Node, OutMeta};
use rubigo_core::layout::{self, Dims};
use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, Weak};

use crate::convert::wrap;
use crate::error::{IntoPyResult, keep};
use crate::tensor::PyTensor;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyNode>()?;
    m.add_class::<PyHandle>()?;
    m.add_function(wrap_pyfunction!(is_grad_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(set_grad_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(grad, m)?)?;
    m.add_function(wrap_pyfunction!(backward, m)?)?;
    m.add_function(wrap_pyfunction!(attach_function, m)?)?;
    m.add_function(wrap_pyfunction!(write, m)?)
}

/// Whether operations are recorded on this thread.
#[pyfunction]
fn is_grad_enabled() -> bool {
    autograd::is_enabled()
}

/// Switches recording; gives the old setting.
#[pyfunction]
fn set_grad_enabled(on: bool) -> bool {
    autograd::set_enabled(on)
}

pub fn run_backward(
    py: Python<'_>,
    roots: Vec<(Tensor, Option<Tensor>)>,
    inputs: Option<Vec<Tensor>>,
    retain: bool,
    create: bool,
) -> PyResult<()> {
    py.detach(|| {
        let found = autograd::backward(&roots, inputs.as_deref(), retain, create)?;
        // With `inputs`, only these accumulate: each once, and those that retain their gradient have it already.
        let mut seen = HashSet::new();
        for (t, g) in inputs.iter().flatten().zip(found) {
            if let Some(g) = g
                && seen.insert(t.id())
                && !t.retains_grad()
            {
                t.accumulate_grad(g, create)?;
            }
        }
        Ok(())
    })
    .py()
}

fn tensors(list: &[Bound<'_, PyTensor>]) -> Vec<Tensor> {
    list.iter().map(|t| t.get().tensor()).collect()
}

#[pyfunction]
fn backward(
    py: Python<'_>,
    outputs: Vec<Bound<'_, PyTensor>>,
    grads: Vec<Option<Bound<'_, PyTensor>>>,
    retain_graph: bool,
    create_graph: bool,
    inputs: Option<Vec<Bound<'_, PyTensor>>>,
) -> PyResult<()> {
    let roots = tensors(&outputs)
        .into_iter()
        .zip(grads.iter().map(|g| g.as_ref().map(|g| g.get().tensor())))
        .collect();
    run_backward(py, roots, inputs.map(|i| tensors(&i)), retain_graph, create_graph)
}

#[pyfunction]
fn grad(
    py: Python<'_>,
    outputs: Vec<Bound<'_, PyTensor>>,
    inputs: Vec<Bound<'_, PyTensor>>,
    grads: Vec<Option<Bound<'_, PyTensor>>>,
    retain_graph: bool,
    create_graph: bool,
) -> PyResult<Vec<Option<Py<PyAny>>>> {
    let roots: Vec<_> = tensors(&outputs)
        .into_iter()
        .zip(grads.iter().map(|g| g.as_ref().map(|g| g.get().tensor())))
        .collect();
    let inputs = tensors(&inputs);
    if let Some(i) = inputs.iter().position(|t| !t.requires_grad()) {
        return Err(PyRuntimeError::new_err(format!("input {i} does not require a gradient")));
    }
    let found =
        py.detach(|| autograd::backward(&roots, Some(&inputs), retain_graph, create_graph)).py()?;
    found.into_iter().map(|g| g.map(|g| wrap(py, g)).transpose()).collect()
}

/// A node of the recorded graph: what `tensor.grad_fn` gives.
#[pyclass(name = "Node", module = "rubigo.autograd", frozen)]
pub struct PyNode(Arc<Node>);

impl PyNode {
    pub fn new(node: Arc<Node>) -> Self {
        Self(node)
    }
}

#[pymethods]
impl PyNode {
    fn name(&self) -> String {
        let name = self.0.name();
        let mut out = String::new();
        for part in name.split('_') {
            let mut chars = part.chars();
            out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
            out.push_str(chars.as_str());
        }
        out + "Backward"
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.name())
    }

    /// (node, output number) of each input; None where no gradient flows.
    #[getter]
    fn next_functions(&self) -> Vec<(Option<PyNode>, u32)> {
        let next = |e: &Edge| match e {
            Edge::Node(n, nr) => (Some(PyNode(n.clone())), *nr),
            _ => (None, 0),
        };
        self.0.edges.iter().map(next).collect()
    }
}

enum Place {
    Leaf(Weak<Leaf>),
    Node(Weak<Node>),
}

/// Removes a hook: `handle.remove()`, or by leaving a `with` block.
#[pyclass(name = "RemovableHandle", module = "rubigo", frozen)]
pub struct PyHandle {
    place: Place,
    id: u64,
}

#[pymethods]
impl PyHandle {
    fn remove(&self) {
        match &self.place {
            Place::Leaf(l) => {
                if let Some(l) = l.upgrade() {
                    l.remove_hook(self.id);
                }
            }
            Place::Node(n) => {
                if let Some(n) = n.upgrade() {
                    n.remove_hook(self.id);
                }
            }
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(&self, _type: Py<PyAny>, _value: Py<PyAny>, _traceback: Py<PyAny>) {
        self.remove();
    }
}

/// A Python callable as a hook. With `target` it gets that tensor (weakly held) instead of the gradient.
pub struct PyHook {
    pub callable: Py<PyAny>,
    target: Option<Py<PyAny>>,
}

impl GradHook for PyHook {
    fn call(&self, g: &Tensor) -> rubigo_core::Result<Option<Tensor>> {
        Python::attach(|py| {
            let result = (|| -> PyResult<Option<Tensor>> {
                if let Some(weak) = &self.target {
                    let t = weak.bind(py).call0()?;
                    if !t.is_none() {
                        self.callable.bind(py).call1((t,))?;
                    }
                    return Ok(None);
                }
                let out = self.callable.bind(py).call1((wrap(py, g.clone())?,))?;
                if out.is_none() {
                    return Ok(None);
                }
                let Ok(t) = out.cast::<PyTensor>() else {
                    return Err(PyTypeError::new_err(format!(
                        "a hook must return None or a Tensor, not {}",
                        out.get_type().name()?
                    )));
                };
                Ok(Some(t.get().tensor()))
            })();
            result.map_err(keep)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub fn register_hook(t: &Bound<'_, PyTensor>, hook: Py<PyAny>) -> PyResult<PyHandle> {
    let t = t.get().tensor();
    let id = t.register_hook(Arc::new(PyHook { callable: hook, target: None })).py()?;
    let place = match t.edge() {
        Edge::Leaf(l) => Place::Leaf(Arc::downgrade(&l)),
        Edge::Node(n, _) => Place::Node(Arc::downgrade(&n)),
        Edge::None => return Err(PyRuntimeError::new_err("the tensor left the graph")),
    };
    Ok(PyHandle { place, id })
}

/// The hook gets the tensor itself, after its `.grad` was updated.
pub fn register_after(t: &Bound<'_, PyTensor>, hook: Py<PyAny>) -> PyResult<PyHandle> {
    let Edge::Leaf(leaf) = t.get().tensor().edge() else {
        return Err(PyRuntimeError::new_err(
            "post accumulate grad hooks can only be registered on leaf tensors that require grad",
        ));
    };
    let py = t.py();
    // A weak reference: a hook must not keep its own tensor alive.
    let weak = py.import("weakref")?.call_method1("ref", (t,))?.unbind();
    let call: Hook = Arc::new(PyHook { callable: hook, target: Some(weak) });
    let id = leaf.add_after(call);
    Ok(PyHandle { place: Place::Leaf(Arc::downgrade(&leaf)), id })
}

/// A node whose rule is Python: `rule(*grads) -> tuple of gradients or None`.
pub struct PyRule {
    name: String,
    pub rule: Py<PyAny>,
    pub release: Py<PyAny>,
    /// The shapes of the tensors among the arguments of forward.
    inputs: Vec<Option<Dims>>,
}

impl Backward for PyRule {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn backward(&self, grads: &[Option<Tensor>], create_graph: bool) -> rubigo_core::Result<Grads> {
        Python::attach(|py| self.call(py, grads, create_graph).map_err(keep))
    }

    fn release(&self) {
        Python::attach(|py| {
            // Freeing saved tensors cannot fail in a way the user could act on.
            if let Err(e) = self.release.bind(py).call0() {
                e.write_unraisable(py, None);
            }
        });
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl PyRule {
    fn call(
        &self,
        py: Python<'_>,
        grads: &[Option<Tensor>],
        create_graph: bool,
    ) -> PyResult<Grads> {
        let mut args = Vec::with_capacity(grads.len());
        for g in grads {
            args.push(match g {
                Some(g) => wrap(py, g.clone())?,
                None => py.None(),
            });
        }
        let _mode = autograd::GradMode::set(create_graph);
        let out = self.rule.bind(py).call1(PyTuple::new(py, args)?)?;
        let items: Vec<Bound<'_, PyAny>> = match out.cast::<PyTuple>() {
            Ok(t) => t.iter().collect(),
            Err(_) => vec![out],
        };
        if items.len() != self.inputs.len() {
            return Err(PyRuntimeError::new_err(format!(
                "{}: backward returned {} gradients, expected {}, one for each argument of forward",
                self.name,
                items.len(),
                self.inputs.len()
            )));
        }
        let mut result = Grads::new();
        for (i, item) in items.into_iter().enumerate() {
            if item.is_none() {
                result.push(None);
            } else if let Ok(t) = item.cast::<PyTensor>() {
                let g = t.get().tensor();
                // A larger one is summed, as where an operation broadcasts.
                if let Some(shape) = &self.inputs[i]
                    && layout::broadcast(shape, g.shape()).ok().as_deref() != Some(g.shape())
                {
                    return Err(crate::error::to_py(rubigo_core::Error::shape(format!(
                        "{}: backward returned a gradient of shape {} for input {i}, which has shape {}",
                        self.name,
                        layout::show(g.shape()),
                        layout::show(shape)
                    ))));
                }
                result.push(Some(g));
            } else {
                return Err(PyTypeError::new_err(format!(
                    "{}: backward must return Tensors or None, but gradient {i} is a {}",
                    self.name,
                    item.get_type().name()?
                )));
            }
        }
        Ok(result)
    }
}

/// Gives `outputs` a history: `rule` computes the gradients of `inputs` (tensors, or None).
#[pyfunction]
fn attach_function(
    name: String,
    inputs: Vec<Option<Bound<'_, PyTensor>>>,
    outputs: Vec<Bound<'_, PyTensor>>,
    differentiable: Vec<bool>,
    rule: Py<PyAny>,
    release: Py<PyAny>,
) -> PyResult<()> {
    let edges = inputs
        .iter()
        .map(|t| t.as_ref().map(|t| t.get().tensor().edge()).unwrap_or_default())
        .collect();
    let outs: Vec<Tensor> = outputs.iter().map(|t| t.get().tensor()).collect();
    if differentiable.len() != outs.len() {
        return Err(PyValueError::new_err(format!(
            "{} outputs need as many flags, got {}",
            outs.len(),
            differentiable.len()
        )));
    }
    let inputs = inputs.iter().map(|t| t.as_ref().map(|t| t.get().tensor().dims())).collect();
    let rule = PyRule { name, rule, release, inputs };
    let node = Node::other(Box::new(rule), edges, outs.iter().map(OutMeta::of).collect());
    for (i, out) in outs.iter().enumerate() {
        if differentiable[i] && out.dtype().is_float() {
            out.attach(&node, i as u32);
        }
    }
    Ok(())
}

/// `t[...] = value` for the whole tensor: what `copy_`, `fill_` and `zero_` are made of.
#[pyfunction]
fn write(py: Python<'_>, t: &Bound<'_, PyTensor>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(value) = crate::convert::operand(value)? else {
        return Err(PyTypeError::new_err(format!(
            "expected a Tensor or a number, got {}",
            value.get_type().name()?
        )));
    };
    let t = t.get().tensor();
    crate::ops::detached(py, &[Some(t.clone())], || autograd::write(&t, &value))
}
