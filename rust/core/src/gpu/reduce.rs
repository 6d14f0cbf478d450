//! Reductions on the GPU. A task folds one span of one row of the input with one or more threads,
//! a workgroup holds whole tasks, and the results of the spans are folded again until one is left:
//! a tree that depends on the shape and strides alone.

mod source;
#[cfg(test)]
mod tests;

use super::Kernel;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, coalesce};
use crate::ops::cast;
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::{SmallVec, smallvec};
use source::{Fold, Kind, TABLES, THREADS};

/// Elements per thread where a row's elements are neighbours, and where those of a column are.
const ROW_ELEMENTS: usize = 32;
const COLUMN_ELEMENTS: usize = 64;
/// Kept and reduced dimensions that fit into the parameters.
const MAX_DIMS: usize = 50;

/// Folds `dims` of `x` into `out`, contiguous: "add", "mul", "max", "min", "any" or "all".
pub fn run(x: &Tensor, dims: &[usize], out: &Tensor, op: &str) -> Result<()> {
    let Some(fold) = Fold::parse(op) else {
        return Err(Error::runtime(format!("the GPU has no reduction {op:?}")));
    };
    let (x, grid) = Grid::of(x, dims)?;
    if grid.rows > 0 && grid.n == 0 {
        return cast::fill(out, &Tensor::scalar(fold.neutral(), DType::F32)?);
    }
    let num = fold.compute(x.dtype(), out.dtype());
    let native = source::native(num);
    if out.dtype() == native {
        return stages(Kind::Value(fold, num), x, grid, out);
    }
    let wide = Tensor::empty(out.shape(), native, Device::Gpu)?;
    stages(Kind::Value(fold, num), x, grid, &wide)?;
    super::map::copy(&wide, out)
}

/// The int64 index, among the elements of `dims` in order, of the first that is largest ("max") or
/// smallest ("min"); of the first NaN where there is one.
pub fn arg(x: &Tensor, dims: &[usize], out: &Tensor, op: &str) -> Result<()> {
    let (x, grid) = Grid::of(x, dims)?;
    stages(Kind::Place { largest: op == "max" }, x, grid, out)
}

/// Which elements are folded into which results.
struct Grid {
    rows: usize,
    n: usize,
    offset: usize,
    /// Shape and strides of the dimensions that stay, and of those that go.
    kept: (Dims, Dims),
    gone: (Dims, Dims),
}

impl Grid {
    /// The grid of `dims` of `x`, and the tensor it walks: `x`, or a copy where its dimensions are
    /// too many.
    fn of(x: &Tensor, dims: &[usize]) -> Result<(Tensor, Self)> {
        let kept: Dims = (0..x.ndim()).filter(|d| !dims.contains(d)).collect();
        let part = |order: &[usize]| {
            let l = x.layout().permute(order);
            let (mut shape, mut strides) = coalesce(&l.shape, &[&l.strides]);
            let mut strides = strides.remove(0);
            if shape.is_empty() {
                (shape, strides) = (smallvec![1], smallvec![0]);
            }
            (l.numel(), (shape, strides))
        };
        let ((rows, keep), (n, gone)) = (part(&kept), part(dims));
        if keep.0.len() + gone.0.len() <= MAX_DIMS {
            return Ok((x.detach(), Self { rows, n, offset: x.layout().offset, kept: keep, gone }));
        }
        let order: Dims = kept.iter().chain(dims).copied().collect();
        let dense = cast::copy_data(&x.alias(x.layout().permute(&order)))?;
        let (kept, gone) = ((smallvec![rows], smallvec![n]), (smallvec![n], smallvec![1]));
        Ok((dense, Self { rows, n, offset: 0, kept, gone }))
    }

    /// The results of the spans: rows are neighbours, spans follow each other.
    fn of_spans(rows: usize, spans: usize) -> Self {
        let (kept, gone) = ((smallvec![rows], smallvec![1]), (smallvec![spans], smallvec![rows]));
        Self { rows, n: spans, offset: 0, kept, gone }
    }

    /// Threads per task, and elements per span.
    fn split(&self) -> (usize, usize) {
        let step = |(_, strides): &(Dims, Dims)| strides.last().copied();
        if self.rows > 1 && step(&self.kept) < step(&self.gone) {
            return (1, COLUMN_ELEMENTS);
        }
        let width = (self.n / 8).next_power_of_two().clamp(1, THREADS);
        (width, width * ROW_ELEMENTS)
    }
}

/// Folds until one span is left, whose results are those of `out`.
fn stages(kind: Kind, x: Tensor, mut grid: Grid, out: &Tensor) -> Result<()> {
    let most = u32::MAX as usize - THREADS * ROW_ELEMENTS;
    if x.layout().extent() > most || grid.rows.saturating_mul(grid.n) > most {
        return Err(Error::memory("GPU reductions reach at most 2^32 elements")
            .hint("reduce parts of the tensor, or use device=\"cpu\""));
    }
    if grid.rows == 0 {
        return Ok(());
    }
    let mut from = x;
    let mut first = true;
    loop {
        let (width, span) = grid.split();
        let spans = grid.n.div_ceil(span);
        let last = spans == 1;
        let (size, dtype) = kind.partial();
        let to = if last {
            out.detach()
        } else {
            Tensor::empty(&[grid.rows * spans * size], dtype, Device::Gpu)?
        };
        let mut params: SmallVec<[u32; 32]> = SmallVec::new();
        let (kept, gone) = (&grid.kept, &grid.gone);
        let numbers = [grid.rows, spans, grid.n, span, width, grid.offset, to.layout().offset];
        let dims = [kept.0.len(), gone.0.len(), usize::from(last)];
        params.extend(numbers.iter().chain(&dims).map(|&v| v as u32));
        debug_assert_eq!(params.len(), TABLES);
        for (shape, strides) in [kept, gone] {
            let pairs = shape.iter().zip(strides).rev();
            params.extend(pairs.flat_map(|(&n, &step)| [n as u32, step as u32]));
        }
        let (dtype, line) = (from.dtype(), gone.0.len() == 1);
        let key = kind.key(dtype, first, line);
        let kernel = Kernel { key: &key, source: &|| kind.source(dtype, first, line) };
        let gpu = out.buffer().gpu();
        let groups = gpu.fold_groups((grid.rows * spans).div_ceil(THREADS / width) as u64);
        gpu.dispatch(&kernel, &[from.buffer(), to.buffer()], &params, groups)?;
        if last {
            return Ok(());
        }
        (from, first) = (to, false);
        grid = Grid::of_spans(grid.rows, spans);
    }
}
