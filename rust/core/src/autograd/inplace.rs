//! In-place forms: the functional op, then its result written back, then the history rewritten.

use super::node::{Backward, Edge, Node, OutMeta};
use super::{GradMode, Grads, Step, is_enabled, replay};
use crate::apply::apply;
use crate::error::{Error, Result};
use crate::layout::show;
use crate::mode;
use crate::ops::{self, Attr, Call, OpDef};
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// `x.op_(..)`: runs the op and stores its result in its first input.
pub fn apply_inplace(
    op: &'static OpDef,
    inputs: &[Option<Tensor>],
    attrs: &[Attr],
) -> Result<Tensor> {
    let x = inputs[0].clone().expect("an in-place op has a first input");
    let named = |e: Error| e.in_op(op.called());
    check_target(&x).map_err(named)?;
    let records = is_enabled() && inputs.iter().flatten().any(Tensor::requires_grad);
    let mut args: SmallVec<[Option<Tensor>; 4]> = inputs.into();
    if records {
        // A rule may read the old value, which the write below destroys.
        for arg in &mut args {
            if let Some(t) = arg.as_ref().filter(|t| t.is_twin(&x)) {
                let old = ops::cast::copy_data(t)?;
                old.set_edge(t.edge());
                *arg = Some(old);
            }
        }
    }
    if !records {
        let call = Call { op, inputs, attrs };
        if !mode::active() && ops::row::run_into(op, &call, &x).map_err(named)? {
            x.storage().bump_version();
            return Ok(x);
        }
    }
    let result = apply(op, &args, attrs)?.swap_remove(0);
    if result.shape() != x.shape() {
        return Err(named(Error::shape(format!(
            "the result has shape {}, which does not fit the in-place target of shape {}",
            show(result.shape()),
            show(x.shape())
        ))));
    }
    if result.dtype().category() > x.dtype().category() {
        return Err(named(
            Error::type_(format!(
                "result type {} can't be cast to the in-place target's {}",
                result.dtype().name(),
                x.dtype().name()
            ))
            .hint("use the out-of-place form, or cast the target first"),
        ));
    }
    store(&x, &result, true)?;
    Ok(x)
}

/// Refuses targets whose elements overlap and leaves that require a gradient.
fn check_target(x: &Tensor) -> Result<()> {
    if is_enabled() {
        let base_leaf = x.base().is_some_and(|b| matches!(b.edge(), Edge::Leaf(_)));
        if base_leaf || matches!(x.edge(), Edge::Leaf(_)) {
            let what = if base_leaf { "a view of a leaf Variable" } else { "a leaf Variable" };
            return Err(Error::runtime(format!(
                "{what} that requires grad is being used in an in-place operation"
            ))
            .hint("do it inside `with rubigo.no_grad():`, or use the out-of-place form"));
        }
    }
    if is_enabled() && x.is_cut() {
        return Err(Error::runtime(
            "a view that was made under no_grad, of a tensor that requires grad, is being used in an in-place \
             operation: its history would miss what is written",
        )
        .hint("write inside `with rubigo.no_grad():`, or make the view outside of it, or detach() it"));
    }
    if x.layout().may_self_overlap() {
        return Err(Error::runtime(
            "unsupported operation: more than one element of the written-to tensor refers to a \
             single memory location",
        )
        .hint("clone() the expanded tensor before writing to it"));
    }
    Ok(())
}

/// Stores `value` (broadcast, cast) in `x` and gives `x` its history.
pub fn write(x: &Tensor, value: &Tensor) -> Result<()> {
    store(x, value, false)
}

/// `computed`: the value was made from `x`, so that its history is the new history of `x`.
fn store(x: &Tensor, value: &Tensor, computed: bool) -> Result<()> {
    check_target(x)?;
    let value = &match value.as_number() {
        Some(n) if !computed => n.exact(x.dtype())?,
        _ => value.clone(),
    };
    let history = is_enabled() && (x.requires_grad() || value.requires_grad());
    // Cast and expanded as ops, so that the gradient finds its way back.
    let fitted = if history {
        let v = ops::cast::to_device(&ops::cast::to(value, x.dtype())?, x.device())?;
        ops::view::expand(&v, x.shape())?
    } else {
        value.clone()
    };
    // Before the version rises: a value that is a view of the same base would take its old history for the new one.
    let from = fitted.edge();
    ops::cast::store(x, &fitted)?;
    x.storage().bump_version();
    if history {
        rewrite(x, from, computed);
    }
    Ok(())
}

/// The new history of `x`, in which a value with the history `from` was written.
fn rewrite(x: &Tensor, from: Edge, computed: bool) {
    let Some(view) = x.view() else {
        let edge = match from {
            edge @ Edge::Node(..) if computed => edge,
            // The old value takes no part any more, yet `x` stays a variable of the graph.
            edge => Edge::Node(
                Node::other(
                    Box::new(Overwrite),
                    smallvec![x.edge(), edge],
                    smallvec![OutMeta::of(x)],
                ),
                0,
            ),
        };
        x.move_history(edge);
        return;
    };
    // The base now depends on what was written into this part of it; every view of the base, this
    // one too, makes its history anew when it is asked for.
    let rule = ViewWrite { last: view.last, part: OutMeta::of(x) };
    let edges = smallvec![view.base.edge(), from];
    let node = Node::other(Box::new(rule), edges, smallvec![OutMeta::of(&view.base)]);
    view.base.move_history(Edge::Node(node, 0));
}

/// A whole tensor was written: its gradient is the new value's, and the old value has none.
struct Overwrite;

impl Backward for Overwrite {
    fn name(&self) -> String {
        "copy".to_string()
    }

    fn backward(&self, grads: &[Option<Tensor>], _create_graph: bool) -> Result<Grads> {
        let Some(g) = &grads[0] else { return Ok(smallvec![None, None]) };
        Ok(smallvec![Some(ops::cast::full_like(g, 0.0)?), Some(g.clone())])
    }
}

struct ViewWrite {
    last: Arc<Step>,
    part: OutMeta,
}

impl Backward for ViewWrite {
    fn name(&self) -> String {
        "copy_slices".to_string()
    }

    fn backward(&self, grads: &[Option<Tensor>], create_graph: bool) -> Result<Grads> {
        let Some(g) = &grads[0] else { return Ok(smallvec![None, None]) };
        let _mode = GradMode::set(create_graph);
        let g = &ops::cast::contiguous(g)?;
        let part = replay(&self.last, g)?;
        let rest = ops::cast::copy(g)?;
        let hole = replay(&self.last, &rest)?;
        write(&hole, &Tensor::scalar(0.0, self.part.dtype)?)?;
        Ok(smallvec![Some(rest), Some(part)])
    }
}
