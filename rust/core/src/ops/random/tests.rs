use super::*;
use crate::apply::call;
use crate::error::Kind;
use crate::gpu::Gpu;

const ON_GPU: Attr = Attr::Device(Device::Gpu);

fn gpu() -> bool {
    !Gpu::adapters().is_empty()
}

fn bits(t: &Tensor) -> Vec<u64> {
    match t.dtype() {
        DType::F64 => t.to_vec::<f64>().unwrap().iter().map(|v| v.to_bits()).collect(),
        DType::I64 => t.to_vec::<i64>().unwrap().iter().map(|&v| v as u64).collect(),
        DType::U32 => t.to_vec::<u32>().unwrap().iter().map(|&v| v.into()).collect(),
        _ => t.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits().into()).collect(),
    }
}

/// A row with three leading attributes, from a far and awkward place.
fn drawn(op: &'static OpDef, a: [Attr; 3], dtype: DType, device: &Attr) -> Result<Tensor> {
    let [size, x, y] = a;
    let place = [Attr::Int(-7_000_000_000), Attr::Int(i64::from(u32::MAX) - 2)];
    let [seed, offset] = place;
    call(op, &[], &[size, x, y, seed, offset, dtype.into(), device.clone()])
}

fn size(n: i64) -> Attr {
    [n].as_slice().into()
}

#[test]
fn uniforms_stay_below_the_upper_end() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for (low, high) in [(0.0, 1.0), (-3.0, 5.0), (1000.0, 1000.5), (2.0, 2.0)] {
            let t =
                drawn(&UNIFORM, [size(5000), low.into(), high.into()], dtype, &Attr::None).unwrap();
            let v = t.to_vec::<f64>().unwrap();
            assert!(v.iter().all(|&v| v >= low && (v < high || low == high)), "{dtype:?} {low}");
            // Half types have no number between 1000 and 1000.5.
            let mean = v.iter().sum::<f64>() / 5000.0;
            let fine = dtype.size() > 2 || high < 10.0;
            let off = (mean - f64::midpoint(low, high)).abs();
            assert!(!fine || off <= 0.05 * (high - low), "{dtype:?} {mean}");
        }
    }
    let whole =
        drawn(&UNIFORM, [size(40_003), 0.0.into(), 1.0.into()], DType::F32, &Attr::None).unwrap();
    let mut plain = vec![0f32; 40_003];
    let (seed, offset) = (-7_000_000_000i64 as u64, u64::from(u32::MAX) - 2);
    // SAFETY: the buffer has that many elements.
    unsafe { rng::fill_uniform_f32(seed, offset, plain.as_mut_ptr(), plain.len()) };
    assert_eq!(whole.to_vec::<f32>().unwrap(), plain);
}

#[test]
fn normals_have_their_mean_and_width() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let t = drawn(&NORMAL, [size(20_000), 3.0.into(), 0.5.into()], dtype, &Attr::None).unwrap();
        let v = t.to_vec::<f64>().unwrap();
        let mean = v.iter().sum::<f64>() / 2e4;
        let var = v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2e4;
        assert!((mean - 3.0).abs() < 0.02 && (var - 0.25).abs() < 0.02, "{dtype:?} {mean} {var}");
    }
}

#[test]
fn integers_of_every_dtype_cover_their_range() {
    for dtype in crate::dtype::ALL {
        let (low, last) = if dtype.is_signed() { (-1i64, 1i64) } else { (0, 1) };
        let t = drawn(&INT, [size(999), low.into(), last.into()], dtype, &Attr::None).unwrap();
        let mut v = t.to_vec::<i64>().unwrap();
        assert_eq!(t.dtype(), dtype);
        v.sort_unstable();
        v.dedup();
        assert!(v.into_iter().eq(low..=last), "{dtype:?}");
    }
    let t = drawn(&INT, [size(99), i64::MIN.into(), i64::MAX.into()], DType::I64, &Attr::None);
    assert!(t.unwrap().to_vec::<i64>().unwrap().iter().any(|v| v.unsigned_abs() > 1 << 61));
}

#[test]
fn permutations_hold_each_number_once() {
    for (n, dtype) in [(0, DType::I64), (1000, DType::I32), (200, DType::U8), (2048, DType::F16)] {
        let attrs = [Attr::Int(n), 5i64.into(), 9i64.into(), dtype.into()];
        let mut v = call(&PERMUTATION, &[], &attrs).unwrap().to_vec::<i64>().unwrap();
        assert!(n < 100 || !v.is_sorted());
        v.sort_unstable();
        assert!(v.into_iter().eq(0..n));
    }
    let attrs = [300i64.into(), 5i64.into(), 9i64.into(), DType::U8.into()];
    assert!(call(&PERMUTATION, &[], &attrs).is_err());
}

