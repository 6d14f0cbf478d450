//! Reductions over any layout. Elements are folded in fixed chunks with explicit lanes, chunks are
//! combined in a fixed tree: the same bits at any thread count, and an error that grows with log n.

use crate::cpu::map::{self, GRAIN, In, Out};
use crate::cpu::simd::{self, Isa};
use crate::cpu::threads;
use crate::dtype::Compute;
use crate::error::Result;
use crate::layout::{Dims, coalesce, offset_of};
use crate::tensor::Tensor;
use std::mem::MaybeUninit;

/// Folds each of `rows` rows of `n` consecutive elements of the compute type, `step` elements apart, into one.
pub type FoldFn = unsafe fn(rows: usize, n: usize, step: usize, x: *const u8, out: *mut u8);
/// `acc[i] = combine(acc[i], x[i])` for `n` elements of each of `rows` rows in turn, `step` elements apart.
pub type CombineFn = unsafe fn(rows: usize, n: usize, step: usize, acc: *mut u8, x: *const u8);

#[derive(Clone, Copy)]
pub struct Fold {
    pub fold: FoldFn,
    pub combine: CombineFn,
    /// The bits of the neutral element.
    pub init: u64,
}

/// Elements of a row that are folded into one partial result: what a tile holds, or, where nothing is loaded
/// into a tile first, as many as give each stream of `fold_streams` several pages.
const CHUNK: usize = 4096;
const DIRECT: usize = 4 * CHUNK;
const ROWS: usize = 128;

/// Reduces `dims` (sorted, distinct) of `x` into `out`, a contiguous tensor of the kept dimensions.
pub fn reduce(x: &Tensor, dims: &[usize], out: &Tensor, compute: Compute, f: Fold) -> Result<()> {
    let kept: Dims = (0..x.ndim()).filter(|d| !dims.contains(d)).collect();
    let pick = |order: &[usize]| x.layout().permute(order);
    let (keep, red) = (pick(&kept), pick(dims));
    let (keep_shape, keep_strides) = coalesce(&keep.shape, &[&keep.strides]);
    let (red_shape, red_strides) = coalesce(&red.shape, &[&red.strides]);
    let n = red.numel();
    let rows = keep.numel();
    if rows == 0 {
        return Ok(());
    }
    let result = Acc::new(out, rows, compute)?;
    let size = compute.size();
    if n == 0 {
        for i in 0..rows {
            // SAFETY: the accumulator has `rows` elements.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    (&raw const f.init).cast(),
                    result.at(i * size),
                    size,
                );
            };
        }
    } else if red_shape.len() == 1
        && keep_shape.len() == 1
        && keep_strides[0][0] == 1
        && red_strides[0][0] != 1
    {
        columns(x, compute, f, rows, n, red_strides[0][0], &result)?;
    } else if red_shape.is_empty() || (red_shape.len() == 1 && red_strides[0][0] == 1) {
        by_rows(x, compute, f, (&keep_shape, &keep_strides[0]), n, &result)?;
    } else {
        // Another layout is copied into rows first.
        let order: Dims = kept.iter().chain(dims).copied().collect();
        let flat = x.alias(pick(&order));
        let dense = crate::ops::cast::copy_data(&flat)?;
        by_rows(&dense, compute, f, (&[rows], &[n]), n, &result)?;
    }
    result.finish(out);
    Ok(())
}

/// Results in the compute type: the output itself when it has that type, a buffer otherwise.
struct Acc {
    ptr: *mut u8,
    buffer: Option<Tensor>,
    compute: Compute,
}

// SAFETY: threads write disjoint elements.
unsafe impl Sync for Acc {}

impl Acc {
    fn new(out: &Tensor, n: usize, compute: Compute) -> Result<Self> {
        if out.dtype() == compute.native() {
            return Ok(Self { ptr: out.byte_ptr(), buffer: None, compute });
        }
        let b = Tensor::empty(&[n], compute.native(), out.device())?;
        Ok(Self { ptr: b.byte_ptr(), buffer: Some(b), compute })
    }

