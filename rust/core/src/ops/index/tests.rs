use super::advanced::{Item, get, set};
use super::{arrange, mask, rows, scatter as sc, triangle};
use crate::apply::{apply, call};
use crate::dtype::DType;
use crate::error::{Kind, Result};
use crate::ops::expr::t;
use crate::ops::testing::gradcheck;
use crate::ops::{Attr, OpDef, cast, view};
use crate::tensor::{Number, Tensor};

fn f(v: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(v, shape).unwrap()
}

fn ints(v: &[i64], shape: &[usize]) -> Tensor {
    Tensor::from_slice(v, shape).unwrap()
}

fn range(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    f(&(0..n).map(|v| v as f64).collect::<Vec<_>>(), shape)
}

fn vals(t: &Tensor) -> Vec<f64> {
    t.to_vec::<f64>().unwrap()
}

fn run(op: &'static OpDef, inputs: &[&Tensor], attrs: &[Attr]) -> Result<Tensor> {
    call(op, inputs, attrs)
}

fn slice(start: i64, end: i64) -> Item {
    Item::Slice { start: Some(start), end: Some(end), step: 1 }
}

const ALL: Item = Item::Slice { start: None, end: None, step: 1 };

#[test]
fn basic_items_make_views() {
    let x = range(&[2, 3, 4]);
    let v = get(&x, &[Item::Int(1), Item::Ellipsis, slice(1, -1)]).unwrap();
    assert_eq!((v.shape(), vals(&v)[..2].to_vec()), (&[3, 2][..], vec![13.0, 14.0]));
    assert!(v.same_storage(&x));
    assert_eq!(get(&x, &[Item::None, Item::Int(0)]).unwrap().shape(), [1, 3, 4]);
    assert_eq!(get(&x, &[Item::Bool(true)]).unwrap().shape(), [1, 2, 3, 4]);
    assert_eq!(get(&x, &[Item::Bool(false)]).unwrap().shape(), [0, 2, 3, 4]);
    let kind = |items: &[Item]| get(&x, items).map(|_| ()).unwrap_err().kind;
    assert_eq!(kind(&[Item::Int(2)]), Kind::Index);
    assert_eq!(kind(&[ALL, ALL, ALL, ALL]), Kind::Index);
    assert_eq!(kind(&[Item::Ellipsis, Item::Ellipsis]), Kind::Index);
    assert_eq!(kind(&[Item::Slice { start: None, end: None, step: -1 }]), Kind::Value);
    assert_eq!(kind(&[Item::Tensor(f(&[0.0], &[1]))]), Kind::Index);
    assert!(
        get(&x, &[ALL, Item::Int(5)])
            .map(|_| ())
            .unwrap_err()
            .msg
            .contains("dimension 1 with size 3")
    );
    assert!(
        get(&x, &[ALL, Item::Tensor(ints(&[0, -4], &[2]))])
            .map(|_| ())
            .unwrap_err()
            .msg
            .contains("-4")
    );
}

#[test]
fn tensors_pick_and_place_their_dimensions() {
    let x = range(&[2, 3, 4]);
    let i = || Item::Tensor(ints(&[1, -1], &[2]));
    let j = || Item::Tensor(ints(&[0, 2], &[2]));
    let a = get(&x, &[ALL, i(), j()]).unwrap();
    assert_eq!((a.shape(), vals(&a)), (&[2, 2][..], vec![4.0, 10.0, 16.0, 22.0]));
    // Apart, the picks go in front.
    let b = get(&x, &[i(), ALL, j()]).unwrap();
    assert_eq!((b.shape(), vals(&b)), (&[2, 3][..], vec![12.0, 16.0, 20.0, 14.0, 18.0, 22.0]));
    let col = Item::Tensor(ints(&[0, 1], &[2, 1]));
    let c = get(&x, &[col, j()]).unwrap();
    assert_eq!((c.shape(), vals(&c)[4]), (&[2, 2, 4][..], 8.0));
    let mask = Item::Tensor(
        Tensor::from_bools(&[true, false, true, false, true, false], &[2, 3]).unwrap(),
    );
    let m = get(&x, std::slice::from_ref(&mask)).unwrap();
    assert_eq!((m.shape(), vals(&m)[8]), (&[3, 4][..], 16.0));
    let wrong = Item::Tensor(Tensor::from_bools(&[true, false], &[2]).unwrap());
    assert_eq!(get(&x, &[ALL, wrong]).map(|_| ()).unwrap_err().kind, Kind::Index);
    // A transposed tensor gives the same through its strides.
    let t =
        view::transpose(&cast::copy(&view::transpose(&x, 0, 1).unwrap()).unwrap(), 0, 1).unwrap();
    assert_eq!(vals(&get(&t, &[mask]).unwrap()), vals(&m));
    assert_eq!(vals(&get(&t, &[ALL, i(), j()]).unwrap()), vals(&a));
}

