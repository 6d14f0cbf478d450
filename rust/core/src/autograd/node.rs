//! Nodes of the tape, and the leaves where gradients are kept.

use super::{Grads, SEQUENCE};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::Dims;
use crate::mode;
use crate::ops::{self, Attrs, OpDef};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Called with a gradient; a tensor it returns replaces the gradient.
pub trait GradHook: Send + Sync {
    fn call(&self, grad: &Tensor) -> Result<Option<Tensor>>;
    /// For the bindings: what this hook keeps alive takes part in Python's cycle collection.
    fn as_any(&self) -> &dyn Any;
}

pub type Hook = Arc<dyn GradHook>;

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the elements out for which `f` holds.
fn taken<T>(list: &mut Vec<T>, f: impl Fn(&T) -> bool) -> Vec<T> {
    let (out, kept) = std::mem::take(list).into_iter().partition(f);
    *list = kept;
    out
}

/// Where a gradient goes: nowhere, into a leaf, or to output `n` of a node.
#[derive(Clone, Default)]
pub enum Edge {
    #[default]
    None,
    Leaf(Arc<Leaf>),
    Node(Arc<Node>, u32),
}

pub fn edge_of(t: Option<&Tensor>) -> Edge {
    t.map(Tensor::edge).unwrap_or_default()
}

/// What is needed of a tensor to make a gradient for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutMeta {
    pub shape: Dims,
    pub dtype: DType,
    pub device: Device,
}

impl OutMeta {
    pub fn of(t: &Tensor) -> Self {
        Self { shape: t.dims(), dtype: t.dtype(), device: t.device() }
    }

    pub fn zeros(&self) -> Result<Tensor> {
        Tensor::zeros(&self.shape, self.dtype, self.device)
    }
}

/// The place of one variable's gradient.
pub struct Leaf {
    meta: Mutex<OutMeta>,
    grad: Mutex<Option<Tensor>>,
    /// Held from reading the old sum to storing the new one: several threads may add into one leaf.
    adding: Mutex<()>,
    hooks: Mutex<Vec<(u64, Hook)>>,
    after: Mutex<Vec<(u64, Hook)>>,
}

impl Leaf {
    pub(super) fn new(t: &Tensor) -> Self {
        Self {
            meta: Mutex::new(OutMeta::of(t)),
            grad: Mutex::new(None),
            adding: Mutex::new(()),
            hooks: Mutex::default(),
            after: Mutex::default(),
        }
    }

    pub fn meta(&self) -> OutMeta {
        lock(&self.meta).clone()
    }

    /// The variable has other data now. A gradient that does not fit it is dropped.
    pub(super) fn moved_to(&self, t: &Tensor) {
        let meta = OutMeta::of(t);
        let fits = self.grad().is_none_or(|g| OutMeta::of(&g) == meta);
        *lock(&self.meta) = meta;
        if !fits {
            self.set_grad(None);
        }
    }

    pub fn grad(&self) -> Option<Tensor> {
        lock(&self.grad).clone()
    }

    pub fn set_grad(&self, grad: Option<Tensor>) {
        // The old gradient is dropped outside the lock: its graph may run destructors.
        let old = std::mem::replace(&mut *lock(&self.grad), grad);
        drop(old);
    }

    /// Adds to the gradient and gives the sum. Must not be called with the interpreter lock held:
    /// whoever adds at the same time may wait for it.
    pub(super) fn accumulate(&self, grad: Tensor, create_graph: bool) -> Result<Tensor> {
        let _adding = lock(&self.adding);
        let total = match self.grad() {
            None => {
                // No two `.grad`s may share memory: only a fresh, private block is moved.
                let movable = grad.is_unshared() && grad.is_contiguous() && grad.base().is_none();
                if movable { grad } else { ops::cast::copy(&grad)? }
            }
            Some(old) if create_graph || old.layout().may_self_overlap() => {
                ops::expr::t::add(&old, &grad)?
            }
            Some(old) => {
                ops::cast::add_into(&old, &grad)?;
                old.storage().bump_version();
                return Ok(old);
            }
        };
        self.set_grad(Some(total.clone()));
        Ok(total)
    }

    pub(super) fn add_hook(&self, id: u64, hook: Hook) {
        lock(&self.hooks).push((id, hook));
    }

    /// Runs after the gradient was accumulated.
    pub fn add_after(&self, hook: Hook) -> u64 {
        let id = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        lock(&self.after).push((id, hook));
        id
    }

