//! Fills with integers and uniforms, and random permutations.

use crate::cpu::threads;

use super::{block_words, blocks};

/// Blocks computed together: enough for the compiler to use the widest vectors.
pub(super) const LANES: usize = 16;
/// Blocks of one task.
const GRAIN: usize = 1 << 14;

/// Writes `n` elements: calls `make` for each `LANES` blocks, which turns their words (word by word, so that lanes
/// lie side by side) into `PER * LANES` elements. `PER` is the number of elements of one block.
#[inline(always)]
pub(super) unsafe fn span<T: Copy + Default, const PER: usize, const LEN: usize>(
    seed: u64,
    first: u64,
    out: *mut T,
    n: usize,
    make: impl Fn(&[[u32; LANES]; 4], &mut [T; LEN]),
) {
    let mut made = [T::default(); LEN];
    let mut done = 0;
    while done < n {
        let start = first.wrapping_add((done / PER) as u64);
        let mut words = [[0; LANES]; 4];
        for lane in 0..LANES {
            let block = block_words(seed, start.wrapping_add(lane as u64));
            for word in 0..4 {
                words[word][lane] = block[word];
            }
        }
        make(&words, &mut made);
        let count = LEN.min(n - done);
        // SAFETY: the caller has `n` elements at `out`, and `done + count <= n`.
        unsafe { out.add(done).copy_from_nonoverlapping(made.as_ptr(), count) };
        done += count;
    }
}

/// The address of a fill's output, for its tasks.
struct Out<T>(*mut T);

// SAFETY: the tasks of a fill write to disjoint parts.
unsafe impl<T> Sync for Out<T> {}

impl<T> Out<T> {
    /// Part of the output from element `start` on.
    unsafe fn at(&self, start: usize) -> *mut T {
        // SAFETY: the caller stays within the output.
        unsafe { self.0.add(start) }
    }
}

/// Splits a fill of `n` elements, `per` to a block, into tasks `part(first block, output, elements)`.
pub(super) fn parallel<T>(
    offset: u64,
    out: *mut T,
    n: usize,
    per: usize,
    part: impl Fn(u64, *mut T, usize) + Sync,
) {
    let out = Out(out);
    threads::for_range(n, GRAIN * per, &|range| {
        // SAFETY: the range lies within the `n` elements of the output.
        let start = unsafe { out.at(range.start) };
        part(offset.wrapping_add((range.start / per) as u64), start, range.len());
    });
}

