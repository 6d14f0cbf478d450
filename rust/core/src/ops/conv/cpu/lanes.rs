//! Vectors of one instruction set, as the kernels of `tile.rs` and `plane.rs` see them.

/// A vector of `N` elements.
///
/// Every method is inlined into a kernel that was compiled for the instruction set; calling one elsewhere on a
/// machine without it is undefined.
pub trait Lanes: Copy {
    type T: Copy;
    const N: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(x: Self::T) -> Self;
    unsafe fn load(p: *const Self::T) -> Self;
    /// The first `n < N` elements from memory, the others from `rest`; reads nothing beyond.
    unsafe fn load_first(p: *const Self::T, n: usize, rest: Self) -> Self;
    /// p[at[0]], p[at[1]], ...
    unsafe fn gather(p: *const Self::T, at: *const u32) -> Self;
    unsafe fn store(self, p: *mut Self::T);
    /// Writes the first `n < N` elements, and nothing beyond.
    unsafe fn store_first(self, p: *mut Self::T, n: usize);
    unsafe fn add(self, o: Self) -> Self;
    unsafe fn div(self, o: Self) -> Self;
    /// Where `v` is greater than self, or NaN: self becomes `v` and `at` becomes `here`.
    unsafe fn take_larger(&mut self, v: Self, at: &mut Self, here: Self);
    /// Elements 0, 2, 4, ... of self followed by o.
    unsafe fn evens(self, o: Self) -> Self;
    /// self * b + c.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// max(self, 0); NaN stays NaN.
    unsafe fn relu(self) -> Self;
}

/// Arrays that LLVM turns into whatever vectors the target has; `a * b + c` is fused only where that is free.
#[derive(Clone, Copy)]
pub struct Array<T, const N: usize>([T; N]);

