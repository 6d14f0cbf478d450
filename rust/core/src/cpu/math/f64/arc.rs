//! asin, acos, the inverse hyperbolic functions, hypot, and the polynomial of atan.

use super::fma;
use super::log::log1p;

const LN2: f64 = std::f64::consts::LN_2;
const PI: f64 = std::f64::consts::PI;
/// What the f64 nearest to pi lacks.
pub(super) const PI_LOW: f64 = 1.2246467991473532e-16;

/// `(atan(t) - t) / t` for |t| <= tan(pi / 8), with `z = t^2`.
#[inline(always)]
pub(super) fn atan_tail(z: f64) -> f64 {
    z * poly!(z; -0.33333333333333204, 0.19999999999954873, -0.14285714280313586,
        0.11111110788913983, -0.090908979065174, 0.0769206275287917, -0.06663131903979481,
        0.05848085908894547, -0.05040166993127005, 0.03808594465542543, -0.01793011842325044)
}

/// `(asin(t) - t) / t` for t <= 1/2, with `z = t^2`.
#[inline(always)]
fn asin_tail(z: f64) -> f64 {
    z * poly!(z; 0.16666666666666763, 0.07499999999969965, 0.0446428571755425,
        0.030381942658452343, 0.02237221648013116, 0.017351583702415845, 0.013981175143313398,
        0.011395902691277215, 0.01079766206997065, 0.0036387889234750013, 0.02187616346831899,
        -0.021243384834089232, 0.03278471104599592)
}

/// `t = |x|` and its tail, or beyond 1/2 those of `t = sqrt((1 - |x|) / 2)`, where asin(x) = pi / 2 - 2 asin(t).
#[inline(always)]
fn asin_parts(a: f64) -> (bool, f64, f64) {
    let far = a > 0.5;
    let z = if far { 0.5 * (1.0 - a) } else { a * a };
    (far, if far { z.sqrt() } else { a }, asin_tail(z))
}

/// Max error 3 ulp.
#[inline(always)]
pub fn asin(x: f64) -> f64 {
    let (far, t, tail) = asin_parts(x.abs());
    let angle = fma(t, tail, t);
    (if far { PI / 2.0 - (2.0 * angle - PI_LOW / 2.0) } else { angle }).copysign(x)
}

/// Max error 2 ulp.
#[inline(always)]
pub fn acos(x: f64) -> f64 {
    let (far, t, tail) = asin_parts(x.abs());
    let angle = fma(t, tail, t);
    let signed = t.copysign(x);
    let middle = PI / 2.0 - (signed - fma(-signed, tail, PI_LOW / 2.0));
    let outer = if x < 0.0 { PI - (2.0 * angle - PI_LOW) } else { 2.0 * angle };
    if far { outer } else { middle }
}

/// Max error 2 ulp.
#[inline(always)]
pub fn asinh(x: f64) -> f64 {
    let a = x.abs();
    let large = a > 1.0e100;
    let z = a * a;
    let t = if large { a } else { a + z / (1.0 + (1.0 + z).sqrt()) };
    let y = log1p(t);
    (if large { y + LN2 } else { y }).copysign(x)
}

/// Max error 3 ulp.
#[inline(always)]
pub fn acosh(x: f64) -> f64 {
    let large = x > 1.0e100;
    let t = x - 1.0;
    let y = log1p(if large { x } else { t + (t * (t + 2.0)).sqrt() });
    let y = if large { y + LN2 } else { y };
    if x < 1.0 { f64::NAN } else { y }
}

/// Max error 2 ulp.
#[inline(always)]
pub fn atanh(x: f64) -> f64 {
    let a = x.abs();
    (0.5 * log1p((a + a) / (1.0 - a))).copysign(x)
}

/// `sqrt(a^2 + b^2)`, infinite if either is; max error 1.5 ulp.
#[inline(always)]
pub fn hypot(a: f64, b: f64) -> f64 {
    let (a, b) = (a.abs(), b.abs());
    let large = (a > 1.0e150) | (b > 1.0e150);
    let up = if large { f64::from_bits(423 << 52) } else { 1.0 };
    let up = if (a < 1.0e-120) & (b < 1.0e-120) { f64::from_bits(1623 << 52) } else { up };
    let (x, y) = (a * up, b * up);
    let root = fma(x, x, y * y).sqrt() * (1.0 / up);
    if (a == f64::INFINITY) | (b == f64::INFINITY) { f64::INFINITY } else { root }
}
