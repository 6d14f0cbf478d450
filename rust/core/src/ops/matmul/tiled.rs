//! Products on the GPU whose operands are read through WGSL functions, so that matrices with strides and the
//! windows of a convolution share the kernels: register tiles, and dot products where a side is thin.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Kernel, reduce};
use crate::storage::Device;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::fmt::Write;

/// The first parameter that is the job's own.
pub const OWN: u32 = 12;

/// `batch` products of (m, k) and (k, n).
pub struct Job<'a> {
    pub key: &'a str,
    /// WGSL: binds `inputs` from 0 on, and declares `start(batch: u32)`, called first; `load_a(i, p)` and
    /// `load_b(p, j)`, the operands; `place(i, j)`, the result's index in the output; and `finish(sum, i, j)`,
    /// what is stored there. Its parameters follow from `OWN` on.
    pub text: &'a dyn Fn() -> String,
    pub inputs: &'a [&'a Buffer],
    pub params: &'a [u32],
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Whether neighbours along k are neighbours in memory, for either operand.
    pub along_k: [bool; 2],
    pub number: Number,
}

/// What is multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Number {
    F32,
    I32,
    I64,
}

impl Number {
    pub const fn dtype(self) -> DType {
        match self {
            Number::F32 => DType::F32,
            Number::I32 => DType::I32,
            Number::I64 => DType::I64,
        }
    }

    pub const fn wgsl(self) -> &'static str {
        match self {
            Number::F32 => "f32",
            Number::I32 => "i32",
            Number::I64 => "vec2<u32>",
        }
    }

    /// a * b + c and a + b.
    const fn sums(self) -> [&'static str; 2] {
        match self {
            Number::F32 => ["fma(a, b, c)", "a + b"],
            Number::I32 => ["a * b + c", "a + b"],
            Number::I64 => ["add_l(mul_l(a, b), c)", "add_l(a, b)"],
        }
    }
}

/// A workgroup's part of a result: `rows` x `cols`, `each` x `each` per thread, `depth` along k at a time.
struct Tile {
    rows: usize,
    cols: usize,
    depth: usize,
    each: usize,
}

const LARGE: Tile = Tile { rows: 128, cols: 128, depth: 8, each: 8 };
const MIDDLE: Tile = Tile { rows: 64, cols: 64, depth: 16, each: 8 };
const SMALL: Tile = Tile { rows: 32, cols: 32, depth: 16, each: 4 };

/// Threads of a workgroup of dot products.
const LANES: usize = 64;
/// Sides up to which dot products are faster than tiles.
const THIN: usize = 4;
/// The longest sum one thread makes: longer ones lose accuracy, and software drivers stop at 65,535 rounds.
const LONGEST: usize = 8192;
/// The shortest worth a stage of its own, and the workgroups that fill a large device.
const SHORTEST: usize = 512;
const GROUPS: usize = 256;

impl Tile {
    fn threads(&self) -> usize {
        self.rows * self.cols / (self.each * self.each)
    }

    fn count(&self, job: &Job) -> usize {
        job.m.div_ceil(self.rows) * job.n.div_ceil(self.cols) * job.batch
    }

    fn choose(job: &Job) -> Option<&'static Self> {
        if job.m.min(job.n) <= THIN || job.number != Number::F32 {
            return None;
        }
        let fitting = |t: &&Tile| t.count(job) >= GROUPS / 4;
        Some([&LARGE, &MIDDLE].into_iter().find(fitting).unwrap_or(&SMALL))
    }
}

