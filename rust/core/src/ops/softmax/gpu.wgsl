// One row per COLS'th of a workgroup, LANES threads along it. `a` is the input, or the gradient with `b`
// the output. STEP names what is computed.
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

const COLS = COLS_u;
const LANES = 256u / COLS;
const LOG = LOG_;
const GRAD = GRAD_;

var<workgroup> part: array<f32, 256>;

// The lanes of each column as one; `top` for the maximum, else the sum.
fn join(value: f32, column: u32, lane: u32, top: bool) -> f32 {
    part[lane * COLS + column] = value;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            let i = lane * COLS + column;
            let other = part[i + width * COLS];
            part[i] = select(part[i] + other, select(part[i], other, other > part[i]), top);
        }
        workgroupBarrier();
    }
    let joined = part[column];
    workgroupBarrier();
    return joined;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
    let rows = param(0u);
    let n = param(1u);
    let inner = param(2u);
    let column = thread % COLS;
    let lane = thread / COLS;
    let row = linear_group(group, groups) * COLS + column;
    let live = row < rows;
    let base = (row / inner) * n * inner + row % inner;
    let first = select(n, lane, live);
    let a0 = base + param(3u);
    let b0 = base + param(4u);
    let y0 = base + param(5u);
    if (GRAD) {
        var sum = 0.0;
        for (var k = first; k < n; k += LANES) {
            sum += select(a[a0 + k * inner] * b[b0 + k * inner], a[a0 + k * inner], LOG);
        }
        let s = join(sum, column, lane, false);
        for (var k = first; k < n; k += LANES) {
            let g = a[a0 + k * inner];
            let o = b[b0 + k * inner];
            if (LOG) {
                y[y0 + k * inner] = g - exp(o) * s;
            } else {
                y[y0 + k * inner] = o * (g - s);
            }
        }
        return;
    }
    // A NaN loses against every number here and shows in the sum.
    var m = -inf_();
    for (var k = first; k < n; k += LANES) {
        let v = a[a0 + k * inner];
        m = select(m, v, v > m && !isnan(v));
    }
    m = join(m, column, lane, true);
    var sum = 0.0;
    for (var k = first; k < n; k += LANES) {
        let v = less(a[a0 + k * inner], m);
        let e = exp(v);
        sum += e;
        if (!LOG) {
            y[y0 + k * inner] = e;
        }
    }
    let s = join(sum, column, lane, false);
    let log_s = log(s);
    for (var k = first; k < n; k += LANES) {
        if (LOG) {
            y[y0 + k * inner] = less(a[a0 + k * inner], m) - log_s;
        } else {
            // Kept rather than computed again: 1.5 against 1.2 TB/s on an H200, rows of 1024.
            y[y0 + k * inner] = y[y0 + k * inner] / s;
        }
    }
}

// v - m, NaN where infinities or a NaN meet: drivers may assume that there are none.
fn less(v: f32, m: f32) -> f32 {
    let undefined = isnan(v) || (isinf(v) && v == m);
    return select(v - m, nan_(), undefined);
}
