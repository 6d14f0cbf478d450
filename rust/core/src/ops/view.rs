//! Ops that change only the layout. `embed` is their adjoint: zeros with a view written into them.

use super::cast::{self, ALIAS};
use super::{Call, OpDef, Outs, Spec};
use crate::apply::call;
use crate::autograd::{Grads, Vjp};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, checked_numel, numel, show, wrap_dim};
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[
    &VIEW, &RESHAPE, &PERMUTE, &TRANSPOSE, &EXPAND, &SLICE, &SELECT, &SQUEEZE, &UNSQUEEZE, &UNFOLD,
    &DIAGONAL, &STRIDED, &EMBED, &FLATTEN, &MOVEDIM,
];

pub static VIEW: OpDef = OpDef::view(
    "view",
    "input: Tensor, *shape: int[]",
    "The same elements under another shape, without a copy",
    |l, c| {
        let shape = infer_shape(l.numel(), c.ints(0))?;
        l.reshape(&shape).ok_or_else(|| {
            Error::runtime(format!(
                "view size {} is not compatible with the input's shape {} and strides {}",
                show(&shape),
                show(&l.shape),
                show(&l.strides)
            ))
            .hint("use .reshape(...) instead, which copies when it must")
        })
    },
    |v| Vjp::only(reshape(&v.g(0)?, v.shape(0))),
)
.bind(super::Bind::METHOD);

pub static RESHAPE: OpDef = OpDef::composed(
    "reshape",
    "input: Tensor, *shape: int[]",
    "The same elements in row-major order under another shape; a view where possible",
    |c| {
        let shape = infer_shape(c.x(0).numel(), c.ints(0))?;
        // A variable of its own, even where nothing changes.
        one(if c.x(0).shape() == &shape[..] {
            call(&ALIAS, &[c.x(0)], &[])
        } else {
            reshape(c.x(0), &shape)
        })
    },
);

pub static PERMUTE: OpDef = OpDef::view(
    "permute",
    "input: Tensor, *dims: int[]",
    "The dimensions in another order",
    |l, c| {
        let dims = permutation(c.ints(0), l.ndim())?;
        Ok(l.permute(&dims))
    },
    |v| {
        let dims = permutation(v.call().ints(0), v.shape(0).len())?;
        let mut inverse = vec![0i64; dims.len()];
        for (i, &d) in dims.iter().enumerate() {
            inverse[d] = i as i64;
        }
        Vjp::only(call(&PERMUTE, &[&v.g(0)?], &[inverse[..].into()]))
    },
);

pub static TRANSPOSE: OpDef = OpDef::view(
    "transpose",
    "input: Tensor, dim0: int, dim1: int",
    "Two dimensions swapped",
    |l, c| {
        let (a, b) = (wrap_dim(c.int(0), l.ndim())?, wrap_dim(c.int(1), l.ndim())?);
        let mut out = l.clone();
        if l.ndim() > 0 {
            out.shape.swap(a, b);
            out.strides.swap(a, b);
        }
        Ok(out)
    },
    |v| Vjp::only(call(&TRANSPOSE, &[&v.g(0)?], v.attrs)),
);

/// The engine sums the gradient back to the input's shape.
pub static EXPAND: OpDef = OpDef::view(
    "expand",
    "input: Tensor, *size: int[]",
    "Dimensions of size 1 repeated without a copy; -1 keeps a size",
    |l, c| {
        let sizes = c.ints(0);
        let lead = sizes.len().checked_sub(l.ndim()).ok_or_else(|| {
            Error::shape(format!(
                "the number of sizes ({}) must be at least the number of dimensions ({})",
                sizes.len(),
                l.ndim()
            ))
        })?;
        let mut shape = Dims::new();
        for (i, &s) in sizes.iter().enumerate() {
            shape.push(match s {
                -1 if i >= lead => l.shape[i - lead],
                s if s >= 0 => s as usize,
                s => return Err(Error::value(format!("size {s} of dimension {i} is negative"))),
            });
        }
        checked_numel(&shape)?;
        l.expand(&shape)
    },
    |v| Vjp::only(v.g(0)),
);

pub static SLICE: OpDef = OpDef::view(
    "slice",
    "input: Tensor, dim: int = 0, start: int? = None, end: int? = None, step: int = 1",
    "Every step-th element of one dimension, from start up to end",
    |l, c| {
        let dim = wrap_dim(c.int(0), l.ndim())?;
        let Some(&n) = l.shape.get(dim) else {
            return Err(Error::index("a 0-d tensor cannot be sliced"));
        };
        let n = n as i64;
        let clamp = |v: i64| if v < 0 { (v + n).max(0) } else { v.min(n) };
        let start = clamp(c.opt_int(1).unwrap_or(0));
        let end = clamp(c.opt_int(2).unwrap_or(n)).max(start);
        let step = c.opt_int(3).unwrap_or(1);
        if step < 1 {
            return Err(Error::value(format!("slice step must be positive, got {step}"))
                .hint("use .flip(dim) to reverse"));
        }
        let len = if end > start { (end - start - 1) / step + 1 } else { 0 };
        Ok(l.slice(dim, start as usize, len as usize, step as usize))
    },
    embedded,
)
.private();