/// Computes the job into `out`, which is contiguous and of the job's number type.
pub fn run(job: &Job, out: &Tensor) -> Result<()> {
    let results = out.numel();
    if results == 0 {
        return Ok(());
    }
    let tile = Tile::choose(job);
    let width = match tile {
        None if job.k >= LANES && (job.along_k != [false; 2] || job.number != Number::F32) => LANES,
        _ => 1,
    };
    let groups = tile.map_or((results * width).div_ceil(LANES), |t| t.count(job));
    let by_work = GROUPS.div_ceil(groups).min(job.k / (SHORTEST * width));
    // Sums of integers are exact in any order and length.
    let splits = match job.number {
        Number::F32 => job.k.div_ceil(LONGEST * width).max(by_work).max(1),
        _ => 1,
    };
    let chunk = job.k.div_ceil(splits);
    let most = u32::MAX as usize / 2;
    let large = results.saturating_mul(splits) > most;
    if large || job.k > most || job.inputs.iter().any(|b| b.bytes() / 4 > most) {
        return Err(Error::memory("GPU products reach the first 2^31 elements of a tensor only")
            .hint("split the tensor, or use device=\"cpu\""));
    }
    let to = if splits == 1 {
        out.detach()
    } else {
        Tensor::empty(&[splits, results], DType::F32, Device::Gpu)?
    };
    let along = job.along_k.map(u32::from);
    let tiles = tile.map_or([1, 1], |t| [job.m.div_ceil(t.rows), job.n.div_ceil(t.cols)]);
    let numbers = [job.m, job.n, job.k, chunk, splits, tiles[0], tiles[1], job.batch];
    let mut params: SmallVec<[u32; 48]> = numbers.iter().map(|&v| v as u32).collect();
    params.push(to.layout().offset as u32);
    params.push(results as u32);
    params.push(along[0] | along[1] << 1);
    params.push(width as u32);
    debug_assert_eq!(params.len(), OWN as usize);
    params.extend_from_slice(job.params);

    let mut buffers: SmallVec<[&Buffer; 4]> = job.inputs.into();
    buffers.push(to.buffer());
    let gpu = out.buffer().gpu();
    let kind = tile.map_or(0, |t| t.rows);
    let key = format!("product.{}.{kind}.{}", job.key, job.number.wgsl());
    let source = || {
        let body = tile.map_or_else(|| dots(job.number), tiled);
        let y = format!(
            "@group(0) @binding({}) var<storage, read_write> y_: array<{}>;\n",
            job.inputs.len(),
            job.number.wgsl()
        );
        (job.text)() + &y + PUT + &body
    };
    let kernel = Kernel { key: &key, source: &source };
    let count = match tile {
        Some(_) => groups * splits,
        None => (results * splits * width).div_ceil(LANES),
    };
    gpu.dispatch(&kernel, &buffers, &params, gpu.fold_groups(count as u64))?;
    if splits > 1 {
        reduce::run(&to, &[0], out, "add")?;
    }
    Ok(())
}

/// Only the first part of a split sum is finished: the parts are added up later.
const PUT: &str = "
fn put(split: u32, i: u32, j: u32, sum: number) {
    let at = param(8u) + split * param(9u) + place(i, j);
    if (split == 0u) {
        y_[at] = finish(sum, i, j);
    } else {
        y_[at] = sum;
    }
}
";

