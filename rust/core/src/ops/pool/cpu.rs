//! Pooling on the CPU: contiguous planes (n * c of them), f32 and f64.
//!
//! Planes are independent, and each element of a gradient is summed in a fixed order: bits do not depend on threads.

#![allow(unsafe_op_in_unsafe_fn, reason = "kernels on raw pointers; each function states its contract")]

mod adaptive;
mod window;

use crate::ops::conv::cpu::{Elem, share};
use crate::ops::matmul::gemm::Par;
pub use adaptive::*;

/// The sizes of a pooling: x is [n_c, h, w], y is [n_c, oh, ow]. Average pooling ignores `dilation`.
#[derive(Clone, Debug)]
pub struct PoolShape {
    pub n_c: usize,
    pub h: usize,
    pub w: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub oh: usize,
    pub ow: usize,
}

impl PoolShape {
    /// What a call costs, in the unit of `share`.
    fn work(&self) -> usize {
        self.n_c * (self.oh * self.ow * self.kh * self.kw + self.h * self.w) * 8
    }
}

/// What an average divides by.
#[derive(Clone, Copy, Debug)]
pub struct Divisor {
    pub count_include_pad: bool,
    pub divisor_override: Option<i64>,
}

/// Pointers of one call, shared by its tasks.
struct Job<T> {
    from: *const T,
    to: *mut T,
    index_from: *const i64,
    index_to: *mut i64,
}

// SAFETY: tasks read `from` and `index_from`, and write different planes of `to` and `index_to`.
unsafe impl<T> Sync for Job<T> {}

impl<T> Job<T> {
    fn new(from: *const T, to: *mut T) -> Self {
        Self { from, to, index_from: std::ptr::null(), index_to: std::ptr::null_mut() }
    }
}

/// y = the largest of each window; idx = where in its h * w plane. As in PyTorch the first of equals wins, NaN beats
/// all, the last NaN wins. A window that holds padding only gives -inf and index -1.
///
/// # Safety
/// The pointers must be valid for the shape's sizes.
pub unsafe fn max_pool2d<T: Elem>(
    s: &PoolShape,
    x: *const T,
    y: *mut T,
    idx: *mut i64,
    par: Par<'_>,
) {
    let job = Job { index_to: idx, ..Job::new(x, y) };
    let plan = window::Plan::max(s);
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        let (from, to) = (plane * s.h * s.w, plane * s.oh * s.ow);
        // SAFETY: the caller's contract.
        unsafe { window::max(&plan, job.from.add(from), job.to.add(to), job.index_to.add(to)) }
    });
}

/// gx, every element written: gy[o] is added at idx[o]. Indices outside the plane (such as -1) are passed over.
///
/// # Safety
/// As for `max_pool2d`.
pub unsafe fn max_pool2d_backward<T: Elem>(
    s: &PoolShape,
    gy: *const T,
    idx: *const i64,
    gx: *mut T,
    par: Par<'_>,
) {
    scatter_max([s.n_c, s.h * s.w, s.oh * s.ow], gy, idx, gx, par);
}

/// `sizes`: planes, elements of an input plane, elements of an output plane.
unsafe fn scatter_max<T: Elem>(
    sizes: [usize; 3],
    gy: *const T,
    idx: *const i64,
    gx: *mut T,
    par: Par<'_>,
) {
    let [planes, inputs, outputs] = sizes;
    let job = Job { index_from: idx, ..Job::new(gy, gx) };
    share(par, planes, planes * (inputs + outputs) * 8, &|plane| {
        let job = &job;
        // SAFETY: the caller's contract; the index is checked.
        unsafe {
            let gx = job.to.add(plane * inputs);
            std::ptr::write_bytes(gx, 0, inputs);
            for o in plane * outputs..(plane + 1) * outputs {
                let at = *job.index_from.add(o) as usize;
                if at < inputs {
                    *gx.add(at) += *job.from.add(o);
                }
            }
        }
    });
}

/// y = the mean of each window.
///
/// # Safety
/// The pointers must be valid for the shape's sizes.
pub unsafe fn avg_pool2d<T: Elem>(
    s: &PoolShape,
    x: *const T,
    y: *mut T,
    divisor: Divisor,
    par: Par<'_>,
) {
    let job = Job::new(x, y);
    let plan = window::Plan::average(s, divisor);
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        let (from, to) = (plane * s.h * s.w, plane * s.oh * s.ow);
        // SAFETY: the caller's contract.
        unsafe { window::average(&plan, job.from.add(from), job.to.add(to)) }
    });
}

/// gx, every element written.
///
/// # Safety
/// As for `avg_pool2d`.
pub unsafe fn avg_pool2d_backward<T: Elem>(
    s: &PoolShape,
    gy: *const T,
    gx: *mut T,
    divisor: Divisor,
    par: Par<'_>,
) {
    let job = Job::new(gy, gx);
    let plan = window::Plan::average(s, divisor);
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        let (from, to) = (plane * s.oh * s.ow, plane * s.h * s.w);
        // SAFETY: the caller's contract.
        unsafe { window::average_backward(&plan, job.from.add(from), job.to.add(to)) }
    });
}
