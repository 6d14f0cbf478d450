//! Joining tensors and cutting them apart. The parts of a cut are views.

use super::{Attr, Bind, Call, OpDef, Outs, Spec, cast, view};
use crate::apply::apply;
use crate::autograd::Grads;
use crate::error::{Error, Result};
use crate::layout::{Dims, show, wrap_dim};
use crate::tensor::{Tensor, result_type};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[
    &CAT,
    &CONCAT,
    &CONCATENATE,
    &STACK,
    &HSTACK,
    &VSTACK,
    &SPLIT,
    &SPLIT_WITH_SIZES,
    &CHUNK,
    &UNBIND,
    &TENSOR_SPLIT,
];

const CAT_SIG: &str = "tensors: Tensor[], dim: int = 0";

pub static CAT: OpDef = OpDef::kernel(
    "cat",
    CAT_SIG,
    "Tensors joined along a dimension that they have",
    |c| {
        let (parts, dim) = parts(c)?;
        let mut shape = parts.first().map_or_else(|| smallvec![0], |(_, t)| t.dims());
        for (i, t) in &parts[1.min(parts.len())..] {
            let fits = t.ndim() == shape.len()
                && t.shape().iter().zip(&shape).enumerate().all(|(d, (a, b))| d == dim || a == b);
            if !fits {
                return Err(Error::shape(format!(
                    "sizes of tensors must match except in dimension {dim}: tensor {i} has shape {}, \
                     those before it {}",
                    show(t.shape()),
                    show(&shape)
                )));
            }
            shape[dim] = shape[dim].checked_add(t.shape()[dim]).ok_or_else(|| {
                Error::memory(format!("the parts are too long together at dimension {dim}"))
            })?;
        }
        Ok(smallvec![Spec::new(&shape, result_type(c.tensors())?)])
    },
    join,
)
.gpu(join)
.vjp(
    |v| {
        let g = v.g(0)?;
        let dim = wrap_dim(v.call().int(0), g.ndim())?;
        let mut grads = Grads::new();
        let mut at = 0;
        for i in 0..v.inputs.len() {
            let shape = v.shape(i);
            let n = if shape.len() == g.ndim() { shape[dim] } else { 0 };
            grads.push(if !v.needs(i) {
                None
            } else if shape.len() == g.ndim() {
                Some(view::narrow(&g, dim, at, n)?)
            } else {
                Some(cast::full(shape, 0.0, g.dtype(), g.device())?)
            });
            at += n;
        }
        Ok(grads)
    },
    0,
    0,
)
.bind(Bind::FUNCTION);

