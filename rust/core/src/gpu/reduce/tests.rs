//! The GPU's reductions against the CPU's; without an adapter each test ends at once.

use crate::apply::call;
use crate::autograd::NoGrad;
use crate::dtype::DType;
use crate::gpu::map::tests::{assert_close, cpu, gpu, no_adapter, spread, values};
use crate::layout::Layout;
use crate::ops::{Attr, OpDef, reduce};
use crate::tensor::Tensor;

fn both(op: &'static OpDef, x: &Tensor, y: &Tensor, attrs: &[Attr], what: &str) {
    let want = call(op, &[x], attrs);
    let got = call(op, &[y], attrs);
    match (got, want) {
        (Ok(got), Ok(want)) => assert_close(&got, &want, 16.0, &format!("{} {what}", op.name)),
        (Err(got), Err(want)) => assert_eq!(got.kind, want.kind),
        (got, want) => {
            panic!("{} {what}: {got:?} {want:?}", op.name, got = got.err(), want = want.err())
        }
    }
}

const OPS: [&OpDef; 6] =
    [&reduce::SUM, &reduce::PROD, &reduce::AMAX, &reduce::AMIN, &reduce::ANY, &reduce::ALL];

#[test]
fn all_dims_and_layouts() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    let base = cpu(&spread(360, 1, (0.8, 1.25)), &[360], DType::F32);
    let on_gpu = gpu(&base);
    let rows = |shape: &[usize]| Layout::contiguous(shape);
    let layouts = [
        rows(&[3, 4, 5, 6]),
        rows(&[3, 4, 5, 6]).permute(&[2, 0, 3, 1]),
        rows(&[6, 10, 6]).slice(1, 2, 4, 2),
        rows(&[1, 9]).expand(&[7, 9]).unwrap(),
        rows(&[3, 0, 2]),
        rows(&[]),
    ];
    for layout in layouts {
        let (x, y) = (base.alias(layout.clone()), on_gpu.alias(layout.clone()));
        for mask in 0..1u32 << layout.ndim() {
            let dims: Vec<i64> = (0..layout.ndim() as i64).filter(|d| mask >> d & 1 == 1).collect();
            for op in OPS {
                both(
                    op,
                    &x,
                    &y,
                    &[dims[..].into(), Attr::Bool(mask & 1 == 1)],
                    &format!("{layout:?} {dims:?}"),
                );
            }
            if dims.len() <= 1 {
                let dim = dims.first().map_or(Attr::None, |&d| Attr::Int(d));
                for op in [&reduce::ARGMAX, &reduce::ARGMIN] {
                    both(
                        op,
                        &x,
                        &y,
                        &[dim.clone(), Attr::Bool(false)],
                        &format!("{layout:?} {dims:?}"),
                    );
                }
            }
        }
    }
}

#[test]
fn sizes_from_nothing_to_several_stages() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    for n in [0, 1, 3, 1000, 100_003] {
        let x = cpu(&spread(n, 2, (-0.5, 1.0)), &[n], DType::F32);
        let y = gpu(&x);
        for op in OPS.into_iter().chain([&reduce::ARGMAX, &reduce::ARGMIN]) {
            both(op, &x, &y, &[], &format!("of {n}"));
        }
        for (a, b) in [(n, 3), (3, n)] {
            let x = cpu(&spread(3 * n, 4, (0.1, 1.0)), &[a, b], DType::F32);
            let y = gpu(&x);
            for dim in [0, 1] {
                let what = format!("of ({a}, {b}) over {dim}");
                for op in [&reduce::SUM, &reduce::AMAX, &reduce::ARGMIN] {
                    both(op, &x, &y, &[Attr::Int(dim)], &what);
                }
            }
        }
    }
}

#[test]
fn all_dtypes() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    use DType::{BF16, Bool, F16, F32, I8, I16, I32, I64, U8, U16, U32, U64};
    for dtype in [F32, F16, BF16, I32, I64, U8, Bool, I8, I16, U16, U32, U64] {
        let top = match dtype {
            Bool => 1.99,
            U8 | I8 => 100.0,
            U16 | I16 => 3e4,
            U32 | I32 => 2e9,
            U64 | I64 => 9e18,
            _ => 1.0,
        };
        let low = if dtype.is_signed() { -top } else { 0.0 };
        let x = cpu(&spread(999, 2, (low, top)), &[27, 37], dtype);
        let y = gpu(&x);
        for op in OPS.into_iter().chain([&reduce::ARGMAX, &reduce::ARGMIN]) {
            both(op, &x, &y, &[], dtype.name());
            both(op, &x, &y, &[Attr::Int(0)], dtype.name());
        }
        for out in [F32, I32, I64] {
            let attrs = [Attr::None, Attr::Bool(false), Attr::DType(out)];
            both(&reduce::SUM, &x, &y, &attrs, &format!("{} as {}", dtype.name(), out.name()));
        }
    }
}

#[test]
fn extremes_are_nan_where_one_is_and_the_first_of_equals() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let cases: [&[f64]; 6] = [
        &[1.0, nan, 3.0, nan],
        &[-inf, -inf, -inf],
        &[0.0, -0.0, 0.0],
        &[-0.0, 0.0],
        &[5.0, 7.0, 7.0, -2.0, -2.0],
        &[inf, -inf, 1.0],
    ];
    for values in cases {
        let x = cpu(values, &[values.len()], DType::F32);
        let y = gpu(&x);
        for op in [&reduce::AMAX, &reduce::AMIN, &reduce::ARGMAX, &reduce::ARGMIN, &reduce::ANY] {
            both(op, &x, &y, &[], &format!("{values:?}"));
        }
    }
    let mut long = vec![1.0; 50_000];
    long[40_001] = nan;
    long[45_000] = nan;
    let y = gpu(&cpu(&long, &[50_000], DType::F32));
    for op in [&reduce::ARGMAX, &reduce::ARGMIN] {
        assert_eq!(values::<i64>(&call(op, &[&y], &[]).unwrap()), [40_001]);
    }
}

#[test]
fn sums_are_pairwise() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    let n = 1 << 20;
    let y = gpu(&cpu(&vec![0.1; n], &[n], DType::F32));
    let sum = values::<f64>(&call(&reduce::SUM, &[&y], &[]).unwrap())[0];
    let truth = f64::from(0.1f32) * n as f64;
    assert!((sum - truth).abs() <= 8.0 * f64::from(f32::EPSILON) * truth, "{sum} {truth}");
}
