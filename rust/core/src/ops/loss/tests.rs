use super::*;
use crate::apply::call;
use crate::autograd::{NoGrad, backward as differentiate};
use crate::error::Kind;
use crate::gpu::Gpu;
use crate::ops::expr::t;
use crate::ops::{Attr, cast, reduce};

fn wave(shape: &[usize], dtype: DType) -> Tensor {
    let x: Vec<f64> = (0..numel(shape)).map(|i| ((i * 53 + 7) % 97) as f64 / 13.0 - 3.5).collect();
    cast::to(&Tensor::from_slice(&x, shape).unwrap(), dtype).unwrap()
}

fn targets(shape: &[usize], classes: usize) -> Tensor {
    let x: Vec<i64> = (0..numel(shape)).map(|i| ((i * 31 + 5) % classes) as i64).collect();
    Tensor::from_slice(&x, shape).unwrap()
}

fn close(got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), want.shape());
    let got = cast::to_device(got, Device::Cpu).unwrap();
    let (got, want) = (got.to_vec::<f64>().unwrap(), want.to_vec::<f64>().unwrap());
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let same = (g - w).abs() <= tolerance * (1.0 + w.abs()) || (g.is_nan() && w.is_nan());
        assert!(same, "{i}: {g} is not {w}");
    }
}

/// Inputs and classes: rows, tiles, one sample, many classes.
const SHAPES: &[&[usize]] = &[&[64, 10], &[3, 5000], &[2, 7, 5, 9], &[1, 40, 64], &[6], &[5, 1]];

fn attrs(reduction: &str, smoothing: f64, logits: bool) -> [Attr; 4] {
    [2i64.into(), reduction.into(), smoothing.into(), logits.into()]
}

/// All combinations of the arguments, with the inputs for them.
fn cases(dtype: DType, mut f: impl FnMut(&[Option<Tensor>; 3], &[Attr; 4])) {
    for shape in SHAPES {
        let dim = usize::from(shape.len() > 1);
        let x = wave(shape, dtype);
        let target = targets(&target_shape(shape).unwrap(), shape[dim]);
        for weight in [
            None,
            Some(
                cast::to(
                    &t::mul(&wave(&[shape[dim]], dtype), &wave(&[shape[dim]], dtype)).unwrap(),
                    dtype,
                )
                .unwrap(),
            ),
        ] {
            for reduction in ["none", "sum", "mean"] {
                for (smoothing, logits) in [(0.0, true), (0.3, true), (0.0, false)] {
                    let inputs = [Some(x.clone()), Some(target.clone()), weight.clone()];
                    f(&inputs, &attrs(reduction, smoothing, logits));
                }
            }
        }
    }
}

fn gradient(loss: &Tensor, x: &Tensor) -> Tensor {
    let g = wave(loss.shape(), loss.dtype());
    let g = cast::to_device(&g, loss.device()).unwrap();
    let targets = [x.clone()];
    differentiate(&[(loss.clone(), Some(g))], Some(&targets), false, false)
        .unwrap()
        .swap_remove(0)
        .unwrap()
}

#[test]
fn values_and_gradients_are_those_of_the_plain_definition() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5), (DType::F16, 1e-2)] {
        cases(dtype, |inputs, attrs| {
            let x = inputs[0].as_ref().unwrap();
            x.set_requires_grad(true).unwrap();
            let fused = apply(&CLASS_LOSS, inputs, attrs).unwrap().swap_remove(0);
            let plain =
                compose::plain(&Call { op: &CLASS_LOSS, inputs, attrs }).unwrap().swap_remove(0);
            assert_eq!(fused.dtype(), dtype);
            close(&fused, &plain, tolerance);
            close(&gradient(&fused, x), &gradient(&plain, x), tolerance);
        });
    }
}

