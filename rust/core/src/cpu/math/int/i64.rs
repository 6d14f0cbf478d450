//! The functions on i64. Arithmetic wraps, dividing by 0 gives 0: the caller has raised an error before.

type T = i64;

#[path = "shared.rs"]
mod shared;

pub use shared::*;

#[inline(always)]
pub fn abs(a: i64) -> i64 {
    a.wrapping_abs()
}

#[inline(always)]
pub fn sign(a: i64) -> i64 {
    a.signum()
}

/// Python's `a % b`: the sign is that of `b`.
#[inline(always)]
pub fn remainder(a: i64, b: i64) -> i64 {
    let m = fmod(a, b);
    if (m != 0) & ((m < 0) != (b < 0)) { m.wrapping_add(b) } else { m }
}

/// The quotient rounded down.
#[inline(always)]
pub fn floordiv(a: i64, b: i64) -> i64 {
    let (q, m) = (truncdiv(a, b), fmod(a, b));
    if (m != 0) & ((m < 0) != (b < 0)) { q.wrapping_sub(1) } else { q }
}

/// `a^b`; a negative power is 0, except of 1 and -1.
#[inline(always)]
pub fn pow(a: i64, b: i64) -> i64 {
    if b >= 0 {
        return shared::power(a, b as u64);
    }
    match a {
        1 => 1,
        -1 => 1 - 2 * (b & 1),
        _ => 0,
    }
}

/// `a >> b` with the sign moving in; where `b` is not in 0..64, nothing but the sign is left.
#[inline(always)]
pub fn shr(a: i64, b: i64) -> i64 {
    a >> if (0..64).contains(&b) { b } else { 63 }
}
