//! Names whose arguments choose among rows: `div(rounding_mode=)`, `clamp`, `pow`, `round(decimals=)`.

use super::expr::t;
use super::{Attr, Bind, OpDef, Outs, elementwise as e};
use crate::apply::call;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, show};
use crate::tensor::{Number, Tensor, result_type};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[
    &DIV,
    &CLAMP,
    &CLAMP_MIN,
    &CLAMP_MAX,
    &POW,
    &ROUND,
    &BITWISE_NOT,
    &GELU,
    &LOGIT,
    &NAN_TO_NUM,
    &RSUB,
    &PRELU,
    &SINC,
];

const IN: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

fn number(v: f64) -> Result<Tensor> {
    Tensor::number(Number::Float(v))
}

pub static DIV: OpDef = OpDef::composed(
    "div",
    "input: Tensor, other: Tensor, *, rounding_mode: str? = None",
    "x / y; rounding_mode 'floor' rounds down, 'trunc' towards 0",
    |c| {
        let op = match c.str(0) {
            "" => &e::div,
            "floor" => &e::floor_divide,
            "trunc" => &e::div_trunc,
            other => {
                return Err(Error::value(format!(
                    "rounding_mode must be None, 'trunc' or 'floor', got {other:?}"
                )));
            }
        };
        one(call(op, &[c.x(0), c.x(1)], &[]))
    },
)
.bind(IN)
.domain(0.3, 3.0);

/// A bound that is a Python number, as `dtype` holds it; without one the other value.
fn bound(t: Option<&Tensor>, dtype: DType, none: f64) -> Result<Attr> {
    t.map_or(Ok(none.into()), |t| Ok(super::cast::fit(t, dtype)?.item()?.into()))
}

fn clamp(x: &Tensor, lo: Option<&Tensor>, hi: Option<&Tensor>) -> Result<Tensor> {
    if lo.is_none() && hi.is_none() {
        return Err(Error::value("at least one of 'min' or 'max' must not be None"));
    }
    let dtype = result_type([Some(x), lo, hi].into_iter().flatten())?;
    if dtype != x.dtype() {
        return clamp(&super::cast::to(x, dtype)?, lo, hi);
    }
    let plain = |t: Option<&Tensor>| t.is_none_or(Tensor::is_wrapped);
    if plain(lo) && plain(hi) {
        let attrs = [bound(lo, dtype, f64::NEG_INFINITY)?, bound(hi, dtype, f64::INFINITY)?];
        return call(&e::clamp_numbers, &[x], &attrs);
    }
    // At a bound the gradient is the input's alone, which `maximum` would share; NaN bounds win.
    let limit = |x: &Tensor, bound: &Tensor, beyond: &'static OpDef| -> Result<Tensor> {
        let out = call(beyond, &[x, bound], &[])?;
        let nan = call(&e::isnan, &[bound], &[])?;
        t::select(&call(&e::logical_or, &[&out, &nan], &[])?, bound, x)
    };
    let low = lo.map_or_else(|| Ok(x.clone()), |lo| limit(x, lo, &e::lt))?;
    hi.map_or_else(|| Ok(low.clone()), |hi| limit(&low, hi, &e::gt))
}

pub static CLAMP: OpDef = OpDef::composed(
    "clamp",
    "input: Tensor, min: Tensor? = None, max: Tensor? = None",
    "Values limited to [min, max]; the bounds are numbers or tensors",
    |c| one(clamp(c.x(0), c.opt(1), c.opt(2))),
)
.bind(IN);

pub static CLAMP_MIN: OpDef =
    OpDef::composed("clamp_min", "input: Tensor, min: Tensor", "Values not below min", |c| {
        one(clamp(c.x(0), c.opt(1), None))
    })
    .bind(IN);

pub static CLAMP_MAX: OpDef =
    OpDef::composed("clamp_max", "input: Tensor, max: Tensor", "Values not above max", |c| {
        one(clamp(c.x(0), None, c.opt(1)))
    })
    .bind(IN);

pub static POW: OpDef =
    OpDef::composed("pow", "input: Tensor, exponent: Tensor", "x to the power of y", |c| {
        let (x, y) = (c.x(0), c.x(1));
        if y.is_wrapped() {
            let n = y.item()?;
            let floats = x.dtype().is_float();
            match n {
                Number::Int(2) if x.dtype() != DType::Bool => {
                    return one(call(&e::square, &[x], &[]));
                }
                Number::Float(2.0) if floats => return one(call(&e::square, &[x], &[])),
                Number::Float(0.5) if floats => return one(call(&e::sqrt, &[x], &[])),
                Number::Int(v) if v < 0 && !floats => {
                    return Err(Error::runtime(
                        "integers to negative integer powers are not allowed",
                    )
                    .hint("cast the base first: x.float()"));
                }
                _ => {}
            }
        }
        one(call(&e::pow, &[x, y], &[]))
    })
    .bind(IN)
    .domain(0.2, 3.0);