#[test]
fn bad_arguments_are_refused() {
    let refused = |op, a: [Attr; 3], dtype| drawn(op, a, dtype, &Attr::None).err().unwrap().kind;
    let (f, i) = (DType::F32, DType::U8);
    assert_eq!(refused(&UNIFORM, [size(1), 1.0.into(), 0.0.into()], f), Kind::Runtime);
    assert_eq!(refused(&UNIFORM, [size(1), f64::NAN.into(), 0.0.into()], f), Kind::Runtime);
    assert_eq!(refused(&UNIFORM, [size(1), (-3e38).into(), 3e38.into()], f), Kind::Runtime);
    assert_eq!(refused(&UNIFORM, [size(1), 0.0.into(), 1.0.into()], i), Kind::Type);
    assert_eq!(refused(&NORMAL, [size(1), 0.0.into(), (-1.0).into()], f), Kind::Runtime);
    assert_eq!(refused(&INT, [size(1), 5i64.into(), 4i64.into()], i), Kind::Runtime);
    assert_eq!(refused(&INT, [size(1), 0i64.into(), 256i64.into()], i), Kind::Runtime);
    assert_eq!(refused(&UNIFORM, [size(-1), 0.0.into(), 1.0.into()], f), Kind::Runtime);
}

#[test]
fn the_gpu_draws_the_same_words_integers_and_uniforms() {
    if !gpu() {
        return;
    }
    for n in [1, 3, 4, 7, 1025, 70_001] {
        let words = |device: Attr| {
            let attrs = [size(n), Attr::Int(-3), Attr::Int(i64::from(u32::MAX) - 1), device];
            bits(&call(&BITS, &[], &attrs).unwrap())
        };
        assert_eq!(words(Attr::None), words(ON_GPU));
        for (low, high) in [(0.0, 1.0), (-0.3, 7.7)] {
            let draw = |device: &Attr| {
                bits(
                    &drawn(&UNIFORM, [size(n), low.into(), high.into()], DType::F32, device)
                        .unwrap(),
                )
            };
            assert_eq!(draw(&Attr::None), draw(&ON_GPU));
        }
        for (low, last) in
            [(-5, 5), (0, i64::from(u32::MAX)), (1, 1 << 32), (-9, 1 << 45), (i64::MIN, i64::MAX)]
        {
            let draw = |device: &Attr| {
                bits(&drawn(&INT, [size(n), low.into(), last.into()], DType::I64, device).unwrap())
            };
            assert_eq!(draw(&Attr::None), draw(&ON_GPU), "{low} {last}");
        }
    }
}

