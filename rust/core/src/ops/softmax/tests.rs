use super::*;
use crate::cpu::threads;
use crate::gpu::Gpu;
use crate::ops::cast;
use crate::tensor::Number;

fn wave(shape: &[usize], dtype: DType) -> Tensor {
    let n = numel(shape);
    let x: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 17.0 - 3.0).collect();
    cast::to(&Tensor::from_slice(&x, shape).unwrap(), dtype).unwrap()
}

fn naive(x: &Tensor, dim: usize, log: bool) -> Vec<f64> {
    let v = x.to_vec::<f64>().unwrap();
    let s = Shape::of(x.shape(), dim as i64).unwrap();
    let mut out = v.clone();
    for o in 0..s.outer {
        for i in 0..s.inner {
            let at = |k: usize| (o * s.n + k) * s.inner + i;
            let m = (0..s.n).map(|k| v[at(k)]).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = (0..s.n).map(|k| (v[at(k)] - m).exp()).sum();
            for k in 0..s.n {
                let l = v[at(k)] - m - total.ln();
                out[at(k)] = if log { l } else { l.exp() };
            }
        }
    }
    out
}

fn check(got: &Tensor, want: &[f64], tolerance: f64) {
    let got = cast::to_device(got, Device::Cpu).unwrap();
    for (i, (g, w)) in got.to_vec::<f64>().unwrap().iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{i}: {g} is not {w}");
    }
}

const SHAPES: &[(&[usize], usize)] = &[
    (&[5], 0),
    (&[1000, 3], 1),
    (&[7, 33], 1),
    (&[3, 5000], 1),
    (&[3, 10, 7], 1),
    (&[40, 100], 0),
    (&[2, 300, 3, 11], 1),
    (&[1, 1], 0),
];

#[test]
fn values_along_any_dimension() {
    for &(shape, dim) in SHAPES {
        for (dtype, tolerance) in
            [(DType::F32, 2e-6), (DType::F64, 1e-14), (DType::F16, 1e-3), (DType::BF16, 8e-3)]
        {
            let x = wave(shape, dtype);
            for (op, log) in [(&SOFTMAX, false), (&LOG_SOFTMAX, true)] {
                let y = call(op, &[&x], &[dim.into()]).unwrap();
                assert_eq!(y.dtype(), dtype);
                check(&y, &naive(&x, dim, log), tolerance);
            }
        }
    }
}

#[test]
fn strides_casts_and_special_values() {
    let x = wave(&[6, 50], DType::F32);
    let t = x.alias(x.layout().permute(&[1, 0]));
    let y = call(&SOFTMAX, &[&t], &[0usize.into()]).unwrap();
    check(&y, &naive(&t, 0, false), 2e-6);
    let ints = Tensor::from_slice(&[1i64, 1], &[2]).unwrap();
    assert_eq!(
        call(&SOFTMAX, &[&ints], &[0usize.into()]).err().unwrap().kind,
        crate::error::Kind::Type
    );
    let y = call(&SOFTMAX, &[&ints], &[0usize.into(), DType::F64.into()]).unwrap();
    assert_eq!(y.to_vec::<f64>().unwrap(), [0.5, 0.5]);
    for n in [3, 40] {
        let mut v = vec![1.0f32; n];
        v[1] = f32::NEG_INFINITY;
        let y =
            call(&SOFTMAX, &[&Tensor::from_slice(&v, &[n]).unwrap()], &[0usize.into()]).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap()[1], 0.0);
        for bad in [f32::NAN, f32::INFINITY] {
            v[1] = bad;
            let x = Tensor::from_slice(&v, &[n]).unwrap();
            let y = call(&SOFTMAX, &[&x], &[0usize.into()]).unwrap();
            assert!(y.to_vec::<f32>().unwrap().iter().all(|v| v.is_nan()));
        }
        let none = Tensor::from_slice(&vec![f32::NEG_INFINITY; n], &[n]).unwrap();
        let y = call(&LOG_SOFTMAX, &[&none], &[0usize.into()]).unwrap();
        assert!(y.to_vec::<f32>().unwrap().iter().all(|v| v.is_nan()));
    }
    for shape in [&[0usize, 3][..], &[3, 0], &[0]] {
        let y = call(&SOFTMAX, &[&wave(shape, DType::F32)], &[(-1i64).into()]).unwrap();
        assert_eq!(y.shape(), shape);
    }
    let one =
        call(&SOFTMAX, &[&Tensor::scalar(3.0, DType::F32).unwrap()], &[0usize.into()]).unwrap();
    assert_eq!(one.item().unwrap(), Number::Float(1.0));
}

