//! Convolution on the CPU: contiguous NCHW tensors, f32 and f64.
//!
//! Two algorithms, chosen by the shape and the instruction set. With enough channels, a tiled product whose vector
//! lanes are channels reads its scalars in place from a channels-last copy of a few rows (`gather.rs`, `weight.rs`).
//! With few channels per group the lanes are pixels (`plane.rs`). Every result has the same bits at any thread count:
//! work is cut by the shape alone, and partial sums are added in a fixed tree.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "kernels on raw pointers; each function states its contract"
)]

mod gather;
mod kernels;
pub(crate) mod lanes;
pub(crate) mod layout;
mod plan;
mod plane;
mod rows;
mod tile;
mod transpose;
mod weight;

use crate::ops::matmul::gemm::Par;
pub use kernels::Elem;
use plan::Plan;

/// The sizes of a convolution; x is `[n, c_in, h, w]`, w is `[c_out, c_in / groups, kh, kw]`, y is `[n, c_out, oh, ow]`.
#[derive(Clone, Debug)]
pub struct ConvShape {
    pub n: usize,
    pub c_in: usize,
    pub h: usize,
    pub w: usize,
    pub c_out: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
    pub oh: usize,
    pub ow: usize,
}

/// y = relu?(conv(x, w) + bias?).
///
/// # Safety
/// The pointers must be valid for the shape's sizes, which must fit together; `bias` may be null.
pub unsafe fn conv2d<T: Elem>(
    s: &ConvShape,
    x: *const T,
    w: *const T,
    bias: *const T,
    y: *mut T,
    relu: bool,
    par: Par<'_>,
) {
    if s.n * s.c_out * s.oh * s.ow > 0 {
        gather_or_plane(&Plan::forward(s), x, w, bias, y, relu, par);
    }
}

/// gx, every element written, from gy and w; also the forward of the transposed convolution.
///
/// # Safety
/// As for `conv2d`.
pub unsafe fn conv2d_grad_input<T: Elem>(
    s: &ConvShape,
    gy: *const T,
    w: *const T,
    gx: *mut T,
    par: Par<'_>,
) {
    if s.n * s.c_in * s.h * s.w > 0 {
        gather_or_plane(&Plan::grad_input(s), gy, w, std::ptr::null(), gx, false, par);
    }
}

/// gw, every element written, from x and gy.
///
/// # Safety
/// As for `conv2d`.
pub unsafe fn conv2d_grad_weight<T: Elem>(
    s: &ConvShape,
    x: *const T,
    gy: *const T,
    gw: *mut T,
    par: Par<'_>,
) {
    let c_in = s.c_in / s.groups;
    if s.n * s.c_out * s.oh * s.ow * c_in == 0 {
        layout::fill(gw, s.c_out * c_in * s.kh * s.kw);
    } else if by_planes::<T>(s.c_out / s.groups, s.ow) {
        plane::run_weight(s, x, gy, gw, par);
    } else {
        weight::run(s, x, gy, gw, par);
    }
}

/// gb[c] = the sum of gy over images and pixels, in a fixed tree.
///
/// # Safety
/// As for `conv2d`.
pub unsafe fn conv2d_grad_bias<T: Elem>(s: &ConvShape, gy: *const T, gb: *mut T, par: Par<'_>) {
    let job = Shared { from: gy, to: gb };
    share(par, s.c_out, s.n * s.c_out * s.oh * s.ow * 4, &|c| {
        let job = &job;
        // SAFETY: the caller's contract; each channel has its own sum.
        unsafe { *job.to.add(c) = sum_images(s, job.from.add(c * s.oh * s.ow), s.n) }
    });
}

struct Shared<T> {
    from: *const T,
    to: *mut T,
}

// SAFETY: tasks read `from` and write different elements of `to`.
unsafe impl<T> Sync for Shared<T> {}

unsafe fn sum_images<T: Elem>(s: &ConvShape, gy: *const T, images: usize) -> T {
    match images {
        0 => T::default(),
        1 => sum(gy, s.oh * s.ow),
        _ => {
            let half = images / 2;
            let rest = gy.add(half * s.c_out * s.oh * s.ow);
            sum_images(s, gy, half) + sum_images(s, rest, images - half)
        }
    }
}

/// The sum of n elements, in a fixed tree.
///
/// # Safety
/// `p` must be valid for n reads.
pub(crate) unsafe fn sum<T: Elem>(p: *const T, n: usize) -> T {
    const LANES: usize = 16;
    if n > 4096 {
        let half = (n / 2).next_multiple_of(LANES);
        return sum(p, half) + sum(p.add(half), n - half);
    }
    let mut lanes = [T::default(); LANES];
    let whole = n - n % LANES;
    for i in (0..whole).step_by(LANES) {
        for j in 0..LANES {
            lanes[j] += *p.add(i + j);
        }
    }
    for i in whole..n {
        lanes[i - whole] += *p.add(i);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            let upper = lanes[j + half];
            lanes[j] += upper;
        }
        half /= 2;
    }
    lanes[0]
}