pub static ROUND: OpDef = OpDef::composed(
    "round",
    "input: Tensor, *, decimals: int = 0",
    "Rounded to the nearest multiple of 10^-decimals, halves to even",
    |c| {
        let x = c.x(0);
        let d = c.int(0);
        if d == 0 {
            return one(call(&e::round, &[x], &[]));
        }
        // A power of ten below 1 is not exact: dividing by its inverse is.
        let scale = number(10f64.powi(d.unsigned_abs().min(400) as i32))?;
        let (up, down) = if d > 0 { (&e::mul, &e::div) } else { (&e::div, &e::mul) };
        let r = call(&e::round, &[&call(up, &[x, &scale], &[])?], &[])?;
        one(call(down, &[&r, &scale], &[]))
    },
)
.bind(IN);

pub static BITWISE_NOT: OpDef = OpDef::composed(
    "bitwise_not",
    "input: Tensor",
    "Bitwise complement; logical complement of bool",
    |c| {
        let op = if c.x(0).dtype() == DType::Bool { &e::logical_not } else { &e::bitwise_not_int };
        one(call(op, &[c.x(0)], &[]))
    },
)
.bind(IN);

pub static GELU: OpDef = OpDef::composed(
    "gelu",
    "input: Tensor, *, approximate: str = 'none'",
    "x * Phi(x), Phi the normal distribution; approximate 'tanh' is the faster form",
    |c| {
        let op = match c.str(0) {
            "" | "none" => &e::gelu_erf,
            "tanh" => &e::gelu_tanh,
            other => {
                return Err(Error::value(format!(
                    "approximate must be 'none' or 'tanh', got {other:?}"
                )));
            }
        };
        one(call(op, &[c.x(0)], &[]))
    },
)
.bind(Bind::PRIVATE);

pub static LOGIT: OpDef = OpDef::composed(
    "logit",
    "input: Tensor, eps: float? = None",
    "log(x / (1 - x)); x is clamped to [eps, 1 - eps] when eps is given",
    |c| {
        let x = match c.opt_float(0) {
            Some(eps) => call(&e::clamp_numbers, &[c.x(0)], &[eps.into(), (1.0 - eps).into()])?,
            None => c.x(0).clone(),
        };
        one(call(&e::logit_of, &[&x], &[]))
    },
)
.bind(IN)
.domain(0.1, 0.9);

pub static NAN_TO_NUM: OpDef = OpDef::composed(
    "nan_to_num",
    "input: Tensor, nan: float = 0.0, posinf: float? = None, neginf: float? = None",
    "NaN and infinities replaced; the infinities by the largest finite values unless given",
    |c| {
        let x = c.x(0);
        let limit = match x.dtype() {
            DType::F64 => f64::MAX,
            DType::F16 => 65504.0,
            DType::BF16 => 3.3895313892515355e38,
            DType::F32 => f32::MAX as f64,
            _ => return one(super::cast::copy(x)),
        };
        let nan = call(&e::isnan, &[x], &[])?;
        let up = call(&e::isposinf, &[x], &[])?;
        let down = call(&e::isneginf, &[x], &[])?;
        let y = t::select(&nan, &number(c.float(0))?, x)?;
        let y = t::select(&up, &number(c.opt_float(1).unwrap_or(limit))?, &y)?;
        one(t::select(&down, &number(c.opt_float(2).unwrap_or(-limit))?, &y))
    },
)
.bind(IN);

pub static RSUB: OpDef = OpDef::composed(
    "rsub",
    "input: Tensor, other: Tensor, *, alpha: Number = 1",
    "y - alpha * x",
    |c| one(call(&e::sub, &[c.x(1), c.x(0)], c.attrs)),
);

pub static SINC: OpDef =
    OpDef::composed("sinc", "input: Tensor", "sin(pi x) / (pi x), 1 at 0", |c| {
        let scaled = t::scale(c.x(0), std::f64::consts::PI)?;
        let zero = call(&e::logical_not, &[&scaled], &[])?;
        let safe = t::select(&zero, &number(1.0)?, &scaled)?;
        let y = t::div(&call(&e::sin, &[&safe], &[])?, &safe)?;
        one(t::select(&zero, &number(1.0)?, &y))
    })
    .bind(IN);

pub static PRELU: OpDef = OpDef::composed(
    "prelu",
    "input: Tensor, weight: Tensor",
    "x where positive, weight * x elsewhere; one weight, or one for each channel (dimension 1)",
    |c| {
        let (x, w) = (c.x(0), c.x(1));
        let w = if w.numel() == 1 {
            super::view::reshape(w, &[])?
        } else {
            let channels = if x.ndim() > 1 { x.shape()[1] } else { 1 };
            if w.numel() != channels {
                return Err(Error::shape(format!(
                    "expected 1 weight or one for each of the {channels} channels of an input of \
                     shape {}, got {}",
                    show(x.shape()),
                    w.numel()
                )));
            }
            let mut shape: Dims = smallvec![1; x.ndim()];
            shape[1] = channels;
            super::view::reshape(w, &shape)?
        };
        one(call(&e::prelu_of, &[x, &w], &[]))
    },
)
.bind(Bind::PRIVATE);
