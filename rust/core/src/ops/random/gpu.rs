//! Draws on the GPU: one thread per Philox block.

use super::Place;
use super::multinomial::Fault;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Kernel;
use crate::ops::cast;
use crate::storage::Device;
use crate::tensor::Tensor;

/// How the words of a block become words of the result.
pub(super) struct Kind {
    key: &'static str,
    /// Words of the result that a block makes.
    per: u32,
    /// The body of `make(w: vec4<u32>) -> vec4<u32>`.
    make: &'static str,
}

pub(super) static WORDS: Kind = Kind { key: "random.words", per: 4, make: "return w;" };
pub(super) static NARROW: Kind =
    Kind { key: "random.narrow", per: 4, make: "return vec4<u32>(narrow(w.xy), narrow(w.zw));" };
pub(super) static WIDE: Kind =
    Kind { key: "random.wide", per: 2, make: "return vec4<u32>(wide(w), 0u, 0u);" };

/// For float32, float16 or bfloat16.
pub(super) fn uniform(dtype: DType) -> &'static Kind {
    static KINDS: [Kind; 3] = [
        Kind {
            key: "random.uniform.f32",
            per: 4,
            make: "return bitcast<vec4<u32>>(below(affine(vec4<f32>(w >> vec4<u32>(8u)) * 5.9604644775390625e-8)));",
        },
        Kind {
            key: "random.uniform.f16",
            per: 2,
            make: "return f16_pairs(below(f16_rounded(affine(vec4<f32>(w >> vec4<u32>(21u)) * 0.00048828125))));",
        },
        Kind {
            key: "random.uniform.bf16",
            per: 2,
            make: "return bf16_pairs(below(bf16_rounded(affine(vec4<f32>(w >> vec4<u32>(24u)) * 0.00390625))));",
        },
    ];
    of_dtype(&KINDS, dtype)
}

/// For float32, float16 or bfloat16.
pub(super) fn normal(dtype: DType) -> &'static Kind {
    static KINDS: [Kind; 3] = [
        Kind { key: "random.normal.f32", per: 4, make: "return bitcast<vec4<u32>>(gauss(w));" },
        Kind { key: "random.normal.f16", per: 2, make: "return f16_pairs(gauss(w));" },
        Kind { key: "random.normal.bf16", per: 2, make: "return bf16_pairs(gauss(w));" },
    ];
    of_dtype(&KINDS, dtype)
}

fn of_dtype(kinds: &'static [Kind; 3], dtype: DType) -> &'static Kind {
    match dtype {
        DType::F16 => &kinds[1],
        DType::BF16 => &kinds[2],
        _ => &kinds[0],
    }
}

/// Fills a fresh result. The kernel stops at the end of the buffer, which is a whole number of words.
pub(super) fn draw(out: &Tensor, kind: &Kind, place: Place, params: [u32; 4]) -> Result<()> {
    let words = (out.numel() * out.dtype().size()).div_ceil(4) as u64;
    let blocks = words.div_ceil(u64::from(kind.per));
    let gpu = out.buffer().gpu();
    let source = || {
        format!(
            "{}const PER = {}u;\nfn make(w: vec4<u32>) -> vec4<u32> {{ {} }}\n",
            include_str!("random.wgsl"),
            kind.per,
            kind.make
        )
    };
    let Place { seed, offset } = place;
    let [a, b, c, d] = params;
    let [seed, seed_high, offset, offset_high] =
        [seed, seed >> 32, offset, offset >> 32].map(|v| v as u32);
    let all = [seed, seed_high, offset, offset_high, a, b, c, d];
    let groups = gpu.fold_groups(blocks.div_ceil(256));
    gpu.dispatch(&Kernel { key: kind.key, source: &source }, &[out.buffer()], &all, groups)
}

/// Categories by weight: all draws at once with replacement, else one dispatch for each.
pub(super) fn multinomial(x: &Tensor, out: &Tensor, replacement: bool, place: Place) -> Result<()> {
    let x = cast::dense(x, DType::F32)?;
    let samples = out.shape()[out.ndim() - 1];
    let rows = out.numel() / samples;
    if rows == 0 {
        return Ok(());
    }
    let n = x.shape()[x.ndim() - 1];
    let gpu = out.buffer().gpu();
    let Place { seed, offset } = place;
    let mut params = [
        seed as u32,
        (seed >> 32) as u32,
        offset as u32,
        (offset >> 32) as u32,
        n as u32,
        samples as u32,
        rows as u32,
        x.layout().offset as u32,
        0,
    ];
    let status = Tensor::zeros(&[1], DType::U32, Device::Gpu)?;
    if replacement {
        let source =
            || concat!(include_str!("weights.wgsl"), include_str!("look_up.wgsl")).to_owned();
        let kernel = Kernel { key: "random.look_up", source: &source };
        let buffers = [x.buffer(), out.buffer(), status.buffer()];
        gpu.dispatch(&kernel, &buffers, &params, gpu.fold_groups((rows * samples) as u64))?;
    } else {
        let arrivals = Tensor::empty(&[rows], DType::F32, Device::Gpu)?;
        let source = || concat!(include_str!("weights.wgsl"), include_str!("race.wgsl")).to_owned();
        let kernel = Kernel { key: "random.race", source: &source };
        let buffers = [x.buffer(), out.buffer(), status.buffer(), arrivals.buffer()];
        for sample in 0..samples {
            params[8] = sample as u32;
            gpu.dispatch(&kernel, &buffers, &params, gpu.fold_groups(rows as u64))?;
        }
    }
    let code = status.to_vec::<u32>()?[0];
    Fault::of_code(code).map_or(Ok(()), |fault| Err(fault.error()))
}
