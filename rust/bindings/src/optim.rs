//! Fused optimizer steps: one call for a whole group of parameters.

use pyo3::prelude::*;
use rubigo_core::Tensor;
use rubigo_core::ops::optim::{self, Adam, RmsProp, Sgd};

use crate::error::IntoPyResult;
use crate::tensor::PyTensor;

type List<'py> = Vec<Bound<'py, PyTensor>>;

fn tensors(list: &[Bound<'_, PyTensor>]) -> Vec<Tensor> {
    list.iter().map(|t| t.get().tensor()).collect()
}

fn maybe(list: Option<&List<'_>>) -> Option<Vec<Tensor>> {
    list.map(|l| tensors(l))
}

#[pyfunction]
fn sgd_step(
    py: Python<'_>,
    params: List<'_>,
    grads: List<'_>,
    momentum_buffers: Option<List<'_>>,
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
    first: bool,
) -> PyResult<()> {
    let how = Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize, first };
    let (p, g, b) = (tensors(&params), tensors(&grads), maybe(momentum_buffers.as_ref()));
    py.detach(|| optim::sgd_step(&p, &g, b.as_deref(), &how)).py()
}

#[pyfunction]
fn adam_step(
    py: Python<'_>,
    params: List<'_>,
    grads: List<'_>,
    exp_avgs: List<'_>,
    exp_avg_sqs: List<'_>,
    max_exp_avg_sqs: Option<List<'_>>,
    steps: Vec<i64>,
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    amsgrad: bool,
    maximize: bool,
    decoupled: bool,
) -> PyResult<()> {
    let how = Adam { lr, beta1, beta2, eps, weight_decay, maximize, decoupled };
    let (p, g) = (tensors(&params), tensors(&grads));
    let (m, v) = (tensors(&exp_avgs), tensors(&exp_avg_sqs));
    let largest = maybe(max_exp_avg_sqs.as_ref()).filter(|_| amsgrad);
    py.detach(|| optim::adam_step(&p, &g, &m, &v, largest.as_deref(), &steps, &how)).py()
}

#[pyfunction]
fn rmsprop_step(
    py: Python<'_>,
    params: List<'_>,
    grads: List<'_>,
    square_avgs: List<'_>,
    grad_avgs: Option<List<'_>>,
    momentum_buffers: Option<List<'_>>,
    lr: f64,
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    centered: bool,
    maximize: bool,
) -> PyResult<()> {
    let how = RmsProp { lr, alpha, eps, weight_decay, momentum, maximize };
    let (p, g, s) = (tensors(&params), tensors(&grads), tensors(&square_avgs));
    let means = maybe(grad_avgs.as_ref()).filter(|_| centered);
    let b = maybe(momentum_buffers.as_ref());
    py.detach(|| optim::rmsprop_step(&p, &g, &s, means.as_deref(), b.as_deref(), &how)).py()
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(sgd_step, m)?)?;
    m.add_function(wrap_pyfunction!(adam_step, m)?)?;
    m.add_function(wrap_pyfunction!(rmsprop_step, m)?)
}
