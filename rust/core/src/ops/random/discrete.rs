//! Distributions made from uniforms by other ops.

use super::{Call, OpDef, UNIFORM};
use crate::apply::call;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{Outs, cast, elementwise as e, reduce};
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

/// An element is 1 where its uniform lies below its probability. Uses `float_blocks(n, dtype)`.
pub static BERNOULLI: OpDef = OpDef::composed(
    "random_bernoulli",
    "input: Tensor, p: float?, seed: int, offset: int",
    "1 with probability p, or that of the element itself, else 0",
    |c| {
        let x = &c.x(0).detach();
        if c.is_none(0) && !x.dtype().is_float() {
            return Err(Error::type_(format!(
                "expects probabilities of a float dtype, got {}",
                x.dtype().name()
            )));
        }
        let p = match c.opt_float(0) {
            Some(p) if !(0.0..=1.0).contains(&p) => {
                return Err(Error::runtime(format!("expects 0 <= p <= 1, but got p={p}")));
            }
            Some(p) => Tensor::number(Number::Float(p))?,
            None => {
                check(x)?;
                x.clone()
            }
        };
        // Uniforms of the GPU are float32 at most.
        let dtype = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let attrs = [
            x.shape().into(),
            0.0.into(),
            1.0.into(),
            c.attr(1).clone(),
            c.attr(2).clone(),
            dtype.into(),
            x.device().into(),
        ];
        let u = call(&UNIFORM, &[], &attrs)?;
        let hit = call(&e::lt, &[&u, &p], &[])?;
        Ok(smallvec![cast::to(&hit, x.dtype())?])
    },
)
.public("bernoulli")
.private();

/// Waits for the GPU where the probabilities lie there.
fn check(p: &Tensor) -> Result<()> {
    let bound = |v| Tensor::number(Number::Float(v));
    let inside = call(
        &e::logical_and,
        &[&call(&e::ge, &[p, &bound(0.0)?], &[])?, &call(&e::le, &[p, &bound(1.0)?], &[])?],
        &[],
    )?;
    if call(&reduce::ALL, &[&inside], &[])?.item()? == Number::Bool(true) {
        return Ok(());
    }
    Err(Error::runtime("expects all probabilities to be from 0 to 1"))
}

/// -log(1 - u) / lambda; a draw of exactly 0 is lifted to 2^-25, for the distribution has no 0.
pub static EXPONENTIAL: OpDef = OpDef::composed(
    "random_exponential",
    "size: int[], lambd: float, seed: int, offset: int, dtype: dtype? = None, device: device? = None",
    "Exponential numbers of rate lambd",
    exponential,
)
.public("exponential_")
.private();

fn exponential(c: &Call) -> Result<Outs> {
    let lambda = c.float(1);
    if !(lambda > 0.0) {
        return Err(Error::runtime(format!("expects lambda > 0.0, but found lambda={lambda}")));
    }
    let dtype = super::float_dtype(c, 4)?;
    // Half types would round their uniforms up to 1.
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let attrs = [
        c.attr(0).clone(),
        0.0.into(),
        1.0.into(),
        c.attr(2).clone(),
        c.attr(3).clone(),
        wide.into(),
        c.attr(5).clone(),
    ];
    let number = |v: f64| Tensor::number(Number::Float(v));
    let u = call(&UNIFORM, &[], &attrs)?;
    let minus = call(&e::log1p, &[&call(&e::neg, &[&u], &[])?], &[])?;
    let standard =
        call(&e::maximum, &[&call(&e::neg, &[&minus], &[])?, &number(2f64.powi(-25))?], &[])?;
    let scaled = call(&e::mul, &[&standard, &number(1.0 / lambda)?], &[])?;
    Ok(smallvec![cast::to(&scaled, dtype)?])
}
