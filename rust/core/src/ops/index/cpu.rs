//! Moves elements between a strided tensor and a dense list of picks. All offsets are in elements and
//! were checked when they were made; memory is touched through raw pointers only.

use super::plan::Walk;
use crate::cpu::threads;
use crate::dtype::{DType, Element, Flag};
use crate::error::{Error, Result};
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::with_dtype;
use std::sync::atomic::{AtomicUsize, Ordering};

const GRAIN: usize = 16 * 1024;
/// A row longer than this is shared among threads.
const PIECE: usize = 64 * 1024;

/// One index tensor (dense int64) and the dimension it selects from.
pub struct Pick<'a> {
    pub index: &'a Tensor,
    pub dim: usize,
    pub size: usize,
    pub stride: usize,
}

/// A raw pointer that crosses threads.
#[derive(Clone, Copy)]
pub struct Ptr<T>(pub *mut T);
// SAFETY: who uses it keeps the memory alive and writes disjoint places, or places in a fixed order.
unsafe impl<T> Send for Ptr<T> {}
unsafe impl<T> Sync for Ptr<T> {}
impl<T> Ptr<T> {
    pub fn get(self) -> *mut T {
        self.0
    }
}

/// One offset for each pick, in memory from the tensors' allocator.
pub struct Offsets(Tensor);

impl Offsets {
    pub fn list(&self) -> &[usize] {
        // SAFETY: the tensor is contiguous, of 64-bit elements, filled, and nobody else has it.
        unsafe { std::slice::from_raw_parts(self.0.ptr::<usize>(), self.0.numel()) }
    }
}

// `list` reads u64 as usize.
const _: () = assert!(size_of::<usize>() == size_of::<u64>());

/// The offset of each pick: that of `base` plus index times stride. Negative indices count from the
/// end when `wrap` is set.
pub fn offsets(base: Option<&Walk>, picks: &[Pick], wrap: bool) -> Result<Offsets> {
    let m = picks[0].index.numel();
    let out = Offsets(Tensor::empty(&[m], DType::U64, Device::Cpu)?);
    let to = Ptr(out.0.ptr::<usize>());
    if base.is_none() {
        // SAFETY: `out` has m elements.
        threads::for_range(m, GRAIN, &|r| unsafe { to.get().add(r.start).write_bytes(0, r.len()) });
    }
    if let Some(walk) = base {
        threads::for_range(m, GRAIN, &|r| {
            // SAFETY: pieces are disjoint and inside `out`.
            walk.each(r.start, r.len(), |i, o| unsafe { *to.get().add(r.start + i) = o });
        });
    }
    for pick in picks {
        let bad = AtomicUsize::new(usize::MAX);
        let from = Ptr(pick.index.ptr::<i64>());
        let n = pick.size as i64;
        threads::for_range(m, GRAIN, &|r| {
            for i in r {
                // SAFETY: the index has m elements; pieces are disjoint.
                unsafe {
                    let v = *from.get().add(i);
                    let at = if wrap && v < 0 { v.wrapping_add(n) } else { v };
                    if (at as u64) < n as u64 {
                        *to.get().add(i) += at as usize * pick.stride;
                    } else {
                        bad.fetch_min(i, Ordering::Relaxed);
                    }
                }
            }
        });
        let at = bad.into_inner();
        if at != usize::MAX {
            // SAFETY: `at` was an index of the list.
            return Err(out_of_range(unsafe { *from.get().add(at) }, pick.dim, pick.size));
        }
    }
    Ok(out)
}

pub fn out_of_range(v: i64, dim: usize, size: usize) -> Error {
    Error::index(format!("index {v} is out of bounds for dimension {dim} with size {size}"))
}

/// `out[i] = x[base(i) + index[i] * stride]`, `out` dense.
pub fn take_each(x: &Tensor, base: &Walk, pick: &Pick, out: &Tensor) -> Result<()> {
    match x.dtype().size() {
        1 => take_each_as::<u8>(x, base, pick, out),
        2 => take_each_as::<u16>(x, base, pick, out),
        4 => take_each_as::<u32>(x, base, pick, out),
        _ => take_each_as::<u64>(x, base, pick, out),
    }
}

