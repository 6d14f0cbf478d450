//! Random tensors. Each row is a pure function of `seed` and `offset`, a place in a stream of Philox blocks
//! (see `rng`), so that a recorded call can be replayed. The bindings take places from a generator with
//! `Generator::take` and the number of blocks that the functions below tell.
//!
//! Integers and uniforms have equal bits on CPU and GPU. Normals have equal bits on all CPUs and differ on a GPU
//! by at most 4 ulp of the larger of the pair's two values and `mean`, where its division and square root are exact.

mod cpu;
mod discrete;
mod gpu;
mod multinomial;
#[cfg(test)]
mod tests;

use super::create::shape_of;
use super::{Attr, Call, OpDef, Spec, Specs, cast};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::rng;
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::smallvec;

pub use discrete::{BERNOULLI, EXPONENTIAL};
pub use multinomial::MULTINOMIAL;

pub static OPS: &[&OpDef] =
    &[&BITS, &UNIFORM, &NORMAL, &INT, &PERMUTATION, &BERNOULLI, &EXPONENTIAL, &MULTINOMIAL];

const NO_GRAD: &str = "a draw does not depend on a tensor";

/// The blocks that `n` uniforms or normals of this dtype use up.
pub fn float_blocks(n: usize, dtype: DType) -> u64 {
    rng::blocks(n, if dtype == DType::F64 { 2 } else { 1 })
}

/// The blocks that `n` integers from `low` to `last` use up.
pub fn int_blocks(n: usize, low: i64, last: i64) -> u64 {
    rng::blocks(n, if is_narrow(low, last) { 2 } else { 4 })
}

/// The blocks that a permutation of `n` numbers uses up.
pub fn permutation_blocks(n: usize) -> u64 {
    rng::blocks(n, 2)
}

/// The blocks that `multinomial` uses up for probabilities of this shape.
pub fn multinomial_blocks(input: &Tensor, num_samples: usize, replacement: bool) -> u64 {
    let n = input.shape().last().copied().unwrap_or(1).max(1);
    let draws =
        if replacement { (input.numel() / n).saturating_mul(num_samples) } else { input.numel() };
    float_blocks(draws, input.dtype())
}

/// Takes blocks from the default generator: the attributes `seed` and `offset` of a row.
pub fn reserve(blocks: u64) -> [Attr; 2] {
    rng::with_default(|g| [Attr::Int(g.seed as i64), Attr::Int(g.take(blocks) as i64)])
}

/// A place in a stream.
#[derive(Clone, Copy)]
struct Place {
    seed: u64,
    offset: u64,
}

impl Place {
    /// Reads the attributes `i` and `i + 1`.
    fn of(c: &Call, i: usize) -> Self {
        Self { seed: c.int(i) as u64, offset: c.int(i + 1) as u64 }
    }

    /// Further on by the blocks of `n` elements, `per` to a block.
    fn at(self, n: usize, per: usize) -> u64 {
        self.offset.wrapping_add((n / per) as u64)
    }
}

fn sized(c: &Call, dtype: DType) -> Result<Specs> {
    Ok(smallvec![Spec { shape: shape_of(c.ints(0))?, dtype }])
}

fn float_dtype(c: &Call, i: usize) -> Result<DType> {
    match c.dtype(i).unwrap_or(DType::F32) {
        d if d.is_float() => Ok(d),
        d => Err(Error::type_(format!("draws floats, dtype must not be {}", d.name()))),
    }
}

pub static BITS: OpDef = OpDef::kernel(
    "random_bits",
    "size: int[], seed: int, offset: int, device: device? = None",
    "Random words: uint32",
    |c| sized(c, DType::U32),
    |c, o| {
        let place = Place::of(c, 1);
        // SAFETY: `o[0]` is fresh, contiguous and of uint32.
        unsafe { rng::fill_u32(place.seed, place.offset, o[0].ptr(), o[0].numel()) };
        Ok(())
    },
)
.gpu(|c, o| gpu::draw(&o[0], &gpu::WORDS, Place::of(c, 1), [0; 4]))
.no_grad(NO_GRAD)
.public("random_")
.private();

pub static UNIFORM: OpDef = OpDef::kernel(
    "random_uniform",
    "size: int[], low: float, high: float, seed: int, offset: int, dtype: dtype? = None, device: device? = None",
    "Uniform numbers from low up to but without high",
    |c| {
        let (low, high) = (c.float(1), c.float(2));
        let dtype = float_dtype(c, 5)?;
        if !(low <= high && rounded(high - low, dtype).is_finite()) {
            return Err(Error::runtime(format!(
                "expects a range [from, to) of finite width, got from={low} and to={high}"
            )));
        }
        sized(c, dtype)
    },
    |c, o| {
        cpu::uniform(&o[0], c.float(1), c.float(2), Place::of(c, 3));
        Ok(())
    },
)
.gpu(|c, o| {
    let dtype = o[0].dtype();
    let (low, high) = (c.float(1) as f32, c.float(2) as f32);
    let ends = [rounded(c.float(1), dtype), rounded(c.float(2), dtype)].map(|v| v as f32);
    let params = [low, high - low, ends[0], ends[1]].map(f32::to_bits);
    gpu::draw(&o[0], gpu::uniform(dtype), Place::of(c, 3), params)
})
.no_grad(NO_GRAD)
.public("uniform")
.private();

