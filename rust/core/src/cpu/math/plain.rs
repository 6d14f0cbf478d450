//! The portable reading: no fma, because `mul_add` without the feature is a slow call into libm.

#[path = "f32/mod.rs"]
pub mod m32;
#[path = "f64/mod.rs"]
pub mod m64;

#[inline(always)]
fn fma32(a: f32, b: f32, c: f32) -> f32 {
    a * b + c
}

#[inline(always)]
fn fma64(a: f64, b: f64, c: f64) -> f64 {
    a * b + c
}

/// The upper 26 bits of `a` and the rest (Veltkamp).
#[inline(always)]
fn halves(a: f64) -> (f64, f64) {
    let c = a * 134217729.0;
    let hi = c - (c - a);
    (hi, a - hi)
}

/// `a * b` and its rounding error (Dekker); the magnitudes stay below 2^995.
#[inline(always)]
fn two_mul(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    let ((ah, al), (bh, bl)) = (halves(a), halves(b));
    (p, al * bl - (((p - ah * bh) - al * bh) - ah * bl))
}