macro_rules! array_lanes {
    ($t:ty, $n:literal) => {
        impl Lanes for Array<$t, $n> {
            type T = $t;
            const N: usize = $n;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Self([0.0; $n])
            }
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                Self([x; $n])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                Self(p.cast::<[$t; $n]>().read_unaligned())
            }
            #[inline(always)]
            unsafe fn load_first(p: *const $t, n: usize, mut rest: Self) -> Self {
                for i in 0..n {
                    rest.0[i] = *p.add(i);
                }
                rest
            }
            #[inline(always)]
            unsafe fn gather(p: *const $t, at: *const u32) -> Self {
                let mut v = [0.0; $n];
                for i in 0..$n {
                    v[i] = *p.add(*at.add(i) as usize);
                }
                Self(v)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                p.cast::<[$t; $n]>().write_unaligned(self.0);
            }
            #[inline(always)]
            unsafe fn store_first(self, p: *mut $t, n: usize) {
                for i in 0..n {
                    *p.add(i) = self.0[i];
                }
            }
            #[inline(always)]
            unsafe fn add(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] += o.0[i];
                }
                self
            }
            #[inline(always)]
            unsafe fn div(mut self, o: Self) -> Self {
                for i in 0..$n {
                    self.0[i] /= o.0[i];
                }
                self
            }
            #[inline(always)]
            unsafe fn take_larger(&mut self, v: Self, at: &mut Self, here: Self) {
                for i in 0..$n {
                    if v.0[i] > self.0[i] || v.0[i].is_nan() {
                        self.0[i] = v.0[i];
                        at.0[i] = here.0[i];
                    }
                }
            }
            #[inline(always)]
            unsafe fn evens(self, o: Self) -> Self {
                let mut v = self;
                for i in 0..$n / 2 {
                    v.0[i] = self.0[2 * i];
                    v.0[$n / 2 + i] = o.0[2 * i];
                }
                v
            }
            #[inline(always)]
            unsafe fn fma(self, b: Self, mut c: Self) -> Self {
                for i in 0..$n {
                    c.0[i] = if cfg!(target_arch = "aarch64") {
                        self.0[i].mul_add(b.0[i], c.0[i])
                    } else {
                        self.0[i] * b.0[i] + c.0[i]
                    };
                }
                c
            }
            #[inline(always)]
            unsafe fn relu(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = if self.0[i] < 0.0 { 0.0 } else { self.0[i] };
                }
                self
            }
        }
    };
}
array_lanes!(f32, 4);
array_lanes!(f64, 2);

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    macro_rules! x86_lanes {
        ($name:ident, $t:ty, $v:ty, $n:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $fma:ident,
         $max:ident, $zero:ident, |$p:ident, $k:ident, $rest:ident| $first:expr, |$x:ident| $put:expr, |$a:ident, $b:ident| $evens:expr, $div:ident, |$m:ident, $o:ident| $larger:expr, |$k1:ident, $a1:ident, $b1:ident| $blend:expr, |$gp:ident, $at:ident| $gather:expr) => {
            #[derive(Clone, Copy)]
            pub struct $name($v);

            impl Lanes for $name {
                type T = $t;
                const N: usize = $n;
                #[inline(always)]
                unsafe fn zero() -> Self {
                    Self($zero())
                }
                #[inline(always)]
                unsafe fn splat(x: $t) -> Self {
                    Self($splat(x))
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    Self($load(p))
                }
                #[inline(always)]
                unsafe fn load_first($p: *const $t, $k: usize, rest: Self) -> Self {
                    let $rest = rest.0;
                    Self($first)
                }
                #[inline(always)]
                unsafe fn gather($gp: *const $t, $at: *const u32) -> Self {
                    Self($gather)
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    $store(p, self.0);
                }
                #[inline(always)]
                unsafe fn store_first(self, $p: *mut $t, $k: usize) {
                    let $x = self.0;
                    $put
                }
                #[inline(always)]
                unsafe fn add(self, o: Self) -> Self {
                    Self($add(self.0, o.0))
                }
                #[inline(always)]
                unsafe fn div(self, o: Self) -> Self {
                    Self($div(self.0, o.0))
                }
                #[inline(always)]
                unsafe fn take_larger(&mut self, v: Self, at: &mut Self, here: Self) {
                    let ($m, $o) = (self.0, v.0);
                    let mask = $larger;
                    let ($k1, $a1, $b1) = (mask, self.0, v.0);
                    self.0 = $blend;
                    let ($a1, $b1) = (at.0, here.0);
                    at.0 = $blend;
                }
                #[inline(always)]
                unsafe fn evens(self, o: Self) -> Self {
                    let ($a, $b) = (self.0, o.0);
                    Self($evens)
                }
                #[inline(always)]
                unsafe fn fma(self, b: Self, c: Self) -> Self {
                    Self($fma(self.0, b.0, c.0))
                }
                #[inline(always)]
                unsafe fn relu(self) -> Self {
                    // The second operand is what comes out where one is NaN.
                    Self($max($zero(), self.0))
                }
            }
        };
    }

    x86_lanes!(
        F32x16,
        f32,
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps,
        _mm512_max_ps,
        _mm512_setzero_ps,
        |p, k, rest| _mm512_mask_loadu_ps(rest, ((1u32 << k) - 1) as __mmask16, p),
        |x| _mm512_mask_storeu_ps(p, ((1u32 << k) - 1) as __mmask16, x),
        |a, b| _mm512_permutex2var_ps(a, _mm512_loadu_si512(EVEN32.as_ptr().cast()), b),
        _mm512_div_ps,
        |a, v| _mm512_cmp_ps_mask::<_CMP_GT_OQ>(v, a) | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v),
        |m, a, b| _mm512_mask_blend_ps(m, a, b),
        |p, at| _mm512_i32gather_ps::<4>(_mm512_loadu_si512(at.cast()), p)
    );
    x86_lanes!(
        F64x8,
        f64,
        __m512d,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_fmadd_pd,
        _mm512_max_pd,
        _mm512_setzero_pd,
        |p, k, rest| _mm512_mask_loadu_pd(rest, ((1u32 << k) - 1) as __mmask8, p),
        |x| _mm512_mask_storeu_pd(p, ((1u32 << k) - 1) as __mmask8, x),
        |a, b| _mm512_permutex2var_pd(a, _mm512_loadu_si512(EVEN64.as_ptr().cast()), b),
        _mm512_div_pd,
        |a, v| _mm512_cmp_pd_mask::<_CMP_GT_OQ>(v, a) | _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(v, v),
        |m, a, b| _mm512_mask_blend_pd(m, a, b),
        |p, at| _mm512_i32gather_pd::<8>(_mm256_loadu_si256(at.cast()), p)
    );
    x86_lanes!(
        F32x8,
        f32,
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps,
        _mm256_max_ps,
        _mm256_setzero_ps,
        |p, k, rest| {
            let mask = _mm256_loadu_si256(MASK32.as_ptr().add(8 - k).cast());
            _mm256_blendv_ps(rest, _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask))
        },
        |x| _mm256_maskstore_ps(p, _mm256_loadu_si256(MASK32.as_ptr().add(8 - k).cast()), x),
        |a, b| {
            let pairs = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(pairs))
        },
        _mm256_div_ps,
        |a, v| _mm256_or_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(v, a), _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v)),
        |m, a, b| _mm256_blendv_ps(a, b, m),
        |p, at| _mm256_i32gather_ps::<4>(p, _mm256_loadu_si256(at.cast()))
    );
    x86_lanes!(
        F64x4,
        f64,
        __m256d,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_fmadd_pd,
        _mm256_max_pd,
        _mm256_setzero_pd,
        |p, k, rest| {
            let mask = _mm256_loadu_si256(MASK64.as_ptr().add(4 - k).cast());
            _mm256_blendv_pd(rest, _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask))
        },
        |x| _mm256_maskstore_pd(p, _mm256_loadu_si256(MASK64.as_ptr().add(4 - k).cast()), x),
        |a, b| _mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_unpacklo_pd(a, b)),
        _mm256_div_pd,
        |a, v| _mm256_or_pd(_mm256_cmp_pd::<_CMP_GT_OQ>(v, a), _mm256_cmp_pd::<_CMP_UNORD_Q>(v, v)),
        |m, a, b| _mm256_blendv_pd(a, b, m),
        |p, at| _mm256_i32gather_pd::<8>(p, _mm_loadu_si128(at.cast()))
    );

    /// A load that starts n before the middle selects the first n lanes.
    static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];
    static EVEN32: [i32; 16] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
    static EVEN64: [i64; 8] = [0, 2, 4, 6, 8, 10, 12, 14];
}
