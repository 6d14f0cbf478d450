//! log and log1p: x = 2^e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and a polynomial in f.

use super::fma;

const SQRT_HALF: u32 = 0x3f35_04f3;
/// ln 2 in two parts; the upper has 15 bits, so that its product with e is exact.
const LN2_HI: f32 = 0.693145751953125;
const LN2_LO: f32 = 1.4286068e-6;

/// `e ln 2 + log(1 + f)`.
#[inline(always)]
fn assemble(e: f32, f: f32) -> f32 {
    let z = f * f;
    let p = poly!(f; 0.33333316, -0.25000808, 0.20002288, -0.16624597, 0.14181192, -0.13128377,
        0.12881507, -0.07860376);
    let tail = fma(f * z, p, fma(z, -0.5, e * LN2_LO));
    fma(e, LN2_HI, f + tail)
}

/// The exponent `e` of a positive normal `x`, shifted to its place.
#[inline(always)]
fn exponent_bits(x: f32) -> u32 {
    x.to_bits().wrapping_sub(SQRT_HALF) & 0xff80_0000
}

/// `y`, except where the argument `x` of the logarithm is not positive and finite.
#[inline(always)]
pub(super) fn log_cases(x: f32, y: f32) -> f32 {
    let positive = if x < f32::INFINITY { y } else { x };
    let other = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
    if x > 0.0 { positive } else { other }
}

/// Max error 1 ulp.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let (y, lift) = if subnormal { (x * 8388608.0, 23.0) } else { (x, 0.0) };
    let bits = exponent_bits(y);
    let f = f32::from_bits(y.to_bits().wrapping_sub(bits)) - 1.0;
    log_cases(x, assemble(((bits as i32) >> 23) as f32 - lift, f))
}

/// Max error 1.5 ulp.
#[inline(always)]
pub fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let bits = exponent_bits(u);
    let e = (bits as i32) >> 23;
    // f = x / 2^e + (1 / 2^e - 1), where only the sum rounds; 1 / 2^e may vanish beside x / 2^e.
    let inverse = 127i32.wrapping_sub(e).max(0) << 23;
    let scaled = f32::from_bits(x.to_bits().wrapping_sub(bits));
    let y = assemble(e as f32, scaled + (f32::from_bits(inverse as u32) - 1.0));
    let y = log_cases(u, y);
    // Keeps the sign of zero.
    if x == 0.0 { x } else { y }
}