    pub fn remove_hook(&self, id: u64) {
        // Dropped outside of the locks: a callable's destructor may register another hook.
        let removed =
            [&self.hooks, &self.after].map(|list| taken(&mut lock(list), |(i, _)| *i == id));
        drop(removed);
    }

    /// Shows every hook, unless the lists are being changed: for the cycle collector.
    pub fn peek_hooks(&self, f: &mut dyn FnMut(&dyn Any)) {
        for list in [&self.hooks, &self.after] {
            if let Ok(list) = list.try_lock() {
                list.iter().for_each(|(_, h)| f(h.as_any()));
            }
        }
    }

    /// Drops every hook: for the cycle collector.
    pub fn clear_hooks(&self) {
        let old =
            (std::mem::take(&mut *lock(&self.hooks)), std::mem::take(&mut *lock(&self.after)));
        drop(old);
    }

    /// Whether somebody wants to see the gradient that a backward adds, as one.
    pub(super) fn is_watched(&self) -> bool {
        !lock(&self.hooks).is_empty() || !lock(&self.after).is_empty()
    }

    pub fn hooks(&self) -> Vec<Hook> {
        lock(&self.hooks).iter().map(|(_, h)| h.clone()).collect()
    }

    pub fn after(&self) -> Vec<Hook> {
        lock(&self.after).iter().map(|(_, h)| h.clone()).collect()
    }
}

thread_local! {
    /// Gradients of dropped leaves, while one is being dropped.
    static DROPPED: RefCell<Option<Vec<Tensor>>> = const { RefCell::new(None) };
}

impl Drop for Leaf {
    /// Iterative: a gradient may be a leaf that has a gradient, and so on, a million deep.
    fn drop(&mut self) {
        let Some(grad) = self.grad.get_mut().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let first = DROPPED.try_with(|queue| {
            let mut queue = queue.borrow_mut();
            let first = queue.is_none();
            queue.get_or_insert_default().push(grad);
            first
        });
        if first == Ok(true) {
            while let Some(grad) = DROPPED.with_borrow_mut(|q| q.as_mut().and_then(Vec::pop)) {
                drop(grad);
            }
            DROPPED.set(None);
        }
    }
}

/// A tensor kept for the backward pass, cut off from the graph, with its version at that time.
pub struct Saved {
    tensor: Tensor,
    version: u32,
}

impl Saved {
    pub fn new(t: &Tensor) -> Self {
        // A Python number stays one: it must not take part in promotion by its storage type.
        let tensor = if t.is_wrapped() { t.clone() } else { t.detach() };
        Self { tensor, version: t.version() }
    }

    /// The tensor; with `edge`, connected to the graph again.
    pub fn unpack(&self, op: &str, edge: Option<Edge>) -> Result<Tensor> {
        let now = self.tensor.version();
        if now != self.version {
            return Err(Error::runtime(format!(
                "one of the variables needed for gradient computation has been modified by an \
                 inplace operation: {op} saved a {} tensor of shape {} at version {}, it is at \
                 version {now} now",
                self.tensor.dtype().name(),
                crate::layout::show(self.tensor.shape()),
                self.version
            ))
            .hint("use the out-of-place form of the later operation, or clone() before it"));
        }
        Ok(match edge {
            Some(_) if self.tensor.is_wrapped() => self.tensor.clone(),
            Some(edge) => {
                let t = self.tensor.detach();
                t.set_edge(edge);
                t
            }
            None => self.tensor.clone(),
        })
    }
}

