//! What an op is: one row of plain data. The registry lists all rows; Python, the tests, the docs and
//! the benches iterate it.

use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::LazyLock;

pub mod arith;
pub mod cast;
pub mod conv;
pub mod create;
pub mod dropout;
pub mod elementwise;
pub mod expr;
pub mod index;
pub mod join;
pub mod loss;
pub mod matmul;
pub mod norm;
pub mod optim;
pub mod pad;
pub mod pool;
pub mod random;
pub mod reduce;
pub mod row;
pub mod scan;
pub mod signature;
pub mod softmax;
pub mod sort;
#[cfg(test)]
pub mod testing;
pub mod view;

pub use signature::{Param, ParamKind, Signature};

pub type Outs = SmallVec<[Tensor; 1]>;

/// One argument that is no tensor: plain data, so that it can be compared, printed and stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    None,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    Big(u64),
    Float(f64),
    Ints(SmallVec<[i64; 4]>),
    Floats(Vec<f64>),
    Str(String),
    DType(DType),
    Device(Device),
}

pub type Attrs = SmallVec<[Attr; 4]>;

impl From<Number> for Attr {
    fn from(n: Number) -> Self {
        match n {
            Number::Bool(v) => Attr::Bool(v),
            Number::Int(v) => Attr::Int(v),
            Number::Big(v) => Attr::Big(v),
            Number::Float(v) => Attr::Float(v),
        }
    }
}

macro_rules! attr_from {
    ($($t:ty => |$v:ident| $e:expr),* $(,)?) => {$(
        impl From<$t> for Attr { fn from($v: $t) -> Self { $e } }
    )*};
}
attr_from! {
    bool => |v| Attr::Bool(v),
    i64 => |v| Attr::Int(v),
    usize => |v| Attr::Int(v as i64),
    f64 => |v| Attr::Float(v),
    &[i64] => |v| Attr::Ints(v.into()),
    &[usize] => |v| Attr::Ints(v.iter().map(|&d| d as i64).collect()),
    &str => |v| Attr::Str(v.to_string()),
    DType => |v| Attr::DType(v),
    Device => |v| Attr::Device(v),
}

impl<T: Into<Attr>> From<Option<T>> for Attr {
    fn from(v: Option<T>) -> Self {
        v.map_or(Attr::None, Into::into)
    }
}

/// One call of an op: the tensors and, by position in the signature, the other arguments.
pub struct Call<'a> {
    pub op: &'static OpDef,
    pub inputs: &'a [Option<Tensor>],
    pub attrs: &'a [Attr],
}

impl<'a> Call<'a> {
    /// Tensor argument `i`, which the signature requires.
    pub fn x(&self, i: usize) -> &'a Tensor {
        self.inputs[i].as_ref().expect("a required tensor was checked before the kernel")
    }

    pub fn opt(&self, i: usize) -> Option<&'a Tensor> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    pub fn tensors(&self) -> impl Iterator<Item = &'a Tensor> {
        self.inputs.iter().flatten()
    }

    pub fn attr(&self, i: usize) -> &'a Attr {
        self.attrs.get(i).unwrap_or(&Attr::None)
    }

    pub fn int(&self, i: usize) -> i64 {
        self.opt_int(i).unwrap_or(0)
    }

    pub fn opt_int(&self, i: usize) -> Option<i64> {
        match self.attr(i) {
            Attr::Int(v) => Some(*v),
            Attr::Bool(v) => Some(*v as i64),
            _ => None,
        }
    }

    pub fn float(&self, i: usize) -> f64 {
        self.opt_float(i).unwrap_or(0.0)
    }

    pub fn opt_float(&self, i: usize) -> Option<f64> {
        match self.attr(i) {
            Attr::Float(v) => Some(*v),
            Attr::Int(v) => Some(*v as f64),
            Attr::Big(v) => Some(*v as f64),
            Attr::Bool(v) => Some(*v as u8 as f64),
            _ => None,
        }
    }

    pub fn flag(&self, i: usize) -> bool {
        matches!(self.attr(i), Attr::Bool(true) | Attr::Int(1))
    }

    pub fn ints(&self, i: usize) -> &'a [i64] {
        match self.attr(i) {
            Attr::Ints(v) => v,
            Attr::Int(v) => std::slice::from_ref(v),
            _ => &[],
        }
    }

    pub fn is_none(&self, i: usize) -> bool {
        matches!(self.attr(i), Attr::None)
    }

    pub fn str(&self, i: usize) -> &'a str {
        match self.attr(i) {
            Attr::Str(v) => v,
            _ => "",
        }
    }

    pub fn dtype(&self, i: usize) -> Option<DType> {
        match self.attr(i) {
            Attr::DType(v) => Some(*v),
            _ => None,
        }
    }

    /// Which operand is where: "input is on cpu, other on gpu".
    fn places(&self) -> String {
        let names = Signature::parse(self.op.sig).params;
        let names: Vec<&Param> = names
            .iter()
            .filter(|p| matches!(p.kind, ParamKind::Tensor | ParamKind::Tensors))
            .collect();
        let mut places: Vec<String> = Vec::new();
        for (i, t) in self.inputs.iter().enumerate() {
            let Some(t) = t else { continue };
            let verb = if places.is_empty() { "is on" } else { "on" };
            let name = match names[..] {
                [only] if only.kind == ParamKind::Tensors => format!("{}[{i}]", only.name),
                _ => names.get(i).map_or_else(|| format!("operand {i}"), |p| p.name.to_string()),
            };
            places.push(format!("{name} {verb} {}", t.device()));
        }
        places.join(", ")
    }

    /// The device all inputs share; 0-d CPU tensors may accompany GPU ones.
    pub fn device(&self) -> Result<Device> {
        let mut device = None;
        for t in self.tensors() {
            match (device, t.device()) {
                (None, d) => device = Some(d),
                (Some(a), b) if a != b => {
                    let all_scalar =
                        self.tensors().all(|t| t.device() == Device::Gpu || t.ndim() == 0);
                    if all_scalar {
                        return Ok(Device::Gpu);
                    }
                    return Err(Error::runtime(format!(
                        "expected all tensors on one device, but {}",
                        self.places()
                    ))
                    .hint("move them first with .to(\"gpu\") or .to(\"cpu\")"));
                }
                _ => {}
            }
        }
        Ok(device.unwrap_or(Device::Cpu))
    }
}

