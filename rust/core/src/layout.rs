//! Shape, strides and offset, in elements. Pure functions; nothing here knows what the elements are.

use crate::error::{Error, Result};
use smallvec::SmallVec;

pub type Dims = SmallVec<[usize; 6]>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub shape: Dims,
    pub strides: Dims,
    pub offset: usize,
}

/// The number of elements, or an error when it does not fit the address space.
pub fn checked_numel(shape: &[usize]) -> Result<usize> {
    // A zero anywhere makes the product zero, whatever the others would overflow to.
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n <= isize::MAX as usize / 8)
        .ok_or_else(|| {
            Error::memory(format!("a tensor of shape {} has too many elements", show(shape)))
        })
}

pub fn numel(shape: &[usize]) -> usize {
    shape.iter().product()
}

pub fn contiguous_strides(shape: &[usize]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, shape.len());
    for d in (0..shape.len().saturating_sub(1)).rev() {
        // Only beside a size of 0 can this be too large.
        strides[d] = strides[d + 1].saturating_mul(shape[d + 1].max(1));
    }
    strides
}

/// A shape as Python prints it: `(2, 3)`, `(4,)`, `()`.
pub fn show(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => {
            let parts: Vec<String> = shape.iter().map(ToString::to_string).collect();
            format!("({})", parts.join(", "))
        }
    }
}

/// Turns a dimension that may count from the end into an index below `ndim`.
pub fn wrap_dim(dim: i64, ndim: usize) -> Result<usize> {
    let n = ndim.max(1) as i64;
    if dim < -n || dim >= n {
        return Err(Error::index(format!(
            "dimension out of range (expected to be in range of [{}, {}], but got {dim})",
            -n,
            n - 1
        )));
    }
    Ok(if dim < 0 { dim + n } else { dim } as usize)
}

/// The wrapped, distinct dimensions of a reduction; all of them when `dims` is empty.
pub fn wrap_dims(dims: &[i64], ndim: usize) -> Result<Dims> {
    if dims.is_empty() {
        return Ok((0..ndim).collect());
    }
    let mut out = Dims::new();
    for &dim in dims {
        let d = wrap_dim(dim, ndim)?;
        if out.contains(&d) {
            return Err(Error::runtime(format!(
                "dim {d} appears multiple times in the list of dims"
            )));
        }
        out.push(d);
    }
    if ndim == 0 {
        out.clear();
    }
    out.sort_unstable();
    Ok(out)
}

pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Dims> {
    let n = a.len().max(b.len());
    let mut out: Dims = SmallVec::from_elem(1, n);
    for i in 0..n {
        let x = if i < n - a.len() { 1 } else { a[i - (n - a.len())] };
        let y = if i < n - b.len() { 1 } else { b[i - (n - b.len())] };
        out[i] = match (x, y) {
            (1, y) => y,
            (x, 1) => x,
            (x, y) if x == y => x,
            _ => {
                return Err(Error::shape(format!(
                    "shapes {} and {} do not broadcast: sizes {x} and {y} differ at dimension {i} \
                     of the result and neither is 1",
                    show(a),
                    show(b)
                ))
                .hint("make the sizes equal or insert a dimension of 1 with unsqueeze()"));
            }
        };
    }
    Ok(out)
}

impl Layout {
    pub fn contiguous(shape: &[usize]) -> Self {
        Self { shape: shape.into(), strides: contiguous_strides(shape), offset: 0 }
    }

    pub fn numel(&self) -> usize {
        numel(&self.shape)
    }

    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    pub fn is_contiguous(&self) -> bool {
        let mut expect = 1;
        for (&n, &s) in self.shape.iter().zip(&self.strides).rev() {
            if n != 1 {
                if s != expect {
                    return n == 0 || self.numel() == 0;
                }
                expect *= n;
            }
        }
        true
    }

    /// One past the largest element offset that the layout touches.
    pub fn extent(&self) -> usize {
        self.checked_extent().unwrap_or(usize::MAX)
    }

