//! Whole slices by a list of indices of one dimension, `take`, `embedding` and `one_hot`.

use super::advanced::arange;
use super::def::{self, INDEX, INDEX_SPREAD};
use super::plan::check_dtype;
use crate::apply::{apply, call};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, show, wrap_dim};
use crate::ops::expr::t;
use crate::ops::{Attr, Bind, Body, Call, OpDef, Outs, cast, elementwise as e, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

const IN: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

/// The index as a list, x with at least one dimension, the dimension.
fn listed(c: &Call) -> Result<(Tensor, Tensor, usize)> {
    let (x, index) = (c.x(0), c.x(1));
    let dim = wrap_dim(c.int(0), x.ndim())?;
    check_dtype(index)?;
    if index.ndim() > 1 {
        return Err(Error::index(format!(
            "index is supposed to be a vector, got shape {}",
            show(index.shape())
        )));
    }
    let line = |t: &Tensor| if t.ndim() == 0 { view::reshape(t, &[1]) } else { Ok(t.clone()) };
    Ok((line(x)?, line(index)?, dim))
}

pub static INDEX_SELECT: OpDef = OpDef::composed(
    "index_select",
    "input: Tensor, dim: int, index: Tensor",
    "The slices of dim that a list of indices names",
    |c| {
        let (x, index, dim) = listed(c)?;
        let out = def::read_dim(&x, dim, &index, false)?;
        one(if c.x(0).ndim() == 0 { view::reshape(&out, &[]) } else { Ok(out) })
    },
);

/// Writes or adds `source` at slices of one dimension.
fn into_slices(c: &Call, source: &Tensor, how: &str) -> Result<Outs> {
    let (x, index, dim) = listed(c)?;
    let mut shape = x.dims();
    shape[dim] = index.numel();
    let fits =
        source.ndim() == 0 && (how == "fill" || index.numel() == 1) || source.shape() == &shape[..];
    if !fits {
        return Err(Error::shape(format!(
            "source of shape {} does not fit the {} indexed slices of dimension {dim}: expected {}",
            show(source.shape()),
            index.numel(),
            show(&shape)
        )));
    }
    let source = cast::to_device(&cast::fit(source, x.dtype())?, x.device())?;
    if how == "fill" && source.requires_grad() {
        // A slice that is named twice is filled once, and has one part in the gradient.
        let mut line: Dims = smallvec![1; x.ndim()];
        line[dim] = x.shape()[dim];
        let none = cast::full(&[line[dim]], 0.0, DType::Bool, x.device())?;
        let hit = call(
            &INDEX_FILL,
            &[&none, &index, &Tensor::number(Number::Bool(true))?],
            &[0i64.into()],
        )?;
        let out = t::select(&view::reshape(&hit, &line)?, &source, &x)?;
        return one(view::reshape(&out, c.x(0).shape()));
    }
    let mode = if how == "sum" { "sum" } else { "set" };
    let attrs = [Attr::Ints(smallvec![dim as i64]), mode.into(), (how == "fill").into()];
    let out = def::write(&x, &source, &[index], &attrs)?;
    one(view::reshape(&out, c.x(0).shape()))
}

fn same_dtype(c: &Call) -> Result<()> {
    let (x, s) = (c.x(0), c.x(2));
    if x.dtype() == s.dtype() {
        return Ok(());
    }
    Err(Error::runtime(format!(
        "self ({}) and source ({}) expected to have the same dtype",
        x.dtype().name(),
        s.dtype().name()
    )))
}

pub static INDEX_ADD: OpDef = OpDef::composed(
    "index_add",
    "input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1",
    "The input with alpha * source added to the slices of dim that the indices name",
    |c| {
        same_dtype(c)?;
        let source = match c.attr(1) {
            Attr::Int(1) | Attr::None => c.x(2).clone(),
            Attr::Int(a) => call(&e::mul, &[c.x(2), &Tensor::number(Number::Int(*a))?], &[])?,
            _ => t::scale(c.x(2), c.float(1))?,
        };
        into_slices(c, &source, "sum")
    },
)
.bind(IN);

pub static INDEX_COPY: OpDef = OpDef::composed(
    "index_copy",
    "input: Tensor, dim: int, index: Tensor, source: Tensor",
    "The input with the slices of dim that the indices name taken from source",
    |c| {
        same_dtype(c)?;
        into_slices(c, c.x(2), "set")
    },
)
.bind(IN);

pub static INDEX_FILL: OpDef = OpDef::composed(
    "index_fill",
    "input: Tensor, dim: int, index: Tensor, value: Tensor",
    "The input with the slices of dim that the indices name set to a value",
    |c| {
        if c.x(2).ndim() != 0 {
            return Err(Error::runtime("index_fill only supports a 0-dimensional value"));
        }
        into_slices(c, c.x(2), "fill")
    },
)
.bind(IN);

/// `indices` stands first in the list; PyTorch's tuple of indices with None for a full dimension is
/// parsed by the package.
pub static INDEX_PUT: OpDef = OpDef::composed(
    "index_put",
    "tensors: Tensor[], accumulate: bool = False",
    "A copy of the first tensor with the second written, or added, where the others point, one for each leading dimension",
    |c| {
        let (Some(x), Some(values)) = (c.opt(0), c.opt(1)) else {
            return Err(Error::type_("index_put needs a tensor, values and indices"));
        };
        let dims: Vec<i64> = (0..c.inputs.len() as i64 - 2).collect();
        let list: Vec<Tensor> = c.tensors().skip(2).cloned().collect();
        let mode = if c.flag(0) { "sum" } else { "set" };
        let attrs = [dims[..].into(), mode.into(), true.into()];
        one(def::write(x, values, &list, &attrs))
    },
)
.bind(Bind::PRIVATE);

pub static TAKE: OpDef = OpDef::composed(
    "take",
    "input: Tensor, index: Tensor",
    "Elements by their positions in row-major order",
    |c| {
        let flat = view::reshape(c.x(0), &[c.x(0).numel()])?;
        one(def::read_dim(&flat, 0, c.x(1), true))
    },
);

/// Rows of `weight`; the row `padding_idx` gets no gradient.
pub static EMBEDDING: OpDef = OpDef::kernel(
    "embedding",
    "input: Tensor, weight: Tensor, padding_idx: int? = None",
    "The rows of weight that the integers in input name",
    |c| {
        let (index, w) = (c.x(0), c.x(1));
        if w.ndim() != 2 {
            return Err(Error::shape(format!("weight must be 2-D, got shape {}", show(w.shape()))));
        }
        check_dtype(index)?;
        padding(c, w.shape()[0])?;
        let mut shape = index.dims();
        shape.push(w.shape()[1]);
        Ok(smallvec![crate::ops::Spec::new(&shape, w.dtype())])
    },
    |c, o| run(c, o, false),
)
.gpu(|c, o| run(c, o, true))
.vjp(
    |v| {
        let (index, shape) = (v.x(0), v.shape(1).to_vec());
        let mut g = v.g(0)?;
        if let Some(p) = padding(&v.call(), shape[0])? {
            let kept = call(&e::ne, &[index, &Tensor::number(Number::Int(p))?], &[])?;
            let kept = view::unsqueeze(&kept, kept.ndim())?;
            g = t::select(&kept, &g, &Tensor::number(Number::Float(0.0))?)?;
        }
        let attrs = [shape[..].into(), 0i64.into(), false.into(), true.into()];
        Ok(smallvec![None, Some(call(&INDEX_SPREAD, &[&g, index], &attrs)?)])
    },
    1,
    0,
)
.private();

fn padding(c: &Call, rows: usize) -> Result<Option<i64>> {
    let n = rows as i64;
    match c.opt_int(0) {
        Some(p) if p < -n || p >= n => {
            Err(Error::value(format!("padding_idx {p} must be within the {n} rows of the weight")))
        }
        p => Ok(p.map(|p| if p < 0 { p + n } else { p })),
    }
}

fn run(c: &Call, outs: &[Tensor], gpu: bool) -> Result<()> {
    let Body::Kernel { cpu, gpu: on_gpu, .. } = INDEX.body else { return Ok(()) };
    let inputs = [Some(c.x(1).clone()), Some(c.x(0).clone())];
    let attrs = [0i64.into(), false.into(), false.into()];
    let inner = Call { op: &INDEX, inputs: &inputs, attrs: &attrs };
    (if gpu { on_gpu } else { cpu }).map_or(Ok(()), |k| k(&inner, outs))
}

pub static ONE_HOT: OpDef = OpDef::composed(
    "one_hot",
    "input: Tensor, num_classes: int = -1",
    "A new last dimension with a 1 at the place of each integer and 0 elsewhere",
    |c| {
        let x = c.x(0);
        if x.dtype() != DType::I64 {
            return Err(Error::runtime(format!(
                "one_hot is only applicable to index tensor of type int64, got {}",
                x.dtype().name()
            ))
            .hint("cast it first: x.long()"));
        }
        let asked = c.opt_int(0).unwrap_or(-1);
        let end = |op: &'static OpDef| -> Result<i64> {
            Ok(apply(op, c.inputs, &[])?[0].to_vec::<i64>()?[0])
        };
        let (low, high) = match x.numel() {
            0 => (0, -1),
            _ => (end(&crate::ops::reduce::AMIN)?, end(&crate::ops::reduce::AMAX)?),
        };
        let n = if asked == -1 { high + 1 } else { asked };
        if low < 0 || n < 1 || high >= n {
            return Err(Error::runtime(if low < 0 {
                format!("class values must be non-negative, got {low}")
            } else if n < 1 {
                "num_classes must be positive, or the input not empty".to_string()
            } else {
                format!("class values must be smaller than num_classes ({n}), got {high}")
            }));
        }
        let classes = arange(n as usize, x.device())?;
        let hit = t::eq(&view::unsqueeze(x, x.ndim())?, &classes)?;
        one(cast::to(&hit, DType::I64))
    },
)
.bind(Bind::PRIVATE);
