//! The same elements in another order, or several times.

use super::advanced::arange;
use super::def::{read_at, read_dim};
use crate::apply::call;
use crate::autograd::Vjp;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, wrap_dim};
use crate::ops::{Bind, Call, OpDef, Outs, Spec, cast, join, view};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

pub static FLIP: OpDef = OpDef::kernel(
    "flip",
    "input: Tensor, *dims: int[]",
    "The dimensions reversed",
    |c| {
        flipped(c)?;
        Ok(smallvec![Spec::like(c.x(0))])
    },
    flip_kernel,
)
.gpu(flip_kernel)
.vjp(|v| Vjp::only(call(&FLIP, &[&v.g(0)?], v.attrs)), 0, 0);

fn flipped(c: &Call) -> Result<Dims> {
    let mut dims = Dims::new();
    for &d in c.ints(0) {
        let d = wrap_dim(d, c.x(0).ndim())?;
        if dims.contains(&d) {
            return Err(Error::runtime(format!(
                "dim {d} appears multiple times in the list of dims"
            )));
        }
        dims.push(d);
    }
    Ok(dims)
}

fn flip_kernel(c: &Call, outs: &[Tensor]) -> Result<()> {
    let _mode = crate::autograd::NoGrad::new();
    let mut x = c.x(0).detach();
    for d in flipped(c)? {
        if x.shape().get(d).is_some_and(|&n| n > 1) {
            let n = x.shape()[d];
            let last = Tensor::number(Number::Int(n as i64 - 1))?;
            let at = crate::ops::expr::t::sub(&last, &arange(n, x.device())?)?;
            x = read_at(&x, d, &at)?;
        }
    }
    cast::raw_copy(&x, &outs[0])
}

fn flip(x: &Tensor, dims: &[i64]) -> Result<Tensor> {
    call(&FLIP, &[x], &[dims.into()])
}

pub static FLIPLR: OpDef =
    OpDef::composed("fliplr", "input: Tensor", "The columns in reverse order", |c| {
        if c.x(0).ndim() < 2 {
            return Err(Error::runtime("input must be >= 2-d"));
        }
        one(flip(c.x(0), &[1]))
    });

pub static FLIPUD: OpDef =
    OpDef::composed("flipud", "input: Tensor", "The rows in reverse order", |c| {
        if c.x(0).ndim() < 1 {
            return Err(Error::runtime("input must be >= 1-d"));
        }
        one(flip(c.x(0), &[0]))
    });

pub static ROLL: OpDef = OpDef::composed(
    "roll",
    "input: Tensor, shifts: int[], dims: int[]? = None",
    "The elements moved along dims; those that leave at the end come in at the start",
    |c| {
        let (x, shifts) = (c.x(0), c.ints(0));
        let roll = |x: &Tensor, d: usize, by: i64| -> Result<Tensor> {
            let n = x.shape()[d];
            let k = if n == 0 { 0 } else { by.rem_euclid(n as i64) as usize };
            if k == 0 {
                return cast::copy(x);
            }
            join::cat(&[view::narrow(x, d, n - k, k)?, view::narrow(x, d, 0, n - k)?], d)
        };
        let dims = c.ints(1);
        if c.is_none(1) || dims.is_empty() {
            let [by] = shifts[..] else {
                return Err(Error::runtime("roll needs one shift when dims is not given"));
            };
            let flat = view::reshape(x, &[x.numel()])?;
            return one(view::reshape(&roll(&flat, 0, by)?, x.shape()));
        }
        if dims.len() != shifts.len() {
            return Err(Error::runtime(format!(
                "shifts and dimensions must align. shifts: {}, dims:{}",
                shifts.len(),
                dims.len()
            )));
        }
        let mut out = x.clone();
        for (&d, &by) in dims.iter().zip(shifts) {
            let d = wrap_dim(d, x.ndim())?;
            out = if x.ndim() == 0 { cast::copy(&out)? } else { roll(&out, d, by)? };
        }
        one(Ok(out))
    },
);

pub static ROT90: OpDef = OpDef::composed(
    "rot90",
    "input: Tensor, k: int = 1, dims: int[]? = None",
    "Rotated k times by 90 degrees in the plane of two dimensions, the first towards the second",
    |c| {
        let x = c.x(0);
        let given = if c.is_none(1) { &[0, 1] } else { c.ints(1) };
        let [a, b] = given[..] else {
            return Err(Error::runtime(format!("expected 2 rotation dims, got {}", given.len())));
        };
        let (a, b) = (wrap_dim(a, x.ndim())? as i64, wrap_dim(b, x.ndim())? as i64);
        if a == b || x.ndim() < 2 {
            return Err(Error::runtime("expected two different rotation dims"));
        }
        one(match c.opt_int(0).unwrap_or(1).rem_euclid(4) {
            1 => view::transpose(&flip(x, &[b])?, a, b),
            2 => flip(x, &[a, b]),
            3 => view::transpose(&flip(x, &[a])?, a, b),
            _ => cast::copy(x),
        })
    },
);