    fn at(&self, bytes: usize) -> *mut u8 {
        // SAFETY: callers stay below the number of elements they asked for.
        unsafe { self.ptr.add(bytes) }
    }

    fn finish(&self, out: &Tensor) {
        let Some(b) = &self.buffer else { return };
        let one: Dims = smallvec::smallvec![1];
        let ins = [In {
            ptr: b.byte_ptr(),
            dtype: b.dtype(),
            strides: one.clone(),
            compute: self.compute,
        }];
        let target =
            Out { ptr: out.byte_ptr(), dtype: out.dtype(), strides: one, compute: self.compute };
        // SAFETY: both are contiguous and have as many elements.
        unsafe { map::map(b.shape(), &ins, &target, map::identity(self.compute), &[]) };
    }
}

#[repr(align(64))]
struct Tile(MaybeUninit<[u8; CHUNK * 8]>);

/// Loads `n` elements with a step as the compute type, or gives them where they lie.
unsafe fn loaded(
    x: &Tensor,
    compute: Compute,
    offset: usize,
    step: usize,
    n: usize,
    tile: &mut Tile,
) -> *const u8 {
    let size = x.dtype().size();
    // SAFETY: the caller's offsets are inside of `x`; a tile holds CHUNK elements.
    unsafe {
        let src = x.byte_ptr().add(offset * size);
        if x.dtype() == compute.native() && (step == 1 || n == 1) {
            return src;
        }
        map::load_run(x.dtype(), compute, src, step, n, tile.0.as_mut_ptr().cast());
        tile.0.as_ptr().cast()
    }
}

/// Each result is the fold of `n` consecutive elements.
fn by_rows(
    x: &Tensor,
    compute: Compute,
    f: Fold,
    keep: (&[usize], &[usize]),
    n: usize,
    out: &Acc,
) -> Result<()> {
    let size = compute.size();
    let rows: usize = keep.0.iter().product();
    let direct = x.dtype() == compute.native();
    let most = if direct { DIRECT } else { CHUNK };
    let chunks = n.div_ceil(most);
    let partial = if chunks == 1 {
        None
    } else {
        Some(Tensor::empty(&[rows * chunks], compute.native(), x.device())?)
    };
    let base = partial.as_ref().map_or(out.ptr as usize, |p| p.byte_ptr() as usize);
    let grain = (GRAIN / n.min(most)).max(1);
    if chunks == 1 && keep.0.len() <= 1 && direct {
        let step = keep.1.first().copied().unwrap_or(n);
        threads::for_range(rows, grain, &|range| {
            // SAFETY: the rows lie inside of x, and every one has its own result.
            unsafe {
                let src = x.byte_ptr().add(range.start * step * size);
                (f.fold)(range.len(), n, step, src, out.at(range.start * size));
            }
        });
        return Ok(());
    }
    threads::for_range(rows * chunks, grain, &|range| {
        let mut tile = Tile(MaybeUninit::uninit());
        for task in range {
            let (row, chunk) = (task / chunks, task % chunks);
            let start = chunk * most;
            let len = (n - start).min(most);
            let offset = offset_of(row, keep.0, keep.1) + start;
            // SAFETY: rows and chunks partition the elements of x; every task has its own result.
            unsafe {
                let src = loaded(x, compute, offset, 1, len, &mut tile);
                (f.fold)(1, len, len, src, (base as *mut u8).add(task * size));
            }
        }
    });
    let Some(partial) = partial else { return Ok(()) };
    let partial = partial.byte_ptr() as usize;
    threads::for_range(rows, (GRAIN / chunks).max(1), &|range| {
        for row in range {
            // SAFETY: each row's partials are its own.
            unsafe {
                let p = (partial as *mut u8).add(row * chunks * size);
                tree(p, chunks, 1, size, f.combine);
                std::ptr::copy_nonoverlapping(p, out.at(row * size), size);
            }
        }
    });
    Ok(())
}

