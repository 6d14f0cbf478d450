// When the last pick of each row arrived.
@group(0) @binding(3) var<storage, read_write> arrivals: array<f32>;

const NOBODY = 0xffffffffu;

var<workgroup> times: array<f32, 256>;
var<workgroup> runners: array<u32, 256>;

// The pick of number param(8): the first to arrive after the one before it.
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group, groups);
    let n = param(4u);
    let samples = param(5u);
    let sample = param(8u);
    let inside = row < param(6u);
    let base = row * n;
    var last_time = -1.0;
    var last = 0u;
    if (inside && sample > 0u) {
        last_time = arrivals[row];
        last = picks[row * samples + sample - 1u].x;
    }
    var time = 0.0;
    var runner = NOBODY;
    var bad = false;
    for (var j = lane; j < select(0u, n, inside); j += 256u) {
        let w = weights[param(7u) + base + j];
        bad = bad || !valid(w);
        if (w > 0.0) {
            let w_time = -log(unit(word(base + j))) / w;
            let later = w_time > last_time || (w_time == last_time && j > last);
            if (later && (runner == NOBODY || w_time < time)) {
                time = w_time;
                runner = j;
            }
        }
    }
    if (bad) {
        atomicMax(&fault, 3u);
    }
    times[lane] = time;
    runners[lane] = runner;
    workgroupBarrier();
    if (lane != 0u || !inside) {
        return;
    }
    for (var k = 1u; k < 256u; k++) {
        let other = runners[k];
        let sooner = times[k] < time || (times[k] == time && other < runner);
        if (other != NOBODY && (runner == NOBODY || sooner)) {
            time = times[k];
            runner = other;
        }
    }
    if (runner == NOBODY) {
        atomicMax(&fault, select(1u, 2u, sample == 0u));
        runner = 0u;
    }
    picks[row * samples + sample] = vec2<u32>(runner, 0u);
    arrivals[row] = time;
}

// The middle of the word's interval in (0, 1].
fn unit(w: u32) -> f32 {
    return (f32(w >> 16u) * 65536.0 + f32(w & 0xffffu)) * 2.3283064365386963e-10
        + 1.1641532182693481e-10;
}
