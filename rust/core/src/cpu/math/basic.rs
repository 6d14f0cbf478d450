//! What has the same text in both widths: comparisons, rounding, and functions made of other functions.

use super::{T, exp, fmod, log, log1p};

#[inline(always)]
pub fn abs(x: T) -> T {
    x.abs()
}

#[inline(always)]
pub fn square(x: T) -> T {
    x * x
}

/// Correctly rounded.
#[inline(always)]
pub fn sqrt(x: T) -> T {
    x.sqrt()
}

/// Max error 1.5 ulp.
#[inline(always)]
pub fn rsqrt(x: T) -> T {
    1.0 / x.sqrt()
}

#[inline(always)]
pub fn floor(x: T) -> T {
    x.floor()
}

#[inline(always)]
pub fn ceil(x: T) -> T {
    x.ceil()
}

/// To the nearest integer, halves to the even one.
#[inline(always)]
pub fn round(x: T) -> T {
    x.round_ties_even()
}

#[inline(always)]
pub fn trunc(x: T) -> T {
    x.trunc()
}

/// -1, 0 or 1; NaN for NaN, and 0 for both zeros.
#[inline(always)]
pub fn sign(x: T) -> T {
    let other = if x < 0.0 { -1.0 } else { x + 0.0 };
    if x > 0.0 { 1.0 } else { other }
}

/// The larger one, NaN if either is.
#[inline(always)]
pub fn max(a: T, b: T) -> T {
    if (a >= b) | a.is_nan() { a } else { b }
}

/// The smaller one, NaN if either is.
#[inline(always)]
pub fn min(a: T, b: T) -> T {
    if (a <= b) | a.is_nan() { a } else { b }
}

/// The larger one; a NaN loses against a number.
#[inline(always)]
pub fn fmax(a: T, b: T) -> T {
    if (a >= b) | b.is_nan() { a } else { b }
}

/// The smaller one; a NaN loses against a number.
#[inline(always)]
pub fn fmin(a: T, b: T) -> T {
    if (a <= b) | b.is_nan() { a } else { b }
}

/// a / b; a name of its own, because a GPU's operator is wrong where |b| is huge.
#[inline(always)]
pub fn div(a: T, b: T) -> T {
    a / b
}

#[inline(always)]
pub fn copysign(a: T, b: T) -> T {
    a.copysign(b)
}

/// `t` if `c`, else `f` (WGSL's order).
#[inline(always)]
pub fn select(f: T, t: T, c: bool) -> T {
    if c { t } else { f }
}

#[inline(always)]
pub fn lt(a: T, b: T) -> bool {
    a < b
}

#[inline(always)]
pub fn le(a: T, b: T) -> bool {
    a <= b
}

#[inline(always)]
pub fn gt(a: T, b: T) -> bool {
    a > b
}

#[inline(always)]
pub fn ge(a: T, b: T) -> bool {
    a >= b
}

#[inline(always)]
pub fn eq(a: T, b: T) -> bool {
    a == b
}

#[inline(always)]
pub fn ne(a: T, b: T) -> bool {
    a != b
}

#[inline(always)]
pub fn isnan(x: T) -> bool {
    x.is_nan()
}

#[inline(always)]
pub fn isinf(x: T) -> bool {
    x.abs() == T::INFINITY
}

#[inline(always)]
pub fn isfinite(x: T) -> bool {
    x.abs() < T::INFINITY
}

#[inline(always)]
pub fn signbit(x: T) -> bool {
    x.is_sign_negative()
}

#[inline(always)]
pub fn both(p: bool, q: bool) -> bool {
    p & q
}

#[inline(always)]
pub fn either(p: bool, q: bool) -> bool {
    p | q
}

#[inline(always)]
pub fn not(p: bool) -> bool {
    !p
}

/// Python's `a % b`: the sign is that of `b`, and `a % 0` is NaN. Exact up to one rounding.
#[inline(always)]
pub fn remainder(a: T, b: T) -> T {
    let m = fmod(a, b);
    let shifted = if (m < 0.0) == (b < 0.0) { m } else { m + b };
    if m == 0.0 { m.copysign(b) } else { shifted }
}

/// Python's `a // b`, but `a / b` where `b` is 0.
#[inline(always)]
pub fn floordiv(a: T, b: T) -> T {
    let quotient = a / b;
    let m = fmod(a, b);
    let whole = (a - m) / b;
    let whole = if (m != 0.0) & ((m < 0.0) != (b < 0.0)) { whole - 1.0 } else { whole };
    // (a - m) / b is an integer up to a rounding.
    let down = whole.floor();
    let nearest = if whole - down > 0.5 { down + 1.0 } else { down };
    let signed = if whole == 0.0 { (0.0 as T).copysign(quotient) } else { nearest };
    if b == 0.0 { quotient } else { signed }
}

/// `log(exp(a) + exp(b))` without overflow; max error 3 ulp of the larger of the result and `max(a, b)`.
#[inline(always)]
pub fn logaddexp(a: T, b: T) -> T {
    let top = max(a, b);
    // Equal infinities differ by NaN.
    let gap = if a == b { 0.0 } else { (a - b).abs() };
    top + log1p(exp(-gap))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub fn sigmoid(x: T) -> T {
    1.0 / (1.0 + exp(-x))
}

/// `log(1 + exp(x))`, infinite where `exp(x)` is.
#[inline(always)]
pub fn softplus(x: T) -> T {
    log1p(exp(x))
}

/// `a * log(b)`, and 0 where `a` is 0 unless `b` is NaN.
#[inline(always)]
pub fn xlogy(a: T, b: T) -> T {
    let product = a * log(b);
    if (a == 0.0) & !b.is_nan() { 0.0 } else { product }
}

/// C's `pow(x, y)` from `magnitude = |x|^y`: the sign, negative bases and the cases that are 1.
#[inline(always)]
pub(super) fn pow_cases(x: T, y: T, magnitude: T) -> T {
    let integer = y.floor() == y;
    let half = 0.5 * y;
    let odd = integer & (half.floor() != half);
    let m = if (x == -1.0) & integer { 1.0 } else { magnitude };
    let m = if (x < 0.0) & (x > -T::INFINITY) & !integer { T::NAN } else { m };
    let m = if x.is_sign_negative() & odd { -m } else { m };
    if (x == 1.0) | (y == 0.0) { 1.0 } else { m }
}
