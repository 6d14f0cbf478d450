use super::def::*;
use crate::apply::{apply, call};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::testing::{gradcheck, on_both};
use crate::ops::{Attr, OpDef, cast, view};
use crate::tensor::Tensor;
use smallvec::smallvec;

fn values(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product();
    let v: Vec<f64> = (0..n).map(|i| ((i * 31 + seed * 17) % 23) as f64 / 8.0 - 1.25).collect();
    Tensor::from_slice(&v, shape).unwrap()
}

fn run(op: &'static OpDef, x: &[Tensor], attrs: &[Attr]) -> Result<Tensor> {
    let mut inputs: Vec<Option<Tensor>> = x.iter().cloned().map(Some).collect();
    inputs.resize(3, None);
    Ok(apply(op, &inputs, attrs)?.swap_remove(0))
}

/// stride, padding, dilation, groups.
fn attrs(stride: &[i64], padding: &[i64], dilation: &[i64], groups: i64) -> Vec<Attr> {
    vec![stride.into(), padding.into(), dilation.into(), groups.into()]
}

#[test]
fn an_image_by_hand() {
    let x =
        Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &[1, 3, 3]).unwrap();
    let w = Tensor::from_slice(&[1.0f32, 0.0, 0.0, -1.0], &[1, 1, 2, 2]).unwrap();
    let y = run(&CONV2D, &[x.clone(), w.clone()], &attrs(&[1], &[0], &[1], 1)).unwrap();
    assert_eq!(y.shape(), [1, 2, 2]);
    assert_eq!(y.to_vec::<f32>().unwrap(), [-4.0; 4]);
    let y = run(&CONV2D, &[x, w], &attrs(&[2, 1], &[1, 0], &[2], 1)).unwrap();
    assert_eq!(y.shape(), [1, 2, 1]);
    assert_eq!(y.to_vec::<f32>().unwrap(), [-6.0, 4.0]);
}

#[test]
fn layouts_and_half_types_give_the_same() {
    let (x, w, b) = (values(&[2, 4, 5, 6], 1), values(&[6, 2, 3, 2], 2), values(&[6], 3));
    let a = attrs(&[2, 1], &[1, 2], &[1, 2], 2);
    let want =
        run(&CONV2D, &[x.clone(), w.clone(), b.clone()], &a).unwrap().to_vec::<f64>().unwrap();
    let turned = |t: &Tensor| {
        let back =
            view::transpose(&cast::copy(&view::transpose(t, 0, -1).unwrap()).unwrap(), 0, -1);
        back.unwrap()
    };
    let got = run(&CONV2D, &[turned(&x), turned(&w), b.clone()], &a).unwrap();
    assert_eq!(got.to_vec::<f64>().unwrap(), want);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let ins = [&x, &w, &b].map(|t| cast::to(t, dtype).unwrap());
        let got = run(&CONV2D, &ins, &a).unwrap();
        assert_eq!(got.dtype(), dtype);
        for (g, w) in got.to_vec::<f64>().unwrap().iter().zip(&want) {
            assert!((g - w).abs() <= 0.01 * (1.0 + w.abs()), "{g} against {w}");
        }
    }
}

#[test]
fn gradients_to_second_order() {
    let a = attrs(&[2, 1], &[1, 0], &[1, 2], 2);
    let ins = [values(&[2, 2, 4, 5], 1), values(&[2, 1, 2, 2], 2), values(&[2], 3)];
    gradcheck(|x| run(&CONV2D, x, &a), &ins);
    let a = attrs(&[2], &[1], &[1], 1);
    gradcheck(
        |x| run(&CONV1D, x, &a),
        &[values(&[2, 5], 1), values(&[2, 2, 3], 2), values(&[2], 3)],
    );
    let a: Vec<Attr> = [2i64, 1, 1, 1, 1].iter().map(|&v| v.into()).collect();
    gradcheck(|x| run(&CONV_TRANSPOSE1D, x, &a), &[values(&[1, 2, 3], 1), values(&[2, 2, 2], 2)]);
    let a: Vec<Attr> =
        vec![[1i64, 2][..].into(), 0i64.into(), 0i64.into(), 2i64.into(), 1i64.into()];
    gradcheck(
        |x| run(&CONV_TRANSPOSE2D, x, &a),
        &[values(&[2, 2, 2], 1), values(&[2, 1, 2, 2], 2), values(&[2], 3)],
    );
}

#[test]
fn a_transpose_may_pad_beyond_its_stride() {
    let (x, w) = (values(&[1, 1, 3], 1), values(&[1, 1, 2], 2));
    let transposed = |padding: i64, extra: i64| {
        let a: Vec<Attr> = [1, padding, extra, 1, 3].iter().map(|&v: &i64| v.into()).collect();
        let y = run(&CONV_TRANSPOSE1D, &[x.clone(), w.clone()], &a).unwrap();
        y.to_vec::<f64>().unwrap()
    };
    let plain = transposed(0, 0);
    assert_eq!(plain.len(), 6);
    assert_eq!(transposed(0, 2), [&plain[..], &[0.0, 0.0]].concat());
    assert_eq!(transposed(1, 2), plain[1..].iter().copied().chain([0.0]).collect::<Vec<f64>>());
    assert_eq!(transposed(2, 1), plain[2..5]);
}

