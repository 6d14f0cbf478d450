//! Reading and writing along one dimension with an index per element.

use super::cpu::{self, Combine, Pick, Target, combining};
use super::gpu;
use super::plan::{Walk, check_dtype, dense, dense_i64, lifted};
use crate::apply::call;
use crate::autograd::{Grads, Vjp};
use crate::error::{Error, Result};
use crate::layout::{Dims, broadcast, numel, show, wrap_dim};
use crate::ops::expr::t;
use crate::ops::{Attr, Bind, Call, OpDef, Outs, Spec, cast, elementwise as e, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

const IN: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;

pub static GATHER: OpDef = OpDef::kernel(
    "gather",
    "input: Tensor, dim: int, index: Tensor",
    "out[i][j] = input[index[i][j]][j] for dim 0, and so on",
    |c| {
        check(c.x(0), c.x(1), None, c.int(0))?;
        Ok(smallvec![Spec::new(c.x(1).shape(), c.x(0).dtype())])
    },
    |c, o| {
        let x = c.x(0);
        let dense = dense_i64(c.x(1))?;
        let (base, pick) = places(x, &dense, c.int(0))?;
        cpu::take_each(x, &base, &pick, &o[0])
    },
)
.gpu(|c, o| gpu::gather(c.x(0), c.x(1), wrap_dim(c.int(0), c.x(0).ndim())?, &o[0]))
.vjp(
    |v| {
        let g = v.g(0)?;
        let zeros = cast::full(v.shape(0), 0.0, g.dtype(), g.device())?;
        let gx = scatter(&zeros, v.call().int(0), v.x(1), &g, "sum")?;
        Ok(smallvec![Some(gx), None])
    },
    2,
    0,
);

/// Where several values meet in one place, 'set' keeps the last.
pub static SCATTER_MODE: OpDef = scattering("scatter_mode").vjp(scatter_vjp, 0b111, 1);

/// 'set' and 'sum', whose gradients need the index alone: the values may be written to afterwards.
pub static SCATTER_PLAIN: OpDef = scattering("scatter_plain").vjp(scatter_vjp, 0b010, 0);

const fn scattering(name: &'static str) -> OpDef {
    OpDef::kernel(
        name,
        "input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str",
        "The input with values of src combined into the places that index names along dim",
        |c| {
            check(c.x(0), c.x(1), Some(c.x(2)), c.int(0))?;
            Combine::parse(c.str(1))?;
            if c.x(2).dtype() != c.x(0).dtype() {
                return Err(Error::runtime(format!(
                    "expected self.dtype to be equal to src.dtype, got {} and {}",
                    c.x(0).dtype().name(),
                    c.x(2).dtype().name()
                )));
            }
            Ok(smallvec![Spec::like(c.x(0))])
        },
        |c, o| {
            let (x, index, out) = (c.x(0), c.x(1), &o[0]);
            let how = Combine::parse(c.str(1))?;
            let wide = combining(x.dtype(), how);
            let work = if wide == x.dtype() {
                out.clone()
            } else {
                Tensor::empty(x.shape(), wide, x.device())?
            };
            cast::raw_copy(x, &work)?;
            if index.numel() > 0 {
                let src = dense(&cut(c.x(2), index), wide)?;
                let offsets = along(&work, index, c.int(0))?;
                let dim = wrap_dim(c.int(0), x.ndim())?;
                let blocks = numel(&index.shape()[..dim.min(index.ndim())]);
                let rest = Walk::new(&[], &[]);
                cpu::put(
                    &Target { dst: &work, offsets: offsets.list(), rest: &rest, blocks },
                    &src,
                    how,
                );
            }
            if work.same_storage(out) { Ok(()) } else { cast::raw_copy(&work, out) }
        },
    )
    .gpu(|c, o| {
        let how = Combine::parse(c.str(1))?;
        let dim = wrap_dim(c.int(0), c.x(0).ndim())?;
        gpu::scatter(c.x(0), c.x(1), &cut(c.x(2), c.x(1)), dim, how, &o[0])
    })
    .public("scatter")
    .private()
}

fn scatter_vjp(v: &Vjp) -> Result<Grads> {
    let (g, index, dim) = (v.g(0)?, v.x(1), v.call().int(0));
    if index.numel() == 0 {
        let none = cast::full(v.shape(2), 0.0, g.dtype(), g.device())?;
        return Ok(smallvec![Some(g), None, Some(none)]);
    }
    let read = |t: &Tensor| call(&GATHER, &[t, index], &[dim.into()]);
    // 0-d tensors count as those of one element.
    let line =
        |shape: &[usize]| -> Dims { if shape.is_empty() { smallvec![1] } else { shape.into() } };
    // Elements of src outside the index had no part.
    let back = |part: Result<Tensor>| -> Result<Tensor> {
        let part = part?;
        if part.shape() == v.shape(2) {
            return Ok(part);
        }
        let mut out = view::reshape(&part, &line(part.shape()))?;
        for (d, n) in line(v.shape(2)).into_iter().enumerate() {
            out = crate::ops::pad::zeros_behind(&out, d, n - out.shape()[d])?;
        }
        view::reshape(&out, v.shape(2))
    };
    let src = || -> Result<Tensor> {
        let mut src = view::reshape(v.x(2), &line(v.shape(2)))?;
        for (d, n) in line(index.shape()).into_iter().enumerate() {
            src = if src.shape()[d] == n { src } else { view::narrow(&src, d, 0, n)? };
        }
        view::reshape(&src, index.shape())
    };
    // Counts of half types are float32's: halves hold few whole numbers.
    let float = |b: &Tensor| cast::to(b, g.dtype().compute().native());
    let (gx, gs) = match v.call().str(1) {
        "set" => {
            let zero = cast::full(index.shape(), 0.0, g.dtype(), g.device())?;
            (scatter(&g, dim, index, &zero, "set")?, back(read(&g))?)
        }
        "sum" => (g.clone(), back(read(&g))?),
        "prod" => {
            // The product of the others: with one zero in a place, only that zero has a gradient.
            let (x, src) = (v.x(0), src()?);
            let (x0, s0) =
                (call(&e::logical_not, &[x], &[])?, call(&e::logical_not, &[&src], &[])?);
            let one = Tensor::number(Number::Float(1.0))?;
            let nothing = Tensor::number(Number::Float(0.0))?;
            let (xs, ss) = (t::select(&x0, &one, x)?, t::select(&s0, &one, &src)?);
            let product = scatter(&xs, dim, index, &ss, "prod")?;
            let zeros = scatter(&float(&x0)?, dim, index, &float(&s0)?, "sum")?;
            let part = |hit: &Tensor, safe: &Tensor, product: &Tensor, zeros: &Tensor| {
                let count = |n: f64| t::eq(zeros, &Tensor::number(Number::Float(n))?);
                let at_zero = t::select(&count(1.0)?, product, &nothing)?;
                let elsewhere = t::select(&count(0.0)?, &t::div(product, safe)?, &nothing)?;
                t::select(hit, &at_zero, &elsewhere)
            };
            let gx = t::mul(&g, &part(&x0, &xs, &product, &zeros)?)?;
            let gs = t::mul(&read(&g)?, &part(&s0, &ss, &read(&product)?, &read(&zeros)?)?)?;
            (gx, back(Ok(gs))?)
        }
        _ => {
            // Shared evenly among those that are equal to the result; to a NaN none is, and all get NaN.
            let (x, y, src) = (v.x(0), v.y(0), src()?);
            let hit_x = float(&t::eq(x, y)?)?;
            let hit_s = float(&t::eq(&src, &read(y)?)?)?;
            let ties = scatter(&hit_x, dim, index, &hit_s, "sum")?;
            let share = t::div(&g, &ties)?;
            (t::mul(&share, &hit_x)?, back(t::mul(&read(&share)?, &hit_s))?)
        }
    };
    Ok(smallvec![Some(gx), None, Some(gs)])
}

/// Checks shapes as PyTorch does.
fn check(x: &Tensor, index: &Tensor, src: Option<&Tensor>, dim: i64) -> Result<()> {
    let dim = wrap_dim(dim, x.ndim())?;
    check_dtype(index)?;
    if index.numel() == 0 && src.is_some() {
        return Ok(());
    }
    // 0-d tensors count as those of one element.
    let shape = |t: &Tensor| lifted(t.layout()).shape;
    let fits = |t: &Tensor, all: bool| {
        let (index, t) = (shape(index), shape(t));
        index.len() == t.len() && (0..t.len()).all(|d| index[d] <= t[d] || (d == dim && !all))
    };
    if !fits(x, false) {
        return Err(Error::shape(format!(
            "expected index {} to be no larger than self {} apart from dimension {dim}",
            show(index.shape()),
            show(x.shape())
        )));
    }
    match src {
        Some(s) if !fits(s, true) => Err(Error::shape(format!(
            "expected index {} to be no larger than src {}",
            show(index.shape()),
            show(s.shape())
        ))),
        _ => Ok(()),
    }
}

/// Where in `x` each element of a dense index points: from the place it has in the other dimensions, along `dim`.
fn places<'a>(x: &Tensor, index: &'a Tensor, dim: i64) -> Result<(Walk, Pick<'a>)> {
    let l = lifted(x.layout());
    let dim = wrap_dim(dim, x.ndim())?;
    let shape = lifted(index.layout()).shape;
    let mut strides = l.strides.clone();
    strides[dim] = 0;
    let pick = Pick { index, dim, size: l.shape[dim], stride: l.strides[dim] };
    Ok((Walk::new(&shape, &strides), pick))
}

