//! What the forward convolution and its input gradient have in common: each output pixel gathers from input pixels at
//! fixed offsets (taps). A strided input gradient is one such pass for each residue of the output position.

use super::ConvShape;

/// One kernel position: the input offset it reads at, counted from the plan's `top` and `left`, and its weight.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) dy: usize,
    pub(super) dx: usize,
    /// r * kw + s.
    pub(super) w: usize,
}

/// The outputs at `first + out_step * (t, u)` for t < rows, u < cols, which share their taps.
pub(super) struct Pass {
    pub(super) taps: Vec<Tap>,
    pub(super) first: [usize; 2],
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// Output (t, u) of a pass reads input `(t, u) * in_step + (top, left) + (tap.dy, tap.dx)`, zero outside the image.
pub(super) struct Plan {
    pub(super) n: usize,
    pub(super) groups: usize,
    /// Channels per group.
    pub(super) c_in: usize,
    pub(super) c_out: usize,
    pub(super) input: [usize; 2],
    pub(super) output: [usize; 2],
    pub(super) in_step: [usize; 2],
    pub(super) out_step: [usize; 2],
    pub(super) top: isize,
    pub(super) left: isize,
    /// The largest dy and dx.
    pub(super) reach: [usize; 2],
    /// The largest rows and cols of a pass.
    pub(super) grid: [usize; 2],
    pub(super) passes: Vec<Pass>,
    pub(super) kernel: usize,
    /// Weight strides of an output and an input channel within the group, and from group to group.
    pub(super) w_out: usize,
    pub(super) w_in: usize,
    pub(super) w_group: usize,
}

impl Plan {
    pub(super) fn forward(s: &ConvShape) -> Self {
        let kernel = s.kh * s.kw;
        let (c_in, c_out) = (s.c_in / s.groups, s.c_out / s.groups);
        let taps = (0..kernel)
            .map(|w| Tap { dy: w / s.kw * s.dilation[0], dx: w % s.kw * s.dilation[1], w })
            .collect();
        Self {
            n: s.n,
            groups: s.groups,
            c_in,
            c_out,
            input: [s.h, s.w],
            output: [s.oh, s.ow],
            in_step: s.stride,
            out_step: [1, 1],
            top: -(s.padding[0] as isize),
            left: -(s.padding[1] as isize),
            reach: [(s.kh - 1) * s.dilation[0], (s.kw - 1) * s.dilation[1]],
            grid: [s.oh, s.ow],
            passes: vec![Pass { taps, first: [0, 0], rows: s.oh, cols: s.ow }],
            kernel,
            w_out: c_in * kernel,
            w_in: kernel,
            w_group: c_out * c_in * kernel,
        }
    }

    /// gx[i] = sum of gy[o] * w[k] over i + padding = o * stride + k * dilation.
    pub(super) fn grad_input(s: &ConvShape) -> Self {
        let mut plan = Self::forward(s);
        std::mem::swap(&mut plan.c_in, &mut plan.c_out);
        std::mem::swap(&mut plan.w_in, &mut plan.w_out);
        std::mem::swap(&mut plan.input, &mut plan.output);
        plan.in_step = [1, 1];
        plan.out_step = s.stride;
        let (rows, top) = residues(s.kh, s.stride[0], s.padding[0], s.dilation[0]);
        let (cols, left) = residues(s.kw, s.stride[1], s.padding[1], s.dilation[1]);
        (plan.top, plan.left) = (top, left);
        plan.passes.clear();
        for (py, dys) in rows.iter().enumerate().take(s.h) {
            for (px, dxs) in cols.iter().enumerate().take(s.w) {
                let taps = dys.iter().flat_map(|&(dy, r)| {
                    dxs.iter().map(move |&(dx, q)| Tap { dy, dx, w: r * s.kw + q })
                });
                plan.passes.push(Pass {
                    taps: taps.collect(),
                    first: [py, px],
                    rows: (s.h - py).div_ceil(s.stride[0]),
                    cols: (s.w - px).div_ceil(s.stride[1]),
                });
            }
        }
        let farthest = |axis: &[Vec<(usize, usize)>]| {
            axis.iter().flatten().map(|&(d, _)| d).max().unwrap_or(0)
        };
        plan.reach = [farthest(&rows), farthest(&cols)];
        plan.grid = [s.h.div_ceil(s.stride[0]), s.w.div_ceil(s.stride[1])];
        plan
    }

    /// Multiply-adds per output grid position (all passes), image and group.
    pub(super) fn work(&self) -> usize {
        self.kernel * self.c_in * self.c_out
    }
}

/// For each residue of the output position, the (offset, kernel index) pairs that reach it, by rising offset; and the
/// least offset of all, which the others are counted from.
fn residues(
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> (Vec<Vec<(usize, usize)>>, isize) {
    let (stride, padding) = (stride as isize, padding as isize);
    let offset = |residue: isize, k: usize| {
        let d = residue + padding - (k * dilation) as isize;
        (d % stride == 0).then_some(d / stride)
    };
    let all = (0..stride).flat_map(|r| (0..kernel).filter_map(move |k| offset(r, k)));
    let least = all.min().unwrap_or(0);
    let of = |r| {
        let pairs = (0..kernel).rev().filter_map(|k| Some(((offset(r, k)? - least) as usize, k)));
        pairs.collect()
    };
    ((0..stride).map(of).collect(), least)
}
