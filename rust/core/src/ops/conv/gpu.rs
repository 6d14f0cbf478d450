//! The GPU kernels: each pass is a product whose operands are read through the window, group by group.

use super::cpu::ConvShape;
use super::geometry::{input_shape, of_call, weight_shape};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::matmul::tiled::{Job, Number, OWN, run};
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

pub fn forward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (s, _) = of_call(c, 0, c.x(0).shape(), c.x(1).shape())?;
    let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
    let pass = Pass {
        key: if c.opt(2).is_some() { "conv.bias" } else { "conv" },
        text: FORWARD,
        m: co,
        n: s.n * s.oh * s.ow,
        k: ci * s.kh * s.kw,
        along_k: [true, false],
    };
    launch(&pass, &s, [c.x(0), c.x(1)], c.opt(2), &outs[0])
}

pub fn grad_input(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, w) = (c.x(0), c.x(1));
    let (s, _) = of_call(c, 1, &input_shape(c, g.shape(), w.shape())?, w.shape())?;
    let pass = Pass {
        key: "conv_grad_input",
        text: GRAD_INPUT,
        m: s.c_in / s.groups,
        n: s.n * s.h * s.w,
        k: s.c_out / s.groups * s.kh * s.kw,
        along_k: [false, false],
    };
    launch(&pass, &s, [g, w], None, &outs[0])
}

pub fn grad_weight(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, g) = (c.x(0), c.x(1));
    let (s, _) = of_call(c, 1, x.shape(), &weight_shape(c, x, g)?)?;
    let pass = Pass {
        key: "conv_grad_weight",
        text: GRAD_WEIGHT,
        m: s.c_out / s.groups,
        n: s.c_in / s.groups * s.kh * s.kw,
        k: s.n * s.oh * s.ow,
        along_k: [true, true],
    };
    launch(&pass, &s, [x, g], None, &outs[0])
}

/// One of the three products, and the functions that read its operands `u` and `v`.
struct Pass {
    key: &'static str,
    text: &'static str,
    m: usize,
    n: usize,
    k: usize,
    along_k: [bool; 2],
}

fn launch(
    pass: &Pass,
    s: &ConvShape,
    [u, v]: [&Tensor; 2],
    bias: Option<&Tensor>,
    out: &Tensor,
) -> Result<()> {
    let (u, v) = (cast::dense(u, DType::F32)?, cast::dense(v, DType::F32)?);
    let bias = bias.map(|b| cast::dense(b, DType::F32)).transpose()?;
    let direct = out.dtype() == DType::F32;
    let wide =
        if direct { out.detach() } else { Tensor::empty(out.shape(), DType::F32, Device::Gpu)? };
    let mut inputs = vec![u.buffer(), v.buffer()];
    inputs.extend(bias.as_ref().map(Tensor::buffer));
    let job = Job {
        key: pass.key,
        text: &|| SIZES.replace("OWN", &OWN.to_string()) + finish(bias.is_some()) + pass.text,
        inputs: &inputs,
        params: &params(s, [&u, &v], bias.as_ref()),
        batch: s.groups,
        m: pass.m,
        n: pass.n,
        k: pass.k,
        along_k: pass.along_k,
        number: Number::F32,
    };
    run(&job, &wide)?;
    if direct { Ok(()) } else { cast::raw_copy(&wide, out) }
}

fn params(s: &ConvShape, ins: [&Tensor; 2], bias: Option<&Tensor>) -> Vec<u32> {
    let offset = |t: &Tensor| t.layout().offset;
    let sizes = [
        offset(ins[0]),
        offset(ins[1]),
        bias.map_or(0, offset),
        s.groups,
        s.c_in / s.groups,
        s.c_out / s.groups,
        s.h,
        s.w,
        s.kh,
        s.kw,
        s.oh,
        s.ow,
        s.stride[0],
        s.stride[1],
        s.padding[0],
        s.padding[1],
        s.dilation[0],
        s.dilation[1],
    ];
    sizes.iter().map(|&v| v as u32).collect()
}