/// The offsets into `x` that the index names.
fn along(x: &Tensor, index: &Tensor, dim: i64) -> Result<cpu::Offsets> {
    let dense = dense_i64(index)?;
    let (base, pick) = places(x, &dense, dim)?;
    cpu::offsets(Some(&base), &[pick], false)
}

/// The part of src that has indices.
fn cut(src: &Tensor, index: &Tensor) -> Tensor {
    let mut l = src.layout().clone();
    if index.ndim() == l.ndim() {
        l.shape = index.dims();
    }
    src.alias(l)
}

pub fn scatter(x: &Tensor, dim: i64, index: &Tensor, src: &Tensor, how: &str) -> Result<Tensor> {
    let op = if matches!(how, "set" | "sum") { &SCATTER_PLAIN } else { &SCATTER_MODE };
    call(op, &[x, index, src], &[dim.into(), how.into()])
}

/// src as scatter needs it: a number is spread over the index.
fn source(c: &Call) -> Result<Tensor> {
    let (x, index) = (c.x(0), c.x(1));
    let src = match (c.opt(2), c.attr(1)) {
        (Some(s), _) => s.clone(),
        (None, &Attr::Int(v)) => Tensor::number(Number::Int(v))?,
        (None, &Attr::Big(v)) => Tensor::number(Number::Big(v))?,
        (None, &Attr::Float(v)) => Tensor::number(Number::Float(v))?,
        (None, &Attr::Bool(v)) => Tensor::number(Number::Bool(v))?,
        _ => return Err(Error::type_("missing argument 'src' or 'value'")),
    };
    if src.is_wrapped() || (src.ndim() == 0 && index.ndim() > 0) {
        let src = cast::to_device(&cast::fit(&src, x.dtype())?, x.device())?;
        return view::expand(&src, index.shape());
    }
    Ok(src)
}