/// Shape and dtype of one result.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub shape: Dims,
    pub dtype: DType,
}

impl Spec {
    pub fn new(shape: &[usize], dtype: DType) -> Self {
        Self { shape: shape.into(), dtype }
    }

    pub fn like(t: &Tensor) -> Self {
        Self::new(t.shape(), t.dtype())
    }
}

pub type Specs = SmallVec<[Spec; 1]>;
/// Fills the outputs, which were allocated by the specs of `infer`.
pub type Kernel = fn(&Call, &[Tensor]) -> Result<()>;

#[derive(Clone, Copy)]
pub enum Body {
    /// An elementwise expression; everything is derived.
    Row(&'static row::Row),
    /// A structural op with a kernel per device.
    Kernel { infer: fn(&Call) -> Result<Specs>, cpu: Option<Kernel>, gpu: Option<Kernel> },
    /// Changes only the layout: works on both devices without a kernel.
    View(fn(&Layout, &Call) -> Result<Layout>),
    /// Made of other ops; gradients flow through those.
    Composite(fn(&Call) -> Result<Outs>),
    /// The shape of the result depends on the values.
    Dynamic { cpu: Option<fn(&Call) -> Result<Outs>>, gpu: Option<fn(&Call) -> Result<Outs>> },
}

/// How gradients pass an op.
#[derive(Clone, Copy)]
pub enum Grad {
    /// Results carry no gradient (comparisons, indices), for this reason.
    None(&'static str),
    /// There is one, but nobody wrote it: differentiating raises, where `None` would silently leave out a term.
    Missing(&'static str),
    /// The row's own derivative expressions.
    Row,
    /// A rule in terms of ops, and which inputs and outputs it reads (bit i = tensor i).
    Rule { vjp: fn(&Vjp) -> Result<Grads>, inputs: u32, outputs: u32 },
    /// Composites: the inner ops record themselves.
    Inner,
}

/// How the op appears in Python.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bind(pub u8);
impl Bind {
    pub const FUNCTION: u8 = 1;
    pub const METHOD: u8 = 2;
    /// Also as `name_`, writing into the first argument.
    pub const INPLACE: u8 = 4;
    /// Only in `rubigo._core`, for the package's own use.
    pub const PRIVATE: u8 = 8;
}

/// What the generated tests need to know.
#[derive(Clone, Copy)]
pub struct Samples {
    /// Values are drawn from this range.
    pub domain: (f64, f64),
    /// Allowed relative error of float32 against float64, in units of float32's epsilon.
    pub ulp: f64,
    /// The oracle's name when it is not the op's own.
    pub oracle: &'static str,
}

impl Samples {
    pub const DEFAULT: Self = Self { domain: (-3.0, 3.0), ulp: 8.0, oracle: "" };
}

#[derive(Clone, Copy)]
pub struct OpDef {
    pub name: &'static str,
    /// What a user knows it by, where that is another name.
    public: Option<&'static str>,
    /// As in Python: `x: Tensor, dim: int[]? = None, keepdim: bool = False`.
    pub sig: &'static str,
    pub doc: &'static str,
    pub body: Body,
    pub grad: Grad,
    /// For fused ops: the same in plain ops, read when a higher derivative is asked for.
    pub composite: Option<fn(&Call) -> Result<Outs>>,
    pub bind: Bind,
    /// Gives a tuple, even of one.
    pub many: bool,
    pub samples: Samples,
}

impl OpDef {
    pub const fn new(name: &'static str, sig: &'static str, doc: &'static str, body: Body) -> Self {
        let grad = match body {
            Body::Composite(_) => Grad::Inner,
            Body::Row(_) => Grad::Row,
            _ => Grad::None("no rule"),
        };
        Self {
            name,
            public: None,
            sig,
            doc,
            body,
            grad,
            composite: None,
            bind: Bind(Bind::FUNCTION | Bind::METHOD),
            many: false,
            samples: Samples::DEFAULT,
        }
    }

    pub const fn kernel(
        name: &'static str,
        sig: &'static str,
        doc: &'static str,
        infer: fn(&Call) -> Result<Specs>,
        cpu: Kernel,
    ) -> Self {
        Self::new(name, sig, doc, Body::Kernel { infer, cpu: Some(cpu), gpu: None })
    }

    pub const fn view(
        name: &'static str,
        sig: &'static str,
        doc: &'static str,
        layout: fn(&Layout, &Call) -> Result<Layout>,
        vjp: fn(&Vjp) -> Result<Grads>,
    ) -> Self {
        Self::new(name, sig, doc, Body::View(layout)).vjp(vjp, 0, 0)
    }

    pub const fn composed(
        name: &'static str,
        sig: &'static str,
        doc: &'static str,
        run: fn(&Call) -> Result<Outs>,
    ) -> Self {
        Self::new(name, sig, doc, Body::Composite(run))
    }

    pub const fn gpu(mut self, kernel: Kernel) -> Self {
        if let Body::Kernel { infer, cpu, .. } = self.body {
            self.body = Body::Kernel { infer, cpu, gpu: Some(kernel) };
        }
        self
    }

    /// The gradient rule; `inputs` and `outputs` are bit masks of the tensors it reads.
    pub const fn vjp(mut self, vjp: fn(&Vjp) -> Result<Grads>, inputs: u32, outputs: u32) -> Self {
        self.grad = Grad::Rule { vjp, inputs, outputs };
        self
    }

    pub const fn no_grad(mut self, why: &'static str) -> Self {
        self.grad = Grad::None(why);
        self
    }

    pub const fn missing_grad(mut self, why: &'static str) -> Self {
        self.grad = Grad::Missing(why);
        self
    }

    pub const fn composite(mut self, run: fn(&Call) -> Result<Outs>) -> Self {
        self.composite = Some(run);
        self
    }

    pub const fn bind(mut self, bind: u8) -> Self {
        self.bind = Bind(bind);
        self
    }

    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// For names that Rust reserves.
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub const fn public(mut self, name: &'static str) -> Self {
        self.public = Some(name);
        self
    }

    /// Its name in errors and in graphs.
    pub const fn called(&self) -> &'static str {
        match self.public {
            Some(name) => name,
            None => self.name,
        }
    }

    pub const fn private(self) -> Self {
        self.bind(Bind::PRIVATE)
    }

    pub const fn domain(mut self, lo: f64, hi: f64) -> Self {
        self.samples.domain = (lo, hi);
        self
    }

    pub const fn ulp(mut self, ulp: f64) -> Self {
        self.samples.ulp = ulp;
        self
    }

    pub const fn oracle(mut self, name: &'static str) -> Self {
        self.samples.oracle = name;
        self
    }
}

impl std::fmt::Debug for OpDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Other names under which an op is a function and a method: (alias, name).
pub const ALIASES: &[(&str, &str)] = &[
    ("absolute", "abs"),
    ("arccos", "acos"),
    ("arccosh", "acosh"),
    ("arcsin", "asin"),
    ("arcsinh", "asinh"),
    ("arctan", "atan"),
    ("arctan2", "atan2"),
    ("arctanh", "atanh"),
    ("clip", "clamp"),
    ("divide", "div"),
    ("fix", "trunc"),
    ("greater", "gt"),
    ("greater_equal", "ge"),
    ("less", "lt"),
    ("less_equal", "le"),
    ("moveaxis", "movedim"),
    ("multiply", "mul"),
    ("negative", "neg"),
    ("not_equal", "ne"),
    ("subtract", "sub"),
    ("swapaxes", "transpose"),
    ("swapdims", "transpose"),
];

/// All ops, in the order of the tables.
pub struct Registry {
    pub ops: Vec<&'static OpDef>,
    pub signatures: Vec<Signature>,
    index: HashMap<&'static str, usize>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let tables: &[&[&'static OpDef]] = &[
        elementwise::OPS,
        arith::OPS,
        cast::OPS,
        view::OPS,
        index::OPS,
        join::OPS,
        pad::OPS,
        scan::OPS,
        sort::OPS,
        reduce::OPS,
        softmax::OPS,
        loss::OPS,
        norm::OPS,
        matmul::OPS,
        conv::OPS,
        pool::OPS,
        create::OPS,
        random::OPS,
        dropout::OPS,
    ];
    let ops: Vec<&'static OpDef> = tables.concat();
    let signatures = ops.iter().map(|op| Signature::parse(op.sig)).collect();
    let index = ops.iter().enumerate().map(|(i, op)| (op.name, i)).collect();
    Registry { ops, signatures, index }
});

pub fn registry() -> &'static Registry {
    &REGISTRY
}

impl Registry {
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        let r = registry();
        assert_eq!(r.index.len(), r.ops.len(), "two ops share a name");
        for op in &r.ops {
            assert!(!op.doc.is_empty(), "{} has no doc line", op.name);
        }
    }
}