/// The tensors that take part, with their places in the list: those of shape (0,) fit anywhere.
fn parts<'a>(c: &Call<'a>) -> Result<(Vec<(usize, &'a Tensor)>, usize)> {
    let all: Vec<(usize, &Tensor)> = c.tensors().enumerate().collect();
    if all.is_empty() {
        return Err(Error::runtime("expected a non-empty list of Tensors"));
    }
    let parts: Vec<_> = all.iter().copied().filter(|(_, t)| t.shape() != [0]).collect();
    let parts = if parts.is_empty() { all } else { parts };
    if let Some((i, _)) = parts.iter().find(|(_, t)| t.ndim() == 0) {
        return Err(Error::runtime(format!(
            "zero-dimensional tensor (at position {i}) cannot be concatenated"
        ))
        .hint("use stack() to join 0-d tensors"));
    }
    let dim = wrap_dim(c.int(0), parts[0].1.ndim())?;
    Ok((parts, dim))
}

fn join(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (parts, dim) = parts(c)?;
    let mut at = 0;
    for (_, t) in parts {
        let n = t.shape()[dim];
        if t.numel() > 0 {
            let to = outs[0].alias(outs[0].layout().slice(dim, at, n, 1));
            let t = cast::to_device(&t.detach(), to.device())?;
            cast::raw_copy(&t, &to)?;
        }
        at += n;
    }
    Ok(())
}

/// Another name for `cat`.
fn concat(c: &Call) -> Result<Outs> {
    apply(&CAT, c.inputs, c.attrs)
}

pub static CONCAT: OpDef =
    OpDef::composed("concat", CAT_SIG, "Another name for cat", concat).bind(Bind::FUNCTION);
pub static CONCATENATE: OpDef =
    OpDef::composed("concatenate", CAT_SIG, "Another name for cat", concat).bind(Bind::FUNCTION);

pub fn cat(tensors: &[Tensor], dim: usize) -> Result<Tensor> {
    let list: Vec<Option<Tensor>> = tensors.iter().cloned().map(Some).collect();
    Ok(apply(&CAT, &list, &[dim.into()])?.swap_remove(0))
}

pub fn stack(tensors: &[Tensor], dim: usize) -> Result<Tensor> {
    let wide: Result<Vec<Tensor>> = tensors.iter().map(|t| view::unsqueeze(t, dim)).collect();
    cat(&wide?, dim)
}

pub static STACK: OpDef =
    OpDef::composed("stack", CAT_SIG, "Tensors of one shape joined along a new dimension", |c| {
        let list: Vec<Tensor> = c.tensors().cloned().collect();
        let Some(first) = list.first() else {
            return Err(Error::runtime("expected a non-empty list of Tensors"));
        };
        if let Some((i, other)) = list.iter().enumerate().find(|(_, t)| t.shape() != first.shape())
        {
            return Err(Error::shape(format!(
                "expected tensors of one size, but got {} at entry 0 and {} at entry {i}",
                show(first.shape()),
                show(other.shape())
            )));
        }
        let dim = wrap_dim(c.int(0), first.ndim() + 1)?;
        Ok(smallvec![stack(&list, dim)?])
    })
    .bind(Bind::FUNCTION);

/// The tensors with at least `rank` dimensions, new ones in front.
fn raised(c: &Call, rank: usize) -> Result<Vec<Tensor>> {
    c.tensors()
        .map(|t| {
            let mut shape: Dims = smallvec![1; rank.saturating_sub(t.ndim())];
            shape.extend_from_slice(t.shape());
            view::reshape(t, &shape)
        })
        .collect()
}

pub static HSTACK: OpDef = OpDef::composed(
    "hstack",
    "tensors: Tensor[]",
    "Joined along the second dimension; 1-d tensors along their only one",
    |c| {
        let list = raised(c, 1)?;
        let dim = usize::from(list.first().is_some_and(|t| t.ndim() > 1));
        Ok(smallvec![cat(&list, dim)?])
    },
)
.bind(Bind::FUNCTION);

pub static VSTACK: OpDef = OpDef::composed(
    "vstack",
    "tensors: Tensor[]",
    "Joined along the first dimension, 1-d tensors as rows",
    |c| Ok(smallvec![cat(&raised(c, 2)?, 0)?]),
)
.bind(Bind::FUNCTION);

/// The wrapped dimension and its size.
fn sized(x: &Tensor, dim: i64, what: &str) -> Result<(usize, usize)> {
    if x.ndim() == 0 {
        return Err(Error::runtime(format!("{what} expects at least a 1-dimensional tensor")));
    }
    let dim = wrap_dim(dim, x.ndim())?;
    Ok((dim, x.shape()[dim]))
}

/// Refuses more views than memory can hold.
fn room_for(views: usize) -> Result<()> {
    const VIEW: usize = 512;
    crate::cpu::alloc::check(views.saturating_mul(VIEW))
}

/// Views from each start up to the next one.
fn pieces(x: &Tensor, dim: usize, bounds: impl Iterator<Item = (usize, usize)>) -> Result<Outs> {
    room_for(bounds.size_hint().0)?;
    bounds.map(|(start, len)| view::narrow(x, dim, start, len)).collect()
}

fn with_sizes(x: &Tensor, dim: usize, n: usize, sizes: &[i64]) -> Result<Outs> {
    let total: i64 = sizes.iter().fold(0, |a, &s| a.saturating_add(s));
    if sizes.iter().any(|&s| s < 0) || total != n as i64 {
        return Err(Error::runtime(format!(
            "expected non-negative sizes that sum to {n} (the size of dimension {dim}), \
             got {sizes:?}"
        )));
    }
    let mut at = 0;
    pieces(
        x,
        dim,
        sizes.iter().map(|&s| {
            at += s as usize;
            (at - s as usize, s as usize)
        }),
    )
}

fn of_size(x: &Tensor, dim: usize, n: usize, size: usize) -> Result<Outs> {
    if n == 0 {
        return pieces(x, dim, std::iter::once((0, 0)));
    }
    pieces(x, dim, (0..n).step_by(size).map(|at| (at, size.min(n - at))))
}

pub static SPLIT: OpDef = OpDef::composed(
    "split",
    "tensor: Tensor, split_size_or_sections: int[], dim: int = 0",
    "Parts of one size, the last perhaps smaller, or parts of the given sizes; views",
    |c| {
        let (dim, n) = sized(c.x(0), c.int(1), "split")?;
        match c.attr(0) {
            Attr::Int(size) => {
                if *size < 0 || (*size == 0 && n > 0) {
                    return Err(Error::runtime(format!(
                        "split expects split_size be positive, but got split_size={size}"
                    )));
                }
                of_size(c.x(0), dim, n, (*size).max(1) as usize)
            }
            _ => with_sizes(c.x(0), dim, n, c.ints(0)),
        }
    },
)
.many();

pub static SPLIT_WITH_SIZES: OpDef = OpDef::composed(
    "split_with_sizes",
    "input: Tensor, split_sizes: int[], dim: int = 0",
    "Parts of the given sizes; views",
    |c| {
        let (dim, n) = sized(c.x(0), c.int(1), "split_with_sizes")?;
        with_sizes(c.x(0), dim, n, c.ints(0))
    },
)
.many();

pub static CHUNK: OpDef = OpDef::composed(
    "chunk",
    "input: Tensor, chunks: int, dim: int = 0",
    "At most this many parts of one size, the last perhaps smaller; views",
    |c| {
        let (dim, n) = sized(c.x(0), c.int(1), "chunk")?;
        let chunks = c.int(0);
        if chunks < 1 {
            return Err(Error::runtime(format!(
                "chunk expects `chunks` to be greater than 0, got: {chunks}"
            )));
        }
        if n == 0 {
            return pieces(c.x(0), dim, (0..chunks).map(|_| (0, 0)));
        }
        of_size(c.x(0), dim, n, n.div_ceil(chunks as usize).max(1))
    },
)
.many();

pub static UNBIND: OpDef = OpDef::composed(
    "unbind",
    "input: Tensor, dim: int = 0",
    "The slices of a dimension, which disappears; views",
    |c| {
        let (dim, n) = sized(c.x(0), c.int(0), "unbind")?;
        room_for(n)?;
        (0..n).map(|i| view::select(c.x(0), dim, i as i64)).collect()
    },
)
.many();

pub static TENSOR_SPLIT: OpDef = OpDef::composed(
    "tensor_split",
    "input: Tensor, indices_or_sections: int[], dim: int = 0",
    "As many parts of nearly one size, or the parts between the given positions; views",
    |c| {
        let (dim, n) = sized(c.x(0), c.int(1), "tensor_split")?;
        if let Attr::Int(sections) = *c.attr(0) {
            if sections < 1 {
                return Err(Error::runtime(format!(
                    "number of sections must be larger than 0, got {sections}"
                )));
            }
            let k = sections as usize;
            let bound = move |i: usize| i * (n / k) + i.min(n % k);
            return pieces(c.x(0), dim, (0..k).map(|i| (bound(i), bound(i + 1) - bound(i))));
        }
        // As Python's slices: positions may be negative or beyond the end.
        let clamp = |v: i64| (if v < 0 { v + n as i64 } else { v }).clamp(0, n as i64) as usize;
        let mut starts = vec![0];
        starts.extend(c.ints(0).iter().map(|&v| clamp(v)));
        let ends = starts[1..].iter().copied().chain([n]);
        pieces(c.x(0), dim, starts.iter().copied().zip(ends).map(|(a, b)| (a, b.saturating_sub(a))))
    },
)
.many();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::call;
    use crate::ops::expr::t;
    use crate::ops::testing::gradcheck;

    fn range(n: usize) -> Tensor {
        Tensor::from_slice(&(0..n).map(|v| v as f64).collect::<Vec<_>>(), &[n]).unwrap()
    }

    #[test]
    fn cat_promotes_and_skips_empty_lists() {
        let a = Tensor::from_slice(&[1i32, 2], &[2]).unwrap();
        let empty = Tensor::from_slice::<f32>(&[], &[0]).unwrap();
        let out = cat(&[a.clone(), empty, range(2)], 0).unwrap();
        assert_eq!(out.to_vec::<f64>().unwrap(), [1.0, 2.0, 0.0, 1.0]);
        let m = view::reshape(&range(6), &[3, 2]).unwrap();
        let both = cat(
            &[
                m.clone(),
                view::transpose(&view::reshape(&range(3), &[1, 3]).unwrap(), 0, 1).unwrap(),
            ],
            1,
        );
        assert_eq!(
            both.unwrap().to_vec::<f64>().unwrap(),
            [0.0, 1.0, 0.0, 2.0, 3.0, 1.0, 4.0, 5.0, 2.0]
        );
        assert!(cat(&[m, a], 0).is_err());
        assert!(cat(&[], 0).is_err());
    }

    #[test]
    fn cuts_cover_the_dimension() {
        let x = range(7);
        let lens = |op: &'static OpDef, a: Attr| -> Vec<usize> {
            let outs = apply(op, &[Some(x.clone())], &[a, 0i64.into()]).unwrap();
            outs.iter().map(Tensor::numel).collect()
        };
        assert_eq!(lens(&SPLIT, 3i64.into()), [3, 3, 1]);
        assert_eq!(lens(&SPLIT, (&[1i64, 6][..]).into()), [1, 6]);
        assert_eq!(lens(&CHUNK, 4i64.into()), [2, 2, 2, 1]);
        assert_eq!(lens(&TENSOR_SPLIT, 3i64.into()), [3, 2, 2]);
        assert_eq!(lens(&TENSOR_SPLIT, (&[2i64, 9, -1][..]).into()), [2, 5, 0, 1]);
        assert!(apply(&SPLIT, &[Some(x.clone())], &[(&[3i64][..]).into(), 0i64.into()]).is_err());
    }

    #[test]
    fn gradients_are_the_parts() {
        gradcheck(
            |x| {
                let both = cat(&[x[0].clone(), t::mul(&x[1], &x[1])?], 0)?;
                stack(&[both.clone(), t::mul(&both, &both)?], 1)
            },
            &[range(3), range(2)],
        );
        let outs = call(&UNBIND, &[&range(3)], &[0i64.into()]).unwrap();
        assert_eq!(outs.ndim(), 0);
    }
}
