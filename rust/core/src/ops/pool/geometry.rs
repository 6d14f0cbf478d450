//! The sizes of a pooling, worked out and checked from shapes and arguments.

use super::cpu::{AdaptiveShape, PoolShape};
use crate::error::{Error, Result};
use crate::layout::{Dims, checked_numel, show};
use crate::ops::conv::geometry::{axes, check_padding};
use crate::ops::{Attr, Attrs, Call};
use smallvec::SmallVec;

/// Where in the signature a windowed op has its arguments.
pub struct Args {
    pub kernel: usize,
    /// Averages have no dilation.
    pub dilation: Option<usize>,
    pub ceil_mode: usize,
}

pub const MAX: Args = Args { kernel: 0, dilation: Some(3), ceil_mode: 4 };
pub const AVERAGE: Args = Args { kernel: 0, dilation: None, ceil_mode: 3 };

impl Args {
    /// The same after one more argument in front.
    pub const fn after_size(self) -> Self {
        let dilation = match self.dilation {
            Some(i) => Some(i + 1),
            None => None,
        };
        Self { kernel: self.kernel + 1, dilation, ceil_mode: self.ceil_mode + 1 }
    }
}

/// The number of spatial dimensions: that of a list of sizes, which is never shortened to one int.
pub fn rank(c: &Call, i: usize) -> Result<usize> {
    match c.ints(i).len() {
        n @ 1..=2 => Ok(n),
        _ => Err(Error::value(format!("expected one or two sizes, got {:?}", c.ints(i)))),
    }
}

/// Height and width of the planes of `x`, and how many there are.
pub fn planes(x: &[usize], rank: usize) -> Result<(usize, [usize; 2])> {
    let spatial = x.len().checked_sub(rank).filter(|lead| (1..=2).contains(lead));
    let Some(lead) = spatial else {
        return Err(Error::shape(format!(
            "expected a {}-D (unbatched) or {}-D (batched) input, got shape {}",
            rank + 1,
            rank + 2,
            show(x)
        ))
        .hint("the layout is (N, C, ...spatial)"));
    };
    if x[lead..].contains(&0) {
        return Err(Error::shape(format!("the spatial sizes of {} must not be 0", show(x))));
    }
    let h = if rank == 1 { 1 } else { x[lead] };
    Ok((x[..lead].iter().product(), [h, x[x.len() - 1]]))
}

/// The result's shape: that of `x` with other spatial sizes.
pub fn with_size(x: &[usize], rank: usize, size: [usize; 2]) -> Dims {
    let mut out: Dims = x[..x.len() - rank].into();
    out.extend_from_slice(&size[2 - rank..]);
    out
}

/// Fixed windows over an input of shape `x`.
pub fn windows(c: &Call, x: &[usize], at: &Args) -> Result<(PoolShape, Dims)> {
    let rank = rank(c, at.kernel)?;
    let kernel = axes(c, at.kernel, rank, "kernel_size", 1)?;
    // Not given, or an empty list: windows side by side.
    let stride = match c.ints(at.kernel + 1) {
        [] => kernel,
        _ => axes(c, at.kernel + 1, rank, "stride", 1)?,
    };
    let padding = axes(c, at.kernel + 2, rank, "padding", 0)?;
    let dilation = match at.dilation {
        Some(i) => axes(c, i, rank, "dilation", 1)?,
        None => [1, 1],
    };
    let ceil = c.flag(at.ceil_mode);
    let (n_c, [h, w]) = planes(x, rank)?;
    let mut s = PoolShape {
        n_c,
        h,
        w,
        kh: kernel[0],
        kw: kernel[1],
        stride,
        padding,
        dilation,
        oh: 0,
        ow: 0,
    };
    let mut out = [0; 2];
    let mut reach = [0; 2];
    for a in 0..2 {
        let size = [h, w][a] as i128;
        let [k, step, pad, d] = [kernel, stride, padding, dilation].map(|v| v[a] as i128);
        let span = (k - 1) * d + 1;
        if pad > k / 2 {
            return Err(Error::value(format!(
                "padding must be at most half of the kernel size, got padding {pad} and \
                 kernel_size {k}"
            )));
        }
        let room = size + 2 * pad - span;
        let mut n =
            if ceil { (room + step - 1).div_euclid(step) } else { room.div_euclid(step) } + 1;
        // The last window starts inside the input or its left padding.
        if ceil && (n - 1) * step >= size + pad {
            n -= 1;
        }
        if n < 1 {
            return Err(Error::shape(format!(
                "a window of {span} does not fit an input of shape {} with padding {pad}: the \
                 output would be too small",
                show(x)
            )));
        }
        out[a] = n as usize;
        if n == 1 {
            s.stride[a] = 1;
        }
        reach[a] = span as usize;
    }
    [s.oh, s.ow] = out;
    check_padding([h.max(kernel[0]), w.max(kernel[1])], out, padding, 1)?;
    // A ceil_mode window may be much longer than what it covers.
    if checked_numel(&[reach[0], reach[1]]).is_ok_and(|n| n <= 1 << 28) {
        return Ok((s, with_size(x, rank, out)));
    }
    Err(Error::memory(format!("a window of {} x {} is too large", reach[0], reach[1])))
}

