//! Runs a tile kernel over operands of any dtype and stride. A kernel sees contiguous tiles of its
//! compute type only; broadcasting, strides, casts and half types are the loads and stores here.

use crate::cpu::threads;
use crate::dtype::{Compute, DType, Element, Flag};
use crate::layout::{Dims, coalesce, offset_of};
use crate::with_dtype;
use half::slice::HalfFloatSliceExt;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Reads `n` elements of each input, writes `n` results. Parameters come as the bits of the compute type.
pub type TileFn = unsafe fn(n: usize, ins: *const *const u8, out: *mut u8, params: *const u64);

pub struct In {
    pub ptr: *const u8,
    pub dtype: DType,
    /// One stride per dimension of the result, 0 where this operand is broadcast.
    pub strides: Dims,
    pub compute: Compute,
}

pub struct Out {
    pub ptr: *mut u8,
    pub dtype: DType,
    pub strides: Dims,
    pub compute: Compute,
}

/// Elements of a tile: the buffers of five operands stay in the first cache level.
const TILE: usize = 1024;
/// Elements a thread takes at once; below two of these nothing is shared out.
pub const GRAIN: usize = 16 * TILE;
const MAX_IN: usize = 6;
/// From this length on a run of consecutive elements is worth a call of the kernel.
const RUN: usize = 64;

struct Job<'a> {
    shape: Dims,
    ins: &'a [In],
    in_strides: SmallVec<[Dims; 4]>,
    out: &'a Out,
    out_strides: Dims,
    kernel: TileFn,
    params: &'a [u64],
}

// SAFETY: the pointers are to memory that the caller keeps alive; threads write disjoint ranges.
unsafe impl Sync for Job<'_> {}

/// # Safety
/// Every operand must be valid for `shape` under its strides, and the output must not overlap itself.
/// An input may be the output itself, element for element; no other overlap is allowed.
pub unsafe fn map(shape: &[usize], ins: &[In], out: &Out, kernel: TileFn, params: &[u64]) {
    let n: usize = shape.iter().product();
    if n == 0 {
        return;
    }
    let mut all: SmallVec<[&[usize]; 6]> = smallvec::smallvec![&out.strides[..]];
    all.extend(ins.iter().map(|i| &i.strides[..]));
    let (shape, mut strides) = coalesce(shape, &all);
    let out_strides = strides.remove(0);
    let job = Job { shape, ins, in_strides: strides, out, out_strides, kernel, params };
    let in_runs = job.in_runs();
    threads::for_range(n, GRAIN, &|range| {
        // SAFETY: passed on from the caller; ranges are disjoint.
        unsafe { if in_runs { job.run_runs(range) } else { job.run(range) } }
    });
}

/// One operand's tile memory.
#[repr(align(64))]
struct Tile(MaybeUninit<[u8; TILE * 8]>);

impl Tile {
    fn ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}

/// Whether the coalesced operand is one run of consecutive elements.
fn is_run(strides: &[usize]) -> bool {
    match strides {
        [] => true,
        [s] => *s == 1,
        _ => false,
    }
}

