//! Running sums, products, extremes and log-sums along a dimension.

use super::expr::t;
use super::index::scatter;
use super::{Bind, Call, OpDef, Outs, Spec, Specs, cast, elementwise as e, join, view};
use crate::apply::call;
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::wrap_dim;
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

mod cpu;
mod gpu;
#[cfg(test)]
mod tests;

pub static OPS: &[&OpDef] =
    &[&CUMSUM, &CUMSUM_REVERSE, &CUMPROD, &CUMMAX, &CUMMIN, &LOGCUMSUMEXP, &DIFF];

const SUMS: &str = "input: Tensor, dim: int, *, dtype: dtype? = None";
const DIM: &str = "input: Tensor, dim: int";
const IN: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Add,
    AddBack,
    Mul,
    LogAdd,
    Max,
    Min,
}

/// A tensor as `outer` blocks of `n` rows of `inner` elements.
#[derive(Clone, Copy)]
pub struct Extent {
    pub outer: usize,
    pub n: usize,
    pub inner: usize,
}

impl Extent {
    pub fn of(x: &Tensor, dim: i64) -> Result<Self> {
        let d = wrap_dim(dim, x.ndim())?;
        let s = x.shape();
        if s.is_empty() {
            return Ok(Self { outer: 1, n: 1, inner: 1 });
        }
        Ok(Self { outer: s[..d].iter().product(), n: s[d], inner: s[d + 1..].iter().product() })
    }
}

/// Integers grow into int64, unless a dtype is asked for.
fn sums(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    wrap_dim(c.int(0), x.ndim())?;
    let own = if x.dtype().is_float() { x.dtype() } else { DType::I64 };
    Ok(smallvec![Spec::new(x.shape(), c.dtype(1).unwrap_or(own))])
}

fn same(c: &Call) -> Result<Specs> {
    wrap_dim(c.int(0), c.x(0).ndim())?;
    Ok(smallvec![Spec::like(c.x(0))])
}

fn floats(c: &Call) -> Result<Specs> {
    if !c.x(0).dtype().is_float() {
        return Err(Error::runtime(format!(
            "logcumsumexp needs a floating point dtype, got {}",
            c.x(0).dtype().name()
        ))
        .hint("cast it first: x.float()"));
    }
    same(c)
}

fn with_index(c: &Call) -> Result<Specs> {
    let mut specs = same(c)?;
    specs.push(Spec::new(c.x(0).shape(), DType::I64));
    Ok(specs)
}

pub static CUMSUM: OpDef =
    OpDef::kernel("cumsum", SUMS, "The sum up to each element along dim", sums, |c, o| {
        cpu::fold(c.x(0), c.int(0), Kind::Add, &o[0])
    })
    .gpu(|c, o| gpu::fold(c.x(0), c.int(0), Kind::Add, &o[0]))
    .vjp(|v| Vjp::only(from_behind(&v.g(0)?, v.call().int(0))), 0, 0)
    .bind(IN);

pub static CUMSUM_REVERSE: OpDef =
    OpDef::kernel("cumsum_reverse", DIM, "The sum from each element on along dim", same, |c, o| {
        cpu::fold(c.x(0), c.int(0), Kind::AddBack, &o[0])
    })
    .gpu(|c, o| gpu::fold(c.x(0), c.int(0), Kind::AddBack, &o[0]))
    .vjp(|v| Vjp::only(call(&CUMSUM, &[&v.g(0)?], v.attrs)), 0, 0)
    .public("cumsum")
    .private();

fn from_behind(x: &Tensor, dim: i64) -> Result<Tensor> {
    call(&CUMSUM_REVERSE, &[x], &[dim.into()])
}

pub static CUMPROD: OpDef =
    OpDef::kernel("cumprod", SUMS, "The product up to each element along dim", sums, |c, o| {
        cpu::fold(c.x(0), c.int(0), Kind::Mul, &o[0])
    })
    .gpu(|c, o| gpu::fold(c.x(0), c.int(0), Kind::Mul, &o[0]))
    .vjp(
        |v| {
            // Up to the first zero: sum(g y) / x. At it: the same with 1 in its place. Behind it: 0.
            let (g, x, dim) = (v.g(0)?, v.x(0), v.call().int(0));
            let x = &cast::to(x, g.dtype())?;
            let number = |n: f64| Tensor::number(Number::Float(n));
            let zero = call(&e::logical_not, &[x], &[])?;
            let met = call(&CUMSUM, &[&zero], &[dim.into()])?;
            let before = t::eq(&met, &Tensor::number(Number::Int(0))?)?;
            let one = t::eq(&met, &Tensor::number(Number::Int(1))?)?;
            let first = call(&e::logical_and, &[&zero, &one], &[])?;
            let filled = t::select(&first, &number(1.0)?, x)?;
            let safe = t::select(&zero, &number(1.0)?, x)?;
            let sums = from_behind(&t::mul(&g, v.y(0))?, dim)?;
            let product = call(&CUMPROD, &[&filled], &[dim.into()])?;
            let at_first = from_behind(&t::mul(&g, &product)?, dim)?;
            let rest = t::select(&first, &at_first, &number(0.0)?)?;
            Vjp::only(t::select(&before, &t::div(&sums, &safe)?, &rest))
        },
        1,
        1,
    )
    .composite(|c| {
        // Products of 2, 4, 8, ... neighbours: zeros need no care, whatever the order of the derivative.
        let x = c.x(0);
        let mut y = cast::to(x, sums(c)?[0].dtype)?;
        let d = wrap_dim(c.int(0), x.ndim())?;
        let n = x.shape().get(d).copied().unwrap_or(1);
        let mut step = 1;
        while step < n {
            let both =
                t::mul(&view::narrow(&y, d, step, n - step)?, &view::narrow(&y, d, 0, n - step)?)?;
            y = join::cat(&[view::narrow(&y, d, 0, step)?, both], d)?;
            step *= 2;
        }
        Ok(smallvec![y])
    })
    .bind(IN);

