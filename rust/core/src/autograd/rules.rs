//! What a gradient rule sees, and how the rule of a node is run.

use super::node::{Kind, Node, OpNode, OutMeta};
use super::{Edge, GradMode};
use crate::apply::call;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::mode;
use crate::ops::{self, Attr, Call, Grad, OpDef};
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};
use std::sync::{Arc, PoisonError};

/// One gradient for each input; `None` where none flows.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

/// The arguments of a gradient rule.
pub struct Vjp<'a> {
    pub op: &'static OpDef,
    pub attrs: &'a [Attr],
    pub inputs: &'a [Option<OutMeta>],
    pub outs: &'a [OutMeta],
    pub create_graph: bool,
    grads: &'a [Option<Tensor>],
    needs: SmallVec<[bool; 3]>,
    saved_inputs: SmallVec<[Option<Tensor>; 3]>,
    saved_outputs: SmallVec<[Option<Tensor>; 1]>,
}

impl Vjp<'_> {
    /// Saved input `i`.
    pub fn x(&self, i: usize) -> &Tensor {
        self.saved_inputs[i].as_ref().expect("the rule's mask names the input")
    }

    pub fn opt_x(&self, i: usize) -> Option<&Tensor> {
        self.saved_inputs.get(i).and_then(Option::as_ref)
    }

    /// Saved output `i`.
    pub fn y(&self, i: usize) -> &Tensor {
        self.saved_outputs[i].as_ref().expect("the rule's mask names the output")
    }

    /// The gradient of output `i`, zeros if nothing used that output.
    pub fn g(&self, i: usize) -> Result<Tensor> {
        self.grads[i].clone().map_or_else(|| self.outs[i].zeros(), Ok)
    }

    pub fn opt_g(&self, i: usize) -> Option<&Tensor> {
        self.grads[i].as_ref()
    }

    /// Whether a gradient for input `i` is asked for.
    pub fn needs(&self, i: usize) -> bool {
        self.needs.get(i).copied().unwrap_or(false)
    }

    pub fn shape(&self, i: usize) -> &[usize] {
        self.inputs[i].as_ref().map_or(&[], |m| &m.shape)
    }

    /// The op's arguments as its kernels saw them; only attributes may be read.
    pub fn call(&self) -> Call<'_> {
        Call { op: self.op, inputs: &self.saved_inputs, attrs: self.attrs }
    }

    /// A gradient for the first input alone.
    pub fn only(g: Result<Tensor>) -> Result<Grads> {
        Ok(smallvec![Some(g?)])
    }
}

/// Runs the rule of a node: gradients of its inputs from those of its outputs.
pub(super) fn run(
    node: &Arc<Node>,
    grads: &[Option<Tensor>],
    create_graph: bool,
    wanted: &dyn Fn(&Edge) -> bool,
) -> Result<Grads> {
    let n = match &node.kind {
        Kind::Other(rule) => return rule.backward(grads, create_graph),
        Kind::Op(n) => n,
    };
    let name = n.op.called();
    let vjp = unpack(node, n, grads, create_graph, wanted).map_err(|e| e.in_op(name))?;
    let found = match (n.op.composite, n.op.grad) {
        (Some(composite), _) if create_graph => through_composite(&vjp, composite),
        (_, Grad::Rule { vjp: rule, .. }) => rule(&vjp),
        (_, Grad::Row) => mode::observed_backward(name, grads, || ops::row::vjp(&vjp)),
        (_, Grad::Missing(why)) => Err(Error::new(ErrorKind::NotImplemented, why)),
        (_, Grad::None(_) | Grad::Inner) => unreachable!("such an op is not recorded"),
    }
    .map_err(|e| e.in_op(name));
    #[cfg(feature = "mutate")]
    let found = crate::mutate::gradient(n.op, found?, create_graph);
    found
}

fn unpack<'a>(
    node: &'a Arc<Node>,
    n: &'a OpNode,
    grads: &'a [Option<Tensor>],
    create_graph: bool,
    wanted: &dyn Fn(&Edge) -> bool,
) -> Result<Vjp<'a>> {
    let guard = n.saved.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((inputs, outputs)) = &*guard else {
        return Err(Error::runtime(
            "trying to backward through the graph a second time: the saved tensors were freed",
        )
        .hint("pass retain_graph=True to the first backward() or grad()"));
    };
    let mut saved_inputs = SmallVec::with_capacity(inputs.len());
    for (i, s) in inputs.iter().enumerate() {
        let edge = create_graph.then(|| node.edges[i].clone());
        saved_inputs.push(s.as_ref().map(|s| s.unpack(n.op.called(), edge)).transpose()?);
    }
    let mut saved_outputs = SmallVec::with_capacity(outputs.len());
    for (nr, s) in outputs.iter().enumerate() {
        let edge = create_graph.then(|| Edge::Node(node.clone(), nr as u32));
        saved_outputs.push(s.as_ref().map(|s| s.unpack(n.op.called(), edge)).transpose()?);
    }
    Ok(Vjp {
        op: n.op,
        attrs: &n.attrs,
        inputs: &n.inputs,
        outs: &node.outs,
        create_graph,
        grads,
        needs: node.edges.iter().map(wanted).collect(),
        saved_inputs,
        saved_outputs,
    })
}

/// Differentiates the plain definition of a fused op instead of calling its fused rule.
fn through_composite(v: &Vjp, composite: fn(&Call) -> Result<ops::Outs>) -> Result<Grads> {
    let _mode = GradMode::set(true);
    // Fresh aliases cut the inner graph at this op's inputs and stay connected to the outer one.
    let mut inner: Grads = SmallVec::new();
    for (i, x) in v.saved_inputs.iter().enumerate() {
        inner.push(match x {
            Some(x) if v.needs(i) => Some(call(&ops::cast::ALIAS, &[x], &[])?),
            other => other.clone(),
        });
    }
    let outs = composite(&Call { op: v.op, inputs: &inner, attrs: v.attrs })?;
    let targets: Vec<Tensor> = (0..inner.len())
        .filter(|&i| v.needs(i))
        .map(|i| inner[i].clone().expect("needed inputs are present"))
        .collect();
    let roots: Vec<(Tensor, Option<Tensor>)> = outs
        .iter()
        .enumerate()
        .filter(|(i, o)| v.opt_g(*i).is_some() && o.requires_grad())
        .map(|(i, o)| (o.clone(), v.opt_g(i).cloned()))
        .collect();
    let found = super::backward(&roots, Some(&targets), true, true)?;
    let mut found = found.into_iter();
    Ok((0..inner.len()).map(|i| if v.needs(i) { found.next().flatten() } else { None }).collect())
}
