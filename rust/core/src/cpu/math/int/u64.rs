//! The functions on u64. Arithmetic wraps, dividing by 0 gives 0: the caller has raised an error before.

type T = u64;

#[path = "shared.rs"]
mod shared;

pub use shared::*;

#[inline(always)]
pub fn abs(a: u64) -> u64 {
    a
}

/// 0 or 1.
#[inline(always)]
pub fn sign(a: u64) -> u64 {
    u64::from(a != 0)
}

#[inline(always)]
pub fn remainder(a: u64, b: u64) -> u64 {
    fmod(a, b)
}

#[inline(always)]
pub fn floordiv(a: u64, b: u64) -> u64 {
    truncdiv(a, b)
}

#[inline(always)]
pub fn pow(a: u64, b: u64) -> u64 {
    shared::power(a, b)
}

/// `a >> b`, 0 where `b >= 64`.
#[inline(always)]
pub fn shr(a: u64, b: u64) -> u64 {
    let shifted = a.wrapping_shr(b as u32);
    if b < 64 { shifted } else { 0 }
}
