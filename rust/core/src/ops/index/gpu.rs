//! The moves on the GPU. Indices become 32-bit offsets once, checked; then words are moved. Writing is
//! done per place, not per value: each place looks for its values, so that no two threads meet.

use super::cpu::{Combine, out_of_range};
use super::launch::{self, computing, run, start, text, typed, word, words};
use super::plan::{Plan, Walk, dense, dense_i64, lifted};
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::{Dims, Layout, numel};
use crate::ops::cast;
use crate::storage::Device;
use crate::tensor::Tensor;

/// Rounds of a kernel's loop in one dispatch.
const ROUNDS: u32 = 32 * 1024;

fn section(name: &str) -> &'static str {
    launch::section(include_str!("gpu.wgsl"), name)
}

/// One index (dense int64) of `size` places that lie `stride` apart.
struct Pick<'a> {
    index: &'a Tensor,
    dim: usize,
    size: usize,
    stride: usize,
}

/// The offset of each pick; without a check, bad indices count as 0.
fn rows(base: Option<&Walk>, picks: &[Pick], wrap: bool, checked: bool) -> Result<Tensor> {
    let n = picks[0].index.numel();
    let out = words(n)?;
    let flag = Tensor::zeros(&[1], DType::U32, Device::Gpu)?;
    for (i, p) in picks.iter().enumerate() {
        let flags = u32::from(i == 0) | u32::from(wrap) << 1;
        let mut params =
            vec![word(n)?, start(p.index.layout())?, word(p.stride)?, word(p.size)?, flags];
        match base {
            Some(w) => push(&mut params, w)?,
            None => params.push(0),
        }
        let source = || text(&["u32", "u32", "atomic<u32>"], section("rows"));
        run("index.rows", &source, &[p.index, &out, &flag], &params, n)?;
        if !checked {
            let bad = flag.to_vec::<u32>()?[0] as usize;
            if bad > 0 {
                let at = p.index.layout().offset + bad - 1;
                let at = p.index.alias(Layout { offset: at, ..Layout::contiguous(&[]) });
                return Err(out_of_range(at.to_vec::<i64>()?[0], p.dim, p.size));
            }
        }
    }
    Ok(out)
}

/// Rank, sizes and strides.
fn push(params: &mut Vec<u32>, w: &Walk) -> Result<()> {
    params.push(word(w.shape().len())?);
    for &v in w.shape().iter().chain(w.strides()) {
        params.push(word(v)?);
    }
    Ok(())
}

/// The text of a kernel that writes whole words of results; `fetch(e)` gives the element's word.
fn by_words(size: usize, types: &[&str], out: usize, helpers: &str) -> String {
    let body = match size {
        4 => format!("if (t < param(0u)) {{ b{out}[t] = fetch(t, 0u); }}"),
        8 => format!("if (t < param(0u) * 2u) {{ b{out}[t] = fetch(t >> 1u, t & 1u); }}"),
        _ => {
            let (per, bits) = (4 / size, size * 8);
            format!(
                "var w = 0u;
                for (var j = 0u; j < {per}u; j++) {{
                    let e = t * {per}u + j;
                    if (e < param(0u)) {{ w |= fetch(e, 0u) << (j * {bits}u); }}
                }}
                if (t * {per}u < param(0u)) {{ b{out}[t] = w; }}"
            )
        }
    };
    text(types, &format!("{helpers}\nfn run(t: u32) {{\n{body}\n}}\n"))
}

/// A function that reads word `part` of element `i` of a buffer.
fn reader(name: &str, buffer: usize, size: usize) -> String {
    let body = match size {
        4 => format!("b{buffer}[i]"),
        8 => format!("b{buffer}[2u * i + part]"),
        2 => format!("(b{buffer}[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu"),
        _ => format!("(b{buffer}[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu"),
    };
    format!("fn {name}(i: u32, part: u32) -> u32 {{ return {body}; }}\n")
}

fn word_threads(n: usize, size: usize) -> usize {
    (n * size).div_ceil(4)
}