unsafe fn gather_or_plane<T: Elem>(
    p: &Plan,
    x: *const T,
    w: *const T,
    bias: *const T,
    y: *mut T,
    relu: bool,
    par: Par<'_>,
) {
    if by_planes::<T>(p.c_out, p.grid[1]) {
        plane::run(p, x, w, bias, y, relu, par);
    } else {
        gather::run(p, x, w, bias, y, relu, par);
    }
}

/// Whether lanes are better filled by pixels (at half the speed) than by channels.
fn by_planes<T: Elem>(channels: usize, cols: usize) -> bool {
    let lanes = T::kernels().lanes;
    let padded = |n: usize| n.next_multiple_of(lanes);
    cols * padded(channels) > 2 * channels * padded(cols)
}

/// Multiply-adds that make a task worth handing to another thread.
const TASK_WORK: usize = 1 << 20;
/// More tasks than this help no one.
const MAX_TASKS: usize = 256;

/// How many tasks to cut `units` of together `work` multiply-adds into.
fn task_count(units: usize, work: usize) -> usize {
    (work / TASK_WORK).clamp(1, MAX_TASKS).min(units)
}

/// Runs `f(0..units)` in as many tasks as the work is worth.
pub(crate) fn share(par: Par<'_>, units: usize, work: usize, f: &(dyn Fn(usize) + Sync)) {
    let tasks = task_count(units, work);
    if tasks <= 1 {
        (0..units).for_each(f);
        return;
    }
    par(tasks, &|task| (units * task / tasks..units * (task + 1) / tasks).for_each(f));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{Isa, isa, set_isa_for_test};

    fn shape(
        (n, c_in, h, w): (usize, usize, usize, usize),
        (c_out, kh, kw): (usize, usize, usize),
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        groups: usize,
    ) -> ConvShape {
        let out = |size, axis: usize, k: usize| {
            (size + 2 * padding[axis] - dilation[axis] * (k - 1) - 1) / stride[axis] + 1
        };
        let (oh, ow) = (out(h, 0, kh), out(w, 1, kw));
        ConvShape { n, c_in, h, w, c_out, kh, kw, stride, padding, dilation, groups, oh, ow }
    }

    fn shapes() -> Vec<ConvShape> {
        let one = [1, 1];
        vec![
            shape((3, 1, 8, 8), (16, 3, 3), one, one, one, 1),
            shape((5, 32, 4, 4), (64, 3, 3), one, one, one, 1),
            shape((2, 5, 9, 30), (33, 3, 2), [2, 3], [1, 2], [2, 1], 1),
            shape((1, 3, 40, 37), (70, 5, 5), [2, 2], [2, 2], one, 1),
            shape((2, 40, 6, 7), (17, 3, 3), [1, 2], [0, 1], one, 1),
            shape((2, 6, 11, 19), (6, 3, 3), one, one, one, 6),
            shape((2, 6, 11, 19), (12, 3, 4), [2, 3], [3, 3], [1, 2], 6),
            shape((2, 8, 5, 20), (4, 2, 3), [3, 1], [0, 2], one, 2),
            shape((3, 20, 5, 5), (18, 1, 1), [2, 2], [0, 0], one, 2),
            shape((2, 3, 1, 50), (24, 1, 7), [1, 2], [0, 3], one, 1),
            shape((1, 2, 3, 3), (1, 1, 1), [4, 4], one, one, 1),
            shape((0, 4, 5, 5), (8, 3, 3), one, one, one, 1),
        ]
    }

    /// Calls f(index of x, of w, of y) for every product of the convolution.
    fn products(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
        let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
        for at in 0..s.n * s.c_out * s.oh * s.ow {
            let (ox, oy, o) = (at % s.ow, at / s.ow % s.oh, at / s.ow / s.oh);
            let (o, image) = (o % s.c_out, o / s.c_out);
            for k in 0..ci * s.kh * s.kw {
                let (q, r, c) = (k % s.kw, k / s.kw % s.kh, k / s.kw / s.kh);
                let y = (oy * s.stride[0] + r * s.dilation[0]).wrapping_sub(s.padding[0]);
                let x = (ox * s.stride[1] + q * s.dilation[1]).wrapping_sub(s.padding[1]);
                if y < s.h && x < s.w {
                    let plane = image * s.c_in + o / co * ci + c;
                    f((plane * s.h + y) * s.w + x, o * ci * s.kh * s.kw + k, at);
                }
            }
        }
    }

    fn numbers<T: Elem>(n: usize, seed: u64) -> Vec<T> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            T::from_i64((state >> 60) as i64 - 7)
        };
        (0..n).map(next).collect()
    }

    fn backwards(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..tasks).rev().for_each(f);
    }

    /// y, gx, gw, gb.
    fn run<T: Elem>(s: &ConvShape, relu: bool, par: Par<'_>) -> [Vec<T>; 4] {
        let nan = T::from_i64(0) / T::from_i64(0);
        let (xs, ys) = (s.n * s.c_in * s.h * s.w, s.n * s.c_out * s.oh * s.ow);
        let ws = s.c_out * s.c_in / s.groups * s.kh * s.kw;
        let (x, w, b) = (numbers::<T>(xs, 1), numbers::<T>(ws, 2), numbers::<T>(s.c_out, 3));
        let gy = numbers::<T>(ys, 4);
        let [mut y, mut gx] = [vec![nan; ys], vec![nan; xs]];
        let [mut gw, mut gb] = [vec![nan; ws], vec![nan; s.c_out]];
        // SAFETY: the vectors have the shape's sizes.
        unsafe {
            conv2d(s, x.as_ptr(), w.as_ptr(), b.as_ptr(), y.as_mut_ptr(), relu, par);
            conv2d_grad_input(s, gy.as_ptr(), w.as_ptr(), gx.as_mut_ptr(), par);
            conv2d_grad_weight(s, x.as_ptr(), gy.as_ptr(), gw.as_mut_ptr(), par);
            conv2d_grad_bias(s, gy.as_ptr(), gb.as_mut_ptr(), par);
        }
        [y, gx, gw, gb]
    }

    /// Whole numbers, so that every order of summation is exact.
    fn expected<T: Elem>(s: &ConvShape, relu: bool) -> [Vec<T>; 4] {
        let zero = T::default();
        let (xs, ys) = (s.n * s.c_in * s.h * s.w, s.n * s.c_out * s.oh * s.ow);
        let ws = s.c_out * s.c_in / s.groups * s.kh * s.kw;
        let (x, w, b) = (numbers::<T>(xs, 1), numbers::<T>(ws, 2), numbers::<T>(s.c_out, 3));
        let gy = numbers::<T>(ys, 4);
        let channel = |at: usize| at / (s.oh * s.ow) % s.c_out;
        let mut y: Vec<T> = (0..ys).map(|at| b[channel(at)]).collect();
        let [mut gx, mut gw, mut gb] = [vec![zero; xs], vec![zero; ws], vec![zero; s.c_out]];
        products(s, |i, k, o| {
            y[o] += x[i] * w[k];
            gx[i] += gy[o] * w[k];
            gw[k] += gy[o] * x[i];
        });
        for (at, &g) in gy.iter().enumerate() {
            gb[channel(at)] += g;
        }
        if relu {
            y.iter_mut().filter(|v| **v < zero).for_each(|v| *v = zero);
        }
        [y, gx, gw, gb]
    }

    #[test]
    fn all_shapes_types_and_instruction_sets_agree_with_the_definition() {
        let before = isa();
        for set in [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512] {
            if !set_isa_for_test(set) {
                continue;
            }
            for (i, s) in shapes().iter().enumerate() {
                let relu = i % 2 == 1;
                assert_eq!(
                    run::<f32>(s, relu, &backwards),
                    expected::<f32>(s, relu),
                    "{set:?} {s:?}"
                );
                assert_eq!(
                    run::<f64>(s, relu, &backwards),
                    expected::<f64>(s, relu),
                    "{set:?} {s:?}"
                );
            }
        }
        set_isa_for_test(before);
    }

    #[test]
    fn relu_keeps_nan() {
        let s = shape((1, 1, 1, 1), (1, 1, 1), [1, 1], [0, 0], [1, 1], 1);
        let (x, w, mut y) = (f32::NAN, 1.0, 0.0);
        // SAFETY: one element each.
        unsafe {
            conv2d(&s, &raw const x, &raw const w, std::ptr::null(), &raw mut y, true, &backwards);
        }
        assert!(y.is_nan());
    }

    #[test]
    fn sums_are_close_whatever_their_length() {
        for n in [0, 1, 15, 16, 17, 4096, 4097, 100_003] {
            let x = vec![0.1f32; n];
            // SAFETY: n elements.
            let got = unsafe { sum(x.as_ptr(), n) };
            assert!((got - 0.1 * n as f32).abs() <= 1e-6 * n as f32, "{n}: {got}");
        }
    }
}
