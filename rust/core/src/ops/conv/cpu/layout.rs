//! Between the tensors' NCHW and the kernels' channels-last bands.

use super::Elem;
use super::rows::Split;
use super::transpose::Transpose;

/// A window of one image: rows and columns from (top, left), which may lie outside, where zeros are.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) top: isize,
    pub(crate) left: isize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Window {
    /// The band columns that lie in the image.
    fn inside(&self) -> (usize, usize) {
        inside(self.left, self.cols, self.w)
    }

    fn inside_rows(&self) -> (usize, usize) {
        inside(self.top, self.rows, self.h)
    }
}

/// The i < n for which first + i is in 0..size.
fn inside(first: isize, n: usize, size: usize) -> (usize, usize) {
    let lo = (-first).clamp(0, n as isize);
    let hi = (size as isize - first).clamp(lo, n as isize);
    (lo as usize, hi as usize)
}

/// `band[(r * cols + u) * pitch + c]` from `channels` planes at `x`.
///
/// # Safety
/// `x` must hold the planes and `band` rows * cols * pitch elements and a vector of slack.
pub(super) unsafe fn pack_band<T: Elem>(
    x: *const T,
    channels: usize,
    pitch: usize,
    win: &Window,
    band: *mut T,
) {
    if pitch == 1 {
        pack_plane(x, win, 1, win.cols, T::default(), band);
        return;
    }
    let ((lo, hi), (first, end)) = (win.inside(), win.inside_rows());
    if hi - lo < win.cols || end - first < win.rows {
        fill(band, win.rows * win.cols * pitch);
    }
    if lo == hi || first == end {
        return;
    }
    let src = x.offset((win.top + first as isize) * win.w as isize + win.left + lo as isize);
    let dst = band.add((first * win.cols + lo) * pitch);
    let plane = win.h * win.w;
    // Whole rows are one strip.
    let strip = hi - lo == win.cols && win.cols == win.w;
    let (rows, cols) = if strip { (1, (end - first) * win.w) } else { (end - first, hi - lo) };
    for r in 0..rows {
        (T::kernels().transpose)(&Transpose {
            src: src.add(r * win.w),
            src_step: plane,
            dst: dst.add(r * win.cols * pitch),
            dst_step: pitch,
            rows: channels,
            cols,
        });
    }
}

/// One plane with columns sorted by their residue modulo `step`, so that every tap of a convolution with that stride
/// reads neighbours: plane[r][residue][column / step], `width` columns per residue, `border` where there is nothing.
///
/// # Safety
/// `x` must hold the plane, `plane` rows * step * width elements and a vector of slack, and width * step >= cols.
pub(crate) unsafe fn pack_plane<T: Elem>(
    x: *const T,
    win: &Window,
    step: usize,
    width: usize,
    border: T,
    plane: *mut T,
) {
    let ((lo, hi), (first, end)) = (win.inside(), win.inside_rows());
    if hi - lo < step * width || end - first < win.rows {
        for i in 0..win.rows * step * width {
            *plane.add(i) = border;
        }
    }
    (T::kernels().split)(&Split {
        from: x.wrapping_offset((win.top + first as isize) * win.w as isize + win.left),
        from_step: win.w,
        to: plane.add(first * step * width),
        step,
        width,
        rows: end - first,
        lo,
        hi,
        border,
    });
}

/// Writes `n` zeros.
pub(super) unsafe fn fill<T: Elem>(p: *mut T, n: usize) {
    std::ptr::write_bytes(p, 0, n);
}