pub static SCATTER: OpDef = OpDef::composed(
    "scatter",
    "input: Tensor, dim: int, index: Tensor, src: Tensor? = None, *, value: Number? = None",
    "The input with src written to the places that index names along dim",
    |c| Ok(smallvec![scatter(c.x(0), c.int(0), c.x(1), &source(c)?, "set")?]),
)
.bind(IN);

pub static SCATTER_ADD: OpDef = OpDef::composed(
    "scatter_add",
    "input: Tensor, dim: int, index: Tensor, src: Tensor",
    "The input with src added to the places that index names along dim",
    |c| Ok(smallvec![scatter(c.x(0), c.int(0), c.x(1), c.x(2), "sum")?]),
)
.bind(IN);

pub static SCATTER_REDUCE: OpDef = OpDef::composed(
    "scatter_reduce",
    "input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True",
    "The input with src combined into the places that index names: sum, prod, mean, amax or amin",
    |c| {
        let (x, index, src, dim) = (c.x(0), c.x(1), c.x(2), c.int(0));
        let (how, with_self) = (c.str(1), c.flag(2));
        if how == "mean" && c.x(0).dtype() == crate::dtype::DType::Bool {
            return Err(Error::type_("the mean is not implemented for bool")
                .hint("cast the input first: x.float()"));
        }
        let fold = if how == "mean" { "sum" } else { how };
        let neutral = match Combine::parse(fold)? {
            Combine::Set => return Err(Combine::parse("").unwrap_err()),
            Combine::Add => 0.0,
            Combine::Mul => 1.0,
            Combine::Max => f64::NEG_INFINITY,
            Combine::Min => f64::INFINITY,
        };
        let fill = |value: Tensor| -> Result<Tensor> {
            view::expand(&cast::to_device(&value, x.device())?, index.shape())
        };
        let base = if with_self {
            x.clone()
        } else {
            scatter(x, dim, index, &fill(extreme(neutral, x.dtype())?)?, "set")?
        };
        let total = scatter(&base, dim, index, src, fold)?;
        if how != "mean" {
            return Ok(smallvec![total]);
        }
        let ones = fill(Tensor::scalar(1.0, x.dtype())?)?;
        let start = cast::full_like(x, f64::from(u8::from(with_self)))?;
        let count = scatter(&start, dim, index, &ones, "sum")?;
        let count = t::maximum(&count, &Tensor::number(Number::Int(1))?)?;
        let op = if x.dtype().is_float() { &e::div } else { &e::floor_divide };
        Ok(smallvec![call(op, &[&total, &count], &[])?])
    },
)
.bind(IN);

