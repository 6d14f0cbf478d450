//! A vector of lanes in each instruction set: what the kernels' one text is compiled against.

/// The operations a kernel needs on a vector of `T`.
///
/// # Safety Of every method: the CPU has the instruction set, and pointers are valid for the lanes
/// read or written.
pub(super) trait Lanes {
    type T: Copy;
    type V: Copy;
    const LANES: usize;

    unsafe fn splat(x: *const Self::T) -> Self::V;
    unsafe fn zero() -> Self::V;
    unsafe fn load(x: *const Self::T) -> Self::V;
    unsafe fn store(x: *mut Self::T, v: Self::V);
    /// The first `n` <= `LANES` lanes; zero in the others.
    unsafe fn load_part(x: *const Self::T, n: usize) -> Self::V;
    unsafe fn store_part(x: *mut Self::T, n: usize, v: Self::V);
    /// a * b + c
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// Zero where v < 0; NaN and -0 stay.
    unsafe fn relu(v: Self::V) -> Self::V;
    /// All lanes added, halves to halves.
    unsafe fn sum(v: Self::V) -> Self::T;
    /// Asks for the memory at `x`, which may lie anywhere.
    #[inline(always)]
    fn prefetch(x: *const Self::T) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which reads nothing.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(x.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = x;
    }
}

/// Arrays and plain loops, which LLVM turns into whatever vectors the target has.
pub(super) struct Plain<T>(std::marker::PhantomData<T>);