impl Job<'_> {
    /// Whether the kernel can read and write runs along the last dimension where they lie: a bias on rows, a part of
    /// the columns.
    fn in_runs(&self) -> bool {
        let Some(last) = self.shape.len().checked_sub(1).filter(|&d| d > 0) else { return false };
        let native = |dtype: DType, compute: Compute| dtype == compute.native();
        self.shape[last] >= RUN
            && native(self.out.dtype, self.out.compute)
            && self.out_strides[last] == 1
            && self.ins.iter().zip(&self.in_strides).all(|(x, strides)| {
                native(x.dtype, x.compute)
                    && strides[last] <= 1
                    && !std::ptr::eq(x.ptr, self.out.ptr)
            })
    }

    /// # Safety
    /// As `run`, where `in_runs`.
    unsafe fn run_runs(&self, range: Range<usize>) {
        let last = self.shape.len() - 1;
        let (outer, width) = (&self.shape[..last], self.shape[last]);
        let mut ptrs = [std::ptr::null::<u8>(); MAX_IN];
        let mut tiles: [Tile; MAX_IN] = std::array::from_fn(|_| Tile(MaybeUninit::uninit()));
        let mut start = range.start;
        while start < range.end {
            let (row, col) = (start / width, start % width);
            let n = (width - col).min(range.end - start).min(TILE);
            let place =
                |strides: &[usize]| offset_of(row, outer, &strides[..last]) + col * strides[last];
            // SAFETY: the run lies inside of every operand; a tile holds TILE elements.
            unsafe {
                for (i, x) in self.ins.iter().enumerate() {
                    let strides = &self.in_strides[i];
                    ptrs[i] = x.ptr.add(place(strides) * x.dtype.size());
                    if strides[last] == 0 {
                        loader(x.dtype, x.compute)(ptrs[i], 0, n, tiles[i].ptr());
                        ptrs[i] = tiles[i].ptr();
                    }
                }
                let out = self.out.ptr.add(place(&self.out_strides) * self.out.dtype.size());
                (self.kernel)(n, ptrs.as_ptr(), out, self.params.as_ptr());
            }
            start += n;
        }
    }

    unsafe fn run(&self, range: Range<usize>) {
        let mut ptrs = [std::ptr::null::<u8>(); MAX_IN];
        let direct = |i: usize| {
            let x = &self.ins[i];
            x.dtype == x.compute.native() && is_run(&self.in_strides[i])
        };
        let in_place = |i: usize| std::ptr::eq(self.ins[i].ptr, self.out.ptr);
        let out_direct = self.out.dtype == self.out.compute.native() && is_run(&self.out_strides);
        let k = self.ins.len();
        let plain = out_direct && (0..k).all(|i| direct(i) && !in_place(i));
        // SAFETY (whole block): offsets stay inside the operands, tiles hold TILE elements of 8 bytes.
        unsafe {
            if plain {
                for i in 0..k {
                    let x = &self.ins[i];
                    ptrs[i] = x.ptr.add(range.start * x.dtype.size());
                }
                let out = self.out.ptr.add(range.start * self.out.dtype.size());
                (self.kernel)(range.len(), ptrs.as_ptr(), out, self.params.as_ptr());
                return;
            }
            let mut tiles: [Tile; MAX_IN] = std::array::from_fn(|_| Tile(MaybeUninit::uninit()));
            let mut result = Tile(MaybeUninit::uninit());
            // An operand that never moves is loaded once.
            let fixed = |i: usize| self.in_strides[i].iter().all(|&s| s == 0);
            for i in 0..k {
                if fixed(i) && !direct(i) {
                    let len = range.len().min(TILE);
                    let x = &self.ins[i];
                    loader(x.dtype, x.compute)(x.ptr, 0, len, tiles[i].ptr());
                    ptrs[i] = tiles[i].ptr();
                }
            }
            let mut start = range.start;
            while start < range.end {
                let len = (range.end - start).min(TILE);
                for i in 0..k {
                    let x = &self.ins[i];
                    if direct(i) {
                        ptrs[i] = x.ptr.add(start * x.dtype.size());
                    } else if !fixed(i) {
                        let dst = tiles[i].ptr();
                        let load = loader(x.dtype, x.compute);
                        let size = x.compute.size();
                        walk(&self.shape, &self.in_strides[i], start, len, |at, step, done, n| {
                            load(x.ptr.add(at * x.dtype.size()), step, n, dst.add(done * size));
                        });
                        ptrs[i] = dst;
                    }
                }
                // In place the kernel writes to a tile first: aliased pointers would not vectorize.
                let direct_out = out_direct && !(0..k).any(in_place);
                if direct_out {
                    let out = self.out.ptr.add(start * self.out.dtype.size());
                    (self.kernel)(len, ptrs.as_ptr(), out, self.params.as_ptr());
                } else {
                    let src = result.ptr();
                    (self.kernel)(len, ptrs.as_ptr(), src, self.params.as_ptr());
                    let store = storer(self.out.compute, self.out.dtype);
                    let size = self.out.compute.size();
                    walk(&self.shape, &self.out_strides, start, len, |at, step, done, n| {
                        store(
                            src.add(done * size),
                            n,
                            self.out.ptr.add(at * self.out.dtype.size()),
                            step,
                        );
                    });
                }
                start += len;
            }
        }
    }
}

/// Calls `f(offset, step, done, n)` for each run along the last dimension of the `len` elements from
/// linear index `start`.
fn walk(
    shape: &[usize],
    strides: &[usize],
    start: usize,
    len: usize,
    mut f: impl FnMut(usize, usize, usize, usize),
) {
    let Some(last) = shape.len().checked_sub(1) else {
        f(0, 0, 0, len);
        return;
    };
    let mut at: Dims = SmallVec::from_elem(0, shape.len());
    let mut rest = start;
    let mut offset = 0;
    for d in (0..shape.len()).rev() {
        at[d] = rest % shape[d];
        rest /= shape[d];
        offset += at[d] * strides[d];
    }
    let mut done = 0;
    while done < len {
        let n = (shape[last] - at[last]).min(len - done);
        f(offset, strides[last], done, n);
        done += n;
        at[last] += n;
        offset += n * strides[last];
        let mut d = last;
        while at[d] == shape[d] && d > 0 {
            offset -= shape[d] * strides[d];
            at[d] = 0;
            d -= 1;
            at[d] += 1;
            offset += strides[d];
        }
    }
}

/// A type that kernels compute in.
pub trait ComputeType: Element {
    fn from<S: Element>(s: S) -> Self;
    fn into<D: Element>(self) -> D;
}

