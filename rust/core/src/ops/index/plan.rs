//! What an advanced index addresses: the indexed dimensions become the dimensions of the broadcast
//! indices, at the place of the first of them when they are neighbours and in front otherwise.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, broadcast, coalesce, numel, wrap_dim};
use crate::ops::cast;
use crate::tensor::Tensor;

pub struct Plan {
    /// The indexed dimensions, in order.
    pub dims: Dims,
    /// The broadcast shape of the indices.
    pub picks: Dims,
    /// The dimensions in front of and behind the picks in the result.
    pub pre: Dims,
    pub post: Dims,
}

impl Plan {
    pub fn new(shape: &[usize], dims: &[i64], indices: &[&Tensor]) -> Result<Self> {
        if dims.len() != indices.len() || dims.is_empty() {
            return Err(Error::index(format!(
                "{} indices were given for {} dimensions",
                indices.len(),
                dims.len()
            )));
        }
        let mut sorted = Dims::new();
        for &dim in dims {
            let d = wrap_dim(dim, shape.len())?;
            if sorted.last().is_some_and(|&last| last >= d) || shape.is_empty() {
                return Err(Error::index(format!(
                    "too many indices, or not in order, for a tensor of {} dimensions",
                    shape.len()
                )));
            }
            sorted.push(d);
        }
        let mut picks = Dims::new();
        for i in indices {
            check_dtype(i)?;
            picks = broadcast(&picks, i.shape())
                .map_err(|e| Error { kind: crate::Kind::Index, ..e })?;
        }
        let adjacent = sorted.windows(2).all(|w| w[1] == w[0] + 1);
        let first = if adjacent { sorted[0] } else { 0 };
        let rest = |from: usize, to: usize| (from..to).filter(|d| !sorted.contains(d)).collect();
        let (pre, post) = (rest(0, first), rest(first, shape.len()));
        Ok(Self { dims: sorted, picks, pre, post })
    }

    /// The shape of the selected elements.
    pub fn shape(&self, shape: &[usize]) -> Dims {
        let part = |dims: &Dims| dims.iter().map(|&d| shape[d]).collect::<Dims>();
        part(&self.pre)
            .into_iter()
            .chain(self.picks.iter().copied())
            .chain(part(&self.post))
            .collect()
    }

    /// The order of the selection's dimensions that puts the picks in front.
    pub fn picks_first(&self) -> Dims {
        let (a, m) = (self.pre.len(), self.picks.len());
        (a..a + m).chain(0..a).chain(a + m..a + m + self.post.len()).collect()
    }

    /// The indices as dense int64 tensors of the shape of the picks.
    pub fn spread(&self, indices: &[&Tensor]) -> Result<Vec<Tensor>> {
        indices.iter().map(|i| dense_i64(&i.alias(i.layout().expand(&self.picks)?))).collect()
    }
}

/// An index must be of integers; masks were turned into indices before.
pub fn check_dtype(index: &Tensor) -> Result<()> {
    if index.dtype().is_int() && index.dtype() != DType::U8 {
        return Ok(());
    }
    Err(Error::index(format!(
        "tensors used as indices must be int64, int32 or int16, got {}",
        index.dtype().name()
    ))
    .hint("cast the index first: index.long()"))
}

/// A contiguous int64 tensor with these values, without history.
pub fn dense_i64(t: &Tensor) -> Result<Tensor> {
    dense(t, DType::I64)
}

/// A contiguous tensor of this dtype, without history: the tensor itself where it is one.
pub fn dense(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.is_contiguous() && t.dtype() == dtype {
        return Ok(t.detach());
    }
    let out = Tensor::empty(t.shape(), dtype, t.device())?;
    cast::raw_copy(t, &out)?;
    Ok(out)
}

/// A layout with at least one dimension: a 0-d tensor as one of one element.
pub fn lifted(l: &Layout) -> Layout {
    let mut l = l.clone();
    if l.shape.is_empty() {
        l.shape.push(1);
        l.strides.push(1);
    }
    l
}

/// The element offsets of a strided range, in row-major order.
pub struct Walk {
    shape: Dims,
    strides: Dims,
}

impl Walk {
    pub fn new(shape: &[usize], strides: &[usize]) -> Self {
        let (shape, mut strides) = coalesce(shape, &[strides]);
        Self { shape, strides: strides.remove(0) }
    }

    pub fn of(l: &Layout, dims: &[usize]) -> Self {
        let l = l.permute(dims);
        Self::new(&l.shape, &l.strides)
    }

    pub fn len(&self) -> usize {
        numel(&self.shape)
    }

    /// The distance between neighbours, where it is always the same.
    pub fn step(&self) -> Option<usize> {
        match self.strides[..] {
            [] => Some(1),
            [s] => Some(s),
            _ => None,
        }
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Calls `f` with the position within the range and the offset of elements `start..start + n`.
    #[inline]
    pub fn each(&self, start: usize, n: usize, mut f: impl FnMut(usize, usize)) {
        let Some(last) = self.shape.len().checked_sub(1) else {
            (0..n).for_each(|i| f(i, 0));
            return;
        };
        if n == 0 {
            return;
        }
        let mut at = self.shape.clone();
        let mut left = start;
        let mut offset = 0;
        for d in (0..=last).rev() {
            at[d] = left % self.shape[d];
            left /= self.shape[d];
            offset += at[d] * self.strides[d];
        }
        let (size, step) = (self.shape[last], self.strides[last]);
        let mut i = 0;
        while i < n {
            let run = (size - at[last]).min(n - i);
            for k in 0..run {
                f(i + k, offset + k * step);
            }
            i += run;
            offset -= at[last] * step;
            at[last] = 0;
            for d in (0..last).rev() {
                at[d] += 1;
                offset += self.strides[d];
                if at[d] < self.shape[d] {
                    break;
                }
                offset -= at[d] * self.strides[d];
                at[d] = 0;
            }
        }
    }

    pub fn table(&self) -> Vec<usize> {
        let mut out = vec![0; self.len()];
        self.each(0, out.len(), |i, o| out[i] = o);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_visits_row_major_order_from_any_start() {
        let w = Walk::new(&[2, 3, 4], &[1, 2, 100]);
        let all = w.table();
        let plain: Vec<usize> = (0..24).map(|i| i / 12 + (i / 4 % 3) * 2 + i % 4 * 100).collect();
        assert_eq!(all, plain);
        for start in 0..24 {
            let mut got = Vec::new();
            w.each(start, 24 - start, |_, o| got.push(o));
            assert_eq!(got, all[start..]);
        }
    }
}