fn repeat(x: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let Some(lead) = sizes.len().checked_sub(x.ndim()) else {
        return Err(Error::runtime(
            "number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
        ));
    };
    if let Some(s) = sizes.iter().find(|&&s| s < 0) {
        return Err(Error::runtime(format!("repeat sizes must not be negative, got {s}")));
    }
    // Each dimension becomes (times, size), the first of them expanded.
    let (mut apart, mut wide, mut out) = (Dims::new(), Dims::new(), Dims::new());
    for (i, &s) in sizes.iter().enumerate() {
        let n = if i < lead { 1 } else { x.shape()[i - lead] };
        apart.extend([1, n]);
        wide.extend([s as usize, n]);
        out.push((s as usize).checked_mul(n).ok_or_else(|| Error::memory("repeat overflows"))?);
    }
    crate::layout::checked_numel(&out)?;
    let wide = view::expand(&view::reshape(x, &apart)?, &wide)?;
    view::reshape(&cast::copy(&wide)?, &out)
}

pub static REPEAT: OpDef = OpDef::composed(
    "repeat",
    "input: Tensor, *sizes: int[]",
    "The tensor repeated this often along each dimension",
    |c| one(repeat(c.x(0), c.ints(0))),
)
.bind(Bind::METHOD);

pub static TILE: OpDef = OpDef::composed(
    "tile",
    "input: Tensor, *dims: int[]",
    "The tensor repeated along the last dimensions",
    |c| {
        let mut sizes = vec![1; c.x(0).ndim().saturating_sub(c.ints(0).len())];
        sizes.extend_from_slice(c.ints(0));
        one(repeat(c.x(0), &sizes))
    },
);

pub static REPEAT_INTERLEAVE: OpDef = OpDef::composed(
    "repeat_interleave",
    "input: Tensor, repeats: Tensor, dim: int? = None, *, output_size: int? = None",
    "Each element of dim, or of all elements, repeated: as often as a number says, or each as its own number",
    |c| {
        let (x, repeats) = (c.x(0), c.x(1));
        let x = match c.opt_int(0) {
            Some(_) if x.ndim() > 0 => x.clone(),
            _ => view::reshape(x, &[x.numel()])?,
        };
        let dim = wrap_dim(c.int(0), x.ndim())?;
        if !repeats.dtype().is_int() || repeats.ndim() > 1 {
            return Err(Error::runtime("repeats must be 0-dim or 1-dim tensor of integers"));
        }
        let counts = repeats.to_vec::<i64>()?;
        let n = x.shape()[dim];
        if counts.len() != 1 && counts.len() != n
            || repeats.ndim() == 1 && counts.is_empty() && n > 0
        {
            return Err(Error::runtime(format!(
                "repeats must have the same size as input along dim {dim} ({n}), got {}",
                counts.len()
            )));
        }
        if counts.iter().any(|&k| k < 0) {
            return Err(Error::runtime("repeats can not be negative"));
        }
        if let [k] = counts[..] {
            check_size(c, (k as usize).checked_mul(n))?;
            let mut shape = x.dims();
            shape.insert(dim + 1, k as usize);
            crate::layout::checked_numel(&shape)?;
            let wide = view::expand(&view::unsqueeze(&x, dim + 1)?, &shape)?;
            shape.remove(dim + 1);
            shape[dim] = n * k as usize;
            return one(view::reshape(&cast::copy(&wide)?, &shape));
        }
        let total = counts.iter().try_fold(0usize, |a, &k| a.checked_add(k as usize));
        let total = check_size(c, total)?;
        let index = Tensor::empty(&[total], DType::I64, crate::Device::Cpu)?;
        let mut at = index.ptr::<i64>();
        for (i, &k) in counts.iter().enumerate() {
            for _ in 0..k {
                // SAFETY: the counts add up to the index's size.
                unsafe {
                    *at = i as i64;
                    at = at.add(1);
                }
            }
        }
        one(read_dim(&x, dim, &cast::to_device(&index, x.device())?, false))
    },
);

fn check_size(c: &Call, total: Option<usize>) -> Result<usize> {
    let total = total.ok_or_else(|| Error::memory("repeat_interleave overflows"))?;
    match c.opt_int(1) {
        Some(asked) if asked != total as i64 => Err(Error::runtime(format!(
            "output_size {asked} does not match the {total} elements that repeats make"
        ))),
        _ => Ok(total),
    }
}

/// `start, start + 1, ..` as int64.
pub(super) fn range_from(start: i64, n: usize, device: crate::Device) -> Result<Tensor> {
    let base = arange(n, device)?;
    crate::ops::expr::t::add(&base, &Tensor::number(Number::Int(start))?)
}