macro_rules! compute_type {
    ($($t:ty: $to:ident $from:ident),*) => {$(
        impl ComputeType for $t {
            #[inline(always)] fn from<S: Element>(s: S) -> Self { s.$to() }
            #[inline(always)] fn into<D: Element>(self) -> D { D::$from(self) }
        }
    )*};
}
compute_type!(f32: to_f32 from_f32, f64: to_f64 from_f64, i64: to_i64 from_i64, u64: to_u64 from_u64);

impl ComputeType for Flag {
    #[inline(always)]
    fn from<S: Element>(s: S) -> Self {
        Self::new(s != S::default())
    }
    #[inline(always)]
    fn into<D: Element>(self) -> D {
        D::from_u64(self.to_u64())
    }
}

type Load = unsafe fn(src: *const u8, step: usize, n: usize, dst: *mut u8);
type Store = unsafe fn(src: *const u8, n: usize, dst: *mut u8, step: usize);

unsafe fn load<S: Element, C: ComputeType>(src: *const u8, step: usize, n: usize, dst: *mut u8) {
    let (src, dst) = (src.cast::<S>(), dst.cast::<C>());
    // SAFETY: the caller gives n readable and writable elements.
    unsafe {
        match step {
            0 => {
                let v = C::from(*src);
                for i in 0..n {
                    *dst.add(i) = v;
                }
            }
            1 => {
                if S::DTYPE == DType::F16 && C::DTYPE == DType::F32 {
                    let s = std::slice::from_raw_parts(src.cast::<half::f16>(), n);
                    s.convert_to_f32_slice(std::slice::from_raw_parts_mut(dst.cast::<f32>(), n));
                    return;
                }
                for i in 0..n {
                    *dst.add(i) = C::from(*src.add(i));
                }
            }
            _ => {
                for i in 0..n {
                    *dst.add(i) = C::from(*src.add(i * step));
                }
            }
        }
    }
}

unsafe fn store<C: ComputeType, D: Element>(src: *const u8, n: usize, dst: *mut u8, step: usize) {
    let (src, dst) = (src.cast::<C>(), dst.cast::<D>());
    // SAFETY: the caller gives n readable and writable elements.
    unsafe {
        if step == 1 {
            if C::DTYPE == DType::F32 && D::DTYPE == DType::F16 {
                let d = std::slice::from_raw_parts_mut(dst.cast::<half::f16>(), n);
                d.convert_from_f32_slice(std::slice::from_raw_parts(src.cast::<f32>(), n));
                return;
            }
            for i in 0..n {
                *dst.add(i) = (*src.add(i)).into();
            }
        } else {
            for i in 0..n {
                *dst.add(i * step) = (*src.add(i)).into();
            }
        }
    }
}

fn loader(dtype: DType, compute: Compute) -> Load {
    with_dtype!(dtype, S => match compute {
        Compute::F32 => load::<S, f32>,
        Compute::F64 => load::<S, f64>,
        Compute::I64 => load::<S, i64>,
        Compute::U64 => load::<S, u64>,
        Compute::Bool => load::<S, Flag>,
    })
}

fn storer(compute: Compute, dtype: DType) -> Store {
    with_dtype!(dtype, D => match compute {
        Compute::F32 => store::<f32, D>,
        Compute::F64 => store::<f64, D>,
        Compute::I64 => store::<i64, D>,
        Compute::U64 => store::<u64, D>,
        Compute::Bool => store::<Flag, D>,
    })
}

/// Loads `n` elements, `step` apart, as the compute type.
///
/// # Safety
/// The source must have the elements, the destination room for them.
pub unsafe fn load_run(
    dtype: DType,
    compute: Compute,
    src: *const u8,
    step: usize,
    n: usize,
    dst: *mut u8,
) {
    // SAFETY: passed on from the caller.
    unsafe { loader(dtype, compute)(src, step, n, dst) }
}

/// The kernel of a copy: the loads and stores do the work.
pub fn identity(compute: Compute) -> TileFn {
    unsafe fn copy<const SIZE: usize>(
        n: usize,
        ins: *const *const u8,
        out: *mut u8,
        _: *const u64,
    ) {
        // SAFETY: one input and one output of n elements; they may be the same tile.
        unsafe { std::ptr::copy(*ins, out, n * SIZE) };
    }
    match compute.size() {
        1 => copy::<1>,
        4 => copy::<4>,
        _ => copy::<8>,
    }
}

/// The type through which a copy converts, exact wherever the destination is.
pub fn copy_compute(src: DType, dst: DType) -> Compute {
    match (src, dst) {
        (_, DType::Bool) => Compute::Bool,
        (s, d) if s == d => native_or_wide(s),
        (s, d) if s.is_float() && d.is_float() => {
            if s == DType::F64 || d == DType::F64 {
                Compute::F64
            } else {
                Compute::F32
            }
        }
        (s, _) => s.compute(),
    }
}

fn native_or_wide(d: DType) -> Compute {
    match d {
        DType::Bool => Compute::Bool,
        d => d.compute(),
    }
}
