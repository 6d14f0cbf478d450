//! Normal numbers by Box-Muller: each pair of uniforms of one block gives two values.
//!
//! The logarithm, sine and cosine are our own, on just the ranges that occur here: without branches, so that the
//! loops vectorize, and from plain operations, so that every instruction set gives equal bits.

use super::fill::{LANES, fill, unit_f64};

fill!(
    /// Standard normal; one word for each element. Elements 2i and 2i + 1 of the fill are the cosine and the sine part
    /// of radius `sqrt(-2 ln u)`, u = (w0 + 1/2) / 2^32 rounded, and angle `2 pi (w1 >> 8) / 2^24`. At most 6.7 in size.
    fill_normal_f32(), f32, 4, |words, out| {
        for pair in 0..2 {
            for lane in 0..LANES {
                let unit = unit_f32(words[2 * pair][lane]);
                let radius = (-2.0 * ln_f32(unit)).sqrt();
                let (sin, cos) = sin_cos_f32(words[2 * pair + 1][lane] >> 8);
                out[4 * lane + 2 * pair] = radius * cos;
                out[4 * lane + 2 * pair + 1] = radius * sin;
            }
        }
    }
);

fill!(
    /// Standard normal; two words for each element. As for f32, with u = (k + 1/2) / 2^53 of words 0 and 1 and the
    /// angle from words 2 and 3 as `fill_uniform_f64` makes them. At most 8.7 in size.
    fill_normal_f64(), f64, 2, |words, out| {
        for lane in 0..LANES {
            let unit = unit_f64(words[0][lane], words[1][lane]) + 1.0 / 18_014_398_509_481_984.0;
            let radius = (-2.0 * ln_f64(unit)).sqrt();
            let (sin, cos) = sin_cos_f64(unit_f64(words[2][lane], words[3][lane]));
            out[2 * lane] = radius * cos;
            out[2 * lane + 1] = radius * sin;
        }
    }
);

/// In (0, 1]: the middle of the word's interval. The word is converted by halves, each exact.
#[inline(always)]
fn unit_f32(word: u32) -> f32 {
    let whole = (word >> 16) as i32 as f32 * 65536.0 + (word & 0xFFFF) as i32 as f32;
    whole * (1.0 / 4_294_967_296.0) + 1.0 / 8_589_934_592.0
}

/// ln x for normal x in (0, 1]: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m + 1)) by its series.
#[inline(always)]
fn ln_f32(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3F35_04F3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (shifted as i32 >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007F_FFFF) + SQRT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    exponent * std::f32::consts::LN_2 + (2.0 * s + 2.0 * s * series)
}

/// Sine and cosine of k / 2^24 turns: the nearest quarter turn is taken off exactly, the rest is at most pi / 4.
#[inline(always)]
fn sin_cos_f32(k: u32) -> (f32, f32) {
    let quarter = (k + (1 << 21)) >> 22;
    let rest = (k.wrapping_sub(quarter << 22)) as i32 as f32;
    let x = rest * (std::f32::consts::TAU / 16_777_216.0);
    let z = x * x;
    let sin =
        x - x * z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * (1.0 / 362_880.0))));
    let cos = 1.0
        - z * (0.5
            - z * (1.0 / 24.0
                - z * (1.0 / 720.0 - z * (1.0 / 40_320.0 - z * (1.0 / 3_628_800.0)))));
    // Quarter 1 swaps them, 2 and 3 negate: sin by bit 1 of the quarter, cos by bit 1 of the quarter plus one.
    let swap = quarter & 1 == 1;
    let (s, c) = (if swap { cos } else { sin }, if swap { sin } else { cos });
    let sign = |value: f32, quarter: u32| f32::from_bits(value.to_bits() ^ ((quarter & 2) << 30));
    (sign(s, quarter), sign(c, quarter + 1))
}

/// The series' coefficients without signs, the highest power first: 1 / (2k + 1), 1 / (2k + 1)! and 1 / (2k)!.
const LN: [f64; 11] = coefficients(false, 1);
const SIN: [f64; 8] = coefficients(true, 1);
const COS: [f64; 8] = coefficients(true, 0);

