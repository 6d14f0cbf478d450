//! Runs a kernel that has one thread per item: the text gives `fn run(t: u32)`, this the rest.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::Kernel;
use crate::layout::Layout;
use crate::storage::Device;
use crate::tensor::Tensor;
use std::fmt::Write;

const GROUP: u64 = 64;

/// The declarations of the buffers `b0`, `b1`, .. of the given element types.
pub fn bindings(types: &[&str]) -> String {
    let mut out = String::new();
    for (i, ty) in types.iter().enumerate() {
        let _ =
            writeln!(out, "@group(0) @binding({i}) var<storage, read_write> b{i}: array<{ty}>;");
    }
    out
}

/// Buffer i is `b0`, `b1`, .. of the given element types.
pub fn text(types: &[&str], body: &str) -> String {
    bindings(types)
        + body
        + "\n@compute @workgroup_size(64)\n\
        fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,\n\
                @builtin(local_invocation_index) lane: u32) {\n\
            run(linear_group(group, groups) * 64u + lane);\n\
        }\n"
}

/// `threads` calls of `run`, or a few more: the text compares `t` with a parameter.
pub fn run(
    key: &str,
    source: &dyn Fn() -> String,
    tensors: &[&Tensor],
    params: &[u32],
    threads: usize,
) -> Result<()> {
    if threads == 0 {
        return Ok(());
    }
    let gpu = tensors[0].buffer().gpu();
    let buffers: Vec<_> = tensors.iter().map(|t| t.buffer()).collect();
    let groups = gpu.fold_groups((threads as u64).div_ceil(GROUP));
    gpu.dispatch(&Kernel { key, source }, &buffers, params, groups)
}

/// The part of a WGSL file behind the line `// @name: ..`, up to the next such line.
pub fn section(all: &'static str, name: &str) -> &'static str {
    let start = all.find(&format!("// @{name}:")).map_or(all.len(), |i| i + 4);
    let end = all[start..].find("// @").map_or(all.len(), |i| start + i);
    all[start..end].split_once('\n').map_or("", |(_, body)| body)
}

/// A size as a kernel parameter.
pub fn word(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| {
        Error::memory(format!("{n} elements are more than one GPU index operation can address"))
    })
}

/// The offset of a tensor's first element, after a check that all of it is in reach of 32 bits.
pub fn start(l: &Layout) -> Result<u32> {
    word(l.extent())?;
    word(l.offset)
}

pub fn words(n: usize) -> Result<Tensor> {
    Tensor::empty(&[n], DType::U32, Device::Gpu)
}

/// The dtype kernels compute in for a tensor of this one.
pub fn computing(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        DType::Bool | DType::I8 | DType::U8 | DType::I16 | DType::U16 => DType::I32,
        d => d,
    }
}

/// A computing dtype in WGSL, where 64-bit integers are pairs of words.
pub struct Typed {
    pub name: &'static str,
    pub wgsl: &'static str,
    /// The suffix of the prelude's functions for this type.
    pub suffix: &'static str,
}

pub fn typed(dtype: DType) -> Typed {
    let t = |name, wgsl, suffix| Typed { name, wgsl, suffix };
    match dtype {
        DType::I32 => t("i32", "i32", "_i"),
        DType::U32 => t("u32", "u32", "_u"),
        DType::I64 => t("i64", "vec2<u32>", "_l"),
        DType::U64 => t("u64", "vec2<u32>", "_ul"),
        _ => t("f32", "f32", ""),
    }
}
