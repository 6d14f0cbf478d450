//! Scans on the CPU: each line in order, neighbouring lines together. Floats are summed in float64.

use super::{Extent, Kind};
use crate::cpu::math::plain::m64;
use crate::cpu::threads;
use crate::dtype::Element;
use crate::error::Result;
use crate::ops::index::{Ptr, dense};
use crate::tensor::Tensor;
use crate::with_dtype;

/// Lines that are walked side by side: neighbours in memory are a vector, others hide each other's waits.
const NEIGHBOURS: usize = 32;
const APART: usize = 8;
const GRAIN: usize = 16 * 1024;

/// Lines of one walk: where the first begins, how many there are and how far apart.
struct Group {
    first: usize,
    lines: usize,
    apart: usize,
}

/// Calls `f` with groups of lines that make up the whole.
fn groups(e: Extent, f: &(dyn Fn(&Group) + Sync)) {
    if e.n * e.inner * e.outer == 0 {
        return;
    }
    if e.inner == 1 {
        let count = e.outer.div_ceil(APART);
        threads::for_range(count, (GRAIN / (e.n * APART)).max(1), &|range| {
            for g in range {
                let line = g * APART;
                let lines = (e.outer - line).min(APART);
                f(&Group { first: line * e.n, lines, apart: e.n });
            }
        });
        return;
    }
    let cuts = e.inner.div_ceil(NEIGHBOURS);
    let size = e.n * e.inner.min(NEIGHBOURS);
    threads::for_range(e.outer * cuts, (GRAIN / size).max(1), &|range| {
        for g in range {
            let column = g % cuts * NEIGHBOURS;
            let first = g / cuts * e.n * e.inner + column;
            f(&Group { first, lines: (e.inner - column).min(NEIGHBOURS), apart: 1 });
        }
    });
}

pub fn fold(x: &Tensor, dim: i64, kind: Kind, out: &Tensor) -> Result<()> {
    let x = dense(x, out.dtype())?;
    let e = Extent::of(&x, dim)?;
    with_dtype!(out.dtype(), T => {
        let (from, to) = (Ptr(x.ptr::<T>()), Ptr(out.ptr::<T>()));
        if out.dtype().is_float() {
            match kind {
                Kind::Add | Kind::AddBack => lines(e, from, to, kind, 0.0, T::to_f64, T::from_f64, |a: f64, b| a + b),
                Kind::Mul => lines(e, from, to, kind, 1.0, T::to_f64, T::from_f64, |a: f64, b| a * b),
                _ => lines(e, from, to, kind, f64::NEG_INFINITY, T::to_f64, T::from_f64, log_add),
            }
        } else if kind == Kind::Mul {
            lines(e, from, to, kind, 1, T::to_i64, T::from_i64, i64::wrapping_mul);
        } else {
            lines(e, from, to, kind, 0, T::to_i64, T::from_i64, i64::wrapping_add);
        }
    });
    Ok(())
}

fn log_add(a: f64, b: f64) -> f64 {
    // Equal infinities would give inf - inf.
    if a == b && a.is_infinite() { a } else { m64::logaddexp(a, b) }
}

fn lines<T: Element, A: Copy + Send + Sync>(
    e: Extent,
    from: Ptr<T>,
    to: Ptr<T>,
    kind: Kind,
    init: A,
    load: impl Fn(T) -> A + Sync,
    store: impl Fn(A) -> T + Sync,
    f: impl Fn(A, A) -> A + Sync,
) {
    groups(e, &|g| {
        // Full groups have a fixed width, so that their loops unroll and their sums stay in registers.
        match (g.apart, g.lines) {
            (1, NEIGHBOURS) => {
                walk::<T, A, NEIGHBOURS>(e, g, from, to, kind, init, &load, &store, &f);
            }
            (_, APART) => walk::<T, A, APART>(e, g, from, to, kind, init, &load, &store, &f),
            _ => (0..g.lines).for_each(|line| {
                let one = Group { first: g.first + line * g.apart, lines: 1, apart: 1 };
                walk::<T, A, 1>(e, &one, from, to, kind, init, &load, &store, &f);
            }),
        }
    });
}

#[inline(always)]
fn walk<T: Element, A: Copy, const W: usize>(
    e: Extent,
    g: &Group,
    from: Ptr<T>,
    to: Ptr<T>,
    kind: Kind,
    init: A,
    load: &impl Fn(T) -> A,
    store: &impl Fn(A) -> T,
    f: &impl Fn(A, A) -> A,
) {
    let mut acc = [init; W];
    for step in 0..e.n {
        let i = if kind == Kind::AddBack { e.n - 1 - step } else { step };
        let at = g.first + i * e.inner;
        for (k, a) in acc.iter_mut().enumerate() {
            let at = at + k * g.apart;
            // SAFETY: the line lies inside both tensors; each group writes its own lines.
            unsafe {
                *a = f(*a, load(*from.get().add(at)));
                *to.get().add(at) = store(*a);
            }
        }
    }
}

pub fn extreme(x: &Tensor, dim: i64, kind: Kind, values: &Tensor, indices: &Tensor) -> Result<()> {
    let e = Extent::of(x, dim)?;
    let x = dense(x, x.dtype())?;
    let at = Ptr(indices.ptr::<i64>());
    with_dtype!(x.dtype(), T => run::<T>(e, Ptr(x.ptr()), Ptr(values.ptr()), at, kind));
    Ok(())
}

#[allow(clippy::eq_op)]
fn run<T: Element>(e: Extent, from: Ptr<T>, values: Ptr<T>, indices: Ptr<i64>, kind: Kind) {
    groups(e, &|g| {
        for line in 0..g.lines {
            let k = g.first + line * g.apart;
            // SAFETY: the line lies inside all three tensors; each group writes its own lines.
            unsafe {
                let mut best = *from.get().add(k);
                let mut place = 0;
                for i in 0..e.n {
                    let v = *from.get().add(k + i * e.inner);
                    let wins = if kind == Kind::Max { v >= best } else { v <= best };
                    // The last of equals; from a NaN on it is the last NaN.
                    if v != v || (best == best && wins) {
                        (best, place) = (v, i);
                    }
                    *values.get().add(k + i * e.inner) = best;
                    *indices.get().add(k + i * e.inner) = place as i64;
                }
            }
        }
    });
}