/// Defines `$name`, a fill of `n` elements of `$t`, of which a block gives `$per`; `$make` turns words into elements.
/// The loop is compiled for each vector width; the results do not depend on it.
macro_rules! fill {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $at:ty),*), $t:ty, $per:literal, $make:expr) => {
        $(#[$doc])*
        /// # Safety
        /// `out` is valid for writing `n` elements.
        pub unsafe fn $name(seed: u64, offset: u64, $($arg: $at,)* out: *mut $t, n: usize) {
            #[inline(always)]
            unsafe fn part(seed: u64, first: u64, $($arg: $at,)* out: *mut $t, n: usize) {
                const LEN: usize = $per * $crate::rng::fill::LANES;
                // SAFETY: as the caller promises.
                unsafe {
                    $crate::rng::fill::span::<$t, $per, LEN>(seed, first, out, n, $make);
                }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            unsafe fn avx512(seed: u64, first: u64, $($arg: $at,)* out: *mut $t, n: usize) {
                // SAFETY: as the caller promises.
                unsafe { part(seed, first, $($arg,)* out, n) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            unsafe fn avx2(seed: u64, first: u64, $($arg: $at,)* out: *mut $t, n: usize) {
                // SAFETY: as the caller promises.
                unsafe { part(seed, first, $($arg,)* out, n) }
            }
            let mut chosen: unsafe fn(u64, u64, $($at,)* *mut $t, usize) = part;
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                chosen = avx512;
            } else if is_x86_feature_detected!("avx2") {
                chosen = avx2;
            }
            $crate::rng::fill::parallel(offset, out, n, $per, |first, out, n| {
                // SAFETY: the processor has what the chosen one needs, and the part lies within the output.
                unsafe { chosen(seed, first, $($arg,)* out, n) };
            });
        }
    };
}
pub(super) use fill;

fill!(
    /// Random words; one word for each element.
    fill_u32(), u32, 4, |words, out| {
        for lane in 0..LANES {
            for word in 0..4 {
                out[4 * lane + word] = words[word][lane];
            }
        }
    }
);

fill!(
    /// Uniform on [0, 1) in steps of 2^-24; one word for each element.
    fill_uniform_f32(), f32, 4, |words, out| {
        for lane in 0..LANES {
            for word in 0..4 {
                // As a signed number, for which every instruction set has a conversion.
                out[4 * lane + word] = (words[word][lane] >> 8) as i32 as f32 * (1.0 / 16_777_216.0);
            }
        }
    }
);

fill!(
    /// Uniform on [0, 1) in steps of 2^-53; two words for each element, the low one first.
    fill_uniform_f64(), f64, 2, |words, out| {
        for lane in 0..LANES {
            for pair in 0..2 {
                out[2 * lane + pair] = unit_f64(words[2 * pair][lane], words[2 * pair + 1][lane]);
            }
        }
    }
);

/// 53 bits of two words as a fraction, by exact operations: the high bits and the low ones apart.
#[inline(always)]
pub(super) fn unit_f64(low: u32, high: u32) -> f64 {
    let (high, low) = ((high >> 5) as i32, (low >> 6) as i32);
    (f64::from(high) * 67_108_864.0 + f64::from(low)) * (1.0 / 9_007_199_254_740_992.0)
}

fill!(
    fill_narrow(low: i64, count: u64), i64, 2, |words, out| {
        for lane in 0..LANES {
            for pair in 0..2 {
                let word = wide(words[2 * pair][lane], words[2 * pair + 1][lane]);
                // The high half of word * count, by halves of the word: with count <= 2^32 no step overflows.
                let carry = ((word & 0xFFFF_FFFF) * count) >> 32;
                let pick = ((word >> 32) * count + carry) >> 32;
                out[2 * lane + pair] = low.wrapping_add(pick as i64);
            }
        }
    }
);

fill!(
    fill_wide(low: i64, count: u128), i64, 1, |words, out| {
        for lane in 0..LANES {
            let high = u128::from(wide(words[2][lane], words[3][lane]));
            let low_word = u128::from(wide(words[0][lane], words[1][lane]));
            let pick = (high * count + ((low_word * count) >> 64)) >> 64;
            out[lane] = low.wrapping_add(pick as i64);
        }
    }
);

#[inline(always)]
fn wide(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Words that each element of `fill_randint` uses: two up to 2^32 different values, else four.
pub(super) fn randint_words(low: i64, last: i64) -> usize {
    if last.abs_diff(low) >> 32 == 0 { 2 } else { 4 }
}

/// Integers from `low` to `last`, both included, by multiply and shift: no value's probability is off by more than
/// 2^-32 of itself (64 random bits up to 2^32 values, 128 beyond). Returns the number of blocks used up.
///
/// # Safety
/// `out` is valid for writing `n` elements, and `low <= last`.
pub unsafe fn fill_randint(
    seed: u64,
    offset: u64,
    low: i64,
    last: i64,
    out: *mut i64,
    n: usize,
) -> u64 {
    let words = randint_words(low, last);
    let span = last.abs_diff(low);
    // SAFETY: as the caller promises.
    unsafe {
        if words == 2 {
            fill_narrow(seed, offset, low, span + 1, out, n);
        } else {
            fill_wide(seed, offset, low, u128::from(span) + 1, out, n);
        }
    }
    blocks(n, words)
}

/// A random permutation of `0..n` (Fisher-Yates; position i uses the two words of element i). Uses up `blocks(n, 2)`.
///
/// # Safety
/// `out` is valid for writing `n` elements.
pub unsafe fn randperm(seed: u64, offset: u64, out: *mut i64, n: usize) {
    const CHUNK: usize = 1024;
    let mut words = [0u32; 2 * CHUNK];
    let mut done = 0;
    while done < n {
        let count = CHUNK.min(n - done);
        let first = offset.wrapping_add((done / 2) as u64);
        // SAFETY: there is room for two words for each of at most CHUNK elements.
        unsafe { fill_u32(seed, first, words.as_mut_ptr(), 2 * count) };
        for i in done..done + count {
            let pair = 2 * (i - done);
            let word = u128::from(wide(words[pair], words[pair + 1]));
            let j = ((word * (i as u128 + 1)) >> 64) as usize;
            // SAFETY: j <= i < n, and the elements before i have been written.
            unsafe {
                if j < i {
                    out.add(i).write(out.add(j).read());
                }
                out.add(j).write(i as i64);
            }
        }
        done += count;
    }
}

#[cfg(test)]
mod tests {
    use super::super::philox;
    use super::*;

    fn filled<T: Copy + Default>(n: usize, fill: impl FnOnce(*mut T, usize)) -> Vec<T> {
        let mut out = vec![T::default(); n];
        fill(out.as_mut_ptr(), n);
        out
    }

    fn u32s(seed: u64, offset: u64, n: usize) -> Vec<u32> {
        // SAFETY: `filled` passes a buffer of n elements; so below.
        filled(n, |out, n| unsafe { fill_u32(seed, offset, out, n) })
    }

    fn f32s(seed: u64, offset: u64, n: usize) -> Vec<f32> {
        filled(n, |out, n| unsafe { fill_uniform_f32(seed, offset, out, n) })
    }

    fn f64s(seed: u64, offset: u64, n: usize) -> Vec<f64> {
        filled(n, |out, n| unsafe { fill_uniform_f64(seed, offset, out, n) })
    }

    fn randints(low: i64, last: i64, n: usize) -> Vec<i64> {
        filled(n, |out, n| {
            let used = unsafe { fill_randint(11, 0, low, last, out, n) };
            assert_eq!(used, blocks(n, randint_words(low, last)));
        })
    }

    fn permutation(seed: u64, n: usize) -> Vec<i64> {
        filled(n, |out, n| unsafe { randperm(seed, 0, out, n) })
    }

    #[test]
    fn every_element_follows_the_stream_layout() {
        let (seed, offset) = (0x0123_4567_89AB_CDEF, u64::from(u32::MAX) - 3);
        let word = |i: usize| {
            let block = offset + (i / 4) as u64;
            let counter = [block as u32, (block >> 32) as u32, 0, 0];
            philox([0x89AB_CDEF, 0x0123_4567], counter)[i % 4]
        };
        for n in [0, 1, 3, 4, 5, 63, 64, 65, 1000] {
            let words = u32s(seed, offset, n);
            let floats = f32s(seed, offset, n);
            let doubles = f64s(seed, offset, n);
            for i in 0..n {
                assert_eq!(words[i], word(i));
                assert_eq!(floats[i], (word(i) >> 8) as f32 / 16_777_216.0);
                let bits = wide(word(2 * i), word(2 * i + 1));
                let high = bits >> 37 << 26 | u64::from(word(2 * i) >> 6);
                assert_eq!(doubles[i], high as f64 / 9_007_199_254_740_992.0);
            }
        }
    }

    #[test]
    fn large_fills_are_the_same_in_pieces_and_wrap_around() {
        let n = 5 * 4 * GRAIN + 3;
        let whole = u32s(1, u64::MAX - 7, n);
        assert_eq!(whole[..32], u32s(1, u64::MAX - 7, 32));
        assert_eq!(whole[32..], u32s(1, 0, n - 32));
    }

    #[test]
    fn uniforms_are_uniform() {
        let n = 1 << 20;
        let values: Vec<f64> = f32s(5, 0, n).into_iter().map(f64::from).collect();
        for values in [values, f64s(5, 0, n)] {
            assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
            let mean = values.iter().sum::<f64>() / n as f64;
            let second = values.iter().map(|v| v * v).sum::<f64>() / n as f64;
            let lagged = values.windows(2).map(|v| v[0] * v[1]).sum::<f64>() / n as f64;
            // Five standard errors.
            assert!((mean - 0.5).abs() < 5.0 * 0.2887 / 1024.0);
            assert!((second - 1.0 / 3.0).abs() < 5.0 * 0.2981 / 1024.0);
            assert!((lagged - 0.25).abs() < 5.0 * 0.2205 * 1.6 / 1024.0);
            let mut bins = [0.0; 256];
            for v in &values {
                bins[(v * 256.0) as usize] += 1.0;
            }
            assert!(chi_squared(&bins) < 255.0 + 5.0 * 22.6);
        }
    }

    fn chi_squared(bins: &[f64]) -> f64 {
        let expected = bins.iter().sum::<f64>() / bins.len() as f64;
        bins.iter().map(|b| (b - expected).powi(2) / expected).sum()
    }

    #[test]
    fn randint_covers_its_range() {
        let mut bins = [0.0; 7];
        for v in randints(-3, 3, 70_000) {
            bins[(v + 3) as usize] += 1.0;
        }
        assert!(chi_squared(&bins) < 6.0 + 5.0 * 3.5);
        assert!(randints(9, 9, 100).iter().all(|&v| v == 9));
        for (low, last) in [(0, i64::from(u32::MAX)), (-5, 1 << 40), (i64::MIN, i64::MAX)] {
            let values = randints(low, last, 10_000);
            assert!(values.iter().all(|v| (low..=last).contains(v)));
            let width = last as f64 - low as f64;
            let mean = values.iter().map(|&v| (v as f64 - low as f64) / width).sum::<f64>() / 1e4;
            assert!((mean - 0.5).abs() < 5.0 * 0.2887 / 100.0);
        }
    }

    #[test]
    fn randint_is_multiply_and_shift() {
        let words = u32s(11, 0, 400);
        for count in [1, 2, 10, 1 << 31, (1 << 32) - 1, 1 << 32] {
            let values = randints(0, count - 1, 200);
            for i in 0..200 {
                let word = u128::from(wide(words[2 * i], words[2 * i + 1]));
                assert_eq!(values[i], ((word * count as u128) >> 64) as i64, "{count}");
            }
        }
        let full = randints(i64::MIN, i64::MAX, 100);
        for i in 0..100 {
            let word = wide(words[4 * i + 2], words[4 * i + 3]);
            assert_eq!(full[i], i64::MIN.wrapping_add(word as i64));
        }
    }

    #[test]
    fn permutations_are_permutations_and_uniform() {
        for n in [0, 1, 2, 1023, 1024, 1025, 5000] {
            let mut seen = permutation(3, n);
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..n as i64));
        }
        let mut bins = [0.0; 24];
        for seed in 0..24_000 {
            let p = permutation(seed, 4);
            let smaller = |i: usize| p[i + 1..].iter().filter(|&&v| v < p[i]).count();
            bins[smaller(0) * 6 + smaller(1) * 2 + smaller(2)] += 1.0;
        }
        assert!(chi_squared(&bins) < 23.0 + 5.0 * 6.8);
    }
}
