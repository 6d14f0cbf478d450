//! The ops. A convolution is bilinear, and so are both of its gradients: the gradients of all three are again
//! these three, to any order.

use super::geometry::{self, Window, axes, input_shape, of_call, weight_shape};
use super::{gpu, kernels};
use crate::apply::{apply, call};
use crate::autograd::{Grads, Vjp};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Layout, show};
use crate::ops::expr::t;
use crate::ops::reduce::SUM;
use crate::ops::{Attr, Attrs, Call, OpDef, Outs, Spec, Specs, view};
use crate::tensor::Tensor;
use smallvec::smallvec;

pub static OPS: &[&OpDef] =
    &[&CONV1D, &CONV2D, &CONV_TRANSPOSE1D, &CONV_TRANSPOSE2D, &CONV_GRAD_INPUT, &CONV_GRAD_WEIGHT];

const FORWARD: &str = "input: Tensor, weight: Tensor, bias: Tensor? = None, stride: int[] = 1, \
                       padding: int[] = 0, dilation: int[] = 1, groups: int = 1";
const TRANSPOSED: &str = "input: Tensor, weight: Tensor, bias: Tensor? = None, stride: int[] = 1, \
                          padding: int[] = 0, output_padding: int[] = 0, groups: int = 1, \
                          dilation: int[] = 1";

pub static CONV1D: OpDef = OpDef::kernel(
    "conv1d",
    FORWARD,
    "Cross-correlation over a sequence (N, C, L) or (C, L)",
    |c| infer(c, 1),
    kernels::forward,
)
.gpu(gpu::forward)
.vjp(forward_vjp, 0b11, 0)
.private()
.ulp(64.0);

pub static CONV2D: OpDef = OpDef::kernel(
    "conv2d",
    FORWARD,
    "Cross-correlation over an image (N, C, H, W) or (C, H, W)",
    |c| infer(c, 2),
    kernels::forward,
)
.gpu(gpu::forward)
.vjp(forward_vjp, 0b11, 0)
.private()
.ulp(64.0);

pub static CONV_GRAD_INPUT: OpDef = OpDef::kernel(
    "conv_grad_input",
    "grad: Tensor, weight: Tensor, size: int[], stride: int[], padding: int[], dilation: int[], groups: int",
    "The gradient of a convolution for its input, whose spatial size is given",
    |c| {
        let dtype = same_dtype(c)?;
        let (g, w) = (c.x(0).shape(), c.x(1).shape());
        let x = input_shape(c, g, w)?;
        expect(g, &of_call(c, 1, &x, w)?.1)?;
        Ok(smallvec![Spec::new(&x, dtype)])
    },
    kernels::grad_input,
)
.gpu(gpu::grad_input)
.vjp(
    |v| {
        let (gy, w, u) = (v.x(0), v.x(1), v.g(0)?);
        let rest = &v.attrs[1..];
        let g = v.needs(0).then(|| convolve(&u, w, rest)).transpose()?;
        let gw = v.needs(1).then(|| grad_weight(&u, gy, &w.shape()[2..], rest)).transpose()?;
        Ok(smallvec![g, gw])
    },
    0b11,
    0,
)
.private()
.ulp(64.0);

pub static CONV_GRAD_WEIGHT: OpDef = OpDef::kernel(
    "conv_grad_weight",
    "input: Tensor, grad: Tensor, size: int[], stride: int[], padding: int[], dilation: int[], groups: int",
    "The gradient of a convolution for its weight, whose spatial size is given",
    |c| {
        let dtype = same_dtype(c)?;
        let (x, g) = (c.x(0), c.x(1));
        let w = weight_shape(c, x, g)?;
        expect(g.shape(), &of_call(c, 1, x.shape(), &w)?.1)?;
        Ok(smallvec![Spec::new(&w, dtype)])
    },
    kernels::grad_weight,
)
.gpu(gpu::grad_weight)
.vjp(
    |v| {
        let (x, gy, u) = (v.x(0), v.x(1), v.g(0)?);
        let rest = &v.attrs[1..];
        let size = &x.shape()[x.ndim() - (u.ndim() - 2)..];
        let gx = v.needs(0).then(|| grad_input(gy, &u, size, rest)).transpose()?;
        let g = v.needs(1).then(|| convolve(x, &u, rest)).transpose()?;
        Ok(smallvec![gx, g])
    },
    0b11,
    0,
)
.private()
.ulp(64.0);