/// `out[p, m, q] = x[pre(p) + offsets[m] + post(q)]`.
pub(crate) fn pick(
    x: &Tensor,
    offsets: &Tensor,
    pre: &Walk,
    post: &Walk,
    out: &Tensor,
) -> Result<()> {
    let (n, size) = (out.numel(), x.dtype().size());
    if n == 0 {
        return Ok(());
    }
    let mut params = vec![word(n)?, start(x.layout())?, word(offsets.numel())?, word(post.len())?];
    params.extend([word(pre.shape().len())?, word(post.shape().len())?]);
    for w in [pre, post] {
        for &v in w.shape().iter().chain(w.strides()) {
            params.push(word(v)?);
        }
    }
    let source = || {
        let fetch = "fn fetch(e: u32, part: u32) -> u32 { return read(source(e), part); }\n";
        let helpers = format!("{}{}{fetch}", reader("read", 0, size), section("source"));
        by_words(size, &["u32"; 3], 2, &helpers)
    };
    run(&format!("index.take.{size}"), &source, &[x, offsets, out], &params, word_threads(n, size))
}

pub fn take(
    x: &Tensor,
    plan: &Plan,
    list: &[&Tensor],
    wrap: bool,
    checked: bool,
    out: &Tensor,
) -> Result<()> {
    let indices = plan.spread(list)?;
    let l = x.layout();
    let picks: Vec<Pick> = indices
        .iter()
        .zip(&plan.dims)
        .map(|(index, &dim)| Pick { index, dim, size: l.shape[dim], stride: l.strides[dim] })
        .collect();
    let offsets = rows(None, &picks, wrap, checked)?;
    pick(x, &offsets, &Walk::of(l, &plan.pre), &Walk::of(l, &plan.post), out)
}

/// The index as offsets into a tensor of layout `l`.
fn along(l: &Layout, index: &Tensor, dim: usize) -> Result<Tensor> {
    let l = lifted(l);
    let mut strides = l.strides.clone();
    strides[dim] = 0;
    let base = Walk::new(&lifted(index.layout()).shape, &strides);
    let index = dense_i64(index)?;
    let p = Pick { index: &index, dim, size: l.shape[dim], stride: l.strides[dim] };
    rows(Some(&base), &[p], false, false)
}

pub fn gather(x: &Tensor, index: &Tensor, dim: usize, out: &Tensor) -> Result<()> {
    if index.numel() == 0 {
        return Ok(());
    }
    let none = Walk::new(&[], &[]);
    pick(x, &along(x.layout(), index, dim)?, &none, &none, out)
}

/// `flags`: wrap and checked.
pub fn put(
    base: Option<&Tensor>,
    values: &Tensor,
    list: &[&Tensor],
    plan: &Plan,
    flags: (bool, bool),
    how: Combine,
    out: &Tensor,
) -> Result<()> {
    let l = out.layout();
    let dims: Dims = plan.dims.iter().chain(&plan.pre).chain(&plan.post).copied().collect();
    let wide = if how == Combine::Set { out.dtype() } else { computing(out.dtype()) };
    let front = l.permute(&dims);
    let count: usize = plan.dims.iter().map(|&d| l.shape[d]).product();
    let base = match base {
        Some(x) => dense(&x.alias(x.layout().permute(&dims)), wide)?,
        None => Tensor::zeros(&front.shape, wide, Device::Gpu)?,
    };
    let order = plan.picks_first();
    let src = values.layout().expand(&plan.shape(&l.shape))?.permute(&order);
    let src = dense(&values.alias(src), wide)?;
    let indices = plan.spread(list)?;
    let mut stride = count;
    let mut picks = Vec::new();
    for (index, &dim) in indices.iter().zip(&plan.dims) {
        stride = stride.checked_div(l.shape[dim]).unwrap_or(0);
        picks.push(Pick { index, dim, size: l.shape[dim], stride });
    }
    let rows = rows(None, &picks, flags.0, flags.1)?;
    let direct = front.is_contiguous() && wide == out.dtype();
    let front = out.alias(front);
    let work =
        if direct { front.clone() } else { Tensor::empty(front.shape(), wide, Device::Gpu)? };
    combine(&base, rows, &src, count, how, &work)?;
    if direct { Ok(()) } else { cast::raw_copy(&work, &front) }
}

pub fn scatter(
    x: &Tensor,
    index: &Tensor,
    src: &Tensor,
    dim: usize,
    how: Combine,
    out: &Tensor,
) -> Result<()> {
    if index.numel() == 0 {
        return cast::raw_copy(x, out);
    }
    let wide = if how == Combine::Set { x.dtype() } else { computing(x.dtype()) };
    let (base, src) = (dense(x, wide)?, dense(src, wide)?);
    let rows = along(out.layout(), index, dim)?;
    let direct = wide == out.dtype();
    let work = if direct { out.clone() } else { Tensor::empty(out.shape(), wide, Device::Gpu)? };
    combine(&base, rows, &src, out.numel(), how, &work)?;
    if direct { Ok(()) } else { cast::raw_copy(&work, out) }
}

