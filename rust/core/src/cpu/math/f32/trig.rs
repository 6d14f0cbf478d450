//! sin, cos and tan of every finite f32, however large.

use super::fma;

/// 1 / (2 pi) in five parts of 29 bits, so that their products with an f32 are exact, and a rest.
const TURN: [f64; 6] = [
    0.15915494319051504,
    -9.861970528407538e-11,
    -2.98359219573521e-19,
    -1.452834461901058e-28,
    -4.225483628960024e-37,
    9.458140970740169e-46,
];
/// Adding it leaves the nearest integer in the low bits of the sum.
const MAGIC: f64 = 6755399441055744.0;

/// `a >= 0` as a count of quarter turns (of which two bits count) and a rest of at most an eighth turn, in radians.
#[inline(always)]
fn reduce(a: f32) -> (u32, f32) {
    let x = a as f64;
    let part = |c: f64| {
        let t = x * c;
        t - t.round_ties_even()
    };
    let t = part(TURN[0]) + part(TURN[1]) + part(TURN[2]) + part(TURN[3]) + part(TURN[4]);
    let sum = t * 4.0 + MAGIC;
    let rest = (t - (sum - MAGIC) * 0.25) + x * TURN[5];
    (sum.to_bits() as u32, (rest * std::f64::consts::TAU) as f32)
}

#[inline(always)]
fn sin_cos_near_zero(r: f32) -> (f32, f32) {
    let z = r * r;
    let s = poly!(z; -0.16666655, 0.008332181, -0.00019517518);
    let c = poly!(z; 0.041666646, -0.0013887326, 2.443405e-5);
    (fma(r * z, s, r), fma(z * z, c, fma(z, -0.5, 1.0)))
}

#[inline(always)]
fn flip(x: f32, sign: u32) -> f32 {
    f32::from_bits(x.to_bits() ^ (sign & 0x8000_0000))
}

/// Max error 2 ulp.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    let (quarter, r) = reduce(x.abs());
    let (s, c) = sin_cos_near_zero(r);
    flip(if quarter & 1 == 0 { s } else { c }, (quarter << 30) ^ x.to_bits())
}

/// Max error 2 ulp.
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    let (quarter, r) = reduce(x.abs());
    let quarter = quarter.wrapping_add(1);
    let (s, c) = sin_cos_near_zero(r);
    flip(if quarter & 1 == 0 { s } else { c }, quarter << 30)
}

/// Max error 4 ulp.
#[inline(always)]
pub fn tan(x: f32) -> f32 {
    let (quarter, r) = reduce(x.abs());
    let (s, c) = sin_cos_near_zero(r);
    let even = quarter & 1 == 0;
    let (top, bottom) = if even { (s, c) } else { (-c, s) };
    flip(top / bottom, x.to_bits())
}
