//! The error function.

use super::exp::exp_negative;
use super::fma;

/// Max error 2 ulp.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let p = poly!(z; 0.12837917, -0.37612626, 0.112836, -0.026854446, 0.0051895366,
        -0.00080208457, 7.889119e-5);
    let near = fma(a, p, a);
    // log(erfc(a)) is smooth; from 4 on erf is 1.
    let b = if a > 4.0 { 4.0 } else { a };
    let q = poly!(b; -0.00014958336, -1.1281244, -0.63581675, -0.10592729, 0.02382138,
        -0.0037560896, 0.00036321167, -1.6020025e-5);
    let far = 1.0 - exp_negative(q);
    (if a < 0.97 { near } else { far }).copysign(x)
}