/// One result per thread, or per 64 threads that share its sum.
fn dots(number: Number) -> String {
    let (t, [mul_add, add]) = (number.wgsl(), number.sums());
    format!(
        "alias number = {t};
fn mul_add_(a: number, b: number, c: number) -> number {{ return {mul_add}; }}
fn add_(a: number, b: number) -> number {{ return {add}; }}
var<workgroup> parts: array<number, {LANES}>;
@compute @workgroup_size({LANES})
fn main(
    @builtin(local_invocation_index) t: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {{
    let width = param(11u);
    let m = param(0u);
    let n = param(1u);
    let results = param(7u) * m * n;
    let task = linear_group(group, groups) * ({LANES}u / width) + t / width;
    let lane = t % width;
    let live = task < results * param(4u);
    let split = task / results;
    let o = task % results;
    let i = o / n % m;
    let j = o % n;
    var sum = number();
    start(o / (m * n));
    if (live) {{
        let end = min_u((split + 1u) * param(3u), param(2u));
        for (var p = split * param(3u) + lane; p < end; p += width) {{
            sum = mul_add_(load_a(i, p), load_b(p, j), sum);
        }}
    }}
    parts[t] = sum;
    workgroupBarrier();
    for (var d = width / 2u; d > 0u; d /= 2u) {{
        if (lane < d) {{
            parts[t] = add_(parts[t], parts[t + d]);
        }}
        workgroupBarrier();
    }}
    if (live && lane == 0u) {{
        put(split, i, j, parts[t]);
    }}
}}
"
    )
}

/// Each workgroup makes one tile: it reads strips of both operands into shared memory, four neighbours per
/// load and vector, and each thread multiplies from there into registers.
fn tiled(t: &Tile) -> String {
    let Tile { rows, cols, depth, each } = *t;
    let (threads, quads) = (t.threads(), each / 4);
    let across = cols / each;
    let mut text = format!(
        "alias number = f32;
var<workgroup> a_: array<vec4<f32>, {a_len}>;
var<workgroup> b_: array<vec4<f32>, {b_len}>;
fn read_a(i: u32, p: u32, end: u32) -> vec4<f32> {{
    var v = vec4<f32>();
    let m = param(0u);
    if (p < end) {{
        if (i < m) {{ v.x = load_a(i, p); }}
        if (i + 1u < m) {{ v.y = load_a(i + 1u, p); }}
        if (i + 2u < m) {{ v.z = load_a(i + 2u, p); }}
        if (i + 3u < m) {{ v.w = load_a(i + 3u, p); }}
    }}
    return v;
}}
fn read_b(p: u32, j: u32, end: u32) -> vec4<f32> {{
    var v = vec4<f32>();
    let n = param(1u);
    if (p < end) {{
        if (j < n) {{ v.x = load_b(p, j); }}
        if (j + 1u < n) {{ v.y = load_b(p, j + 1u); }}
        if (j + 2u < n) {{ v.z = load_b(p, j + 2u); }}
        if (j + 3u < n) {{ v.w = load_b(p, j + 3u); }}
    }}
    return v;
}}
fn put4(split: u32, i: u32, j: u32, v: vec4<f32>) {{
    let n = param(1u);
    if (i < param(0u)) {{
        if (j < n) {{ put(split, i, j, v.x); }}
        if (j + 1u < n) {{ put(split, i, j + 1u, v.y); }}
        if (j + 2u < n) {{ put(split, i, j + 2u, v.z); }}
        if (j + 3u < n) {{ put(split, i, j + 3u, v.w); }}
    }}
}}
@compute @workgroup_size({threads})
fn main(
    @builtin(local_invocation_index) t: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {{
    let down = param(5u);
    let right = param(6u);
    let number_of = linear_group(group, groups);
    let tile = number_of % (down * right);
    let batch = number_of / (down * right) % param(7u);
    let split = number_of / (down * right * param(7u));
    // Tiles that run together lie together: eight rows of them at a time.
    let band = tile / (8u * right) * 8u;
    let high = min_u(down - band, 8u);
    let row = (band + tile % (8u * right) % high) * {rows}u;
    let col = tile % (8u * right) / high * {cols}u;
    let live = split < param(4u);
    let along_a = (param(10u) & 1u) != 0u;
    let along_b = (param(10u) & 2u) != 0u;
    let chunk = param(3u);
    let end = select(0u, min_u((split + 1u) * chunk, param(2u)), live);
    let ty = t / {across}u;
    let tx = t % {across}u;
    start(batch);
",
        a_len = depth * rows / 4,
        b_len = depth * cols / 4,
    );
    for (r, q) in (0..each).flat_map(|r| (0..quads).map(move |q| (r, q))) {
        let _ = writeln!(text, "    var c{r}_{q} = vec4<f32>();");
    }
    let _ = write!(
        text,
        "    let steps = (chunk + {depth}u - 1u) / {depth}u;
    for (var s = 0u; s < steps; s++) {{
        let first = split * chunk + s * {depth}u;
        workgroupBarrier();
"
    );
    for (name, size) in [("a", rows), ("b", cols)] {
        let wide = size / 4;
        let at = if name == "a" { "row" } else { "col" };
        for l in 0..wide * depth / threads {
            let read = if name == "a" {
                format!("read_a({at} + 4u * x, first + p, end)")
            } else {
                format!("read_b(first + p, {at} + 4u * x, end)")
            };
            let _ = write!(
                text,
                "        {{
            let u = t + {at_l}u;
            let p = select(u / {wide}u, u % {depth}u, along_{name});
            let x = select(u % {wide}u, u / {depth}u, along_{name});
            {name}_[p * {wide}u + x] = {read};
        }}
",
                at_l = l * threads
            );
        }
    }
    let _ = write!(
        text,
        "        workgroupBarrier();
        for (var p = 0u; p < {depth}u; p++) {{
"
    );
    for (name, size, thread) in [("a", rows, "ty"), ("b", cols, "tx")] {
        for q in 0..quads {
            let half = q * size / 8;
            let _ = writeln!(
                text,
                "            let {name}{q} = {name}_[p * {}u + {half}u + {thread}];",
                size / 4
            );
        }
    }
    for (r, q) in (0..each).flat_map(|r| (0..quads).map(move |q| (r, q))) {
        let lane = ["x", "y", "z", "w"][r % 4];
        let _ = writeln!(
            text,
            "            c{r}_{q} = fma(vec4<f32>(a{}.{lane}), b{q}, c{r}_{q});",
            r / 4
        );
    }
    text.push_str("        }\n    }\n    if (live) {\n");
    for (r, q) in (0..each).flat_map(|r| (0..quads).map(move |q| (r, q))) {
        let (i, j) = (r / 4 * rows / 2 + r % 4, q * cols / 2);
        let _ = writeln!(
            text,
            "        put4(split, row + {i}u + 4u * ty, col + {j}u + 4u * tx, c{r}_{q});"
        );
    }
    text.push_str("    }\n}\n");
    text
}
