//! fmod, exactly.

use super::double::two_mul;

/// C's fmod, exact.
#[inline(always)]
pub fn fmod(x: f64, y: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let q = (a / b).trunc();
    let (p, rest) = two_mul(q, b);
    let r = (a - p) - rest;
    // The rounded quotient may be one too large.
    let near = if r < 0.0 { r + b } else { r };
    let regular = (q < 4503599627370496.0) & (a < 1.0e298) & (b > 1.0e-270) & (b < 1.0e298);
    (if regular { near } else { fmod_by_bits(a, b) }).copysign(x)
}

/// A positive finite float as an integer times 2^(exponent - 1075).
fn decompose(x: f64) -> (u64, u64) {
    let mantissa = x.to_bits() & 0x000f_ffff_ffff_ffff;
    let exponent = x.to_bits() >> 52;
    if exponent == 0 { (mantissa, 1) } else { (mantissa | 1 << 52, exponent) }
}

/// fmod of `a, b >= 0` by long division, eleven bits a step.
#[cold]
#[inline(never)]
pub(in super::super) fn fmod_by_bits(a: f64, b: f64) -> f64 {
    if a.is_nan() || a == f64::INFINITY || b.is_nan() || b == 0.0 {
        return f64::NAN;
    }
    if a < b {
        return a;
    }
    let ((mut m, mut exponent), (divisor, lowest)) = (decompose(a), decompose(b));
    while exponent > lowest {
        let step = (exponent - lowest).min(11);
        m = (m % divisor) << step;
        exponent -= step;
    }
    m %= divisor;
    // m * 2^(lowest - 1075): normal numbers first get their leading bit back into place.
    if m == 0 {
        return 0.0;
    }
    let shift = u64::from(m.leading_zeros() - 11).min(lowest - 1);
    let (m, exponent) = (m << shift, lowest - shift);
    f64::from_bits(if m >> 52 == 0 { m } else { (m ^ 1 << 52) | exponent << 52 })
}
