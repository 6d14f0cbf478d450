//! pow, log2 and log10 from a logarithm of about 66 bits.

use super::basic::pow_cases;
use super::double::{mul, quick_two_sum, two_mul, two_sum};
use super::exp::{MAGIC, clamp, exp2_parts};
use super::fma;
use super::log::{log_cases, parts};

const LOG2_E: (f64, f64) = (std::f64::consts::LOG2_E, 2.0355273740931033e-17);
const LOG10_2: (f64, f64) = (std::f64::consts::LOG10_2, -2.8037281277851704e-18);
const TWO_THIRDS: (f64, f64) = (0.6666666666666666, 3.700743415417188e-17);

/// log2 of a positive finite `x`: log(m) = 2s + s^3 (2/3 + 2/5 s^2 + ...) with s = (m - 1) / (m + 1).
#[inline(always)]
fn log2_double(x: f64) -> (f64, f64) {
    let (e, m) = parts(x);
    let f = m - 1.0;
    let (d, d_low) = two_sum(m, 1.0);
    let inverse = 1.0 / d;
    let s = f * inverse;
    let (p, p_low) = two_mul(s, d);
    let s = (s, (((f - p) - p_low) - s * d_low) * inverse);
    let z = mul(s, s);
    let tail = z.0
        * poly!(z.0; 0.40000000000002034, 0.2857142857018816, 0.22222222506193667,
            0.18181785435584258, 0.15386712794393823, 0.13257768369220133, 0.13188159903610766);
    let (h, l) = quick_two_sum(TWO_THIRDS.0, tail);
    let cubic = mul(s, mul(z, (h, l + (TWO_THIRDS.1 + 0.4 * z.1))));
    let (h, l) = quick_two_sum(2.0 * s.0, cubic.0);
    let scaled = mul((h, l + (2.0 * s.1 + cubic.1)), LOG2_E);
    let (h, l) = two_sum(e, scaled.0);
    quick_two_sum(h, l + scaled.1)
}

/// C's pow; max error 2 ulp.
#[inline(always)]
pub fn pow(x: f64, y: f64) -> f64 {
    let a = x.abs();
    let (h, l) = log2_double(a);
    let finite = if a < f64::INFINITY { h } else { a };
    let h = if a == 0.0 { f64::NEG_INFINITY } else { finite };
    // An exponent this large saturates for every base but 1.
    let v = clamp(y, -3.7e19, 3.7e19);
    let product = two_mul(v, h);
    let inside = product.0.abs() < 1100.0;
    let t = clamp(v * h, -1100.0, 1100.0);
    let low = if inside { product.1 + v * l } else { 0.0 };
    let n = (t + MAGIC) - MAGIC;
    pow_cases(x, y, exp2_parts(n, (t - n) + low))
}

/// Max error 1 ulp.
#[inline(always)]
pub fn log2(x: f64) -> f64 {
    log_cases(x, log2_double(x).0)
}

/// Max error 1 ulp.
#[inline(always)]
pub fn log10(x: f64) -> f64 {
    let (h, l) = mul(log2_double(x), LOG10_2);
    log_cases(x, h + l)
}
