//! atan and atan2, the same text in both widths.

use super::arc::{PI_LOW, atan_tail};
use super::{T, fma};

const PI: T = std::f64::consts::PI as T;
const TAN_PI_8: T = 0.41421356237309503;

/// atan of `top / bottom`, both >= 0.
#[inline(always)]
fn atan_ratio(top: T, bottom: T) -> T {
    let steep = top > bottom;
    let (n, d) = if steep { (bottom, top) } else { (top, bottom) };
    // Above tan(pi / 8) the angle is pi / 4 less: (n - d) / (n + d).
    let near = n > d * TAN_PI_8;
    let (n, d) = if near { (n - d, n + d) } else { (n, d) };
    let t = n / d;
    let (base, low) = if near { (PI / 4.0, PI_LOW / 4.0) } else { (0.0, 0.0) };
    let angle = base + (t + fma(t, atan_tail(t * t), low));
    if steep { PI / 2.0 - (angle - PI_LOW / 2.0) } else { angle }
}

/// Max error 2 ulp.
#[inline(always)]
pub fn atan(x: T) -> T {
    let a = x.abs();
    // n + d must not overflow.
    let finite = if a < 1.0e30 { a } else { 1.0e30 };
    let angle = atan_ratio(finite, 1.0).copysign(x);
    if x.is_nan() { x } else { angle }
}

/// The angle of the point (x, y), from -pi to pi; max error 2 ulp.
#[inline(always)]
pub fn atan2(y: T, x: T) -> T {
    let (b, a) = (y.abs(), x.abs());
    let infinite = (a == T::INFINITY) | (b == T::INFINITY);
    // Of infinities only their being infinite counts; n + d must not overflow.
    let is_infinite = |v: T| if v == T::INFINITY { 1.0 } else { 0.0 };
    let shrink = if (a > T::MAX * 0.25) | (b > T::MAX * 0.25) { 0.25 } else { 1.0 };
    let (b, a) = if infinite { (is_infinite(b), is_infinite(a)) } else { (b * shrink, a * shrink) };
    let a = if (a == 0.0) & (b == 0.0) { 1.0 } else { a };
    let angle = atan_ratio(b, a);
    let angle = if x.is_sign_negative() { PI - (angle - PI_LOW) } else { angle };
    if x.is_nan() | y.is_nan() { T::NAN } else { angle.copysign(y) }
}
