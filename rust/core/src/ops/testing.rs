//! Finite differences, for the unit tests of gradient rules.

use crate::autograd::{GradMode, NoGrad, backward};
use crate::error::Result;
use crate::layout::Layout;
use crate::ops::expr::t;
use crate::ops::{Outs, cast, reduce};
use crate::storage::Device;
use crate::tensor::Tensor;

const STEP: f64 = 1e-4;

/// The same data as a leaf that asks for its gradient.
fn leaf(x: &Tensor) -> Tensor {
    let out = cast::copy_data(x).expect("a copy");
    out.set_requires_grad(true).expect("a float tensor");
    out
}

/// Weights that tell the elements of a result apart.
fn weights(like: &Tensor) -> Tensor {
    let w: Vec<f64> = (0..like.numel()).map(|i| 0.5 + ((i * 37 + 11) % 17) as f64 / 17.0).collect();
    Tensor::from_slice(&w, like.shape()).expect("as many as elements")
}

fn total(y: &Tensor) -> Result<Tensor> {
    crate::apply::call(&reduce::SUM, &[&t::mul(y, &weights(y))?], &[])
}

/// The gradients of the weighted sum of f's result.
fn gradients(
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    leaves: &[Tensor],
    create: bool,
) -> Vec<Tensor> {
    let _mode = GradMode::set(true);
    let y = total(&f(leaves).expect("f runs")).expect("a sum");
    let found = backward(&[(y, None)], Some(leaves), true, create).expect("backward runs");
    found
        .into_iter()
        .zip(leaves)
        .map(|(g, x)| g.unwrap_or_else(|| t::zeros_like(x).expect("zeros")))
        .collect()
}

fn compare(f: &dyn Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor], order: u32) {
    let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
    let found = gradients(f, &leaves, false);
    let value = |inputs: &[Tensor]| -> f64 {
        let leaves: Vec<Tensor> = inputs.iter().map(leaf).collect();
        total(&f(&leaves).expect("f runs")).expect("a sum").to_vec::<f64>().expect("a number")[0]
    };
    for (k, x) in inputs.iter().enumerate() {
        let data = x.to_vec::<f64>().expect("f64 inputs");
        let got = found[k].to_vec::<f64>().expect("f64 gradients");
        for i in 0..data.len() {
            let moved = |by: f64| {
                let mut data = data.clone();
                data[i] += by;
                let mut inputs = inputs.to_vec();
                inputs[k] = Tensor::from_slice(&data, x.shape()).expect("same shape");
                value(&inputs)
            };
            let want = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let off = (want - got[i]).abs();
            assert!(
                off <= 1e-5 * (1.0 + want.abs()),
                "order {order}, input {k}, element {i}: {} against {want} by differences",
                got[i]
            );
        }
    }
}

/// Compares first and second derivatives with central differences, in float64. Inputs must be away
/// from kinks.
pub fn gradcheck(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) {
    {
        let _mode = NoGrad::new();
        f(inputs).expect("f runs without recording");
    }
    compare(&f, inputs, 1);
    let first = |x: &[Tensor]| -> Result<Tensor> {
        let grads = gradients(&f, x, true);
        // All gradients at once, each weighted as a result of its own.
        let mut sum = Tensor::scalar(0.0, crate::dtype::DType::F64)?;
        for g in &grads {
            sum = t::add(&sum, &total(g)?)?;
        }
        Ok(sum)
    };
    compare(&first, inputs, 2);
}

/// Runs `f` on the CPU and, where there is one, on the GPU, and compares all results: integers and
/// shapes exactly, floats to a relative 1e-5 or to the precision of their dtype.
pub fn on_both(f: impl Fn(&[Tensor]) -> Result<Outs>, inputs: &[Tensor]) {
    if crate::gpu::Gpu::adapters().is_empty() {
        return;
    }
    let there: Vec<Tensor> = inputs
        .iter()
        .map(|x| {
            // The layout goes along: the storage is moved, then looked at in the same way.
            let l = x.layout();
            let whole = x.alias(Layout::contiguous(&[l.extent()]));
            let moved = cast::to_device(&whole, Device::Gpu).expect("a move");
            moved.alias(l.clone())
        })
        .collect();
    let (here, there) =
        (f(inputs).expect("f runs on the CPU"), f(&there).expect("f runs on the GPU"));
    assert_eq!(here.len(), there.len());
    for (a, b) in here.iter().zip(&there) {
        assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
        assert_eq!(b.device(), Device::Gpu);
        if !a.dtype().is_float() {
            assert_eq!(a.to_vec::<i64>().unwrap(), b.to_vec::<i64>().unwrap());
            continue;
        }
        let tol = if a.dtype().size() == 2 { 1e-2 } else { 1e-5 };
        for (i, (a, b)) in
            a.to_vec::<f64>().unwrap().iter().zip(b.to_vec::<f64>().unwrap()).enumerate()
        {
            let same =
                a.is_nan() && b.is_nan() || *a == b || (a - b).abs() <= tol * a.abs().max(1.0);
            assert!(same, "element {i}: {a} on the CPU, {b} on the GPU");
        }
    }
}
