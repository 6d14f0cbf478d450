//! Padding: with a value, mirrored, repeated at the edge, or around.

use super::{Attr, Bind, Call, OpDef, Outs, Spec, cast, view};
use crate::apply::call;
use crate::autograd::Vjp;
use crate::error::{Error, Result};
use crate::ops::index::read_known;
use crate::tensor::{Number, Tensor};
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&PAD, &PAD_VALUE];

/// `pad` has the sizes before and behind of each dimension in order, none negative.
pub static PAD_VALUE: OpDef = OpDef::kernel(
    "pad_value",
    "input: Tensor, pad: int[], value: Number = 0",
    "The input surrounded by a value",
    |c| {
        let x = c.x(0);
        let pad = c.ints(0);
        if pad.len() != 2 * x.ndim() || pad.iter().any(|&p| p < 0) {
            return Err(Error::value("pad needs two sizes per dimension, none negative"));
        }
        let mut shape = x.dims();
        for (d, n) in shape.iter_mut().enumerate() {
            let more = (pad[2 * d] as usize).checked_add(pad[2 * d + 1] as usize);
            *n = more
                .and_then(|m| n.checked_add(m))
                .ok_or_else(|| Error::memory("padding overflows"))?;
        }
        Ok(smallvec![Spec::new(&shape, x.dtype())])
    },
    fill_and_copy,
)
.gpu(fill_and_copy)
.vjp(
    |v| {
        let mut g = v.g(0)?;
        let shape = v.shape(0);
        for (d, &n) in shape.iter().enumerate() {
            g = view::narrow(&g, d, v.call().ints(0)[2 * d] as usize, n)?;
        }
        Vjp::only(Ok(g))
    },
    0,
    0,
)
.public("pad")
.private();

fn fill_and_copy(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, out) = (c.x(0), &outs[0]);
    let value = match *c.attr(1) {
        Attr::Int(v) => Number::Int(v),
        Attr::Big(v) => Number::Big(v),
        _ => Number::Float(c.float(1)),
    };
    let value = value.exact(x.dtype())?;
    cast::fill(out, &value)?;
    let mut l = out.layout().clone();
    for (d, &n) in x.shape().iter().enumerate() {
        l = l.slice(d, c.ints(0)[2 * d] as usize, n, 1);
    }
    cast::raw_copy(x, &out.alias(l))
}

/// `n` zeros appended to a dimension.
pub fn zeros_behind(x: &Tensor, dim: usize, n: usize) -> Result<Tensor> {
    if n == 0 {
        return Ok(x.clone());
    }
    let mut pad: smallvec::SmallVec<[i64; 4]> = smallvec![0; 2 * x.ndim()];
    pad[2 * dim + 1] = n as i64;
    call(&PAD_VALUE, &[x], &[Attr::Ints(pad), 0.0.into()])
}

pub static PAD: OpDef = OpDef::composed(
    "pad",
    "input: Tensor, pad: int[], mode: str = 'constant', value: Number? = None",
    "Sizes added at both ends of the last dimensions, the last first; negative sizes cut off",
    |c| {
        let (x, pad) = (c.x(0), c.ints(0));
        if pad.len() % 2 != 0 || pad.len() > 2 * x.ndim() {
            return Err(Error::runtime(format!(
                "padding needs an even number of sizes, at most {} for {} dimensions, got {}",
                2 * x.ndim(),
                x.ndim(),
                pad.len()
            )));
        }
        let mode = c.str(1);
        for (k, p) in pad.chunks(2).enumerate() {
            let d = x.ndim() - 1 - k;
            check(mode, p[0], p[1], x.shape()[d], d)?;
        }
        if mode == "constant" {
            return constant(c);
        }
        if !c.is_none(2) && c.float(2) != 0.0 {
            return Err(Error::value(format!("padding mode {mode:?} takes no value")));
        }
        let mut out = x.clone();
        for (k, p) in pad.chunks(2).enumerate().filter(|(_, p)| p[0] != 0 || p[1] != 0) {
            let d = x.ndim() - 1 - k;
            let n = x.shape()[d] as i64;
            crate::cpu::alloc::check(
                ((n + p[0] + p[1]) as usize).saturating_mul(size_of::<i64>()),
            )?;
            let at: Vec<i64> = (-p[0]..n + p[1]).map(|i| source(mode, i, n, p)).collect();
            out = read_known(&out, d, &at)?;
        }
        Ok(smallvec![out])
    },
)
.bind(Bind::PRIVATE);