    /// As `extent`; `None` where that, or the number of elements, overflows.
    pub fn checked_extent(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(self.offset);
        }
        let (mut last, mut numel) = (self.offset, 1usize);
        for (&n, &s) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add((n - 1).checked_mul(s)?)?;
            numel = numel.checked_mul(n)?;
        }
        last.checked_add(1)
    }

    /// Whether two indices may name one element (as in an expanded tensor).
    pub fn may_self_overlap(&self) -> bool {
        let mut dims: SmallVec<[(usize, usize); 6]> = self
            .shape
            .iter()
            .zip(&self.strides)
            .filter(|&(&n, _)| n > 1)
            .map(|(&n, &s)| (s, n))
            .collect();
        dims.sort_unstable();
        let mut reach = 0;
        for (s, n) in dims {
            if s <= reach {
                return true;
            }
            reach += s * (n - 1);
        }
        false
    }

    pub fn expand(&self, shape: &[usize]) -> Result<Self> {
        let lead = shape.len().checked_sub(self.ndim()).ok_or_else(|| {
            Error::shape(format!(
                "cannot expand shape {} to the {} dimensions of {}",
                show(&self.shape),
                shape.len(),
                show(shape)
            ))
        })?;
        let mut strides: Dims = SmallVec::from_elem(0, shape.len());
        for i in 0..self.ndim() {
            let (from, to) = (self.shape[i], shape[lead + i]);
            if from == to {
                strides[lead + i] = self.strides[i];
            } else if from != 1 {
                return Err(Error::shape(format!(
                    "cannot expand shape {} to {}: size {from} at dimension {i} is neither 1 nor {to}",
                    show(&self.shape),
                    show(shape)
                )));
            }
        }
        Ok(Self { shape: shape.into(), strides, offset: self.offset })
    }

    pub fn permute(&self, dims: &[usize]) -> Self {
        Self {
            shape: dims.iter().map(|&d| self.shape[d]).collect(),
            strides: dims.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        }
    }

    /// The same elements under another shape, or `None` when that needs a copy.
    pub fn reshape(&self, shape: &[usize]) -> Option<Self> {
        if numel(shape) != self.numel() {
            return None;
        }
        if self.is_contiguous() {
            let strides = contiguous_strides(shape);
            return Some(Self { shape: shape.into(), strides, offset: self.offset });
        }
        // Walk groups of old dimensions that are contiguous among themselves and split each
        // over the new dimensions with the same product.
        let old: SmallVec<[(usize, usize); 6]> = self
            .shape
            .iter()
            .zip(&self.strides)
            .filter(|&(&n, _)| n != 1)
            .map(|(&n, &s)| (n, s))
            .collect();
        let mut strides: Dims = SmallVec::from_elem(1, shape.len());
        let mut j = shape.len();
        let mut i = old.len();
        while i > 0 {
            let (mut size, step) = old[i - 1];
            i -= 1;
            while i > 0 && old[i - 1].1 == step * size {
                size *= old[i - 1].0;
                i -= 1;
            }
            let mut left = size;
            let mut s = step;
            while left > 1 {
                j = j.checked_sub(1)?;
                if left % shape[j] != 0 {
                    return None;
                }
                strides[j] = s;
                s *= shape[j];
                left /= shape[j];
            }
        }
        // What remains in front has size 1; any stride will do.
        Some(Self { shape: shape.into(), strides, offset: self.offset })
    }

    /// `x[.., start:end:step, ..]` with bounds that were clamped before.
    pub fn slice(&self, dim: usize, start: usize, len: usize, step: usize) -> Self {
        let mut out = self.clone();
        out.shape[dim] = len;
        // A step between elements that are not there is left as it was: it may be beyond what numpy can hold.
        if len > 1 {
            out.strides[dim] = self.strides[dim] * step;
        }
        if len > 0 {
            out.offset += start * self.strides[dim];
        }
        out
    }

    pub fn select(&self, dim: usize, index: usize) -> Self {
        let mut out = self.clone();
        out.offset += index * self.strides[dim];
        out.shape.remove(dim);
        out.strides.remove(dim);
        out
    }
}

/// The offset of the element with this number in row-major order.
pub fn offset_of(mut number: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut offset = 0;
    for d in (0..shape.len()).rev() {
        offset += number % shape[d] * strides[d];
        number /= shape[d];
    }
    offset
}