#[test]
fn known_values() {
    // torch.nn.functional.cross_entropy on these logits.
    let x = Tensor::from_slice(&[1.0f64, 2.0, 3.0, 1.0, 2.0, 4.0], &[2, 3]).unwrap();
    let target = Tensor::from_slice(&[0i64, 2], &[2]).unwrap();
    let value = |smoothing: f64| {
        let attrs = [(-100i64).into(), "mean".into(), smoothing.into()];
        let inputs = [Some(x.clone()), Some(target.clone()), None];
        apply(&CROSS_ENTROPY, &inputs, &attrs).unwrap()[0].item().unwrap().as_f64()
    };
    let rows =
        [[1.0f64, 2.0, 3.0], [1.0, 2.0, 4.0]].map(|r| r.iter().map(|v| v.exp()).sum::<f64>().ln());
    let hard = f64::midpoint(rows[0] - 1.0, rows[1] - 4.0);
    assert!((value(0.0) - hard).abs() < 1e-14);
    let even = (3.0 * rows[0] - 6.0 + 3.0 * rows[1] - 7.0) / 6.0;
    assert!((value(0.3) - (0.7 * hard + 0.3 * even)).abs() < 1e-14);
    // The same as one-hot probabilities.
    let soft = Tensor::from_slice(&[1.0f64, 0.0, 0.0, 0.0, 0.0, 1.0], &[2, 3]).unwrap();
    let attrs = [(-100i64).into(), "mean".into(), 0.3.into()];
    let inputs = [Some(x.clone()), Some(soft), None];
    let got = apply(&CROSS_ENTROPY, &inputs, &attrs).unwrap()[0].item().unwrap().as_f64();
    assert!((got - value(0.3)).abs() < 1e-14);
}

#[test]
fn large_offsets_cost_no_accuracy() {
    let x = Tensor::from_slice(&[1e4f32, 1e4 + 1.0, 1e4 + 2.0], &[1, 3]).unwrap();
    x.set_requires_grad(true).unwrap();
    let inputs = [Some(x.clone()), Some(targets(&[1], 1)), None];
    let loss = apply(&CLASS_LOSS, &inputs, &attrs("sum", 0.0, true)).unwrap().swap_remove(0);
    assert!((loss.item().unwrap().as_f64() - 2.4076059644443806).abs() < 1e-6);
    let one = Tensor::scalar(1.0, DType::F32).unwrap();
    let targets = [x.clone()];
    let g =
        differentiate(&[(loss, Some(one))], Some(&targets), false, false).unwrap().swap_remove(0);
    let want = [-0.9099694, 0.24472848, 0.66524094];
    for (g, w) in g.unwrap().to_vec::<f64>().unwrap().iter().zip(want) {
        assert!((g - w).abs() < 1e-6);
    }
}

#[test]
fn second_gradients_and_the_weights_gradient() {
    let x = wave(&[4, 5], DType::F64);
    let weight = t::mul(&wave(&[5], DType::F64), &wave(&[5], DType::F64)).unwrap();
    let run = |x: &Tensor, weight: &Tensor| {
        x.set_requires_grad(true).unwrap();
        let inputs = [Some(x.clone()), Some(targets(&[4], 5)), Some(weight.clone())];
        let attrs = [2i64.into(), "mean".into(), 0.2.into()];
        let loss = apply(&CROSS_ENTROPY, &inputs, &attrs).unwrap().swap_remove(0);
        let targets = [x.clone()];
        let g = differentiate(&[(loss.clone(), None)], Some(&targets), true, true)
            .unwrap()
            .swap_remove(0)
            .unwrap();
        (loss, call(&reduce::SUM, &[&t::mul(&g, &g).unwrap()], &[]).unwrap())
    };
    let value = |t: &Tensor| t.item().unwrap().as_f64();
    let moved = |t: &Tensor, i: usize, h: f64| {
        let mut v = t.to_vec::<f64>().unwrap();
        v[i] += h;
        Tensor::from_slice(&v, t.shape()).unwrap()
    };
    let (_, square) = run(&x, &weight);
    let g2 =
        differentiate(&[(square, None)], Some(&[x.clone()]), false, false).unwrap().swap_remove(0);
    for (i, g) in g2.unwrap().to_vec::<f64>().unwrap().iter().enumerate() {
        let d = value(&run(&moved(&x, i, 1e-5), &weight).1)
            - value(&run(&moved(&x, i, -1e-5), &weight).1);
        assert!((d / 2e-5 - g).abs() < 1e-8, "{i}");
    }
    weight.set_requires_grad(true).unwrap();
    let (loss, _) = run(&x, &weight);
    let gw = differentiate(&[(loss, None)], Some(&[weight.clone()]), false, false)
        .unwrap()
        .swap_remove(0);
    let weight = weight.detach();
    for (i, g) in gw.unwrap().to_vec::<f64>().unwrap().iter().enumerate() {
        let d = value(&run(&x, &moved(&weight, i, 1e-5)).0)
            - value(&run(&x, &moved(&weight, i, -1e-5)).0);
        assert!((d / 2e-5 - g).abs() < 1e-8, "{i}");
    }
}