/// The reduced dimension is the outer one: rows of `cols` consecutive elements are combined.
fn columns(
    x: &Tensor,
    compute: Compute,
    f: Fold,
    cols: usize,
    n: usize,
    step: usize,
    out: &Acc,
) -> Result<()> {
    let size = compute.size();
    let blocks = n.div_ceil(ROWS);
    let tiles = cols.div_ceil(CHUNK);
    let partial = Tensor::empty(&[blocks * cols], compute.native(), x.device())?;
    let base = partial.byte_ptr() as usize;
    let grain = (GRAIN / (ROWS.min(n) * CHUNK.min(cols))).max(1);
    threads::for_range(blocks * tiles, grain, &|range| {
        let mut tile = Tile(MaybeUninit::uninit());
        for task in range {
            let (block, col) = (task / tiles, task % tiles * CHUNK);
            let len = (cols - col).min(CHUNK);
            // SAFETY: blocks and tiles partition the elements; each task has its own accumulator.
            unsafe {
                let acc = (base as *mut u8).add((block * cols + col) * size);
                if x.dtype() == compute.native() {
                    let first = x.byte_ptr().add((block * ROWS * step + col) * size);
                    std::ptr::copy_nonoverlapping(first, acc, len * size);
                    let rows = ROWS.min(n - block * ROWS) - 1;
                    (f.combine)(rows, len, step, acc, first.add(step * size));
                    continue;
                }
                for row in block * ROWS..((block + 1) * ROWS).min(n) {
                    let src = loaded(x, compute, row * step + col, 1, len, &mut tile);
                    if row == block * ROWS {
                        std::ptr::copy_nonoverlapping(src, acc, len * size);
                    } else {
                        (f.combine)(1, len, len, acc, src);
                    }
                }
            }
        }
    });
    threads::for_range(tiles, (GRAIN / (blocks * CHUNK)).max(1), &|range| {
        for t in range {
            let col = t * CHUNK;
            let len = (cols - col).min(CHUNK);
            // SAFETY: column tiles are disjoint.
            unsafe {
                let acc = (base as *mut u8).add(col * size);
                column_tree(acc, blocks, cols * size, len, f.combine);
                std::ptr::copy_nonoverlapping(acc, out.at(col * size), len * size);
            }
        }
    });
    Ok(())
}

/// Combines `n` neighbouring elements pairwise into the first.
unsafe fn tree(p: *mut u8, n: usize, len: usize, step: usize, combine: CombineFn) {
    // SAFETY: as for `column_tree`.
    unsafe { column_tree(p, n, step, len, combine) }
}

/// Combines `n` blocks of `len` elements, `step` bytes apart, pairwise into the first.
unsafe fn column_tree(p: *mut u8, n: usize, step: usize, len: usize, combine: CombineFn) {
    let mut live = n;
    while live > 1 {
        let half = live.div_ceil(2);
        for i in 0..live / 2 {
            // SAFETY: i and half + i are both below `live`.
            unsafe { combine(1, len, len, p.add(i * step), p.add((half + i) * step)) };
        }
        live = half;
    }
}

/// How two elements become one.
pub trait FoldOp<T> {
    const INIT: T;
    fn combine(a: T, b: T) -> T;
}

/// Up to this length a row is folded in order, several rows side by side.
const SHORT: usize = 16;
/// Up to this length a row is done before more lanes than a vector has would pay.
const MIDDLE: usize = 128;
/// Up to this length a row is read from end to end; a longer one in several places at once.
const LONG: usize = CHUNK;

#[inline(always)]
unsafe fn fold_rows<T: Copy, F: FoldOp<T>>(
    rows: usize,
    n: usize,
    step: usize,
    x: *const u8,
    out: *mut u8,
) {
    let (x, out) = (x.cast::<T>(), out.cast::<T>());
    let mut row = 0;
    // SAFETY: the caller gives `rows` rows of n elements and room for as many results.
    unsafe {
        if n <= SHORT {
            while row + 8 <= rows {
                fold_in_order::<T, F, 8>(n, step, x.add(row * step), out.add(row));
                row += 8;
            }
        }
        while row < rows {
            let (x, out) = (x.add(row * step), out.add(row));
            if n <= SHORT {
                fold_in_order::<T, F, 1>(n, step, x, out);
            } else if n <= MIDDLE {
                *out = fold_lanes::<T, F, 16>(n, x);
            } else if n <= LONG {
                *out = fold_lanes::<T, F, 64>(n, x);
            } else if size_of::<T>() > 4 {
                *out = fold_streams::<T, F, 8>(n, x);
            } else {
                *out = fold_streams::<T, F, 16>(n, x);
            }
            row += 1;
        }
    }
}