pub static SELECT: OpDef = OpDef::view(
    "select",
    "input: Tensor, dim: int, index: int",
    "One index of one dimension, which disappears",
    |l, c| {
        let dim = wrap_dim(c.int(0), l.ndim())?;
        let Some(&n) = l.shape.get(dim) else {
            return Err(Error::index("select() cannot be applied to a 0-d tensor"));
        };
        let i = c.int(1);
        let at = if i < 0 { i + n as i64 } else { i };
        if at < 0 || at >= n as i64 {
            return Err(Error::index(format!(
                "index {i} is out of bounds for dimension {dim} with size {n}"
            )));
        }
        Ok(l.select(dim, at as usize))
    },
    embedded,
);

pub static SQUEEZE: OpDef = OpDef::view(
    "squeeze",
    "input: Tensor, dim: int[]? = None",
    "Dimensions of size 1 removed: all, or those named",
    |l, c| {
        let all = c.is_none(0);
        let mut named = Dims::new();
        for &d in c.ints(0) {
            named.push(wrap_dim(d, l.ndim())?);
        }
        let keep: Dims =
            (0..l.ndim()).filter(|d| l.shape[*d] != 1 || !(all || named.contains(d))).collect();
        Ok(l.permute(&keep))
    },
    |v| Vjp::only(reshape(&v.g(0)?, v.shape(0))),
);

pub static UNSQUEEZE: OpDef = OpDef::view(
    "unsqueeze",
    "input: Tensor, dim: int",
    "A dimension of size 1 inserted",
    |l, c| {
        let dim = wrap_dim(c.int(0), l.ndim() + 1)?;
        let mut out = l.clone();
        let stride = l.shape.get(dim).map_or(1, |n| n.max(&1) * l.strides[dim]);
        out.shape.insert(dim, 1);
        out.strides.insert(dim, stride);
        Ok(out)
    },
    |v| Vjp::only(reshape(&v.g(0)?, v.shape(0))),
);

pub static UNFOLD: OpDef = OpDef::view(
    "unfold",
    "input: Tensor, dimension: int, size: int, step: int",
    "Windows of a dimension, every step; the window is a new last dimension",
    |l, c| {
        let dim = wrap_dim(c.int(0), l.ndim())?;
        let n = l.shape.get(dim).copied().unwrap_or(1);
        let (size, step) = (c.int(1), c.int(2));
        if size < 0 || size as usize > n || step < 1 {
            return Err(Error::runtime(format!(
                "unfold of a dimension of size {n} with size {size} and step {step}: the size must \
                 be within the dimension and the step positive"
            )));
        }
        let mut out = l.clone();
        let stride = l.strides.get(dim).copied().unwrap_or(1);
        if l.ndim() > 0 {
            out.shape[dim] = (n - size as usize) / step as usize + 1;
            out.strides[dim] = stride.saturating_mul(step as usize);
        }
        out.shape.push(size as usize);
        out.strides.push(stride);
        Ok(out)
    },
    |v| {
        // Windows may overlap: each position within the window is a plain slice, and these add up.
        let c = v.call();
        let (shape, g) = (v.shape(0), v.g(0)?);
        if shape.is_empty() {
            return Vjp::only(reshape(&g, shape));
        }
        let dim = wrap_dim(c.int(0), shape.len())?;
        let (size, step) = (c.int(1), c.int(2));
        let base = Layout::contiguous(shape);
        let mut total = cast::full(shape, 0.0, g.dtype(), g.device())?;
        for k in 0..size {
            let part = call(&SELECT, &[&g], &[(-1i64).into(), k.into()])?;
            let at = base.slice(dim, k as usize, part.shape()[dim], step as usize);
            total = super::expr::t::add(&total, &embed(&part, shape, &at)?)?;
        }
        Vjp::only(Ok(total))
    },
)
.bind(super::Bind::METHOD);

