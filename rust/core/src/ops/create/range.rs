//! Evenly spaced numbers, computed in float64 (integers exactly) and rounded once to the result's dtype.

use super::{device_of, made, number_of};
use crate::cpu::simd::{Isa, isa};
use crate::cpu::{map, threads};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::ops::{Call, OpDef, Outs, cast};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};
use crate::with_dtype;
use smallvec::smallvec;

pub static ARANGE: OpDef = made(
    "arange",
    "start: Number, end: Number, step: Number = 1, *, dtype: dtype? = None, device: device? = None",
    "start, start + step, ... up to but without end",
    |c| {
        let [start, end, step] = [0, 1, 2].map(|i| number_of(c, i));
        let n = count(start, end, step)?;
        let whole = [start, end, step].iter().all(|n| !matches!(n, Number::Float(_)));
        let natural = if whole { DType::I64 } else { DType::F32 };
        let dtype = c.dtype(3).unwrap_or(natural);
        let device = device_of(c, 4);
        if dtype.is_float() {
            let (start, step) = (start.as_f64(), step.as_f64());
            generate(n, dtype, device, move |i| start + step * i)
        } else {
            if dtype == DType::I64 && n > 0 {
                let last = whole_part(start) + whole_part(step) * (n as i128 - 1);
                if let Ok(big) = u64::try_from(last) {
                    Number::Big(big).exact(dtype)?;
                }
            }
            // In 64 bits, wrapping: what is above i64::MAX comes out right in uint64.
            let (start, step) = (whole_part(start) as i64, whole_part(step) as i64);
            if step == 0 {
                return Err(Error::runtime("step must be nonzero in the dtype of the result"));
            }
            let out = Tensor::empty(&[n], dtype, Device::Cpu)?;
            with_dtype!(dtype, T => count_up::<T>(&out, start, step));
            placed(out, device)
        }
    },
);

pub static LINSPACE: OpDef = made(
    "linspace",
    "start: Number, end: Number, steps: int, *, dtype: dtype? = None, device: device? = None",
    "steps numbers from start to end, both included",
    |c| {
        let line = Line::new(c)?;
        generate(line.n, line.dtype, device_of(c, 4), move |i| line.at(i))
    },
);

pub static LOGSPACE: OpDef = made(
    "logspace",
    "start: Number, end: Number, steps: int, base: float = 10.0, *, dtype: dtype? = None, device: device? = None",
    "base to the power of steps numbers from start to end",
    |c| {
        let base = c.float(3);
        let line = Line { dtype: c.dtype(4).unwrap_or(DType::F32), ..Line::new(c)? };
        generate(line.n, line.dtype, device_of(c, 5), move |i| base.powf(line.at(i)))
    },
);

/// Points on a line, counted from the nearer end so that both ends are exact.
#[derive(Clone, Copy)]
struct Line {
    start: f64,
    end: f64,
    step: f64,
    n: usize,
    dtype: DType,
}

impl Line {
    fn new(c: &Call) -> Result<Self> {
        let steps = c.int(2);
        let n = usize::try_from(steps).map_err(|_| {
            Error::runtime(format!("the number of steps must not be negative, got {steps}"))
        })?;
        let dtype = c.dtype(3).unwrap_or(DType::F32);
        let ends = [0, 1].map(|i| number_of(c, i));
        let [start, end] = if dtype.is_float() {
            ends.map(Number::as_f64)
        } else {
            ends.map(|v| whole_part(v) as f64)
        };
        let step = if n > 1 { (end - start) / (n - 1) as f64 } else { 0.0 };
        Ok(Self { start, end, step, n, dtype })
    }

    #[inline(always)]
    fn at(&self, i: f64) -> f64 {
        let left = (self.n as f64 - 1.0) - i;
        if i <= left { self.start + self.step * i } else { self.end - self.step * left }
    }
}