#[test]
fn empty_batches_and_refusals() {
    let (w, plain) = (values(&[3, 2, 2, 2], 1), attrs(&[1], &[0], &[1], 1));
    let y = run(&CONV2D, &[values(&[0, 2, 4, 4], 1), w.clone()], &plain).unwrap();
    assert_eq!(y.shape(), [0, 3, 3, 3]);
    let x = values(&[1, 2, 4, 4], 1);
    let bad = [
        attrs(&[0], &[0], &[1], 1),
        attrs(&[1], &[-1], &[1], 1),
        attrs(&[1], &[0], &[4], 1),
        attrs(&[1], &[0], &[1], 2),
        attrs(&[1], &[0], &[1], 0),
        attrs(&[1, 1, 1], &[0], &[1], 1),
        attrs(&[i64::MAX], &[0], &[1], 1),
        attrs(&[1 << 30], &[1 << 30], &[1], 1),
    ];
    for a in &bad {
        assert!(run(&CONV2D, &[x.clone(), w.clone()], a).is_err(), "{a:?}");
    }
    assert!(run(&CONV2D, &[x.clone(), w.clone(), values(&[2], 1)], &plain).is_err());
    assert!(run(&CONV1D, &[x.clone(), w.clone()], &plain).is_err());
    assert!(run(&CONV2D, &[cast::to(&x, DType::I64).unwrap(), w.clone()], &plain).is_err());
    let mut a = plain.clone();
    a.insert(0, [4i64, 4][..].into());
    assert!(call(&CONV_GRAD_INPUT, &[&values(&[1, 3, 2, 3], 1), &w], &a).is_err());
    // Steps that are never taken cost nothing.
    let y = run(&CONV2D, &[x, w], &attrs(&[1 << 30], &[0], &[1], 1)).unwrap();
    assert_eq!(y.shape(), [1, 3, 1, 1]);
}

#[test]
fn both_devices_agree() {
    let shapes: &[(&[usize], &[usize], Vec<Attr>)] = &[
        (&[2, 3, 9, 8], &[7, 3, 3, 2], attrs(&[2, 1], &[1, 2], &[1, 2], 1)),
        (&[3, 8, 6, 6], &[12, 4, 3, 3], attrs(&[1], &[1], &[1], 2)),
        (&[2, 6, 7, 7], &[6, 1, 3, 3], attrs(&[2], &[1], &[1], 6)),
        (&[5, 12, 12], &[9, 5, 1, 1], attrs(&[3], &[0], &[1], 1)),
        (&[4, 2, 30], &[8, 2, 5], attrs(&[2], &[2], &[3], 1)),
        (&[16, 40, 12, 12], &[48, 40, 3, 3], attrs(&[1], &[1], &[1], 1)),
        (&[0, 2, 4, 4], &[3, 2, 2, 2], attrs(&[1], &[0], &[1], 1)),
    ];
    for (x, w, a) in shapes {
        for dtype in [DType::F32, DType::BF16] {
            if dtype == DType::BF16 && x.len() != 4 {
                continue;
            }
            let scale = 1.0 / (w[1..].iter().product::<usize>() as f64).sqrt();
            let to = |t: &Tensor| {
                cast::to(&crate::ops::expr::t::scale(t, scale).unwrap(), dtype).unwrap()
            };
            let (x, w, b) = (to(&values(x, 1)), to(&values(w, 2)), to(&values(&w[..1], 3)));
            let op = if w.ndim() == 3 { &CONV1D } else { &CONV2D };
            on_both(|t| Ok(smallvec![run(op, t, a)?]), &[x.clone(), w.clone(), b]);
            let y =
                to(&cast::to(&run(op, &[x.clone(), w.clone()], a).unwrap(), DType::F64).unwrap());
            let sized = |t: &Tensor, skip: usize| {
                let mut attrs = vec![t.shape()[skip..].into()];
                attrs.extend(a.iter().cloned());
                attrs
            };
            let rank = w.ndim() - 2;
            let attrs = sized(&x, x.ndim() - rank);
            on_both(
                |t| Ok(smallvec![call(&CONV_GRAD_INPUT, &[&t[0], &t[1]], &attrs)?]),
                &[y.clone(), w.clone()],
            );
            let attrs = sized(&w, 2);
            on_both(|t| Ok(smallvec![call(&CONV_GRAD_WEIGHT, &[&t[0], &t[1]], &attrs)?]), &[x, y]);
        }
    }
    let a: Vec<Attr> = [2i64, 1, 1, 1, 1].iter().map(|&v| v.into()).collect();
    let ins = [values(&[2, 3, 4, 5], 1), values(&[3, 2, 3, 3], 2), values(&[2], 3)]
        .map(|t| cast::to(&t, DType::F32).unwrap());
    on_both(|t| Ok(smallvec![run(&CONV_TRANSPOSE2D, t, &a)?]), &ins);
}
