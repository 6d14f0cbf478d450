//! The walk: gradients flow from the roots down the tape, latest node first.

use super::node::{Edge, Leaf, Node, OutMeta};
use super::{GradMode, rules};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::layout::show;
use crate::mode;
use crate::ops;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

type Pending = BTreeMap<u64, (Arc<Node>, SmallVec<[Option<Tensor>; 1]>)>;

thread_local! {
    static ORDER: Cell<u8> = const { Cell::new(0) };
}

/// 0 outside of `backward`, 1 inside, 2 inside one that makes a graph: for the counter of test cells.
pub fn order() -> u8 {
    ORDER.get()
}

/// Restores the order when an error leaves the walk early.
struct OrderGuard(u8);
impl Drop for OrderGuard {
    fn drop(&mut self) {
        ORDER.set(self.0);
    }
}

/// While the profiler runs, a node's backward counts for the module that ran its op.
struct ModuleGuard(bool);
impl ModuleGuard {
    fn enter(node: &Node) -> Self {
        let module = if mode::profiling() { node.module() } else { None };
        let entered = module.is_some();
        module.into_iter().for_each(mode::push_module);
        Self(entered)
    }
}
impl Drop for ModuleGuard {
    fn drop(&mut self) {
        if self.0 {
            mode::pop_module();
        }
    }
}

/// Computes gradients of the roots. Without `inputs` they are added into the leaves' `.grad`; with
/// `inputs` they are returned, `None` for those that the roots do not depend on.
pub fn backward(
    roots: &[(Tensor, Option<Tensor>)],
    inputs: Option<&[Tensor]>,
    retain_graph: bool,
    create_graph: bool,
) -> Result<Vec<Option<Tensor>>> {
    let _mode = GradMode::set(create_graph);
    let _order = OrderGuard(ORDER.replace(if create_graph { 2 } else { 1 }));
    let mut walk = Walk::new(inputs, create_graph);
    for (root, grad) in roots {
        let edge = root.edge();
        let grad = root_grad(root, grad.as_ref(), &edge)?;
        walk.targets_below(&edge);
        walk.send(&edge, grad)?;
    }
    while let Some((_, (node, mut grads))) = walk.pending.pop_last() {
        interrupt::check()?;
        walk.visit(&node, &mut grads)?;
        let _module = ModuleGuard::enter(&node);
        let wanted = |edge: &Edge| walk.is_wanted(edge);
        // A target itself: what lies below it is asked for by another backward, perhaps.
        if inputs.is_some() && !node.edges.iter().any(wanted) {
            continue;
        }
        let found = rules::run(&node, &grads, create_graph, &wanted)?;
        if !retain_graph {
            node.release();
        }
        drop(grads);
        for (i, g) in found.into_iter().enumerate() {
            let Some(g) = g else { continue };
            let Some(edge) = node.edges.get(i) else { continue };
            walk.send(edge, g)?;
        }
    }
    for (leaf, grad) in std::mem::take(&mut walk.watched) {
        walk.deliver(&leaf, grad)?;
    }
    Ok(walk.found)
}

fn root_grad(root: &Tensor, grad: Option<&Tensor>, edge: &Edge) -> Result<Tensor> {
    if matches!(edge, Edge::None) {
        return Err(Error::runtime(
            "element 0 of tensors does not require grad and does not have a grad_fn",
        )
        .hint("make it from tensors with requires_grad=True, outside of no_grad()"));
    }
    match grad {
        Some(g) if g.shape() != root.shape() => Err(Error::shape(format!(
            "mismatch in shape: grad_output has shape {} and the output has shape {}",
            show(g.shape()),
            show(root.shape())
        ))),
        Some(g) => ops::cast::to(g, root.dtype()),
        None if root.numel() == 1 => ops::cast::full_like(root, 1.0),
        None => Err(Error::runtime(format!(
            "grad can be implicitly created only for scalar outputs, this one has shape {}",
            show(root.shape())
        ))
        .hint("reduce it first, for example .sum(), or pass the gradient argument")),
    }
}

