//! Packing: operands copied into panels that the kernels read front to back.

use super::gemm::{Pack, Strided};
use super::kernels::Real;
use crate::cpu::simd::isa;

// SAFETY: a `Strided` only reads, and its owner keeps the memory alive during the product.
unsafe impl<T: Sync> Sync for Strided<T> {}

impl<T: Real> Pack<T> for Strided<T> {
    unsafe fn pack(&self, k0: usize, kc: usize, x0: usize, nx: usize, width: usize, dst: *mut T) {
        // SAFETY: the caller's: the range lies inside the operand, and `dst` holds kc * width
        // elements.
        unsafe {
            let src = self.ptr.offset(k0 as isize * self.k_stride + x0 as isize * self.x_stride);
            let kernels = T::kernels(isa());
            if self.x_stride == 1 {
                return (kernels.copy)(kc, nx, src, self.k_stride, width, dst);
            }
            if nx < width {
                dst.write_bytes(0, kc * width);
            }
            if self.k_stride == 1 {
                return (kernels.transpose)(kc, nx, src, self.x_stride, width, dst);
            }
            for p in 0..kc {
                for i in 0..nx {
                    let from = src.offset(p as isize * self.k_stride + i as isize * self.x_stride);
                    *dst.add(p * width + i) = *from;
                }
            }
        }
    }

    fn strided(&self) -> Option<Strided<T>> {
        Some(*self)
    }
}

/// `dst[p * width + i] = src[i * stride + p]`
pub(super) unsafe fn transpose_plain<T: Copy>(
    kc: usize,
    nx: usize,
    src: *const T,
    stride: isize,
    width: usize,
    dst: *mut T,
) {
    // SAFETY: the caller's.
    unsafe {
        for p in 0..kc {
            for i in 0..nx {
                *dst.add(p * width + i) = *src.offset(i as isize * stride + p as isize);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::transpose_plain;
    use std::arch::x86_64::*;

    /// Squares of eight, turned in registers. A square of fewer than eight rows still stores eight
    /// lanes: what it spills, zeros, lies further on in the panel and is overwritten later, since
    /// groups go from the last to the first and p upwards; the last columns, where it would leave
    /// the panel, are done one by one.
    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) unsafe fn transpose_f32(
        kc: usize,
        nx: usize,
        src: *const f32,
        stride: isize,
        width: usize,
        dst: *mut f32,
    ) {
        // SAFETY: the caller's; spills are bounded by the loop's condition.
        unsafe {
            for group in (0..nx.div_ceil(8)).rev() {
                let first = group * 8;
                let rows = (nx - first).min(8);
                let from = src.offset(first as isize * stride);
                let to = dst.add(first);
                let mut p = 0;
                while p + 8 <= kc && (p + 7) * width + first + 8 <= kc * width {
                    let mut r = [_mm256_setzero_ps(); 8];
                    for i in 0..8 {
                        if i < rows {
                            r[i] = _mm256_loadu_ps(from.offset(i as isize * stride).add(p));
                        }
                    }
                    let r = square_f32(r);
                    for i in 0..8 {
                        _mm256_storeu_ps(to.add((p + i) * width), r[i]);
                    }
                    p += 8;
                }
                transpose_plain(kc - p, rows, from.add(p), stride, width, to.add(p * width));
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn square_f32(r: [__m256; 8]) -> [__m256; 8] {
        let lo = |a, b| _mm256_unpacklo_ps(a, b);
        let hi = |a, b| _mm256_unpackhi_ps(a, b);
        let t = [
            lo(r[0], r[1]),
            hi(r[0], r[1]),
            lo(r[2], r[3]),
            hi(r[2], r[3]),
            lo(r[4], r[5]),
            hi(r[4], r[5]),
            lo(r[6], r[7]),
            hi(r[6], r[7]),
        ];
        let even = |a, b| _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
        let odd = |a, b| _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
        let u = [
            even(t[0], t[2]),
            odd(t[0], t[2]),
            even(t[1], t[3]),
            odd(t[1], t[3]),
            even(t[4], t[6]),
            odd(t[4], t[6]),
            even(t[5], t[7]),
            odd(t[5], t[7]),
        ];
        let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
        let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
        [
            low(u[0], u[4]),
            low(u[1], u[5]),
            low(u[2], u[6]),
            low(u[3], u[7]),
            high(u[0], u[4]),
            high(u[1], u[5]),
            high(u[2], u[6]),
            high(u[3], u[7]),
        ]
    }

    /// As `transpose_f32`, by squares of four.
    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) unsafe fn transpose_f64(
        kc: usize,
        nx: usize,
        src: *const f64,
        stride: isize,
        width: usize,
        dst: *mut f64,
    ) {
        // SAFETY: the caller's; spills are bounded by the loop's condition.
        unsafe {
            for group in (0..nx.div_ceil(4)).rev() {
                let first = group * 4;
                let rows = (nx - first).min(4);
                let from = src.offset(first as isize * stride);
                let to = dst.add(first);
                let mut p = 0;
                while p + 4 <= kc && (p + 3) * width + first + 4 <= kc * width {
                    let mut r = [_mm256_setzero_pd(); 4];
                    for i in 0..4 {
                        if i < rows {
                            r[i] = _mm256_loadu_pd(from.offset(i as isize * stride).add(p));
                        }
                    }
                    let (a, b) = (_mm256_unpacklo_pd(r[0], r[1]), _mm256_unpackhi_pd(r[0], r[1]));
                    let (c, d) = (_mm256_unpacklo_pd(r[2], r[3]), _mm256_unpackhi_pd(r[2], r[3]));
                    _mm256_storeu_pd(to.add(p * width), _mm256_permute2f128_pd::<0x20>(a, c));
                    _mm256_storeu_pd(to.add((p + 1) * width), _mm256_permute2f128_pd::<0x20>(b, d));
                    _mm256_storeu_pd(to.add((p + 2) * width), _mm256_permute2f128_pd::<0x31>(a, c));
                    _mm256_storeu_pd(to.add((p + 3) * width), _mm256_permute2f128_pd::<0x31>(b, d));
                    p += 4;
                }
                transpose_plain(kc - p, rows, from.add(p), stride, width, to.add(p * width));
            }
        }
    }
}
