//! Sorting on the GPU: a stable radix sort, four bits at a time, of the order of all elements: first by
//! their keys, then by their rows. It waits for nothing and has no limit on the length of a row.

use super::cpu::last;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Kernel;
use crate::layout::wrap_dim;
use crate::ops::cast;
use crate::ops::index::launch::{self, bindings, computing, run, start, text, typed, word, words};
use crate::ops::index::{Walk, dense, gpu_pick};
use crate::tensor::Tensor;

/// Elements that one group sorts.
const BLOCK: usize = 1024;
const DIGIT: u32 = 4;

fn section(name: &str) -> &'static str {
    launch::section(include_str!("gpu.wgsl"), name)
}

fn bound(buffers: usize, parts: &[&str]) -> String {
    let text: String = parts.iter().map(|p| section(p)).collect();
    bindings(&vec!["u32"; buffers]) + &text
}

fn dispatch(
    key: &str,
    source: &dyn Fn() -> String,
    tensors: &[&Tensor],
    params: &[u32],
    groups: usize,
) -> Result<()> {
    let gpu = tensors[0].buffer().gpu();
    let buffers: Vec<_> = tensors.iter().map(|t| t.buffer()).collect();
    gpu.dispatch(&Kernel { key, source }, &buffers, params, gpu.fold_groups(groups as u64))
}

/// Keys of so many bits in order, and the order moved along with them.
fn by_keys(keys: Tensor, order: Tensor, bits: u32) -> Result<(Tensor, Tensor)> {
    let n = keys.numel();
    let blocks = n.div_ceil(BLOCK);
    let counts = words(16 * blocks)?;
    let (mut from, mut to) = ((keys, order), (words(n)?, words(n)?));
    for shift in (0..bits).step_by(DIGIT as usize) {
        let params = [word(n)?, shift, word(blocks)?];
        let source = || bound(2, &["digits", "count"]);
        dispatch("sort.count", &source, &[&from.0, &counts], &params, blocks)?;
        let source = || bound(1, &["starts"]);
        dispatch("sort.starts", &source, &[&counts], &[word(16 * blocks)?], 1)?;
        let source = || bound(5, &["digits", "move"]);
        let tensors = [&from.0, &counts, &from.1, &to.0, &to.1];
        dispatch("sort.move", &source, &tensors, &params, blocks)?;
        std::mem::swap(&mut from, &mut to);
    }
    Ok(from)
}

fn identity(n: usize) -> Result<Tensor> {
    let out = words(n)?;
    run("sort.identity", &|| text(&["u32"], section("identity")), &[&out], &[word(n)?], n)?;
    Ok(out)
}

/// A list of words in order, and the stable order that brings it there; uses up the list.
pub(crate) fn sort_words(keys: Tensor, bits: u32) -> Result<(Tensor, Tensor)> {
    let order = identity(keys.numel())?;
    by_keys(keys, order, bits)
}

/// The text of `key(i)`, which reads b0; `part` chooses the word of 64-bit elements.
fn key_text(dtype: DType, part: u32) -> String {
    let body = match (dtype, part) {
        (DType::I32, _) => "return b0[i] ^ 0x80000000u;",
        (DType::U32, _) => "return b0[i];",
        (DType::I64 | DType::U64, 0) => "return b0[2u * i];",
        (DType::I64, _) => "return b0[2u * i + 1u] ^ 0x80000000u;",
        (DType::U64, _) => "return b0[2u * i + 1u];",
        _ => {
            "var v = b0[i];
            let size = v & 0x7fffffffu;
            if (size == 0u) { v = 0u; }
            if (size > 0x7f800000u) { v = 0x7fffffffu; }
            if ((v >> 31u) == 1u) { return ~v; }
            return v | 0x80000000u;"
        }
    };
    format!("fn key(i: u32) -> u32 {{ {body} }}\n")
}

/// The positions of all elements in the order of their rows; `x` dense, of a computing dtype.
fn order_of_rows(x: &Tensor, rows: usize, n: usize, descending: bool) -> Result<Tensor> {
    let all = rows * n;
    let dtype = x.dtype();
    let mut order = identity(all)?;
    for part in 0..(dtype.size() / 4) as u32 {
        let keys = words(all)?;
        let source = || text(&["u32"; 3], &(key_text(dtype, part) + section("key")));
        let flip = if descending { u32::MAX } else { 0 };
        let params = [word(all)?, start(x.layout())?, flip];
        let key = format!("sort.key.{}.{part}", typed(dtype).name);
        run(&key, &source, &[x, &order, &keys], &params, all)?;
        order = by_keys(keys, order, 32)?.1;
    }
    if rows > 1 {
        let keys = words(all)?;
        let source = || text(&["u32"; 2], section("row_key"));
        run("sort.row_key", &source, &[&order, &keys], &[word(all)?, word(n)?], all)?;
        order = by_keys(keys, order, usize::BITS - (rows - 1).leading_zeros())?.1;
    }
    Ok(order)
}