/// Merges neighbouring dimensions that every operand walks in one go; drops sizes of 1.
/// `strides[k]` belongs to operand k. Returns the merged shape and strides.
pub fn coalesce(shape: &[usize], strides: &[&[usize]]) -> (Dims, SmallVec<[Dims; 4]>) {
    let mut out_shape = Dims::new();
    let mut out: SmallVec<[Dims; 4]> = strides.iter().map(|_| Dims::new()).collect();
    for d in 0..shape.len() {
        let n = shape[d];
        if n == 1 {
            continue;
        }
        let last = out_shape.len().wrapping_sub(1);
        let joins =
            !out_shape.is_empty() && strides.iter().zip(&out).all(|(s, o)| o[last] == s[d] * n);
        if joins {
            out_shape[last] *= n;
            for (o, s) in out.iter_mut().zip(strides) {
                o[last] = s[d];
            }
        } else {
            out_shape.push(n);
            for (o, s) in out.iter_mut().zip(strides) {
                o.push(s[d]);
            }
        }
    }
    (out_shape, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offsets(l: &Layout) -> Vec<usize> {
        let mut out = vec![l.offset];
        for (&n, &s) in l.shape.iter().zip(&l.strides) {
            out = out.iter().flat_map(|&o| (0..n).map(move |i| o + i * s)).collect();
        }
        out
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        (prop::collection::vec(1usize..5, 0..5), any::<u64>()).prop_map(|(shape, seed)| {
            let mut l = Layout::contiguous(&shape);
            let mut order: Vec<usize> = (0..shape.len()).collect();
            let mut r = seed;
            for i in (1..order.len()).rev() {
                order.swap(i, (r % (i as u64 + 1)) as usize);
                r /= 7;
            }
            l = l.permute(&order);
            for d in 0..l.ndim() {
                if r & 1 == 1 && l.shape[d] > 1 {
                    l = l.slice(d, 1, l.shape[d] - 1, 1);
                }
                r >>= 1;
            }
            l
        })
    }

    proptest! {
        #[test]
        fn reshape_keeps_the_order_of_elements(l in layouts(), cut in 0usize..5) {
            let n = l.numel();
            let a = (1..=n).filter(|d| n % d == 0).nth(cut % n.max(1)).unwrap_or(1);
            let shape = [a, n / a, 1];
            if let Some(r) = l.reshape(&shape) {
                prop_assert_eq!(offsets(&r), offsets(&l));
            } else {
                prop_assert!(!l.is_contiguous());
            }
        }

        #[test]
        fn contiguity_means_consecutive_offsets(l in layouts()) {
            let o = offsets(&l);
            let consecutive = o.windows(2).all(|w| w[1] == w[0] + 1);
            prop_assert_eq!(l.is_contiguous(), consecutive);
        }

        #[test]
        fn overlap_is_never_missed(l in layouts(), lead in 1usize..3) {
            let mut shape = l.shape.clone();
            shape.insert(0, lead);
            let e = l.expand(&shape).unwrap();
            let mut o = offsets(&e);
            let all = o.len();
            o.sort_unstable();
            o.dedup();
            prop_assert!(o.len() == all || e.may_self_overlap());
            prop_assert!(e.extent() > *o.last().unwrap());
        }

        #[test]
        fn coalescing_walks_the_same_offsets(l in layouts()) {
            let (shape, strides) = coalesce(&l.shape, &[&l.strides]);
            let merged = Layout { shape, strides: strides[0].clone(), offset: l.offset };
            prop_assert_eq!(offsets(&merged), offsets(&l));
        }
    }

    #[test]
    fn broadcasting() {
        assert_eq!(broadcast(&[3, 1], &[4]).unwrap().as_slice(), &[3, 4]);
        assert_eq!(broadcast(&[0], &[1]).unwrap().as_slice(), &[0]);
        assert!(broadcast(&[3], &[4]).is_err());
        assert!(checked_numel(&[usize::MAX, 2]).is_err());
        assert_eq!(checked_numel(&[usize::MAX, 2, 0]).unwrap(), 0);
    }
}
