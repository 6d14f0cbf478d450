//! What watches `apply`: the profiler and the counter of tested cells. One relaxed load when nobody does.

use crate::autograd;
use crate::error::Result;
use crate::ops::{Call, Outs};
use crate::storage::Device;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
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

static PROFILED: Mutex<BTreeMap<(String, &'static str), Totals>> = Mutex::new(BTreeMap::new());
static CELLS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// The modules being called, outermost first, and the time spent in nested calls of ops.
    static PATH: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static NESTED: RefCell<u64> = const { RefCell::new(0) };
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

pub fn push_module(name: String) {
    PATH.with_borrow_mut(|p| p.push(name));
}

pub fn pop_module() {
    PATH.with_borrow_mut(|p| {
        p.pop();
    });
}

/// What was profiled since the last call, by module path and op.
pub fn take_profile() -> Vec<(String, &'static str, Totals)> {
    let mut map = PROFILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::mem::take(&mut *map).into_iter().map(|((m, o), t)| (m, o, t)).collect()
}

/// The cells `op|dtype|layout|device|order` that ran since the last call.
pub fn take_cells() -> Vec<String> {
    let mut set = CELLS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::mem::take(&mut *set).into_iter().collect()
}

pub(crate) fn observed(call: &Call, run: fn(&Call) -> Result<Outs>) -> Result<Outs> {
    let mask = ACTIVE.load(Ordering::Relaxed);
    let outer = NESTED.take();
    let start = Instant::now();
    let outs = run(call);
    if mask & PROFILE != 0
        && let Ok(outs) = &outs
    {
        // GPU work is recorded, not run: waiting makes its time visible.
        if outs.iter().any(|t| t.device() == Device::Gpu) {
            crate::gpu::Gpu::get()?.synchronize()?;
        }
        let total = start.elapsed().as_nanos() as u64;
        let own = total.saturating_sub(NESTED.take());
        let bytes: u64 =
            call.tensors().chain(outs).map(|t| (t.numel() * t.dtype().size()) as u64).sum();
        let path = PATH.with_borrow(|p| p.join("."));
        let mut map = PROFILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let t = map.entry((path, call.op.name)).or_default();
        t.calls += 1;
        t.nanos += own;
        t.bytes += bytes;
        NESTED.set(outer + total);
    }
    if mask & COUNT != 0 && outs.is_ok() {
        let mut cells = CELLS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cells.insert(cell(call));
    }
    outs
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
