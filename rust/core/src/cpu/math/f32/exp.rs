//! exp and its relatives: x = k ln 2 + r with |r| <= ln 2 / 2, a polynomial in r, and 2^k by exponent bits.

use super::fma;

/// Adding it leaves the nearest integer in the low bits of the sum.
const MAGIC: f32 = 12582912.0;
const LN2: f32 = std::f32::consts::LN_2;
/// ln 2 in two parts; the upper has 15 bits, so that its product with k is exact.
const LN2_HI: f32 = 0.693145751953125;
const LN2_LO: f32 = 1.4286068e-6;

/// `k` and `r` for a moderate `x`.
#[inline(always)]
fn split(x: f32) -> (i32, f32) {
    let sum = fma(x, std::f32::consts::LOG2_E, MAGIC);
    let n = sum - MAGIC;
    let r = fma(n, -LN2_LO, fma(n, -LN2_HI, x));
    (sum.to_bits().wrapping_sub(MAGIC.to_bits()) as i32, r)
}

/// `e^r - 1` for |r| <= ln 2 / 2.
#[inline(always)]
fn expm1_near_zero(r: f32) -> f32 {
    let q = poly!(r; 0.5, 0.16666667, 0.04166635, 0.008333273, 0.0013941173, 0.00019914261);
    fma(r * r, q, r)
}

/// `2^k` for a normal result.
#[inline(always)]
fn power(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) << 23) as u32)
}

/// `p * 2^k` in two steps, so that it overflows and underflows gradually.
#[inline(always)]
fn scale(p: f32, k: i32) -> f32 {
    let half = k >> 1;
    p * power(half) * power(k - half)
}

#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// `2^shift * e^x`, which may be finite where `e^x` is not.
#[inline(always)]
fn exp_shifted(x: f32, shift: i32) -> f32 {
    let (k, r) = split(clamp(x, -110.0, 100.0));
    scale(1.0 + expm1_near_zero(r), k.wrapping_add(shift))
}

/// Max error 1 ulp.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    exp_shifted(x, 0)
}

/// `e^x` for -80 < x <= 0, where one step of scaling is enough.
#[inline(always)]
pub(super) fn exp_negative(x: f32) -> f32 {
    let (k, r) = split(x);
    (1.0 + expm1_near_zero(r)) * power(k)
}

/// Max error 1 ulp.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let x = clamp(x, -200.0, 200.0);
    let sum = x + MAGIC;
    let r = (x - (sum - MAGIC)) * LN2;
    scale(1.0 + expm1_near_zero(r), sum.to_bits().wrapping_sub(MAGIC.to_bits()) as i32)
}

/// Max error 2 ulp.
#[inline(always)]
pub fn expm1(x: f32) -> f32 {
    let (k, r) = split(clamp(x, -30.0, 100.0));
    let half = k >> 1;
    let rest = k.wrapping_sub(half);
    let y = fma(power(half), expm1_near_zero(r), power(half) - power(rest.wrapping_neg()));
    (y * power(rest)).copysign(x)
}

/// Max error 1.5 ulp.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let (k, r) = split(2.0 * if a > 10.0 { 10.0 } else { a });
    let t = fma(power(k), expm1_near_zero(r), power(k) - 1.0);
    let z = a * a;
    let p = poly!(z; -0.3333332, 0.13332604, -0.053854007, 0.021078266, -0.0062830835);
    (if a < 0.55 { fma(a * z, p, a) } else { t / (t + 2.0) }).copysign(x)
}

/// Max error 2 ulp.
#[inline(always)]
pub fn sinh(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let small = fma(a * z, poly!(z; 0.16666667, 0.0083333505, 0.00019836075, 2.817398e-6), a);
    let half = exp_shifted(a, -1);
    (if a < 1.0 { small } else { half - 0.25 / half }).copysign(x)
}

/// Max error 2 ulp.
#[inline(always)]
pub fn cosh(x: f32) -> f32 {
    let half = exp_shifted(x.abs(), -1);
    half + 0.25 / half
}
