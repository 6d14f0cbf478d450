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
    /// As for `at`.
    pub(crate) unsafe fn skip(self, n: usize) -> Self {
        // SAFETY: passed on.
        Self(unsafe { self.at(n) })
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

/// Room for the exponentials of a chunk.
pub(crate) type Buffer<T> = [T; CHUNK];

/// `exp` of `n` elements. The length must not be a constant: LLVM would unroll the loop and not vectorize it.
#[inline(always)]
unsafe fn exp_run<T: Real, M: Math<T>>(x: *const T, n: usize, a: T, b: T, out: *mut T) {
    for i in 0..n {
        // SAFETY: the caller gives n elements and room for as many.
        unsafe { *out.add(i) = M::exp((*x.add(i) - a) - b) };
    }
}

/// `exp((x - a) - b)` of up to CHUNK elements; gives their number filled up to whole blocks, with zeros.
#[inline(always)]
pub(crate) unsafe fn exp_chunk<T: Real, M: Math<T>>(
    x: *const T,
    n: usize,
    a: T,
    b: T,
    buffer: &mut Buffer<T>,
) -> usize {
    let rest = n % LANES;
    let mut tail = [T::LOWEST; LANES];
    // SAFETY: the caller gives n elements; whole blocks of them fit the buffer.
    unsafe {
        std::ptr::copy_nonoverlapping(x.add(n - rest), tail.as_mut_ptr(), rest);
        let padded = if rest == 0 { 0 } else { LANES };
        let mut done = 0;
        for (from, count) in [(x, n - rest), (tail.as_ptr(), padded)] {
            exp_run::<T, M>(from, count, a, b, buffer.as_mut_ptr().add(done));
            done += count;
        }
        done
    }
}

/// `exp((x - a) - b)` of up to CHUNK / LANES rows, `step` apart, of `len` lanes.
#[inline(always)]
pub(crate) unsafe fn exp_rows<T: Real, M: Math<T>>(
    x: *const T,
    step: usize,
    len: usize,
    rows: usize,
    (a, b): (&Block<T>, &Block<T>),
    buffer: &mut Buffer<T>,
) {
    let to = buffer.as_mut_ptr();
    // SAFETY: the caller gives the rows, and no more than fit the buffer.
    unsafe {
        for k in 0..rows {
            let mut v = load(x.add(k * step), len, T::ZERO);
            for l in 0..LANES {
                v[l] = (v[l] - a[l]) - b[l];
            }
            store(to.add(k * LANES), LANES, &v);
        }
        exp_run::<T, M>(to, rows * LANES, T::ZERO, T::ZERO, to);
    }
}

/// The sum of `exp(x - m)` over `n` elements.
#[inline(always)]
pub(crate) unsafe fn exp_sum<T: Real, M: Math<T>>(
    x: *const T,
    n: usize,
    m: T,
    buffer: &mut Buffer<T>,
) -> f64 {
    let mut total = 0.0;
    for start in (0..n).step_by(CHUNK) {
        // SAFETY: chunks partition the caller's elements.
        unsafe {
            let len = (n - start).min(CHUNK);
            let padded = exp_chunk::<T, M>(x.add(start), len, m, T::ZERO, buffer);
            total += buffer_sum(buffer, padded);
        }
    }
    total
}

/// The sum of the first `n` elements, whole blocks.
#[inline(always)]
pub(crate) fn buffer_sum<T: Real>(buffer: &Buffer<T>, n: usize) -> f64 {
    let mut acc = [T::ZERO; LANES];
    for block in buffer[..n].as_chunks::<LANES>().0 {
        for l in 0..LANES {
            acc[l] += block[l];
        }
    }
    sum_lanes(&acc)
}

/// Sums of each lane of `exp(x - m)` over `n` rows, `step` apart.
#[inline(always)]
pub(crate) unsafe fn exp_column_sum<T: Real, M: Math<T>>(
    x: *const T,
    step: usize,
    len: usize,
    n: usize,
    m: &Block<T>,
    buffer: &mut Buffer<T>,
) -> Block<T> {
    let mut total = [T::ZERO; LANES];
    for start in (0..n).step_by(CHUNK / LANES) {
        let rows = (n - start).min(CHUNK / LANES);
        // SAFETY: runs of rows partition the caller's.
        unsafe {
            exp_rows::<T, M>(x.add(start * step), step, len, rows, (m, &[T::ZERO; LANES]), buffer);
        }
        let mut acc = [T::ZERO; LANES];
        for row in buffer[..rows * LANES].as_chunks::<LANES>().0 {
            for l in 0..LANES {
                acc[l] += row[l];
            }
        }
        for l in 0..LANES {
            total[l] += acc[l];
        }
    }
    total
}

/// The logarithm of each lane. The length is hidden for the reason given at `exp_run`.
#[inline(always)]
pub(crate) fn log_lanes<T: Real, M: Math<T>>(v: &mut Block<T>) {
    for v in &mut v[..std::hint::black_box(LANES)] {
        *v = M::log(*v);
    }
}

/// Rows of at most so many elements are turned into columns.
pub(crate) const SHORT: usize = 32;
pub(crate) type Tile<T> = [Block<T>; SHORT];

/// Up to LANES rows of `n` <= SHORT elements as columns.
#[inline(always)]
pub(crate) unsafe fn turn<T: Real>(from: *const T, rows: usize, n: usize, to: &mut Tile<T>) {
    for (k, column) in to.iter_mut().enumerate().take(n) {
        for (r, v) in column.iter_mut().enumerate().take(rows) {
            // SAFETY: the caller gives rows * n elements.
            *v = unsafe { *from.add(r * n + k) };
        }
    }
}

/// The reverse of `turn`.
#[inline(always)]
pub(crate) unsafe fn turn_back<T: Real>(from: &Tile<T>, rows: usize, n: usize, to: *mut T) {
    for (k, column) in from.iter().enumerate().take(n) {
        for (r, v) in column.iter().enumerate().take(rows) {
            // SAFETY: the caller gives rows * n elements.
            unsafe { *to.add(r * n + k) = *v };
        }
    }
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