/// `out[r, k]` from `base[r, k]` and, in their order, the values `src[m, k]` with `rows[m] == r`.
fn combine(
    base: &Tensor,
    rows: Tensor,
    src: &Tensor,
    count: usize,
    how: Combine,
    out: &Tensor,
) -> Result<()> {
    let (n, m) = (out.numel(), rows.numel());
    if n == 0 {
        return Ok(());
    }
    if m == 0 {
        return cast::raw_copy(base, out);
    }
    let k = n / count;
    if how == Combine::Set {
        return set(base, &rows, src, (count, k), out);
    }
    let bits = usize::BITS - (count - 1).leading_zeros();
    let (sorted, order) = crate::ops::sort::sort_words(rows, bits)?;
    let (first, last) = (
        Tensor::zeros(&[count], DType::U32, Device::Gpu)?,
        Tensor::zeros(&[count], DType::U32, Device::Gpu)?,
    );
    let bounds = || text(&["u32"; 3], section("bounds"));
    run("index.bounds", &bounds, &[&sorted, &first, &last], &[word(m)?], m)?;
    let t = typed(out.dtype());
    let source = || {
        let long = t.wgsl == "vec2<u32>";
        let value = match how {
            Combine::Add if long => "add_l(a, b)".to_string(),
            Combine::Mul if long => "mul_l(a, b)".to_string(),
            Combine::Add => "a + b".to_string(),
            Combine::Mul => "a * b".to_string(),
            Combine::Max => format!("max{}(a, b)", t.suffix),
            Combine::Min | Combine::Set => format!("min{}(a, b)", t.suffix),
        };
        let w = t.wgsl;
        let helper = format!("fn combine(a: {w}, b: {w}) -> {w} {{ return {value}; }}\n");
        text(&[w, w, "u32", "u32", "u32", w], &(helper + section("fold")))
    };
    let key = format!("index.fold.{}.{how:?}", t.name);
    let tensors = [base, src, &order, &first, &last, out];
    for piece in 0..word(m)?.div_ceil(ROUNDS) {
        let starts = [start(base.layout())?, start(src.layout())?];
        let params = [word(n)?, word(k)?, piece * ROUNDS, ROUNDS, starts[0], starts[1]];
        run(&key, &source, &tensors, &params, n)?;
    }
    Ok(())
}

/// The last value of each place, found by its position.
fn set(
    base: &Tensor,
    rows: &Tensor,
    src: &Tensor,
    shape: (usize, usize),
    out: &Tensor,
) -> Result<()> {
    let winner = Tensor::zeros(&[shape.0], DType::U32, Device::Gpu)?;
    let source = || text(&["u32", "atomic<u32>"], section("winner"));
    run("index.winner", &source, &[rows, &winner], &[word(rows.numel())?], rows.numel())?;
    let size = out.dtype().size();
    let source = || {
        let fetch = "fn fetch(e: u32, part: u32) -> u32 {
            let k = param(1u);
            let w = b2[e / k];
            if (w == 0u) { return base(param(2u) + e, part); }
            return value(param(3u) + (w - 1u) * k + e % k, part);
        }\n";
        let helpers = reader("base", 0, size) + &reader("value", 1, size) + fetch;
        by_words(size, &["u32"; 4], 3, &helpers)
    };
    let params = [word(out.numel())?, word(shape.1)?, start(base.layout())?, start(src.layout())?];
    let threads = word_threads(out.numel(), size);
    run(&format!("index.set.{size}"), &source, &[base, src, &winner, out], &params, threads)
}

/// The row-major positions of what is not zero; waits for their number.
pub fn positions(x: &Tensor) -> Result<Tensor> {
    let n = numel(x.shape());
    if n == 0 {
        return Tensor::empty(&[0], DType::I64, Device::Gpu);
    }
    let mask = dense(&dense(x, DType::Bool)?, DType::I32)?;
    let mask = crate::ops::view::reshape(&mask, &[n])?;
    let count = Tensor::empty(&[n], DType::I32, Device::Gpu)?;
    crate::ops::scan::count(&mask, &count)?;
    let last = count.alias(Layout { offset: n - 1, ..Layout::contiguous(&[]) });
    let found = last.to_vec::<i64>()?[0] as usize;
    let out = Tensor::empty(&[found], DType::I64, Device::Gpu)?;
    let source = || text(&["u32"; 3], section("compact"));
    run("index.compact", &source, &[&mask, &count, &out], &[word(n)?], n)?;
    Ok(out)
}
