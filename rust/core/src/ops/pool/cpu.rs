//! Pooling on the CPU: contiguous planes (n * c of them), f32 and f64.
//!
//! Planes are independent, and each element of a gradient is summed in a fixed order: bits do not depend on threads.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "kernels on raw pointers; each function states its contract"
)]

mod adaptive;
mod small;
mod window;

use crate::ops::conv::cpu::{Elem, share};
use crate::ops::matmul::gemm::Par;
pub use adaptive::*;

/// The sizes of a pooling: x is `[n_c, h, w]`, y is `[n_c, oh, ow]`. Average pooling ignores `dilation`.
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

/// y = the largest of each window; idx = where in its h * w plane. The first of equals wins, NaN beats
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
    if let Some(plan) = small::Plan::new(s) {
        share(par, plan.groups(), s.work(), &|group| {
            let job = &job;
            // SAFETY: the caller's contract; groups are different planes.
            unsafe { small::max(&plan, group, job.from, job.to, job.index_to) }
        });
        return;
    }
    let plan = window::Plan::max(s);
    share(par, s.n_c, s.work(), &|plane| {
        let job = &job;
        let (from, to) = (plane * s.h * s.w, plane * s.oh * s.ow);
        // SAFETY: the caller's contract.
        unsafe {
            let (y, idx) = (job.to.add(to), job.index_to.add(to));
            plan.with_copy(job.from.add(from), T::LOWEST, |x| window::max(&plan, x, y, idx));
        }
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
        unsafe {
            let y = job.to.add(to);
            plan.with_copy(job.from.add(from), T::default(), |x| window::average(&plan, x, y));
        }
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
        unsafe {
            let gy = job.from.add(from);
            plan.make_plane(job.to.add(to), |gx| window::average_backward(&plan, gy, gx));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::{Isa, isa, set_isa_for_test};

    fn backwards(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        (0..tasks).rev().for_each(f);
    }

    fn shape(
        (n_c, h, w): (usize, usize, usize),
        (kh, kw): (usize, usize),
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
    ) -> PoolShape {
        let out = |size: usize, axis: usize, k: usize| {
            (size + 2 * padding[axis] - dilation[axis] * (k - 1) - 1) / stride[axis] + 1
        };
        let (oh, ow) = (out(h, 0, kh), out(w, 1, kw));
        PoolShape { n_c, h, w, kh, kw, stride, padding, dilation, oh, ow }
    }

    fn shapes() -> Vec<PoolShape> {
        vec![
            shape((70, 8, 8), (2, 2), [2, 2], [0, 0], [1, 1]),
            shape((5, 4, 4), (2, 2), [2, 2], [0, 0], [1, 1]),
            shape((3, 9, 40), (3, 3), [2, 2], [1, 1], [1, 1]),
            shape((2, 7, 37), (3, 2), [1, 1], [1, 1], [2, 1]),
            shape((2, 20, 50), (4, 5), [3, 4], [2, 1], [1, 2]),
            shape((2, 6, 5), (3, 1), [1, 3], [1, 0], [1, 1]),
            shape((0, 6, 5), (2, 2), [2, 2], [0, 0], [1, 1]),
        ]
    }

    /// The elements of a window, as flat indices of the plane, in order.
    fn window(s: &PoolShape, o: usize, dilation: [usize; 2]) -> Vec<usize> {
        let (oy, ox) = (o / s.ow, o % s.ow);
        let taps = (0..s.kh * s.kw).map(|k| (k / s.kw * dilation[0], k % s.kw * dilation[1]));
        taps.filter_map(|(dy, dx)| {
            let y = (oy * s.stride[0] + dy).checked_sub(s.padding[0]).filter(|&y| y < s.h)?;
            let x = (ox * s.stride[1] + dx).checked_sub(s.padding[1]).filter(|&x| x < s.w)?;
            Some(y * s.w + x)
        })
        .collect()
    }

    fn input(n: usize) -> Vec<f32> {
        (0..n as u32)
            .map(|i| match i.wrapping_mul(2654435761) >> 27 {
                0 => f32::NAN,
                v @ 1..9 if v % 2 == 0 => f32::NEG_INFINITY,
                v => v as f32,
            })
            .collect()
    }

    fn check_max(s: &PoolShape) {
        let (inputs, outputs) = (s.h * s.w, s.oh * s.ow);
        let x = input(s.n_c * inputs);
        let (mut y, mut idx) = (vec![0f32; s.n_c * outputs], vec![0i64; s.n_c * outputs]);
        let gy: Vec<f32> = (0..y.len()).map(|i| (i % 9) as f32).collect();
        let (mut gx, mut expected_gx) = (vec![f32::NAN; x.len()], vec![0f32; x.len()]);
        // SAFETY: the vectors have the shape's sizes.
        unsafe {
            max_pool2d(s, x.as_ptr(), y.as_mut_ptr(), idx.as_mut_ptr(), &backwards);
            max_pool2d_backward(s, gy.as_ptr(), idx.as_ptr(), gx.as_mut_ptr(), &backwards);
        }
        for i in 0..y.len() {
            let (plane, o) = (i / outputs, i % outputs);
            let mut at = window(s, o, s.dilation)[0];
            let mut best = f32::NEG_INFINITY;
            for k in window(s, o, s.dilation) {
                let v = x[plane * inputs + k];
                if v > best || v.is_nan() {
                    (best, at) = (v, k);
                }
            }
            assert_eq!((y[i].to_bits(), idx[i]), (best.to_bits(), at as i64), "{s:?} {i}");
            expected_gx[plane * inputs + at] += gy[i];
        }
        assert_eq!(gx, expected_gx, "{s:?}");
    }

    fn check_average(s: &PoolShape, divisor: Divisor) {
        let (inputs, outputs) = (s.h * s.w, s.oh * s.ow);
        let x: Vec<f64> = (0..s.n_c * inputs).map(|i| (i * i % 23) as f64).collect();
        let (mut y, mut gx) = (vec![f64::NAN; s.n_c * outputs], vec![f64::NAN; x.len()]);
        // SAFETY: the vectors have the shape's sizes.
        unsafe {
            avg_pool2d(s, x.as_ptr(), y.as_mut_ptr(), divisor, &backwards);
            avg_pool2d_backward(s, y.as_ptr(), gx.as_mut_ptr(), divisor, &backwards);
        }
        let mut expected_gx = vec![0f64; x.len()];
        for i in 0..y.len() {
            let (plane, o) = (i / outputs, i % outputs);
            let inside = window(s, o, [1, 1]);
            let total: f64 = inside.iter().map(|k| x[plane * inputs + k]).sum();
            let count = match divisor {
                Divisor { divisor_override: Some(d), .. } => d as f64,
                Divisor { count_include_pad: true, .. } => (s.kh * s.kw) as f64,
                Divisor { .. } => inside.len() as f64,
            };
            assert!((y[i] - total / count).abs() < 1e-12, "{s:?} {divisor:?} {i}");
            for k in inside {
                expected_gx[plane * inputs + k] += y[i] / count;
            }
        }
        let close = gx.iter().zip(&expected_gx).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close, "{s:?} {divisor:?}");
    }

    #[test]
    fn all_shapes_and_instruction_sets_agree_with_the_definition() {
        let before = isa();
        for set in [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512] {
            if !set_isa_for_test(set) {
                continue;
            }
            for s in shapes() {
                check_max(&s);
                for (count_include_pad, divisor_override) in
                    [(true, None), (false, None), (true, Some(-3))]
                {
                    check_average(&s, Divisor { count_include_pad, divisor_override });
                }
            }
        }
        set_isa_for_test(before);
    }

    #[test]
    fn a_window_of_padding_only_has_no_index() {
        let s = shape((1, 1, 1), (2, 2), [1, 1], [1, 1], [2, 2]);
        let (x, mut y, mut idx) = (3f32, 0f32, 0i64);
        let mut gx = f32::NAN;
        // SAFETY: one element each.
        unsafe {
            max_pool2d(&s, &raw const x, &raw mut y, &raw mut idx, &backwards);
            max_pool2d_backward(&s, &raw const y, &raw const idx, &raw mut gx, &backwards);
        }
        assert_eq!((y, idx, gx), (f32::NEG_INFINITY, -1, 0.0));
    }

    #[test]
    fn adaptive_windows_cover_the_plane() {
        let s = AdaptiveShape { n_c: 2, h: 7, w: 5, oh: 3, ow: 2 };
        let x: Vec<f64> = (0..70).map(f64::from).collect();
        let (mut y, mut largest, mut idx) = (vec![0.0; 12], vec![0.0; 12], vec![0; 12]);
        let (mut gx, mut max_gx) = (vec![f64::NAN; 70], vec![f64::NAN; 70]);
        // SAFETY: the vectors have the shape's sizes.
        unsafe {
            adaptive_avg_pool2d(&s, x.as_ptr(), y.as_mut_ptr(), &backwards);
            adaptive_max_pool2d(&s, x.as_ptr(), largest.as_mut_ptr(), idx.as_mut_ptr(), &backwards);
            adaptive_avg_pool2d_backward(&s, y.as_ptr(), gx.as_mut_ptr(), &backwards);
            let (gy, idx) = (largest.as_ptr(), idx.as_ptr());
            adaptive_max_pool2d_backward(&s, gy, idx, max_gx.as_mut_ptr(), &backwards);
        }
        // Rows 0..3, 2..5, 4..7 and columns 0..3, 2..5: means of an arithmetic progression are at the centres.
        assert_eq!(y[..6], [6.0, 8.0, 16.0, 18.0, 26.0, 28.0]);
        assert_eq!(largest[..6], [12.0, 14.0, 22.0, 24.0, 32.0, 34.0]);
        assert_eq!(idx[6..], [12, 14, 22, 24, 32, 34]);
        assert!((gx.iter().sum::<f64>() - y.iter().sum::<f64>()).abs() < 1e-9);
        assert_eq!(max_gx[34], 34.0);
    }
}
