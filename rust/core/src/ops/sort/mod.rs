//! Sorting and what follows from it. NaN counts as the greatest; equal elements keep their order.

use super::expr::t;
use super::index::{GATHER, scatter};
use super::{Call, OpDef, Outs, Spec, Specs, elementwise as e, reduce, scan, view};
use crate::apply::{apply, call};
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, wrap_dim};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

mod cpu;
mod gpu;
mod search;
#[cfg(test)]
mod tests;
mod unique;

pub(crate) use gpu::sort_words;

pub static OPS: &[&OpDef] = &[
    &SORT,
    &ARGSORT,
    &MSORT,
    &TOPK,
    &ORDER_STATISTIC,
    &KTHVALUE,
    &MEDIAN,
    &MODE,
    &search::SEARCH,
    &search::SEARCHSORTED,
    &search::BUCKETIZE,
    &search::ISIN,
    &unique::UNIQUE,
    &unique::UNIQUE_CONSECUTIVE,
    &unique::BINCOUNT,
];

/// Where the gradient of a pick along dim goes: back to its place.
fn picked_vjp(v: &Vjp, dim: i64, keep: bool) -> Result<Grads> {
    let g = v.g(0)?;
    let zeros = super::cast::full(v.shape(0), 0.0, g.dtype(), g.device())?;
    let (mut g, mut at) = (g, v.y(1).clone());
    if !keep && !v.shape(0).is_empty() {
        let d = wrap_dim(dim, v.shape(0).len())?;
        (g, at) = (view::unsqueeze(&g, d)?, view::unsqueeze(&at, d)?);
    }
    Vjp::only(scatter(&zeros, dim, &at, &g, "sum"))
}

/// The specs of values and indices of this shape.
fn pair(x: &Tensor, shape: &[usize]) -> Specs {
    smallvec![Spec::new(shape, x.dtype()), Spec::new(shape, DType::I64)]
}

/// The length of the dimension; 1 for a 0-d tensor.
fn length(x: &Tensor, dim: i64) -> Result<usize> {
    let d = wrap_dim(dim, x.ndim())?;
    let n = x.shape().get(d).copied().unwrap_or(1);
    if u32::try_from(n).is_err() {
        return Err(Error::runtime(format!("a dimension of size {n} is too long to be sorted")));
    }
    Ok(n)
}

pub static SORT: OpDef = OpDef::kernel(
    "sort",
    "input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False",
    "The elements along dim in order, and where they were; always stable",
    |c| {
        length(c.x(0), c.int(0))?;
        Ok(pair(c.x(0), c.x(0).shape()))
    },
    |c, o| cpu::sort(c.x(0), c.int(0), c.flag(1), &o[0], &o[1]),
)
.gpu(|c, o| gpu::sort(c.x(0), c.int(0), c.flag(1), &o[0], &o[1]))
.vjp(|v| picked_vjp(v, v.call().int(0), true), 0, 2);

pub static ARGSORT: OpDef = OpDef::composed(
    "argsort",
    "input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False",
    "The indices that put the elements along dim in order; always stable",
    |c| Ok(smallvec![apply(&SORT, &[Some(c.x(0).detach())], c.attrs)?.swap_remove(1)]),
);

pub static MSORT: OpDef = OpDef::composed(
    "msort",
    "input: Tensor",
    "The elements along the first dimension in order",
    |c| Ok(smallvec![call(&SORT, &[c.x(0)], &[0i64.into(), false.into()])?]),
);

fn top_shape(c: &Call) -> Result<Dims> {
    let x = c.x(0);
    let (k, dim) = (c.int(0), c.opt_int(1).unwrap_or(-1));
    let n = length(x, dim)?;
    if k < 0 || k as usize > n {
        return Err(Error::runtime(format!(
            "selected index k out of range: k is {k}, the dimension has size {n}"
        )));
    }
    let mut shape = x.dims();
    if let Some(s) = shape.get_mut(wrap_dim(dim, x.ndim())?) {
        *s = k as usize;
    }
    Ok(shape)
}

pub static TOPK: OpDef = OpDef::kernel(
    "topk",
    "input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True",
    "The k largest or smallest elements along dim in order, and where they were",
    |c| Ok(pair(c.x(0), &top_shape(c)?)),
    |c, o| cpu::top(c.x(0), c.int(1), c.flag(2), &o[0], &o[1]),
)
.gpu(|c, o| gpu::top(c.x(0), c.int(1), c.flag(2), &o[0], &o[1]))
.vjp(|v| picked_vjp(v, v.call().int(1), true), 0, 2);

