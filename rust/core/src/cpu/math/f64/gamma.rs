//! log gamma and its first two derivatives: Stirling's series from 8 on, recurrence below, reflection below 1/2.

use super::fma;
use super::log::log;
use super::trig::sin_cos_pi;

const PI: f64 = std::f64::consts::PI;
const LN_PI: f64 = 1.1447298858494002;
const HALF_LN_TWO_PI: f64 = 0.9189385332046728;

/// Whether `x` is reflected, and the argument that is at least 1/2.
#[inline(always)]
fn reflect(x: f64) -> (bool, f64) {
    let reflected = x < 0.5;
    (reflected, if reflected { 1.0 - x } else { x })
}

/// Where gamma has its poles: 0, -1, -2, ...
#[inline(always)]
fn is_pole(x: f64) -> bool {
    (x <= 0.0) & (x.floor() == x)
}

/// log gamma(y) for y from 1.5 to 2.5, with `t = y - 2`.
#[inline(always)]
fn lgamma_near_two(t: f64) -> f64 {
    t * poly!(t; 0.42278433509846713, 0.32246703342411326, -0.06735230105319817, 0.020580808427780335, -0.007385551028664102, 0.0028905103310367625, -0.001192753912167334, 0.0005096695153485836, -0.00022315474732451739, 9.945767439863783e-5, -4.4926390629496784e-5, 2.0505584396099943e-5, -9.438190427074525e-6, 4.384731805299452e-6, -2.0459814928536277e-6, 9.199901607366531e-7, -4.280917079116697e-7, 2.787997374276118e-7, -1.3614076020963941e-7)
}

/// log |gamma(x)|; max error 1e-14 of the larger of 1 and the result.
#[inline(always)]
pub fn lgamma(x: f64) -> f64 {
    let (reflected, y) = reflect(x);
    // gamma(y) = gamma(z) / product, where z is near 2 or at least 8.
    let mut product = 1.0;
    for i in 0..8 {
        product *= y + i as f64;
    }
    let small = y < 8.0;
    let near = y < 2.5;
    let first = y < 1.5;
    let product = if small { product } else { 1.0 };
    let product = if near { if first { y } else { 1.0 } } else { product };
    let z = if small { y + 8.0 } else { y };
    let inverse = 1.0 / z;
    let v = inverse * inverse;
    let series = inverse
        * poly!(v; 0.08333333333333333, -0.002777777777777778, 0.0007936507936507937,
            -0.0005952380952380953, 0.0008417508417508417, -0.0019175269175269176,
            0.00641025641025641, -0.029550653594771242);
    let stirling = fma(z - 0.5, log(z), HALF_LN_TWO_PI - z) + series;
    let base = if near { lgamma_near_two(if first { y - 1.0 } else { y - 2.0 }) } else { stirling };
    // gamma(x) gamma(1 - x) = pi / sin(pi x); beside the pole at 0, gamma(x) = 1 / x.
    let tiny = x.abs() < 1.0e-20;
    let (sine, _) = sin_cos_pi(x);
    let factor = if reflected { product / sine } else { product };
    let factor = log(if tiny { x.abs() } else { factor });
    let value = if reflected { LN_PI + factor - base } else { base - factor };
    let value = if tiny { -factor } else { value };
    let infinite = is_pole(x) | (x.abs() == f64::INFINITY);
    if infinite { f64::INFINITY } else { value }
}

/// The derivative of lgamma; max error 1e-14 of the larger of 1 and the result.
#[inline(always)]
pub fn digamma(x: f64) -> f64 {
    let (reflected, y) = reflect(x);
    let small = y < 8.0;
    let z = if small { y + 8.0 } else { y };
    let mut below = 0.0;
    for i in 0..8 {
        below += 1.0 / (y + i as f64);
    }
    let inverse = 1.0 / z;
    let v = inverse * inverse;
    let series = v * poly!(v; 0.08333333333333333, -0.008333333333333333, 0.003968253968253968,
            -0.004166666666666667, 0.007575757575757576, -0.021092796092796094,
            0.08333333333333333, -0.4432598039215686, 3.0539543302701198);
    let upper = log(z) - (0.5 * inverse + series) - if small { below } else { 0.0 };
    let (sine, cosine) = sin_cos_pi(x);
    let cotangent = (cosine / sine).copysign(x - x.round_ties_even());
    let value = if reflected { upper - PI * cotangent } else { upper };
    let pole = if x == 0.0 { f64::INFINITY.copysign(-x) } else { f64::NAN };
    if is_pole(x) { pole } else { value }
}

/// The derivative of digamma; max error 1e-14 relative.
#[inline(always)]
pub fn trigamma(x: f64) -> f64 {
    let (reflected, y) = reflect(x);
    let small = y < 8.0;
    let z = if small { y + 8.0 } else { y };
    let mut below = 0.0;
    for i in 0..8 {
        let term = 1.0 / (y + i as f64);
        below += term * term;
    }
    let inverse = 1.0 / z;
    let v = inverse * inverse;
    let series = inverse
        * v
        * poly!(v; 0.16666666666666666, -0.03333333333333333, 0.023809523809523808,
            -0.03333333333333333, 0.07575757575757576, -0.2531135531135531, 1.1666666666666667,
            -7.092156862745098, 54.971177944862156, -529.1242424242424);
    let upper = inverse + fma(0.5, v, series) + if small { below } else { 0.0 };
    let (sine, _) = sin_cos_pi(x);
    let ratio = PI / sine;
    let value = if reflected { ratio * ratio - upper } else { upper };
    let pole = if x == f64::NEG_INFINITY { f64::NAN } else { f64::INFINITY };
    if is_pole(x) { pole } else { value }
}
