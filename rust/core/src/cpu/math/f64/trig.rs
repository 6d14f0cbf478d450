//! sin, cos and tan of every finite f64, however large.

use super::double::{mul, quick_two_sum, two_mul, two_sum};
use super::fma;
use super::turn::TURN;

/// Adding it leaves the nearest integer in the low bits of the sum.
const MAGIC: f64 = 6755399441055744.0;
/// Below it sin(x) and tan(x) are x, which spares the reduction subnormal numbers.
const TINY: f64 = 1.0e-9;
const TWO_PI: (f64, f64) = (std::f64::consts::TAU, 2.4492935982947064e-16);

/// `a >= 0` as a count of quarter turns (of which two bits count) and a rest of at most an eighth turn, in radians
/// and in two parts (Payne and Hanek's reduction in floats).
#[inline(always)]
fn reduce(a: f64) -> (u64, (f64, f64)) {
    // x = a / 2^(32 i) is below 2^85 and an integer where i > 0, so that whole turns in 2^(32 i) / (2 pi) drop out.
    let exponent = a.to_bits() >> 52;
    let i = (exponent.max(1075) - 1075) >> 5;
    let x = a * f64::from_bits((1023 - 32 * i) << 52);
    let row = &TURN[(i & 31) as usize];
    let fraction = |t: f64| t - t.round_ties_even();
    let (p0, e0) = two_mul(x, row[0]);
    let (p1, e1) = two_mul(x, row[1]);
    let (p2, e2) = two_mul(x, row[2]);
    let (t, low0) = two_sum(fraction(p0), fraction(e0));
    let (t, low1) = two_sum(t, fraction(p1));
    let sum = t * 4.0 + MAGIC;
    let t = t - (sum - MAGIC) * 0.25;
    let (t, low2) = two_sum(t, e1);
    let (t, low3) = two_sum(t, p2);
    let (t, low) = two_sum(t, (low0 + low1) + (low2 + low3) + (e2 + x * row[3]));
    let (h, l) = mul((t, low), TWO_PI);
    (sum.to_bits(), quick_two_sum(h, l))
}

/// sin and cos of `r + low` for |r| <= pi / 4.
#[inline(always)]
pub(super) fn sin_cos_near_zero(r: f64, low: f64) -> (f64, f64) {
    let z = r * r;
    let s = poly!(z; -0.16666666666666632, 0.00833333333332256, -0.0001984126982990355,
        2.755731372022709e-6, -2.5050761998796456e-8, 1.5896996775192032e-10);
    let c = poly!(z; 0.041666666666666616, -0.0013888888888876135, 2.480158729057673e-5,
        -2.75573146345291e-7, 2.087575808555263e-9, -1.1361304391996314e-11);
    let sin = r + fma(r * z, s, fma(z * low, -0.5, low));
    let half = 0.5 * z;
    let top = 1.0 - half;
    let cos = top + (((1.0 - top) - half) + fma(z * z, c, -r * low));
    (sin, cos)
}

#[inline(always)]
fn flip(x: f64, sign: u64) -> f64 {
    f64::from_bits(x.to_bits() ^ (sign & (1 << 63)))
}

/// Max error 1 ulp.
#[inline(always)]
pub fn sin(x: f64) -> f64 {
    let (quarter, (r, low)) = reduce(x.abs());
    let (s, c) = sin_cos_near_zero(r, low);
    let y = flip(if quarter & 1 == 0 { s } else { c }, (quarter << 62) ^ x.to_bits());
    if x.abs() < TINY { x } else { y }
}

/// Max error 1 ulp.
#[inline(always)]
pub fn cos(x: f64) -> f64 {
    let (quarter, (r, low)) = reduce(x.abs());
    let quarter = quarter.wrapping_add(1);
    let (s, c) = sin_cos_near_zero(r, low);
    flip(if quarter & 1 == 0 { s } else { c }, quarter << 62)
}

/// Max error 3 ulp.
#[inline(always)]
pub fn tan(x: f64) -> f64 {
    let (quarter, (r, low)) = reduce(x.abs());
    let (s, c) = sin_cos_near_zero(r, low);
    let even = quarter & 1 == 0;
    let (top, bottom) = if even { (s, c) } else { (-c, s) };
    let y = flip(top / bottom, x.to_bits());
    if x.abs() < TINY { x } else { y }
}

/// |sin(pi x)| and |cos(pi x)| for any x.
#[inline(always)]
pub(super) fn sin_cos_pi(x: f64) -> (f64, f64) {
    let r = (x - x.round_ties_even()).abs();
    let low = r <= 0.25;
    let (s, c) = sin_cos_near_zero(std::f64::consts::PI * if low { r } else { 0.5 - r }, 0.0);
    if low { (s, c) } else { (c, s) }
}
