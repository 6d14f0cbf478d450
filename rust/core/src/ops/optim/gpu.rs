//! A step on the GPU: one dispatch for each parameter.

use super::GRAD;
use super::rules::{Coefficients, Rule};
use crate::error::Result;
use crate::gpu::{Buffer, Kernel};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::fmt::Write;

const NAMES: [&str; 5] = ["p", "g", "a", "b", "c"];

/// Steps one parameter; all tensors are contiguous float32.
pub(super) fn step<R: Rule>(tensors: &[Tensor], k: &Coefficients) -> Result<()> {
    let n = tensors[0].numel();
    let buffers: SmallVec<[&Buffer; 5]> = tensors.iter().map(Tensor::buffer).collect();
    // Coefficients, the count, then where each tensor starts.
    let mut params: SmallVec<[u32; 16]> = k.iter().map(|&v| (v as f32).to_bits()).collect();
    params.push(n as u32);
    params.extend(tensors.iter().map(|t| t.layout().offset as u32));
    let gpu = buffers[0].gpu();
    let kernel = Kernel { key: R::KEY, source: &source::<R> };
    gpu.dispatch(&kernel, &buffers, &params, gpu.fold_groups(n.div_ceil(256) as u64))
}

fn source<R: Rule>() -> String {
    let (mut buffers, mut load, mut store) = (String::new(), String::new(), String::new());
    for (i, name) in NAMES.iter().take(R::USED).enumerate() {
        let _ = writeln!(
            buffers,
            "@group(0) @binding({i}) var<storage, read_write> {name}_: array<f32>;"
        );
        let _ = writeln!(load, "var {name} = {name}_[param({}u) + i];", 9 + i);
        if i != GRAD {
            let _ = writeln!(store, "{name}_[param({}u) + i] = {name};", 9 + i);
        }
    }
    let rule = R::WGSL;
    format!(
        "{buffers}
fn k(i: u32) -> f32 {{ return paramf(i); }}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {{
    let i = linear_group(group, groups) * 256u + lane;
    if (i >= param(8u)) {{ return; }}
    {load}{rule}
    {store}
}}
"
    )
}
