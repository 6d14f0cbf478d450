use super::*;
use crate::apply::{apply, call};
use crate::error::Kind;

fn made_by(op: &'static OpDef, attrs: &[Attr]) -> Result<Tensor> {
    call(op, &[], attrs)
}

fn ints(v: &[i64]) -> Attr {
    Attr::from(v)
}

#[test]
fn constants_have_the_value_the_dtype_and_the_shape() {
    let z = made_by(&ZEROS, &[ints(&[2, 3]), DType::I32.into()]).unwrap();
    assert_eq!(
        (z.shape(), z.dtype(), z.to_vec::<i64>().unwrap()),
        (&[2, 3][..], DType::I32, vec![0; 6])
    );
    for dtype in crate::dtype::ALL {
        let o = made_by(&ONES, &[ints(&[3]), dtype.into()]).unwrap();
        assert_eq!(o.to_vec::<f64>().unwrap(), [1.0; 3]);
    }
    assert_eq!(made_by(&ONES, &[ints(&[])]).unwrap().shape(), [0usize; 0]);
    let big = (1i64 << 60) + 1;
    let f = made_by(&FULL, &[ints(&[2]), big.into()]).unwrap();
    assert_eq!((f.dtype(), f.to_vec::<i64>().unwrap()), (DType::I64, vec![big; 2]));
    assert_eq!(made_by(&FULL, &[ints(&[1]), true.into()]).unwrap().dtype(), DType::Bool);
    assert_eq!(made_by(&FULL, &[ints(&[1]), 2.5.into()]).unwrap().dtype(), DType::F32);
    let x = Tensor::zeros(&[2, 2], DType::U8, Device::Cpu).unwrap();
    let l = call(&FULL_LIKE, &[&x], &[Attr::Float(7.9)]).unwrap();
    assert_eq!((l.dtype(), l.to_vec::<i64>().unwrap()), (DType::U8, vec![7; 4]));
    let l = call(&ONES_LIKE, &[&x], &[DType::F64.into()]).unwrap();
    assert_eq!((l.dtype(), l.to_vec::<f64>().unwrap()), (DType::F64, vec![1.0; 4]));
}

#[test]
fn values_out_of_range_and_sizes_below_zero_are_refused() {
    for (value, dtype) in [
        (Attr::Int(256), DType::U8),
        (Attr::Int(-256), DType::U8),
        (Attr::Float(f64::NAN), DType::I32),
        (Attr::Float(1e300), DType::F32),
    ] {
        let e = made_by(&FULL, &[ints(&[1]), value, dtype.into()]).err().unwrap();
        assert!(e.msg.contains("overflow"), "{e}");
    }
    // As in PyTorch, a small negative number wraps.
    let wrapped = made_by(&FULL, &[ints(&[1]), Attr::Int(-1), DType::U8.into()]).unwrap();
    assert_eq!(wrapped.to_vec::<i64>().unwrap(), [255]);
    assert!(made_by(&FULL, &[ints(&[1]), f64::INFINITY.into(), DType::F32.into()]).is_ok());
    assert_eq!(made_by(&ZEROS, &[ints(&[2, -1])]).err().unwrap().kind, Kind::Runtime);
    assert_eq!(made_by(&EMPTY, &[ints(&[i64::MAX, 8])]).err().unwrap().kind, Kind::Memory);
}

