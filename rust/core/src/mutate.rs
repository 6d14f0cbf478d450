//! Only in builds for `make mutate`: disturbs one op on purpose, to prove that its tests can fail.

use crate::autograd::{Grads, NoGrad};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::expr::t;
use crate::ops::{OpDef, Outs, cast};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every element: by 0.1 %, an integer by 1, a bool by its opposite.
    Value,
    /// The last element only.
    Edge,
    /// The dtype of the result.
    DType,
    /// Gradients of a plain backward, by 1 % and 0.01.
    Gradient,
    /// Gradients of a backward that makes a graph, likewise.
    SecondGradient,
}

struct Target {
    op: String,
    kind: Kind,
    device: Device,
}

static TARGET: Mutex<Option<Target>> = Mutex::new(None);
static HITS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The disturbance itself calls ops.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

pub fn set(target: Option<(&str, Kind, Device)>) {
    HITS.store(0, Ordering::Relaxed);
    *TARGET.lock().unwrap_or_else(PoisonError::into_inner) =
        target.map(|(op, kind, device)| Target { op: op.to_string(), kind, device });
}

/// How often something was disturbed since `set`.
pub fn hits() -> u64 {
    HITS.load(Ordering::Relaxed)
}

fn wanted(op: &OpDef, device: Device) -> Option<Kind> {
    if INSIDE.get() {
        return None;
    }
    let target = TARGET.lock().unwrap_or_else(PoisonError::into_inner);
    target.as_ref().filter(|t| t.op == op.name && t.device == device).map(|t| t.kind)
}

struct Guard;
impl Guard {
    fn enter() -> Self {
        INSIDE.set(true);
        Self
    }
}
impl Drop for Guard {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

pub(crate) fn value(op: &OpDef, mut outs: Outs) -> Result<Outs> {
    let Some(first) = outs.first() else { return Ok(outs) };
    let Some(kind) = wanted(op, first.device()) else { return Ok(outs) };
    if !matches!(kind, Kind::Value | Kind::Edge | Kind::DType) || first.numel() == 0 {
        return Ok(outs);
    }
    let _guard = Guard::enter();
    let _mode = NoGrad::new();
    HITS.fetch_add(1, Ordering::Relaxed);
    let x = cast::to_device(&first.detach(), Device::Cpu)?;
    let other = match kind {
        Kind::DType => {
            let other = if x.dtype() == DType::F32 { DType::F16 } else { DType::F32 };
            cast::to(&x, other)?
        }
        _ => disturbed(&x, kind == Kind::Edge)?,
    };
    outs[0] = cast::to_device(&other, first.device())?;
    Ok(outs)
}

fn disturbed(x: &Tensor, edge: bool) -> Result<Tensor> {
    let moved = match x.dtype() {
        DType::Bool => crate::apply::call(&crate::ops::elementwise::logical_not, &[x], &[])?,
        d if d.is_float() => {
            let scaled = t::scale(x, if d.size() == 2 { 1.05 } else { 1.001 })?;
            // Zeros move too.
            t::add(&scaled, &Tensor::number(Number::Float(1e-3))?)?
        }
        _ => t::add(x, &Tensor::number(Number::Int(1))?)?,
    };
    if !edge {
        return Ok(moved);
    }
    let out = cast::copy_data(x)?;
    let flat = |t: &Tensor| {
        let n = t.numel();
        let l =
            crate::layout::Layout { shape: [1][..].into(), strides: [1][..].into(), offset: n - 1 };
        t.alias(l)
    };
    cast::raw_copy(&flat(&cast::contiguous(&moved)?), &flat(&out))?;
    Ok(out)
}

pub(crate) fn gradient(op: &OpDef, grads: Grads, create_graph: bool) -> Result<Grads> {
    let Some(first) = grads.iter().flatten().next() else { return Ok(grads) };
    let want = if create_graph { Kind::SecondGradient } else { Kind::Gradient };
    if wanted(op, first.device()) != Some(want) {
        return Ok(grads);
    }
    let _guard = Guard::enter();
    HITS.fetch_add(1, Ordering::Relaxed);
    grads.into_iter().map(|g| g.filter(|g| g.dtype().is_float()).map(moved).transpose()).collect()
}

fn moved(g: Tensor) -> Result<Tensor> {
    // Gradients that are 0 move too.
    t::add(&t::scale(&g, 1.01)?, &Tensor::number(Number::Float(0.01))?)
}
