//! Convolution on the CPU: contiguous NCHW tensors, f32 and f64.
//!
//! Two algorithms, chosen by the shape and the instruction set. With enough channels, a tiled product whose vector
//! lanes are channels reads its scalars in place from a channels-last copy of a few rows (`gather.rs`, `weight.rs`).
//! With few channels per group the lanes are pixels (`plane.rs`). Every result has the same bits at any thread count:
//! work is cut by the shape alone, and partial sums are added in a fixed tree.

#![allow(unsafe_op_in_unsafe_fn, reason = "kernels on raw pointers; each function states its contract")]

mod gather;
mod kernels;
mod lanes;
pub(crate) mod layout;
mod plan;
mod plane;
mod rows;
pub(crate) mod scratch;
mod tile;
mod transpose;
mod weight;

use crate::ops::matmul::gemm::Par;
pub use kernels::Elem;
use plan::Plan;

/// The sizes of a convolution; `x` is [n, c_in, h, w], `w` is [c_out, c_in / groups, kh, kw], `y` is [n, c_out, oh, ow].
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