#[test]
fn eye_of_any_form() {
    let e = made_by(&EYE, &[2i64.into(), 3i64.into()]).unwrap();
    assert_eq!(e.to_vec::<f64>().unwrap(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let e = made_by(&EYE, &[Attr::Int(3), Attr::Int(2), DType::Bool.into()]).unwrap();
    assert_eq!(e.to_vec::<i64>().unwrap(), [1, 0, 0, 1, 0, 0]);
    assert_eq!(made_by(&EYE, &[Attr::Int(0), Attr::None]).unwrap().shape(), [0, 0]);
}

#[test]
fn arange_counts_like_pytorch() {
    let range = |a: Attr, b: Attr, s: Attr| made_by(&ARANGE, &[a, b, s]);
    let r = range(Attr::Int(1), Attr::Int(8), Attr::Int(3)).unwrap();
    assert_eq!((r.dtype(), r.to_vec::<i64>().unwrap()), (DType::I64, vec![1, 4, 7]));
    let r = range(Attr::Int(5), Attr::Int(-2), Attr::Int(-3)).unwrap();
    assert_eq!(r.to_vec::<i64>().unwrap(), [5, 2, -1]);
    let r = range(Attr::Float(0.0), Attr::Int(1), Attr::Float(0.3)).unwrap();
    assert_eq!(r.dtype(), DType::F32);
    assert_eq!(r.to_vec::<f32>().unwrap(), [0.0, 0.3, 0.6, 0.9]);
    let top = range(Attr::Int(i64::MAX - 2), Attr::Int(i64::MAX), Attr::Int(1)).unwrap();
    assert_eq!(top.to_vec::<i64>().unwrap(), [i64::MAX - 2, i64::MAX - 1]);
    assert_eq!(range(Attr::Int(0), Attr::Int(0), Attr::Int(1)).unwrap().numel(), 0);
    let long = range(Attr::Float(0.0), Attr::Float(40_000.0), Attr::Int(1)).unwrap();
    assert!(long.to_vec::<f32>().unwrap().iter().enumerate().all(|(i, &v)| v == i as f32));
    let long = range(Attr::Int(7), Attr::Int(7 - 3 * 40_000), Attr::Int(-3)).unwrap();
    assert!(long.to_vec::<i64>().unwrap().iter().enumerate().all(|(i, &v)| v == 7 - 3 * i as i64));
    let whole = [0i64.into(), 2.5.into(), 0.5.into(), DType::I64.into()];
    assert!(made_by(&ARANGE, &whole).err().unwrap().msg.contains("nonzero"));
    for bad in [(0, 5, 0), (0, 5, -1), (5, 0, 1)] {
        let e = range(Attr::Int(bad.0), Attr::Int(bad.1), Attr::Int(bad.2)).err().unwrap();
        assert_eq!(e.kind, Kind::Runtime);
    }
    let e = range(Attr::Int(i64::MIN), Attr::Int(i64::MAX), Attr::Int(1)).err().unwrap();
    assert_eq!(e.kind, Kind::Memory);
    assert!(range(Attr::Float(0.0), Attr::Float(f64::INFINITY), Attr::Int(1)).is_err());
}

#[test]
fn linspace_hits_both_ends() {
    let l = made_by(&LINSPACE, &[0i64.into(), 1i64.into(), 11i64.into()])
        .unwrap()
        .to_vec::<f32>()
        .unwrap();
    assert_eq!((l[0], l[5], l[10]), (0.0, 0.5, 1.0));
    let whole = [0i64.into(), 10i64.into(), 4i64.into(), DType::I64.into()];
    assert_eq!(made_by(&LINSPACE, &whole).unwrap().to_vec::<i64>().unwrap(), [0, 3, 6, 10]);
    assert_eq!(
        made_by(&LINSPACE, &[3i64.into(), 9i64.into(), 1i64.into()])
            .unwrap()
            .to_vec::<f32>()
            .unwrap(),
        [3.0]
    );
    assert_eq!(made_by(&LINSPACE, &[3i64.into(), 9i64.into(), 0i64.into()]).unwrap().numel(), 0);
    assert!(made_by(&LINSPACE, &[3i64.into(), 9i64.into(), Attr::Int(-1)]).is_err());
    let p = made_by(&LOGSPACE, &[0i64.into(), 2i64.into(), 3i64.into(), 10.0.into()]).unwrap();
    assert_eq!(p.to_vec::<f32>().unwrap(), [1.0, 10.0, 100.0]);
}

#[test]
fn meshgrid_in_both_orders() {
    let a = Tensor::from_slice(&[1i64, 2], &[2]).unwrap();
    let b = Tensor::from_slice(&[5i64, 6, 7], &[3]).unwrap();
    let grid = |order: &str| apply(&MESHGRID, &[Some(a.clone()), Some(b.clone())], &[order.into()]);
    let ij = grid("ij").unwrap();
    assert_eq!(ij[0].shape(), [2, 3]);
    assert_eq!(ij[0].to_vec::<i64>().unwrap(), [1, 1, 1, 2, 2, 2]);
    assert_eq!(ij[1].to_vec::<i64>().unwrap(), [5, 6, 7, 5, 6, 7]);
    let xy = grid("xy").unwrap();
    assert_eq!(xy[0].shape(), [3, 2]);
    assert_eq!(xy[0].to_vec::<i64>().unwrap(), [1, 2, 1, 2, 1, 2]);
    assert_eq!(xy[1].to_vec::<i64>().unwrap(), [5, 5, 6, 6, 7, 7]);
    assert!(grid("ji").is_err());
}
