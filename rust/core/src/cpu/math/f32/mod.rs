//! The functions on f32. The common ones are computed in f32; the rare ones in f64, where a short
//! formula is accurate, at half the speed.

use super::m64;

type T = f32;

#[path = "../angle.rs"]
mod angle;
mod arc;
#[path = "../basic.rs"]
mod basic;
mod erf;
mod exp;
mod log;
mod pow;
mod trig;
mod wide;

pub use angle::{atan, atan2};
pub use basic::*;
pub use erf::erf;
pub use exp::{cosh, exp, exp2, expm1, sinh, tanh};
pub use log::{log, log1p};
pub use pow::{log2, log10, pow};
pub use trig::{cos, sin, tan};
pub use wide::*;

/// `a * b + c`, with one rounding where the hardware has it.
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    super::fma32(a, b, c)
}