pub static CONV_TRANSPOSE1D: OpDef = OpDef::composed(
    "conv_transpose1d",
    TRANSPOSED,
    "The transpose of conv1d; the weight is (C, out / groups, kernel)",
    |c| transposed(c, 1),
)
.private()
.ulp(64.0);

pub static CONV_TRANSPOSE2D: OpDef = OpDef::composed(
    "conv_transpose2d",
    TRANSPOSED,
    "The transpose of conv2d; the weight is (C, out / groups, kernel_h, kernel_w)",
    |c| transposed(c, 2),
)
.private()
.ulp(64.0);

fn same_dtype(c: &Call) -> Result<DType> {
    let mut dtypes = c.tensors().map(Tensor::dtype);
    let first = dtypes.next().unwrap_or(DType::F32);
    if let Some(other) = dtypes.find(|&d| d != first) {
        return Err(Error::runtime(format!(
            "input, weight and bias must have the same dtype, got {} and {}",
            first.name(),
            other.name()
        ))
        .hint("cast one of them with .to(dtype)"));
    }
    if !first.is_float() {
        return Err(Error::type_(format!("a convolution takes floats, got {}", first.name()))
            .hint("cast first: x.float()"));
    }
    Ok(first)
}

fn check_bias(bias: Option<&Tensor>, channels: usize) -> Result<()> {
    match bias {
        Some(b) if b.shape() != [channels] => Err(Error::shape(format!(
            "expected a bias of shape ({channels},), one value per output channel, got {}",
            show(b.shape())
        ))),
        _ => Ok(()),
    }
}

fn infer(c: &Call, rank: usize) -> Result<Specs> {
    let dtype = same_dtype(c)?;
    let (x, w) = (c.x(0).shape(), c.x(1).shape());
    if w.len() != rank + 2 {
        return Err(Error::shape(format!(
            "the weight must have {} dimensions, got shape {}",
            rank + 2,
            show(w)
        )));
    }
    let (s, dims) = of_call(c, 0, x, w)?;
    check_bias(c.opt(2), s.c_out)?;
    Ok(smallvec![Spec::new(&dims, dtype)])
}

fn expect(got: &[usize], want: &[usize]) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::shape(format!("expected a grad of shape {}, got {}", show(want), show(got))))
}

/// `rest` is stride, padding, dilation, groups.
fn convolve(x: &Tensor, w: &Tensor, rest: &[Attr]) -> Result<Tensor> {
    let op = if w.ndim() == 3 { &CONV1D } else { &CONV2D };
    let mut outs = apply(op, &[Some(x.clone()), Some(w.clone()), None], rest)?;
    Ok(outs.swap_remove(0))
}

fn sized(size: &[usize], rest: &[Attr]) -> Attrs {
    let mut attrs: Attrs = smallvec![size.into()];
    attrs.extend(rest.iter().cloned());
    attrs
}

fn grad_input(gy: &Tensor, w: &Tensor, size: &[usize], rest: &[Attr]) -> Result<Tensor> {
    call(&CONV_GRAD_INPUT, &[gy, w], &sized(size, rest))
}

fn grad_weight(x: &Tensor, gy: &Tensor, size: &[usize], rest: &[Attr]) -> Result<Tensor> {
    call(&CONV_GRAD_WEIGHT, &[x, gy], &sized(size, rest))
}