fn take_each_as<T: Copy>(x: &Tensor, base: &Walk, pick: &Pick, out: &Tensor) -> Result<()> {
    let (index, from, to) = (Ptr(pick.index.ptr::<i64>()), Ptr(x.ptr::<T>()), Ptr(out.ptr::<T>()));
    let bad = AtomicUsize::new(usize::MAX);
    threads::for_range(out.numel(), GRAIN, &|r| {
        base.each(r.start, r.len(), |i, offset| {
            let i = r.start + i;
            // SAFETY: as many indices as results; the offset lies inside x for an index below the size.
            unsafe {
                let at = *index.get().add(i);
                if (at as u64) < pick.size as u64 {
                    *to.get().add(i) = *from.get().add(offset + at as usize * pick.stride);
                } else {
                    bad.fetch_min(i, Ordering::Relaxed);
                }
            }
        });
    });
    match bad.into_inner() {
        usize::MAX => Ok(()),
        // SAFETY: it was an index of the list.
        at => Err(out_of_range(unsafe { *index.get().add(at) }, pick.dim, pick.size)),
    }
}

/// `out[p, m, q] = x[pre(p) + offsets[m] + post(q)]`, `out` dense.
pub fn take(x: &Tensor, offsets: &[usize], pre: &Walk, post: &Walk, out: &Tensor) {
    match x.dtype().size() {
        1 => take_as::<u8>(x, offsets, pre, post, out),
        2 => take_as::<u16>(x, offsets, pre, post, out),
        4 => take_as::<u32>(x, offsets, pre, post, out),
        _ => take_as::<u64>(x, offsets, pre, post, out),
    }
}

fn take_as<T: Copy>(x: &Tensor, offsets: &[usize], pre: &Walk, post: &Walk, out: &Tensor) {
    let (m, q) = (offsets.len(), post.len());
    if out.numel() == 0 {
        return;
    }
    let pre = pre.table();
    let table = post.step().is_none().then(|| post.table());
    let step = post.step().unwrap_or(1);
    let cuts = q.div_ceil(PIECE);
    let (from, to) = (Ptr(x.ptr::<T>()), Ptr(out.ptr::<T>()));
    threads::for_range(pre.len() * m * cuts, (GRAIN / q).max(1), &|range| {
        let (mut row, mut cut) = (range.start / cuts, range.start % cuts);
        let (mut p, mut i) = (row / m, row % m);
        for _ in range {
            let skip = cut * PIECE;
            let len = (q - skip).min(PIECE);
            // SAFETY: every offset lies inside x by construction; rows of `out` are disjoint.
            unsafe {
                let src = from.get().add(pre[p] + offsets[i]);
                let dst = to.get().add(row * q + skip);
                match &table {
                    _ if q == 1 => *dst = *src,
                    Some(t) => (0..len).for_each(|k| *dst.add(k) = *src.add(t[skip + k])),
                    None if step == 1 => std::ptr::copy_nonoverlapping(src.add(skip), dst, len),
                    None => (0..len).for_each(|k| *dst.add(k) = *src.add((skip + k) * step)),
                }
            }
            cut += 1;
            if cut == cuts {
                (row, i, cut) = (row + 1, i + 1, 0);
                if i == m {
                    (p, i) = (p + 1, 0);
                }
            }
        }
    });
}

/// How a written value meets the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    Set,
    Add,
    Mul,
    Max,
    Min,
}

impl Combine {
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "set" => Self::Set,
            "sum" => Self::Add,
            "prod" => Self::Mul,
            "amax" => Self::Max,
            "amin" => Self::Min,
            _ => {
                return Err(Error::runtime(format!(
                    "reduce argument must be either sum, prod, mean, amax or amin, got {name}"
                )));
            }
        })
    }
}

trait Number: Element {
    fn plus(self, o: Self) -> Self;
    fn times(self, o: Self) -> Self;
    /// The larger; NaN wins.
    fn larger(self, o: Self) -> Self;
    fn smaller(self, o: Self) -> Self;
}

