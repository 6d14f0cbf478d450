//! Scans on the GPU, in an order that depends on the length alone.

use super::{Extent, Kind};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::cast;
use crate::ops::index::dense;
use crate::ops::index::launch::{
    computing, run, section as section_of, start, text, typed, word, words,
};
use crate::storage::Device;
use crate::tensor::Tensor;

fn section(name: &str) -> String {
    let all = include_str!("gpu.wgsl");
    ["shared", name].map(|part| section_of(all, part)).concat()
}

/// Does `x` (dense, of a computing dtype) along dim into `out`, and the places of extremes into `at`.
fn scan(x: &Tensor, e: Extent, kind: Kind, out: &Tensor, at: Option<&Tensor>) -> Result<()> {
    let lines = e.outer * e.inner;
    if lines * e.n == 0 {
        return Ok(());
    }
    let chunk = 64.max(e.n.isqrt() + 1);
    let chunks = e.n.div_ceil(chunk);
    let threads = chunks * lines;
    word(x.numel())?;
    let params = [
        word(threads)?,
        word(lines)?,
        word(e.n)?,
        word(e.inner)?,
        word(chunk)?,
        start(x.layout())?,
        u32::from(kind == Kind::AddBack),
    ];
    let totals = Tensor::empty(&[threads], x.dtype(), Device::Gpu)?;
    let t = typed(x.dtype());
    let (w, extreme) = (t.wgsl, at.is_some());
    let mut tensors = vec![x, &totals, out];
    let places = words(if extreme { threads } else { 1 })?;
    tensors.extend(at.into_iter().flat_map(|at| [&places, at]));
    let source = |name: &str| {
        let helpers = if extreme {
            "fn total(i: u32) -> State { return State(b1[i], b3[i]); }
            fn put_total(i: u32, s: State) { b1[i] = s.v; b3[i] = s.i; }
            fn put(i: u32, s: State) { b2[i] = s.v; b4[2u * i] = s.i; b4[2u * i + 1u] = 0u; }\n"
        } else {
            "fn total(i: u32) -> State { return State(b1[i], 0u); }
            fn put_total(i: u32, s: State) { b1[i] = s.v; }
            fn put(i: u32, s: State) { b2[i] = s.v; }\n"
        };
        let combine = combine(kind, x.dtype());
        let state = format!("struct State {{ v: {w}, i: u32 }}\n");
        let types: &[&str] = if extreme { &[w, w, w, "u32", "u32"] } else { &[w, w, w] };
        text(types, &format!("{state}{combine}{helpers}{}", section(name)))
    };
    let name = if kind == Kind::AddBack { Kind::Add } else { kind };
    let go = |step: &str, threads: usize| {
        run(
            &format!("scan.{name:?}.{}.{step}", t.name),
            &|| source(step),
            &tensors,
            &params,
            threads,
        )
    };
    if chunks > 1 {
        go("totals", threads)?;
        go("carry", lines)?;
    }
    go("finish", threads)
}

fn combine(kind: Kind, dtype: DType) -> String {
    let t = typed(dtype);
    let long = t.wgsl == "vec2<u32>";
    let s = t.suffix;
    let body = match kind {
        Kind::Add | Kind::AddBack if long => "return State(add_l(a.v, b.v), 0u);".to_string(),
        Kind::Mul if long => "return State(mul_l(a.v, b.v), 0u);".to_string(),
        Kind::Add | Kind::AddBack => "return State(a.v + b.v, 0u);".to_string(),
        Kind::Mul => "return State(a.v * b.v, 0u);".to_string(),
        Kind::LogAdd => "if (isinf(a.v) && eq(a.v, b.v)) { return a; }
            return State(logaddexp(a.v, b.v), 0u);"
            .to_string(),
        Kind::Max | Kind::Min => {
            let wins = if kind == Kind::Max { "ge" } else { "le" };
            // The last of equals; from a NaN on it is the last NaN.
            if dtype == DType::F32 {
                format!(
                    "if (isnan(b.v) || (!isnan(a.v) && {wins}(b.v, a.v))) {{ return b; }} return a;"
                )
            } else {
                format!("if ({wins}{s}(b.v, a.v)) {{ return b; }} return a;")
            }
        }
    };
    format!("fn combine(a: State, b: State) -> State {{ {body} }}\n")
}

pub fn fold(x: &Tensor, dim: i64, kind: Kind, out: &Tensor) -> Result<()> {
    let wide = computing(out.dtype());
    let x = dense(&dense(x, out.dtype())?, wide)?;
    let e = Extent::of(&x, dim)?;
    if wide == out.dtype() {
        return scan(&x, e, kind, out, None);
    }
    let work = Tensor::empty(out.shape(), wide, Device::Gpu)?;
    scan(&x, e, kind, &work, None)?;
    cast::raw_copy(&work, out)
}

pub fn extreme(x: &Tensor, dim: i64, kind: Kind, values: &Tensor, indices: &Tensor) -> Result<()> {
    let wide = computing(x.dtype());
    let e = Extent::of(x, dim)?;
    let x = dense(x, wide)?;
    if wide == values.dtype() {
        return scan(&x, e, kind, values, Some(indices));
    }
    let work = Tensor::empty(values.shape(), wide, Device::Gpu)?;
    scan(&x, e, kind, &work, Some(indices))?;
    cast::raw_copy(&work, values)
}