#[test]
fn nothing_left_to_average_is_nan() {
    let value = |x: &Tensor, target: &Tensor, reduction: &str| {
        let inputs = [Some(x.clone()), Some(target.clone()), None];
        apply(&CLASS_LOSS, &inputs, &attrs(reduction, 0.0, true)).unwrap()[0]
            .item()
            .unwrap()
            .as_f64()
    };
    let (x, none) = (wave(&[0, 3], DType::F32), targets(&[0], 3));
    assert!(value(&x, &none, "mean").is_nan());
    assert_eq!(value(&x, &none, "sum"), 0.0);
    let (x, ignored) = (wave(&[2, 3], DType::F32), Tensor::from_slice(&[2i64, 2], &[2]).unwrap());
    assert!(value(&x, &ignored, "mean").is_nan());
    assert_eq!(value(&x, &ignored, "sum"), 0.0);
}

#[test]
fn wrong_arguments_are_explained() {
    let x = wave(&[4, 10], DType::F32);
    let fails = |x: &Tensor, target: Tensor, weight: Option<Tensor>| {
        let attrs = [(-100i64).into(), "mean".into(), 0.0.into()];
        let inputs = [Some(x.clone()), Some(target), weight];
        apply(&CROSS_ENTROPY, &inputs, &attrs).err().unwrap()
    };
    let bad = Tensor::from_slice(&[0i64, 1, 2, 10], &[4]).unwrap();
    let e = fails(&x, bad, None);
    assert_eq!(e.kind, Kind::Index);
    assert_eq!(e.msg, "Target 10 is out of bounds for 10 classes (sample 3)");
    let e = fails(&x, cast::to(&targets(&[4], 3), DType::I32).unwrap(), None);
    assert_eq!(e.kind, Kind::Type);
    assert!(e.hint.unwrap().contains("target.long()"));
    assert_eq!(fails(&x, wave(&[4], DType::F32), None).kind, Kind::Type);
    assert_eq!(fails(&x, targets(&[5], 3), None).kind, Kind::Shape);
    assert_eq!(fails(&x, wave(&[4, 9], DType::F32), None).kind, Kind::Shape);
    assert_eq!(fails(&x, targets(&[4], 3), Some(wave(&[9], DType::F32))).kind, Kind::Shape);
    assert_eq!(fails(&x, targets(&[4], 3), Some(wave(&[10], DType::F64))).kind, Kind::Type);
    assert_eq!(
        fails(&Tensor::scalar(1.0, DType::F32).unwrap(), targets(&[], 1), None).kind,
        Kind::Shape
    );
}

#[test]
fn gpu_agrees_with_cpu() {
    if Gpu::adapters().is_empty() {
        return;
    }
    let gpu = |t: &Tensor| cast::to_device(t, Device::Gpu).unwrap();
    cases(DType::F32, |inputs, attrs| {
        let _mode = NoGrad::new();
        let there: Vec<Option<Tensor>> = inputs.iter().map(|t| t.as_ref().map(gpu)).collect();
        let here = apply(&CLASS_LOSS, inputs, attrs).unwrap();
        let got = apply(&CLASS_LOSS, &there, attrs).unwrap();
        for (got, want) in got.iter().zip(&here).take(2) {
            close(got, want, 1e-5);
        }
        let g = wave(here[0].shape(), DType::F32);
        let [x, target, weight] = inputs.clone();
        let back = [Some(g), x, target, weight, Some(here[1].clone()), Some(here[2].clone())];
        let there: Vec<Option<Tensor>> = back.iter().map(|t| t.as_ref().map(gpu)).collect();
        let want = apply(&CLASS_LOSS_BACKWARD, &back, attrs).unwrap();
        close(&apply(&CLASS_LOSS_BACKWARD, &there, attrs).unwrap()[0], &want[0], 1e-5);
    });
    let bad = Tensor::from_slice(&[0i64, 1, -7, 10], &[4]).unwrap();
    let inputs = [Some(gpu(&wave(&[4, 10], DType::F32))), Some(gpu(&bad)), None];
    let e = apply(&CLASS_LOSS, &inputs, &attrs("mean", 0.0, true)).err().unwrap();
    assert_eq!(e.msg, "Target -7 is out of bounds for 10 classes (sample 2)");
    let bytes = Tensor::from_slice(&[3u8, 1], &[2]).unwrap();
    let x = wave(&[2, 4], DType::F32);
    let attrs = attrs("none", 0.0, true);
    let want = apply(&CLASS_LOSS, &[Some(x.clone()), Some(bytes.clone()), None], &attrs).unwrap();
    let got = apply(&CLASS_LOSS, &[Some(gpu(&x)), Some(gpu(&bytes)), None], &attrs).unwrap();
    close(&got[0], &want[0], 1e-6);
}