/// How many numbers lie from `start` up to `end`.
fn count(start: Number, end: Number, step: Number) -> Result<usize> {
    let float = |n: Number| matches!(n, Number::Float(_));
    let (a, b, s) = (start.as_f64(), end.as_f64(), step.as_f64());
    if s == 0.0 {
        return Err(Error::runtime("step must be nonzero"));
    }
    if !(a.is_finite() && b.is_finite() && !s.is_nan()) {
        return Err(Error::runtime(format!("unsupported range: {a} to {b} in steps of {s}")));
    }
    let integers = !(float(start) || float(end) || float(step));
    let gap = whole_part(end) - whole_part(start);
    let away =
        if integers { (gap > 0 && s < 0.0) || (gap < 0 && s > 0.0) } else { (b - a) / s < 0.0 };
    if away {
        return Err(Error::runtime(format!(
            "the bounds {a} and {b} are inconsistent with the sign of the step {s}"
        )));
    }
    if integers {
        let step = whole_part(step).unsigned_abs();
        return Ok(usize::try_from(gap.unsigned_abs().div_ceil(step)).unwrap_or(usize::MAX));
    }
    Ok(((b - a) / s).ceil() as usize)
}

fn whole_part(n: Number) -> i128 {
    n.as_int().unwrap_or_else(|| i128::from(n.as_f64() as i64))
}

/// Elements `f(0.0)`, `f(1.0)`, ...
fn generate<F: Fn(f64) -> f64 + Copy + Sync>(
    n: usize,
    dtype: DType,
    device: Device,
    f: F,
) -> Result<Outs> {
    let out = Tensor::empty(&[n], dtype, Device::Cpu)?;
    with_dtype!(dtype, T => {
        let to = out.ptr::<T>() as usize;
        threads::for_range(n, map::GRAIN, &|range| {
            // SAFETY: `out` is contiguous and has n elements of type T.
            unsafe { piece((to as *mut T).add(range.start), range.start as f64, range.len(), f) };
        });
    });
    placed(out, device)
}

/// `n` elements from that of index `first` on, with vectors of this machine's width. `f` comes by value: what it
/// captured could otherwise be overwritten by the stores, as far as the compiler knows.
unsafe fn piece<T: Element, F: Fn(f64) -> f64>(out: *mut T, first: f64, n: usize, f: F) {
    #[inline(always)]
    unsafe fn each<T: Element, F: Fn(f64) -> f64>(out: *mut T, first: f64, n: usize, f: F) {
        for i in 0..n {
            // SAFETY: the caller has n elements; a 32-bit integer becomes a float in vectors on every machine.
            unsafe { out.add(i).write(T::from_f64(f(first + f64::from(i as i32)))) };
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        unsafe fn avx2<T: Element, F: Fn(f64) -> f64>(out: *mut T, first: f64, n: usize, f: F) {
            // SAFETY: passed on.
            unsafe { each(out, first, n, f) }
        }
        if matches!(isa(), Isa::Avx2 | Isa::Avx512) {
            // SAFETY: passed on, and the machine has AVX2.
            return unsafe { avx2(out, first, n, f) };
        }
    }
    // SAFETY: passed on.
    unsafe { each(out, first, n, f) }
}

/// Writes `start`, `start + step`, ... into a fresh CPU tensor of T.
fn count_up<T: Element>(out: &Tensor, start: i64, step: i64) {
    let to = out.ptr::<T>() as usize;
    threads::for_range(out.numel(), map::GRAIN, &|range| {
        let mut value = start.wrapping_add(step.wrapping_mul(range.start as i64));
        for i in range {
            // SAFETY: `out` is contiguous and has more than i elements of type T.
            unsafe { (to as *mut T).add(i).write(T::from_i64(value)) };
            value = value.wrapping_add(step);
        }
    });
}

fn placed(t: Tensor, device: Device) -> Result<Outs> {
    if device == Device::Cpu {
        return Ok(smallvec![t]);
    }
    let out = Tensor::empty(t.shape(), t.dtype(), device)?;
    cast::raw_copy(&t, &out)?;
    Ok(smallvec![out])
}
