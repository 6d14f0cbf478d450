//! The norms as a few kernels of one text: statistics of the rows in chunks, their union, and a pass over
//! all elements; the gradients likewise.

use super::fused::{Kind, Plan, Saved};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Kernel;
use crate::storage::Device;
use crate::tensor::Tensor;

/// Rows of elements: element k of row j lies at `(k / seg) * far + j * near + k % seg`.
struct Rows {
    count: usize,
    len: usize,
    seg: usize,
    far: usize,
    near: usize,
}

impl Rows {
    /// Those that are normalised together.
    fn of(plan: &Plan) -> Self {
        let (seg, near) = match plan.kind {
            Kind::Batch => (plan.seg, plan.seg),
            _ => (plan.len, plan.len),
        };
        Self { count: plan.rows, len: plan.len, seg, far: plan.channels * plan.seg, near }
    }

    /// Those that share a weight and a bias.
    fn per_channel(plan: &Plan) -> Self {
        let (count, seg) = (plan.channels, plan.seg);
        Self { count, len: plan.n * seg, seg, far: count * seg, near: seg }
    }

    /// How many rows a workgroup takes side by side, and the chunks of a row.
    fn shape(&self) -> (usize, usize) {
        let cols = if self.near == 1 || self.len < 128 { 32 } else { 1 };
        (cols, self.len.div_ceil(256 / cols * 64))
    }
}

/// The buffers of a dispatch in the order of their bindings; those a kernel does not use are `x`.
struct Bound<'a> {
    plan: &'a Plan,
    x: &'a Tensor,
    g: &'a Tensor,
    weight: &'a Tensor,
    bias: &'a Tensor,
    var: &'a Tensor,
    mean: &'a Tensor,
    out: &'a Tensor,
    sums: &'a Tensor,
    affine: bool,
}

impl Bound<'_> {
    fn params(&self) -> Vec<u32> {
        let p = self.plan;
        let tensors =
            [self.x, self.g, self.weight, self.bias, self.var, self.mean, self.out, self.sums];
        let mut words: Vec<u32> = tensors.map(|t| t.layout().offset as u32).to_vec();
        // From an address to the place of the weight, and to the row of the statistics.
        let (weight, row) = match p.kind {
            Kind::Batch => ((p.seg, p.channels), (p.seg, p.channels)),
            _ => ((p.seg, p.channels), (p.len, p.rows)),
        };
        words.extend([weight.0, weight.1, row.0, row.1].map(|v| v as u32));
        words.push((p.eps as f32).to_bits());
        words
    }

    fn dispatch(&self, body: &str, cols: usize, words: &[u32], groups: usize) -> Result<()> {
        let kind = self.plan.kind;
        let (rms, batch) = (kind == Kind::Rms, kind == Kind::Batch);
        let key = format!("norm.{body}.{cols}.{rms}.{batch}.{}", self.affine);
        let source = || {
            include_str!("gpu.wgsl")
                .replace("COLS_u", &format!("{cols}u"))
                .replace("RMS_", &rms.to_string())
                .replace("BATCH_", &batch.to_string())
                .replace("AFFINE_", &self.affine.to_string())
                .replace("WEIGHTED_", &self.affine.to_string())
                .replace("KERNEL_", body)
        };
        let gpu = self.out.buffer().gpu();
        gpu.dispatch(
            &Kernel { key: &key, source: &source },
            &[
                self.x.buffer(),
                self.g.buffer(),
                self.weight.buffer(),
                self.bias.buffer(),
                self.var.buffer(),
                self.mean.buffer(),
                self.out.buffer(),
                self.sums.buffer(),
            ],
            words,
            gpu.fold_groups(groups as u64),
        )
    }

    /// A kernel with a workgroup for each chunk of `cols` rows.
    fn by_chunks(&self, body: &str, rows: &Rows) -> Result<()> {
        let (cols, chunks) = rows.shape();
        self.dispatch(body, cols, &self.row_params(rows), rows.count.div_ceil(cols) * chunks)
    }

    /// A kernel with a thread for each row, which joins what `by_chunks` left.
    fn by_rows(&self, body: &str, rows: &Rows) -> Result<()> {
        let (cols, _) = rows.shape();
        self.dispatch(body, cols, &self.row_params(rows), rows.count.div_ceil(256))
    }

    fn row_params(&self, rows: &Rows) -> Vec<u32> {
        let (_, chunks) = rows.shape();
        let mut words = self.params();
        words.extend(
            [rows.count, rows.len, rows.seg, rows.far, rows.near, chunks].map(|v| v as u32),
        );
        words
    }

    /// A kernel with a thread for each element.
    fn by_elements(&self, body: &str, stride: usize) -> Result<()> {
        let n = self.x.numel();
        let mut words = self.params();
        words.extend([n as u32, (self.plan.len as f32).to_bits(), 0, 0, 0, 0, stride as u32]);
        self.dispatch(body, 1, &words, n.div_ceil(256))
    }
}

