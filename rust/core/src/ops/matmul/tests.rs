use super::*;
use crate::apply::{apply, call};
use crate::autograd::NoGrad;
use crate::dtype::DType;
use crate::error::{Kind, Result};
use crate::ops::testing::{gradcheck, on_both};
use crate::ops::{cast, view};
use crate::tensor::Tensor;

fn values(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product();
    let v: Vec<f64> = (0..n).map(|i| ((i * 31 + seed * 17) % 23) as f64 / 4.0 - 2.5).collect();
    Tensor::from_slice(&v, shape).unwrap()
}

/// The product of 2-D or batched tensors (already broadcast) by the definition.
fn naive(a: &Tensor, b: &Tensor, shape: &[usize]) -> Vec<f64> {
    let (m, n) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let k = a.shape()[a.ndim() - 1];
    let lead = &shape[..shape.len() - 2];
    let full = |t: &Tensor, r: usize, c: usize| {
        view::expand(t, &[lead, &[r, c]].concat()).unwrap().to_vec::<f64>().unwrap()
    };
    let (a, b) = (full(a, m, k), full(b, k, n));
    let mut out = Vec::new();
    for i in 0..lead.iter().product::<usize>() {
        for r in 0..m {
            for c in 0..n {
                out.push((0..k).map(|l| a[(i * m + r) * k + l] * b[(i * k + l) * n + c]).sum());
            }
        }
    }
    out
}

fn close(got: &Tensor, want: &[f64], tol: f64) {
    let got = got.to_vec::<f64>().unwrap();
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tol * (1.0 + w.abs()), "{g} against {w}");
    }
}

fn t(x: &Tensor) -> Tensor {
    view::transpose(x, -1, -2).unwrap()
}

#[test]
fn all_batchings_agree_with_the_definition() {
    let pairs: &[(&[usize], &[usize])] = &[
        (&[3, 4], &[4, 5]),
        (&[2, 3, 4], &[4, 5]),
        (&[2, 1, 4], &[4, 5]),
        (&[6, 2, 3, 4], &[2, 4, 5]),
        (&[6, 1, 3, 4], &[2, 4, 5]),
        (&[3, 4], &[7, 4, 5]),
        (&[1, 3, 4], &[7, 4, 1]),
        (&[0, 3, 4], &[4, 5]),
        (&[3, 0], &[0, 2]),
        (&[70, 33], &[33, 90]),
    ];
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        let tol = if dtype.size() == 2 { 1e-2 } else { 1e-5 };
        for (sa, sb) in pairs {
            let a = cast::to(&values(sa, 1), dtype).unwrap();
            let b = cast::to(&values(sb, 2), dtype).unwrap();
            let y = matmul(&a, &b).unwrap();
            assert_eq!(y.dtype(), dtype);
            let want = naive(&a, &b, y.shape());
            close(&y, &want, tol);
            // The same from transposed memory, and with a stack that has gaps.
            close(&matmul(&t(&cast::copy(&t(&a)).unwrap()), &b).unwrap(), &want, tol);
            close(&matmul(&a, &t(&cast::copy(&t(&b)).unwrap())).unwrap(), &want, tol);
            let wide = view::expand(&a, &[&[2], a.shape()].concat()).unwrap();
            let gaps = view::select(&cast::copy(&t(&wide)).unwrap(), 0, 1).unwrap();
            close(&matmul(&t(&gaps), &b).unwrap(), &want, tol);
        }
    }
}

#[test]
fn vectors_lose_their_dimension() {
    let (v, m) = (values(&[4], 1), values(&[2, 4, 3], 2));
    let row = view::unsqueeze(&v, 0).unwrap();
    let y = matmul(&v, &m).unwrap();
    assert_eq!(y.shape(), [2, 3]);
    close(&y, &naive(&row, &m, &[2, 1, 3]), 1e-12);
    let y = matmul(&t(&m), &v).unwrap();
    assert_eq!(y.shape(), [2, 3]);
    close(&y, &naive(&row, &m, &[2, 1, 3]), 1e-12);
    assert_eq!(call(&DOT, &[&v, &v], &[]).unwrap().shape(), [0usize; 0]);
    assert_eq!(call(&OUTER, &[&v, &v], &[]).unwrap().shape(), [4, 4]);
}

#[test]
fn integers_wrap() {
    let a = Tensor::from_slice(&[100u8, 200, 3, 4], &[2, 2]).unwrap();
    assert_eq!(matmul(&a, &a).unwrap().to_vec::<u8>().unwrap(), [104, 64, 56, 104]);
    let b = Tensor::from_slice(&[i64::MAX, 1, 2, 3], &[2, 2]).unwrap();
    assert_eq!(matmul(&b, &b).unwrap().to_vec::<i64>().unwrap(), [3, i64::MIN + 2, 4, 11]);
}

#[test]
fn refusals_say_which_shapes() {
    let (a, b) = (values(&[2, 3], 1), values(&[2, 3], 2));
    let e = matmul(&a, &b).err().unwrap();
    assert!(e.kind == Kind::Shape && e.msg.contains("(2, 3)"), "{e}");
    let e = matmul(&values(&[2, 3, 3], 1), &values(&[4, 3, 3], 1)).err().unwrap();
    assert!(e.kind == Kind::Shape && e.msg.contains("(4, 3, 3)"), "{e}");
    assert!(matmul(&a, &cast::to(&t(&b), DType::F32).unwrap()).is_err());
    assert!(matmul(&a, &Tensor::scalar(1.0, DType::F64).unwrap()).is_err());
    assert!(call(&LINEAR, &[&a, &b, &values(&[3], 1)], &[]).is_err());
}