fn check(mode: &str, before: i64, behind: i64, n: usize, dim: usize) -> Result<()> {
    let most = match mode {
        "constant" => i64::MAX,
        "reflect" => n as i64 - 1,
        "circular" => {
            let (start, end) = left(n as i64, before, behind);
            end.saturating_sub(start).max(0)
        }
        "replicate" if n > 0 => i64::MAX,
        "replicate" => 0,
        _ => {
            return Err(Error::new(
                crate::Kind::NotImplemented,
                format!("unrecognised padding mode {mode:?}"),
            )
            .hint("the modes are 'constant', 'reflect', 'replicate' and 'circular'"));
        }
    };
    if before > most || behind > most {
        return Err(Error::runtime(format!(
            "padding ({before}, {behind}) at dimension {dim} of size {n} is too large for mode {mode:?}: \
             at most {most} on a side"
        )));
    }
    let out = (n as i64).checked_add(before).and_then(|s| s.checked_add(behind));
    if out.is_none_or(|s| s < 0) {
        return Err(Error::runtime(format!(
            "padding ({before}, {behind}) leaves no valid size for dimension {dim} of size {n}"
        )));
    }
    Ok(())
}

/// The part of a dimension that negative sizes leave: what "circular" goes around in.
fn left(n: i64, before: i64, behind: i64) -> (i64, i64) {
    (before.saturating_neg().max(0), n.saturating_add(behind.min(0)))
}

/// The position inside that position `i` shows.
fn source(mode: &str, i: i64, n: i64, pad: &[i64]) -> i64 {
    match mode {
        "reflect" if i < 0 => -i,
        "reflect" if i >= n => 2 * (n - 1) - i,
        "circular" => {
            let (start, end) = left(n, pad[0], pad[1]);
            start + (i - start).rem_euclid(end - start)
        }
        _ => i.clamp(0, n - 1),
    }
}

fn constant(c: &Call) -> Result<Outs> {
    let mut x = c.x(0).clone();
    let rank = x.ndim();
    let mut sizes: smallvec::SmallVec<[i64; 4]> = smallvec![0; 2 * rank];
    for (k, p) in c.ints(0).chunks(2).enumerate() {
        let d = rank - 1 - k;
        let n = x.shape()[d];
        let (start, end) = ((-p[0]).max(0) as usize, n as i64 + p[1].min(0));
        // What one side cuts off beyond the input comes from the padding of the other.
        let (from, to) = (start.min(n), end.clamp(0, n as i64) as usize);
        let kept = to.saturating_sub(from);
        if kept != n {
            x = view::narrow(&x, d, from.min(to), kept)?;
        }
        let total = n as i64 + p[0] + p[1];
        sizes[2 * d] = p[0].max(0).min(total - kept as i64);
        sizes[2 * d + 1] = total - kept as i64 - sizes[2 * d];
    }
    if sizes.iter().all(|&s| s == 0) {
        return Ok(smallvec![cast::copy(&x)?]);
    }
    let value = match c.attr(2) {
        Attr::None => Attr::Int(0),
        v => v.clone(),
    };
    Ok(smallvec![call(&PAD_VALUE, &[&x], &[Attr::Ints(sizes), value])?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::gradcheck;

    fn pad(x: &Tensor, sizes: &[i64], mode: &str) -> Result<Tensor> {
        call(&PAD, &[x], &[sizes.into(), mode.into(), Attr::None])
    }

    #[test]
    fn modes() {
        let x = Tensor::from_slice(&[1.0f64, 2.0, 3.0], &[1, 3]).unwrap();
        let p = |sizes: &[i64], mode: &str| pad(&x, sizes, mode).unwrap().to_vec::<f64>().unwrap();
        assert_eq!(p(&[1, 2], "constant"), [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
        assert_eq!(p(&[2, 2], "reflect"), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
        assert_eq!(p(&[2, 1], "replicate"), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(p(&[2, 1], "circular"), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
        assert_eq!(p(&[-1, 2], "circular"), [2.0, 3.0, 2.0, 3.0]);
        assert_eq!(p(&[-1, 1], "constant"), [2.0, 3.0, 0.0]);
        assert_eq!(p(&[-1, -1], "replicate"), [2.0]);
        assert!(pad(&x, &[3, 0], "reflect").is_err());
        assert!(pad(&x, &[-2, -2], "constant").is_err());
        assert!(pad(&x, &[1, 0, 1, 0, 1, 0], "constant").is_err());
        assert!(pad(&x, &[i64::MAX, i64::MAX], "constant").is_err());
    }

    #[test]
    fn gradients() {
        let x = Tensor::from_slice(&[1.0f64, 2.0, -3.0, 0.5, 4.0, -1.0], &[2, 3]).unwrap();
        for mode in ["constant", "reflect", "replicate", "circular"] {
            gradcheck(
                |x| pad(&crate::ops::expr::t::mul(&x[0], &x[0])?, &[1, 2, 1, -1], mode),
                std::slice::from_ref(&x),
            );
        }
    }
}
