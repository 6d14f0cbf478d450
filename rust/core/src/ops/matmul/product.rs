//! What a product of two tensors is, from their layouts alone: stacks of matrices with strides.

use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, broadcast, coalesce, contiguous_strides, show};
use smallvec::SmallVec;

/// `batch` products of an (m, k) and a (k, n) matrix. The results are stacked contiguously.
#[derive(Debug)]
pub struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Sizes of the stack's dimensions, merged as far as the operands allow.
    pub batch: Dims,
    pub a: Side,
    pub b: Side,
}

/// One operand, in elements from its offset; stride 0 where it is broadcast.
#[derive(Debug)]
pub struct Side {
    pub batch: Dims,
    pub rs: usize,
    pub cs: usize,
}

/// The result's shape under the rules of `matmul`: vectors lose the dimension they were given.
pub fn shape(a: &[usize], b: &[usize]) -> Result<Dims> {
    if a.is_empty() || b.is_empty() {
        return Err(Error::runtime(format!(
            "both arguments need to be at least 1-D, but they are {}-D and {}-D",
            a.len(),
            b.len()
        ))
        .hint("use * to multiply by a number"));
    }
    let inner = b[b.len().saturating_sub(2)];
    if a[a.len() - 1] != inner {
        return Err(Error::shape(format!(
            "shapes {} and {} cannot be multiplied: the last dimension of the first is {}, but {} \
             dimension of the second is {inner}",
            show(a),
            show(b),
            a[a.len() - 1],
            if b.len() == 1 { "the only" } else { "the second-to-last" },
        ))
        .hint("transpose one of them with .mT, or check which dimension holds the features"));
    }
    let mut out = broadcast(stack(a), stack(b)).map_err(|e| Error {
        msg: format!("the batch dimensions of {} and {}: {}", show(a), show(b), e.msg),
        ..e
    })?;
    out.extend(rows(a));
    out.extend(columns(b));
    Ok(out)
}

fn stack(shape: &[usize]) -> &[usize] {
    &shape[..shape.len().saturating_sub(2)]
}

fn rows(a: &[usize]) -> Option<usize> {
    a.len().checked_sub(2).map(|i| a[i])
}

fn columns(b: &[usize]) -> Option<usize> {
    (b.len() > 1).then(|| b[b.len() - 1])
}

impl Product {
    /// For layouts that `shape` accepts.
    pub fn new(a: &Layout, b: &Layout) -> Result<Self> {
        let whole = broadcast(stack(&a.shape), stack(&b.shape))?;
        let (m, n) = (rows(&a.shape).unwrap_or(1), columns(&b.shape).unwrap_or(1));
        let k = a.shape[a.ndim() - 1];
        let (a_rs, a_cs) = match a.strides[..] {
            [.., rs, cs] => (rs, cs),
            [cs] => (k, cs),
            [] => (0, 0),
        };
        let (b_rs, b_cs) = match b.strides[..] {
            [.., rs, cs] => (rs, cs),
            [rs] => (rs, 1),
            [] => (0, 0),
        };
        let mut out_shape = whole.clone();
        out_shape.extend([m, n]);
        let c_strides = contiguous_strides(&out_shape);
        let (batch, mut strides) =
            coalesce(&whole, &[&spread(a, &whole), &spread(b, &whole), &c_strides[..whole.len()]]);
        let b_side = Side { batch: std::mem::take(&mut strides[1]), rs: b_rs, cs: b_cs };
        let a_side = Side { batch: std::mem::take(&mut strides[0]), rs: a_rs, cs: a_cs };
        let mut out = Self { m, n, k, batch, a: a_side, b: b_side };
        out.fold();
        Ok(out)
    }

    /// A stack times one matrix is one tall matrix times it, where the rows are evenly spaced.
    fn fold(&mut self) {
        let even = self.m == 1 || self.a.batch.last() == Some(&(self.m * self.a.rs));
        if self.batch.len() == 1 && self.b.batch[0] == 0 && even {
            if self.m == 1 {
                self.a.rs = self.a.batch[0];
            }
            self.m *= self.batch[0];
            self.batch.clear();
            self.a.batch.clear();
            self.b.batch.clear();
        }
    }

    pub fn count(&self) -> usize {
        self.batch.iter().product()
    }

    /// Element offsets of matrix `i` of the stack in both operands.
    pub fn offsets(&self, mut i: usize) -> [usize; 2] {
        let mut at = [0, 0];
        for d in (0..self.batch.len()).rev() {
            let x = i % self.batch[d];
            i /= self.batch[d];
            at[0] += x * self.a.batch[d];
            at[1] += x * self.b.batch[d];
        }
        at
    }
}

/// Batch strides of an operand, over all batch dimensions of the result.
fn spread(l: &Layout, whole: &[usize]) -> SmallVec<[usize; 6]> {
    let own = stack(&l.shape);
    let lead = whole.len() - own.len();
    (0..whole.len())
        .map(|d| match d.checked_sub(lead) {
            Some(i) if own[i] == whole[d] => l.strides[i],
            _ => 0,
        })
        .collect()
}
