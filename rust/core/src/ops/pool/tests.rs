use super::adaptive::*;
use super::def::*;
use crate::apply::{apply, call};
use crate::dtype::DType;
use crate::ops::testing::{gradcheck, on_both};
use crate::ops::{Attr, OpDef, cast};
use crate::tensor::Tensor;

/// Distinct values, so that maxima have no ties.
fn values(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let v: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 16.0 - 3.0).collect();
    Tensor::from_slice(&v, shape).unwrap()
}

fn ints(v: &[i64]) -> Attr {
    v.into()
}

fn max_attrs(ceil: bool) -> Vec<Attr> {
    vec![ints(&[3, 2]), ints(&[2]), ints(&[1, 0]), ints(&[1, 2]), ceil.into(), true.into()]
}

#[test]
fn maxima_by_the_definition() {
    let x = values(&[2, 3, 6, 7]);
    let data = x.to_vec::<f64>().unwrap();
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        let outs =
            apply(&MAX_POOL2D, &[Some(cast::to(&x, dtype).unwrap())], &max_attrs(false)).unwrap();
        assert_eq!(outs[0].shape(), [2, 3, 3, 3]);
        let (y, at) = (outs[0].to_vec::<f64>().unwrap(), outs[1].to_vec::<i64>().unwrap());
        for i in 0..y.len() {
            let (plane, oy, ox) = (i / 9, i / 3 % 3, i % 3);
            let taps = (0..3).flat_map(|r| (0..2).map(move |q| (oy * 2 + r, ox * 2 + q * 2)));
            let inside = taps.filter(|&(r, _)| (1..7).contains(&r)).map(|(r, q)| (r - 1) * 7 + q);
            let best =
                inside.max_by(|&a, &b| data[plane * 42 + a].total_cmp(&data[plane * 42 + b]));
            assert_eq!(at[i] as usize, best.unwrap());
            assert_eq!(y[i], data[plane * 42 + best.unwrap()]);
        }
    }
}

#[test]
fn ceil_mode_keeps_the_last_window() {
    let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0], &[1, 5]).unwrap();
    let run = |op: &'static OpDef, a: &[Attr]| call(op, &[&x], a).unwrap().to_vec::<f32>().unwrap();
    let max = |ceil: bool| vec![ints(&[2]), Attr::None, ints(&[0]), ints(&[1]), ceil.into()];
    assert_eq!(run(&MAX_POOL1D, &max(false)), [2.0, 4.0]);
    assert_eq!(run(&MAX_POOL1D, &max(true)), [2.0, 4.0, 5.0]);
    let avg = |pad: bool| vec![ints(&[2]), ints(&[2]), ints(&[1]), true.into(), pad.into()];
    assert_eq!(run(&AVG_POOL1D, &avg(true)), [0.5, 2.5, 4.5]);
    assert_eq!(run(&AVG_POOL1D, &avg(false)), [1.0, 2.5, 4.5]);
    assert_eq!(run(&ADAPTIVE_AVG_POOL1D, &[ints(&[2])]), [2.0, 4.0]);
    assert_eq!(run(&ADAPTIVE_MAX_POOL1D, &[ints(&[3])]), [2.0, 4.0, 5.0]);
}

#[test]
fn gradients_to_second_order() {
    let x = [values(&[2, 2, 5, 6])];
    // Pooling is linear where the maxima stay: squares give the second derivative something to find.
    let first = |op: &'static OpDef, a: Vec<Attr>| {
        move |x: &[Tensor]| {
            let y = apply(op, &[Some(x[0].clone())], &a)?.swap_remove(0);
            crate::ops::expr::t::mul(&y, &y)
        }
    };
    gradcheck(first(&MAX_POOL2D, max_attrs(true)), &x);
    gradcheck(first(&ADAPTIVE_MAX_POOL2D, vec![ints(&[2, 4])]), &x);
    gradcheck(first(&ADAPTIVE_AVG_POOL2D, vec![ints(&[3, 4])]), &x);
    for divisor in [Attr::None, 5i64.into()] {
        let a = [ints(&[3, 2]), ints(&[2, 1]), ints(&[1, 1]), true.into(), false.into(), divisor];
        gradcheck(first(&AVG_POOL2D, a.to_vec()), &x);
    }
}

