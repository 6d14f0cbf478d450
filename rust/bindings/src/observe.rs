//! What tests, docs, benches and the profiler read: the op table, the cells executed, time and bytes by op.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rubigo_core::ops::{self, Bind};

/// Every row of the op table, as dicts: what the tests, the docs and the benches iterate.
#[pyfunction]
fn op_table(py: Python<'_>) -> PyResult<Py<PyList>> {
    let r = ops::registry();
    let out = PyList::empty(py);
    for (op, sig) in r.ops.iter().zip(&r.signatures) {
        let d = PyDict::new(py);
        d.set_item("name", op.name)?;
        d.set_item("signature", op.sig)?;
        d.set_item("doc", op.doc)?;
        let (kind, cpu, gpu) = match &op.body {
            ops::Body::Row(_) => ("row", true, true),
            ops::Body::View(_) => ("view", true, true),
            ops::Body::Composite(_) => ("composition", true, true),
            ops::Body::Kernel { cpu, gpu, .. } => ("kernel", cpu.is_some(), gpu.is_some()),
            ops::Body::Dynamic { cpu, gpu } => ("dynamic", cpu.is_some(), gpu.is_some()),
        };
        d.set_item("kind", kind)?;
        d.set_item("cpu", cpu)?;
        d.set_item("gpu", gpu)?;
        match op.grad {
            ops::Grad::None(why) | ops::Grad::Missing(why) => d.set_item("no_grad", why)?,
            _ => d.set_item("no_grad", py.None())?,
        }
        d.set_item("missing_grad", matches!(op.grad, ops::Grad::Missing(_)))?;
        if let ops::Body::Row(row) = op.body {
            d.set_item("class", format!("{:?}", row.class))?;
            d.set_item("value", row.text)?;
            d.set_item("int_value", row.int_text)?;
            let grads = PyDict::new(py);
            for g in row.grads {
                grads.set_item(g.var, g.text)?;
            }
            d.set_item("gradients", grads)?;
        }
        d.set_item("fused", op.composite.is_some())?;
        d.set_item("many", op.many)?;
        let flag = |bit: u8| op.bind.0 & bit != 0;
        d.set_item("function", flag(Bind::FUNCTION))?;
        d.set_item("method", flag(Bind::METHOD))?;
        d.set_item("inplace", flag(Bind::INPLACE))?;
        d.set_item("private", flag(Bind::PRIVATE))?;
        d.set_item("domain", op.samples.domain)?;
        d.set_item("ulp", op.samples.ulp)?;
        d.set_item("oracle", op.samples.oracle)?;
        let params = PyList::empty(py);
        for p in &sig.params {
            let q = PyDict::new(py);
            q.set_item("name", p.name)?;
            q.set_item("kind", format!("{:?}", p.kind))?;
            q.set_item("optional", p.optional)?;
            q.set_item("keyword_only", p.keyword_only)?;
            q.set_item("default", p.default_text)?;
            params.append(q)?;
        }
        d.set_item("params", params)?;
        out.append(d)?;
    }
    Ok(out.unbind())
}

/// Switches the counter of executed cells (op, dtype, layout, device, order) on or off.
#[pyfunction]
fn count_cells(on: bool) {
    rubigo_core::mode::count_cells(on);
}

#[pyfunction]
fn take_cells() -> Vec<String> {
    rubigo_core::mode::take_cells()
}

#[pyfunction]
fn profile(on: bool) {
    rubigo_core::mode::profile(on);
}

/// (module path, op, calls, nanoseconds, bytes) since the last call.
#[pyfunction]
fn take_profile() -> Vec<(String, String, u64, u64, u64)> {
    rubigo_core::mode::take_profile()
        .into_iter()
        .map(|(m, o, t)| (m.to_string(), o, t.calls, t.nanos, t.bytes))
        .collect()
}

#[pyfunction]
fn push_module(name: String) {
    rubigo_core::mode::push_module(name.into());
}

#[pyfunction]
fn pop_module() {
    rubigo_core::mode::pop_module();
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(op_table, m)?)?;
    m.add_function(wrap_pyfunction!(count_cells, m)?)?;
    m.add_function(wrap_pyfunction!(take_cells, m)?)?;
    m.add_function(wrap_pyfunction!(profile, m)?)?;
    m.add_function(wrap_pyfunction!(take_profile, m)?)?;
    m.add_function(wrap_pyfunction!(push_module, m)?)?;
    m.add_function(wrap_pyfunction!(pop_module, m)?)
}
