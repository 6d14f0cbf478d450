use super::*;
use crate::gpu::Gpu;

fn t(v: &[f64], dtype: DType) -> Tensor {
    cast::to(&Tensor::from_slice(v, &[v.len()]).unwrap(), dtype).unwrap()
}

fn close(t: &Tensor, expected: &[f64], slack: f64) {
    for (a, b) in t.to_vec::<f64>().unwrap().iter().zip(expected) {
        assert!((a - b).abs() <= slack * (1.0 + b.abs()), "{a} is not {b}");
    }
}

fn slack(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-15,
        DType::F32 => 1e-6,
        DType::F16 => 2e-3,
        _ => 2e-2,
    }
}

const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];

#[test]
fn sgd_with_momentum_by_hand() {
    for dtype in FLOATS {
        let (p, g, b) = (t(&[1.0, -2.0], dtype), t(&[0.5, 1.0], dtype), t(&[7.0, 7.0], dtype));
        let mut how =
            Sgd { lr: 0.5, momentum: 0.5, weight_decay: 0.25, first: true, ..Sgd::default() };
        let list = std::slice::from_ref::<Tensor>;
        sgd_step(list(&p), list(&g), Some(list(&b)), &how).unwrap();
        // The buffer is g + p / 4, whatever it was.
        close(&b, &[0.75, 0.5], slack(dtype));
        close(&p, &[0.625, -2.25], slack(dtype));
        how = Sgd { first: false, nesterov: true, maximize: true, weight_decay: 0.0, ..how };
        sgd_step(list(&p), list(&g), Some(list(&b)), &how).unwrap();
        close(&b, &[-0.125, -0.75], slack(dtype));
        close(&p, &[0.625 + 0.28125, -2.25 + 0.6875], slack(dtype));
        assert_eq!((p.version(), g.version(), b.version()), (2, 0, 2));
        sgd_step(list(&p), list(&g), None, &Sgd { lr: 1.0, ..Sgd::default() }).unwrap();
        close(&p, &[0.40625, -2.5625], slack(dtype));
    }
}

/// Adam as in the paper, one element at a time.
fn naive_adam(p: &mut f64, g: f64, s: &mut [f64; 3], step: i32, how: &Adam, amsgrad: bool) {
    let g = if how.maximize { -g } else { g };
    let g = if how.decoupled { g } else { g + how.weight_decay * *p };
    if how.decoupled {
        *p *= 1.0 - how.lr * how.weight_decay;
    }
    s[0] = how.beta1 * s[0] + (1.0 - how.beta1) * g;
    s[1] = how.beta2 * s[1] + (1.0 - how.beta2) * g * g;
    s[2] = s[2].max(s[1]);
    let m = s[0] / (1.0 - how.beta1.powi(step));
    let v = if amsgrad { s[2] } else { s[1] } / (1.0 - how.beta2.powi(step));
    *p -= how.lr * m / (v.sqrt() + how.eps);
}

fn wave(n: usize, f: f64) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * f).sin()).collect()
}

#[test]
fn adam_follows_the_paper() {
    let how =
        Adam { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, ..Adam::default() };
    for dtype in [DType::F32, DType::F64] {
        for (decoupled, maximize, amsgrad) in
            [(false, false, false), (true, false, true), (true, true, false)]
        {
            let how = Adam { maximize, decoupled, ..how };
            let sizes = [3, 70_000, 0, 33];
            let params: Vec<Tensor> = sizes.iter().map(|&n| t(&wave(n, 0.7), dtype)).collect();
            let state =
                || -> Vec<Tensor> { sizes.iter().map(|&n| t(&vec![0.0; n], dtype)).collect() };
            let (m, v, most) = (state(), state(), state());
            let mut expected: Vec<Vec<f64>> = sizes.iter().map(|&n| wave(n, 0.7)).collect();
            let mut memory: Vec<Vec<[f64; 3]>> = sizes.iter().map(|&n| vec![[0.0; 3]; n]).collect();
            for step in 1..4 {
                let slopes: Vec<Vec<f64>> =
                    sizes.iter().map(|&n| wave(n, 0.3 * f64::from(step))).collect();
                let grads: Vec<Tensor> = slopes.iter().map(|s| t(s, dtype)).collect();
                let most = amsgrad.then_some(&most[..]);
                adam_step(&params, &grads, &m, &v, most, &[step.into(); 4], &how).unwrap();
                for i in 0..4 {
                    for j in 0..sizes[i] {
                        let g = grads[i].dtype();
                        let g = if g == DType::F32 {
                            f64::from(slopes[i][j] as f32)
                        } else {
                            slopes[i][j]
                        };
                        naive_adam(&mut expected[i][j], g, &mut memory[i][j], step, &how, amsgrad);
                    }
                }
            }
            for (p, e) in params.iter().zip(&expected) {
                close(p, e, if dtype == DType::F64 { 1e-12 } else { 2e-6 });
            }
        }
    }
}

