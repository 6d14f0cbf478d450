//! What has the same text on i64 and u64. Arithmetic wraps, and dividing by 0 gives 0.

use super::T;

#[inline(always)]
pub fn zero() -> T {
    0
}

/// The value itself: what rounding does to an integer.
#[inline(always)]
pub fn pos(a: T) -> T {
    a
}

#[inline(always)]
pub fn add(a: T, b: T) -> T {
    a.wrapping_add(b)
}

#[inline(always)]
pub fn sub(a: T, b: T) -> T {
    a.wrapping_sub(b)
}

#[inline(always)]
pub fn mul(a: T, b: T) -> T {
    a.wrapping_mul(b)
}

#[inline(always)]
pub fn max(a: T, b: T) -> T {
    if a > b { a } else { b }
}

#[inline(always)]
pub fn min(a: T, b: T) -> T {
    if a < b { a } else { b }
}

#[inline(always)]
pub fn neg(a: T) -> T {
    a.wrapping_neg()
}

/// The quotient rounded towards 0.
#[inline(always)]
pub fn truncdiv(a: T, b: T) -> T {
    if b == 0 { 0 } else { a.wrapping_div(b) }
}

/// C's `a % b`: the sign is that of `a`.
#[inline(always)]
pub fn fmod(a: T, b: T) -> T {
    if b == 0 { 0 } else { a.wrapping_rem(b) }
}

/// `a^n` by squaring.
#[inline(always)]
pub(super) fn power(a: T, n: u64) -> T {
    let (mut result, mut square, mut left) = (1 as T, a, n);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    result
}

#[inline(always)]
pub fn eq(a: T, b: T) -> bool {
    a == b
}

#[inline(always)]
pub fn ne(a: T, b: T) -> bool {
    a != b
}

#[inline(always)]
pub fn lt(a: T, b: T) -> bool {
    a < b
}

#[inline(always)]
pub fn le(a: T, b: T) -> bool {
    a <= b
}

#[inline(always)]
pub fn gt(a: T, b: T) -> bool {
    a > b
}

#[inline(always)]
pub fn ge(a: T, b: T) -> bool {
    a >= b
}

/// `t` if `c`, else `f` (WGSL's order).
#[inline(always)]
pub fn select(f: T, t: T, c: bool) -> T {
    if c { t } else { f }
}

#[inline(always)]
pub fn both(p: bool, q: bool) -> bool {
    p & q
}

#[inline(always)]
pub fn either(p: bool, q: bool) -> bool {
    p | q
}

#[inline(always)]
pub fn not(p: bool) -> bool {
    !p
}

#[inline(always)]
pub fn bitand(a: T, b: T) -> T {
    a & b
}

#[inline(always)]
pub fn bitor(a: T, b: T) -> T {
    a | b
}

#[inline(always)]
pub fn bitxor(a: T, b: T) -> T {
    a ^ b
}

#[inline(always)]
pub fn bitnot(a: T) -> T {
    !a
}

/// `a << b`, 0 where `b` is not in 0..64.
#[inline(always)]
pub fn shl(a: T, b: T) -> T {
    let shifted = a.wrapping_shl(b as u32);
    if (0..64).contains(&b) { shifted } else { 0 }
}