struct Walk {
    pending: Pending,
    /// Leaves with hooks and what has reached them so far, in the order they were reached.
    watched: Vec<(Arc<Leaf>, Tensor)>,
    found: Vec<Option<Tensor>>,
    /// Which result a leaf or a node's output is; `None` when `.grad` is filled instead.
    targets: Option<HashMap<(usize, u32), Vec<usize>>>,
    /// Nodes from which a target can be reached, and those already looked at.
    reaching: HashSet<usize>,
    seen: HashSet<usize>,
    create_graph: bool,
}

fn key(edge: &Edge) -> Option<(usize, u32)> {
    match edge {
        Edge::None => None,
        Edge::Leaf(leaf) => Some((Arc::as_ptr(leaf) as usize, u32::MAX)),
        Edge::Node(node, nr) => Some((Arc::as_ptr(node) as usize, *nr)),
    }
}

impl Walk {
    fn new(inputs: Option<&[Tensor]>, create_graph: bool) -> Self {
        let targets = inputs.map(|inputs| {
            let mut map: HashMap<_, Vec<usize>> = HashMap::new();
            for (i, t) in inputs.iter().enumerate() {
                if let Some(k) = key(&t.edge()) {
                    map.entry(k).or_default().push(i);
                }
            }
            map
        });
        Self {
            pending: BTreeMap::new(),
            watched: Vec::new(),
            found: vec![None; inputs.map_or(0, <[Tensor]>::len)],
            targets,
            reaching: HashSet::new(),
            seen: HashSet::new(),
            create_graph,
        }
    }

    /// Marks the nodes below `root` from which a target can be reached (only with targets).
    fn targets_below(&mut self, root: &Edge) {
        let Some(targets) = &self.targets else { return };
        let Edge::Node(root, _) = root else { return };
        let target_nodes: HashSet<usize> = targets.keys().map(|k| k.0).collect();
        // Post-order with an explicit stack: (node, next edge to look at).
        let mut stack: Vec<(&Arc<Node>, usize)> = vec![(root, 0)];
        self.seen.insert(Arc::as_ptr(root) as usize);
        while let Some((node, i)) = stack.pop() {
            let id = Arc::as_ptr(node) as usize;
            if i < node.edges.len() {
                stack.push((node, i + 1));
                if let Edge::Node(next, _) = &node.edges[i]
                    && self.seen.insert(Arc::as_ptr(next) as usize)
                {
                    stack.push((next, 0));
                }
                continue;
            }
            let reaches = node.edges.iter().any(|e| {
                key(e).is_some_and(|k| target_nodes.contains(&k.0) || self.reaching.contains(&k.0))
            });
            if reaches {
                self.reaching.insert(id);
            }
        }
    }

    fn is_wanted(&self, edge: &Edge) -> bool {
        let Some(k) = key(edge) else { return false };
        match &self.targets {
            None => true,
            Some(targets) => targets.contains_key(&k) || self.reaching.contains(&k.0),
        }
    }

    /// Hands a gradient to an edge: into a leaf, or to wait at its node.
    fn send(&mut self, edge: &Edge, grad: Tensor) -> Result<()> {
        if !self.is_wanted(edge) {
            return Ok(());
        }
        match edge {
            Edge::None => Ok(()),
            Edge::Leaf(leaf) => self.add_to_leaf(leaf, grad),
            Edge::Node(node, nr) => {
                let grad = fit(grad, &node.outs[*nr as usize])?;
                let outs = node.outs.len();
                let (_, grads) = self
                    .pending
                    .entry(node.seq)
                    .or_insert_with(|| (node.clone(), smallvec::smallvec![None; outs]));
                let slot = &mut grads[*nr as usize];
                *slot = Some(match slot.take() {
                    None => grad,
                    Some(old) => accumulate(old, &grad, self.create_graph)?,
                });
                Ok(())
            }
        }
    }

