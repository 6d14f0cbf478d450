//! The functions on f64.

type T = f64;

#[path = "../angle.rs"]
mod angle;
mod arc;
#[path = "../basic.rs"]
mod basic;
mod div;
mod double;
mod erf;
mod exp;
mod gamma;
mod log;
mod pow;
mod trig;
mod turn;

pub use angle::{atan, atan2};
pub use arc::{acos, acosh, asin, asinh, atanh, hypot};
pub use basic::*;
pub use div::fmod;
pub(super) use div::fmod_by_bits;
pub(super) use erf::erfinv_approx;
pub use erf::{erf, erfc, erfinv};
pub use exp::{cosh, exp, exp2, expm1, sinh, tanh};
pub use gamma::{digamma, lgamma, trigamma};
pub use log::{log, log1p};
pub use pow::{log2, log10, pow};
pub use trig::{cos, sin, tan};

/// `a * b + c`, with one rounding where the hardware has it.
#[inline(always)]
pub fn fma(a: f64, b: f64, c: f64) -> f64 {
    super::fma64(a, b, c)
}
