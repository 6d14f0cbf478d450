//! Tensor code: the third reading of a row's derivative, and short names for ops inside Rust.
//! An `Ex` carries the first error along, so that formulas need no `?`.

use super::{Attr, cast, elementwise as e};
use crate::apply::call;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::{Number, Tensor};
use std::cell::Cell;
use std::ops::{Add, Div, Mul, Neg, Sub};

thread_local! {
    /// The dtype of the gradient that a formula is read for: what two bare numbers become.
    static DTYPE: Cell<DType> = const { Cell::new(DType::F32) };
}

/// Reads a formula for gradients of this dtype.
pub(crate) fn reading<R>(dtype: DType, f: impl FnOnce() -> R) -> R {
    let before = DTYPE.replace(dtype);
    let out = f();
    DTYPE.set(before);
    out
}

#[derive(Clone)]
pub struct Ex(Result<Tensor>);

impl Ex {
    pub fn of(t: &Tensor) -> Self {
        Self(Ok(t.clone()))
    }

    /// Tensors of narrower dtypes are first made of the dtype that the formula computes in, as the loops' loads do;
    /// numbers become floats of full precision.
    pub fn of_dtype(t: &Tensor, dtype: DType) -> Self {
        if let Some(n) = t.as_number() {
            return Self::from(n.as_f64());
        }
        let narrower = t.dtype() != dtype
            && t.dtype() != DType::Bool
            && t.dtype().promote(dtype).is_ok_and(|d| d == dtype);
        Self(if narrower { cast::to(t, dtype) } else { Ok(t.clone()) })
    }

    /// Stands for a variable that was not saved; reading it is an error of the row's text.
    pub fn missing() -> Self {
        Self(Err(Error::runtime("the derivative reads a variable that was not saved")))
    }

    pub fn into_result(self) -> Result<Tensor> {
        self.0
    }
}

impl From<f64> for Ex {
    fn from(v: f64) -> Self {
        Self(Tensor::number(Number::Float(v)))
    }
}

impl From<&Ex> for Ex {
    fn from(v: &Ex) -> Self {
        v.clone()
    }
}

fn apply1(op: &'static super::OpDef, x: Ex) -> Ex {
    Ex(x.0.and_then(|x| call(op, &[&x], &[])))
}

fn apply2(op: &'static super::OpDef, x: Ex, y: Ex) -> Ex {
    Ex(x.0.and_then(|x| y.0.and_then(|y| call(op, &[&x, &y], ONE))))
}

/// `alpha` of add and sub; the other ops take no argument and ignore it.
pub(crate) const ONE: &[Attr] = &[Attr::Int(1)];

macro_rules! operator {
    ($($trait:ident $method:ident $op:ident),*) => {$(
        operator!(@ $trait $method $op; Ex, Ex; Ex, &Ex; &Ex, Ex; &Ex, &Ex; Ex, f64; &Ex, f64; f64, Ex; f64, &Ex);
    )*};
    (@ $trait:ident $method:ident $op:ident; $($a:ty, $b:ty);*) => {$(
        impl $trait<$b> for $a {
            type Output = Ex;
            fn $method(self, other: $b) -> Ex {
                apply2(&e::$op, self.into(), other.into())
            }
        }
    )*};
}
operator!(Add add add, Sub sub sub, Mul mul mul, Div div div);

impl Neg for Ex {
    type Output = Ex;
    fn neg(self) -> Ex {
        apply1(&e::neg, self)
    }
}

impl Neg for &Ex {
    type Output = Ex;
    fn neg(self) -> Ex {
        apply1(&e::neg, self.into())
    }
}

macro_rules! functions {
    (unary: $($u:ident)*; binary: $($b:ident)*; renamed: $($r:ident = $op:ident)*) => {
        $( pub fn $u(x: impl Into<Ex>) -> Ex { apply1(&e::$u, x.into()) } )*
        $( pub fn $b(x: impl Into<Ex>, y: impl Into<Ex>) -> Ex { apply2(&e::$b, x.into(), y.into()) } )*
        $( pub fn $r(x: impl Into<Ex>, y: impl Into<Ex>) -> Ex { apply2(&e::$op, x.into(), y.into()) } )*
    };
}
functions! {
    unary: exp sigmoid expm1 log log1p sqrt rsqrt sin cos sinh cosh tanh erf abs sign floor trunc digamma trigamma
        square isnan;
    binary: div pow xlogy hypot copysign lt le gt ge eq ne;
    renamed: max = maximum min = minimum both = logical_and either = logical_or floordiv = floor_divide
}

/// Without a threshold: above the op's own, the two are equal.
pub fn softplus(x: impl Into<Ex>) -> Ex {
    let attrs = [Attr::Float(1.0), Attr::Float(20.0)];
    Ex(x.into().0.and_then(|x| call(&e::softplus, &[&x], &attrs)))
}

/// `t` where `c` holds, `f` elsewhere: WGSL's order.
pub fn select(f: impl Into<Ex>, t: impl Into<Ex>, c: impl Into<Ex>) -> Ex {
    // Two numbers would choose the default float type: here they take the gradient's.
    let (f, t, c) = (f.into(), t.into(), c.into());
    let typed = |x: Tensor| {
        if x.is_wrapped() { Tensor::scalar(x.item()?.as_f64(), DTYPE.get()) } else { Ok(x) }
    };
    let (f, t) = match (&f.0, &t.0) {
        (Ok(a), Ok(b)) if a.is_wrapped() && b.is_wrapped() => {
            (Ex(f.0.and_then(typed)), Ex(t.0.and_then(typed)))
        }
        _ => (f, t),
    };
    Ex(c.0.and_then(|c| t.0.and_then(|t| f.0.and_then(|f| call(&e::choose, &[&c, &t, &f], &[])))))
}

macro_rules! on_tensors {
    ($($name:ident),*) => {$(
        pub(crate) fn $name(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            call(&e::$name, &[a, b], ONE)
        }
    )*};
}

/// The same ops on plain tensors, for rules and compositions in Rust.
pub(crate) mod t {
    use super::*;
    on_tensors!(add, sub, mul, div, maximum, eq);

    pub(crate) fn neg(a: &Tensor) -> Result<Tensor> {
        call(&e::neg, &[a], &[])
    }

    pub(crate) fn scale(a: &Tensor, by: f64) -> Result<Tensor> {
        call(&e::mul, &[a, &Tensor::number(Number::Float(by))?], &[])
    }

    pub(crate) fn select(c: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        call(&e::choose, &[c, a, b], &[])
    }

    pub(crate) fn zeros_like(a: &Tensor) -> Result<Tensor> {
        cast::full_like(a, 0.0)
    }
}