#[test]
fn set_writes_through_views_with_history() {
    let x = range(&[3, 3]);
    set(&x, &[Item::Int(1), slice(0, 2)], &f(&[-1.0, -2.0], &[1, 2])).unwrap();
    set(&x, &[ALL, Item::Tensor(ints(&[2, 2], &[2]))], &f(&[7.0, 8.0], &[2])).unwrap();
    assert_eq!(vals(&x), [0.0, 1.0, 8.0, -1.0, -2.0, 8.0, 6.0, 7.0, 8.0]);
    let mask =
        run(&crate::ops::elementwise::gt, &[&x, &Tensor::number(Number::Float(5.0)).unwrap()], &[])
            .unwrap();
    set(&x, &[Item::Tensor(mask.clone())], &Tensor::number(Number::Int(0)).unwrap()).unwrap();
    assert_eq!(vals(&x), [0.0, 1.0, 0.0, -1.0, -2.0, 0.0, 0.0, 0.0, 0.0]);
    set(&x, &[Item::Tensor(mask)], &f(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5])).unwrap();
    assert_eq!(vals(&x), [0.0, 1.0, 1.0, -1.0, -2.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(set(&x, &[Item::Int(0)], &range(&[2])).unwrap_err().kind, Kind::Shape);
    let leaf = range(&[3]);
    leaf.set_requires_grad(true).unwrap();
    assert_eq!(
        set(&leaf, &[Item::Tensor(ints(&[0], &[1]))], &range(&[1])).unwrap_err().kind,
        Kind::Runtime
    );
    let items = [slice(0, 2), Item::Tensor(ints(&[0, 2, 0], &[3]))];
    gradcheck(
        |x| {
            let y = t::mul(&x[0], &x[0])?;
            set(&y, &items[..1], &t::mul(&x[1], &x[1])?)?;
            t::mul(&y, &y)
        },
        &[range(&[3, 3]), f(&[0.5, 2.0, -1.0], &[3])],
    );
    let items = [slice(0, 2), Item::Tensor(ints(&[0, 2], &[2]))];
    gradcheck(
        |x| {
            let y = t::mul(&x[0], &x[0])?;
            set(&y, &items, &t::mul(&x[1], &x[1])?)?;
            t::mul(&y, &y)
        },
        &[range(&[3, 3]), f(&[0.5, 2.0], &[2])],
    );
}

#[test]
fn gradients_of_picks_add_up() {
    let items = [Item::Tensor(ints(&[0, 2, 0], &[3])), ALL, Item::Tensor(ints(&[1, 1, 1], &[3]))];
    gradcheck(|x| get(&t::mul(&x[0], &x[0])?, &items), &[range(&[3, 2, 2])]);
    let index = ints(&[2, 0, 2, 1, 1, 0], &[2, 3]);
    for dim in [0i64, 1] {
        let i = if dim == 0 { index.clone() } else { view::transpose(&index, 0, 1).unwrap() };
        gradcheck(
            |x| run(&super::GATHER, &[&t::mul(&x[0], &x[0])?, &i], &[dim.into()]),
            &[range(&[3, 3])],
        );
    }
    gradcheck(
        |x| run(&rows::EMBEDDING, &[&index, &t::mul(&x[0], &x[0])?], &[Attr::None]),
        &[range(&[3, 2])],
    );
    let w = range(&[3, 2]);
    w.set_requires_grad(true).unwrap();
    let y = run(&rows::EMBEDDING, &[&index, &w], &[(-1i64).into()]).unwrap();
    let g = crate::autograd::backward(
        &[(y, Some(cast::full(&[2, 3, 2], 1.0, DType::F64, crate::Device::Cpu).unwrap()))],
        Some(std::slice::from_ref(&w)),
        false,
        false,
    )
    .unwrap();
    assert_eq!(vals(g[0].as_ref().unwrap()), [2.0, 2.0, 2.0, 2.0, 0.0, 0.0]);
    let flat = ints(&[5, 0, -1], &[3]);
    assert_eq!(vals(&run(&rows::TAKE, &[&w.detach(), &flat], &[]).unwrap()), [5.0, 0.0, 5.0]);
}

#[test]
fn scattering() {
    let x = range(&[2, 3]);
    let index = ints(&[0, 0, 2, 1, 1, 1], &[2, 3]);
    let src = f(&[10.0, 20.0, 30.0, 40.0, 50.0, 60.0], &[2, 3]);
    let go = |how: &str| vals(&super::scatter(&x, 1, &index, &src, how).unwrap());
    assert_eq!(go("set"), [20.0, 1.0, 30.0, 3.0, 60.0, 5.0]);
    assert_eq!(go("sum"), [30.0, 1.0, 32.0, 3.0, 154.0, 5.0]);
    assert_eq!(go("amax"), [20.0, 1.0, 30.0, 3.0, 60.0, 5.0]);
    let reduce = |how: &str, with_self: bool| {
        let attrs = [1i64.into(), how.into(), with_self.into()];
        vals(&run(&sc::SCATTER_REDUCE, &[&x, &index, &src], &attrs).unwrap())
    };
    assert_eq!(reduce("mean", false), [15.0, 1.0, 30.0, 3.0, 50.0, 5.0]);
    assert_eq!(reduce("mean", true), [10.0, 1.0, 16.0, 3.0, 38.5, 5.0]);
    assert_eq!(reduce("amin", false), [10.0, 1.0, 30.0, 3.0, 40.0, 5.0]);
    assert_eq!(reduce("prod", true), [0.0, 1.0, 60.0, 3.0, 480000.0, 5.0]);
    let value =
        run(&sc::SCATTER, &[&x, &index, &Tensor::number(Number::Int(9)).unwrap()], &[1i64.into()]);
    assert_eq!(vals(&value.unwrap()), [9.0, 1.0, 9.0, 3.0, 9.0, 5.0]);
    assert!(super::scatter(&x, 1, &ints(&[3], &[1, 1]), &src, "set").is_err());
    assert!(super::scatter(&x, 1, &ints(&[-1], &[1, 1]), &src, "set").is_err());
    assert!(super::scatter(&x, 0, &index, &f(&[0.0], &[1, 1]), "set").is_err());
    for how in ["sum", "set", "prod", "amax", "amin"] {
        gradcheck(
            |x| {
                super::scatter(
                    &t::mul(&x[0], &x[0])?,
                    1,
                    &ints(&[0, 1, 2, 1], &[2, 2]),
                    &t::mul(&x[1], &x[1])?,
                    how,
                )
            },
            &[
                f(&[0.5, 1.5, 2.5, 3.0, 4.5, 0.7], &[2, 3]),
                f(&[1.0, 1.2, 0.9, 2.2, 0.4, 1.1], &[2, 3]),
            ],
        );
    }
}

#[test]
fn large_adds_are_the_same_at_any_thread_count() {
    let n = 40_000;
    let index: Vec<i64> = (0..n).map(|i| (i * 7919 % 97) as i64).collect();
    let values: Vec<f32> = (0..n * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    let (index, values) = (ints(&index, &[n]), Tensor::from_slice(&values, &[n, 3]).unwrap());
    let zeros = Tensor::zeros(&[97, 3], DType::F32, crate::Device::Cpu).unwrap();
    let once = || {
        let attrs = [0i64.into(), 1i64.into()];
        run(&rows::INDEX_ADD, &[&zeros, &index, &values], &attrs).unwrap().to_vec::<f32>().unwrap()
    };
    let mut naive = vec![0f32; 97 * 3];
    let (i, v) = (index.to_vec::<i64>().unwrap(), values.to_vec::<f32>().unwrap());
    for (row, at) in i.iter().enumerate() {
        (0..3).for_each(|k| naive[*at as usize * 3 + k] += v[row * 3 + k]);
    }
    assert_eq!(once(), naive);
    let wide = run(&rows::INDEX_SELECT, &[&values, &index], &[0i64.into()]).unwrap();
    assert_eq!(wide.to_vec::<f32>().unwrap()[3..6], v[i[1] as usize * 3..i[1] as usize * 3 + 3]);
}

#[test]
fn masks() {
    let x = f(&[0.0, 1.0, 0.0, f64::NAN, 2.0, 0.0], &[2, 3]);
    let found = run(&mask::NONZERO, &[&x], &[]).unwrap();
    assert_eq!((found.shape(), vals(&found)), (&[3, 2][..], vec![0.0, 1.0, 1.0, 0.0, 1.0, 1.0]));
    let both = apply(&mask::NONZERO, &[Some(x.clone())], &[true.into()]).unwrap();
    assert_eq!((both.len(), vals(&both[1])), (2, vec![1.0, 0.0, 1.0]));
    let m = Tensor::from_bools(&[true, false, true], &[3]).unwrap();
    gradcheck(|x| run(&mask::MASKED_SELECT, &[&t::mul(&x[0], &x[0])?, &m], &[]), &[range(&[2, 3])]);
    let filled =
        run(&mask::MASKED_FILL, &[&x, &m, &Tensor::number(Number::Int(4)).unwrap()], &[]).unwrap();
    assert_eq!(vals(&filled)[..3], [4.0, 1.0, 4.0]);
    let put = run(
        &mask::MASKED_SCATTER,
        &[&range(&[2, 3]), &m, &f(&[-1.0, -2.0, -3.0, -4.0], &[4])],
        &[],
    );
    assert_eq!(vals(&put.unwrap()), [-1.0, 1.0, -2.0, -3.0, 4.0, -4.0]);
    let many: Vec<bool> = (0..200_000).map(|i| i % 3 == 0).collect();
    let many = Tensor::from_bools(&many, &[200_000]).unwrap();
    let at = super::positions(&many).unwrap().to_vec::<i64>().unwrap();
    assert!(at.iter().enumerate().all(|(k, &i)| i == 3 * k as i64) && at.len() == 66_667);
}

#[test]
fn slices_by_index() {
    let x = range(&[2, 3]);
    let i = ints(&[2, 0], &[2]);
    let attrs = [1i64.into()];
    assert_eq!(vals(&run(&rows::INDEX_SELECT, &[&x, &i], &attrs).unwrap()), [2.0, 0.0, 5.0, 3.0]);
    let s = f(&[10.0, 20.0, 30.0, 40.0], &[2, 2]);
    assert_eq!(
        vals(&run(&rows::INDEX_ADD, &[&x, &i, &s], &[1i64.into(), 2i64.into()]).unwrap()),
        [40.0, 1.0, 22.0, 83.0, 4.0, 65.0]
    );
    assert_eq!(
        vals(&run(&rows::INDEX_COPY, &[&x, &i, &s], &attrs).unwrap()),
        [20.0, 1.0, 10.0, 40.0, 4.0, 30.0]
    );
    assert_eq!(
        vals(
            &run(&rows::INDEX_FILL, &[&x, &i, &Tensor::number(Number::Int(7)).unwrap()], &attrs)
                .unwrap()
        ),
        [7.0, 1.0, 7.0, 7.0, 4.0, 7.0]
    );
    assert!(run(&rows::INDEX_SELECT, &[&x, &ints(&[3], &[1])], &attrs).is_err());
    gradcheck(
        |x| {
            run(
                &rows::INDEX_ADD,
                &[&t::mul(&x[0], &x[0])?, &i, &t::mul(&x[1], &x[1])?],
                &[1i64.into(), 1i64.into()],
            )
        },
        &[range(&[2, 3]), s],
    );
    let hot = run(&rows::ONE_HOT, &[&ints(&[0, 2], &[2])], &[(-1i64).into()]).unwrap();
    assert_eq!(vals(&hot), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert!(run(&rows::ONE_HOT, &[&ints(&[3], &[1])], &[3i64.into()]).is_err());
}

#[test]
fn arrangements() {
    let x = range(&[2, 3]);
    let v = |op: &'static OpDef, attrs: &[Attr]| vals(&run(op, &[&x], attrs).unwrap());
    let l = |v: &[i64]| -> Attr { v.into() };
    assert_eq!(v(&arrange::FLIP, &[l(&[0, 1])]), [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    assert_eq!(v(&arrange::ROLL, &[l(&[1]), Attr::None]), [5.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(v(&arrange::ROLL, &[l(&[-1, 1]), l(&[1, 0])]), [4.0, 5.0, 3.0, 1.0, 2.0, 0.0]);
    assert_eq!(v(&arrange::ROT90, &[1i64.into(), Attr::None]), [2.0, 5.0, 1.0, 4.0, 0.0, 3.0]);
    assert_eq!(v(&arrange::REPEAT, &[l(&[2, 1, 2])])[..6], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!(v(&arrange::TILE, &[l(&[2])])[..7], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0]);
    let inter =
        |r: &Tensor, dim: Attr| vals(&run(&arrange::REPEAT_INTERLEAVE, &[&x, r], &[dim]).unwrap());
    assert_eq!(inter(&ints(&[2], &[]), 0i64.into())[..6], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!(inter(&ints(&[2, 0, 1], &[3]), 1i64.into()), [0.0, 0.0, 2.0, 3.0, 3.0, 5.0]);
    assert_eq!(v(&triangle::TRIL, &[0i64.into()]), [0.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    assert_eq!(v(&triangle::TRIU, &[1i64.into()]), [0.0, 1.0, 2.0, 0.0, 0.0, 5.0]);
    assert_eq!(v(&triangle::TRIU, &[i64::MIN.into()]), vals(&x));
    assert_eq!(v(&triangle::DIAG, &[1i64.into()]), [1.0, 5.0]);
    assert_eq!(v(&triangle::TRACE, &[]), [4.0]);
    let d = run(&triangle::DIAG, &[&range(&[2])], &[(-1i64).into()]).unwrap();
    assert_eq!(vals(&d), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let attrs = [2i64.into(), 3i64.into(), 0i64.into(), DType::I64.into()];
    let i = apply(&triangle::TRIL_INDICES, &[], &attrs).unwrap();
    assert_eq!(vals(&i[0]), [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    let ops: [(&'static OpDef, Vec<Attr>); 6] = [
        (&arrange::FLIP, vec![l(&[1])]),
        (&arrange::ROLL, vec![l(&[1]), l(&[1])]),
        (&arrange::REPEAT, vec![l(&[2, 2])]),
        (&triangle::TRIL, vec![0i64.into()]),
        (&triangle::DIAG, vec![0i64.into()]),
        (&arrange::ROT90, vec![3i64.into(), Attr::None]),
    ];
    for (op, attrs) in ops {
        gradcheck(|x| run(op, &[&t::mul(&x[0], &x[0])?], &attrs), &[range(&[3, 3])]);
    }
    gradcheck(
        |x| {
            run(
                &triangle::DIAG_EMBED,
                &[&t::mul(&x[0], &x[0])?],
                &[1i64.into(), 0i64.into(), 2i64.into()],
            )
        },
        &[range(&[2, 2])],
    );
    gradcheck(
        |x| {
            run(
                &sc::TAKE_ALONG_DIM,
                &[&t::mul(&x[0], &x[0])?, &ints(&[1, 0], &[1, 2])],
                &[0i64.into()],
            )
        },
        &[range(&[2, 2])],
    );
}

/// Numbers without order, some equal.
fn noise(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + 13) % 101) as f64 - 50.0).collect()
}

const GPU_DTYPES: [DType; 8] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::I16,
    DType::Bool,
];

#[test]
fn the_gpu_moves_the_same_elements() {
    use crate::ops::testing::on_both;
    let index = ints(&[2, 0, -1, 1, 1, 2], &[2, 3]);
    for dtype in GPU_DTYPES {
        let x = cast::to(&f(&noise(60), &[3, 4, 5]), dtype).unwrap();
        let t = view::transpose(&x, 0, 2).unwrap();
        let part = view::narrow(&x, 2, 1, 3).unwrap();
        for x in [&x, &t, &part] {
            on_both(
                |x| {
                    let i = Item::Tensor(x[1].clone());
                    Ok(smallvec::smallvec![
                        get(&x[0], std::slice::from_ref(&i))?,
                        get(&x[0], &[ALL, i.clone(), i.clone()])?,
                        get(&x[0], &[i.clone(), ALL, i])?,
                    ])
                },
                &[x.clone(), index.clone()],
            );
            let gathered = ints(&[1, 0, 2, 1], &[2, 2, 1]);
            on_both(
                |x| Ok(smallvec::smallvec![run(&super::GATHER, &[&x[0], &x[1]], &[1i64.into()])?]),
                &[x.clone(), gathered],
            );
        }
        on_both(
            |x| {
                let go = |dim: i64, how: &str| super::scatter(&x[0], dim, &x[1], &x[2], how);
                let mut outs: crate::ops::Outs = smallvec::smallvec![go(0, "set")?, go(2, "set")?];
                for how in ["sum", "prod", "amax", "amin"] {
                    outs.push(go(1, how)?);
                }
                Ok(outs)
            },
            &[
                x.clone(),
                ints(&[1, 1, 2, 0, 1, 1, 2, 2], &[2, 2, 2]),
                cast::to(&f(&noise(8), &[2, 2, 2]), dtype).unwrap(),
            ],
        );
        on_both(
            |x| {
                let list = [x[1].clone()];
                let go = |dim: i64, how: &str| {
                    super::def::write(
                        &x[0],
                        &x[2],
                        &list,
                        &[(&[dim][..]).into(), how.into(), true.into()],
                    )
                };
                Ok(smallvec::smallvec![go(0, "set")?, go(1, "set")?, go(0, "sum")?, go(2, "sum")?])
            },
            &[
                t.clone(),
                ints(&[1, 0, 1], &[3, 1, 1, 1]),
                cast::to(&f(&[3.0], &[]), dtype).unwrap(),
            ],
        );
    }
}

#[test]
fn the_gpu_adds_in_the_order_of_the_cpu() {
    let n = 70_000;
    let index: Vec<i64> =
        (0..n).map(|i| if i % 2 == 0 { 3 } else { (i * 7919 % 301) as i64 }).collect();
    let values: Vec<f32> = (0..n * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    let zeros = Tensor::zeros(&[301, 3], DType::F32, crate::Device::Cpu).unwrap();
    let inputs = [zeros, ints(&index, &[n]), Tensor::from_slice(&values, &[n, 3]).unwrap()];
    crate::ops::testing::on_both(
        |x| {
            Ok(smallvec::smallvec![run(
                &rows::INDEX_ADD,
                &[&x[0], &x[1], &x[2]],
                &[0i64.into(), 1i64.into()]
            )?])
        },
        &inputs,
    );
    if !crate::gpu::Gpu::adapters().is_empty() {
        let moved: Vec<Tensor> =
            inputs.iter().map(|x| cast::to_device(x, crate::Device::Gpu).unwrap()).collect();
        let go = |x: &[Tensor]| {
            run(&rows::INDEX_ADD, &[&x[0], &x[1], &x[2]], &[0i64.into(), 1i64.into()]).unwrap()
        };
        let same = go(&inputs).to_vec::<f32>().unwrap() == go(&moved).to_vec::<f32>().unwrap();
        assert!(same, "the bits differ");
        let bad = cast::to_device(&ints(&[0, 301], &[2]), crate::Device::Gpu).unwrap();
        let e =
            run(&rows::INDEX_SELECT, &[&moved[0], &bad], &[0i64.into()]).map(|_| ()).unwrap_err();
        assert!(e.kind == Kind::Index && e.msg.contains("index 301") && e.msg.contains("size 301"));
    }
}

#[test]
fn the_gpu_does_the_compositions() {
    use crate::ops::testing::on_both;
    let x =
        Tensor::from_slice(&noise(24).iter().map(|&v| v as f32).collect::<Vec<_>>(), &[2, 3, 4])
            .unwrap();
    let m = Tensor::from_bools(&[true, false, false, true, true, false], &[2, 3]).unwrap();
    on_both(
        |x| {
            let y = cast::copy(&x[0])?;
            set(&y, &[Item::Tensor(x[1].clone())], &Tensor::number(Number::Int(7))?)?;
            set(
                &y,
                &[ALL, Item::Tensor(cast::to_device(&ints(&[2, 0], &[2]), y.device())?)],
                &Tensor::number(Number::Int(-7))?,
            )?;
            let l = |v: &[i64]| -> Attr { v.into() };
            Ok(smallvec::smallvec![
                get(&x[0], &[Item::Tensor(x[1].clone())])?,
                y,
                run(&mask::NONZERO, &[&x[1]], &[])?,
                run(&mask::MASKED_SELECT, &[&x[0], &view::unsqueeze(&x[1], 2)?], &[])?,
                run(&arrange::FLIP, &[&x[0]], &[l(&[0, 2])])?,
                run(&arrange::ROLL, &[&x[0]], &[l(&[1, -2]), l(&[1, 2])])?,
                run(&triangle::TRIL, &[&x[0]], &[1i64.into()])?,
                run(&triangle::DIAG_EMBED, &[&x[0]], &[1i64.into()])?,
                run(&arrange::REPEAT, &[&x[0]], &[l(&[2, 1, 2])])?,
                crate::ops::join::cat(&[x[0].clone(), x[0].clone()], 1)?,
                call(
                    &crate::ops::pad::PAD,
                    &[&x[0]],
                    &[l(&[2, 1, 1, 1]), "reflect".into(), Attr::None]
                )?,
                call(
                    &crate::ops::pad::PAD,
                    &[&x[0]],
                    &[l(&[2, -1]), "constant".into(), 3.0.into()]
                )?,
            ])
        },
        &[x, m],
    );
}