const EACH: &str = "(linear * 256u + thread);";
const CHUNKED: &str = "(linear, thread);";

/// Room for two sums of each chunk.
fn room(rows: &Rows) -> Result<Tensor> {
    Tensor::empty(&[rows.count, rows.shape().1, 2], DType::F32, Device::Gpu)
}

pub(super) fn forward(
    plan: &Plan,
    x: &Tensor,
    wb: Option<&(Tensor, Tensor)>,
    y: &Tensor,
    var: &Tensor,
    mean: &Tensor,
) -> Result<()> {
    let rows = Rows::of(plan);
    let sums = room(&rows)?;
    let bound = bind(plan, x, wb, y, var, mean, &sums);
    bound.by_chunks(&format!("stats{CHUNKED}"), &rows)?;
    bound.by_rows(&format!("combine_stats{EACH}"), &rows)?;
    bound.by_elements(&format!("normalize{EACH}"), 0)
}

/// By given statistics.
pub(super) fn normalize(
    plan: &Plan,
    x: &Tensor,
    wb: Option<&(Tensor, Tensor)>,
    y: &Tensor,
    var: &Tensor,
    mean: &Tensor,
) -> Result<()> {
    bind(plan, x, wb, y, var, mean, x).by_elements(&format!("normalize{EACH}"), 0)
}

fn bind<'a>(
    plan: &'a Plan,
    x: &'a Tensor,
    wb: Option<&'a (Tensor, Tensor)>,
    out: &'a Tensor,
    var: &'a Tensor,
    mean: &'a Tensor,
    sums: &'a Tensor,
) -> Bound<'a> {
    let (weight, bias) = wb.map_or((x, x), |(w, b)| (w, b));
    Bound { plan, x, g: x, weight, bias, var, mean, out, sums, affine: wb.is_some() }
}

pub(super) fn backward(
    plan: &Plan,
    s: &Saved,
    gx: &Tensor,
    affine: Option<(&Tensor, &Tensor)>,
) -> Result<()> {
    let base = Bound {
        plan,
        x: &s.x,
        g: &s.g,
        weight: &s.x,
        bias: &s.x,
        var: &s.var,
        mean: &s.mean,
        out: gx,
        sums: &s.x,
        affine: false,
    };
    let floats = |n: usize| Tensor::empty(&[n], DType::F32, Device::Gpu);
    // The sums of a row: of its gradients, and of their products with the normalised x.
    let totals = floats(2 * plan.rows)?;
    let halves = [0, plan.rows].map(|offset| {
        let layout = crate::layout::Layout::contiguous(&[plan.rows]);
        let offset = totals.layout().offset + offset;
        totals.alias(crate::layout::Layout { offset, ..layout })
    });
    let add_up = |rows: &Rows, weight: Option<&Tensor>, first: &Tensor, second: &Tensor| {
        let sums = room(rows)?;
        let weighted = Bound {
            weight: weight.unwrap_or(base.x),
            affine: weight.is_some(),
            sums: &sums,
            ..base
        };
        weighted.by_chunks(&format!("products{CHUNKED}"), rows)?;
        let joined = Bound { weight: second, bias: first, sums: &sums, ..base };
        joined.by_rows(&format!("combine_products{EACH}"), rows)
    };
    let weight = s.weight.as_ref();
    // A batch norm's row has one weight, which joins its sums at the end.
    let inside = if plan.kind == Kind::Batch { None } else { weight };
    add_up(&Rows::of(plan), inside, &halves[0], &halves[1])?;
    if let Some((gw, gb)) = affine {
        add_up(&Rows::per_channel(plan), None, gb, gw)?;
    }
    let last =
        Bound { weight: weight.unwrap_or(base.x), affine: weight.is_some(), sums: &totals, ..base };
    last.by_elements(&format!("gradient{EACH}"), plan.rows)
}
