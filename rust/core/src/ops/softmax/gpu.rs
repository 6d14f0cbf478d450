//! Dispatch of the one WGSL text in its variants.

use super::{Kind, Shape};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::gpu::Kernel;
use crate::tensor::Tensor;

/// Rounds of a loop that every driver is known to run; a thread makes three passes.
const MOST: usize = 256 * 65_535 / 3;
/// From this row length on, a whole workgroup works on one row.
const LONG: usize = 256;

pub(super) fn run(a: &Tensor, b: &Tensor, y: &Tensor, s: Shape, kind: Kind) -> Result<()> {
    if s.n > MOST {
        return Err(Error::new(
            ErrorKind::NotImplemented,
            format!("the GPU kernel takes up to {MOST} elements along dim, got {}", s.n),
        )
        .hint("move the input with .to(\"cpu\") for this step"));
    }
    let cols = if s.n > LONG && (s.inner == 1 || s.n > 2048) { 1 } else { 32 };
    let (log, grad) = match kind {
        Kind::Softmax => (false, false),
        Kind::LogSoftmax => (true, false),
        Kind::SoftmaxGrad => (false, true),
        Kind::LogSoftmaxGrad => (true, true),
    };
    let key = format!("softmax.{cols}.{log}.{grad}");
    let source = || {
        include_str!("gpu.wgsl")
            .replace("COLS_u", &format!("{cols}u"))
            .replace("LOG_", &log.to_string())
            .replace("GRAD_", &grad.to_string())
    };
    let rows = s.outer * s.inner;
    let offset = |t: &Tensor| t.layout().offset as u32;
    let params = [rows as u32, s.n as u32, s.inner as u32, offset(a), offset(b), offset(y)];
    let gpu = y.buffer().gpu();
    gpu.dispatch(
        &Kernel { key: &key, source: &source },
        &[a.buffer(), b.buffer(), y.buffer()],
        &params,
        gpu.fold_groups(rows.div_ceil(cols) as u64),
    )
}
