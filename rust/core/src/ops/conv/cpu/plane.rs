//! Convolution with few channels per group, depthwise above all: plane by plane, with the kernels of `rows.rs`.

use super::layout::{Window, fill, pack_plane};
use super::plan::Plan;
use super::rows::{Dots, Rows};
use super::{ConvShape, Elem, share, task_count};
use crate::cpu::scratch;
use crate::ops::matmul::gemm::Par;

/// Elements of a plane that are worked on at a time, about.
const BAND: usize = 1 << 14;
/// Parts that the batch is cut into at most for the weight gradient.
const PARTS: usize = 16;

/// Pointers that tasks share.
struct Job<T> {
    x: *const T,
    w: *const T,
    bias: *const T,
    y: *mut T,
    relu: bool,
}

// SAFETY: tasks read x, w and bias, and write disjoint parts of y.
unsafe impl<T> Sync for Job<T> {}

/// The columns of a packed plane and how a tap finds its place there.
struct Packed {
    step: usize,
    width: usize,
}

impl Packed {
    fn new(cols: usize, step: usize) -> Self {
        Self { step, width: cols.div_ceil(step) }
    }

    fn pitch(&self) -> usize {
        self.step * self.width
    }

    fn tap(&self, dy: usize, dx: usize) -> usize {
        dy * self.pitch() + dx % self.step * self.width + dx / self.step
    }
}

/// y = relu?(gather(x, w) + bias?), every element of y written.
///
/// # Safety
/// The pointers must be valid for the plan's sizes; `bias` may be null.
pub(super) unsafe fn run<T: Elem>(
    p: &Plan,
    x: *const T,
    w: *const T,
    bias: *const T,
    y: *mut T,
    relu: bool,
    par: Par<'_>,
) {
    let cols = (p.grid[1] - 1) * p.in_step[1] + p.reach[1] + 1;
    let packed = Packed::new(cols, p.in_step[1]);
    let taps: Vec<Vec<usize>> = (p.passes.iter())
        .map(|pass| pass.taps.iter().map(|tap| packed.tap(tap.dy, tap.dx)).collect())
        .collect();
    let band = (BAND / cols).clamp(1, p.grid[0]);
    let bands = p.grid[0].div_ceil(band);
    let job = Job { x, w, bias, y, relu };
    let work = p.n * p.groups * p.grid[0] * p.grid[1] * p.work();
    share(par, p.n * p.groups * bands, work * WORK_FACTOR, &|i| {
        let (plane, row) = (i / bands, i % bands * band);
        let rows = band.min(p.grid[0] - row);
        // SAFETY: the caller's contract; tasks write disjoint rows of y.
        unsafe { job.planes(p, &packed, &taps, plane / p.groups, plane % p.groups, row, rows) }
    });
}

/// One vector of pixels costs about this many times what it does in a tile.
const WORK_FACTOR: usize = 4;

impl<T: Elem> Job<T> {
    /// Grid rows `row..` of all channels of one group in one image.
    unsafe fn planes(
        &self,
        p: &Plan,
        packed: &Packed,
        taps: &[Vec<usize>],
        image: usize,
        g: usize,
        row: usize,
        rows: usize,
    ) {
        let kernels = T::kernels();
        let win = Window {
            h: p.input[0],
            w: p.input[1],
            top: p.top + (row * p.in_step[0]) as isize,
            left: p.left,
            rows: (rows - 1) * p.in_step[0] + p.reach[0] + 1,
            cols: (p.grid[1] - 1) * p.in_step[1] + p.reach[1] + 1,
        };
        let x_len = win.rows * packed.pitch() + 2 * kernels.lanes;
        // A strided result is made in scratch and spread out at the end.
        let direct = p.out_step == [1, 1];
        let y_step = p.grid[1];
        let y_len = rows * y_step;
        let ys_len = if direct { 0 } else { p.passes.len() * p.c_out * y_len };
        scratch::with(x_len + ys_len + p.kernel, |xs: *mut T| {
            let ys = xs.add(x_len);
            let weights = std::slice::from_raw_parts_mut(ys.add(ys_len), p.kernel);
            for c in 0..p.c_in {
                let plane = (image * p.groups + g) * p.c_in + c;
                pack_plane(
                    self.x.add(plane * win.h * win.w),
                    &win,
                    packed.step,
                    packed.width,
                    T::default(),
                    xs,
                );
                for (i, pass) in p.passes.iter().enumerate() {
                    for o in 0..p.c_out {
                        let w = self.w.add(g * p.w_group + o * p.w_out + c * p.w_in);
                        for (to, tap) in weights.iter_mut().zip(&pass.taps) {
                            *to = *w.add(tap.w);
                        }
                        let channel = g * p.c_out + o;
                        let y = if direct {
                            let plane = image * p.groups * p.c_out + channel;
                            self.y.add((plane * p.output[0] + row) * y_step)
                        } else {
                            ys.add((i * p.c_out + o) * y_len)
                        };
                        let bias = if self.bias.is_null() {
                            T::default()
                        } else {
                            *self.bias.add(channel)
                        };
                        (kernels.rows)(&Rows {
                            x: xs,
                            x_step: p.in_step[0] * packed.pitch(),
                            taps: &taps[i],
                            weights: &weights[..pass.taps.len()],
                            y,
                            y_step,
                            count: pass.rows.saturating_sub(row).min(rows),
                            cols: pass.cols,
                            start: (c == 0).then_some(bias),
                            relu: self.relu && c + 1 == p.c_in,
                        });
                    }
                }
            }
            if direct {
                return;
            }
            for (i, pass) in p.passes.iter().enumerate() {
                for o in 0..p.c_out {
                    let channel = (image * p.groups + g) * p.c_out + o;
                    let to = self.y.add(channel * p.output[0] * p.output[1] + pass.first[1]);
                    let from = ys.add((i * p.c_out + o) * y_len);
                    for t in 0..pass.rows.saturating_sub(row).min(rows) {
                        let y = pass.first[0] + (row + t) * p.out_step[0];
                        let (to, from) = (to.add(y * p.output[1]), from.add(t * y_step));
                        for u in 0..pass.cols {
                            *to.add(u * p.out_step[1]) = *from.add(u);
                        }
                    }
                }
            }
        });
    }
}

