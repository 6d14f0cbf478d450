//! Dropout: an element's word of the random stream decides whether it stays. The gradient draws the same words again
//! from the same place, so that nothing is saved.

use super::expr::t;
use super::random::{float_blocks, reserve};
use super::{Bind, Call, OpDef, Spec, cast};
use crate::apply::call;
use crate::autograd::Vjp;
use crate::cpu::simd::{Isa, isa};
use crate::cpu::{map, threads};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::gpu::Kernel;
use crate::rng;
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] = &[&DROPOUT, &SEEDED];

pub static DROPOUT: OpDef = OpDef::composed(
    "dropout",
    "input: Tensor, p: float = 0.5, training: bool = True",
    "Zeroes elements with probability p and scales the others by 1 / (1 - p)",
    |c| {
        let (x, p) = (c.x(0), c.float(0));
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::value(format!(
                "dropout probability has to be between 0 and 1, but got {p}"
            )));
        }
        if !c.flag(1) || p == 0.0 {
            return Ok(smallvec![x.clone()]);
        }
        if p == 1.0 {
            return Ok(smallvec![t::scale(x, 0.0)?]);
        }
        let [seed, offset] = reserve(float_blocks(x.numel(), DType::F32));
        Ok(smallvec![call(&SEEDED, &[x], &[p.into(), seed, offset])?])
    },
)
.bind(Bind::FUNCTION);

pub static SEEDED: OpDef = OpDef::kernel(
    "dropout_seeded",
    "input: Tensor, p: float, seed: int, offset: int",
    "Dropout by the words from a place in the random stream, one for each element",
    |c| {
        let (x, p) = (c.x(0), c.float(0));
        if !(0.0..1.0).contains(&p) {
            return Err(Error::value(format!("p must be at least 0 and below 1, got {p}")));
        }
        if !x.dtype().is_float() {
            return Err(Error::type_(format!("expects a float tensor, got {}", x.dtype().name())));
        }
        Ok(smallvec![Spec::like(x)])
    },
    |c, o| through(c, &o[0], if o[0].dtype() == DType::F64 { DType::F64 } else { DType::F32 }),
)
.gpu(|c, o| through(c, &o[0], DType::F32))
.vjp(|v| Vjp::only(call(&SEEDED, &[&v.g(0)?], v.attrs)), 0, 0)
.public("dropout")
.private();

/// Runs in a dtype that the kernels know; half types are cast on the way in and out.
fn through(c: &Call, out: &Tensor, dtype: DType) -> Result<()> {
    let x = cast::dense(c.x(0), dtype)?;
    let native = out.dtype() == dtype;
    let y = if native { out.detach() } else { Tensor::empty(out.shape(), dtype, out.device())? };
    match (out.device(), dtype) {
        (Device::Gpu, _) => on_gpu(c, &x, &y)?,
        (_, DType::F64) => on_cpu::<f64>(c, &x, &y),
        _ => on_cpu::<f32>(c, &x, &y),
    }
    if native { Ok(()) } else { cast::raw_copy(&y, out) }
}

/// Words below this are dropped: a share of p, exact to 2^-32.
fn limit(p: f64) -> u32 {
    (p * 4_294_967_296.0).round().min(f64::from(u32::MAX)) as u32
}

fn on_cpu<T: Element + std::ops::Mul<Output = T>>(c: &Call, x: &Tensor, out: &Tensor) {
    const TILE: usize = 1024;
    let p = c.float(0);
    let (limit, scale) = (limit(p), T::from_f64(1.0 / (1.0 - p)));
    let (seed, offset) = (c.int(1) as u64, c.int(2) as u64);
    let (from, to) = (x.ptr::<T>() as usize, out.ptr::<T>() as usize);
    let kernel = keep_tile::<T>();
    threads::for_range(x.numel(), map::GRAIN, &|range| {
        let mut words = [0u32; TILE];
        for start in range.clone().step_by(TILE) {
            let n = TILE.min(range.end - start);
            let block = offset.wrapping_add((start / 4) as u64);
            // SAFETY: the tile has n words, `x` and `out` have start + n contiguous elements.
            unsafe {
                rng::fill_u32(seed, block, words.as_mut_ptr(), n);
                let (x, out) = ((from as *const T).add(start), (to as *mut T).add(start));
                kernel(&words[..n], limit, scale, x, out);
            }
        }
    });
}

type Tile<T> = unsafe fn(&[u32], u32, T, *const T, *mut T);

#[inline(always)]
unsafe fn keep_elements<T: Element + std::ops::Mul<Output = T>>(
    words: &[u32],
    limit: u32,
    scale: T,
    x: *const T,
    out: *mut T,
) {
    for (i, &w) in words.iter().enumerate() {
        // SAFETY: the caller has as many elements as words.
        unsafe {
            let kept = *x.add(i) * scale;
            out.add(i).write(if w >= limit { kept } else { T::default() });
        }
    }
}

/// The loop compiled for this machine's vectors; the results do not depend on it.
fn keep_tile<T: Element + std::ops::Mul<Output = T>>() -> Tile<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        unsafe fn avx2<T: Element + std::ops::Mul<Output = T>>(
            words: &[u32],
            limit: u32,
            scale: T,
            x: *const T,
            out: *mut T,
        ) {
            // SAFETY: passed on.
            unsafe { keep_elements(words, limit, scale, x, out) }
        }
        if matches!(isa(), Isa::Avx2 | Isa::Avx512) {
            return avx2::<T>;
        }
    }
    keep_elements::<T>
}

