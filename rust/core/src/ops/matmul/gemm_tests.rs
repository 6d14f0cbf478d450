//! Products against a plain sum in f64, in every layout and instruction set.

use super::*;
use crate::cpu::simd::{Isa, available, isa, set_isa_for_test};
use std::sync::Mutex;

/// The instruction set is one for the process.
static ISA: Mutex<()> = Mutex::new(());

fn each_isa(f: impl Fn()) {
    let _guard = ISA.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = isa();
    for isa in
        [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| available(isa))
    {
        set_isa_for_test(isa);
        f();
    }
    set_isa_for_test(before);
}

trait Number: Real {
    fn from(x: f64) -> Self;
    fn to(self) -> f64;
}
impl Number for f32 {
    fn from(x: f64) -> Self {
        x as f32
    }
    fn to(self) -> f64 {
        self.into()
    }
}
impl Number for f64 {
    fn from(x: f64) -> Self {
        x
    }
    fn to(self) -> f64 {
        self
    }
}

/// Small integers: every sum is exact, so any order of summation gives the same value.
fn fill<T: Number>(n: usize, seed: usize) -> Vec<T> {
    (0..n).map(|i| T::from(((i * 7919 + seed * 104729) % 1009 % 17) as f64 - 8.0)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Row,
    Column,
    /// Every second element of rows that are three too long.
    Gaps,
    /// One row, or one column, for all.
    Same,
}

impl Order {
    fn strides(self, rows: usize, cols: usize) -> (isize, isize) {
        match self {
            Order::Row => (cols as isize, 1),
            Order::Column => (1, rows as isize),
            Order::Gaps => (2 * cols as isize + 3, 2),
            Order::Same => (0, 1),
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    a: Order,
    b: Order,
    bias_n: bool,
    bias_m: bool,
    accumulate: bool,
    relu: bool,
}

fn run<T: Number>(case: Case, par: Par<'_>) -> (Vec<T>, Vec<f64>) {
    let Case { m, n, k, .. } = case;
    let (a, b) = (fill::<T>((m + 3) * (k + 3) * 2, 1), fill::<T>((k + 3) * (n + 3) * 2, 2));
    let (bias_n, bias_m) = (fill::<T>(n, 3), fill::<T>(m, 4));
    let c_rs = n + 2;
    let before = fill::<T>(m * c_rs, 5);
    let mut c = before.clone();
    let ((a_rs, a_cs), (b_rs, b_cs)) = (case.a.strides(m, k), case.b.strides(k, n));
    let or_null = |used: bool, v: &[T]| if used { v.as_ptr() } else { std::ptr::null() };
    let g = Gemm {
        m,
        n,
        k,
        a: a.as_ptr(),
        a_rs,
        a_cs,
        b: b.as_ptr(),
        b_rs,
        b_cs,
        c: c.as_mut_ptr(),
        c_rs: c_rs as isize,
        bias_n: or_null(case.bias_n, &bias_n),
        bias_m: or_null(case.bias_m, &bias_m),
        accumulate: case.accumulate,
        relu: case.relu,
    };
    // SAFETY: the vectors are as long as the strides need.
    unsafe { gemm(&g, par) };
    let mut expected: Vec<f64> = before.iter().map(|x| x.to()).collect();
    for i in 0..m {
        for j in 0..n {
            let at = |v: &[T], r: usize, rs: isize, c: usize, cs: isize| {
                v[r * rs as usize + c * cs as usize].to()
            };
            let mut sum: f64 =
                (0..k).map(|p| at(&a, i, a_rs, p, a_cs) * at(&b, p, b_rs, j, b_cs)).sum();
            sum += if case.accumulate { before[i * c_rs + j].to() } else { 0.0 };
            sum += if case.bias_n { bias_n[j].to() } else { 0.0 };
            sum += if case.bias_m { bias_m[i].to() } else { 0.0 };
            expected[i * c_rs + j] = if case.relu { sum.max(0.0) } else { sum };
        }
    }
    (c, expected)
}

fn check<T: Number>(case: Case) {
    let (c, expected) = run::<T>(case, &serial);
    let got: Vec<f64> = c.iter().map(|x| x.to()).collect();
    assert!(got == expected, "{case:?} in {:?}", isa());
}

const PLAIN: Case = Case {
    m: 1,
    n: 1,
    k: 1,
    a: Order::Row,
    b: Order::Row,
    bias_n: false,
    bias_m: false,
    accumulate: false,
    relu: false,
};

#[test]
fn small_sizes_in_every_layout() {
    let orders = [Order::Row, Order::Column, Order::Gaps, Order::Same];
    each_isa(|| {
        let mut count = 0;
        for m in 0..=40 {
            for n in 0..=40 {
                for k in [0, 1, 2, 3, 7, 8, 9, 16, 31, 40] {
                    count += 1;
                    let (a, b) = (orders[count % 4], orders[count / 4 % 4]);
                    let bit = |i: usize| (m + 3 * n + 5 * k) >> i & 1 == 1;
                    let case = Case {
                        m,
                        n,
                        k,
                        a,
                        b,
                        bias_n: bit(0),
                        bias_m: bit(1),
                        accumulate: bit(2),
                        relu: bit(3),
                    };
                    check::<f32>(case);
                    check::<f64>(case);
                }
            }
        }
    });
}

#[test]
fn larger_sizes_cross_every_block() {
    each_isa(|| {
        for (m, n, k) in [
            (100, 70, 600),
            (3, 700, 300),
            (700, 3, 300),
            (1, 1300, 70),
            (257, 129, 1100),
            (64, 10, 513),
        ] {
            for (a, b) in
                [(Order::Row, Order::Row), (Order::Column, Order::Row), (Order::Row, Order::Column)]
            {
                check::<f32>(Case { m, n, k, a, b, ..PLAIN });
                check::<f64>(Case {
                    m,
                    n,
                    k,
                    a,
                    b,
                    bias_n: true,
                    relu: true,
                    accumulate: true,
                    ..PLAIN
                });
            }
        }
    });
}

/// Tasks backwards and on threads of their own: the bits must not care.
fn scattered(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    std::thread::scope(|scope| {
        for t in 0..3 {
            scope.spawn(move || (0..tasks).rev().filter(|i| i % 3 == t).for_each(f));
        }
    });
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    each_isa(same_bits);
}

fn same_bits() {
    let noisy =
        |v: &mut [f32]| v.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 0.37).sin());
    for (m, n, k) in [(300, 260, 700), (1, 2000, 1500), (2000, 4, 900), (1500, 70, 64)] {
        let (mut a, mut b) = (fill::<f32>(m * k, 1), fill::<f32>(k * n, 2));
        noisy(&mut a);
        noisy(&mut b);
        let product = |par: Par<'_>| {
            let mut c = vec![0f32; m * n];
            let (a, b) =
                (Strided { ptr: a.as_ptr(), k_stride: 1, x_stride: k as isize }, b.as_ptr());
            // SAFETY: the vectors have these sizes.
            unsafe {
                gemm(
                    &Gemm {
                        m,
                        n,
                        k,
                        a: a.ptr,
                        a_rs: a.x_stride,
                        a_cs: 1,
                        b,
                        b_rs: 1,
                        b_cs: k as isize,
                        c: c.as_mut_ptr(),
                        c_rs: n as isize,
                        bias_n: std::ptr::null(),
                        bias_m: std::ptr::null(),
                        accumulate: false,
                        relu: false,
                    },
                    par,
                );
            }
            c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(product(&serial), product(&scattered), "{m} {n} {k}");
    }
}

#[test]
fn columns_in_blocks_land_where_they_belong() {
    each_isa(|| {
        let (m, k, block, images) = (21, 30, 9, 7);
        let n = block * images;
        let (a, b) = (fill::<f32>(m * k, 1), fill::<f32>(k * n, 2));
        let mut whole = vec![0f32; m * n];
        let mut parts = whole.clone();
        let (a, b) = (
            Strided { ptr: a.as_ptr(), k_stride: 1, x_stride: k as isize },
            Strided { ptr: b.as_ptr(), k_stride: n as isize, x_stride: 1 },
        );
        let mut out = Output {
            c: whole.as_mut_ptr(),
            c_rs: n as isize,
            block: usize::MAX,
            block_stride: 0,
            bias_n: std::ptr::null(),
            bias_m: std::ptr::null(),
            accumulate: false,
            relu: true,
        };
        // SAFETY: the vectors have these sizes.
        unsafe {
            gemm_with(m, n, k, &a, &b, &out, &serial);
            out = Output {
                c: parts.as_mut_ptr(),
                c_rs: block as isize,
                block,
                block_stride: (m * block) as isize,
                ..out
            };
            gemm_with(m, n, k, &a, &b, &out, &serial);
        }
        for (image, i, j) in
            (0..images).flat_map(|x| (0..m).flat_map(move |i| (0..block).map(move |j| (x, i, j))))
        {
            assert_eq!(parts[(image * m + i) * block + j], whole[i * n + image * block + j]);
        }
    });
}

#[test]
fn relu_keeps_nan() {
    each_isa(|| {
        let (a, b) = ([f32::NAN; 20], [1f32; 20]);
        let mut c = [0f32; 400];
        let g = Gemm {
            m: 20,
            n: 20,
            k: 1,
            a: a.as_ptr(),
            a_rs: 1,
            a_cs: 1,
            b: b.as_ptr(),
            b_rs: 20,
            b_cs: 1,
            c: c.as_mut_ptr(),
            c_rs: 20,
            bias_n: std::ptr::null(),
            bias_m: std::ptr::null(),
            accumulate: false,
            relu: true,
        };
        // SAFETY: the arrays have these sizes.
        unsafe { gemm(&g, &serial) };
        assert!(c.iter().all(|x| x.is_nan()));
    });
}

#[test]
fn a_batch_is_its_products() {
    let (batch, m, n, k) = (37, 5, 9, 11);
    let (a, b) = (fill::<f64>(batch * m * k, 1), fill::<f64>(k * n, 2));
    let (mut together, mut alone) = (vec![0f64; batch * m * n], vec![0f64; batch * m * n]);
    let mut g = Gemm {
        m,
        n,
        k,
        a: a.as_ptr(),
        a_rs: k as isize,
        a_cs: 1,
        b: b.as_ptr(),
        b_rs: n as isize,
        b_cs: 1,
        c: together.as_mut_ptr(),
        c_rs: n as isize,
        bias_n: std::ptr::null(),
        bias_m: std::ptr::null(),
        accumulate: false,
        relu: false,
    };
    // SAFETY: the vectors have these sizes.
    unsafe {
        gemm_batch(&g, batch, &|i| [(i * m * k) as isize, 0, (i * m * n) as isize], &scattered);
        g.c = alone.as_mut_ptr();
        for _ in 0..batch {
            gemm(&g, &serial);
            (g.a, g.c) = (g.a.add(m * k), g.c.add(m * n));
        }
    }
    assert_eq!(together, alone);
}
