//! Categories drawn by weight.
//!
//! With replacement, a uniform is looked up in the running sums of the weights. The sums of 256 chunks come first, so
//! that a GPU's threads can make them; the CPU adds in the same order, and both pick the same categories.
//! Without, each category runs a race: it arrives after E / weight with exponential E, and the first ones are taken.

use super::{Call, OpDef, Place, cast, gpu};
use crate::cpu::math::plain::{m32, m64};
use crate::cpu::{map, threads};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::{Dims, show};
use crate::ops::{Spec, Specs};
use crate::rng;
use crate::tensor::Tensor;
use smallvec::smallvec;
use std::ops::{Add, Div, Mul, Neg};
use std::sync::{Mutex, PoisonError};

/// Chunks of a row: the threads of a GPU's workgroup.
const CHUNKS: usize = 256;
/// Uniforms have 24 bits.
const MOST: usize = 1 << 24;

/// Waits for the GPU, to learn whether the weights were valid.
pub static MULTINOMIAL: OpDef = OpDef::kernel(
    "random_multinomial",
    "input: Tensor, num_samples: int, replacement: bool, seed: int, offset: int",
    "Indices drawn with the row's weights as probabilities",
    infer,
    |c, o| {
        if c.x(0).dtype() == DType::F64 { draw::<f64>(c, &o[0]) } else { draw::<f32>(c, &o[0]) }
    },
)
.gpu(|c, o| gpu::multinomial(c.x(0), &o[0], c.flag(1), Place::of(c, 2)))
.no_grad(super::NO_GRAD)
.public("multinomial")
.private();

fn infer(c: &Call) -> Result<Specs> {
    let (x, samples) = (c.x(0), c.int(0));
    let rows: Dims = match x.shape() {
        [_] => smallvec![],
        &[rows, _] => smallvec![rows],
        other => {
            return Err(Error::runtime(format!(
                "weights must be 1 or 2 dim, got shape {}",
                show(other)
            )));
        }
    };
    let n = x.shape()[x.ndim() - 1];
    if !x.dtype().is_float() {
        return Err(Error::runtime(format!("expects float weights, got {}", x.dtype().name())));
    }
    if samples <= 0 {
        return Err(Error::runtime(format!("cannot sample num_samples <= 0, got {samples}")));
    }
    if n > MOST {
        return Err(Error::runtime(format!(
            "there are {n} categories; at most {MOST} are possible"
        )));
    }
    if !c.flag(1) && samples as u64 > n as u64 {
        return Err(Error::runtime(format!(
            "cannot draw {samples} samples without replacement from {n} categories"
        )));
    }
    let mut shape = rows;
    shape.push(samples as usize);
    Ok(smallvec![Spec { shape, dtype: DType::I64 }])
}

/// What is wrong with a row's weights, the worst last; the numbers are those of the GPU kernels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fault {
    TooFew = 1,
    Zero = 2,
    Invalid = 3,
}

impl Fault {
    pub(super) fn of_code(code: u32) -> Option<Self> {
        [Self::Invalid, Self::Zero, Self::TooFew].into_iter().find(|&f| f as u32 == code)
    }

    pub(super) fn error(self) -> Error {
        Error::runtime(match self {
            Self::Invalid => "the weights contain inf, nan or an element < 0",
            Self::Zero => "the weights of a row have the sum 0",
            Self::TooFew => {
                "a row has fewer weights above 0 than samples are to be drawn without replacement"
            }
        })
    }
}

type Checked = std::result::Result<(), Fault>;

/// A float type that weights are added in.
trait Real:
    Element + Add<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// Uniforms on [0, 1).
    fn uniforms(p: Place, n: usize) -> Vec<Self>;
    /// Standard exponential numbers `start..start + n` of a fill; `start` is even.
    fn exponentials(p: Place, start: usize, n: usize) -> Vec<Self>;
}

impl Real for f32 {
    fn uniforms(p: Place, n: usize) -> Vec<Self> {
        let mut out = vec![0.0; n];
        // SAFETY: the buffer has n elements; so below.
        unsafe { rng::fill_uniform_f32(p.seed, p.offset, out.as_mut_ptr(), n) };
        out
    }

    fn exponentials(p: Place, start: usize, n: usize) -> Vec<Self> {
        // A row may begin within a block.
        let skip = start % 4;
        let mut words = vec![0; skip + n];
        unsafe { rng::fill_u32(p.seed, p.at(start, 4), words.as_mut_ptr(), skip + n) };
        // The middle of the word's interval in (0, 1].
        let unit = |w: u32| {
            ((w >> 16) as f32 * 65536.0 + (w & 0xFFFF) as f32) * (1.0 / 4_294_967_296.0)
                + 1.0 / 8_589_934_592.0
        };
        words[skip..].iter().map(|&w| -m32::log(unit(w))).collect()
    }
}