    /// Without hooks each contribution is added at once; hooks see the sum of all, when all are there.
    fn add_to_leaf(&mut self, leaf: &Arc<Leaf>, grad: Tensor) -> Result<()> {
        let grad = fit(grad, &leaf.meta())?;
        if !leaf.is_watched() {
            return self.deliver(leaf, grad);
        }
        match self.watched.iter_mut().find(|(l, _)| Arc::ptr_eq(l, leaf)) {
            Some((_, sum)) => *sum = ops::expr::t::add(sum, &grad)?,
            None => self.watched.push((leaf.clone(), grad)),
        }
        Ok(())
    }

    fn deliver(&mut self, leaf: &Arc<Leaf>, mut grad: Tensor) -> Result<()> {
        for hook in leaf.hooks() {
            if let Some(g) = hook.call(&grad)? {
                grad = replacement(g, &leaf.meta())?;
            }
        }
        if let Some(targets) = &self.targets {
            let k = (Arc::as_ptr(leaf) as usize, u32::MAX);
            for &i in &targets[&k] {
                self.found[i] = Some(match self.found[i].take() {
                    None => grad.clone(),
                    Some(old) => accumulate(old, &grad, self.create_graph)?,
                });
            }
            return Ok(());
        }
        let total = leaf.accumulate(grad, self.create_graph)?;
        for hook in leaf.after() {
            hook.call(&total)?;
        }
        Ok(())
    }

    /// Hooks, retained gradients and captures of a node whose gradients are complete.
    fn visit(&mut self, node: &Arc<Node>, grads: &mut [Option<Tensor>]) -> Result<()> {
        let (hooks, retained) = node.watchers();
        for (nr, hook) in hooks {
            let slot = &mut grads[nr as usize];
            if let Some(g) = slot
                && let Some(new) = hook.call(g)?
            {
                *slot = Some(replacement(new, &node.outs[nr as usize])?);
            }
        }
        for (nr, leaf) in retained {
            if let Some(g) = &grads[nr as usize] {
                leaf.accumulate(g.clone(), self.create_graph)?;
            }
        }
        if let Some(targets) = &self.targets {
            for (nr, g) in grads.iter().enumerate() {
                let k = (Arc::as_ptr(node) as usize, nr as u32);
                for &i in targets.get(&k).map_or(&[][..], Vec::as_slice) {
                    self.found[i].clone_from(g);
                }
            }
        }
        Ok(())
    }
}

/// Undoes broadcasting and promotion: a gradient has its tensor's shape and dtype.
fn fit(grad: Tensor, meta: &OutMeta) -> Result<Tensor> {
    let grad = if grad.shape() == meta.shape.as_slice() {
        grad
    } else {
        ops::cast::sum_to(&grad, &meta.shape)?
    };
    let grad =
        if grad.device() == meta.device { grad } else { ops::cast::to_device(&grad, meta.device)? };
    if grad.dtype() == meta.dtype { Ok(grad) } else { ops::cast::to(&grad, meta.dtype) }
}

/// What a hook gave instead of a gradient: it must have the gradient's shape.
fn replacement(grad: Tensor, meta: &OutMeta) -> Result<Tensor> {
    if grad.shape() != meta.shape.as_slice() {
        return Err(Error::shape(format!(
            "a hook has changed the size of a gradient from {} to {}",
            show(&meta.shape),
            show(grad.shape())
        )));
    }
    fit(grad, meta)
}

fn accumulate(old: Tensor, new: &Tensor, create_graph: bool) -> Result<Tensor> {
    if !create_graph && old.is_unshared() && old.is_contiguous() {
        ops::cast::add_into(&old, new)?;
        return Ok(old);
    }
    ops::expr::t::add(&old, new)
}