fn forward_vjp(v: &Vjp) -> Result<Grads> {
    let (x, w, g) = (v.x(0), v.x(1), v.g(0)?);
    let rank = w.ndim() - 2;
    let size = &x.shape()[x.ndim() - rank..];
    let gx = v.needs(0).then(|| grad_input(&g, w, size, v.attrs)).transpose()?;
    let gw = v.needs(1).then(|| grad_weight(x, &g, &w.shape()[2..], v.attrs)).transpose()?;
    let gb = v.needs(2).then(|| {
        let channel = g.ndim() - rank - 1;
        let dims: Vec<i64> = (0..g.ndim()).filter(|&d| d != channel).map(|d| d as i64).collect();
        call(&SUM, &[&g], &[dims[..].into(), false.into(), g.dtype().into()])
    });
    Ok(smallvec![gx, gw, gb.transpose()?])
}

/// The input gradient of a convolution whose output is `input`, plus the bias.
fn transposed(c: &Call, rank: usize) -> Result<Outs> {
    same_dtype(c)?;
    let (x, w) = (c.x(0), c.x(1));
    let window = Window {
        stride: axes(c, 0, rank, "stride", 1)?,
        padding: axes(c, 1, rank, "padding", 0)?,
        dilation: axes(c, 4, rank, "dilation", 1)?,
    };
    let extra = axes(c, 2, rank, "output_padding", 0)?;
    let groups = geometry::groups(c, 3)?;
    if w.ndim() != rank + 2 || ![rank + 1, rank + 2].contains(&x.ndim()) {
        return Err(Error::shape(format!(
            "expected an input of {} or {} dimensions and a weight of {}, got shapes {} and {}",
            rank + 1,
            rank + 2,
            rank + 2,
            show(x.shape()),
            show(w.shape())
        )));
    }
    let (channels, out_channels) =
        (x.shape()[x.ndim() - rank - 1], w.shape()[1].saturating_mul(groups));
    if channels != w.shape()[0] || !channels.is_multiple_of(groups) {
        return Err(Error::shape(format!(
            "given groups={groups} and a weight of shape {}, expected the input {} to have {} \
             channels",
            show(w.shape()),
            show(x.shape()),
            w.shape()[0]
        )));
    }
    check_bias(c.opt(2), out_channels)?;
    let (mut size, mut padding, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for d in 0..rank {
        let a = d + 2 - rank;
        let (n, k) = (x.shape()[x.ndim() - rank + d], w.shape()[2 + d]);
        let (stride, dilation) = (window.stride[a], window.dilation[a]);
        if extra[a] >= stride.max(dilation) {
            return Err(Error::value(format!(
                "output_padding {} must be smaller than either stride {stride} or dilation {dilation}",
                extra[a]
            )));
        }
        let full = (n as i128 - 1) * stride as i128 + (k as i128 - 1) * dilation as i128 + 1;
        let left = full + extra[a] as i128 - 2 * window.padding[a] as i128;
        if n == 0 || k == 0 || left < 1 || left.max(full) > i128::from(u32::MAX) {
            return Err(Error::shape(format!(
                "an input of shape {} and a weight of shape {} give a size of {left} on axis {d}",
                show(x.shape()),
                show(w.shape())
            )));
        }
        // No convolution of that size has this input as its result: make all, and cut below.
        let beyond = extra[a] >= stride;
        size.push(if beyond { full } else { left } as usize);
        padding.push(if beyond { 0 } else { window.padding[a] });
        whole.push(left as usize);
    }
    let rest = [c.attr(0).clone(), padding[..].into(), c.attr(4).clone(), c.attr(3).clone()];
    let mut y = grad_input(x, w, &size, &rest)?;
    if whole != size || padding != window.padding[2 - rank..] {
        let lead = y.ndim() - rank;
        for d in 0..rank {
            // Zero where the padding is the convolution's own.
            let from = window.padding[d + 2 - rank] - padding[d];
            y = view::narrow(&y, lead + d, from, whole[d])?;
        }
        let shape = [&y.shape()[..lead], &whole[..]].concat();
        let at = Layout::contiguous(&shape);
        let attrs = [shape[..].into(), at.strides[..].into(), 0usize.into()];
        y = call(&view::EMBED, &[&y], &attrs)?;
    }
    if let Some(b) = c.opt(2) {
        let column = [&[out_channels][..], &[1, 1][..rank]].concat();
        y = t::add(&y, &view::reshape(b, &column)?)?;
    }
    Ok(smallvec![y])
}
