//! What the row kernels of norms, softmax and losses are written in: blocks of lanes as plain arrays, which
//! LLVM turns into vectors, and sums that are folded to f64 every `CHUNK` elements.

use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::ops::cast;
use crate::tensor::Tensor;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

pub(crate) const LANES: usize = 32;
/// Elements that are summed in the compute type before f64 takes over.
pub(crate) const CHUNK: usize = 2048;
pub(crate) type Block<T> = [T; LANES];

/// A type that kernels compute in, with the two readings of its math.
pub(crate) trait Real:
    Element
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// For code compiled with the fma feature.
    type Fused: Math<Self>;
    type Plain: Math<Self>;
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
}

pub(crate) trait Math<T> {
    fn exp(x: T) -> T;
    fn log(x: T) -> T;
    fn fma(a: T, b: T, c: T) -> T;
}

pub(crate) struct Fused;
pub(crate) struct Plain;

macro_rules! real {
    ($($t:ident $m:ident)*) => {$(
        impl Real for $t {
            type Fused = Fused;
            // Every 64-bit ARM has fma.
            #[cfg(target_arch = "aarch64")]
            type Plain = Fused;
            #[cfg(not(target_arch = "aarch64"))]
            type Plain = Plain;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = $t::NEG_INFINITY;
        }
        real!(@ Fused fused $t $m);
        real!(@ Plain plain $t $m);
    )*};
    (@ $reading:ident $module:ident $t:ident $m:ident) => {
        impl Math<$t> for $reading {
            #[inline(always)]
            fn exp(x: $t) -> $t { crate::cpu::math::$module::$m::exp(x) }
            #[inline(always)]
            fn log(x: $t) -> $t { crate::cpu::math::$module::$m::log(x) }
            #[inline(always)]
            fn fma(a: $t, b: $t, c: $t) -> $t { crate::cpu::math::$module::$m::fma(a, b, c) }
        }
    };
}
real!(f32 m32 f64 m64);

/// Memory that threads share, each writing its own part.
#[derive(Clone, Copy)]
pub(crate) struct Ptr<T>(*mut T);

// SAFETY: whoever makes one sees to it that the memory outlives the threads and that writes are disjoint.
unsafe impl<T> Send for Ptr<T> {}
unsafe impl<T> Sync for Ptr<T> {}

impl<T> Ptr<T> {
    pub(crate) fn from_slice(s: &mut [T]) -> Self {
        Self(s.as_mut_ptr())
    }

    pub(crate) fn of(t: &Tensor) -> Self {
        Self(t.ptr::<T>())
    }

    /// # Safety
    /// `i` lies inside the memory, or one past it.
    #[inline(always)]
    pub(crate) unsafe fn at(self, i: usize) -> *mut T {
        // SAFETY: passed on.
        unsafe { self.0.add(i) }
    }
}

/// The first `len` <= LANES elements at `p`, and `pad` in the other lanes.
#[inline(always)]
pub(crate) unsafe fn load<T: Real>(p: *const T, len: usize, pad: T) -> Block<T> {
    // SAFETY: the caller gives `len` readable elements.
    unsafe {
        if len == LANES {
            return p.cast::<Block<T>>().read_unaligned();
        }
        let mut v = [pad; LANES];
        std::ptr::copy_nonoverlapping(p, v.as_mut_ptr(), len);
        v
    }
}

#[inline(always)]
pub(crate) unsafe fn store<T: Real>(p: *mut T, len: usize, v: &Block<T>) {
    // SAFETY: the caller gives `len` writable elements.
    unsafe {
        if len == LANES {
            p.cast::<Block<T>>().write_unaligned(*v);
        } else {
            std::ptr::copy_nonoverlapping(v.as_ptr(), p, len);
        }
    }
}

#[inline(always)]
pub(crate) fn larger<T: PartialOrd>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

/// All lanes as one, halves onto halves.
#[inline(always)]
fn fold<T: Real>(v: &Block<T>, f: impl Fn(T, T) -> T) -> T {
    let mut v = *v;
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            v[l] = f(v[l], v[l + width]);
        }
        width /= 2;
    }
    v[0]
}

#[inline(always)]
pub(crate) fn sum_lanes<T: Real>(v: &Block<T>) -> f64 {
    fold(v, |a, b| a + b).to_f64()
}

/// The largest of `n` elements; NaNs are passed over.
#[inline(always)]
pub(crate) unsafe fn row_max<T: Real>(x: *const T, n: usize) -> T {
    let mut m = [T::LOWEST; LANES];
    blocks!(0..n, |i, len| {
        // SAFETY: the caller gives n elements.
        let v = unsafe { load(x.add(i), len, T::LOWEST) };
        for l in 0..LANES {
            m[l] = larger(v[l], m[l]);
        }
    });
    fold(&m, larger)
}

/// Runs the body for each block of a range: `i` where it starts, `len` its lanes, constant in full ones.
/// A macro, so that the body is compiled for the instruction set of its place.
macro_rules! blocks {
    ($range:expr, |$i:ident, $len:ident| $body:block) => {{
        let range: std::ops::Range<usize> = $range;
        let mut $i = range.start;
        while $i + $crate::ops::norm::lanes::LANES <= range.end {
            let $len = $crate::ops::norm::lanes::LANES;
            $body;
            $i += $len;
        }
        if $i < range.end {
            let $len = range.end - $i;
            $body;
        }
    }};
}
pub(crate) use blocks;