macro_rules! plain {
    ($t:ty, $lanes:literal) => {
        impl Lanes for Plain<$t> {
            type T = $t;
            type V = [$t; $lanes];
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: *const $t) -> Self::V {
                unsafe { [*x; $lanes] }
            }
            #[inline(always)]
            unsafe fn zero() -> Self::V {
                [0.0; $lanes]
            }
            #[inline(always)]
            unsafe fn load(x: *const $t) -> Self::V {
                unsafe { x.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(x: *mut $t, v: Self::V) {
                unsafe { x.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn load_part(x: *const $t, n: usize) -> Self::V {
                std::array::from_fn(|i| if i < n { unsafe { *x.add(i) } } else { 0.0 })
            }
            #[inline(always)]
            unsafe fn store_part(x: *mut $t, n: usize, v: Self::V) {
                for (i, lane) in v.into_iter().enumerate().take(n) {
                    unsafe { *x.add(i) = lane };
                }
            }
            #[inline(always)]
            unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] * b[i] + c[i])
            }
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|i| a[i] + b[i])
            }
            #[inline(always)]
            unsafe fn relu(v: Self::V) -> Self::V {
                v.map(|x| if x < 0.0 { 0.0 } else { x })
            }
            #[inline(always)]
            unsafe fn sum(mut v: Self::V) -> $t {
                let mut width = $lanes;
                while width > 1 {
                    width /= 2;
                    for i in 0..width {
                        v[i] += v[i + width];
                    }
                }
                v[0]
            }
        }
    };
}
plain!(f32, 4);
plain!(f64, 2);

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;
    use std::marker::PhantomData;

    pub(in super::super) struct Avx2<T>(PhantomData<T>);
    pub(in super::super) struct Avx512<T>(PhantomData<T>);

    #[target_feature(enable = "avx2")]
    #[inline]
    fn sum_f32x8(v: __m256) -> f32 {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn sum_f64x4(v: __m256d) -> f64 {
        let v = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
        _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)))
    }

    #[target_feature(enable = "avx512f,avx512dq,avx2")]
    #[inline]
    fn sum_f32x16(v: __m512) -> f32 {
        sum_f32x8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)))
    }

    #[target_feature(enable = "avx512f,avx512dq,avx2")]
    #[inline]
    fn sum_f64x8(v: __m512d) -> f64 {
        sum_f64x4(_mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd::<1>(v)))
    }

    /// Lane i of the mask is all ones for i < n.
    macro_rules! avx2 {
        (
            $t:ty, $v:ty, $int:ty, $lanes:literal, $iota:expr, $splat_int:ident, $greater:ident,
            $splat:ident, $zero:ident, $load:ident, $store:ident, $maskload:ident,
            $maskstore:ident, $fma:ident, $add:ident, $max:ident, $sum:ident
        ) => {
            impl Lanes for Avx2<$t> {
                type T = $t;
                type V = $v;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(x: *const $t) -> $v {
                    unsafe { $splat(*x) }
                }
                #[inline(always)]
                unsafe fn zero() -> $v {
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn load(x: *const $t) -> $v {
                    unsafe { $load(x) }
                }
                #[inline(always)]
                unsafe fn store(x: *mut $t, v: $v) {
                    unsafe { $store(x, v) }
                }
                #[inline(always)]
                unsafe fn load_part(x: *const $t, n: usize) -> $v {
                    unsafe { $maskload(x, $greater($splat_int(n as $int), $iota)) }
                }
                #[inline(always)]
                unsafe fn store_part(x: *mut $t, n: usize, v: $v) {
                    unsafe { $maskstore(x, $greater($splat_int(n as $int), $iota), v) }
                }
                #[inline(always)]
                unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
                    unsafe { $fma(a, b, c) }
                }
                #[inline(always)]
                unsafe fn add(a: $v, b: $v) -> $v {
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn relu(v: $v) -> $v {
                    // The second operand is the result where one is NaN or both are zero.
                    unsafe { $max($zero(), v) }
                }
                #[inline(always)]
                unsafe fn sum(v: $v) -> $t {
                    unsafe { $sum(v) }
                }
            }
        };
    }
    avx2!(
        f32,
        __m256,
        i32,
        8,
        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
        _mm256_set1_epi32,
        _mm256_cmpgt_epi32,
        _mm256_set1_ps,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_maskload_ps,
        _mm256_maskstore_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        _mm256_max_ps,
        sum_f32x8
    );
    avx2!(
        f64,
        __m256d,
        i64,
        4,
        _mm256_setr_epi64x(0, 1, 2, 3),
        _mm256_set1_epi64x,
        _mm256_cmpgt_epi64,
        _mm256_set1_pd,
        _mm256_setzero_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_maskload_pd,
        _mm256_maskstore_pd,
        _mm256_fmadd_pd,
        _mm256_add_pd,
        _mm256_max_pd,
        sum_f64x4
    );

    macro_rules! avx512 {
        (
            $t:ty, $v:ty, $mask:ty, $lanes:literal, $splat:ident, $zero:ident, $load:ident,
            $store:ident, $maskload:ident, $maskstore:ident, $fma:ident, $add:ident, $max:ident,
            $sum:ident
        ) => {
            impl Lanes for Avx512<$t> {
                type T = $t;
                type V = $v;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(x: *const $t) -> $v {
                    unsafe { $splat(*x) }
                }
                #[inline(always)]
                unsafe fn zero() -> $v {
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn load(x: *const $t) -> $v {
                    unsafe { $load(x) }
                }
                #[inline(always)]
                unsafe fn store(x: *mut $t, v: $v) {
                    unsafe { $store(x, v) }
                }
                #[inline(always)]
                unsafe fn load_part(x: *const $t, n: usize) -> $v {
                    unsafe { $maskload(((1u32 << n) - 1) as $mask, x) }
                }
                #[inline(always)]
                unsafe fn store_part(x: *mut $t, n: usize, v: $v) {
                    unsafe { $maskstore(x, ((1u32 << n) - 1) as $mask, v) }
                }
                #[inline(always)]
                unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
                    unsafe { $fma(a, b, c) }
                }
                #[inline(always)]
                unsafe fn add(a: $v, b: $v) -> $v {
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn relu(v: $v) -> $v {
                    // The second operand is the result where one is NaN or both are zero.
                    unsafe { $max($zero(), v) }
                }
                #[inline(always)]
                unsafe fn sum(v: $v) -> $t {
                    unsafe { $sum(v) }
                }
            }
        };
    }
    avx512!(
        f32,
        __m512,
        __mmask16,
        16,
        _mm512_set1_ps,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_maskz_loadu_ps,
        _mm512_mask_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        _mm512_max_ps,
        sum_f32x16
    );
    avx512!(
        f64,
        __m512d,
        __mmask8,
        8,
        _mm512_set1_pd,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_maskz_loadu_pd,
        _mm512_mask_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_add_pd,
        _mm512_max_pd,
        sum_f64x8
    );
}

#[cfg(target_arch = "aarch64")]
pub(super) mod neon {
    use super::Lanes;
    use std::arch::aarch64::*;
    use std::marker::PhantomData;

    pub(in super::super) struct Neon<T>(PhantomData<T>);

    macro_rules! neon {
        (
            $t:ty, $v:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident,
            $add:ident, $less:ident, $select:ident, $sum:ident
        ) => {
            impl Lanes for Neon<$t> {
                type T = $t;
                type V = $v;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn splat(x: *const $t) -> $v {
                    unsafe { $splat(*x) }
                }
                #[inline(always)]
                unsafe fn zero() -> $v {
                    unsafe { $splat(0.0) }
                }
                #[inline(always)]
                unsafe fn load(x: *const $t) -> $v {
                    unsafe { $load(x) }
                }
                #[inline(always)]
                unsafe fn store(x: *mut $t, v: $v) {
                    unsafe { $store(x, v) }
                }
                #[inline(always)]
                unsafe fn load_part(x: *const $t, n: usize) -> $v {
                    let mut lanes = [0.0; $lanes];
                    unsafe {
                        std::ptr::copy_nonoverlapping(x, lanes.as_mut_ptr(), n);
                        $load(lanes.as_ptr())
                    }
                }
                #[inline(always)]
                unsafe fn store_part(x: *mut $t, n: usize, v: $v) {
                    let mut lanes = [0.0; $lanes];
                    unsafe {
                        $store(lanes.as_mut_ptr(), v);
                        std::ptr::copy_nonoverlapping(lanes.as_ptr(), x, n);
                    }
                }
                #[inline(always)]
                unsafe fn fma(a: $v, b: $v, c: $v) -> $v {
                    unsafe { $fma(c, a, b) }
                }
                #[inline(always)]
                unsafe fn add(a: $v, b: $v) -> $v {
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn relu(v: $v) -> $v {
                    unsafe { $select($less(v, $splat(0.0)), $splat(0.0), v) }
                }
                #[inline(always)]
                unsafe fn sum(v: $v) -> $t {
                    unsafe { $sum(v) }
                }
            }
        };
    }
    neon!(
        f32,
        float32x4_t,
        4,
        vdupq_n_f32,
        vld1q_f32,
        vst1q_f32,
        vfmaq_f32,
        vaddq_f32,
        vcltq_f32,
        vbslq_f32,
        vaddvq_f32
    );
    neon!(
        f64,
        float64x2_t,
        2,
        vdupq_n_f64,
        vld1q_f64,
        vst1q_f64,
        vfmaq_f64,
        vaddq_f64,
        vcltq_f64,
        vbslq_f64,
        vaddvq_f64
    );
}