macro_rules! numbers {
    ($($t:ty: |$a:ident, $b:ident| $plus:expr, $times:expr);* $(;)?) => {$(
        impl Number for $t {
            #[inline(always)]
            fn plus(self, o: Self) -> Self { let ($a, $b) = (self, o); $plus }
            #[inline(always)]
            fn times(self, o: Self) -> Self { let ($a, $b) = (self, o); $times }
            #[inline(always)]
            #[allow(clippy::eq_op)]
            fn larger(self, o: Self) -> Self { if self > o || self != self { self } else { o } }
            #[inline(always)]
            #[allow(clippy::eq_op)]
            fn smaller(self, o: Self) -> Self { if self < o || self != self { self } else { o } }
        }
    )*};
}
numbers! {
    Flag: |a, b| a | b, a & b;
    u8: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i8: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    u16: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i16: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    u32: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i32: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    u64: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    i64: |a, b| a.wrapping_add(b), a.wrapping_mul(b);
    half::f16: |a, b| a + b, a * b;
    half::bf16: |a, b| a + b, a * b;
    f32: |a, b| a + b, a * b;
    f64: |a, b| a + b, a * b;
}

/// Where `put` writes: the picks fall into `blocks` equal runs that never meet each other.
pub struct Target<'a> {
    pub dst: &'a Tensor,
    pub offsets: &'a [usize],
    pub rest: &'a Walk,
    pub blocks: usize,
}

/// `dst[offsets[m] + rest(k)] = combine(.., src[m, k])` in the order of m; `src` dense.
/// Half floats are to be combined in float32 by the caller.
pub fn put(t: &Target, src: &Tensor, how: Combine) {
    if how == Combine::Set {
        return match src.dtype().size() {
            1 => put_as::<u8>(t, src, |_, b| b),
            2 => put_as::<u16>(t, src, |_, b| b),
            4 => put_as::<u32>(t, src, |_, b| b),
            _ => put_as::<u64>(t, src, |_, b| b),
        };
    }
    with_dtype!(src.dtype(), T => match how {
        Combine::Add => put_as::<T>(t, src, Number::plus),
        Combine::Mul => put_as::<T>(t, src, Number::times),
        Combine::Min => put_as::<T>(t, src, Number::smaller),
        Combine::Max | Combine::Set => put_as::<T>(t, src, Number::larger),
    });
}

fn put_as<T: Copy>(t: &Target, src: &Tensor, f: impl Fn(T, T) -> T + Sync) {
    let (m, k) = (t.offsets.len(), t.rest.len());
    if m * k == 0 {
        return;
    }
    let table = t.rest.step().is_none().then(|| t.rest.table());
    let step = t.rest.step().unwrap_or(1);
    // Each task owns some columns of some blocks, so that every place has one writer.
    let columns = if m * k <= GRAIN { k } else { k.min(128) };
    let cuts = k.div_ceil(columns);
    let run = m / t.blocks;
    let together = (GRAIN / (run * columns)).clamp(1, t.blocks);
    let groups = t.blocks.div_ceil(together);
    let (from, to) = (Ptr(src.ptr::<T>()), Ptr(t.dst.ptr::<T>()));
    threads::run(groups * cuts, &|task| {
        let (group, cut) = (task / cuts, task % cuts * columns);
        let len = (k - cut).min(columns);
        let first = group * together * run;
        for i in first..(first + together * run).min(m) {
            // SAFETY: offsets lie inside dst, i and cut inside src; no other task has this place.
            unsafe {
                let dst = to.get().add(t.offsets[i]);
                let src = from.get().add(i * k + cut);
                match &table {
                    Some(t) => (0..len).for_each(|j| {
                        let d = dst.add(t[cut + j]);
                        *d = f(*d, *src.add(j));
                    }),
                    None if step == 1 => (0..len).for_each(|j| {
                        let d = dst.add(cut + j);
                        *d = f(*d, *src.add(j));
                    }),
                    None => (0..len).for_each(|j| {
                        let d = dst.add((cut + j) * step);
                        *d = f(*d, *src.add(j));
                    }),
                }
            }
        }
    });
}

/// The dtype in which values are combined.
pub fn combining(dtype: DType, how: Combine) -> DType {
    match dtype {
        DType::F16 | DType::BF16 if how != Combine::Set => DType::F32,
        d => d,
    }
}