/// A 0-d tensor of the value, infinities as the ends of an integer dtype.
fn extreme(v: f64, dtype: crate::dtype::DType) -> Result<Tensor> {
    match dtype.int_range() {
        Some((lo, hi)) if v.is_infinite() => {
            // Through u64, which every integer type takes by wrapping.
            let bound = (if v < 0.0 { lo } else { hi }) as u64;
            let wide = Tensor::from_slice(&[bound], &[])?;
            let out = Tensor::empty(&[], dtype, crate::Device::Cpu)?;
            cast::raw_copy(&wide, &out)?;
            Ok(out)
        }
        _ => Tensor::scalar(v, dtype),
    }
}

pub static TAKE_ALONG_DIM: OpDef = OpDef::composed(
    "take_along_dim",
    "input: Tensor, indices: Tensor, dim: int? = None",
    "Elements along dim by an index that is broadcast against the input; over all elements without dim",
    |c| {
        let (x, index) = (c.x(0), c.x(1));
        let Some(dim) = c.opt_int(0) else {
            let flat = |t: &Tensor| view::reshape(t, &[t.numel()]);
            return one(call(&GATHER, &[&flat(x)?, &flat(index)?], &[0i64.into()]));
        };
        if x.ndim() != index.ndim() {
            return Err(Error::shape(format!(
                "input and indices should have the same number of dimensions, got {} and {}",
                x.ndim(),
                index.ndim()
            )));
        }
        let d = wrap_dim(dim, x.ndim())?;
        let without = |t: &Tensor| -> Dims {
            t.shape().iter().enumerate().map(|(i, &n)| if i == d { 1 } else { n }).collect()
        };
        let shared = broadcast(&without(x), &without(index))?;
        let wide = |t: &Tensor| {
            let mut shape = shared.clone();
            if let (Some(s), Some(&n)) = (shape.get_mut(d), t.shape().get(d)) {
                *s = n;
            }
            view::expand(t, &shape)
        };
        one(call(&GATHER, &[&wide(x)?, &wide(index)?], &[dim.into()]))
    },
);

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}