impl Real for f64 {
    fn uniforms(p: Place, n: usize) -> Vec<Self> {
        let mut out = vec![0.0; n];
        unsafe { rng::fill_uniform_f64(p.seed, p.offset, out.as_mut_ptr(), n) };
        out
    }

    fn exponentials(p: Place, start: usize, n: usize) -> Vec<Self> {
        let skip = start % 2;
        let mut units = vec![0.0; skip + n];
        unsafe { rng::fill_uniform_f64(p.seed, p.at(start, 2), units.as_mut_ptr(), skip + n) };
        units[skip..].iter().map(|&u: &f64| -m64::log(u + 1.0 / 18_014_398_509_481_984.0)).collect()
    }
}

fn draw<T: Real>(c: &Call, out: &Tensor) -> Result<()> {
    let x = cast::dense(c.x(0), T::DTYPE)?;
    let (replacement, place) = (c.flag(1), Place::of(c, 2));
    let samples = out.shape()[out.ndim() - 1];
    let n = x.shape()[x.ndim() - 1];
    let rows = out.numel() / samples;
    let uniforms = if replacement { T::uniforms(place, out.numel()) } else { Vec::new() };
    let (from, to) = (x.ptr::<T>() as usize, out.ptr::<i64>() as usize);
    let fault: Mutex<Option<Fault>> = Mutex::new(None);
    threads::for_range(rows, (map::GRAIN / n.max(1)).max(1), &|range| {
        for row in range {
            // SAFETY: `x` has rows * n contiguous elements, `out` rows * samples, and each row is its own.
            let (weights, out) = unsafe {
                (
                    std::slice::from_raw_parts((from as *const T).add(row * n), n),
                    std::slice::from_raw_parts_mut((to as *mut i64).add(row * samples), samples),
                )
            };
            let done = if replacement {
                look_up(weights, &uniforms[row * samples..][..samples], out)
            } else {
                race(weights, &T::exponentials(place, row * n, n), out)
            };
            if let Err(e) = done {
                let mut worst = fault.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = (*worst).max(Some(e));
            }
        }
    });
    let fault = fault.into_inner().unwrap_or_else(PoisonError::into_inner);
    fault.map_or(Ok(()), |f| Err(f.error()))
}

fn check<T: Real>(weights: &[T]) -> Checked {
    let zero = T::default();
    let valid = |w: &T| *w >= zero && w.to_f64() < f64::INFINITY;
    if !weights.iter().all(valid) {
        return Err(Fault::Invalid);
    }
    if weights.iter().all(|&w| w == zero) { Err(Fault::Zero) } else { Ok(()) }
}

fn look_up<T: Real>(weights: &[T], uniforms: &[T], out: &mut [i64]) -> Checked {
    check(weights)?;
    let size = weights.len().div_ceil(CHUNKS);
    // ends[k] is the sum of the chunks up to and with k, sums[j] that of the weights up to and with j.
    let (mut ends, mut sums) = (Vec::with_capacity(CHUNKS), Vec::with_capacity(weights.len()));
    let mut before = T::default();
    for chunk in weights.chunks(size) {
        let mut inside = T::default();
        let mut running = before;
        for &w in chunk {
            inside = inside + w;
            running = running + w;
            sums.push(running);
        }
        before = before + inside;
        ends.push(before);
    }
    let last_end = ends.partition_point(|&end| end < before);
    for (&u, out) in uniforms.iter().zip(out) {
        let target = u * before;
        let k = ends.partition_point(|&end| end <= target).min(last_end);
        let chunk = &sums[k * size..((k + 1) * size).min(sums.len())];
        // The sums inside a chunk are rounded otherwise than its end: then it is the chunk's last weight above 0.
        let last = chunk.len() - 1;
        let j = chunk.partition_point(|&sum| sum <= target);
        let j = if j > last { chunk.partition_point(|&sum| sum < chunk[last]) } else { j };
        *out = (k * size + j) as i64;
    }
    Ok(())
}

fn race<T: Real>(weights: &[T], exponentials: &[T], out: &mut [i64]) -> Checked {
    check(weights)?;
    let zero = T::default();
    let mut arrivals: Vec<(T, u32)> = weights
        .iter()
        .zip(exponentials)
        .enumerate()
        .filter(|(_, (w, _))| **w > zero)
        .map(|(j, (&w, &e))| (e / w, j as u32))
        .collect();
    if arrivals.len() < out.len() {
        return Err(Fault::TooFew);
    }
    // No arrival is NaN: both numbers are positive and the weight is finite.
    let order = |a: &(T, u32), b: &(T, u32)| {
        a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal).then(a.1.cmp(&b.1))
    };
    arrivals.select_nth_unstable_by(out.len() - 1, order);
    arrivals.truncate(out.len());
    arrivals.sort_unstable_by(order);
    for (out, (_, j)) in out.iter_mut().zip(arrivals) {
        *out = j.into();
    }
    Ok(())
}
