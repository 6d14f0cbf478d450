//! The rarer functions, computed in f64 and rounded.

use super::m64;

macro_rules! through_f64 {
    ($($(#[$doc:meta])* $name:ident($($x:ident),+) = $wide:ident;)+) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name($($x: f32),+) -> f32 {
            m64::$wide($($x as f64),+) as f32
        }
    )+};
}

through_f64! {
    /// Max error 1 ulp.
    asin(x) = asin;
    /// Max error 1 ulp.
    acos(x) = acos;
    /// Max error 1 ulp.
    asinh(x) = asinh;
    /// Max error 1 ulp.
    acosh(x) = acosh;
    /// Max error 1 ulp.
    atanh(x) = atanh;
    /// Max error 1 ulp.
    erfc(x) = erfc;
    /// Max error 4 ulp.
    erfinv(x) = erfinv_approx;
    /// log |gamma(x)|; max error 1 ulp, near the zeros at negative x an absolute 1e-13.
    lgamma(x) = lgamma;
    /// The derivative of lgamma; max error 1 ulp, near its zeros at negative x an absolute 1e-13.
    digamma(x) = digamma;
    /// The derivative of digamma; max error 1 ulp.
    trigamma(x) = trigamma;
}

/// `sqrt(a^2 + b^2)`, infinite if either is; max error 1 ulp.
#[inline(always)]
pub fn hypot(a: f32, b: f32) -> f32 {
    let (x, y) = (a as f64, b as f64);
    let root = (x * x + y * y).sqrt() as f32;
    let infinite = (a.abs() == f32::INFINITY) | (b.abs() == f32::INFINITY);
    if infinite { f32::INFINITY } else { root }
}

/// C's fmod, exact.
#[inline(always)]
pub fn fmod(x: f32, y: f32) -> f32 {
    let (a, b) = (x.abs(), y.abs());
    let q = (a / b).trunc();
    // The product is exact in f64; the rounded quotient may be one too large.
    let (a, b) = (a as f64, b as f64);
    let r = a - q as f64 * b;
    let near = if r < 0.0 { r + b } else { r };
    let regular = (q < 16777216.0) & (b < f64::INFINITY);
    let r = if regular { near } else { m64::fmod_by_bits(a, b) };
    (r as f32).copysign(x)
}