const fn coefficients<const N: usize>(factorial: bool, more: usize) -> [f64; N] {
    let mut table = [1.0; N];
    let mut i = 0;
    while i < N {
        let power = 2 * (N - i) + more;
        let mut product = power as f64;
        let mut below = power - 1;
        while factorial && below > 1 {
            product *= below as f64;
            below -= 1;
        }
        table[i] = 1.0 / product;
        i += 1;
    }
    table
}

/// As `ln_f32`.
#[inline(always)]
fn ln_f64(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    // Narrow before the conversion: not every instruction set converts 64-bit integers in vectors.
    let exponent = f64::from((shifted >> 32) as i32 >> 20);
    let m = f64::from_bits((shifted & 0x000F_FFFF_FFFF_FFFF) + SQRT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = LN.iter().fold(0.0, |sum, c| z * (c + sum));
    exponent * std::f64::consts::LN_2 + (2.0 * s + 2.0 * s * series)
}

/// Sine and cosine of `turn` turns, 0 <= turn < 1. As `sin_cos_f32`.
#[inline(always)]
fn sin_cos_f64(turn: f64) -> (f64, f64) {
    // Adding and taking off 1.5 * 2^52 rounds to the nearest integer, which then stands in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let rounded = 4.0 * turn + ROUND;
    let quarter = rounded.to_bits();
    let x = (turn - 0.25 * (rounded - ROUND)) * std::f64::consts::TAU;
    let z = x * x;
    let sin = SIN.iter().fold(0.0, |sum, c| z * (c - sum));
    let cos = COS.iter().fold(0.0, |sum, c| z * (c - sum));
    let (sin, cos) = (x - x * sin, 1.0 - cos);
    let swap = quarter & 1 == 1;
    let (s, c) = (if swap { cos } else { sin }, if swap { sin } else { cos });
    let sign = |value: f64, quarter: u64| f64::from_bits(value.to_bits() ^ ((quarter & 2) << 62));
    (sign(s, quarter), sign(c, quarter.wrapping_add(1)))
}

#[cfg(test)]
mod tests {
    use super::super::{block_words, philox};
    use super::*;

    fn f32s(seed: u64, offset: u64, n: usize) -> Vec<f32> {
        let mut out = vec![0.0; n];
        // SAFETY: the buffer has n elements; so below.
        unsafe { fill_normal_f32(seed, offset, out.as_mut_ptr(), n) };
        out
    }

    fn f64s(seed: u64, offset: u64, n: usize) -> Vec<f64> {
        let mut out = vec![0.0; n];
        unsafe { fill_normal_f64(seed, offset, out.as_mut_ptr(), n) };
        out
    }

    #[test]
    fn agrees_with_the_formula() {
        let n = 4003;
        let (single, double) = (f32s(9, 77, n), f64s(9, 77, n));
        for i in 0..n {
            let words = block_words(9, 77 + (i / 4) as u64);
            let pair = (i / 2) % 2 * 2;
            let u = (f64::from(words[pair]) + 0.5) / 4_294_967_296.0;
            let angle = f64::from(words[pair + 1] >> 8) / 16_777_216.0 * std::f64::consts::TAU;
            let part = if i % 2 == 0 { angle.cos() } else { angle.sin() };
            let expected = (-2.0 * u.ln()).sqrt() * part;
            // Near u = 1 the rounding of u itself decides.
            let slack = 1e-6 * expected.abs() + 1e-7 * part.abs() / (1.0 - u).sqrt();
            assert!((f64::from(single[i]) - expected).abs() <= slack, "{i}: {expected}");

            let block = 77 + (i / 2) as u64;
            let words = philox([9, 0], [block as u32, 0, 0, 0]);
            let u = unit_f64(words[0], words[1]) + 0.5f64.powi(54);
            let angle = unit_f64(words[2], words[3]) * std::f64::consts::TAU;
            let part = if i % 2 == 0 { angle.cos() } else { angle.sin() };
            // The angle above is rounded at up to 2 pi.
            let radius = (-2.0 * u.ln()).sqrt();
            assert!((double[i] - radius * part).abs() <= 2e-15 * radius, "{i}");
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_instruction_set() {
        let n = 1 << 12;
        let (single, double) = (f32s(4, 0, n), f64s(4, 0, n));
        for i in (0..n).step_by(2) {
            // These calls are compiled for the oldest processor, the fills run what this one has.
            let words = block_words(4, (i / 4) as u64);
            let (radius, angle) = (words[i % 4], words[i % 4 + 1]);
            let radius = (-2.0 * ln_f32(unit_f32(radius))).sqrt();
            let (sin, cos) = sin_cos_f32(angle >> 8);
            assert_eq!(single[i..i + 2], [radius * cos, radius * sin]);
            let words = block_words(4, (i / 2) as u64);
            let unit = unit_f64(words[0], words[1]) + 0.5f64.powi(54);
            let radius = (-2.0 * ln_f64(unit)).sqrt();
            let (sin, cos) = sin_cos_f64(unit_f64(words[2], words[3]));
            assert_eq!(double[i..i + 2], [radius * cos, radius * sin]);
        }
    }

    #[test]
    fn logarithm_sine_and_cosine_are_accurate() {
        for i in 0..200_000u32 {
            let word = i.wrapping_mul(21_475);
            let x = unit_f32(word);
            let exact = f64::from(x).ln();
            assert!((f64::from(ln_f32(x)) - exact).abs() <= 2e-7 * exact.abs(), "{x}");
            let x = f64::from(x) * 0.999_999_9;
            assert!((ln_f64(x) - x.ln()).abs() <= 6e-16 * x.ln().abs(), "{x}");
            let turn = f64::from(word >> 8) / 16_777_216.0;
            let (sin, cos) = (turn * std::f64::consts::TAU).sin_cos();
            let (s, c) = sin_cos_f32(word >> 8);
            assert!((f64::from(s) - sin).abs() <= 1.2e-7 && (f64::from(c) - cos).abs() <= 1.2e-7);
            let (s, c) = sin_cos_f64(turn);
            assert!((s - sin).abs() <= 8e-16 && (c - cos).abs() <= 8e-16, "{turn}");
        }
        assert_eq!((ln_f32(1.0), ln_f64(1.0)), (0.0, 0.0));
    }

    #[test]
    fn extreme_words_give_finite_values() {
        for word in [0, 1, u32::MAX - 1, u32::MAX] {
            let radius = (-2.0 * ln_f32(unit_f32(word))).sqrt();
            assert!(radius.is_finite() && radius < 6.77);
        }
        for k in [0, 1 << 21, (1 << 22) - 1, 1 << 22, (1 << 24) - 1] {
            let (s, c) = sin_cos_f32(k);
            assert!((s * s + c * c - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn moments_are_those_of_the_normal_distribution() {
        let n = 1 << 20;
        let single: Vec<f64> = f32s(2, 0, n).into_iter().map(f64::from).collect();
        for values in [single, f64s(2, 0, n)] {
            let moment = |p| values.iter().map(|v| v.powi(p)).sum::<f64>() / n as f64;
            // Five standard errors: the variance of v^p is (2p - 1)!! - ((p - 1)!!)^2.
            for (p, expected, variance) in
                [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
            {
                let error: f64 = moment(p) - expected;
                assert!(error.abs() < 5.0 * f64::sqrt(variance) / 1024.0, "{p}: {error}");
            }
            let within = |x: f64| values.iter().filter(|v| v.abs() < x).count() as f64 / n as f64;
            assert!((within(1.0) - 0.682_689).abs() < 0.0025);
            assert!((within(3.0) - 0.997_300).abs() < 0.0003);
            let pairs = values.chunks_exact(2).map(|v| v[0] * v[1]).sum::<f64>() / (n / 2) as f64;
            assert!(pairs.abs() < 5.0 / 724.0);
        }
    }
}