#[test]
fn linear_is_a_product_with_a_bias() {
    for lead in [&[][..], &[7], &[2, 3], &[0]] {
        for dtype in [DType::F64, DType::F32, DType::BF16] {
            let to = |x: &Tensor| cast::to(x, dtype).unwrap();
            let x = to(&values(&[lead, &[4]].concat(), 1));
            let (w, b) = (to(&values(&[5, 4], 2)), to(&values(&[5], 3)));
            let y = call(&LINEAR, &[&x, &w, &b], &[]).unwrap();
            let want = crate::ops::expr::t::add(&matmul(&x, &t(&w)).unwrap(), &b).unwrap();
            close(&y, &want.to_vec::<f64>().unwrap(), if dtype.size() == 2 { 3e-2 } else { 1e-6 });
            let y = call(&LINEAR, &[&x, &view::select(&w, 0, 0).unwrap()], &[]).unwrap();
            assert_eq!(y.shape(), lead);
        }
    }
}

#[test]
fn gradients() {
    let pairs: &[(&[usize], &[usize])] = &[
        (&[3, 2], &[2, 3]),
        (&[2], &[2]),
        (&[2], &[2, 3]),
        (&[3, 2], &[2]),
        (&[2, 3, 2], &[2]),
        (&[2], &[3, 2, 2]),
        (&[2, 2, 3], &[3, 2]),
        (&[2, 3], &[2, 3, 2]),
        (&[2, 1, 2, 3], &[3, 3, 1]),
    ];
    for (a, b) in pairs {
        gradcheck(|x| matmul(&x[0], &x[1]), &[values(a, 1), values(b, 2)]);
    }
    for lead in [&[][..], &[3], &[2, 2]] {
        let x = values(&[lead, &[3]].concat(), 1);
        gradcheck(
            |x| call(&LINEAR, &[&x[0], &x[1], &x[2]], &[]),
            &[x.clone(), values(&[2, 3], 2), values(&[2], 3)],
        );
        gradcheck(|x| call(&LINEAR, &[&x[0], &x[1]], &[]), &[x, values(&[3], 2)]);
    }
    let three = [values(&[3], 3), values(&[2, 4], 1), values(&[4, 3], 2)];
    for (beta, alpha) in [(1.0, 1.0), (0.5, -2.0)] {
        let f = |x: &[Tensor]| call(&ADDMM, &[&x[0], &x[1], &x[2]], &[beta.into(), alpha.into()]);
        gradcheck(f, &three);
    }
}

#[test]
fn addmm_ignores_the_input_where_beta_is_zero() -> Result<()> {
    let nan = Tensor::scalar(f64::NAN, DType::F64)?;
    let (a, b) = (values(&[2, 3], 1), values(&[3, 2], 2));
    let y = call(&ADDMM, &[&nan, &a, &b], &[0i64.into(), 1i64.into()])?;
    close(&y, &naive(&a, &b, &[2, 2]), 1e-12);
    let _mode = NoGrad::new();
    assert!(apply(&BMM, &[Some(a), Some(b)], &[]).is_err());
    Ok(())
}

#[test]
fn both_devices_agree() {
    let run = |op: &'static crate::ops::OpDef, x: &[Tensor]| {
        on_both(|x| apply(op, &x.iter().cloned().map(Some).collect::<Vec<_>>(), &[]), x);
    };
    let pairs: &[(&[usize], &[usize])] = &[
        (&[3, 5], &[5, 7]),
        (&[2, 33, 17], &[17, 40]),
        (&[6, 2, 9, 4], &[2, 4, 5]),
        (&[70, 33], &[7, 33, 50]),
        (&[130, 600], &[600, 70]),
        (&[5, 3000], &[3000, 6]),
        (&[1, 4], &[3, 4, 1]),
        (&[600], &[600]),
        (&[300], &[2, 300, 40]),
        (&[2, 40, 300], &[300]),
        (&[1, 40000], &[40000, 3]),
        (&[0, 3], &[3, 2]),
        (&[3, 0], &[0, 2]),
        (&[520, 9], &[9, 516]),
        (&[1100, 5], &[5, 1001]),
        (&[64, 5000], &[5000, 40]),
    ];
    for (sa, sb) in pairs {
        let small = |s: &[usize], seed| cast::to(&values(s, seed), DType::F32).unwrap();
        let (a, b) = (small(sa, 1), small(sb, 2));
        run(&MATMUL, &[a.clone(), b.clone()]);
        let turn = |x: &Tensor| view::transpose(x, 0, -1).unwrap();
        let back = |x: &Tensor| turn(&cast::copy(&turn(x)).unwrap());
        run(&MATMUL, &[back(&a), back(&b)]);
    }
    for dtype in [DType::F16, DType::BF16, DType::I64, DType::I32, DType::U8, DType::I16] {
        let [x, w, b] = [values(&[3, 9, 13], 1), values(&[11, 13], 2), values(&[11], 3)]
            .map(|x| cast::to(&x, dtype).unwrap());
        run(&LINEAR, &[x.clone(), w.clone(), b]);
        run(&MATMUL, &[x, t(&w)]);
    }
    let [x, w, b] = [values(&[3, 9, 13], 1), values(&[11, 13], 2), values(&[11], 3)]
        .map(|x| cast::to(&x, DType::F32).unwrap());
    run(&LINEAR, &[x.clone(), w.clone(), b]);
    run(&LINEAR, &[x, w]);
    let [x, w, b] = [values(&[2, 1500], 1), values(&[11, 1500], 2), values(&[11], 3)]
        .map(|x| cast::to(&x, DType::F32).unwrap());
    run(&LINEAR, &[x.clone(), w.clone(), b.clone()]);
    let row = view::select(&w, 0, 0).unwrap();
    run(&LINEAR, &[x, row, view::select(&b, 0, 0).unwrap()]);
}
