//! exp and its relatives: x = k ln 2 + r with |r| <= ln 2 / 2, a polynomial in r, and 2^k by exponent bits.

use super::fma;

/// Adding it leaves the nearest integer in the low bits of the sum.
pub(super) const MAGIC: f64 = 6755399441055744.0;
const LN2: f64 = std::f64::consts::LN_2;
/// ln 2 in two parts; the upper has 41 bits, so that its product with k is exact.
const LN2_HI: f64 = 0.6931471805601177;
const LN2_LO: f64 = -1.7239444525614835e-13;

/// The integer that `sum = MAGIC + integer` holds.
#[inline(always)]
fn integer(sum: f64) -> i64 {
    sum.to_bits().wrapping_sub(MAGIC.to_bits()) as i64
}

/// `k` twice, as a float and as bits, and `r`, for a moderate `x`.
#[inline(always)]
fn split(x: f64) -> (f64, i64, f64) {
    let sum = fma(x, std::f64::consts::LOG2_E, MAGIC);
    let n = sum - MAGIC;
    (n, integer(sum), fma(n, -LN2_LO, fma(n, -LN2_HI, x)))
}

/// `e^r - 1` for |r| <= ln 2 / 2.
#[inline(always)]
pub(super) fn expm1_near_zero(r: f64) -> f64 {
    let q = poly!(r; 0.5, 0.16666666666666677, 0.0416666666666667, 0.008333333333321508,
        0.0013888888888866607, 0.0001984126988651146, 2.4801587360766434e-5,
        2.7557243756182427e-6, 2.7557242796064605e-7, 2.5109215410411205e-8,
        2.0924372328324953e-9);
    fma(r * r, q, r)
}

/// `2^k` for a normal result.
#[inline(always)]
fn power(k: i64) -> f64 {
    f64::from_bits((k.wrapping_add(1023) << 52) as u64)
}

/// About half of the integer `n`. In floats, because AVX2 cannot shift i64 arithmetically.
#[inline(always)]
fn half_of(n: f64) -> i64 {
    integer(n * 0.5 + MAGIC)
}

/// `p * 2^(n + shift)` in two steps, so that it overflows and underflows gradually; `k` is `n`.
#[inline(always)]
pub(super) fn scale(p: f64, n: f64, k: i64, shift: i64) -> f64 {
    let half = half_of(n);
    p * power(half) * power(k.wrapping_sub(half).wrapping_add(shift))
}

#[inline(always)]
pub(super) fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// `2^shift * e^x`, which may be finite where `e^x` is not.
#[inline(always)]
fn exp_shifted(x: f64, shift: i64) -> f64 {
    let (n, k, r) = split(clamp(x, -760.0, 720.0));
    scale(1.0 + expm1_near_zero(r), n, k, shift)
}

/// Max error 1 ulp.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    exp_shifted(x, 0)
}

/// `2^(whole + rest)` for an integer `whole` of at most 1100 and |rest| <= 1/2.
#[inline(always)]
pub(super) fn exp2_parts(whole: f64, rest: f64) -> f64 {
    scale(1.0 + expm1_near_zero(rest * LN2), whole, integer(whole + MAGIC), 0)
}

/// Max error 1.1 ulp.
#[inline(always)]
pub fn exp2(x: f64) -> f64 {
    let x = clamp(x, -1100.0, 1100.0);
    let n = (x + MAGIC) - MAGIC;
    exp2_parts(n, x - n)
}

/// Max error 3 ulp.
#[inline(always)]
pub fn expm1(x: f64) -> f64 {
    let (n, k, r) = split(clamp(x, -50.0, 720.0));
    let half = half_of(n);
    let rest = k.wrapping_sub(half);
    let y = fma(power(half), expm1_near_zero(r), power(half) - power(rest.wrapping_neg()));
    (y * power(rest)).copysign(x)
}

/// Max error 3 ulp.
#[inline(always)]
pub fn tanh(x: f64) -> f64 {
    let a = x.abs();
    let (_, k, r) = split(2.0 * if a > 22.0 { 22.0 } else { a });
    let t = fma(power(k), expm1_near_zero(r), power(k) - 1.0);
    (t / (t + 2.0)).copysign(x)
}

/// Max error 2 ulp.
#[inline(always)]
pub fn sinh(x: f64) -> f64 {
    let a = x.abs();
    let z = a * a;
    let p = poly!(z; 0.16666666666666666, 0.008333333333333333, 0.00019841269841269592,
        2.7557319224119215e-6, 2.5052108345847526e-8, 1.6059050682762337e-10,
        7.646477718785511e-13, 2.8483657118591343e-15);
    let small = fma(a * z, p, a);
    let half = exp_shifted(a, -1);
    (if a < 1.0 { small } else { half - 0.25 / half }).copysign(x)
}

/// Max error 2 ulp.
#[inline(always)]
pub fn cosh(x: f64) -> f64 {
    let half = exp_shifted(x.abs(), -1);
    half + 0.25 / half
}
