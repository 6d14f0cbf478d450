//! Reverse-mode differentiation: a tape of nodes, made as ops run and walked by `backward`.
//! No op has a name here: a node carries its row, and the row its rule.

mod engine;
mod inplace;
mod node;
mod rules;

pub use engine::{backward, order};
pub use inplace::{apply_inplace, write};
pub use node::{Backward, Edge, GradHook, Hook, Leaf, Node, OutMeta, Saved, edge_of};
pub use rules::{Grads, Vjp};

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::ops::{Attrs, Call, Grad, OpDef};
use crate::tensor::Tensor;
use node::{Kind, OpNode};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

pub fn is_enabled() -> bool {
    ENABLED.get()
}

/// Switches recording on this thread; gives the old setting.
pub fn set_enabled(on: bool) -> bool {
    ENABLED.replace(on)
}

/// Restores the setting of recording when dropped.
pub struct GradMode(bool);

impl GradMode {
    pub fn set(on: bool) -> Self {
        Self(set_enabled(on))
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        set_enabled(self.0);
    }
}

pub struct NoGrad;
impl NoGrad {
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> GradMode {
        GradMode::set(false)
    }
}

static SEQUENCE: AtomicU64 = AtomicU64::new(1);

/// What autograd knows of one variable.
#[derive(Default)]
pub(crate) struct Meta {
    /// Whether the edge is set: the answer most ops need, without the lock.
    tracked: AtomicBool,
    state: Mutex<Option<Box<State>>>,
}

#[derive(Default)]
struct State {
    edge: Edge,
    /// Where `.grad` lives: for leaves, and for others after `retain_grad`.
    slot: Option<Arc<Leaf>>,
    view: Option<View>,
    /// A view that was made of a variable under no_grad: a write into it would not be in the variable's history.
    cut: bool,
}

/// How a view was made from its base, so that its history can be made anew after in-place writes.
#[derive(Clone)]
pub(crate) struct View {
    base: Tensor,
    last: Arc<Step>,
    version: u32,
}

/// A view op, and those before it: views of views share what they have in common.
pub(crate) struct Step {
    op: &'static OpDef,
    attrs: Attrs,
    before: Option<Arc<Step>>,
    /// How many steps, this one included, lead here from the base.
    depth: u32,
}

/// A longer chain of views is noted as one step, so that writes into views of views of views stay cheap.
const MAX_DEPTH: u32 = 8;

impl Step {
    /// The view of `layout`, made by this call from `x`.
    fn new(call: &Call, base: &Tensor, layout: &Layout, before: Option<Arc<Self>>) -> Self {
        let depth = before.as_ref().map_or(1, |b| b.depth + 1);
        let start = base.layout().offset;
        if depth > MAX_DEPTH
            && base.is_contiguous()
            && layout.offset >= start
            && !layout.may_self_overlap()
        {
            let attrs = [(&layout.shape[..]).into(), (&layout.strides[..]).into()];
            let attrs = attrs.into_iter().chain([(layout.offset - start).into()]).collect();
            return Self { op: &crate::ops::view::STRIDED, attrs, before: None, depth: 1 };
        }
        Self { op: call.op, attrs: Attrs::from(call.attrs), before, depth }
    }

    /// All view ops from the base on, first to last.
    fn chain(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut steps = vec![self.clone()];
        while let Some(before) = &steps[steps.len() - 1].before {
            steps.push(before.clone());
        }
        steps.reverse();
        steps
    }
}

impl Drop for Step {
    /// Iterative, as for nodes: views of views of views can be many.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut step) = next.and_then(Arc::into_inner) {
            next = step.before.take();
        }
    }
}