pub static DIAGONAL: OpDef = OpDef::view(
    "diagonal",
    "input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1",
    "A diagonal of two dimensions, as a new last dimension",
    |l, c| {
        let (offset, n) = (c.int(0), l.ndim());
        let (a, b) = (wrap_dim(c.int(1), n)?, wrap_dim(c.int(2), n)?);
        if a == b || n < 2 {
            return Err(Error::runtime(format!(
                "diagonal dimensions cannot be identical: {a}, {b}"
            )));
        }
        let (rows, cols) = (l.shape[a] as i64, l.shape[b] as i64);
        let len = if offset >= 0 { rows.min(cols - offset) } else { (rows + offset).min(cols) };
        let len = len.max(0) as usize;
        let start = if len == 0 {
            0
        } else if offset >= 0 {
            offset as usize * l.strides[b]
        } else {
            (-offset) as usize * l.strides[a]
        };
        let keep: Dims = (0..n).filter(|&d| d != a && d != b).collect();
        let mut out = l.permute(&keep);
        out.shape.push(len);
        out.strides.push(l.strides[a] + l.strides[b]);
        out.offset += start;
        Ok(out)
    },
    embedded,
);

/// The adjoint of `embed`: reads a contiguous tensor under given strides.
pub static STRIDED: OpDef = OpDef::view(
    "strided",
    "input: Tensor, shape: int[], strides: int[], offset: int",
    "A contiguous tensor read under other strides",
    |l, c| {
        let mut out = placed(c.ints(0), c, 1)?;
        let empty = out.shape.contains(&0);
        let inside = empty || out.checked_extent().is_some_and(|end| end <= l.numel());
        out.offset = if empty { l.offset } else { out.offset + l.offset };
        if !l.is_contiguous() || !inside {
            return Err(Error::index("the strides reach outside of the tensor"));
        }
        Ok(out)
    },
    embedded,
)
.public("as_strided")
.private();

pub static EMBED: OpDef = OpDef::kernel(
    "embed",
    "input: Tensor, size: int[], strides: int[], offset: int",
    "Zeros of the given size, with the input written at the given strides",
    |c| {
        let shape: Dims = sizes(c.ints(0))?;
        checked_numel(&shape)?;
        Ok(smallvec![Spec::new(&shape, c.x(0).dtype())])
    },
    embed_kernel,
)
.gpu(embed_kernel)
.vjp(
    |v| {
        let c = v.call();
        let g = cast::contiguous(&v.g(0)?)?;
        let shape = v.shape(0);
        Vjp::only(call(&STRIDED, &[&g], &[shape.into(), c.ints(1).into(), c.int(2).into()]))
    },
    0,
    0,
)
.private();

/// Integers that must not be negative.
fn sizes(values: &[i64]) -> Result<Dims> {
    let size = |&v: &i64| {
        usize::try_from(v)
            .map_err(|_| Error::value(format!("expected no negative number, got {v}")))
    };
    values.iter().map(size).collect()
}

/// The layout of these sizes whose strides and offset are the call's attributes from `at` on.
fn placed(shape: &[i64], c: &Call, at: usize) -> Result<Layout> {
    let (shape, strides) = (sizes(shape)?, sizes(c.ints(at))?);
    if shape.len() != strides.len() {
        return Err(Error::value(format!(
            "{} sizes need as many strides, got {}",
            shape.len(),
            strides.len()
        )));
    }
    let offset = sizes(&[c.int(at + 1)])?[0];
    Ok(Layout { shape, strides, offset })
}

fn embed_kernel(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, out) = (c.x(0), &outs[0]);
    cast::fill(out, &Tensor::scalar(0.0, out.dtype())?)?;
    if x.numel() == 0 {
        return Ok(());
    }
    let shape: Vec<i64> = x.shape().iter().map(|&n| n as i64).collect();
    let layout = placed(&shape, c, 1)?;
    let inside = layout.checked_extent().is_some_and(|end| end <= out.numel());
    if !inside || layout.may_self_overlap() {
        return Err(Error::index("the strides reach outside of the tensor or overlap"));
    }
    cast::raw_copy(x, &out.alias(layout))
}

fn embed(x: &Tensor, shape: &[usize], at: &Layout) -> Result<Tensor> {
    call(&EMBED, &[x], &[shape.into(), at.strides[..].into(), at.offset.into()])
}

/// The gradient of a view without overlap: zeros, with g at the place the view had.
fn embedded(v: &Vjp) -> Result<Grads> {
    let super::Body::View(layout) = v.op.body else { return Ok(Grads::new()) };
    let at = layout(&Layout::contiguous(v.shape(0)), &v.call())?;
    Vjp::only(embed(&v.g(0)?, v.shape(0), &at))
}