#[test]
fn gradients_of_gradients_are_the_finite_differences() {
    for (op, shape, dim) in [(&SOFTMAX, [3usize, 4], 1usize), (&LOG_SOFTMAX, [4, 3], 0)] {
        let weights = wave(&[12], DType::F64);
        let weights = weights.alias(weights.layout().reshape(&shape).unwrap());
        // The loss sum(w y), its gradient, and the gradient's own loss sum(w g^2).
        let losses = |x: &Tensor| {
            x.set_requires_grad(true).unwrap();
            let y = t::mul(&call(op, &[x], &[dim.into()]).unwrap(), &weights).unwrap();
            let l = call(&reduce::SUM, &[&y], &[]).unwrap();
            let targets = [x.clone()];
            let g = crate::autograd::backward(&[(l.clone(), None)], Some(&targets), true, true)
                .unwrap()
                .swap_remove(0)
                .unwrap();
            let square = t::mul(&t::mul(&g, &g).unwrap(), &weights).unwrap();
            let l2 = call(&reduce::SUM, &[&square], &[]).unwrap();
            let g2 = crate::autograd::backward(&[(l2.clone(), None)], Some(&targets), false, false)
                .unwrap()
                .swap_remove(0)
                .unwrap();
            (
                l.item().unwrap().as_f64(),
                g.to_vec::<f64>().unwrap(),
                l2.item().unwrap().as_f64(),
                g2.to_vec::<f64>().unwrap(),
            )
        };
        let x = wave(&shape, DType::F64);
        let (_, g, _, g2) = losses(&x);
        let values = x.to_vec::<f64>().unwrap();
        for i in 0..12 {
            let at = |h: f64| {
                let mut v = values.clone();
                v[i] += h;
                losses(&Tensor::from_slice(&v, &shape).unwrap())
            };
            let (up, down) = (at(1e-5), at(-1e-5));
            assert!(((up.0 - down.0) / 2e-5 - g[i]).abs() < 1e-8);
            assert!(((up.2 - down.2) / 2e-5 - g2[i]).abs() < 1e-7);
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let before = threads::num_threads();
    for &(shape, dim) in SHAPES {
        let x = wave(shape, DType::F32);
        let run = |n| {
            threads::set_num_threads(n).unwrap();
            call(&SOFTMAX, &[&x], &[dim.into()]).unwrap().to_vec::<f32>().unwrap()
        };
        assert_eq!(run(1), run(3));
    }
    threads::set_num_threads(before).unwrap();
}

#[test]
fn gpu_agrees_with_cpu() {
    if Gpu::adapters().is_empty() {
        return;
    }
    let gpu = |t: &Tensor| cast::to_device(t, Device::Gpu).unwrap();
    for &(shape, dim) in SHAPES {
        let (x, g) = (wave(shape, DType::F32), wave(&[numel(shape)], DType::F32));
        let g = g.alias(g.layout().reshape(shape).unwrap());
        for (op, back) in [(&SOFTMAX, &SOFTMAX_BACKWARD), (&LOG_SOFTMAX, &LOG_SOFTMAX_BACKWARD)] {
            let y = call(op, &[&x], &[dim.into()]).unwrap();
            let on_gpu = call(op, &[&gpu(&x)], &[dim.into()]).unwrap();
            check(&on_gpu, &y.to_vec::<f64>().unwrap(), 4e-6);
            let d = call(back, &[&g, &y], &[dim.into()]).unwrap();
            let on_gpu = call(back, &[&gpu(&g), &gpu(&y)], &[dim.into()]).unwrap();
            check(&on_gpu, &d.to_vec::<f64>().unwrap(), 2e-5);
        }
    }
    let special =
        Tensor::from_slice(&[1.0f32, f32::NAN, 2.0, 1.0, f32::NEG_INFINITY, 1.0], &[2, 3]).unwrap();
    let y = call(&SOFTMAX, &[&gpu(&special)], &[1usize.into()]).unwrap().to_vec::<f32>().unwrap();
    assert!(y[..3].iter().all(|v| v.is_nan()));
    assert_eq!(y[3..], [0.5, 0.0, 0.5]);
    let half = wave(&[40, 6], DType::F16);
    let there = gpu(&half);
    let there = there.alias(there.layout().permute(&[1, 0]));
    let y = call(&SOFTMAX, &[&there], &[0usize.into()]).unwrap();
    assert_eq!(y.dtype(), DType::F16);
    let turned = half.alias(half.layout().permute(&[1, 0]));
    check(&y, &naive(&turned, 0, false), 1e-3);
}