impl Meta {
    fn lock(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tensor {
    fn state<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(self.0.meta.lock().get_or_insert_default())
    }

    pub(crate) fn set_edge(&self, edge: Edge) {
        let tracked = !matches!(edge, Edge::None);
        if tracked || self.0.meta.tracked.load(Ordering::Acquire) {
            // The old history is dropped outside of the lock: it may run destructors.
            let old = self.state(|s| std::mem::replace(&mut s.edge, edge));
            self.0.meta.tracked.store(tracked, Ordering::Release);
            drop(old);
        }
    }

    pub(crate) fn view(&self) -> Option<View> {
        self.0.meta.lock().as_ref().and_then(|s| s.view.clone())
    }

    /// Whether this is a view, or a view of a view, that was made of a variable under no_grad.
    pub(crate) fn is_cut(&self) -> bool {
        let cut = |t: &Self| t.0.meta.lock().as_ref().is_some_and(|s| s.cut);
        cut(self) || self.base().is_some_and(|b| cut(&b))
    }

    /// The tensor that this one is a view of.
    pub fn base(&self) -> Option<Tensor> {
        self.view().map(|v| v.base)
    }

    /// Makes the history of a view anew when its base was written since.
    fn refresh(&self) {
        let version = self.version();
        if version == 0 {
            return;
        }
        let Some(view) = self.view() else { return };
        if view.version == version {
            return;
        }
        if !view.base.0.meta.tracked.load(Ordering::Acquire) {
            // The base was cut off from the history that this view still has.
            if self.state(|s| matches!(s.edge, Edge::Node(..))) {
                self.set_edge(Edge::None);
            }
            return;
        }
        let _mode = GradMode::set(true);
        if let Ok(fresh) = replay(&view.last, &view.base) {
            let edge = fresh.state(|s| s.edge.clone());
            self.move_history(edge);
            self.state(|s| s.view.as_mut().map(|v| v.version = version));
        }
    }

    /// A new history, after a write. A gradient that is retained is that of the newest value.
    fn move_history(&self, edge: Edge) {
        let (old, slot) = self.state(|s| (s.edge.clone(), s.slot.clone()));
        if let (Edge::Node(from, i), Some(slot)) = (old, slot)
            && from.release_retained(i, &slot)
            && let Edge::Node(to, j) = &edge
        {
            to.retain(*j, slot);
        }
        self.set_edge(edge);
    }

    pub fn requires_grad(&self) -> bool {
        if self.version() != 0 {
            self.refresh();
        }
        self.0.meta.tracked.load(Ordering::Acquire)
    }

    pub fn is_leaf(&self) -> bool {
        !matches!(self.edge(), Edge::Node(..))
    }

    /// Where this tensor's gradient goes.
    pub fn edge(&self) -> Edge {
        if !self.requires_grad() {
            return Edge::None;
        }
        self.0.meta.lock().as_ref().map(|s| s.edge.clone()).unwrap_or_default()
    }

    pub fn grad_fn(&self) -> Option<Arc<Node>> {
        match self.edge() {
            Edge::Node(node, _) => Some(node),
            _ => None,
        }
    }

    pub fn set_requires_grad(&self, on: bool) -> Result<()> {
        match self.edge() {
            Edge::Node(..) if on => return Ok(()),
            Edge::Node(..) => {
                return Err(Error::runtime(
                    "you can only change requires_grad flags of leaf variables",
                )
                .hint("use .detach() for a tensor that takes no part in the graph"));
            }
            _ => {}
        }
        if on && !self.dtype().is_float() {
            return Err(Error::runtime(format!(
                "only tensors of floating point dtype can require gradients, got {}",
                self.dtype().name()
            ))
            .hint("cast it first: x.float()"));
        }
        let edge = if on { Edge::Leaf(self.slot()) } else { Edge::None };
        self.set_edge(edge);
        Ok(())
    }

    /// Cuts the tensor off from its history. A view's comes back with each write to its base: it cannot be cut off.
    pub fn cut_off(&self) -> Result<()> {
        if self.view().is_some() {
            return Err(Error::runtime("can't detach views in-place").hint("use detach() instead"));
        }
        self.set_edge(Edge::None);
        Ok(())
    }

    /// Shows what this tensor alone keeps alive of hooks and custom rules: for the cycle collector.
    /// What a graph or another handle holds too is reachable from outside and not shown.
    pub fn peek_owned(&self, f: &mut dyn FnMut(&dyn std::any::Any)) {
        if Arc::strong_count(&self.0) != 1 {
            return;
        }
        let Ok(state) = self.0.meta.state.try_lock() else { return };
        let Some(state) = state.as_ref() else { return };
        if let Some(slot) = &state.slot {
            let own = 1 + usize::from(matches!(&state.edge, Edge::Leaf(l) if Arc::ptr_eq(l, slot)));
            if Arc::strong_count(slot) == own {
                slot.peek_hooks(f);
            }
        }
        if let Edge::Node(node, _) = &state.edge
            && Arc::strong_count(node) == 1
        {
            node.peek_hooks(f);
            if let Kind::Other(rule) = &node.kind
                && let Some(any) = rule.as_any()
            {
                f(any);
            }
        }
    }

    /// Drops hooks and history that this tensor alone keeps alive: the cycle collector found it to be
    /// garbage. What `peek_owned` does not show is in use elsewhere and stays as it is.
    pub fn clear_owned(&self) {
        if Arc::strong_count(&self.0) != 1 {
            return;
        }
        let state = self.0.meta.lock().take();
        self.0.meta.tracked.store(false, Ordering::Release);
        let Some(state) = state else { return };
        let State { edge, slot, .. } = *state;
        drop(edge);
        if let Some(slot) = slot.filter(|slot| Arc::strong_count(slot) == 1) {
            slot.clear_hooks();
        }
    }

    /// Makes this tensor output `nr` of a node.
    pub fn attach(&self, node: &Arc<Node>, nr: u32) {
        self.set_edge(Edge::Node(node.clone(), nr));
    }

    /// Where the gradient is kept, made at first use.
    fn slot(&self) -> Arc<Leaf> {
        self.state(|s| s.slot.get_or_insert_with(|| Arc::new(Leaf::new(self))).clone())
    }

    pub fn leaf_slot(&self) -> Option<Arc<Leaf>> {
        self.0.meta.lock().as_ref().and_then(|s| s.slot.clone())
    }

    pub fn grad(&self) -> Option<Tensor> {
        self.leaf_slot().and_then(|s| s.grad())
    }

    /// Adds to `.grad`, as `backward` does. Not to be called with the interpreter lock held.
    pub fn accumulate_grad(&self, grad: Tensor, create_graph: bool) -> Result<()> {
        let slot = self.slot();
        let total = slot.accumulate(grad, create_graph)?;
        slot.after().iter().try_for_each(|hook| hook.call(&total).map(drop))
    }

    pub fn set_grad(&self, grad: Option<Tensor>) -> Result<()> {
        if let Some(g) = &grad {
            if g.id() == self.id() {
                return Err(Error::runtime("can't assign a tensor as its own grad"));
            }
            if g.shape() != self.shape() {
                return Err(Error::shape(format!(
                    "a gradient of shape {} was assigned to a tensor of shape {}",
                    crate::layout::show(g.shape()),
                    crate::layout::show(self.shape())
                )));
            }
            if g.device() != self.device() || g.dtype() != self.dtype() {
                return Err(Error::type_(format!(
                    "a gradient of {} on {} was assigned to a tensor of {} on {}",
                    g.dtype().name(),
                    g.device(),
                    self.dtype().name(),
                    self.device()
                )));
            }
            self.slot().set_grad(grad);
        } else if let Some(slot) = self.leaf_slot() {
            slot.set_grad(None);
        }
        Ok(())
    }

    /// Whether this is no leaf, and its gradient is kept.
    pub fn retains_grad(&self) -> bool {
        matches!(self.edge(), Edge::Node(node, nr) if node.retains(nr))
    }

    /// Keeps the gradient of a tensor that is no leaf.
    pub fn retain_grad(&self) -> Result<()> {
        match self.edge() {
            Edge::None => {
                Err(Error::runtime("can't retain_grad on a tensor that has requires_grad=False"))
            }
            Edge::Leaf(_) => Ok(()),
            Edge::Node(node, nr) => {
                node.retain(nr, self.slot());
                Ok(())
            }
        }
    }

    /// Calls `hook` with the gradient when it is known; a tensor it returns replaces the gradient.
    pub fn register_hook(&self, hook: Hook) -> Result<u64> {
        let id = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        match self.edge() {
            Edge::None => {
                return Err(Error::runtime(
                    "cannot register a hook on a tensor that doesn't require gradient",
                ));
            }
            Edge::Leaf(leaf) => leaf.add_hook(id, hook),
            Edge::Node(node, nr) => node.add_hook(nr, id, hook),
        }
        Ok(id)
    }

    /// The same variable (gradient, hooks, `requires_grad`) over other data: `p.data = t`.
    pub fn with_data(&self, data: &Tensor) -> Tensor {
        let out = data.detach();
        let (edge, slot) = self.state(|s| (s.edge.clone(), s.slot.clone()));
        if let Some(slot) = &slot {
            slot.moved_to(&out);
        }
        out.state(|s| s.slot = slot);
        if let Edge::Leaf(_) = edge {
            out.set_edge(edge);
        }
        out
    }
}

fn replay(last: &Arc<Step>, base: &Tensor) -> Result<Tensor> {
    let mut t = base.clone();
    for step in last.chain() {
        t = crate::apply::call(step.op, &[&t], &step.attrs)?;
    }
    Ok(t)
}

/// The result of a view op, with the note of how it was made. Kernels trust a layout: here, and nowhere
/// else, one that reaches outside of the memory is refused.
pub(crate) fn make_view(call: &Call, mut layout: Layout) -> Result<Tensor> {
    let x = call.x(0);
    let elements = x.storage().bytes() / x.dtype().size();
    if layout.shape.contains(&0) {
        layout.offset = layout.offset.min(elements);
    }
    if layout.checked_extent().is_none_or(|end| end > elements) {
        return Err(Error::index(format!(
            "a view of shape {} reaches outside of the {elements} elements behind it",
            crate::layout::show(&layout.shape)
        )));
    }
    let out = x.alias(layout);
    let parent = x.view();
    let base_tracked =
        parent.as_ref().map_or_else(|| x.requires_grad(), |v| v.base.requires_grad());
    // Under no_grad a view of a tracked tensor is cut off from its history, as `detach` would.
    if is_enabled() || !base_tracked {
        let (base, before) = parent.map_or_else(|| (x.clone(), None), |v| (v.base, Some(v.last)));
        let last = Arc::new(Step::new(call, &base, out.layout(), before));
        let version = out.version();
        out.state(|s| s.view = Some(View { base, last, version }));
    } else {
        out.state(|s| s.cut = true);
    }
    Ok(out)
}

/// Puts the op on the tape, if recording is on and an input asks for it.
pub(crate) fn record(call: &Call, outs: &[Tensor]) {
    if !is_enabled() || !call.tensors().any(Tensor::requires_grad) {
        return;
    }
    if !outs.iter().any(|o| o.dtype().is_float()) {
        return;
    }
    let needs = |i: usize| call.opt(i).is_some_and(Tensor::requires_grad);
    let (input_mask, output_mask) = match call.op.grad {
        Grad::None(_) | Grad::Inner => return,
        Grad::Missing(_) => (0, 0),
        Grad::Rule { inputs, outputs, .. } => (inputs, outputs),
        Grad::Row => crate::ops::row::saves(call, &needs),
    };
    // The composite definition of a fused op is read for higher derivatives: it needs every input.
    let input_mask = if call.op.composite.is_some() { u32::MAX } else { input_mask };
    let save =
        |i: usize, t: &Tensor, mask: u32| (mask >> i.min(31) & 1 == 1).then(|| Saved::new(t));
    let node = Arc::new(Node::new(
        Kind::Op(OpNode {
            op: call.op,
            attrs: call.attrs.into(),
            inputs: call.inputs.iter().map(|t| t.as_ref().map(OutMeta::of)).collect(),
            saved: Mutex::new(Some((
                call.inputs
                    .iter()
                    .enumerate()
                    .map(|(i, t)| t.as_ref().and_then(|t| save(i, t, input_mask)))
                    .collect(),
                outs.iter().enumerate().map(|(i, t)| save(i, t, output_mask)).collect(),
            ))),
        }),
        call.inputs.iter().map(|t| t.as_ref().map(Tensor::edge).unwrap_or_default()).collect(),
        outs.iter().map(OutMeta::of).collect(),
    ));
    for (nr, out) in outs.iter().enumerate() {
        if out.dtype().is_float() {
            out.set_edge(Edge::Node(node.clone(), nr as u32));
        }
    }
}
