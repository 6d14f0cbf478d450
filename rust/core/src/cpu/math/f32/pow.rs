//! pow, log2 and log10 through f64: log2(x) to 43 bits there, and 2^t to 34.

use super::basic::pow_cases;
use super::log::log_cases;
use super::m64::fma;

const SQRT_HALF: u64 = 0x3fe6_a09e_0000_0000;
/// Adding it leaves the nearest integer in the low bits of the sum.
const MAGIC: f64 = 6755399441055744.0;
/// 2^52, and with it the exponent bias: an integer in its low bits is added to it.
const BIASED: u64 = 0x4330_0000_0000_0000;

/// log2 of a positive finite `x`.
#[inline(always)]
fn log2_wide(x: f32) -> f64 {
    let bits = (x as f64).to_bits();
    let above = bits.wrapping_sub(SQRT_HALF).wrapping_add(1023 << 52);
    let e = f64::from_bits((above >> 52) | BIASED) - (4503599627370496.0 + 1023.0);
    let m = f64::from_bits((above & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let p = poly!(z; 0.6666666667551217, 0.39999995701603697, 0.28572101852821574,
        0.2217646155166722, 0.1958056452448847);
    fma(fma(s * z, p, 2.0 * s), std::f64::consts::LOG2_E, e)
}

/// `2^t`, good for a result that is rounded to f32.
#[inline(always)]
fn exp2_wide(t: f64) -> f32 {
    let t = if t > 300.0 { 300.0 } else { t };
    let t = if t < -300.0 { -300.0 } else { t };
    let sum = t + MAGIC;
    let r = (t - (sum - MAGIC)) * std::f64::consts::LN_2;
    let q = poly!(r; 0.500000007857105, 0.1666666686173006, 0.04166626741239005,
        0.00833326408076818, 0.0013946264896663968, 0.0001991855199766521);
    let power = f64::from_bits(sum.to_bits().wrapping_add(1023) << 52);
    ((1.0 + fma(r * r, q, r)) * power) as f32
}

/// C's pow; max error 1 ulp.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    let a = x.abs();
    let finite = if a < f32::INFINITY { log2_wide(a) } else { a as f64 };
    let l = if a == 0.0 { f64::NEG_INFINITY } else { finite };
    pow_cases(x, y, exp2_wide(y as f64 * l))
}

/// Max error 1 ulp.
#[inline(always)]
pub fn log2(x: f32) -> f32 {
    log_cases(x, log2_wide(x) as f32)
}

/// Max error 1 ulp.
#[inline(always)]
pub fn log10(x: f32) -> f32 {
    log_cases(x, (log2_wide(x) * std::f64::consts::LOG10_2) as f32)
}
