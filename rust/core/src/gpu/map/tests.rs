//! The GPU against the CPU; without an adapter each test ends at once.

use crate::apply::call;
use crate::autograd::{self, NoGrad};
use crate::dtype::{ALL, DType, Element};
use crate::gpu::Gpu;
use crate::layout::Layout;
use crate::ops::row::{Class, Row};
use crate::ops::{Attr, Body, OpDef, cast, elementwise};
use crate::storage::Device;
use crate::tensor::{Number, Tensor};

pub(in crate::gpu) fn no_adapter() -> bool {
    Gpu::adapters().is_empty()
}

/// Numbers spread over a range, in no order.
pub(in crate::gpu) fn spread(n: usize, seed: usize, (lo, hi): (f64, f64)) -> Vec<f64> {
    let place = |i: usize| ((i * 7919 + seed * 104_729 + 13) % 10_007) as f64 / 10_006.0;
    (0..n).map(|i| lo + (hi - lo) * place(i)).collect()
}

pub(in crate::gpu) fn cpu(values: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    cast::to(&Tensor::from_slice(values, shape).unwrap(), dtype).unwrap()
}

pub(in crate::gpu) fn gpu(t: &Tensor) -> Tensor {
    cast::to_device(t, Device::Gpu).unwrap()
}

/// The elements, converted on the CPU: the GPU has no float64.
pub(in crate::gpu) fn values<T: Element>(t: &Tensor) -> Vec<T> {
    cast::to_device(t, Device::Cpu).unwrap().to_vec().unwrap()
}

/// Equal, both NaN, or within `ulp` of float32; `floor` is the size below which errors are absolute.
fn close(got: f64, want: f64, ulp: f64, floor: f64) -> bool {
    let size = want.abs().max(floor) * f64::from(f32::EPSILON);
    got == want || (got.is_nan() && want.is_nan()) || (got - want).abs() <= ulp * size
}

pub(in crate::gpu) fn assert_close(got: &Tensor, want: &Tensor, ulp: f64, what: &str) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    assert_eq!(got.dtype(), want.dtype(), "{what}");
    if !want.dtype().is_float() {
        let (got, want) = (values::<i64>(got), values::<i64>(want));
        assert_eq!(got, want, "{what}");
        return;
    }
    let wider = match want.dtype() {
        DType::F16 => 8192.0,
        DType::BF16 => 65536.0,
        _ => 1.0,
    };
    let (got, want) = (values::<f64>(got), values::<f64>(want));
    for (i, (&g, &w)) in got.iter().zip(&want).enumerate() {
        assert!(close(g, w, ulp * wider, 1e-3), "{what}: element {i} is {g}, should be {w}");
    }
}

fn rows() -> impl Iterator<Item = (&'static OpDef, &'static Row)> {
    elementwise::ROWS.iter().filter_map(|&op| match op.body {
        Body::Row(row) => Some((op, row)),
        _ => None,
    })
}

fn attrs(row: &Row) -> Vec<Attr> {
    [0.7, 1.3][..row.names().params.len()].iter().map(|&v| Attr::Float(v)).collect()
}

/// Inputs on the CPU: a mask where the row wants one, and numbers from the row's domain.
fn inputs(op: &OpDef, row: &Row, n: usize, dtype: DType) -> Vec<Tensor> {
    let masked = usize::from(row.class == Class::Masked);
    (0..row.names().vars.len())
        .map(|i| {
            if i < masked {
                let bits = cpu(&spread(n, i, (0.0, 1.99)), &[n], DType::I64);
                cast::to(&bits, DType::Bool).unwrap()
            } else {
                cpu(&spread(n, i, op.samples.domain), &[n], dtype)
            }
        })
        .collect()
}

fn run(op: &'static OpDef, inputs: &[Tensor], attrs: &[Attr]) -> Tensor {
    let refs: Vec<&Tensor> = inputs.iter().collect();
    call(op, &refs, attrs).unwrap_or_else(|e| panic!("{}: {}", op.name, e.msg))
}

