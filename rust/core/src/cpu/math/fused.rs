//! The reading with a hardware fma; callers are compiled with that feature.

#[path = "f32/mod.rs"]
pub mod m32;
#[path = "f64/mod.rs"]
pub mod m64;

#[inline(always)]
fn fma32(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

#[inline(always)]
fn fma64(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

/// `a * b` and its rounding error.
#[inline(always)]
fn two_mul(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    (p, a.mul_add(b, -p))
}
