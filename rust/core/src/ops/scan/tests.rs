use super::*;
use crate::ops::testing::gradcheck;

fn f(v: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(v, shape).unwrap()
}

fn run(op: &'static OpDef, x: &Tensor, dim: i64) -> Vec<f64> {
    call(op, &[x], &[dim.into()]).unwrap().to_vec::<f64>().unwrap()
}

#[test]
fn values() {
    let x = f(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    assert_eq!(run(&CUMSUM, &x, 1), [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    assert_eq!(run(&CUMSUM, &x, 0), [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
    assert_eq!(run(&CUMSUM_REVERSE, &x, 1), [6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
    assert_eq!(run(&CUMPROD, &x, -1), [1.0, 2.0, 6.0, 4.0, 20.0, 120.0]);
    let b = Tensor::from_bools(&[true, true, false], &[3]).unwrap();
    assert_eq!(call(&CUMSUM, &[&b], &[0i64.into()]).unwrap().dtype(), DType::I64);
    assert_eq!(run(&CUMSUM, &b, 0), [1.0, 2.0, 2.0]);
    let nan = f64::NAN;
    let y = f(&[1.0, 3.0, 3.0, 2.0, nan, 5.0, nan], &[7]);
    let outs = apply_pair(&CUMMAX, &y);
    assert_eq!(outs.0[..4], [1.0, 3.0, 3.0, 3.0]);
    assert!(outs.0[4..].iter().all(|v| v.is_nan()));
    assert_eq!(outs.1, [0, 1, 2, 2, 4, 4, 6]);
    assert_eq!(apply_pair(&CUMMIN, &f(&[3.0, 1.0, 1.0, 2.0], &[4])).1, [0, 1, 2, 2]);
    let inf = f64::INFINITY;
    let l = run(&LOGCUMSUMEXP, &f(&[-inf, 0.0, 0.0, 1000.0, inf, inf], &[6]), 0);
    assert_eq!((l[0], l[1], l[3], l[5]), (-inf, 0.0, 1000.0, inf));
    assert!((l[2] - 2f64.ln()).abs() < 1e-15);
    assert_eq!(run(&DIFF, &f(&[1.0, 4.0, 9.0], &[3]), 1), [3.0, 5.0]);
    let wide: Vec<f64> = (0..300_000).map(|i| f64::from(i % 7)).collect();
    let w = f(&wide, &[10, 100, 300]);
    let got = run(&CUMSUM, &w, 1);
    let want: f64 = (0..100).map(|k| wide[3 * 30_000 + k * 300 + 77]).sum();
    assert_eq!(got[3 * 30_000 + 99 * 300 + 77], want);
}

fn apply_pair(op: &'static OpDef, x: &Tensor) -> (Vec<f64>, Vec<i64>) {
    let outs = crate::apply::apply(op, &[Some(x.clone())], &[0i64.into()]).unwrap();
    (outs[0].to_vec().unwrap(), outs[1].to_vec().unwrap())
}

#[test]
fn gradients() {
    let x = f(&[0.5, -1.2, 2.0, 0.7, 1.5, -0.3], &[2, 3]);
    for op in [&CUMSUM, &CUMPROD, &CUMMAX, &CUMMIN, &LOGCUMSUMEXP] {
        for dim in [0i64, 1] {
            gradcheck(
                |x| call(op, &[&t::mul(&x[0], &x[0])?], &[dim.into()]),
                std::slice::from_ref(&x),
            );
        }
    }
    gradcheck(|x| call(&DIFF, &[&t::mul(&x[0], &x[0])?], &[2i64.into(), 1i64.into()]), &[x]);
    let zero = f(&[2.0, 0.0, 3.0, 0.0, 5.0], &[5]);
    zero.set_requires_grad(true).unwrap();
    let y = call(&CUMPROD, &[&zero], &[0i64.into()]).unwrap();
    let ones = super::super::cast::full_like(&y, 1.0).unwrap();
    let g = crate::autograd::backward(&[(y, Some(ones))], Some(&[zero]), false, false).unwrap();
    assert_eq!(g[0].as_ref().unwrap().to_vec::<f64>().unwrap(), [1.0, 2.0 + 6.0, 0.0, 0.0, 0.0]);
}

#[test]
fn the_gpu_agrees() {
    let values = |n: usize| -> Vec<f64> {
        (0..n).map(|i| ((i * 7919 + 13) % 101) as f64 / 50.0 - 1.0).collect()
    };
    for (shape, dims) in
        [(vec![5usize, 7, 3], vec![0i64, 1, 2]), (vec![2, 9001], vec![1]), (vec![70], vec![0])]
    {
        let n = shape.iter().product();
        let x = f(&values(n), &shape);
        for dtype in [DType::F32, DType::F16, DType::I32, DType::I64, DType::U8, DType::Bool] {
            let x = cast::to(&x, dtype).unwrap();
            for &dim in &dims {
                let ops: &[&'static OpDef] = if dtype == DType::F32 {
                    &[&CUMSUM, &CUMSUM_REVERSE, &CUMPROD, &CUMMAX, &CUMMIN, &LOGCUMSUMEXP]
                } else {
                    &[&CUMSUM, &CUMMAX]
                };
                for op in ops {
                    crate::ops::testing::on_both(
                        |x| crate::apply::apply(op, &[Some(x[0].clone())], &[dim.into()]),
                        std::slice::from_ref(&x),
                    );
                }
            }
        }
    }
}
