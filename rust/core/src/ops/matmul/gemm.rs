//! C = epilogue(A * B) on the CPU, near the machine's FMA limit.
//!
//! The bits of a result depend on shape, layout and instruction set, never on how many threads ran
//! it: tasks own tiles of C, and the summed index is cut by its length alone.

use super::{small, thin};

pub use super::blocked::gemm_with;
pub use super::kernels::Real;

/// Runs `f(0..tasks)` on the pool, in any order, maybe on several threads, and returns when all are
/// done.
pub type Par<'a> = &'a (dyn Fn(usize, &(dyn Fn(usize) + Sync)) + Sync);

/// The `Par` of one thread.
pub fn serial(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    (0..tasks).for_each(f);
}

/// C[m,n] (row stride `c_rs`, column stride 1) = relu?(A[m,k] * B[k,n] + C? + bias?). Strides are
/// in elements, any layout, 0 to broadcast.
#[derive(Clone, Copy)]
pub struct Gemm<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: *const T,
    pub a_rs: isize,
    pub a_cs: isize,
    pub b: *const T,
    pub b_rs: isize,
    pub b_cs: isize,
    pub c: *mut T,
    pub c_rs: isize,
    /// Null, or n values, one added to each column.
    pub bias_n: *const T,
    /// Null, or m values, one added to each row.
    pub bias_m: *const T,
    /// C += instead of C =.
    pub accumulate: bool,
    pub relu: bool,
}

/// Where `gemm_with` puts C, and what is done on the way.
#[derive(Clone, Copy)]
pub struct Output<T> {
    pub c: *mut T,
    pub c_rs: isize,
    /// Column j lies at `(j / block) * block_stride + j % block` from the row's start. With `block
    /// = usize::MAX` the columns are contiguous; a convolution over a batch has block = OH * OW and
    /// `block_stride` = C * OH * OW.
    pub block: usize,
    pub block_stride: isize,
    pub bias_n: *const T,
    pub bias_m: *const T,
    pub accumulate: bool,
    pub relu: bool,
}

/// A source of packed panels: the packing hook with which, say, a convolution does its im2col on
/// the fly.
///
/// The same trait serves both operands: x counts the rows of A, or the columns of B; k is the
/// summed index.
pub trait Pack<T>: Sync {
    /// Writes one panel: `dst[p * width + i] = operand(k = k0 + p, x = x0 + i)` for p < kc and i <
    /// nx, and zero for nx <= i < width. `width` is the panel's row length (B: 4 to 32 by type and
    /// instruction set; A: 1 to 14, and nx == width). All kc * width elements must be written, and
    /// none outside.
    ///
    /// # Safety
    /// `dst` must be valid for kc * width writes, and k0 + kc <= k, x0 + nx <= m (or n) must hold.
    unsafe fn pack(&self, k0: usize, kc: usize, x0: usize, nx: usize, width: usize, dst: *mut T);

    /// The operand as plain strided memory, if it is that; small products then skip packing.
    fn strided(&self) -> Option<Strided<T>> {
        None
    }
}

/// A matrix in memory as a `Pack`: element (k, x) at `ptr + k * k_stride + x * x_stride`.
#[derive(Clone, Copy)]
pub struct Strided<T> {
    pub ptr: *const T,
    pub k_stride: isize,
    pub x_stride: isize,
}

/// Lets a task reach memory that belongs to all tasks, each writing its own part.
#[derive(Clone, Copy)]
pub(super) struct Shared<T>(pub(super) T);
// SAFETY: whoever makes one sees to it that tasks write disjoint parts.
unsafe impl<T> Sync for Shared<T> {}
impl<T: Copy> Shared<T> {
    pub(super) fn get(&self) -> T {
        self.0
    }
}

/// The product of two matrices in memory.
///
/// # Safety
/// All elements that `g` describes must be valid, and C must not overlap the others nor itself.
pub unsafe fn gemm<T: Real>(g: &Gemm<T>, par: Par<'_>) {
    // SAFETY: the caller's.
    unsafe {
        if thin::thin(g, par) || small::small(g) {
            return;
        }
        let a = Strided { ptr: g.a, k_stride: g.a_cs, x_stride: g.a_rs };
        let b = Strided { ptr: g.b, k_stride: g.b_rs, x_stride: g.b_cs };
        let out = Output {
            c: g.c,
            c_rs: g.c_rs,
            block: usize::MAX,
            block_stride: 0,
            bias_n: g.bias_n,
            bias_m: g.bias_m,
            accumulate: g.accumulate,
            relu: g.relu,
        };
        gemm_with(g.m, g.n, g.k, &a, &b, &out, par);
    }
}

/// Floating-point operations worth a task of its own: some twenty microseconds.
pub(super) const TASK_FLOPS: usize = 4_000_000;

/// `batch` products of one shape: product i has the pointers of `g` moved by the elements in
/// `offsets(i)`, for a, b, c.
///
/// # Safety
/// As `gemm` for each, and no two products may write the same element.
pub unsafe fn gemm_batch<T: Real>(
    g: &Gemm<T>,
    batch: usize,
    offsets: &(dyn Fn(usize) -> [isize; 3] + Sync),
    par: Par<'_>,
) {
    let one = |i: usize, g: &Gemm<T>, par: Par<'_>| {
        let [a, b, c] = offsets(i);
        // SAFETY: the caller's.
        unsafe { gemm(&Gemm { a: g.a.offset(a), b: g.b.offset(b), c: g.c.offset(c), ..*g }, par) };
    };
    let flops = (2 * g.m).saturating_mul(g.n).saturating_mul(g.k).max(1);
    if flops >= 4 * TASK_FLOPS {
        (0..batch).for_each(|i| one(i, g, par));
        return;
    }
    // Starting a product costs as much time as some operations of it.
    let group = (TASK_FLOPS / 2 / (flops + 10_000)).clamp(1, batch.max(1));
    let shared = Shared(*g);
    par(batch.div_ceil(group), &|task| {
        let g = shared.get();
        (task * group..batch.min((task + 1) * group)).for_each(|i| one(i, &g, &serial));
    });
}

/// One task runs here and now, without the pool.
pub(super) fn par_or_here(tasks: usize, par: Par<'_>, f: &(dyn Fn(usize) + Sync)) {
    if tasks == 1 { f(0) } else { par(tasks, f) }
}

#[cfg(test)]
#[path = "gemm_tests.rs"]
mod tests;
