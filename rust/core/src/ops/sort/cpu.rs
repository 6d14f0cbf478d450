//! Sorting on the CPU: each row becomes integers that hold an order-preserving key above the index, so
//! that sorting them is stable. Long rows are sorted by digits.

use crate::cpu::threads;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::layout::{Dims, Layout, wrap_dim};
use crate::ops::cast;
use crate::ops::index::{Ptr, dense};
use crate::tensor::Tensor;
use crate::with_dtype;

/// An element as an unsigned integer of the same order: NaN greatest, both zeros equal.
fn key<T: Element>(v: T) -> u64 {
    match T::DTYPE {
        DType::F64 => {
            let v = v.to_f64();
            let bits = if v == 0.0 {
                0
            } else if v.is_nan() {
                u64::MAX >> 1
            } else {
                v.to_bits()
            };
            if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
        }
        DType::F32 | DType::F16 | DType::BF16 => {
            let v = v.to_f32();
            let bits = if v == 0.0 {
                0
            } else if v.is_nan() {
                u32::MAX >> 1
            } else {
                v.to_bits()
            };
            u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
        }
        DType::U64 => v.to_u64(),
        DType::I64 => v.to_u64() ^ 1 << 63,
        // The others fit 33 bits with a sign; shifted, they fit 32 without.
        d => (v.to_i64() + if d.is_signed() { 1 << 31 } else { 0 }) as u64,
    }
}

/// Key and index in one integer that sorts by both.
trait Packed: Copy + Ord + Send + Sync + Default {
    /// The highest key.
    const KEYS: u64;
    fn pack(key: u64, index: usize) -> Self;
    fn index(self) -> usize;
    /// Sorts; `spare` is of the same length.
    fn sort(list: &mut [Self], spare: &mut Vec<Self>);
}

impl Packed for u64 {
    const KEYS: u64 = u32::MAX as u64;
    fn pack(key: u64, index: usize) -> Self {
        key << 32 | index as u64
    }
    fn index(self) -> usize {
        self as u32 as usize
    }
    fn sort(list: &mut [Self], spare: &mut Vec<Self>) {
        if list.len() < 2048 {
            list.sort_unstable();
            return;
        }
        by_digits(list, spare);
    }
}

impl Packed for u128 {
    const KEYS: u64 = u64::MAX;
    fn pack(key: u64, index: usize) -> Self {
        u128::from(key) << 32 | index as u128
    }
    fn index(self) -> usize {
        self as u32 as usize
    }
    fn sort(list: &mut [Self], _: &mut Vec<Self>) {
        list.sort_unstable();
    }
}

const DIGIT: u32 = 11;

/// A radix sort by the upper 32 bits; the lower ones are in order already.
fn by_digits(list: &mut [u64], spare: &mut Vec<u64>) {
    let size = 1usize << DIGIT;
    spare.resize(list.len(), 0);
    let mut counts = vec![0u32; 3 * size];
    let digit = |v: u64, pass: usize| (v >> (32 + DIGIT * pass as u32)) as usize & (size - 1);
    for &v in list.iter() {
        for pass in 0..3 {
            counts[pass * size + digit(v, pass)] += 1;
        }
    }
    let (mut from, mut to): (&mut [u64], &mut [u64]) = (list, spare);
    let mut swapped = false;
    for pass in 0..3 {
        let counts = &mut counts[pass * size..(pass + 1) * size];
        if counts.iter().any(|&c| c as usize == from.len()) {
            continue;
        }
        let mut start = 0;
        for c in counts.iter_mut() {
            start += std::mem::replace(c, start);
        }
        for &v in from.iter() {
            let c = &mut counts[digit(v, pass)];
            to[*c as usize] = v;
            *c += 1;
        }
        std::mem::swap(&mut from, &mut to);
        swapped = !swapped;
    }
    if swapped {
        to.copy_from_slice(from);
    }
}

/// Which of a row's elements go where: fills `k` places from the packed row.
type Choose<P> = dyn Fn(&mut Vec<P>, &mut Vec<P>) + Sync;

struct Job {
    x: Tensor,
    rows: usize,
    n: usize,
    descending: bool,
}

/// The rows along dim, dense.
fn rows(x: &Tensor, dim: i64, descending: bool) -> Result<Job> {
    let d = wrap_dim(dim, x.ndim())?;
    let n = x.shape().get(d).copied().unwrap_or(1);
    let x = dense(&x.alias(last(x.layout(), d)), x.dtype())?;
    Ok(Job { rows: x.numel().checked_div(n).unwrap_or(0), x, n, descending })
}

/// The layout with a dimension moved to the end.
pub(super) fn last(l: &Layout, d: usize) -> Layout {
    let mut order: Dims = (0..l.ndim()).filter(|&i| i != d).collect();
    if d < l.ndim() {
        order.push(d);
    }
    l.permute(&order)
}

