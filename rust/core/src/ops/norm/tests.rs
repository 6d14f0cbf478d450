use super::fused::{BACKWARD, BATCH, GROUP, LAYER, RMS};
use super::*;
use crate::apply::{apply, call};
use crate::autograd::{NoGrad, backward as differentiate};
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::Kind;
use crate::gpu::Gpu;
use crate::layout::numel;
use crate::ops::expr::t;
use crate::ops::{Attr, Call, cast, reduce};
use crate::storage::Device;
use crate::tensor::Tensor;

fn wave(shape: &[usize], step: usize, dtype: DType) -> Tensor {
    let x: Vec<f64> =
        (0..numel(shape)).map(|i| ((i * step + 11) % 89) as f64 / 23.0 - 1.7).collect();
    cast::to(&Tensor::from_slice(&x, shape).unwrap(), dtype).unwrap()
}

fn values(t: &Tensor) -> Vec<f64> {
    cast::to_device(t, Device::Cpu).unwrap().to_vec::<f64>().unwrap()
}

fn close(got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), want.shape());
    for (i, (g, w)) in values(got).iter().zip(&values(want)).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{i}: {g} is not {w}");
    }
}

/// Each fused norm over shapes with long and short rows, with and without weight and bias.
fn cases(dtype: DType, mut f: impl FnMut(&'static OpDef, &[Option<Tensor>; 3], &[Attr; 2])) {
    let table: &[(&'static OpDef, &[usize], &[i64])] = &[
        (&LAYER, &[40, 100], &[100]),
        (&LAYER, &[3, 5, 4, 3], &[4, 3]),
        (&LAYER, &[2, 5000], &[5000]),
        (&LAYER, &[7], &[7]),
        (&RMS, &[33, 64], &[64]),
        (&RMS, &[2, 3, 5], &[5]),
        (&GROUP, &[3, 6, 5, 7], &[2]),
        (&GROUP, &[20, 8], &[4]),
        (&GROUP, &[2, 4, 900], &[4]),
        (&BATCH, &[50, 37], &[]),
        (&BATCH, &[4, 3, 6, 6], &[]),
        (&BATCH, &[70, 40, 3], &[]),
        (&BATCH, &[3, 2, 4000], &[]),
    ];
    for &(op, shape, arg) in table {
        let affine: Vec<usize> = if matches!(op.name, "fused_layer_norm" | "fused_rms_norm") {
            arg.iter().map(|&d| d as usize).collect()
        } else {
            vec![shape[1]]
        };
        for (w, b) in [(true, true), (true, false), (false, true), (false, false)] {
            let inputs = [
                Some(wave(shape, 37, dtype)),
                w.then(|| wave(&affine, 53, dtype)),
                b.then(|| wave(&affine, 19, dtype)),
            ];
            f(op, &inputs, &[arg.into(), 1e-5.into()]);
        }
    }
}

fn gradients(y: &Tensor, inputs: &[Option<Tensor>; 3]) -> Vec<Tensor> {
    let targets: Vec<Tensor> = inputs.iter().flatten().cloned().collect();
    let g = wave(y.shape(), 41, y.dtype());
    let found = differentiate(&[(y.clone(), Some(g))], Some(&targets), false, false).unwrap();
    found.into_iter().map(Option::unwrap).collect()
}

#[test]
fn values_and_gradients_are_those_of_the_plain_definition() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5), (DType::F16, 0.05)] {
        cases(dtype, |op, inputs, attrs| {
            for t in inputs.iter().flatten() {
                t.set_requires_grad(true).unwrap();
            }
            let fused = apply(op, inputs, attrs).unwrap();
            let plain = compose::plain(&Call { op, inputs, attrs }).unwrap();
            assert_eq!(fused[0].dtype(), dtype);
            for (f, p) in fused.iter().zip(&plain) {
                close(f, p, tolerance);
            }
            let (f, p) = (gradients(&fused[0], inputs), gradients(&plain[0], inputs));
            for (f, p) in f.iter().zip(&p) {
                close(f, p, 4.0 * tolerance);
            }
        });
    }
}

#[test]
fn a_second_gradient_is_the_finite_difference() {
    for (op, shape, arg) in [
        (&LAYER, vec![3, 4], vec![4i64]),
        (&GROUP, vec![2, 4, 3], vec![2]),
        (&BATCH, vec![3, 2, 2], vec![]),
    ] {
        let channels = if op.name == LAYER.name { 4 } else { shape[1] };
        let weight = wave(&[channels], 53, DType::F64);
        let square = |x: &Tensor| {
            x.set_requires_grad(true).unwrap();
            let inputs = [Some(x.clone()), Some(weight.clone()), None];
            let y = apply(op, &inputs, &[arg[..].into(), 1e-3.into()]).unwrap().swap_remove(0);
            let g = wave(&shape, 41, DType::F64);
            let dx = differentiate(&[(y, Some(g))], Some(&[x.clone()]), true, true).unwrap();
            let dx = dx[0].clone().unwrap();
            call(&reduce::SUM, &[&t::mul(&dx, &dx).unwrap()], &[]).unwrap()
        };
        let x = wave(&shape, 37, DType::F64);
        let l = square(&x);
        let g = differentiate(&[(l, None)], Some(&[x.clone()]), false, false).unwrap()[0].clone();
        let start = values(&x);
        for (i, g) in values(&g.unwrap()).iter().enumerate() {
            let at = |h: f64| {
                let mut v = start.clone();
                v[i] += h;
                square(&Tensor::from_slice(&v, &shape).unwrap()).item().unwrap().as_f64()
            };
            let d = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((d - g).abs() < 1e-6 * (1.0 + d.abs()), "{}: {d} {g}", op.name);
        }
    }
}

