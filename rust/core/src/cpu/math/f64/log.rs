//! log and log1p: x = 2^e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and log(1 + f) = 2 atanh(f / (2 + f)).

use super::fma;

const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
/// 2^52: an integer in its low bits is added to it.
const TWO_52: f64 = 4503599627370496.0;
const EXPONENT: u64 = 0xfff0_0000_0000_0000;
const LN2_HI: f64 = 0.6931471805601177;
const LN2_LO: f64 = -1.7239444525614835e-13;

/// `e ln 2 + log(1 + f)`.
#[inline(always)]
fn assemble(e: f64, f: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * poly!(z; 0.6666666666666731, 0.3999999999943734, 0.28571428738074844,
        0.2222219896579438, 0.1818354580657679, 0.15314487407761498, 0.14791873179131357);
    let half_square = 0.5 * f * f;
    let tail = half_square - fma(s, half_square + r, e * LN2_LO);
    fma(e, LN2_HI, f - tail)
}

/// The exponent `e` of a positive normal `x`: its bits in place, and as a float.
#[inline(always)]
fn exponent(x: f64) -> (u64, f64) {
    let bits = x.to_bits().wrapping_sub(SQRT_HALF) & EXPONENT;
    let biased = bits.wrapping_add(1023 << 52) >> 52;
    (bits, f64::from_bits(biased | TWO_52.to_bits()) - (TWO_52 + 1023.0))
}

/// A positive finite `x` as `e` and `1 + f`.
#[inline(always)]
pub(super) fn parts(x: f64) -> (f64, f64) {
    let subnormal = x < f64::MIN_POSITIVE;
    let (y, lift) = if subnormal { (x * 18014398509481984.0, 54.0) } else { (x, 0.0) };
    let (bits, e) = exponent(y);
    (e - lift, f64::from_bits(y.to_bits().wrapping_sub(bits)))
}

/// `y`, except where the argument `x` of the logarithm is not positive and finite.
#[inline(always)]
pub(super) fn log_cases(x: f64, y: f64) -> f64 {
    let positive = if x < f64::INFINITY { y } else { x };
    let other = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    if x > 0.0 { positive } else { other }
}

/// Max error 1 ulp.
#[inline(always)]
pub fn log(x: f64) -> f64 {
    let (e, m) = parts(x);
    log_cases(x, assemble(e, m - 1.0))
}

/// Max error 2 ulp.
#[inline(always)]
pub fn log1p(x: f64) -> f64 {
    let u = 1.0 + x;
    let (bits, e) = exponent(u);
    // f = x / 2^e + (1 / 2^e - 1), where only the sum rounds; from 2^60 on the 1 in 1 + x counts for nothing.
    let inverse = f64::from_bits((1023u64 << 52).wrapping_sub(bits));
    let inverse = if u < 1.0e18 { inverse } else { 0.0 };
    let scaled = f64::from_bits(x.to_bits().wrapping_sub(bits));
    let y = log_cases(u, assemble(e, scaled + (inverse - 1.0)));
    // Keeps the sign of zero.
    if x == 0.0 { x } else { y }
}