/// Runs `choose` on each row and writes `k` values and indices.
fn each_row(
    job: &Job,
    k: usize,
    dim: Option<i64>,
    outs: [&Tensor; 2],
    narrow: &Choose<u64>,
    wide: &Choose<u128>,
) -> Result<()> {
    // The results in the order of the rows: the outputs themselves where that is their order.
    let (mut targets, mut moved) = (outs.map(Clone::clone), [false; 2]);
    for (t, m) in targets.iter_mut().zip(&mut moved) {
        if let Some(dim) = dim {
            let l = last(t.layout(), wrap_dim(dim, t.ndim())?);
            if !l.is_contiguous() {
                *t = Tensor::empty(&l.shape, t.dtype(), t.device())?;
                *m = true;
            }
        }
    }
    with_dtype!(job.x.dtype(), T => {
        let lowest = if size_of::<T>() == 8 { near(Ptr(job.x.ptr::<T>()), job.x.numel()) } else { Some(0) };
        match lowest {
            Some(lowest) => run::<T, u64>(job, k, lowest, &targets, narrow),
            None => run::<T, u128>(job, k, 0, &targets, wide),
        }
    });
    for ((t, m), out) in targets.iter().zip(moved).zip(outs) {
        if m && let Some(dim) = dim {
            cast::raw_copy(t, &out.alias(last(out.layout(), wrap_dim(dim, out.ndim())?)))?;
        }
    }
    Ok(())
}

/// The lowest key of 64-bit integers that lie within 2^32 of each other.
fn near<T: Element>(from: Ptr<T>, n: usize) -> Option<u64> {
    if T::DTYPE.is_float() {
        return None;
    }
    let (mut low, mut high) = (u64::MAX, 0);
    for i in 0..n {
        // SAFETY: the list has n elements.
        let k = key(unsafe { *from.get().add(i) });
        (low, high) = (low.min(k), high.max(k));
    }
    u32::try_from(high.saturating_sub(low)).is_ok().then_some(low)
}

/// Keys count from `lowest`.
fn run<T: Element, P: Packed>(
    job: &Job,
    k: usize,
    lowest: u64,
    outs: &[Tensor; 2],
    choose: &Choose<P>,
) {
    let from = Ptr(job.x.ptr::<T>());
    let (values, indices) = (Ptr(outs[0].ptr::<T>()), Ptr(outs[1].ptr::<i64>()));
    let n = job.n;
    let flip = if job.descending { P::KEYS } else { 0 };
    threads::for_range(job.rows, (4096 / n.max(1)).max(1), &|range| {
        let (mut list, mut spare) = (Vec::with_capacity(n), Vec::new());
        for r in range {
            list.clear();
            // SAFETY: row r of x, and row r of the results with k places each; k <= n.
            unsafe {
                let row = from.get().add(r * n);
                list.extend(
                    (0..n).map(|i| P::pack(key(*row.add(i)).wrapping_sub(lowest) ^ flip, i)),
                );
                choose(&mut list, &mut spare);
                for (j, p) in list[..k].iter().enumerate() {
                    *values.get().add(r * k + j) = *row.add(p.index());
                    *indices.get().add(r * k + j) = p.index() as i64;
                }
            }
        }
    });
}

#[allow(clippy::ptr_arg)] // it is a `Choose`
fn whole<P: Packed>(list: &mut Vec<P>, spare: &mut Vec<P>) {
    P::sort(list, spare);
}

pub fn sort(
    x: &Tensor,
    dim: i64,
    descending: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let job = rows(x, dim, descending)?;
    each_row(&job, job.n, Some(dim), [values, indices], &whole, &whole)
}

pub fn top(x: &Tensor, dim: i64, largest: bool, values: &Tensor, indices: &Tensor) -> Result<()> {
    let job = rows(x, dim, largest)?;
    let k = values.shape().get(wrap_dim(dim, x.ndim())?).copied().unwrap_or(1).min(job.n);
    if values.numel() == 0 {
        return Ok(());
    }
    fn first<P: Packed>(list: &mut Vec<P>, spare: &mut Vec<P>, k: usize) {
        if k < list.len() {
            list.select_nth_unstable(k - 1);
            list.truncate(k);
        }
        P::sort(list, spare);
    }
    let outs = [values, indices];
    each_row(&job, k, Some(dim), outs, &move |l, s| first(l, s, k), &move |l, s| first(l, s, k))
}

pub fn kth(
    x: &Tensor,
    k: usize,
    dim: i64,
    nan: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let job = rows(x, dim, false)?;
    if values.numel() == 0 {
        return Ok(());
    }
    // NaN has the highest key of all.
    let nan = nan && x.dtype().is_float();
    fn one<P: Packed>(list: &mut [P], k: usize, nan: bool) {
        if nan && let Some(found) = list.iter().copied().filter(|&p| p >= P::pack(P::KEYS, 0)).min()
        {
            list[0] = found;
            return;
        }
        list.select_nth_unstable(k - 1);
        list[0] = list[k - 1];
    }
    let outs = [values, indices];
    each_row(&job, 1, None, outs, &move |l, _| one(l, k, nan), &move |l, _| one(l, k, nan))
}
