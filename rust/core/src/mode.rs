//! What watches `apply`: the profiler and the counter of tested cells. One relaxed load when nobody does.

use crate::autograd::{self, Grads};
use crate::error::Result;
use crate::ops::{Call, Outs};
use crate::storage::Device;
use crate::tensor::Tensor;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const PROFILE: u8 = 1;
const COUNT: u8 = 2;

static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Calls, nanoseconds and bytes (read plus written) of one op in one module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub calls: u64,
    pub nanos: u64,
    pub bytes: u64,
}

static PROFILED: Mutex<BTreeMap<(Arc<str>, String), Totals>> = Mutex::new(BTreeMap::new());
static CELLS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// The paths of the modules being called, outermost first, and the time spent in nested calls of ops.
    static MODULES: RefCell<Vec<Arc<str>>> = const { RefCell::new(Vec::new()) };
    static NESTED: Cell<u64> = const { Cell::new(0) };
}

#[inline]
pub fn active() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

pub fn profile(on: bool) {
    set(PROFILE, on);
}

pub fn count_cells(on: bool) {
    set(COUNT, on);
}

fn set(bit: u8, on: bool) {
    if on {
        ACTIVE.fetch_or(bit, Ordering::Relaxed);
    } else {
        ACTIVE.fetch_and(!bit, Ordering::Relaxed);
    }
}

pub fn profiling() -> bool {
    ACTIVE.load(Ordering::Relaxed) & PROFILE != 0
}

/// What runs from now on belongs to the module at this path.
pub fn push_module(path: Arc<str>) {
    MODULES.with_borrow_mut(|m| m.push(path));
}

pub fn pop_module() {
    MODULES.with_borrow_mut(|m| {
        m.pop();
    });
}

/// The module being called, while the profiler runs: a node keeps it for its backward.
pub(crate) fn module() -> Option<Arc<str>> {
    if profiling() { MODULES.with_borrow(|m| m.last().cloned()) } else { None }
}

/// What was profiled since the last call, by module path and op.
pub fn take_profile() -> Vec<(Arc<str>, String, Totals)> {
    let mut map = PROFILED.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *map).into_iter().map(|((m, o), t)| (m, o, t)).collect()
}

/// The cells `op|dtype|layout|device|order` that ran since the last call.
pub fn take_cells() -> Vec<String> {
    let mut set = CELLS.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *set).into_iter().collect()
}

pub(crate) fn observed(call: &Call, run: fn(&Call) -> Result<Outs>) -> Result<Outs> {
    let mask = ACTIVE.load(Ordering::Relaxed);
    let outs = if mask & PROFILE == 0 {
        run(call)?
    } else {
        timed(call.op.name, || {
            let outs = run(call)?;
            let on_gpu = outs.iter().any(|t| t.device() == Device::Gpu);
            let moved = call.tensors().chain(&outs).map(bytes_of).sum();
            Ok((outs, on_gpu, moved))
        })?
    };
    if mask & COUNT != 0 {
        let mut cells = CELLS.lock().unwrap_or_else(PoisonError::into_inner);
        cells.insert(cell(call));
    }
    Ok(outs)
}

/// For a row's fused derivative, which is no op of the table either: it counts as `name`'s.
pub(crate) fn observed_backward(
    name: &str,
    grads: &[Option<Tensor>],
    run: impl FnOnce() -> Result<Grads>,
) -> Result<Grads> {
    if !profiling() {
        return run();
    }
    timed(&format!("{name}_backward"), || {
        let out = run()?;
        let both = || grads.iter().chain(&out).flatten();
        let on_gpu = both().any(|t| t.device() == Device::Gpu);
        let moved = both().map(bytes_of).sum();
        Ok((out, on_gpu, moved))
    })
}

/// For work that is no op of the table: an optimizer's step reads and writes all of these tensors.
pub(crate) fn observed_step<'a>(
    name: &str,
    tensors: impl Iterator<Item = &'a Tensor>,
    run: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if !profiling() {
        return run();
    }
    let (mut moved, mut on_gpu) = (0, false);
    for t in tensors {
        moved += bytes_of(t);
        on_gpu |= t.device() == Device::Gpu;
    }
    timed(name, || run().map(|()| ((), on_gpu, moved)))
}

fn bytes_of(t: &Tensor) -> u64 {
    (t.numel() * t.dtype().size()) as u64
}

/// Adds the time of `run`, less that of the ops inside of it, to the profile. `run` also tells whether
/// the GPU has it to do and how many bytes it moves.
fn timed<R>(op: &str, run: impl FnOnce() -> Result<(R, bool, u64)>) -> Result<R> {
    let outer = NESTED.take();
    let start = Instant::now();
    let done = run();
    let inner = NESTED.replace(outer);
    let (out, on_gpu, bytes) = done?;
    if on_gpu {
        // GPU work is recorded, not run: waiting makes its time visible.
        crate::gpu::Gpu::get()?.synchronize()?;
    }
    let total = start.elapsed().as_nanos() as u64;
    NESTED.set(outer + total);
    let path = module().unwrap_or_else(|| Arc::from(""));
    let mut map = PROFILED.lock().unwrap_or_else(PoisonError::into_inner);
    let t = map.entry((path, op.to_string())).or_default();
    t.calls += 1;
    t.nanos += total.saturating_sub(inner);
    t.bytes += bytes;
    Ok(out)
}

fn cell(call: &Call) -> String {
    let first = call.tensors().next();
    let dtype = first.map_or("-", |t| t.dtype().name());
    let device = first.map_or("cpu".to_string(), |t| t.device().to_string());
    let layout = match first {
        None => "none",
        Some(t) if t.numel() == 0 => "empty",
        Some(t) if t.ndim() == 0 => "0-d",
        Some(t) if t.is_contiguous() => "contiguous",
        Some(t) if t.strides().contains(&0) => "broadcast",
        Some(t) if t.strides().windows(2).any(|w| w[0] < w[1]) => "transposed",
        Some(_) => "sliced",
    };
    format!("{}|{dtype}|{layout}|{device}|{}", call.op.name, autograd::order())
}