/// The gradient goes to the element that was the extreme.
fn extreme_vjp(v: &Vjp) -> Result<Grads> {
    let g = v.g(0)?;
    Vjp::only(scatter(&t::zeros_like(&g)?, v.call().int(0), v.y(1), &g, "sum"))
}

pub static CUMMAX: OpDef = OpDef::kernel(
    "cummax",
    DIM,
    "The largest element up to each one along dim, and where it last was",
    with_index,
    |c, o| cpu::extreme(c.x(0), c.int(0), Kind::Max, &o[0], &o[1]),
)
.gpu(|c, o| gpu::extreme(c.x(0), c.int(0), Kind::Max, &o[0], &o[1]))
.vjp(extreme_vjp, 0, 2);

pub static CUMMIN: OpDef = OpDef::kernel(
    "cummin",
    DIM,
    "The smallest element up to each one along dim, and where it last was",
    with_index,
    |c, o| cpu::extreme(c.x(0), c.int(0), Kind::Min, &o[0], &o[1]),
)
.gpu(|c, o| gpu::extreme(c.x(0), c.int(0), Kind::Min, &o[0], &o[1]))
.vjp(extreme_vjp, 0, 2);

pub static LOGCUMSUMEXP: OpDef =
    OpDef::kernel("logcumsumexp", DIM, "log(cumsum(exp(x))) without overflow", floats, |c, o| {
        cpu::fold(c.x(0), c.int(0), Kind::LogAdd, &o[0])
    })
    .gpu(|c, o| gpu::fold(c.x(0), c.int(0), Kind::LogAdd, &o[0]))
    .vjp(
        |v| {
            // exp(x) * sum of g exp(-y) behind, in logarithms, the signs of g apart.
            let (g, x, y, dim) = (v.g(0)?, v.x(0), v.y(0), v.call().int(0));
            let nothing = Tensor::number(Number::Float(f64::NEG_INFINITY))?;
            let (one, zero) =
                (Tensor::number(Number::Float(1.0))?, Tensor::number(Number::Float(0.0))?);
            let empty = t::eq(y, &nothing)?;
            let y = t::select(&empty, &zero, y)?;
            let flip =
                |t: &Tensor| call(&super::index::arrange::FLIP, &[t], &[(&[dim][..]).into()]);
            let part = |g: &Tensor| -> Result<Tensor> {
                let none = call(&e::le, &[g, &zero], &[])?;
                let none = call(&e::logical_or, &[&none, &empty], &[])?;
                let log = call(&e::log, &[&t::select(&none, &one, g)?], &[])?;
                let log = t::select(&none, &nothing, &t::sub(&log, &y)?)?;
                let sums = flip(&call(&LOGCUMSUMEXP, &[&flip(&log)?], &[dim.into()])?)?;
                call(&e::exp, &[&t::add(&sums, x)?], &[])
            };
            Vjp::only(t::sub(&part(&g)?, &part(&call(&e::neg, &[&g], &[])?)?))
        },
        1,
        1,
    );

pub static DIFF: OpDef = OpDef::composed(
    "diff",
    "input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor? = None, append: Tensor? = None",
    "The differences of neighbours along dim, n times over",
    |c| {
        let x = c.x(0);
        if x.ndim() == 0 {
            return Err(Error::runtime("diff expects input to be at least one-dimensional"));
        }
        let dim = wrap_dim(c.opt_int(1).unwrap_or(-1), x.ndim())?;
        let n = c.opt_int(0).unwrap_or(1);
        if n < 0 {
            return Err(Error::runtime(format!("order must be non-negative but got {n}")));
        }
        let list: Vec<Tensor> =
            [c.opt(1), Some(x), c.opt(2)].into_iter().flatten().cloned().collect();
        let mut out = if list.len() > 1 { join::cat(&list, dim)? } else { x.clone() };
        let n = n.min(out.shape()[dim] as i64);
        if n == 0 {
            // No part of the input's memory.
            return Ok(Outs::from_elem(cast::copy(&out)?, 1));
        }
        for _ in 0..n {
            let k = out.shape()[dim].saturating_sub(1);
            let (a, b) =
                (view::narrow(&out, dim, out.shape()[dim] - k, k)?, view::narrow(&out, dim, 0, k)?);
            let op = if out.dtype() == DType::Bool { &e::logical_xor } else { &e::sub };
            out = call(op, &[&a, &b], super::expr::ONE)?;
        }
        Ok(Outs::from_elem(out, 1))
    },
);

/// The running count of a list of ones and zeros on the GPU.
pub(crate) fn count(mask: &Tensor, out: &Tensor) -> Result<()> {
    gpu::fold(mask, 0, Kind::Add, out)
}
