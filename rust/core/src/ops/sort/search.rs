//! Finding places in sorted sequences.

use super::SORT;
use super::gpu;
use crate::apply::call;
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, show};
use crate::ops::index::{GATHER, Ptr, dense};
use crate::ops::{Attr, OpDef, Outs, Spec, cast, elementwise as e, view};
use crate::tensor::{Number, Tensor, result_type};
use smallvec::smallvec;

fn one(t: Result<Tensor>) -> Result<Outs> {
    Ok(smallvec![t?])
}

/// Both of one dtype; the sequence 1-d, or with the leading dimensions of the values.
pub static SEARCH: OpDef = OpDef::kernel(
    "search",
    "sequence: Tensor, input: Tensor, right: bool = False",
    "Before which element of a sorted sequence each value belongs",
    |c| {
        let (s, v) = (c.x(0), c.x(1));
        let lead = |t: &Tensor| Dims::from_slice(&t.shape()[..t.ndim().saturating_sub(1)]);
        if s.ndim() == 0 || s.ndim() > 1 && (s.ndim() != v.ndim() || lead(s) != lead(v)) {
            return Err(Error::shape(format!(
                "boundaries should be 1 dimension or match the values in all but the last dimension, \
                 got {} and {}",
                show(s.shape()),
                show(v.shape())
            )));
        }
        if s.dtype() != v.dtype() {
            return Err(Error::runtime("the sequence and the values must have one dtype"));
        }
        Ok(smallvec![Spec::new(v.shape(), DType::I64)])
    },
    |c, o| {
        let (s, v) = (dense(c.x(0), c.x(0).dtype())?, dense(c.x(1), c.x(1).dtype())?);
        let (n, m) = lengths(&s, &v);
        let right = c.flag(0);
        let to = Ptr(o[0].ptr::<i64>());
        crate::with_dtype!(s.dtype(), T => {
            let (seq, values) = (Ptr(s.ptr::<T>()), Ptr(v.ptr::<T>()));
            threads::for_range(v.numel(), 4096, &|range| {
                for i in range {
                    // SAFETY: value i looks into the sequence of its row, of n elements.
                    unsafe {
                        let seq = seq.get().add(i / m * n);
                        let v = *values.get().add(i);
                        let (mut lo, mut hi) = (0, n);
                        while lo < hi {
                            let mid = lo.midpoint(hi);
                            let at = *seq.add(mid);
                            #[allow(clippy::bool_comparison)] // for the type bool
                            // So written, a NaN belongs behind everything.
                            let stop = if right { at > v } else { at >= v };
                            if stop { hi = mid } else { lo = mid + 1 }
                        }
                        *to.get().add(i) = lo as i64;
                    }
                }
            });
        });
        Ok(())
    },
)
.gpu(|c, o| {
    let (n, m) = lengths(c.x(0), c.x(1));
    gpu::search(c.x(0), c.x(1), n, m, c.flag(0), &o[0])
})
.no_grad("the result is an index")
.public("searchsorted")
.private();

/// The length of a sequence, and how many values share one.
fn lengths(s: &Tensor, v: &Tensor) -> (usize, usize) {
    let n = s.shape().last().copied().unwrap_or(1);
    let m = if s.ndim() == 1 { v.numel() } else { v.shape().last().copied().unwrap_or(1) };
    (n, m.max(1))
}

fn search(sequence: &Tensor, values: &Tensor, right: bool, narrow: bool) -> Result<Tensor> {
    let dtype = result_type([sequence, values].into_iter())?;
    let ready = |t: &Tensor| cast::to_device(&cast::to(&t.detach(), dtype)?, sequence.device());
    let out = call(&SEARCH, &[&ready(sequence)?, &ready(values)?], &[right.into()])?;
    if narrow { cast::to(&out, DType::I32) } else { Ok(out) }
}

pub static SEARCHSORTED: OpDef = OpDef::composed(
    "searchsorted",
    "sorted_sequence: Tensor, input: Tensor, *, out_int32: bool = False, right: bool = False, side: str? = None, sorter: Tensor? = None",
    "Before which element of the sorted innermost dimension each value belongs; with right, behind its equals",
    |c| {
        let right = match c.str(2) {
            "" => c.flag(1),
            "right" => true,
            "left" if !c.flag(1) => false,
            "left" => {
                return Err(Error::runtime("side and right can't be set to opposites, got side of left while right was True"));
            }
            other => {
                return Err(Error::runtime(format!("side can only be 'left' or 'right' but got {other}")));
            }
        };
        let sequence = match c.opt(2) {
            Some(sorter) if sorter.shape() != c.x(0).shape() => {
                return Err(Error::shape(format!(
                    "boundary and sorter must have the same size, but got {} and {}",
                    show(c.x(0).shape()),
                    show(sorter.shape())
                )));
            }
            Some(sorter) => call(&GATHER, &[&c.x(0).detach(), sorter], &[(-1i64).into()])?,
            None => c.x(0).clone(),
        };
        one(search(&sequence, c.x(1), right, c.flag(0)))
    },
)
.bind(crate::ops::Bind::FUNCTION);

pub static BUCKETIZE: OpDef = OpDef::composed(
    "bucketize",
    "input: Tensor, boundaries: Tensor, *, out_int32: bool = False, right: bool = False",
    "The bucket between sorted boundaries that each value falls into",
    |c| {
        if c.x(1).ndim() != 1 {
            return Err(Error::shape(format!(
                "boundaries tensor must be 1 dimension, but got shape {}",
                show(c.x(1).shape())
            )));
        }
        one(search(c.x(1), c.x(0), c.flag(1), c.flag(0)))
    },
)
.bind(crate::ops::Bind::FUNCTION);

pub static ISIN: OpDef = OpDef::composed(
    "isin",
    "elements: Tensor, test_elements: Tensor, *, assume_unique: bool = False, invert: bool = False",
    "Whether each element is among the test elements",
    |c| {
        let (x, tests) = (c.x(0), c.x(1));
        let n = tests.numel();
        let hit = if n == 0 {
            cast::full(x.shape(), 0.0, DType::Bool, x.device())?
        } else {
            let dtype = result_type([x, tests].into_iter())?;
            let x = cast::to(&x.detach(), dtype)?;
            let tests = cast::to_device(&cast::to(&tests.detach(), dtype)?, x.device())?;
            let line = view::reshape(&tests, &[n])?;
            let sorted = call(&SORT, &[&line], &[0i64.into(), false.into()])?;
            let at = call(&SEARCH, &[&sorted, &x], &[false.into()])?;
            let at = call(&e::minimum, &[&at, &Tensor::number(Number::Int(n as i64 - 1))?], &[])?;
            let flat = view::reshape(&at, &[at.numel()])?;
            let found = call(&GATHER, &[&sorted, &flat], &[Attr::Int(0)])?;
            call(&e::eq, &[&view::reshape(&found, x.shape())?, &x], &[])?
        };
        one(if c.flag(1) { call(&e::logical_not, &[&hit], &[]) } else { Ok(hit) })
    },
)
.bind(crate::ops::Bind::FUNCTION);