#[inline(always)]
unsafe fn fold_in_order<T: Copy, F: FoldOp<T>, const R: usize>(
    n: usize,
    step: usize,
    x: *const T,
    out: *mut T,
) {
    let mut acc = [F::INIT; R];
    for i in 0..n {
        for (r, a) in acc.iter_mut().enumerate() {
            // SAFETY: R rows of n elements lie there.
            *a = F::combine(*a, unsafe { *x.add(r * step + i) });
        }
    }
    for (r, a) in acc.into_iter().enumerate() {
        // SAFETY: there is room for R results.
        unsafe { *out.add(r) = a };
    }
}

#[inline(always)]
unsafe fn fold_lanes<T: Copy, F: FoldOp<T>, const L: usize>(n: usize, x: *const T) -> T {
    let (mut lanes, mut four, mut rest) = ([F::INIT; L], [F::INIT; 4], F::INIT);
    // SAFETY: the caller gives n elements, of which i are folded so far.
    unsafe {
        // Every loop has its own accumulator of a fixed width: one that is indexed freely would live in memory.
        let i = add_blocks::<T, F, L>(&mut lanes, 0, n, x);
        let mut i = add_blocks::<T, F, 4>(&mut four, i, n, x);
        while i < n {
            rest = F::combine(rest, *x.add(i));
            i += 1;
        }
    }
    F::combine(halved::<T, F, L>(lanes), F::combine(halved::<T, F, 4>(four), rest))
}

/// Folds the four quarters of a long row side by side, each into `L` lanes. A machine fetches ahead for each stream
/// of reads, and not beyond a page: four streams read memory a third faster than one (32-byte loads, AMD Zen).
#[inline(always)]
unsafe fn fold_streams<T: Copy, F: FoldOp<T>, const L: usize>(n: usize, x: *const T) -> T {
    let quarter = n / (4 * L) * L;
    let (mut a, mut b, mut c, mut d) = ([F::INIT; L], [F::INIT; L], [F::INIT; L], [F::INIT; L]);
    for i in (0..quarter).step_by(L) {
        // SAFETY: the quarters lie within the n elements the caller gives.
        unsafe {
            add_block::<T, F, L>(&mut a, x.add(i));
            add_block::<T, F, L>(&mut b, x.add(quarter + i));
            add_block::<T, F, L>(&mut c, x.add(2 * quarter + i));
            add_block::<T, F, L>(&mut d, x.add(3 * quarter + i));
        }
    }
    // SAFETY: what the quarters leave.
    let rest = unsafe { fold_lanes::<T, F, L>(n - 4 * quarter, x.add(4 * quarter)) };
    F::combine(joined::<T, F, L>(&[a, b, c, d]), rest)
}

/// Lanes of streams folded in halves. Not inlined: LLVM would see that the same lane of two streams is combined here,
/// and load those two elements into one vector.
#[inline(never)]
fn joined<T: Copy, F: FoldOp<T>, const L: usize>(streams: &[[T; L]; 4]) -> T {
    let [a, b, c, d] = streams.map(halved::<T, F, L>);
    F::combine(F::combine(a, c), F::combine(b, d))
}

/// Folds whole blocks from element `i` on into the lanes; where it stopped.
#[inline(always)]
unsafe fn add_blocks<T: Copy, F: FoldOp<T>, const L: usize>(
    acc: &mut [T; L],
    mut i: usize,
    n: usize,
    x: *const T,
) -> usize {
    while i + L <= n {
        // SAFETY: i + L is not above n.
        unsafe { add_block::<T, F, L>(acc, x.add(i)) };
        i += L;
    }
    i
}

