// The kernels of all norms. An element's address gives its row and the place of its weight; element k of
// row (or channel) j lies at (k / seg) * far + j * near + k % seg. KERNEL_ names the entry's body.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> vars: array<f32>;
@group(0) @binding(5) var<storage, read_write> means: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<storage, read_write> sums: array<f32>;

const COLS = COLS_u;
const LANES = 256u / COLS;
// Elements of a row that one workgroup takes.
const CHUNK = LANES * 64u;

var<workgroup> part: array<vec2<f32>, 256>;

fn join(value: vec2<f32>, column: u32, lane: u32) -> vec2<f32> {
    part[lane * COLS + column] = value;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            part[lane * COLS + column] += part[(lane + width) * COLS + column];
        }
        workgroupBarrier();
    }
    let joined = part[column];
    workgroupBarrier();
    return joined;
}

fn x_at(i: u32) -> f32 { return x[param(0u) + i]; }
fn g_at(i: u32) -> f32 { return g[param(1u) + i]; }
fn weight_at(i: u32) -> f32 {
    let place = (i / param(8u)) % param(9u);
    return weight[param(2u) + place];
}
fn bias_at(i: u32) -> f32 {
    let place = (i / param(8u)) % param(9u);
    return bias[param(3u) + place];
}
fn row_of(i: u32) -> u32 { return (i / param(10u)) % param(11u); }
fn mean_of(row: u32) -> f32 { return means[param(5u) + row]; }
fn rstd_of(row: u32) -> f32 { return 1.0 / sqrt(vars[param(4u) + row] + paramf(12u)); }
fn address(j: u32, k: u32) -> u32 {
    return (k / param(15u)) * param(16u) + j * param(17u) + k % param(15u);
}

struct Place { row: u32, lane: u32, column: u32, chunk: u32, start: u32, end: u32 }

// Which part of which row this thread is for; an empty one for those too many.
fn place(group: u32, thread: u32) -> Place {
    let chunks = param(18u);
    var p: Place;
    p.column = thread % COLS;
    p.lane = thread / COLS;
    p.row = (group / chunks) * COLS + p.column;
    p.chunk = group % chunks;
    p.start = p.chunk * CHUNK;
    p.end = select(p.start, min_u(p.start + CHUNK, param(14u)), p.row < param(13u));
    return p;
}

// Mean and sum of squared deviations of a chunk; with RMS_ the sum of squares.
fn stats(group: u32, thread: u32) {
    let p = place(group, thread);
    let n = f32(p.end - p.start);
    var mean = 0.0;
    if (!RMS_) {
        var sum = 0.0;
        for (var k = p.start + p.lane; k < p.end; k += LANES) {
            sum += x_at(address(p.row, k));
        }
        mean = join(vec2<f32>(sum, 0.0), p.column, p.lane).x / n;
    }
    var d = vec2<f32>(0.0, 0.0);
    for (var k = p.start + p.lane; k < p.end; k += LANES) {
        let e = x_at(address(p.row, k)) - mean;
        d += vec2<f32>(e, e * e);
    }
    d = join(d, p.column, p.lane);
    if (p.lane == 0u && p.row < param(13u)) {
        let at = param(7u) + 2u * (p.row * param(18u) + p.chunk);
        let rest = select(d.x / n, 0.0, RMS_);
        sums[at] = mean + rest;
        sums[at + 1u] = d.y - rest * rest * n;
    }
}

// The chunks of a row by Chan's formula.
fn combine_stats(row: u32) {
    if (row >= param(13u)) {
        return;
    }
    let chunks = param(18u);
    let len = param(14u);
    var mean = 0.0;
    var m2 = 0.0;
    for (var chunk = 0u; chunk < chunks; chunk++) {
        let at = param(7u) + 2u * (row * chunks + chunk);
        let before = f32(chunk * CHUNK);
        let n = f32(min_u(CHUNK, len - chunk * CHUNK));
        let d = sums[at] - mean;
        mean += d * (n / (before + n));
        m2 += sums[at + 1u] + d * d * (before * n / (before + n));
    }
    means[param(5u) + row] = mean;
    // Rounding may leave a constant row a little below 0.
    vars[param(4u) + row] = select(max(m2, 0.0), m2, isnan(m2)) / f32(len);
}

fn normalize(i: u32) {
    if (i >= param(13u)) {
        return;
    }
    let row = row_of(i);
    var y = (x_at(i) - mean_of(row)) * rstd_of(row);
    if (AFFINE_) {
        y = y * weight_at(i) + bias_at(i);
    }
    out[param(6u) + i] = y;
}

// Of a chunk: the sums of g, or g * weight, and of its product with the normalised x.
fn products(group: u32, thread: u32) {
    let p = place(group, thread);
    var sum = vec2<f32>(0.0, 0.0);
    for (var k = p.start + p.lane; k < p.end; k += LANES) {
        let i = address(p.row, k);
        let row = row_of(i);
        var v = g_at(i);
        if (WEIGHTED_) {
            v *= weight_at(i);
        }
        sum += vec2<f32>(v, v * ((x_at(i) - mean_of(row)) * rstd_of(row)));
    }
    sum = join(sum, p.column, p.lane);
    if (p.lane == 0u && p.row < param(13u)) {
        let at = param(7u) + 2u * (p.row * param(18u) + p.chunk);
        sums[at] = sum.x;
        sums[at + 1u] = sum.y;
    }
}

// The chunks of a row added up: the first sums to `bias`, the second to `weight`.
fn combine_products(row: u32) {
    if (row >= param(13u)) {
        return;
    }
    let chunks = param(18u);
    var sum = vec2<f32>(0.0, 0.0);
    for (var chunk = 0u; chunk < chunks; chunk++) {
        let at = param(7u) + 2u * (row * chunks + chunk);
        sum += vec2<f32>(sums[at], sums[at + 1u]);
    }
    bias[param(3u) + row] = sum.x;
    weight[param(2u) + row] = sum.y;
}

// The gradient for x, from the sums of its row; BATCH_ where these are without the weight.
fn gradient(i: u32) {
    if (i >= param(13u)) {
        return;
    }
    let row = row_of(i);
    let r = rstd_of(row);
    var w = 1.0;
    if (WEIGHTED_) {
        w = weight_at(i);
    }
    let at = param(7u) + row;
    let s = vec2<f32>(sums[at], sums[at + param(19u)]) * (select(1.0, w, BATCH_) / paramf(14u));
    let centre = select(s.x, 0.0, RMS_);
    out[param(6u) + i] = r * (g_at(i) * w - centre - (x_at(i) - mean_of(row)) * r * s.y);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
    let linear = linear_group(group, groups);
    KERNEL_
}
