//! The GPU kernels: strided operands as they are; half types in float32, small integers in 32 bits.

use super::cpu::transposed;
use super::product::Product;
use super::tiled::{Job, Number, OWN, run};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{Call, cast};
use crate::storage::Device;
use crate::tensor::Tensor;

pub fn matmul(c: &Call, outs: &[Tensor]) -> Result<()> {
    multiply(c.x(0), c.x(1), None, &outs[0])
}

pub fn linear(c: &Call, outs: &[Tensor]) -> Result<()> {
    let w = c.x(1);
    multiply(c.x(0), &w.alias(transposed(w.layout())), c.opt(2), &outs[0])
}

/// Strides of a few batch dimensions fit into the parameters.
const MAX_BATCH_DIMS: usize = 16;

fn multiply(a: &Tensor, b: &Tensor, bias: Option<&Tensor>, out: &Tensor) -> Result<()> {
    let number = match out.dtype() {
        d if d.is_float() => Number::F32,
        d if d.size() == 8 => Number::I64,
        _ => Number::I32,
    };
    let (a, b) = (ready(a, number.dtype())?, ready(b, number.dtype())?);
    let bias = bias.map(|b| cast::dense(b, number.dtype())).transpose()?;
    // A 0-d bias may still be on the CPU.
    let bias = bias.map(|b| cast::to_device(&b, Device::Gpu)).transpose()?;
    let direct = out.dtype() == number.dtype();
    let wide = if direct {
        out.detach()
    } else {
        Tensor::empty(out.shape(), number.dtype(), Device::Gpu)?
    };
    launch(&a, &b, bias.as_ref(), &wide, number)?;
    if direct { Ok(()) } else { cast::raw_copy(&wide, out) }
}

/// Strides are kept where no conversion is needed.
fn ready(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.dtype() == dtype { Ok(t.detach()) } else { cast::dense(t, dtype) }
}

fn launch(
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    out: &Tensor,
    number: Number,
) -> Result<()> {
    let p = Product::new(a.layout(), b.layout())?;
    if p.batch.len() > MAX_BATCH_DIMS {
        return Err(Error::runtime(format!(
            "the GPU multiplies stacks of at most {MAX_BATCH_DIMS} dimensions of different strides"
        ))
        .hint("make the operands contiguous first"));
    }
    let bias_at = bias.map_or(0, |b| b.layout().offset);
    let places = [a.layout().offset, b.layout().offset, bias_at];
    let strides = [p.a.rs, p.a.cs, p.b.rs, p.b.cs, p.batch.len()];
    let mut params: Vec<u32> = places.iter().chain(&strides).map(|&v| v as u32).collect();
    for d in (0..p.batch.len()).rev() {
        params.extend([p.batch[d], p.a.batch[d], p.b.batch[d]].map(|v| v as u32));
    }
    let mut inputs = vec![a.buffer(), b.buffer()];
    inputs.extend(bias.map(Tensor::buffer));
    let job = Job {
        key: if bias.is_some() { "linear" } else { "matmul" },
        text: &|| text(number, bias.is_some()),
        inputs: &inputs,
        params: &params,
        batch: p.count(),
        m: p.m,
        n: p.n,
        k: p.k,
        along_k: [p.a.cs == 1, p.b.rs == 1],
        number,
    };
    run(&job, out)
}

fn text(number: Number, bias: bool) -> String {
    let t = number.wgsl();
    let own = |i: u32| format!("param({}u)", OWN + i);
    let [a_at, b_at, bias_at, a_rs, a_cs, b_rs, b_cs, dims] =
        std::array::from_fn(|i| own(i as u32));
    let table = OWN + 8;
    let plus = if number == Number::I64 { "add_l(sum, bias[at])" } else { "sum + bias[at]" };
    let (bind, finish) = if bias {
        (
            format!("@group(0) @binding(2) var<storage, read_write> bias: array<{t}>;\n"),
            format!("let at = {bias_at} + j;\n    return {plus};"),
        )
    } else {
        (String::new(), "return sum;".to_owned())
    };
    format!(
        "@group(0) @binding(0) var<storage, read_write> a: array<{t}>;
@group(0) @binding(1) var<storage, read_write> b: array<{t}>;
{bind}var<private> a_at: u32;
var<private> b_at: u32;
var<private> batch_: u32;
fn start(batch: u32) {{
    batch_ = batch;
    a_at = {a_at};
    b_at = {b_at};
    var left = batch;
    for (var d = 0u; d < {dims}; d++) {{
        let at = {table}u + 3u * d;
        let x = left % param(at);
        left /= param(at);
        a_at += x * param(at + 1u);
        b_at += x * param(at + 2u);
    }}
}}
fn load_a(i: u32, p: u32) -> {t} {{ return a[a_at + i * {a_rs} + p * {a_cs}]; }}
fn load_b(p: u32, j: u32) -> {t} {{ return b[b_at + p * {b_rs} + j * {b_cs}]; }}
fn place(i: u32, j: u32) -> u32 {{ return (batch_ * param(0u) + i) * param(1u) + j; }}
fn finish(sum: {t}, i: u32, j: u32) -> {t} {{
    {finish}
}}
"
    )
}
