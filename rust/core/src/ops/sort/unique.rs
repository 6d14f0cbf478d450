//! Distinct elements and counts, made of sorting and scanning.

use super::SORT;
use crate::apply::{apply, call};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::wrap_dim;
use crate::ops::expr::t;
use crate::ops::index::advanced::arange;
use crate::ops::index::{GATHER, positions, scatter};
use crate::ops::{Bind, Call, OpDef, Outs, cast, elementwise as e, join, reduce, scan, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

const BOTH: u8 = Bind::FUNCTION | Bind::METHOD;

pub static UNIQUE: OpDef = OpDef::composed(
    "unique",
    "input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int? = None",
    "The distinct elements, or slices of dim, in order; which of them each element is; how often each occurs",
    |c| run(c, true, c.flag(1), c.flag(2), c.opt_int(3)),
)
.bind(BOTH);

pub static UNIQUE_CONSECUTIVE: OpDef = OpDef::composed(
    "unique_consecutive",
    "input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int? = None",
    "The elements, or slices of dim, without those equal to the one before",
    |c| run(c, false, c.flag(0), c.flag(1), c.opt_int(2)),
)
.bind(BOTH);

fn run(c: &Call, sort: bool, inverse: bool, counts: bool, dim: Option<i64>) -> Result<Outs> {
    let _mode = crate::autograd::NoGrad::new();
    let x = c.x(0);
    // As a list of rows.
    let (rows, d) = match dim {
        None => (view::reshape(x, &[x.numel(), 1])?, 0),
        Some(dim) => {
            let d = wrap_dim(dim, x.ndim())?;
            if x.ndim() == 0 {
                return Err(Error::runtime("unique with dim needs at least one dimension"));
            }
            let front = call(&view::MOVEDIM, &[x], &[d.into(), 0i64.into()])?;
            let width = x.numel().checked_div(x.shape()[d]).unwrap_or(0);
            (view::reshape(&front, &[x.shape()[d], width])?, d)
        }
    };
    let n = rows.shape()[0];
    let order = if sort { order(&rows)? } else { arange(n, x.device())? };
    let sorted = if sort { slices(&rows, &order)? } else { rows.clone() };
    let (a, b) = (
        view::narrow(&sorted, 0, n.min(1), n - n.min(1))?,
        view::narrow(&sorted, 0, 0, n - n.min(1))?,
    );
    let differs = call(&reduce::ANY, &[&call(&e::ne, &[&a, &b], &[])?], &[(&[1i64][..]).into()])?;
    let head = cast::full(&[n.min(1)], 1.0, DType::Bool, x.device())?;
    let starts = join::cat(&[head, differs], 0)?;
    let firsts = positions(&starts)?;
    let found = slices(&sorted, &firsts)?;
    let values = match dim {
        None => view::reshape(&found, &[found.numel()])?,
        Some(_) => {
            let mut shape = x.dims();
            let k = firsts.numel();
            shape.remove(d);
            shape.insert(0, k);
            let front = view::reshape(&found, &shape)?;
            cast::contiguous(&call(&view::MOVEDIM, &[&front], &[0i64.into(), d.into()])?)?
        }
    };
    let mut outs: Outs = smallvec![values];
    if inverse {
        let one = Tensor::number(Number::Int(1))?;
        let ids = t::sub(&call(&scan::CUMSUM, &[&starts], &[0i64.into()])?, &one)?;
        let back = scatter(&t::zeros_like(&ids)?, 0, &order, &ids, "set")?;
        outs.push(if dim.is_none() { view::reshape(&back, x.shape())? } else { back });
    }
    if counts {
        let end = cast::to_device(&Tensor::from_slice(&[n as i64], &[1])?, x.device())?;
        let all = join::cat(&[firsts.clone(), end], 0)?;
        let k = firsts.numel();
        outs.push(t::sub(&view::narrow(&all, 0, 1, k)?, &view::narrow(&all, 0, 0, k)?)?);
    }
    Ok(outs)
}

fn slices(rows: &Tensor, at: &Tensor) -> Result<Tensor> {
    call(&crate::ops::index::EMBEDDING, &[at, rows], &[])
}

/// The stable order of rows, by the first column, then the second, and so on.
fn order(rows: &Tensor) -> Result<Tensor> {
    let mut order = arange(rows.shape()[0], rows.device())?;
    for column in (0..rows.shape()[1]).rev() {
        let key = view::select(rows, 1, column as i64)?;
        let key = call(&GATHER, &[&key, &order], &[0i64.into()])?;
        let by = apply(&SORT, &[Some(key)], &[0i64.into(), false.into()])?.swap_remove(1);
        order = call(&GATHER, &[&order, &by], &[0i64.into()])?;
    }
    Ok(order)
}

pub static BINCOUNT: OpDef = OpDef::composed(
    "bincount",
    "input: Tensor, weights: Tensor? = None, minlength: int = 0",
    "How often each integer from 0 on occurs, or the sum of its weights",
    |c| {
        let x = c.x(0);
        if !x.dtype().is_int() || x.ndim() != 1 {
            return Err(Error::runtime("bincount only supports 1-d non-negative integral inputs"));
        }
        if c.int(0) < 0 {
            return Err(Error::runtime("minlength should be >= 0"));
        }
        if c.opt(1).is_some_and(|w| w.shape() != x.shape()) {
            return Err(Error::runtime("weights should be 1-d and have the same length as input"));
        }
        let end =
            |op: &'static OpDef| -> Result<i64> { Ok(call(op, &[x], &[])?.to_vec::<i64>()?[0]) };
        let mut n = c.int(0);
        if x.numel() > 0 {
            let low = end(&reduce::AMIN)?;
            if low < 0 {
                return Err(Error::runtime(format!(
                    "bincount only supports 1-d non-negative integral inputs, got {low}"
                )));
            }
            n = n.max(end(&reduce::AMAX)?.saturating_add(1));
        }
        let weights = match c.opt(1) {
            None => cast::full(x.shape(), 1.0, DType::I64, x.device())?,
            Some(w) if w.dtype() == DType::F32 || w.dtype() == DType::F64 => w.detach(),
            // PyTorch's float64, where the device has it.
            Some(w) if w.device() == crate::Device::Gpu => cast::to(&w.detach(), DType::F32)?,
            Some(w) => cast::to(&w.detach(), DType::F64)?,
        };
        let zeros = cast::full(&[n as usize], 0.0, weights.dtype(), x.device())?;
        Ok(smallvec![scatter(&zeros, 0, &cast::to(x, DType::I64)?, &weights, "sum")?])
    },
)
.bind(BOTH);
