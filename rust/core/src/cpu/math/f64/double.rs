//! Sums and products of pairs (hi, lo) that stand for hi + lo, some 100 bits together.

pub(super) use super::super::two_mul;

/// `a + b` and its rounding error (Knuth).
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// The same for |a| >= |b| (Dekker).
#[inline(always)]
pub(super) fn quick_two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    (s, b - (s - a))
}

#[inline(always)]
pub(super) fn mul(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (p, e) = two_mul(a.0, b.0);
    (p, e + (a.0 * b.1 + a.1 * b.0))
}