/// Reads the words of a buffer of halves without a cast.
fn raw_halves(t: &Tensor) -> Vec<u16> {
    let mut bytes = vec![0; t.numel() * 2];
    if t.device() == Device::Gpu {
        t.buffer().gpu().download(t.buffer(), 0, &mut bytes).unwrap();
    } else {
        // SAFETY: the tensor is contiguous and has that many bytes.
        unsafe { std::ptr::copy_nonoverlapping(t.byte_ptr(), bytes.as_mut_ptr(), bytes.len()) };
    }
    bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

#[test]
fn the_gpu_draws_the_same_halves() {
    if !gpu() {
        return;
    }
    for dtype in [DType::F16, DType::BF16] {
        for (low, high) in [(0.0, 1.0), (-0.3, 7.7), (100.0, 101.0)] {
            let draw = |device: &Attr| {
                raw_halves(
                    &drawn(&UNIFORM, [size(3001), low.into(), high.into()], dtype, device).unwrap(),
                )
            };
            assert_eq!(draw(&Attr::None), draw(&ON_GPU));
        }
    }
}

#[test]
fn the_gpu_draws_normals_within_four_ulp() {
    if !gpu() {
        return;
    }
    let draw = |device: &Attr| {
        let t =
            drawn(&NORMAL, [size(100_000), 0.0.into(), 1.0.into()], DType::F32, device).unwrap();
        t.to_vec::<f32>().unwrap()
    };
    let (cpu, gpu) = (draw(&Attr::None), draw(&ON_GPU));
    for (a, b) in cpu.chunks(2).zip(gpu.chunks(2)) {
        let unit = a[0].abs().max(a[1].abs()) * f32::EPSILON;
        assert!(
            (a[0] - b[0]).abs() <= 4.0 * unit && (a[1] - b[1]).abs() <= 4.0 * unit,
            "{a:?} {b:?}"
        );
    }
}

fn multinomial(w: &Tensor, samples: i64, replacement: bool, seed: i64) -> Result<Vec<i64>> {
    let attrs = [samples.into(), replacement.into(), seed.into(), 0i64.into()];
    call(&MULTINOMIAL, &[w], &attrs)?.to_vec()
}

#[test]
fn multinomial_follows_the_weights() {
    let weights = [0.0, 1.0, 2.0, 0.0, 5.0, 0.0];
    for dtype in [DType::F16, DType::F32, DType::F64] {
        let w = cast::to(&Tensor::from_slice(&weights, &[6]).unwrap(), dtype).unwrap();
        let picks = multinomial(&w, 80_000, true, 1).unwrap();
        for (j, weight) in weights.iter().enumerate() {
            let found = picks.iter().filter(|&&p| p == j as i64).count() as f64;
            assert!((found - weight * 1e4).abs() <= 5.0 * (weight * 1e4).sqrt(), "{j}: {found}");
        }
        let mut firsts = [0.0; 6];
        for seed in 0..4000 {
            let mut picks = multinomial(&w, 3, false, seed).unwrap();
            firsts[picks[0] as usize] += 1.0;
            picks.sort_unstable();
            assert_eq!(picks, [1, 2, 4]);
        }
        for (first, weight) in firsts.iter().zip(weights) {
            assert!((first - weight * 500.0).abs() <= 5.0 * (weight * 500.0f64).sqrt());
        }
    }
}

#[test]
fn multinomial_refuses_bad_weights() {
    let of = |w: &[f32]| Tensor::from_slice(w, &[w.len()]).unwrap();
    for (w, replacement, text) in [
        (&[1.0, -1.0][..], true, "< 0"),
        (&[1.0, f32::NAN], false, "nan"),
        (&[0.0, 0.0], true, "sum 0"),
        (&[0.0, 1.0, 0.0], false, "fewer"),
    ] {
        let cpu = multinomial(&of(w), 2, replacement, 0).err().unwrap();
        assert!(cpu.msg.contains(text), "{cpu}");
        if gpu() {
            let w = cast::to_device(&of(w), Device::Gpu).unwrap();
            let gpu = multinomial(&w, 2, replacement, 0).err().unwrap();
            assert_eq!(gpu.msg, cpu.msg);
        }
    }
    assert!(multinomial(&of(&[1.0]), 2, false, 0).is_err());
    assert!(multinomial(&of(&[1.0]), 0, true, 0).is_err());
    assert!(multinomial(&of(&[]), 1, true, 0).is_err());
}

#[test]
fn multinomial_picks_the_same_on_the_gpu() {
    if !gpu() {
        return;
    }
    for (rows, n) in [(1, 5), (3, 257), (2, 5000)] {
        let values: Vec<f32> = (0..rows * n)
            .map(|i| if i % 3 == 0 { 0.0 } else { (i * 37 % 101) as f32 * 0.01 + 0.1 })
            .collect();
        let cpu = Tensor::from_slice(&values, &[rows, n]).unwrap();
        let gpu = cast::to_device(&cpu, Device::Gpu).unwrap();
        for replacement in [true, false] {
            assert_eq!(
                multinomial(&cpu, 3, replacement, 4).unwrap(),
                multinomial(&gpu, 3, replacement, 4).unwrap()
            );
        }
    }
}

#[test]
fn bernoulli_and_exponential() {
    let place = [Attr::Int(3), Attr::Int(0)];
    let p = Tensor::from_slice(&[0.0f64, 1.0, 0.25, 0.25], &[2, 2]).unwrap();
    let draw = |p: &Tensor, q: Attr| {
        let [seed, offset] = place.clone();
        call(&BERNOULLI, &[p], &[q, seed, offset])
    };
    assert_eq!(draw(&p, Attr::None).unwrap().to_vec::<f64>().unwrap()[..2], [0.0, 1.0]);
    let many = Tensor::zeros(&[40_000], DType::I32, Device::Cpu).unwrap();
    let ones = draw(&many, 0.25.into()).unwrap();
    let sum: i64 = ones.to_vec::<i64>().unwrap().iter().sum();
    assert!((sum - 10_000).abs() < 440 && ones.dtype() == DType::I32);
    assert_eq!(draw(&many, Attr::None).err().unwrap().kind, Kind::Type);
    assert!(draw(&many, 1.5.into()).is_err());
    let bad = Tensor::from_slice(&[0.5f32, f32::NAN], &[2]).unwrap();
    assert_eq!(draw(&bad, Attr::None).err().unwrap().kind, Kind::Runtime);

    let [seed, offset] = place;
    let attrs = [size(40_000), 2.0.into(), seed, offset, DType::F32.into()];
    let v = call(&EXPONENTIAL, &[], &attrs).unwrap().to_vec::<f64>().unwrap();
    let mean = v.iter().sum::<f64>() / 4e4;
    assert!(v.iter().all(|&v| v > 0.0 && v.is_finite()) && (mean - 0.5).abs() < 0.0125);
}

#[test]
fn places_do_not_overlap() {
    rng::manual_seed(11);
    let [seed, first] = reserve(float_blocks(9, DType::F64));
    let [_, second] = reserve(int_blocks(3, 0, i64::MAX));
    let [_, third] = reserve(permutation_blocks(1));
    assert_eq!((seed, first, second, third), (11i64.into(), 0i64.into(), 5i64.into(), 8i64.into()));
}
