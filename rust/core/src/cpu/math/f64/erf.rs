//! The error function, its complement and its inverse.

use super::double::two_mul;
use super::exp::exp;
use super::fma;
use super::log::log;

/// `erf(a) / a - 1` for 0 <= a <= 1, with `z = a^2`.
#[inline(always)]
fn erf_tail(z: f64) -> f64 {
    poly!(z; 0.1283791670955126, -0.3761263890318375, 0.11283791670954885,
        -0.026866170645077875, 0.005223977624828431, -0.0008548326981425542,
        0.00012055331132955808, -1.4925595772180693e-5, 1.6461008477800185e-6,
        -1.6350396222845884e-7, 1.4660328722662157e-8, -1.137495573591573e-9,
        5.960685338492878e-11)
}

/// erfc(a) for a >= 0.95: e^(-a^2) / (1 + 2a) times a polynomial in (a - 4) / (a + 4).
#[inline(always)]
fn erfc_tail(a: f64) -> f64 {
    let a = if a > 28.0 { 28.0 } else { a };
    let t = (a - 4.0) / (a + 4.0);
    let p = poly!(t; 1.2329951186255526, -0.1396211168405625, 0.015379652102620935,
        0.06809705425469151, -0.1010390660363971, 0.09373283499841546, -0.06633036580939122,
        0.03716751553560901, -0.01619773410192115, 0.005031970008685772, -0.0007577728900362159,
        -0.0001992570007969516, 0.00015061947389741974, -2.4397306986191666e-5,
        -1.1214497593779057e-5, 5.702295470234074e-6, 2.783657454627847e-7,
        -8.077825903036764e-7, 9.157633543814278e-8, 8.656938259473391e-8,
        -2.4428376811087363e-8);
    let (square, rest) = two_mul(a, a);
    let scale = p / (1.0 + 2.0 * a);
    exp(-square) * fma(scale, -rest, scale)
}

/// Max error 1 ulp.
#[inline(always)]
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    let near = fma(a, erf_tail(a * a), a);
    let far = 1.0 - erfc_tail(a);
    (if a < 1.0 { near } else { far }).copysign(x)
}

/// Max error 4 ulp.
#[inline(always)]
pub fn erfc(x: f64) -> f64 {
    let a = x.abs();
    let near = 1.0 - fma(x, erf_tail(x * x), x);
    let tail = erfc_tail(a);
    let far = if x < 0.0 { 2.0 - tail } else { tail };
    if a < 0.95 { near } else { far }
}

/// erfinv(x) to 27 bits: erfinv(x) / x is smooth in w = -log(1 - x^2), and further out erfinv is smooth in sqrt(w).
#[inline(always)]
pub(in super::super) fn erfinv_approx(x: f64) -> f64 {
    let a = x.abs();
    let w = -log((1.0 - a) * (1.0 + a));
    let near = poly!(w; 0.8862269285162014, 0.23201351122307506, 0.01155064504178255, -0.0023393657572931027, -0.00012089073834757998, 3.9629603971191496e-5, 6.236621365788812e-6, -2.6136661171850164e-6, 3.2995422134739894e-7, -1.910042344057135e-8, 4.146863671489666e-10);
    let root = w.sqrt();
    let far = poly!(root; -0.193123222151527, 1.4799244370221496, -0.7870081726519834, 0.5975007155808437, -0.2705888551593926, 0.08025103713541026, -0.01609325345354886, 0.002173831877481321, -0.00019014256208041173, 9.749413587686015e-6, -2.228582005569763e-7);
    let y = (if w < 5.0 { near * a } else { far }).copysign(x);
    if a == 1.0 { f64::INFINITY.copysign(x) } else { y }
}

/// Max error 3 ulp.
#[inline(always)]
pub fn erfinv(x: f64) -> f64 {
    let a = x.abs();
    let y = erfinv_approx(a);
    // One step of Halley's method, on erfc where 1 - a is exact.
    let miss = if a < 0.5 { erf(y) - a } else { (1.0 - a) - erfc(y) };
    let u = miss * exp(y * y) * 0.886226925452758;
    let better = y - u / fma(u, y, 1.0);
    (if a < 1.0 { better } else { y }).copysign(x)
}