/// Sums over `0..n` as f64: the body adds blocks to the named lane accumulators.
macro_rules! sums {
    ($t:ty, $n:expr, [$($acc:ident),+], |$i:ident, $len:ident| $body:block) => {{
        let n: usize = $n;
        let mut totals = [0.0f64; [$(stringify!($acc)),+].len()];
        let mut start = 0;
        while start < n {
            let end = (start + $crate::ops::norm::lanes::CHUNK).min(n);
            $( let mut $acc = [<$t>::ZERO; $crate::ops::norm::lanes::LANES]; )+
            $crate::ops::norm::lanes::blocks!(start..end, |$i, $len| $body);
            let chunk = [$( $crate::ops::norm::lanes::sum_lanes(&$acc) ),+];
            for (total, part) in totals.iter_mut().zip(chunk) {
                *total += part;
            }
            start = end;
        }
        totals
    }};
}
pub(crate) use sums;

/// Sums of each lane over `k` in `0..n`, a run at a time so that the error stays small.
macro_rules! column_sums {
    ($t:ty, $n:expr, |$k:ident, $acc:ident| $body:block) => {{
        let n: usize = $n;
        let mut total = [<$t>::ZERO; $crate::ops::norm::lanes::LANES];
        let mut $k = 0;
        while $k < n {
            let end = ($k + 64).min(n);
            let mut $acc = [<$t>::ZERO; $crate::ops::norm::lanes::LANES];
            while $k < end {
                $body;
                $k += 1;
            }
            for l in 0..$crate::ops::norm::lanes::LANES {
                total[l] += $acc[l];
            }
        }
        total
    }};
}
pub(crate) use column_sums;

/// `fn name(args) = body;`: calls `body::<T, M>(args)`, compiled for this machine's instruction set.
macro_rules! per_isa {
    ($($(#[$doc:meta])* fn $name:ident($($a:ident: $t:ty),* $(,)?) = $body:ident;)*) => {$(
        $(#[$doc])*
        unsafe fn $name<T: Real>($($a: $t),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::cpu::simd::{Isa, isa};
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2<T: Real>($($a: $t),*) {
                    // SAFETY: passed on.
                    unsafe { $body::<T, T::Fused>($($a),*) }
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512<T: Real>($($a: $t),*) {
                    // SAFETY: passed on.
                    unsafe { $body::<T, T::Fused>($($a),*) }
                }
                // SAFETY: the machine has what was detected; the rest is passed on.
                match isa() {
                    Isa::Avx512 => return unsafe { avx512::<T>($($a),*) },
                    Isa::Avx2 => return unsafe { avx2::<T>($($a),*) },
                    Isa::Neon | Isa::Portable => {}
                }
            }
            // SAFETY: passed on.
            unsafe { $body::<T, T::Plain>($($a),*) }
        }
    )*};
}
pub(crate) use per_isa;

/// float64 is computed as such, the other float types as float32.
pub(crate) fn compute_dtype(d: DType) -> DType {
    if d == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The tensor's elements, contiguous and of this dtype; the tensor itself where it is so.
pub(crate) fn dense(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.is_contiguous() && t.dtype() == dtype {
        return Ok(t.detach());
    }
    let out = Tensor::empty(t.shape(), dtype, t.device())?;
    cast::raw_copy(t, &out)?;
    Ok(out)
}

/// Where a kernel writes: the output itself, or memory of the compute dtype that `finish` converts.
pub(crate) struct Target<'a> {
    pub(crate) t: Tensor,
    out: &'a Tensor,
}

impl<'a> Target<'a> {
    pub(crate) fn new(out: &'a Tensor, dtype: DType) -> Result<Self> {
        let same = out.dtype() == dtype;
        let t = if same { out.detach() } else { Tensor::empty(out.shape(), dtype, out.device())? };
        Ok(Self { t, out })
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.t.same_storage(self.out) { Ok(()) } else { cast::raw_copy(&self.t, self.out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_length_are_those_of_a_loop() {
        for n in [0, 1, 2, 31, 32, 33, 64, 100, 2047, 2048, 2049, 10_000] {
            let x: Vec<f32> = (0..n).map(|i| (i % 97) as f32 - 48.0).collect();
            let got = sums!(f32, n, [a, b], |i, len| {
                // SAFETY: blocks stay inside the n elements.
                let v = unsafe { load(x.as_ptr().add(i), len, 0.0) };
                for l in 0..LANES {
                    a[l] += v[l];
                    b[l] += v[l] * v[l];
                }
            });
            let want: f64 = x.iter().map(|&v| v as f64).sum();
            let squares: f64 = x.iter().map(|&v| (v * v) as f64).sum();
            assert_eq!(got, [want, squares], "{n}");
            // SAFETY: n elements.
            let max = unsafe { row_max(x.as_ptr(), n) };
            assert_eq!(max, x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