#[test]
fn refusals() {
    let x = values(&[1, 1, 4, 4]);
    let bad = [
        vec![ints(&[0, 2])],
        vec![ints(&[5, 5])],
        vec![ints(&[2, 2]), ints(&[0, 1])],
        vec![ints(&[2, 2]), Attr::None, ints(&[2, 2])],
        vec![ints(&[2, 2, 2])],
        vec![ints(&[1 << 30, 1 << 30]), Attr::None, ints(&[1 << 29, 1 << 29])],
        vec![],
    ];
    for a in bad {
        let mut a = a;
        while a.len() < 3 {
            a.push(if a.len() == 2 { ints(&[0]) } else { Attr::None });
        }
        a.extend([ints(&[1]), false.into()]);
        assert!(call(&MAX_POOL2D, &[&x], &a).is_err(), "{a:?}");
        a.remove(3);
        assert!(call(&AVG_POOL2D, &[&x], &a).is_err(), "{a:?}");
    }
    assert!(call(&ADAPTIVE_AVG_POOL2D, &[&x], &[ints(&[-1, 2])]).is_err());
    let wrong = Tensor::zeros(&[1, 1, 2, 2], DType::F64, crate::storage::Device::Cpu).unwrap();
    let index = Tensor::from_slice(&[-1i64, 16, i64::MAX, 3], &[1, 1, 2, 2]).unwrap();
    let a = [ints(&[4, 4]), ints(&[2, 2]), Attr::None, ints(&[0]), ints(&[1]), false.into()];
    let y = call(&MAX_SCATTER, &[&wrong, &index], &a).unwrap();
    assert_eq!(y.to_vec::<f64>().unwrap(), [0.0; 16]);
    let y = call(&MAX_GATHER, &[&x, &index], &a).unwrap().to_vec::<f64>().unwrap();
    assert_eq!(y, [0.0, 0.0, 0.0, x.to_vec::<f64>().unwrap()[3]]);
    assert!(call(&MAX_SCATTER, &[&x, &index], &a).is_err());
}

#[test]
fn both_devices_agree() {
    let go = |op: &'static OpDef, x: &[Tensor], a: &[Attr]| {
        on_both(|x| apply(op, &x.iter().cloned().map(Some).collect::<Vec<_>>(), a), x);
    };
    let there = |shape: &[usize]| cast::to(&values(shape), DType::F32).unwrap();
    let x = there(&[2, 3, 9, 11]);
    let mut data = x.to_vec::<f32>().unwrap();
    data[5] = f32::NAN;
    data[230] = f32::NEG_INFINITY;
    let odd = Tensor::from_slice(&data, x.shape()).unwrap();
    for x in [&x, &odd, &cast::to(&x, DType::BF16).unwrap()] {
        for a in [
            max_attrs(true)[..5].to_vec(),
            max_attrs(false)[..5].to_vec(),
            vec![ints(&[9, 9]), ints(&[3, 1]), ints(&[4, 4]), ints(&[1]), true.into()],
        ] {
            go(&MAX_POOL, std::slice::from_ref(x), &a);
            let outs = apply(&MAX_POOL, &[Some(x.clone())], &a).unwrap();
            let mut all = vec![ints(&[9, 11])];
            all.extend(a);
            go(&MAX_SCATTER, &outs, &all);
            go(&MAX_GATHER, &[x.clone(), outs[1].clone()], &all);
        }
        for size in [[1, 1], [4, 5], [12, 20]] {
            go(&ADAPTIVE_AVG_POOL2D, std::slice::from_ref(x), &[ints(&size)]);
            go(&ADAPTIVE_MAX_POOL, std::slice::from_ref(x), &[ints(&size)]);
            let outs = apply(&ADAPTIVE_MAX_POOL, &[Some(x.clone())], &[ints(&size)]).unwrap();
            go(&MAX_SCATTER, &outs, &[ints(&[9, 11]), ints(&[])]);
            go(&ADAPTIVE_AVG_POOL_BACKWARD, &outs[..1], &[ints(&[9, 11])]);
        }
    }
    for divisor in [Attr::None, 5i64.into()] {
        for (kernel, include) in [([3, 2], false), ([3, 4], true), ([9, 9], false)] {
            let pad = [kernel[0] / 2, kernel[1] / 2];
            let a = [
                ints(&kernel),
                ints(&[2, 1]),
                ints(&pad),
                true.into(),
                include.into(),
                divisor.clone(),
            ];
            go(&AVG_POOL2D, std::slice::from_ref(&x), &a);
            let y = call(&AVG_POOL2D, &[&x], &a).unwrap();
            let mut all = vec![ints(&[9, 11])];
            all.extend(a);
            go(&AVG_POOL_BACKWARD, &[y], &all);
        }
    }
    go(
        &MAX_POOL,
        &[there(&[3, 20])],
        &[ints(&[3]), ints(&[2]), ints(&[1]), ints(&[2]), true.into()],
    );
    go(&ADAPTIVE_AVG_POOL1D, &[there(&[2, 3, 500])], &[ints(&[3])]);
}
