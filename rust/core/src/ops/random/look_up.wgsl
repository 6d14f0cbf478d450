var<workgroup> sums: array<f32, 256>;
var<workgroup> chosen: u32;
var<workgroup> start: f32;
var<workgroup> target_sum: f32;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let draw = linear_group(group, groups);
    let n = param(4u);
    let samples = param(5u);
    let size = (n + 255u) / 256u;
    let inside = draw < param(6u) * samples;
    let row = param(7u) + draw / samples * n;
    let first = min_u(lane * size, n);
    let end = select(first, min_u(first + size, n), inside);
    var sum = 0.0;
    var bad = false;
    for (var j = first; j < end; j++) {
        let w = weights[row + j];
        bad = bad || !valid(w);
        sum += w;
    }
    if (bad) {
        atomicMax(&fault, 3u);
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane == 0u && inside) {
        pick_chunk(draw);
    }
    workgroupBarrier();
    if (lane != chosen || !inside) {
        return;
    }
    var running = start;
    var pick = first;
    for (var j = first; j < end; j++) {
        let w = weights[row + j];
        running += w;
        if (w > 0.0) {
            pick = j;
        }
        if (running > target_sum) {
            break;
        }
    }
    picks[draw] = vec2<u32>(pick, 0u);
}

// The chunk in whose sums the draw's uniform falls, or else the last one above 0.
fn pick_chunk(draw: u32) {
    var total = 0.0;
    for (var k = 0u; k < 256u; k++) {
        total += sums[k];
    }
    if (total == 0.0) {
        atomicMax(&fault, 2u);
    }
    target_sum = f32(word(draw) >> 8u) * 5.9604644775390625e-8 * total;
    var end = 0.0;
    for (var k = 0u; k < 256u; k++) {
        let before = end;
        end += sums[k];
        if (sums[k] > 0.0) {
            chosen = k;
            start = before;
        }
        if (end > target_sum) {
            break;
        }
    }
}