/// `nan`: if there is a NaN along dim, that is the answer.
pub static ORDER_STATISTIC: OpDef = OpDef::kernel(
    "order_statistic",
    "input: Tensor, k: int, dim: int = -1, nan: bool = False",
    "The k-th smallest element along dim, counted from 1, and where it was",
    |c| {
        let x = c.x(0);
        let (k, n) = (c.int(0), length(x, c.int(1))?);
        if k < 1 || k as usize > n {
            return Err(Error::runtime(format!(
                "selected number k out of range: k is {k}, the dimension has size {n}"
            )));
        }
        let mut shape = x.dims();
        if !shape.is_empty() {
            shape.remove(wrap_dim(c.int(1), x.ndim())?);
        }
        Ok(pair(x, &shape))
    },
    |c, o| cpu::kth(c.x(0), c.int(0) as usize, c.int(1), c.flag(2), &o[0], &o[1]),
)
.gpu(|c, o| gpu::kth(c.x(0), c.int(0) as usize, c.int(1), c.flag(2), &o[0], &o[1]))
.vjp(|v| picked_vjp(v, v.call().int(1), false), 0, 2)
.private();

fn statistic(x: &Tensor, k: usize, dim: i64, nan: bool, keepdim: bool) -> Result<Outs> {
    let outs = apply(&ORDER_STATISTIC, &[Some(x.clone())], &[k.into(), dim.into(), nan.into()])?;
    if !keepdim || x.ndim() == 0 {
        return Ok(outs);
    }
    let d = wrap_dim(dim, x.ndim())?;
    outs.iter().map(|o| view::unsqueeze(o, d)).collect()
}

pub static KTHVALUE: OpDef = OpDef::composed(
    "kthvalue",
    "input: Tensor, k: int, dim: int = -1, keepdim: bool = False",
    "The k-th smallest element along dim, counted from 1, and where it was",
    |c| {
        let k = usize::try_from(c.int(0)).map_err(|_| {
            Error::runtime(format!("selected number k out of range: k is {}", c.int(0)))
        })?;
        statistic(c.x(0), k, c.opt_int(1).unwrap_or(-1), false, c.flag(2))
    },
);

pub static MEDIAN: OpDef = OpDef::composed(
    "median",
    "input: Tensor, dim: int? = None, keepdim: bool = False",
    "The middle element, the lower of two: of all elements, or along dim with where it was",
    |c| {
        let x = c.x(0);
        if let Some(dim) = c.opt_int(0) {
            let n = length(x, dim)?;
            if n == 0 {
                return Err(Error::index("expected the reduction dim to have a non-zero size"));
            }
            return statistic(x, n.div_ceil(2), dim, true, c.flag(1));
        }
        if x.numel() == 0 {
            return Ok(smallvec![super::cast::full(&[], f64::NAN, x.dtype(), x.device())?]);
        }
        let flat = view::reshape(x, &[x.numel()])?;
        let mut outs = statistic(&flat, x.numel().div_ceil(2), 0, true, false)?;
        outs.truncate(1);
        Ok(outs)
    },
);

pub static MODE: OpDef = OpDef::composed(
    "mode",
    "input: Tensor, dim: int = -1, keepdim: bool = False",
    "The most frequent element along dim, the smallest of several, and where it last was",
    |c| {
        let dim = c.opt_int(0).unwrap_or(-1);
        let line = c.x(0).ndim() == 0;
        let x = if line { view::reshape(c.x(0), &[1])? } else { c.x(0).clone() };
        let d = wrap_dim(dim, x.ndim())?;
        let n = x.shape()[d];
        if n == 0 {
            return Err(Error::index("expected the reduction dim to have a non-zero size"));
        }
        let order = apply(&SORT, &[Some(x.detach())], &[d.into(), false.into()])?;
        let mut shape: Dims = smallvec![1; x.ndim()];
        shape[d] = n;
        let place = view::reshape(&super::index::advanced::arange(n, x.device())?, &shape)?;
        let place = view::expand(&place, x.shape())?;
        // How many equal elements stand in front: the distance to where their run starts.
        let (a, b) = (view::narrow(&order[0], d, 1, n - 1)?, view::narrow(&order[0], d, 0, n - 1)?);
        let starts = call(&e::ne, &[&a, &b], &[])?;
        let zero = Tensor::number(Number::Int(0))?;
        let marks = t::select(&starts, &view::narrow(&place, d, 1, n - 1)?, &zero)?;
        let first = t::mul(&view::narrow(&place, d, 0, 1)?, &zero)?;
        let marks = super::join::cat(&[first, marks], d)?;
        let run = apply(&scan::CUMMAX, &[Some(marks)], &[d.into()])?.swap_remove(0);
        let before = t::sub(&place, &run)?;
        let best = call(&reduce::ARGMAX, &[&before], &[d.into(), true.into()])?;
        let at = call(&GATHER, &[&order[1], &best], &[d.into()])?;
        let value = call(&GATHER, &[&x, &at], &[d.into()])?;
        let outs: Outs = smallvec![value, at];
        if c.flag(1) && !line {
            return Ok(outs);
        }
        let mut kept = x.dims();
        kept.remove(d);
        outs.iter().map(|o| view::reshape(o, &kept)).collect()
    },
);