/// Windows that share an input of shape `x` evenly, `size` of them.
pub fn adaptive(x: &[usize], size: &[i64]) -> Result<(AdaptiveShape, Dims)> {
    let rank = size.len();
    if !(1..=2).contains(&rank) || size.iter().any(|s| !(0..=i64::from(i32::MAX)).contains(s)) {
        return Err(Error::value(format!(
            "output_size must be one or two non-negative ints, got {size:?}"
        )));
    }
    let (n_c, [h, w]) = planes(x, rank)?;
    let ow = size[rank - 1] as usize;
    let oh = if rank == 1 { 1 } else { size[0] as usize };
    Ok((AdaptiveShape { n_c, h, w, oh, ow }, with_size(x, rank, [oh, ow])))
}

/// The shape before pooling, whose spatial sizes are argument 0, for a result of shape `y`.
pub fn input_shape(c: &Call, y: &[usize]) -> Result<Dims> {
    let size = c.ints(0);
    let rank = rank(c, 0)?;
    if size.iter().any(|&s| s < 1) || y.len() <= rank {
        return Err(Error::value(format!("size must be positive ints, got {size:?}")));
    }
    let mut x: Dims = y[..y.len() - rank].into();
    x.extend(size.iter().map(|&s| s as usize));
    Ok(x)
}

pub fn expect(got: &[usize], want: &[usize]) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::shape(format!("expected a grad of shape {}, got {}", show(want), show(got))))
}

/// How many dimensions of the first tensor come before the spatial ones, of which argument 0 has the sizes.
pub fn lead(c: &Call) -> Result<usize> {
    let rank = rank(c, 0)?;
    c.x(0).ndim().checked_sub(rank).filter(|&lead| lead > 0).ok_or_else(|| {
        Error::shape(format!(
            "a tensor of shape {} has no {rank} spatial dimensions behind its channels",
            show(c.x(0).shape())
        ))
    })
}

/// Kernel size, stride, padding, dilation and ceil_mode with one size for each of `rank` dimensions, which is how
/// the ops that serve both ranks know theirs.
pub fn window_attrs(c: &Call, rank: usize) -> Result<Attrs> {
    let mut attrs = Attrs::new();
    for (i, name) in ["kernel_size", "stride", "padding", "dilation"].into_iter().enumerate() {
        let sizes = c.ints(i);
        attrs.push(match sizes.len() {
            0 if i == 1 => Attr::None,
            1 => Attr::Ints(SmallVec::from_elem(sizes[0], rank)),
            n if n == rank => Attr::Ints(sizes.into()),
            _ => {
                return Err(Error::value(format!(
                    "{name} must be an int or {rank} ints, got {sizes:?}"
                )));
            }
        });
    }
    attrs.push(c.attr(4).clone());
    Ok(attrs)
}