#[inline(always)]
unsafe fn add_block<T: Copy, F: FoldOp<T>, const L: usize>(acc: &mut [T; L], x: *const T) {
    for (l, a) in acc.iter_mut().enumerate() {
        // SAFETY: the caller gives L elements.
        *a = F::combine(*a, unsafe { *x.add(l) });
    }
}

/// Lanes folded in halves.
#[inline(always)]
fn halved<T: Copy, F: FoldOp<T>, const L: usize>(mut acc: [T; L]) -> T {
    let mut width = L / 2;
    while width > 0 {
        for l in 0..width {
            acc[l] = F::combine(acc[l], acc[l + width]);
        }
        width /= 2;
    }
    acc[0]
}

#[inline(always)]
unsafe fn combine_rows<T: Copy, F: FoldOp<T>>(
    rows: usize,
    n: usize,
    step: usize,
    acc: *mut u8,
    x: *const u8,
) {
    let (acc, x) = (acc.cast::<T>(), x.cast::<T>());
    let mut i = 0;
    // SAFETY: there are n accumulators, and rows of n elements.
    unsafe {
        i = strips::<T, F, 64>(rows, i, n, step, acc, x);
        i = strips::<T, F, 16>(rows, i, n, step, acc, x);
        i = strips::<T, F, 4>(rows, i, n, step, acc, x);
        strips::<T, F, 1>(rows, i, n, step, acc, x);
    }
}

/// Strips of `L` columns from column `i` on, whose accumulators stay in registers; the first column left.
#[inline(always)]
unsafe fn strips<T: Copy, F: FoldOp<T>, const L: usize>(
    rows: usize,
    mut i: usize,
    n: usize,
    step: usize,
    acc: *mut T,
    x: *const T,
) -> usize {
    while i + L <= n {
        // SAFETY: columns i to i + L are below n.
        unsafe {
            let mut a = acc.add(i).cast::<[T; L]>().read();
            for row in 0..rows {
                let from = x.add(row * step + i);
                for (l, a) in a.iter_mut().enumerate() {
                    *a = F::combine(*a, *from.add(l));
                }
            }
            acc.add(i).cast::<[T; L]>().write(a);
        }
        i += L;
    }
    i
}

macro_rules! variants {
    ($($fold:ident $combine:ident $(#[$feature:meta])?;)*) => {$(
        $(#[$feature])?
        unsafe fn $fold<T: Copy, F: FoldOp<T>>(
            rows: usize,
            n: usize,
            step: usize,
            x: *const u8,
            out: *mut u8,
        ) {
            // SAFETY: passed on.
            unsafe { fold_rows::<T, F>(rows, n, step, x, out) }
        }
        $(#[$feature])?
        unsafe fn $combine<T: Copy, F: FoldOp<T>>(
            rows: usize,
            n: usize,
            step: usize,
            acc: *mut u8,
            x: *const u8,
        ) {
            // SAFETY: passed on.
            unsafe { combine_rows::<T, F>(rows, n, step, acc, x) }
        }
    )*};
}
variants!(fold_portable combine_portable;);
#[cfg(target_arch = "x86_64")]
variants!(
    fold_avx2 combine_avx2 #[target_feature(enable = "avx2,fma")];
    fold_avx512 combine_avx512 #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")];
);

/// The loops of a fold for this machine.
pub fn fold<T: Copy, F: FoldOp<T>>() -> Fold {
    let mut init = 0u64;
    // SAFETY: T is at most eight bytes.
    unsafe { std::ptr::write((&raw mut init).cast::<T>(), F::INIT) };
    #[cfg(target_arch = "x86_64")]
    match simd::isa() {
        Isa::Avx512 => {
            return Fold { fold: fold_avx512::<T, F>, combine: combine_avx512::<T, F>, init };
        }
        Isa::Avx2 => return Fold { fold: fold_avx2::<T, F>, combine: combine_avx2::<T, F>, init },
        _ => {}
    }
    Fold { fold: fold_portable::<T, F>, combine: combine_portable::<T, F>, init }
}
