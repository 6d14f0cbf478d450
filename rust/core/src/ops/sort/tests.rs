use super::*;
use crate::dtype::Flag;
use crate::ops::Attr;
use crate::ops::testing::gradcheck;

fn f(v: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(v, shape).unwrap()
}

fn both(op: &'static OpDef, x: &Tensor, attrs: &[Attr]) -> (Vec<f64>, Vec<i64>) {
    let outs = apply(op, &[Some(x.clone())], attrs).unwrap();
    (outs[0].to_vec().unwrap(), outs[1].to_vec().unwrap())
}

#[test]
fn order_is_stable_and_nan_is_greatest() {
    let nan = f64::NAN;
    let x = f(&[2.0, nan, -0.0, 0.0, -1.0, f64::INFINITY, 2.0, -nan], &[8]);
    let (v, i) = both(&SORT, &x, &[0i64.into(), false.into()]);
    assert_eq!(i, [4, 2, 3, 0, 6, 5, 1, 7]);
    assert!(v[6].is_nan() && v[7].is_nan());
    assert_eq!(both(&SORT, &x, &[0i64.into(), true.into()]).1, [1, 7, 5, 0, 6, 2, 3, 4]);
    let m = f(&[3.0, 1.0, 2.0, 0.0], &[2, 2]);
    assert_eq!(
        both(&SORT, &m, &[0i64.into(), false.into()]),
        (vec![2.0, 0.0, 3.0, 1.0], vec![1, 1, 0, 0])
    );
    let e = i64::MIN;
    let l = Tensor::from_slice(&[0i64, i64::MAX, e, -1], &[4]).unwrap();
    assert_eq!(both(&SORT, &l, &[]).1, [2, 3, 0, 1]);
    let b = Tensor::from_slice(&[200u8, 3, 255], &[3]).unwrap();
    assert_eq!(both(&SORT, &b, &[(-1i64).into(), true.into()]).0, [255.0, 200.0, 3.0]);
}

#[test]
fn long_rows_are_sorted_by_digits() {
    for n in [2047, 2048, 50_000] {
        let data: Vec<f32> = (0..n).map(|i| ((i * 7919 % 10_007) as f32 - 5000.0) * 0.25).collect();
        let x = Tensor::from_slice(&data, &[n]).unwrap();
        let (v, i) = both(&SORT, &x, &[0i64.into(), false.into()]);
        let mut want: Vec<usize> = (0..n).collect();
        want.sort_by(|&a, &b| data[a].total_cmp(&data[b]));
        assert!(i.iter().zip(&want).all(|(&a, &b)| a as usize == b));
        assert!(v.iter().zip(&want).all(|(&a, &b)| a == f64::from(data[b])));
    }
}

#[test]
fn selections() {
    let x = f(&[5.0, 1.0, 4.0, 2.0, 3.0, 9.0], &[2, 3]);
    let top = [2i64.into(), (-1i64).into(), true.into()];
    assert_eq!(both(&TOPK, &x, &top), (vec![5.0, 4.0, 9.0, 3.0], vec![0, 2, 2, 1]));
    let low = [1i64.into(), 0i64.into(), false.into()];
    assert_eq!(both(&TOPK, &x, &low), (vec![2.0, 1.0, 4.0], vec![1, 0, 0]));
    assert_eq!(both(&KTHVALUE, &x, &[2i64.into(), 1i64.into()]), (vec![4.0, 3.0], vec![2, 1]));
    assert_eq!(both(&MEDIAN, &x, &[0i64.into()]), (vec![2.0, 1.0, 4.0], vec![1, 0, 0]));
    let m = call(&MEDIAN, &[&x], &[Attr::None]).unwrap();
    assert_eq!(m.to_vec::<f64>().unwrap(), [3.0]);
    let nan = both(&MEDIAN, &f(&[1.0, f64::NAN, 0.0], &[3]), &[0i64.into()]);
    assert!(nan.0[0].is_nan() && nan.1 == [1]);
    let mode = both(&MODE, &f(&[3.0, 2.0, 3.0, 2.0, 1.0, 7.0, 7.0, 1.0, 7.0, 0.0], &[2, 5]), &[]);
    assert_eq!(mode, (vec![2.0, 7.0], vec![3, 3]));
    assert!(apply(&TOPK, &[Some(x.clone())], &[4i64.into()]).is_err());
    assert!(apply(&KTHVALUE, &[Some(x)], &[0i64.into()]).is_err());
    let zero_d = Tensor::scalar(3.0, DType::F32).unwrap();
    assert_eq!(both(&SORT, &zero_d, &[]), (vec![3.0], vec![0]));
    assert_eq!(both(&TOPK, &zero_d, &[1i64.into()]), (vec![3.0], vec![0]));
    let empty = Tensor::zeros(&[2, 0], DType::F32, crate::Device::Cpu).unwrap();
    assert_eq!(both(&SORT, &empty, &[]).0.len(), 0);
}