/// A backward rule that is no row: a Python `Function`, a write into a view, a checkpoint.
pub trait Backward: Send + Sync {
    fn name(&self) -> String;
    fn backward(&self, grads: &[Option<Tensor>], create_graph: bool) -> Result<Grads>;
    /// Frees what was saved.
    fn release(&self) {}
    /// For the bindings, as in `GradHook`.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

pub(super) type SavedSet = (SmallVec<[Option<Saved>; 3]>, SmallVec<[Option<Saved>; 1]>);

pub struct OpNode {
    pub op: &'static OpDef,
    pub attrs: Attrs,
    pub inputs: SmallVec<[Option<OutMeta>; 3]>,
    /// Inputs and outputs; `None` once freed.
    pub saved: Mutex<Option<SavedSet>>,
}

pub enum Kind {
    Op(OpNode),
    Other(Box<dyn Backward>),
}

#[derive(Default)]
struct Watch {
    hooks: Vec<(u32, u64, Hook)>,
    retained: Vec<(u32, Arc<Leaf>)>,
    /// The module that ran the op, if the profiler watched it.
    module: Option<Arc<str>>,
}

pub struct Node {
    pub kind: Kind,
    pub edges: SmallVec<[Edge; 3]>,
    pub outs: SmallVec<[OutMeta; 1]>,
    /// Later nodes have higher numbers: walking down from the highest is a topological order.
    pub seq: u64,
    watch: Mutex<Option<Box<Watch>>>,
}

impl Node {
    pub fn new(kind: Kind, edges: SmallVec<[Edge; 3]>, outs: SmallVec<[OutMeta; 1]>) -> Self {
        let seq = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let module = mode::module();
        let watch = module.map(|m| Box::new(Watch { module: Some(m), ..Watch::default() }));
        Self { kind, edges, outs, seq, watch: Mutex::new(watch) }
    }

    pub fn other(
        rule: Box<dyn Backward>,
        edges: SmallVec<[Edge; 3]>,
        outs: SmallVec<[OutMeta; 1]>,
    ) -> Arc<Self> {
        Arc::new(Self::new(Kind::Other(rule), edges, outs))
    }

    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Op(n) => n.op.called().to_string(),
            Kind::Other(b) => b.name(),
        }
    }

    pub(super) fn add_hook(&self, nr: u32, id: u64, hook: Hook) {
        lock(&self.watch).get_or_insert_default().hooks.push((nr, id, hook));
    }

    pub fn remove_hook(&self, id: u64) {
        let removed = lock(&self.watch).as_mut().map(|w| taken(&mut w.hooks, |h| h.1 == id));
        drop(removed);
    }

    /// Shows every hook on an output, as `Leaf::peek_hooks` does.
    pub fn peek_hooks(&self, f: &mut dyn FnMut(&dyn Any)) {
        if let Ok(watch) = self.watch.try_lock()
            && let Some(w) = watch.as_ref()
        {
            w.hooks.iter().for_each(|(_, _, h)| f(h.as_any()));
        }
    }

    pub(super) fn retain(&self, nr: u32, leaf: Arc<Leaf>) {
        let mut watch = lock(&self.watch);
        let retained = &mut watch.get_or_insert_default().retained;
        if !retained.iter().any(|(n, l)| *n == nr && Arc::ptr_eq(l, &leaf)) {
            retained.push((nr, leaf));
        }
    }

    /// Whether the gradient was kept there; it is no longer.
    pub(super) fn release_retained(&self, nr: u32, leaf: &Arc<Leaf>) -> bool {
        let mut watch = lock(&self.watch);
        let Some(retained) = watch.as_mut().map(|w| &mut w.retained) else { return false };
        let before = retained.len();
        retained.retain(|(n, l)| *n != nr || !Arc::ptr_eq(l, leaf));
        retained.len() < before
    }

    pub(super) fn retains(&self, nr: u32) -> bool {
        lock(&self.watch).as_ref().is_some_and(|w| w.retained.iter().any(|(n, _)| *n == nr))
    }

    pub(super) fn module(&self) -> Option<Arc<str>> {
        lock(&self.watch).as_ref().and_then(|w| w.module.clone())
    }

    pub(super) fn watchers(&self) -> (Vec<(u32, Hook)>, Vec<(u32, Arc<Leaf>)>) {
        lock(&self.watch).as_ref().map_or_else(Default::default, |w| {
            (w.hooks.iter().map(|(n, _, h)| (*n, h.clone())).collect(), w.retained.clone())
        })
    }

    /// Frees the saved tensors: what `backward` does without `retain_graph`.
    pub fn release(&self) {
        match &self.kind {
            Kind::Op(n) => {
                // Dropped outside of the lock: memory of other libraries has destructors.
                let saved = lock(&n.saved).take();
                drop(saved);
            }
            Kind::Other(b) => b.release(),
        }
    }
}

impl Drop for Node {
    /// Iterative: a chain of a million nodes must not recurse a million deep.
    fn drop(&mut self) {
        let mut stack: Vec<Edge> = self.edges.drain(..).collect();
        while let Some(edge) = stack.pop() {
            if let Edge::Node(node, _) = edge
                && let Some(mut node) = Arc::into_inner(node)
            {
                stack.extend(node.edges.drain(..));
            }
        }
    }
}