pub static NORMAL: OpDef = OpDef::kernel(
    "random_normal",
    "size: int[], mean: float, std: float, seed: int, offset: int, dtype: dtype? = None, device: device? = None",
    "Normal numbers",
    |c| {
        let (dtype, std) = (float_dtype(c, 5)?, c.float(2));
        // A NaN is drawn from, as in PyTorch; only a negative width is refused.
        if std < 0.0 {
            return Err(Error::runtime(format!("expects std >= 0.0, but found std {std}")));
        }
        sized(c, dtype)
    },
    |c, o| {
        cpu::normal(&o[0], c.float(1), c.float(2), Place::of(c, 3));
        Ok(())
    },
)
.gpu(|c, o| {
    let params = [(c.float(1) as f32).to_bits(), (c.float(2) as f32).to_bits(), 0, 0];
    gpu::draw(&o[0], gpu::normal(o[0].dtype()), Place::of(c, 3), params)
})
.no_grad(NO_GRAD)
.public("normal")
.private();

pub static INT: OpDef = OpDef::kernel(
    "random_int",
    "size: int[], low: int, last: int, seed: int, offset: int, dtype: dtype? = None, device: device? = None",
    "Integers from low to last, both included",
    |c| {
        let (low, last) = (c.int(1), c.int(2));
        let dtype = c.dtype(5).unwrap_or(DType::I64);
        if low > last {
            return Err(Error::runtime(format!(
                "expects 'from' to be less than 'to', but got from={low} >= to={}",
                i128::from(last) + 1
            )));
        }
        if let Some((lo, hi)) = dtype.int_range() {
            for end in [low, last] {
                if !(lo..=hi).contains(&end.into()) {
                    return Err(Error::runtime(format!("{end} is out of bounds for {}", dtype.name())));
                }
            }
        }
        sized(c, dtype)
    },
    |c, o| {
        cpu::int(&o[0], c.int(1), c.int(2), Place::of(c, 3));
        Ok(())
    },
)
.gpu(|c, o| {
    let (low, last) = (c.int(1), c.int(2));
    // 2^64 values wrap to 0, which the kernel knows.
    let count = last.abs_diff(low).wrapping_add(1);
    let halves = |v: u64| [v as u32, (v >> 32) as u32];
    let ([a, b], [x, y]) = (halves(low as u64), halves(count));
    let kind = if is_narrow(low, last) { &gpu::NARROW } else { &gpu::WIDE };
    let place = Place::of(c, 3);
    if o[0].dtype() == DType::I64 {
        return gpu::draw(&o[0], kind, place, [a, b, x, y]);
    }
    let whole = Tensor::empty(o[0].shape(), DType::I64, Device::Gpu)?;
    gpu::draw(&whole, kind, place, [a, b, x, y])?;
    cast::raw_copy(&whole, &o[0])
})
.no_grad(NO_GRAD)
.public("randint")
.private();

/// A permutation for the GPU is made on the CPU, because each step needs the one before.
pub static PERMUTATION: OpDef = OpDef::kernel(
    "random_permutation",
    "n: int, seed: int, offset: int, dtype: dtype? = None, device: device? = None",
    "The numbers from 0 to n - 1 in random order",
    |c| {
        let (n, dtype) = (c.int(0), c.dtype(3).unwrap_or(DType::I64));
        // The largest n whose numbers this dtype holds without rounding.
        let most = match dtype {
            DType::F16 => 1 << 11,
            DType::BF16 => 1 << 8,
            DType::F32 => 1 << 24,
            DType::F64 => 1 << 53,
            d => d.int_range().map_or(0, |(_, hi)| hi + 1),
        };
        if n < 0 || i128::from(n) > most {
            return Err(Error::runtime(format!(
                "n must be from 0 to {most} for {}, got {n}",
                dtype.name()
            )));
        }
        sized(c, dtype)
    },
    |c, o| {
        let whole = cpu::permutation(o[0].numel(), Place::of(c, 1))?;
        cast::raw_copy(&whole, &o[0])
    },
)
.gpu(|c, o| cast::raw_copy(&cpu::permutation(o[0].numel(), Place::of(c, 1))?, &o[0]))
.no_grad(NO_GRAD)
.public("randperm")
.private();

/// Whether two words of a block are enough for an element.
fn is_narrow(low: i64, last: i64) -> bool {
    last.abs_diff(low) >> 32 == 0
}

/// The value as this dtype holds it.
fn rounded(v: f64, dtype: DType) -> f64 {
    use crate::dtype::Element;
    crate::with_dtype!(dtype, T => Element::to_f64(<T as Element>::from_f64(v)))
}