const WGSL: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let block = linear_group(group, groups) * 256u + lane;
    let n = param(5u);
    let first = block * 4u;
    if (first >= n) {
        return;
    }
    let counter = add_l(vec2<u32>(param(2u), param(3u)), vec2<u32>(block, 0u));
    let words = philox(vec4<u32>(counter, 0u, 0u), vec2<u32>(param(0u), param(1u)));
    for (var i = 0u; i < 4u && first + i < n; i++) {
        let kept = x[param(7u) + first + i] * paramf(6u);
        out[param(8u) + first + i] = select(0.0, kept, words[i] >= param(4u));
    }
}
";

fn on_gpu(c: &Call, x: &Tensor, out: &Tensor) -> Result<()> {
    let p = c.float(0);
    let (seed, offset) = (c.int(1) as u64, c.int(2) as u64);
    let n = x.numel();
    let params = [
        seed as u32,
        (seed >> 32) as u32,
        offset as u32,
        (offset >> 32) as u32,
        limit(p),
        n as u32,
        (1.0 / (1.0 - p) as f32).to_bits(),
        x.layout().offset as u32,
        out.layout().offset as u32,
    ];
    let gpu = out.buffer().gpu();
    let kernel = Kernel { key: "dropout", source: &|| WGSL.to_owned() };
    let groups = gpu.fold_groups(n.div_ceil(1024) as u64);
    gpu.dispatch(&kernel, &[x.buffer(), out.buffer()], &params, groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::backward;
    use crate::gpu::Gpu;

    fn seeded(x: &Tensor, p: f64) -> Result<Tensor> {
        call(&SEEDED, &[x], &[p.into(), 9i64.into(), 4i64.into()])
    }

    fn ones(n: usize, dtype: DType) -> Tensor {
        cast::full(&[n], 1.0, dtype, Device::Cpu).unwrap()
    }

    #[test]
    fn drops_the_asked_share_and_scales_the_rest() {
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            for p in [0.0, 0.1, 0.75] {
                let y = seeded(&ones(40_001, dtype), p).unwrap();
                assert_eq!(y.dtype(), dtype);
                let y = y.to_vec::<f64>().unwrap();
                let kept: Vec<f64> = y.into_iter().filter(|&v| v != 0.0).collect();
                assert!((kept.len() as f64 - 40_001.0 * (1.0 - p)).abs() < 450.0);
                assert!(kept.iter().all(|v| (v * (1.0 - p) - 1.0).abs() < 0.01));
            }
        }
    }

    #[test]
    fn strided_inputs_get_the_mask_of_their_shape() {
        let x =
            Tensor::from_slice(&(1..=12).map(|v| v as f32).collect::<Vec<_>>(), &[3, 4]).unwrap();
        let turned = super::super::view::transpose(&x, 0, 1).unwrap();
        let (a, b) =
            (seeded(&turned, 0.5).unwrap(), seeded(&cast::copy(&turned).unwrap(), 0.5).unwrap());
        assert_eq!(a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    }

    #[test]
    fn the_gradient_has_the_same_mask() {
        let x = ones(1000, DType::F32);
        x.set_requires_grad(true).unwrap();
        let y = call(&DROPOUT, &[&x], &[0.3.into(), true.into()]).unwrap();
        let g =
            backward(&[(y.clone(), Some(ones(1000, DType::F32)))], Some(&[x]), true, true).unwrap();
        let g = g[0].clone().unwrap();
        assert_eq!(g.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
    }

    #[test]
    fn each_call_draws_anew_and_a_seed_repeats_it() {
        let x = ones(100, DType::F32);
        let drop =
            || call(&DROPOUT, &[&x], &[0.5.into(), true.into()]).unwrap().to_vec::<f32>().unwrap();
        rng::manual_seed(5);
        let (a, b) = (drop(), drop());
        assert_ne!(a, b);
    }

    #[test]
    fn the_ends_of_p_and_evaluation() {
        let x = ones(10, DType::F32);
        let drop = |p: f64, on: bool| call(&DROPOUT, &[&x], &[p.into(), on.into()]);
        assert_eq!(drop(1.0, true).unwrap().to_vec::<f32>().unwrap(), [0.0; 10]);
        assert!(drop(0.0, true).unwrap().same_storage(&x));
        assert!(drop(0.5, false).unwrap().same_storage(&x));
        for p in [-0.1, 1.1, f64::NAN] {
            assert_eq!(drop(p, true).err().unwrap().kind, crate::error::Kind::Value);
        }
        assert_eq!(limit(0.999_999_999_999), u32::MAX);
    }

    #[test]
    fn the_gpu_drops_the_same_elements() {
        if Gpu::adapters().is_empty() {
            return;
        }
        let x =
            Tensor::from_slice(&(0..5003).map(|v| v as f32 * 0.37).collect::<Vec<_>>(), &[5003])
                .unwrap();
        let y = seeded(&cast::to_device(&x, Device::Gpu).unwrap(), 0.3).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), seeded(&x, 0.3).unwrap().to_vec::<f32>().unwrap());
    }
}