fn finish(bias: bool) -> &'static str {
    if bias {
        "@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
fn finish(sum: f32, i: u32, j: u32) -> f32 { return sum + bias[own(2u) + own(5u) * group_ + i]; }
"
    } else {
        "fn finish(sum: f32, i: u32, j: u32) -> f32 { return sum; }\n"
    }
}

/// `own` counts as `params` does. A point is (image, row, column), from its number among all.
const SIZES: &str = "
@group(0) @binding(0) var<storage, read_write> u: array<f32>;
@group(0) @binding(1) var<storage, read_write> v: array<f32>;
var<private> group_: u32;
fn own(i: u32) -> u32 { return param(OWNu + i); }
fn start(batch: u32) { group_ = batch; }
fn point(i: u32, h: u32, w: u32) -> vec3<u32> { return vec3<u32>(i / (h * w), i / w % h, i % w); }
// The index in x of channel c of the group, which window position (r, q) of output `at` reads; all ones
// outside of the image.
fn under(at: vec3<u32>, c: u32, r: u32, q: u32) -> u32 {
    let y = at.y * own(12u) + r * own(16u) - own(14u);
    let x = at.z * own(13u) + q * own(17u) - own(15u);
    if (y >= own(6u) || x >= own(7u)) { return 0xffffffffu; }
    return (((at.x * own(3u) + group_) * own(4u) + c) * own(6u) + y) * own(7u) + x;
}
";

/// Rows are output channels, columns output points, k runs over the group's input channels and the window.
const FORWARD: &str = "
fn load_a(i: u32, p: u32) -> f32 {
    return v[own(1u) + (group_ * own(5u) + i) * param(2u) + p];
}
fn load_b(p: u32, j: u32) -> f32 {
    let tap = point(p, own(8u), own(9u));
    let at = under(point(j, own(10u), own(11u)), tap.x, tap.y, tap.z);
    if (at == 0xffffffffu) { return 0.0; }
    return u[own(0u) + at];
}
fn place(i: u32, j: u32) -> u32 {
    let pixels = own(10u) * own(11u);
    return ((j / pixels * own(3u) + group_) * own(5u) + i) * pixels + j % pixels;
}
";

/// Rows are input channels, columns input points, k runs over the group's output channels and the window.
const GRAD_INPUT: &str = "
fn load_a(i: u32, p: u32) -> f32 {
    let window = own(8u) * own(9u);
    let o = group_ * own(5u) + p / window;
    return v[own(1u) + (o * own(4u) + i) * window + p % window];
}
fn load_b(p: u32, j: u32) -> f32 {
    let tap = point(p, own(8u), own(9u));
    let at = point(j, own(6u), own(7u));
    let up = at.y + own(14u);
    let left = at.z + own(15u);
    let dy = tap.y * own(16u);
    let dx = tap.z * own(17u);
    if (up < dy || left < dx) { return 0.0; }
    let y = (up - dy) / own(12u);
    let x = (left - dx) / own(13u);
    if (y * own(12u) != up - dy || x * own(13u) != left - dx) { return 0.0; }
    if (y >= own(10u) || x >= own(11u)) { return 0.0; }
    let plane = (at.x * own(3u) + group_) * own(5u) + tap.x;
    return u[own(0u) + (plane * own(10u) + y) * own(11u) + x];
}
fn place(i: u32, j: u32) -> u32 {
    let pixels = own(6u) * own(7u);
    return ((j / pixels * own(3u) + group_) * own(4u) + i) * pixels + j % pixels;
}
";

/// Rows are output channels, columns the group's input channels and the window, k runs over output points.
const GRAD_WEIGHT: &str = "
fn load_a(i: u32, p: u32) -> f32 {
    let pixels = own(10u) * own(11u);
    return v[own(1u) + ((p / pixels * own(3u) + group_) * own(5u) + i) * pixels + p % pixels];
}
fn load_b(p: u32, j: u32) -> f32 {
    let tap = point(j, own(8u), own(9u));
    let at = under(point(p, own(10u), own(11u)), tap.x, tap.y, tap.z);
    if (at == 0xffffffffu) { return 0.0; }
    return u[own(0u) + at];
}
fn place(i: u32, j: u32) -> u32 { return (group_ * own(5u) + i) * param(1u) + j; }
";