fn batch(
    x: &Tensor,
    running: Option<(&Tensor, &Tensor)>,
    training: bool,
) -> crate::error::Result<Tensor> {
    let (mean, var) = running.map_or((None, None), |(m, v)| (Some(m.clone()), Some(v.clone())));
    let inputs = [Some(x.clone()), mean, var, None, None];
    Ok(apply(&BATCH_NORM, &inputs, &[training.into(), 0.1.into(), 1e-5.into()])?.swap_remove(0))
}

#[test]
fn running_statistics_are_torchs() {
    let x = Tensor::from_slice(&[1.0f32, 3.0, 5.0, 7.0], &[4, 1]).unwrap();
    let (mean, var) = (
        Tensor::zeros(&[1], DType::F32, Device::Cpu).unwrap(),
        cast::full(&[1], 1.0, DType::F32, Device::Cpu).unwrap(),
    );
    batch(&x, Some((&mean, &var)), true).unwrap();
    // 0.9 * 0 + 0.1 * 4, and 0.9 * 1 + 0.1 * 20 / 3.
    assert!((values(&mean)[0] - 0.4).abs() < 1e-7);
    assert!((values(&var)[0] - 1.566_666_6).abs() < 1e-6);
    let y = batch(&x, Some((&mean, &var)), false).unwrap();
    let want = (1.0 - 0.4) / (1.566_666_6f64 + 1e-5).sqrt();
    assert!((values(&y)[0] - want).abs() < 1e-6);
    let empty = Tensor::zeros(&[0, 1], DType::F32, Device::Cpu).unwrap();
    assert_eq!(batch(&empty, Some((&mean, &var)), true).unwrap().shape(), [0, 1]);
    assert!((values(&mean)[0] - 0.4).abs() < 1e-7);
}

#[test]
fn evaluation_has_gradients() {
    let x = wave(&[3, 2, 20], 37, DType::F64);
    let (w, b) = (wave(&[2], 53, DType::F64), wave(&[2], 19, DType::F64));
    let (mean, var) =
        (wave(&[2], 5, DType::F64), cast::full(&[2], 0.7, DType::F64, Device::Cpu).unwrap());
    for t in [&x, &w, &b] {
        t.set_requires_grad(true).unwrap();
    }
    let run = |x: &Tensor, w: &Tensor, b: &Tensor| {
        let inputs = [x, &mean, &var, w, b].map(|t| Some(t.clone()));
        let y = apply(&BATCH_NORM, &inputs, &[false.into(), 0.1.into(), 1e-5.into()]).unwrap();
        call(&reduce::SUM, &[&t::mul(&y[0], &wave(&[3, 2, 20], 41, DType::F64)).unwrap()], &[])
            .unwrap()
    };
    let targets = [x.clone(), w.clone(), b.clone()];
    let found = differentiate(&[(run(&x, &w, &b), None)], Some(&targets), false, false).unwrap();
    for k in 0..3 {
        for i in 0..targets[k].numel() {
            let at = |h: f64| {
                let mut t = targets.clone().map(|t| t.detach());
                let mut v = values(&t[k]);
                v[i] += h;
                t[k] = Tensor::from_slice(&v, t[k].shape()).unwrap();
                run(&t[0], &t[1], &t[2]).item().unwrap().as_f64()
            };
            let d = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!((d - values(found[k].as_ref().unwrap())[i]).abs() < 1e-8);
        }
    }
}

#[test]
fn instance_norm_is_group_norm_per_channel() {
    let x = wave(&[2, 3, 5], 37, DType::F32);
    let zeros = Tensor::zeros(&[3], DType::F32, Device::Cpu).unwrap();
    let inputs =
        [Some(x.clone()), Some(zeros.clone()), Some(cast::copy_data(&zeros).unwrap()), None, None];
    let y = apply(&INSTANCE_NORM, &inputs, &[true.into(), 0.5.into(), 1e-5.into()]).unwrap();
    let y = values(&y[0]);
    for row in y.chunks(5) {
        assert!(row.iter().sum::<f64>().abs() < 1e-5);
        assert!((row.iter().map(|v| v * v).sum::<f64>() / 5.0 - 1.0).abs() < 1e-3);
    }
    let v = values(&x);
    let want = 0.5 * (v[..5].iter().sum::<f64>() + v[15..20].iter().sum::<f64>()) / 10.0;
    assert!((values(&zeros)[0] - want).abs() < 1e-6);
}

