//! Mean and sum of squared deviations, in one pass over memory: two passes over each chunk while it is in
//! the first cache level, and chunks joined in f64 by Chan's formula. Exact for means of any size.

use super::lanes::{CHUNK, LANES, Math, Real, blocks, load, sum_lanes};

/// A running mean, sum of squared deviations, and count.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) m2: f64,
    pub(super) n: f64,
}

impl Moments {
    /// `n` elements with these sums of d and d^2, d the differences from `about`.
    #[inline(always)]
    pub(super) fn of(about: f64, d: f64, d2: f64, n: f64) -> Self {
        let off = d * (1.0 / n);
        Self { mean: about + off, m2: (d2 - d * off).max(0.0), n }
    }

    #[inline(always)]
    pub(super) fn join(&mut self, other: Self) {
        if self.n == 0.0 {
            *self = other;
            return;
        }
        let n = self.n + other.n;
        let d = other.mean - self.mean;
        self.mean += d * (other.n / n);
        self.m2 += other.m2 + d * d * (self.n * other.n / n);
        self.n = n;
    }

    pub(super) fn var(&self) -> f64 {
        self.m2 / self.n
    }
}

/// Of `count` pieces of `seg` elements, `step` apart.
#[inline(always)]
pub(super) unsafe fn moments<T: Real, M: Math<T>>(
    x: *const T,
    count: usize,
    step: usize,
    seg: usize,
) -> Moments {
    let mut total = Moments::default();
    let per = (CHUNK / seg).max(1);
    let mut from = 0;
    while from < count {
        let to = (from + per).min(count);
        let mut a = 0;
        while a < seg {
            let b = (a + CHUNK).min(seg);
            let n = ((to - from) * (b - a)) as f64;
            let mut sum = [T::ZERO; LANES];
            for piece in from..to {
                blocks!(a..b, |i, len| {
                    // SAFETY (here and below): pieces and blocks stay inside the caller's elements.
                    let v = unsafe { load(x.add(piece * step + i), len, T::ZERO) };
                    for l in 0..LANES {
                        sum[l] += v[l];
                    }
                });
            }
            let mean = T::from_f64(sum_lanes(&sum) * (1.0 / n));
            let (mut d, mut d2) = ([T::ZERO; LANES], [T::ZERO; LANES]);
            for piece in from..to {
                blocks!(a..b, |i, len| {
                    let v = unsafe { load(x.add(piece * step + i), len, mean) };
                    for l in 0..LANES {
                        let e = v[l] - mean;
                        d[l] += e;
                        d2[l] = M::fma(e, e, d2[l]);
                    }
                });
            }
            total.join(Moments::of(mean.to_f64(), sum_lanes(&d), sum_lanes(&d2), n));
            a = b;
        }
        from = to;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::norm::lanes::Plain;

    #[test]
    fn a_large_mean_does_not_hide_the_variance() {
        for (count, step, seg) in [(1, 0, 7), (3, 40, 33), (100, 50, 49), (2, 6000, 5000)] {
            let n = count * step.max(seg);
            let x: Vec<f32> = (0..n).map(|i| 1e4 + ((i * 29) % 64) as f32 / 64.0).collect();
            let used: Vec<f64> = (0..count)
                .flat_map(|p| x[p * step..p * step + seg].iter().map(|&v| v as f64))
                .collect();
            let mean = used.iter().sum::<f64>() / used.len() as f64;
            let var = used.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / used.len() as f64;
            // SAFETY: count pieces of seg elements lie inside x.
            let got = unsafe { moments::<f32, Plain>(x.as_ptr(), count, step, seg) };
            assert!((got.mean - mean).abs() < 1e-9 * mean, "{} {mean}", got.mean);
            assert!((got.var() - var).abs() < 1e-6 * var, "{} {var}", got.var());
        }
    }
}
