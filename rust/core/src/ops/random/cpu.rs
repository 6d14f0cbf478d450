//! Draws on the CPU: raw numbers by `rng`, a tile at a time, converted while they are in the first cache level.

use super::Place;
use crate::cpu::simd::{Isa, isa};
use crate::cpu::{map, threads};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::rng;
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::with_dtype;
use half::{bf16, f16};

/// Elements of a tile; whole blocks, whatever an element uses.
const TILE: usize = 1024;

/// `fill(i, buffer, n)` draws the elements from `i` on; `make` turns each into one of the result.
fn draw<R: Element, T: Element>(
    out: &Tensor,
    fill: impl Fn(usize, *mut R, usize) + Sync,
    make: impl Fn(R) -> T + Sync,
) {
    let to = out.ptr::<T>() as usize;
    threads::for_range(out.numel(), map::GRAIN, &|range| {
        let mut raw = [R::default(); TILE];
        for start in range.clone().step_by(TILE) {
            let n = TILE.min(range.end - start);
            fill(start, raw.as_mut_ptr(), n);
            // SAFETY: `out` is fresh, contiguous, of type T and has start + n elements.
            unsafe { convert(&raw[..n], (to as *mut T).add(start), &make) };
        }
    });
}

/// The conversion, with vectors of this machine's width; the results do not depend on it.
unsafe fn convert<R: Element, T: Element>(raw: &[R], out: *mut T, make: &impl Fn(R) -> T) {
    #[inline(always)]
    unsafe fn each<R: Element, T: Element>(raw: &[R], out: *mut T, make: &impl Fn(R) -> T) {
        for (i, &r) in raw.iter().enumerate() {
            // SAFETY: the caller has as many elements at `out` as raw ones.
            unsafe { out.add(i).write(make(r)) };
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        unsafe fn avx2<R: Element, T: Element>(raw: &[R], out: *mut T, make: &impl Fn(R) -> T) {
            // SAFETY: passed on.
            unsafe { each(raw, out, make) }
        }
        if matches!(isa(), Isa::Avx2 | Isa::Avx512) {
            // SAFETY: passed on, and the machine has AVX2.
            return unsafe { avx2(raw, out, make) };
        }
    }
    // SAFETY: passed on.
    unsafe { each(raw, out, make) }
}

/// Uniform from `low` up to `high`; a result that was rounded up to `high` becomes `low`.
pub(super) fn uniform(out: &Tensor, low: f64, high: f64, p: Place) {
    let (low32, high32) = (low as f32, high as f32);
    let width = high32 - low32;
    match out.dtype() {
        DType::F64 => {
            let width = high - low;
            let fill = |i, to, n| unsafe { rng::fill_uniform_f64(p.seed, p.at(i, 2), to, n) };
            draw(out, fill, |u: f64| below(u * width + low, low, high));
        }
        DType::F16 => {
            let ends = (f16::from_f32(low32), f16::from_f32(high32));
            draw(out, words(p), |w: u32| {
                let u = (w >> 21) as f32 * (1.0 / 2048.0);
                below(f16::from_f32(u * width + low32), ends.0, ends.1)
            });
        }
        DType::BF16 => {
            let ends = (bf16::from_f32(low32), bf16::from_f32(high32));
            draw(out, words(p), |w: u32| {
                let u = (w >> 24) as f32 * (1.0 / 256.0);
                below(bf16::from_f32(u * width + low32), ends.0, ends.1)
            });
        }
        _ => {
            // SAFETY: `draw` passes a buffer of n elements; so in all fills here.
            let fill = |i, to, n| unsafe { rng::fill_uniform_f32(p.seed, p.at(i, 4), to, n) };
            draw(out, fill, |u: f32| below(u * width + low32, low32, high32));
        }
    }
}

#[inline(always)]
fn below<T: PartialOrd>(v: T, low: T, high: T) -> T {
    if v >= high { low } else { v }
}

fn words(p: Place) -> impl Fn(usize, *mut u32, usize) + Sync {
    // SAFETY: as above.
    move |i, to, n| unsafe { rng::fill_u32(p.seed, p.at(i, 4), to, n) }
}

pub(super) fn normal(out: &Tensor, mean: f64, std: f64, p: Place) {
    let (mean32, std32) = (mean as f32, std as f32);
    // SAFETY: as above.
    let single = |i, to, n| unsafe { rng::fill_normal_f32(p.seed, p.at(i, 4), to, n) };
    match out.dtype() {
        DType::F64 => {
            let fill = |i, to, n| unsafe { rng::fill_normal_f64(p.seed, p.at(i, 2), to, n) };
            draw(out, fill, |z: f64| z * std + mean);
        }
        DType::F16 => draw(out, single, |z: f32| f16::from_f32(z * std32 + mean32)),
        DType::BF16 => draw(out, single, |z: f32| bf16::from_f32(z * std32 + mean32)),
        _ => draw(out, single, |z: f32| z * std32 + mean32),
    }
}

pub(super) fn int(out: &Tensor, low: i64, last: i64, p: Place) {
    let per = if super::is_narrow(low, last) { 2 } else { 1 };
    let fill = |i, to, n| {
        // SAFETY: as above; `infer` has compared the bounds.
        unsafe { rng::fill_randint(p.seed, p.at(i, per), low, last, to, n) };
    };
    with_dtype!(out.dtype(), T => draw(out, fill, |v: i64| T::from_i64(v)));
}

pub(super) fn permutation(n: usize, p: Place) -> Result<Tensor> {
    let out = Tensor::empty(&[n], DType::I64, Device::Cpu)?;
    // SAFETY: `out` has n elements of int64.
    unsafe { rng::randperm(p.seed, p.offset, out.ptr(), n) };
    Ok(out)
}