#[test]
fn wrong_arguments_are_explained() {
    let x = wave(&[2, 4], 37, DType::F32);
    let layer = |x: &Tensor, shape: &[i64], w: Option<Tensor>| {
        let e = apply(&LAYER_NORM, &[Some(x.clone()), w, None], &[shape.into(), 1e-5.into()]);
        e.err().unwrap()
    };
    let e = layer(&x, &[5], None);
    assert_eq!(e.kind, Kind::Shape);
    assert_eq!(e.msg, "given normalized_shape=[5], expected input of shape (*, 5), got (2, 4)");
    assert_eq!(layer(&x, &[], None).kind, Kind::Shape);
    assert_eq!(layer(&x, &[1, 2, 4], None).kind, Kind::Shape);
    assert_eq!(layer(&x, &[4], Some(wave(&[3], 5, DType::F32))).kind, Kind::Shape);
    assert_eq!(layer(&x, &[4], Some(wave(&[4], 5, DType::F64))).kind, Kind::Type);
    assert_eq!(layer(&cast::to(&x, DType::I64).unwrap(), &[4], None).kind, Kind::Type);
    let group = |x: &Tensor, n: i64| {
        apply(&GROUP_NORM, &[Some(x.clone()), None, None], &[n.into(), 1e-5.into()]).err().unwrap()
    };
    assert_eq!(group(&x, 3).kind, Kind::Shape);
    assert_eq!(group(&x, 0).kind, Kind::Shape);
    assert_eq!(group(&wave(&[1, 4], 5, DType::F32), 4).kind, Kind::Value);
    assert_eq!(batch(&wave(&[1, 3], 5, DType::F32), None, true).err().unwrap().kind, Kind::Value);
    assert_eq!(batch(&x, None, false).err().unwrap().kind, Kind::Runtime);
    let three = wave(&[3], 5, DType::F32);
    assert_eq!(batch(&x, Some((&three, &three)), true).err().unwrap().kind, Kind::Shape);
}

#[test]
fn nothing_in_nothing_out() {
    for (shape, over) in [(&[0usize, 3][..], 3i64), (&[3, 0], 0)] {
        let x = wave(shape, 5, DType::F32);
        let w = wave(&shape[1..], 5, DType::F32);
        w.set_requires_grad(true).unwrap();
        let inputs = [Some(x), Some(w.clone()), None];
        let y = apply(&LAYER_NORM, &inputs, &[(&[over][..]).into(), 1e-5.into()]).unwrap();
        assert_eq!(y[0].shape(), shape);
        let g = differentiate(&[(y[0].clone(), Some(y[0].detach()))], Some(&[w]), false, false);
        assert!(values(g.unwrap()[0].as_ref().unwrap()).iter().all(|&v| v == 0.0));
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let before = threads::num_threads();
    cases(DType::F32, |op, inputs, attrs| {
        for t in inputs.iter().flatten() {
            t.set_requires_grad(true).unwrap();
        }
        let run = |n| {
            threads::set_num_threads(n).unwrap();
            let y = apply(op, inputs, attrs).unwrap();
            let all: Vec<Vec<f64>> = gradients(&y[0], inputs).iter().map(values).collect();
            (values(&y[0]), all)
        };
        assert_eq!(run(1), run(3));
    });
    threads::set_num_threads(before).unwrap();
}

#[test]
fn gpu_agrees_with_cpu() {
    if Gpu::adapters().is_empty() {
        return;
    }
    let gpu = |t: &Tensor| cast::to_device(t, Device::Gpu).unwrap();
    cases(DType::F32, |op, inputs, attrs| {
        let _mode = NoGrad::new();
        let there = inputs.clone().map(|t| t.as_ref().map(gpu));
        let (want, got) = (apply(op, inputs, attrs).unwrap(), apply(op, &there, attrs).unwrap());
        for (g, w) in got.iter().zip(&want) {
            close(g, w, 2e-5);
        }
        let [x, w, _] = inputs.clone();
        let g = wave(x.as_ref().unwrap().shape(), 41, DType::F32);
        let affine = inputs[1].is_some();
        let args = [op.name.into(), attrs[0].clone(), attrs[1].clone(), affine.into()];
        let back = [Some(g), x, w, Some(want[1].clone()), Some(want[2].clone())];
        let there = back.clone().map(|t| t.as_ref().map(gpu));
        let want = apply(&BACKWARD, &back, &args).unwrap();
        for (g, w) in apply(&BACKWARD, &there, &args).unwrap().iter().zip(&want) {
            close(g, w, 1e-4);
        }
    });
    let x = wave(&[2, 6, 9], 37, DType::F16);
    let args = [(&[3i64][..]).into(), 1e-5.into()];
    let want = apply(&GROUP, &[Some(x.clone()), None, None], &args).unwrap();
    let got = apply(&GROUP, &[Some(gpu(&x)), None, None], &args).unwrap();
    close(&got[0], &want[0], 2e-3);
}
