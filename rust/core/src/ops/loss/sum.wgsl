// Adds up losses and weights, PER pairs a workgroup. The last round gives the loss and the total weight.
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> a_out: array<f32>;
@group(0) @binding(3) var<storage, read_write> b_out: array<f32>;

var<workgroup> part: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) thread: u32) {
    let n = param(0u);
    let g = linear_group(group, groups);
    let start = g * PER_u;
    let end = min_u(start + PER_u, n);
    var sum = vec2<f32>(0.0, 0.0);
    for (var i = start + thread; i < end; i += 256u) {
        sum += vec2<f32>(a[param(2u) + i], b[param(3u) + i]);
    }
    part[thread] = sum;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width /= 2u) {
        if (thread < width) {
            part[thread] += part[thread + width];
        }
        workgroupBarrier();
    }
    if (thread != 0u || start >= max_u(n, 1u)) {
        return;
    }
    sum = part[0];
    // The mean of nothing is NaN.
    if (param(1u) == 1u) {
        sum.x = select(sum.x / sum.y, nan_(), sum.x == 0.0 && sum.y == 0.0);
    }
    a_out[param(4u) + g] = sum.x;
    b_out[param(5u) + g] = sum.y;
}