pub static FLATTEN: OpDef = OpDef::composed(
    "flatten",
    "input: Tensor, start_dim: int = 0, end_dim: int = -1",
    "The dimensions from start to end merged into one",
    |c| {
        let x = c.x(0);
        let (a, b) = (wrap_dim(c.int(0), x.ndim())?, wrap_dim(c.int(1), x.ndim())?);
        if a > b {
            return Err(Error::runtime(
                "flatten() has invalid args: start_dim cannot come after end_dim",
            ));
        }
        let mut shape = Dims::from_slice(&x.shape()[..a.min(x.ndim())]);
        shape.push(x.shape().get(a..=b).map_or(1, numel));
        shape.extend_from_slice(x.shape().get(b + 1..).unwrap_or(&[]));
        one(reshape(x, &shape))
    },
);

pub static MOVEDIM: OpDef = OpDef::composed(
    "movedim",
    "input: Tensor, source: int[], destination: int[]",
    "Dimensions moved to new positions, the others in their order",
    |c| {
        let n = c.x(0).ndim();
        if n == 0 {
            for &d in c.ints(0).iter().chain(c.ints(1)) {
                wrap_dim(d, 0)?;
            }
            return one(call(&ALIAS, &[c.x(0)], &[]));
        }
        let (from, to) = (c.ints(0), c.ints(1));
        if from.len() != to.len() {
            return Err(Error::runtime("movedim: source and destination differ in length"));
        }
        let mut order: Vec<Option<usize>> = vec![None; n];
        let mut used = vec![false; n];
        for (&f, &t) in from.iter().zip(to) {
            let (f, t) = (wrap_dim(f, n)?, wrap_dim(t, n)?);
            if std::mem::replace(&mut used[f], true) || order[t].replace(f).is_some() {
                return Err(Error::runtime("repeated dim"));
            }
        }
        let mut rest = (0..n).filter(|&d| !used[d]);
        let dims: Vec<i64> =
            order.into_iter().map(|o| o.or_else(|| rest.next()).unwrap_or(0) as i64).collect();
        one(call(&PERMUTE, &[c.x(0)], &[dims[..].into()]))
    },
);

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

/// The shape a user asked for, with one -1 filled in.
pub fn infer_shape(n: usize, sizes: &[i64]) -> Result<Dims> {
    let fail = || {
        let text = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Error::shape(format!("shape [{text}] is invalid for input of size {n}"))
    };
    let mut shape = Dims::new();
    let mut hole = None;
    for (i, &s) in sizes.iter().enumerate() {
        match s {
            -1 if hole.is_some() => {
                return Err(Error::shape("only one dimension can be inferred: -1 stands twice"));
            }
            -1 => hole = Some(i),
            s if s < 0 => return Err(fail()),
            _ => {}
        }
        shape.push(s.max(0) as usize);
    }
    if let Some(i) = hole {
        shape[i] = 1;
        let rest = checked_numel(&shape)?;
        if rest == 0 || n % rest != 0 {
            return Err(fail());
        }
        shape[i] = n / rest;
    }
    if checked_numel(&shape)? != n {
        return Err(fail());
    }
    Ok(shape)
}

fn permutation(dims: &[i64], n: usize) -> Result<Dims> {
    let mut out = Dims::new();
    for &d in dims {
        let d = wrap_dim(d, n)?;
        if out.contains(&d) {
            return Err(Error::runtime(format!("dimension {d} is repeated")));
        }
        out.push(d);
    }
    if out.len() != n {
        return Err(Error::runtime(format!(
            "{} dims were given for a tensor of {n} dimensions",
            out.len()
        )));
    }
    Ok(out)
}

/// A view where the layout allows it, a copy otherwise.
pub fn reshape(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if t.shape() == shape {
        return Ok(t.clone());
    }
    let attrs = [shape.into()];
    if t.layout().reshape(shape).is_some() {
        return call(&VIEW, &[t], &attrs);
    }
    call(&VIEW, &[&cast::copy(t)?], &attrs)
}

pub fn expand(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if t.shape() == shape { Ok(t.clone()) } else { call(&EXPAND, &[t], &[shape.into()]) }
}

pub fn unsqueeze(t: &Tensor, dim: usize) -> Result<Tensor> {
    call(&UNSQUEEZE, &[t], &[dim.into()])
}

pub fn transpose(t: &Tensor, a: i64, b: i64) -> Result<Tensor> {
    call(&TRANSPOSE, &[t], &[a.into(), b.into()])
}

pub fn select(t: &Tensor, dim: usize, index: i64) -> Result<Tensor> {
    call(&SELECT, &[t], &[dim.into(), index.into()])
}

pub fn narrow(t: &Tensor, dim: usize, start: usize, len: usize) -> Result<Tensor> {
    let attrs = [dim.into(), start.into(), (start + len).into(), 1i64.into()];
    call(&SLICE, &[t], &attrs)
}