fn on_gpu(op: &'static OpDef, inputs: &[Tensor], attrs: &[Attr]) -> Tensor {
    let inputs: Vec<Tensor> = inputs.iter().map(gpu).collect();
    run(op, &inputs, attrs)
}

fn widened(inputs: &[Tensor]) -> Vec<Tensor> {
    let wide =
        |t: &Tensor| if t.dtype().is_float() { cast::to(t, DType::F64) } else { Ok(t.clone()) };
    inputs.iter().map(|t| wide(t).unwrap()).collect()
}

/// The largest error in units of float32's epsilon, relative to the truth or to 1e-3.
fn worst(got: &Tensor, truth: &Tensor) -> f64 {
    let (got, truth) = (values::<f64>(got), values::<f64>(truth));
    got.iter().zip(&truth).fold(0.0, |most, (&g, &t)| {
        let error = (g - t).abs() / (t.abs().max(1e-3) * f64::from(f32::EPSILON));
        f64::max(most, if g == t || (g.is_nan() && t.is_nan()) { 0.0 } else { error })
    })
}

#[test]
fn every_row_is_as_accurate_as_it_says() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    let mut wrong = Vec::new();
    for (op, row) in rows().filter(|(_, row)| row.text.is_some()) {
        let (xs, attrs) = (inputs(op, row, 4096, DType::F32), attrs(row));
        let truth = run(op, &widened(&xs), &attrs);
        let got = on_gpu(op, &xs, &attrs);
        let (gpu, cpu) = (worst(&got, &truth), worst(&run(op, &xs, &attrs), &truth));
        // Where the formula itself cancels, the CPU shows what is possible.
        if !(gpu <= op.samples.ulp.max(2.0 * cpu)) {
            wrong.push(format!("{}: gpu {gpu:.1}, cpu {cpu:.1} ulp", op.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_gradient_is_as_accurate_as_its_row() {
    if no_adapter() {
        return;
    }
    let mut wrong = Vec::new();
    for (op, row) in rows().filter(|(_, row)| !row.grads.is_empty()) {
        let (xs, attrs) = (inputs(op, row, 1023, DType::F32), attrs(row));
        let weights = cpu(&spread(1023, 9, (0.5, 1.5)), &[1023], DType::F32);
        let gradients = |xs: &[Tensor], weights: &Tensor| {
            let xs: Vec<Tensor> = xs.iter().map(Tensor::detach).collect();
            let floats: Vec<Tensor> = xs.iter().filter(|x| x.dtype().is_float()).cloned().collect();
            for x in &floats {
                x.set_requires_grad(true).unwrap();
            }
            let root = (run(op, &xs, &attrs), Some(weights.clone()));
            autograd::backward(&[root], Some(&floats), false, false).unwrap()
        };
        let xs_gpu: Vec<Tensor> = xs.iter().map(gpu).collect();
        let truth = gradients(&widened(&xs), &widened(std::slice::from_ref(&weights))[0]);
        let on_cpu = gradients(&xs, &weights);
        let on_gpu = gradients(&xs_gpu, &gpu(&weights));
        for (i, ((t, c), g)) in truth.iter().zip(&on_cpu).zip(&on_gpu).enumerate() {
            let (Some(t), Some(c), Some(g)) = (t, c, g) else {
                assert!(t.is_none() && c.is_none() && g.is_none(), "{} of input {i}", op.name);
                continue;
            };
            assert_eq!(g.device(), Device::Gpu);
            let (gpu, cpu) = (worst(g, t), worst(c, t));
            if !(gpu <= (2.0 * op.samples.ulp).max(2.0 * cpu)) {
                wrong.push(format!("{} by input {i}: gpu {gpu:.1}, cpu {cpu:.1} ulp", op.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `max(-0, 0)` is the CPU's second operand and the GPU's 0.
const EITHER_ZERO: [&str; 7] =
    ["maximum", "minimum", "fmax", "fmin", "relu", "relu6", "softshrink"];

#[test]
fn special_values_are_those_of_the_cpu() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    let edge = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        1e30,
        -1e30,
        1e-30,
        7.5,
    ];
    let mut wrong = Vec::new();
    for (op, row) in rows().filter(|(_, row)| row.text.is_some()) {
        let vars = row.names().vars.len();
        let n = edge.len().pow(vars.min(2) as u32);
        let xs: Vec<Tensor> = (0..vars)
            .map(|v| {
                let pick = |i: usize| edge[i / edge.len().pow(v as u32) % edge.len()];
                let values: Vec<f64> = (0..n).map(pick).collect();
                cpu(&values, &[n], DType::F32)
            })
            .collect();
        let attrs = attrs(row);
        let want = values::<f64>(&run(op, &xs, &attrs));
        let got = values::<f64>(&on_gpu(op, &xs, &attrs));
        for i in 0..n {
            let signs = got[i].is_sign_negative() == want[i].is_sign_negative();
            let same_zero = want[i] != 0.0 || signs || EITHER_ZERO.contains(&op.name);
            if !close(got[i], want[i], 1e3, 1e-30) || !same_zero {
                let at: Vec<f64> = xs.iter().map(|x| values::<f64>(x)[i]).collect();
                wrong.push(format!("{}{at:?}: gpu {}, cpu {}", op.name, got[i], want[i]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} {wrong:#?}", wrong.len());
}

/// The same elements in several layouts of one shape, made from a larger CPU tensor.
fn layouts() -> Vec<(&'static str, usize, Layout)> {
    let rows = |shape: &[usize]| Layout::contiguous(shape);
    vec![
        ("contiguous", 60, rows(&[6, 10])),
        ("odd", 35, rows(&[5, 7])),
        ("transposed", 60, rows(&[10, 6]).permute(&[1, 0])),
        ("sliced", 200, rows(&[8, 25]).slice(0, 1, 6, 1).slice(1, 3, 10, 2)),
        ("shifted", 64, Layout { offset: 3, ..rows(&[60]) }),
        ("broadcast", 10, rows(&[1, 10]).expand(&[6, 10]).unwrap()),
        ("columns", 6, rows(&[6, 1]).expand(&[6, 12]).unwrap()),
        ("four", 120, rows(&[2, 3, 4, 5]).permute(&[2, 0, 3, 1])),
        ("scalar", 1, rows(&[])),
        ("one", 9, rows(&[9]).slice(0, 7, 1, 1)),
        ("empty", 0, rows(&[0, 10])),
    ]
}

const DTYPES: [DType; 12] = [
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::Bool,
    DType::I8,
    DType::I16,
    DType::U16,
    DType::U32,
    DType::U64,
];

fn domain(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::Bool => (0.0, 1.99),
        d if d.is_float() => (0.2, 3.0),
        d if d.is_signed() => (-9.9, 9.9),
        _ => (0.0, 15.0),
    }
}

#[test]
fn rows_take_every_layout_and_dtype() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    use elementwise::{addcmul, bitwise_xor, choose, exp, isnan, lt, maximum, mul, neg};
    let ops = [&exp, &mul, &maximum, &addcmul, &neg, &lt, &isnan, &bitwise_xor, &choose];
    for dtype in DTYPES {
        for op in ops {
            let float_only = dtype.is_float() && std::ptr::eq(op, &raw const bitwise_xor);
            if float_only || (dtype == DType::Bool && std::ptr::eq(op, &raw const neg)) {
                continue;
            }
            let Body::Row(row) = op.body else { continue };
            let vars = row.names().vars.len();
            let attrs: Vec<Attr> = row.names().params.iter().map(|_| Attr::Int(3)).collect();
            for (name, n, layout) in layouts() {
                let base: Vec<Tensor> = (0..vars)
                    .map(|v| {
                        let as_mask = row.class == Class::Masked && v == 0;
                        let dtype = if as_mask { DType::Bool } else { dtype };
                        cpu(&spread(n, v, domain(dtype)), &[n], dtype)
                    })
                    .collect();
                let view = |t: &Tensor| t.alias(layout.clone());
                let xs: Vec<Tensor> = base.iter().map(view).collect();
                let ys: Vec<Tensor> = base.iter().map(|t| view(&gpu(t))).collect();
                let what = format!("{} of {} {name}", op.name, dtype.name());
                assert_close(&run(op, &ys, &attrs), &run(op, &xs, &attrs), 8.0, &what);
            }
        }
    }
}

#[test]
fn integer_rows_give_the_bits_of_the_cpu() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    for dtype in [DType::I32, DType::I64, DType::U8, DType::I8, DType::U32, DType::U64, DType::Bool]
    {
        let (lo, hi) = dtype.int_range().unwrap();
        let mut values: Vec<f64> = spread(40, 1, domain(dtype));
        values.extend([lo as f64, hi as f64 * 0.999, 0.0, 1.0, hi as f64 / 3.0]);
        let n = values.len();
        let x = cpu(&values, &[n, 1], dtype);
        let others: Vec<Tensor> = (0..3)
            .map(|k| {
                let mut v = values.clone();
                v.rotate_left(7 * k + 3);
                cpu(&v, &[1, n], dtype)
            })
            .collect();
        for (op, row) in rows().filter(|(_, row)| row.int_text.is_some()) {
            let refused = dtype == DType::Bool && matches!(row.class, Class::Number | Class::Ints);
            if refused || row.class == Class::Masked {
                continue;
            }
            let vars = row.names().vars.len();
            let xs: Vec<Tensor> =
                std::iter::once(x.clone()).chain(others.iter().cloned()).take(vars).collect();
            let attrs: Vec<Attr> =
                [2, 5][..row.names().params.len()].iter().map(|&v| Attr::Int(v)).collect();
            let what = format!("{} of {}", op.name, dtype.name());
            assert_close(&on_gpu(op, &xs, &attrs), &run(op, &xs, &attrs), 8.0, &what);
        }
    }
}

#[test]
fn numbers_take_part_without_upload() {
    if no_adapter() {
        return;
    }
    let _mode = NoGrad::new();
    use elementwise::{choose, lt, maximum, mul};
    let numbers = [
        Number::Int(-1),
        Number::Int(300),
        Number::Int(1 << 40),
        Number::Float(2.5),
        Number::Bool(true),
    ];
    for dtype in DTYPES {
        let x = cpu(&spread(9, 3, domain(dtype)), &[9], dtype);
        for number in numbers {
            for op in [&maximum, &mul, &lt] {
                let y = Tensor::number(number).unwrap();
                let want = run(op, &[x.clone(), y.clone()], &[]);
                let got = run(op, &[gpu(&x), y.clone()], &[]);
                let what = format!("{} {number:?} of {}", op.name, dtype.name());
                assert_close(&got, &want, 2.0, &what);
                let want = run(op, &[y.clone(), x.clone()], &[]);
                assert_close(&run(op, &[y, gpu(&x)], &[]), &want, 2.0, &what);
            }
        }
    }
    let x = cpu(&spread(9, 3, (0.0, 1.0)), &[9], DType::F32);
    let mask = Tensor::scalar(1.0, DType::Bool).unwrap();
    let got = run(&choose, &[mask, gpu(&x), Tensor::number(Number::Float(f64::NAN)).unwrap()], &[]);
    assert_close(&got, &x, 0.0, "where");
}

/// Numbers at and beyond the edges of the dtypes.
fn edges() -> Vec<f64> {
    let mut v = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        127.0,
        128.0,
        255.0,
        256.0,
        -128.0,
        -129.0,
        32767.0,
        32768.0,
        65504.0,
        65519.0,
        65520.0,
        65535.0,
        65536.0,
        70000.0,
        16777217.0,
        2147483647.0,
        2147483648.0,
        -2147483649.0,
        4294967295.0,
        4294967296.0,
        4311810305.0,
        1e10,
        -1e10,
        9.3e18,
        -9.3e18,
        1.9e19,
        1e38,
        6e-8,
        3e-8,
        1e-5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    v.extend(spread(23, 5, (-300.0, 300.0)));
    v
}

#[test]
fn copies_convert_as_on_the_cpu() {
    if no_adapter() {
        return;
    }
    for from in DTYPES {
        let src = cpu(&edges(), &[64], from);
        for to in DTYPES {
            for n in [64, 61] {
                let part = src.alias(Layout::contiguous(&[n]));
                let want = Tensor::empty(&[n], to, Device::Cpu).unwrap();
                let got = Tensor::empty(&[n], to, Device::Gpu).unwrap();
                cast::raw_copy(&part, &want).unwrap();
                cast::raw_copy(&gpu(&part), &got).unwrap();
                let what = format!("{} to {}", from.name(), to.name());
                assert_close(&got, &want, 0.0, &what);
            }
        }
    }
}

#[test]
fn copies_keep_the_neighbours_of_what_they_write() {
    if no_adapter() {
        return;
    }
    let whole = |shape: &[usize]| Layout::contiguous(shape);
    let places = [
        Layout { offset: 1, ..whole(&[30]) },
        Layout { offset: 4, ..whole(&[30]) },
        Layout { offset: 5, ..whole(&[32]) },
        whole(&[61]).slice(0, 1, 20, 3),
        whole(&[6, 10]).permute(&[1, 0]),
        whole(&[6, 10]).slice(1, 3, 5, 1),
        whole(&[61]),
        Layout { offset: 60, ..whole(&[]) },
    ];
    for dtype in DTYPES {
        for place in &places {
            let dst = cpu(&spread(61, 2, domain(dtype)), &[61], dtype);
            let src = cpu(&spread(place.numel(), 3, domain(dtype)), &place.shape, dtype);
            let on_gpu = gpu(&dst);
            cast::raw_copy(&gpu(&src), &on_gpu.alias(place.clone())).unwrap();
            cast::raw_copy(&src, &dst.alias(place.clone())).unwrap();
            assert_close(&on_gpu, &dst, 0.0, &format!("{} into {place:?}", dtype.name()));
            let value = Tensor::scalar(1.0, DType::F32).unwrap();
            cast::fill(&on_gpu.alias(place.clone()), &value).unwrap();
            cast::fill(&dst.alias(place.clone()), &value).unwrap();
            assert_close(&on_gpu, &dst, 0.0, &format!("{} filled {place:?}", dtype.name()));
        }
    }
}

#[test]
fn bits_of_nan_survive_a_copy() {
    if no_adapter() {
        return;
    }
    let bits = [0x7f80_0001u32, 0xffc0_1234, 0x7fc0_0000, 0x8000_0000, 1];
    let x = Tensor::from_slice(&bits.map(f32::from_bits), &[5]).unwrap();
    let y = gpu(&x).alias(Layout::contiguous(&[5]).slice(0, 0, 3, 2));
    let back = cast::to_device(&cast::copy_data(&y).unwrap(), Device::Cpu).unwrap();
    let got: Vec<u32> = values::<f32>(&back).iter().map(|v| v.to_bits()).collect();
    assert_eq!(got, [bits[0], bits[2], bits[4]]);
}

#[test]
fn many_dimensions_are_walked_in_pieces() {
    if no_adapter() {
        return;
    }
    let dims = 15;
    let order: Vec<usize> = (0..dims).rev().collect();
    let layout = Layout::contiguous(&vec![2; dims]).permute(&order);
    for dtype in [DType::F32, DType::U8] {
        let x = cpu(&spread(1 << dims, 1, (0.0, 99.0)), &[1 << dims], dtype);
        let (a, b) = (x.alias(layout.clone()), gpu(&x).alias(layout.clone()));
        assert_close(
            &cast::copy_data(&b).unwrap(),
            &cast::copy_data(&a).unwrap(),
            0.0,
            dtype.name(),
        );
    }
}

#[test]
fn all_dtypes_of_the_gpu_are_covered() {
    assert_eq!(ALL.len(), DTYPES.len() + 1);
}