#[test]
fn rmsprop_by_hand() {
    let list = std::slice::from_ref::<Tensor>;
    for dtype in FLOATS {
        let zero = || t(&[0.0, 0.0], dtype);
        let (p, g) = (t(&[1.0, 1.0], dtype), t(&[2.0, -1.0], dtype));
        let (square, mean, buffer) = (zero(), zero(), zero());
        let how = RmsProp { lr: 0.1, alpha: 0.75, eps: 0.5, momentum: 0.5, ..RmsProp::default() };
        rmsprop_step(list(&p), list(&g), list(&square), None, None, &how).unwrap();
        // The mean square is (1, 1/4): roots 1 and 1/2.
        close(&square, &[1.0, 0.25], slack(dtype));
        close(&p, &[1.0 - 0.2 / 1.5, 1.0 + 0.1], slack(dtype));
        let (p, square) = (t(&[1.0, 1.0], dtype), zero());
        let args = (Some(list(&mean)), Some(list(&buffer)));
        rmsprop_step(list(&p), list(&g), list(&square), args.0, args.1, &how).unwrap();
        close(&mean, &[0.5, -0.25], slack(dtype));
        let along = [2.0 / (0.75f64.sqrt() + 0.5), -1.0 / (0.1875f64.sqrt() + 0.5)];
        close(&buffer, &along, slack(dtype));
        close(&p, &[1.0 - 0.1 * along[0], 1.0 - 0.1 * along[1]], slack(dtype));
    }
}

#[test]
fn strided_tensors_are_updated_in_place() {
    let base = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let turned = base.alias(base.layout().permute(&[1, 0]));
    let g = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]).unwrap();
    sgd_step(&[turned], &[g], None, &Sgd { lr: 1.0, ..Sgd::default() }).unwrap();
    assert_eq!(base.to_vec::<f32>().unwrap(), [0.0, -1.0, -2.0, 2.0, 1.0, 0.0]);
    assert_eq!(base.version(), 1);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let p = t(&[1.0, 2.0], DType::F32);
    let how = Sgd { lr: 1.0, ..Sgd::default() };
    let fails =
        |params: &[Tensor], grads: &[Tensor]| sgd_step(params, grads, None, &how).err().unwrap();
    let good = t(&[1.0, 1.0], DType::F32);
    let e = fails(&[p.clone(), p.clone()], &[good.clone(), t(&[1.0], DType::F32)]);
    assert!(e.to_string().contains("params[1] has shape (2,), but grads[1] (1,)"), "{e}");
    fails(&[p.clone()], &[]);
    fails(&[t(&[1.0], DType::I64)], &[t(&[1.0], DType::F32)]);
    fails(&[p.clone()], &[t(&[1.0, 1.0], DType::I64)]);
    let wide =
        p.alias(crate::layout::Layout { strides: smallvec::smallvec![0], ..p.layout().clone() });
    fails(&[wide], &[good.clone()]);
    assert_eq!(p.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    let list = std::slice::from_ref::<Tensor>;
    let state = t(&[0.0, 0.0], DType::F32);
    let s = list(&state);
    assert!(adam_step(list(&p), list(&good), s, s, None, &[0], &Adam::default()).is_err());
}

#[test]
fn the_gpu_takes_the_same_steps() {
    if Gpu::adapters().is_empty() {
        return;
    }
    let list = std::slice::from_ref::<Tensor>;
    let sides = |v: &[f64]| {
        let cpu = t(v, DType::F32);
        let gpu = cast::to_device(&cpu, Device::Gpu).unwrap();
        [cpu, gpu]
    };
    let n = 1003;
    let [g, zero] = [wave(n, 0.3), vec![0.0; n]];
    let adam =
        Adam { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, ..Adam::default() };
    let rms = RmsProp { lr: 0.01, alpha: 0.9, eps: 1e-6, momentum: 0.9, ..RmsProp::default() };
    let mut results = Vec::new();
    for side in 0..2 {
        let of = |v: &[f64]| sides(v)[side].clone();
        let (p, g) = (of(&wave(n, 0.7)), of(&g));
        let s = [of(&zero), of(&zero), of(&zero)];
        for first in [true, false] {
            let how = Sgd { lr: 0.1, momentum: 0.9, nesterov: true, first, ..Sgd::default() };
            sgd_step(list(&p), list(&g), Some(list(&s[0])), &how).unwrap();
        }
        sgd_step(list(&p), list(&g), None, &Sgd { lr: 0.1, ..Sgd::default() }).unwrap();
        adam_step(list(&p), list(&g), list(&s[0]), list(&s[1]), None, &[2], &adam).unwrap();
        let most = Some(list(&s[2]));
        adam_step(list(&p), list(&g), list(&s[0]), list(&s[1]), most, &[3], &adam).unwrap();
        let s = [of(&zero), of(&zero), of(&zero)];
        rmsprop_step(list(&p), list(&g), list(&s[0]), None, None, &rms).unwrap();
        rmsprop_step(list(&p), list(&g), list(&s[0]), Some(list(&s[1])), most, &rms).unwrap();
        results.push(p.to_vec::<f32>().unwrap());
    }
    for (a, b) in results[0].iter().zip(&results[1]) {
        assert!((a - b).abs() <= 2e-5 * (1.0 + a.abs()), "{a} {b}");
    }
}