/// Sorted rows of `x` along dim: places `from..from + k` of each go to the outputs.
struct Choice {
    descending: bool,
    from: usize,
    k: usize,
    /// A NaN in the row is the answer.
    nan: bool,
    /// Whether the outputs still have the dimension.
    kept: bool,
}

fn choose(x: &Tensor, dim: i64, c: &Choice, values: &Tensor, indices: &Tensor) -> Result<()> {
    let d = wrap_dim(dim, x.ndim())?;
    let n = x.shape().get(d).copied().unwrap_or(1);
    if values.numel() == 0 {
        return Ok(());
    }
    let own = dense(&x.alias(last(x.layout(), d)), x.dtype())?;
    let wide = dense(&own, computing(x.dtype()))?;
    let rows = x.numel() / n;
    let order = order_of_rows(&wide, rows, n, c.descending)?;
    let total = rows * c.k;
    let picks = words(total)?;
    let target = |t: &Tensor| -> Result<(Tensor, Option<Tensor>)> {
        let l = if c.kept { last(t.layout(), d) } else { t.layout().clone() };
        if l.is_contiguous() {
            return Ok((t.clone(), None));
        }
        Ok((Tensor::empty(&l.shape, t.dtype(), t.device())?, Some(t.alias(l))))
    };
    let (v, v_out) = target(values)?;
    let (i, i_out) = target(indices)?;
    let mut params = vec![word(total)?, word(c.k)?, word(n)?, word(c.from)?];
    if c.nan && wide.dtype() == DType::F32 {
        params.push(start(wide.layout())?);
        let source = || text(&["u32"; 4], section("median"));
        run("sort.median", &source, &[&order, &picks, &i, &wide], &params, total)?;
    } else {
        let source = || text(&["u32"; 3], section("choose"));
        run("sort.choose", &source, &[&order, &picks, &i], &params, total)?;
    }
    let none = Walk::new(&[], &[]);
    gpu_pick(&own, &picks, &none, &none, &v)?;
    for (from, to) in [(v, v_out), (i, i_out)] {
        if let Some(to) = to {
            cast::raw_copy(&from, &to)?;
        }
    }
    Ok(())
}

pub fn sort(
    x: &Tensor,
    dim: i64,
    descending: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let k = x.shape().get(wrap_dim(dim, x.ndim())?).copied().unwrap_or(1);
    choose(x, dim, &Choice { descending, from: 0, k, nan: false, kept: true }, values, indices)
}

pub fn top(x: &Tensor, dim: i64, largest: bool, values: &Tensor, indices: &Tensor) -> Result<()> {
    let k = values.shape().get(wrap_dim(dim, x.ndim())?).copied().unwrap_or(1);
    choose(
        x,
        dim,
        &Choice { descending: largest, from: 0, k, nan: false, kept: true },
        values,
        indices,
    )
}

pub fn kth(
    x: &Tensor,
    k: usize,
    dim: i64,
    nan: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let c = Choice { descending: false, from: k - 1, k: 1, nan, kept: false };
    choose(x, dim, &c, values, indices)
}

/// Sequences of n elements, each for m values.
pub fn search(
    sequence: &Tensor,
    values: &Tensor,
    n: usize,
    m: usize,
    right: bool,
    out: &Tensor,
) -> Result<()> {
    let wide = computing(sequence.dtype());
    let (s, v) = (dense(sequence, wide)?, dense(values, wide)?);
    let t = typed(wide);
    let source = || {
        let (w, x) = (t.wgsl, t.suffix);
        let stop = format!(
            "fn stop(at: {w}, v: {w}, right: bool) -> bool {{
                if (right) {{ return gt{x}(at, v); }}
                return ge{x}(at, v);
            }}\n"
        );
        text(&[w, w, "u32"], &(stop + section("search")))
    };
    let params = [
        word(v.numel())?,
        word(n)?,
        word(m)?,
        start(s.layout())?,
        start(v.layout())?,
        u32::from(right),
    ];
    run(&format!("sort.search.{}", t.name), &source, &[&s, &v, out], &params, v.numel())
}
