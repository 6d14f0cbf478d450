// One thread per element: the factor times softmax, less the smoothing's and the target's share.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> targets: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> g: array<f32>;
@group(0) @binding(5) var<storage, read_write> total: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

const LOGITS = LOGITS_;
const WEIGHTED = WEIGHTED_;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
    let samples = param(0u);
    let classes = param(1u);
    let inner = param(2u);
    let at = linear_group(group, groups) * 256u + thread;
    if (at >= param(13u)) {
        return;
    }
    let k = (at / inner) % classes;
    let i = (at / (inner * classes)) * inner + at % inner;
    let label = targets[param(4u) + i];
    let ignored = vec2<u32>(param(6u), param(7u));
    let smoothing = paramf(8u);
    var d = 0.0;
    // A total weight of 0 makes the scale nan: of negative log likelihoods only the targets' see it.
    var flows = LOGITS;
    if (any(label != ignored)) {
        var w = 1.0;
        if (WEIGHTED) {
            w = weight[param(5u) + k];
        }
        var scale = g[param(9u) + i * param(14u)];
        if (param(15u) == 1u) {
            scale /= total[param(10u)];
        }
        if (LOGITS) {
            let s = param(11u) + i;
            let p = exp((x[param(3u) + at] - stats[s]) - stats[s + samples]);
            d = stats[s + 2u * samples] * p - w * smoothing / f32(classes);
        }
        if (label.y == 0u && label.x == k) {
            d -= (1.0 - smoothing) * w;
            flows = true;
        }
        if (flows) {
            d *= scale;
        }
    }
    out[param(12u) + at] = d;
}