/// gw = sum over images and pixels of gy * x, every element written; the batch is cut by the shape alone.
///
/// # Safety
/// The pointers must be valid for the shape's sizes.
pub(super) unsafe fn run_weight<T: Elem>(
    s: &ConvShape,
    x: *const T,
    gy: *const T,
    gw: *mut T,
    par: Par<'_>,
) {
    let kernel = s.kh * s.kw;
    let work = s.n * s.oh * s.ow * s.c_out * (s.c_in / s.groups) * kernel * WORK_FACTOR;
    let parts = PARTS.div_ceil(s.c_in).min(task_count(s.n * s.c_in, work)).min(s.n);
    let len = s.c_out / s.groups * kernel;
    scratch::with(s.c_in * parts * len, |sums: *mut T| {
        let job = Job { x, w: gy, bias: std::ptr::null(), y: sums, relu: false };
        share(par, s.c_in * parts, work, &|i| {
            let (channel, part) = (i / parts, i % parts);
            let images = s.n * part / parts..s.n * (part + 1) / parts;
            // SAFETY: the caller's contract; each task has its own sums.
            unsafe { job.sums(s, channel, images, i * len) }
        });
        for channel in 0..s.c_in {
            let (g, c) = (channel / (s.c_in / s.groups), channel % (s.c_in / s.groups));
            let sums = std::slice::from_raw_parts_mut(sums.add(channel * parts * len), parts * len);
            let mut apart = 1;
            while apart < parts {
                for first in (0..parts - apart).step_by(2 * apart) {
                    for k in 0..len {
                        let more = sums[(first + apart) * len + k];
                        sums[first * len + k] += more;
                    }
                }
                apart *= 2;
            }
            for (o, sums) in sums[..len].chunks(kernel).enumerate() {
                let o = g * (s.c_out / s.groups) + o;
                let to = gw.add((o * (s.c_in / s.groups) + c) * kernel);
                std::ptr::copy_nonoverlapping(sums.as_ptr(), to, kernel);
            }
        }
    });
}

impl<T: Elem> Job<T> {
    /// y[first..] = the sums of some images for one input channel and all output channels of its group.
    unsafe fn sums(
        &self,
        s: &ConvShape,
        channel: usize,
        images: std::ops::Range<usize>,
        first: usize,
    ) {
        let kernel = s.kh * s.kw;
        let c_out = s.c_out / s.groups;
        let g = channel / (s.c_in / s.groups);
        let cols = (s.ow - 1) * s.stride[1] + (s.kw - 1) * s.dilation[1] + 1;
        let reach = (s.kh - 1) * s.dilation[0] + 1;
        let packed = Packed::new(cols, s.stride[1]);
        let taps: Vec<usize> = (0..kernel)
            .map(|k| packed.tap(k / s.kw * s.dilation[0], k % s.kw * s.dilation[1]))
            .collect();
        let sums = self.y.add(first);
        fill(sums, c_out * kernel);
        let band = (BAND / cols).clamp(1, s.oh);
        let x_len = ((band - 1) * s.stride[0] + reach) * packed.pitch() + 2 * T::kernels().lanes;
        scratch::with(x_len, |xs: *mut T| {
            for image in images {
                let plane = self.x.add((image * s.c_in + channel) * s.h * s.w);
                for row in (0..s.oh).step_by(band) {
                    let rows = band.min(s.oh - row);
                    let win = Window {
                        h: s.h,
                        w: s.w,
                        top: (row * s.stride[0]) as isize - s.padding[0] as isize,
                        left: -(s.padding[1] as isize),
                        rows: (rows - 1) * s.stride[0] + reach,
                        cols,
                    };
                    pack_plane(plane, &win, packed.step, packed.width, T::default(), xs);
                    for o in 0..c_out {
                        let plane = image * s.c_out + g * c_out + o;
                        (T::kernels().dots)(&mut Dots {
                            x: xs,
                            x_step: s.stride[0] * packed.pitch(),
                            taps: &taps,
                            g: self.w.add((plane * s.oh + row) * s.ow),
                            g_step: s.ow,
                            rows,
                            cols: s.ow,
                            sums: std::slice::from_raw_parts_mut(sums.add(o * kernel), kernel),
                        });
                    }
                }
            }
        });
    }
}