#[test]
fn gradients() {
    let x = f(&[0.5, 1.2, 2.0, 0.7, 1.5, 0.3], &[2, 3]);
    let cases: [(&'static OpDef, Vec<Attr>); 5] = [
        (&SORT, vec![0i64.into(), true.into()]),
        (&TOPK, vec![2i64.into(), 1i64.into(), true.into()]),
        (&KTHVALUE, vec![2i64.into(), 1i64.into()]),
        (&MEDIAN, vec![Attr::None]),
        (&MODE, vec![1i64.into()]),
    ];
    for (op, attrs) in cases {
        gradcheck(|x| call(op, &[&t::mul(&x[0], &x[0])?], &attrs), std::slice::from_ref(&x));
    }
}

#[test]
fn searching() {
    let s = f(&[1.0, 3.0, 3.0, 5.0], &[4]);
    let v = f(&[0.0, 3.0, 6.0, f64::NAN], &[2, 2]);
    let go = |right: bool| {
        let attrs = [false.into(), right.into(), Attr::None];
        let inputs = [Some(s.clone()), Some(v.clone()), None];
        apply(&search::SEARCHSORTED, &inputs, &attrs).unwrap()[0].to_vec::<i64>().unwrap()
    };
    assert_eq!(go(false), [0, 1, 4, 4]);
    assert_eq!(go(true), [0, 3, 4, 4]);
    let hit = call(&search::ISIN, &[&v, &s], &[false.into(), false.into()]).unwrap();
    assert_eq!(hit.to_vec::<Flag>().unwrap(), [false, true, false, false].map(Flag::new));
    let b = call(&search::BUCKETIZE, &[&v, &s], &[true.into(), false.into()]).unwrap();
    assert_eq!((b.dtype(), b.to_vec::<i64>().unwrap()), (DType::I32, vec![0, 1, 4, 4]));
}

#[test]
fn distinct() {
    let x = Tensor::from_slice(&[3i64, 1, 3, 2, 1, 3], &[2, 3]).unwrap();
    let outs = apply(&unique::UNIQUE, &[Some(x.clone())], &[true.into(), true.into(), true.into()])
        .unwrap();
    let v = |i: usize| outs[i].to_vec::<i64>().unwrap();
    assert_eq!((v(0), v(1), v(2)), (vec![1, 2, 3], vec![2, 0, 2, 1, 0, 2], vec![2, 1, 3]));
    assert_eq!(outs[1].shape(), [2, 3]);
    let rows = Tensor::from_slice(&[2i64, 1, 1, 9, 2, 1], &[3, 2]).unwrap();
    let attrs = [true.into(), true.into(), true.into(), 0i64.into()];
    let outs = apply(&unique::UNIQUE, &[Some(rows)], &attrs).unwrap();
    let v = |i: usize| outs[i].to_vec::<i64>().unwrap();
    assert_eq!((v(0), v(1), v(2)), (vec![1, 9, 2, 1], vec![1, 0, 1], vec![1, 2]));
    let attrs = [true.into(), true.into()];
    let outs = apply(
        &unique::UNIQUE_CONSECUTIVE,
        &[Some(Tensor::from_slice(&[1i64, 1, 2, 1], &[4]).unwrap())],
        &attrs,
    )
    .unwrap();
    assert_eq!(outs[0].to_vec::<i64>().unwrap(), [1, 2, 1]);
    assert_eq!(outs[2].to_vec::<i64>().unwrap(), [2, 1, 1]);
    let none =
        apply(&unique::UNIQUE, &[Some(Tensor::from_slice::<f32>(&[], &[0]).unwrap())], &attrs)
            .unwrap();
    assert_eq!(none[0].numel(), 0);
    let bins = apply(
        &unique::BINCOUNT,
        &[Some(crate::ops::view::reshape(&x, &[6]).unwrap()), None],
        &[5i64.into()],
    )
    .unwrap();
    assert_eq!(bins[0].to_vec::<i64>().unwrap(), [0, 2, 1, 3, 0]);
}

#[test]
fn the_gpu_sorts_the_same() {
    use crate::ops::testing::on_both;
    let mut values: Vec<f64> = (0..60).map(|i| f64::from((i * 7919 + 13) % 31) - 15.0).collect();
    for dtype in [
        DType::F32,
        DType::F16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::I8,
        DType::U32,
        DType::U64,
    ] {
        if dtype == DType::F32 {
            (values[3], values[17], values[40], values[41]) = (f64::NAN, f64::NAN, -0.0, 0.0);
        }
        let x = crate::ops::cast::to(&f(&values, &[3, 4, 5]), dtype).unwrap();
        (values[3], values[17]) = (1.0, 2.0);
        for dim in [0i64, 1, 2] {
            on_both(
                |x| {
                    let x = Some(x[0].clone());
                    let mut outs =
                        apply(&SORT, std::slice::from_ref(&x), &[dim.into(), false.into()])?;
                    outs.extend(apply(
                        &SORT,
                        std::slice::from_ref(&x),
                        &[dim.into(), true.into()],
                    )?);
                    outs.extend(apply(
                        &TOPK,
                        std::slice::from_ref(&x),
                        &[2i64.into(), dim.into(), true.into()],
                    )?);
                    outs.extend(apply(
                        &KTHVALUE,
                        std::slice::from_ref(&x),
                        &[2i64.into(), dim.into()],
                    )?);
                    outs.extend(apply(&MEDIAN, std::slice::from_ref(&x), &[dim.into()])?);
                    outs.extend(apply(&MODE, &[x], &[dim.into()])?);
                    Ok(outs)
                },
                std::slice::from_ref(&x),
            );
        }
        on_both(
            |x| {
                let flat = view::reshape(&x[0], &[60])?;
                let yes = [true.into(), true.into(), true.into()];
                let mut outs = apply(&unique::UNIQUE, &[Some(flat.clone())], &yes)?;
                let sorted = call(&SORT, &[&flat], &[0i64.into(), false.into()])?;
                outs.push(call(&search::SEARCH, &[&sorted, &x[0]], &[true.into()])?);
                outs.push(call(&search::ISIN, &[&x[0], &view::narrow(&flat, 0, 0, 5)?], &[])?);
                Ok(outs)
            },
            &[x],
        );
    }
    let long: Vec<f32> = (0..30_000).map(|i| ((i * 7919) % 10_007) as f32).collect();
    let x = Tensor::from_slice(&long, &[3, 10_000]).unwrap();
    on_both(|x| apply(&SORT, &[Some(x[0].clone())], &[1i64.into(), true.into()]), &[x]);
    let ids = Tensor::from_slice(&[3i64, 1, 3], &[3]).unwrap();
    on_both(|x| apply(&unique::BINCOUNT, &[Some(x[0].clone()), None], &[0i64.into()]), &[ids]);
}
