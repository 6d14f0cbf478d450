// The losses of COLS samples by a workgroup, LANES threads along the classes of each. Besides the losses it
// writes the weights of the targets, `stats` for the gradient, and the first sample whose target is no class.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> targets: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;
@group(0) @binding(6) var<storage, read_write> bad: array<atomic<u32>>;

const COLS = COLS_u;
const LANES = 256u / COLS;
const LOGITS = LOGITS_;
const WEIGHTED = WEIGHTED_;

var<workgroup> part: array<f32, 256>;

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

// v - m, NaN where infinities or a NaN meet: drivers may assume that there are none.
fn less(v: f32, m: f32) -> f32 {
    return select(v - m, nan_(), isnan(v) || (isinf(v) && v == m));
}

fn weight_of(label: u32) -> f32 {
    if (WEIGHTED) {
        return weight[param(5u) + label];
    }
    return 1.0;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
    let samples = param(0u);
    let classes = param(1u);
    let inner = param(2u);
    let ignored = vec2<u32>(param(6u), param(7u));
    let smoothing = paramf(8u);
    let column = thread % COLS;
    let lane = thread / COLS;
    let i = linear_group(group, groups) * COLS + column;
    let live = i < samples;
    let base = param(3u) + (i / inner) * classes * inner + i % inner;
    let first = select(classes, lane, live);

    var top = 0.0;
    var rest = 0.0;
    if (LOGITS) {
        var m = -inf_();
        for (var k = first; k < classes; k += LANES) {
            let v = x[base + k * inner];
            m = select(m, v, v > m && !isnan(v));
        }
        top = join(m, column, lane, true);
        var sum = 0.0;
        for (var k = first; k < classes; k += LANES) {
            sum += exp(less(x[base + k * inner], top));
        }
        rest = log(join(sum, column, lane, false));
    }
    var all = 0.0;
    var weight_sum = 0.0;
    if (smoothing > 0.0) {
        for (var k = first; k < classes; k += LANES) {
            let w = weight_of(k);
            all += w * (rest - less(x[base + k * inner], top));
            weight_sum += w;
        }
        all = join(all, column, lane, false);
        weight_sum = join(weight_sum, column, lane, false);
    }
    if (lane != 0u || !live) {
        return;
    }
    let label = targets[param(4u) + i];
    let counts = any(label != ignored);
    let known = label.y == 0u && label.x < classes;
    if (counts && !known) {
        atomicMin(&bad[0], i);
    }
    var loss = 0.0;
    var w = 0.0;
    var factor = 0.0;
    if (counts && known) {
        w = weight_of(label.x);
        let spread = smoothing / f32(classes);
        factor = (1.0 - smoothing) * w + weight_sum * spread;
        loss = (1.0 - smoothing) * w * (rest - less(x[base + label.x * inner], top)) + all * spread;
    }
    losses[param(9u) + i] = loss;
    weights[param(10u) + i] = w;
    stats[param(11u) + i] = top;
    stats[param(11u) + samples + i] = rest;
    stats[param(11u) + 2u * samples + i] = factor;
}
