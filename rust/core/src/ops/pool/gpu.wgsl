//// fold
// A task's own functions are area(task), the rectangle (first row, first column, rows, columns) it folds;
// term(task, row, col), one element of it; join(a, b); and finish(task, sum).

struct Part { value: f32, at: u32 }

// Offsets of the buffers in the order of binding, then sizes and windows for [height, width].
fn own(i: u32) -> u32 { return param(2u + i); }
fn input_size(axis: u32) -> u32 { return own(4u + axis); }
fn output_size(axis: u32) -> u32 { return own(6u + axis); }
fn inputs() -> u32 { return own(4u) * own(5u); }
fn outputs() -> u32 { return own(6u) * own(7u); }

var<workgroup> parts: array<Part, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) t: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let width = param(1u);
    let task = linear_group(group, groups) * (64u / width) + t / width;
    let lane = t % width;
    let live = task < param(0u);
    var sum = nothing();
    if (live) {
        let whole = area(task);
        for (var i = lane; i < whole.z * whole.w; i += width) {
            sum = join(sum, term(task, whole.x + i / whole.w, whole.y + i % whole.w));
        }
    }
    parts[t] = sum;
    workgroupBarrier();
    for (var d = width / 2u; d > 0u; d /= 2u) {
        if (lane < d) {
            parts[t] = join(parts[t], parts[t + d]);
        }
        workgroupBarrier();
    }
    if (live && lane == 0u) {
        finish(task, parts[t]);
    }
}

//// max
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> index: array<vec2<u32>>;
fn nothing() -> Part { return Part(-inf_(), 0xffffffffu); }
fn area(task: u32) -> vec4<u32> {
    let o = task % outputs();
    let rows = taps(o / own(7u), 0u);
    let cols = taps(o % own(7u), 1u);
    return vec4<u32>(rows.x, cols.x, rows.y, cols.y);
}
fn term(task: u32, row: u32, col: u32) -> Part {
    let o = task % outputs();
    let at = spot(o / own(7u), row, 0u) * own(5u) + spot(o % own(7u), col, 1u);
    return Part(x[own(0u) + task / outputs() * inputs() + at], at);
}
// The first of equals wins, NaN beats all, the last NaN wins.
fn join(a: Part, b: Part) -> Part {
    let later = b.at > a.at && b.at != 0xffffffffu;
    if (isnan(a.value)) {
        if (isnan(b.value) && later) { return b; }
        return a;
    }
    if (isnan(b.value) || gt(b.value, a.value)) { return b; }
    if (eq(a.value, b.value) && b.at < a.at) { return b; }
    return a;
}
fn finish(task: u32, sum: Part) {
    y[own(1u) + task] = sum.value;
    index[own(2u) + task] = vec2<u32>(sum.at, select(0u, sum.at, sum.at == 0xffffffffu));
}

//// scatter
@group(0) @binding(0) var<storage, read_write> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> index: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
fn nothing() -> Part { return Part(0.0, 0u); }
fn area(task: u32) -> vec4<u32> {
    let i = task % inputs();
    let rows = users(i / own(5u), 0u);
    let cols = users(i % own(5u), 1u);
    return vec4<u32>(rows.x, cols.x, rows.y, cols.y);
}
fn term(task: u32, row: u32, col: u32) -> Part {
    let o = task / inputs() * outputs() + row * own(7u) + col;
    let at = index[own(1u) + o];
    if (at.x != task % inputs() || at.y != 0u) { return nothing(); }
    return Part(g[own(0u) + o], 0u);
}
fn join(a: Part, b: Part) -> Part { return Part(a.value + b.value, 0u); }
fn finish(task: u32, sum: Part) { x[own(2u) + task] = sum.value; }

//// gather
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> index: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
fn nothing() -> Part { return Part(0.0, 0u); }
fn area(task: u32) -> vec4<u32> { return vec4<u32>(0u, 0u, 1u, 1u); }
fn term(task: u32, row: u32, col: u32) -> Part {
    let at = index[own(1u) + task];
    if (at.x >= inputs() || at.y != 0u) { return nothing(); }
    return Part(x[own(0u) + task / outputs() * inputs() + at.x], 0u);
}
fn join(a: Part, b: Part) -> Part { return Part(a.value + b.value, 0u); }
fn finish(task: u32, sum: Part) { y[own(2u) + task] = sum.value; }

//// mean
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
fn nothing() -> Part { return Part(0.0, 0u); }
fn area(task: u32) -> vec4<u32> {
    let o = task % outputs();
    let rows = taps(o / own(7u), 0u);
    let cols = taps(o % own(7u), 1u);
    return vec4<u32>(rows.x, cols.x, rows.y, cols.y);
}
fn term(task: u32, row: u32, col: u32) -> Part {
    let o = task % outputs();
    let at = spot(o / own(7u), row, 0u) * own(5u) + spot(o % own(7u), col, 1u);
    return Part(x[own(0u) + task / outputs() * inputs() + at], 0u);
}
fn join(a: Part, b: Part) -> Part { return Part(a.value + b.value, 0u); }
fn finish(task: u32, sum: Part) {
    let o = task % outputs();
    y[own(1u) + task] = sum.value / divisor(o / own(7u), o % own(7u));
}

//// mean_backward
@group(0) @binding(0) var<storage, read_write> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
fn nothing() -> Part { return Part(0.0, 0u); }
fn area(task: u32) -> vec4<u32> {
    let i = task % inputs();
    let rows = users(i / own(5u), 0u);
    let cols = users(i % own(5u), 1u);
    return vec4<u32>(rows.x, cols.x, rows.y, cols.y);
}
fn term(task: u32, row: u32, col: u32) -> Part {
    let o = task / inputs() * outputs() + row * own(7u) + col;
    return Part(g[own(0u) + o] / divisor(row, col), 0u);
}
fn join(a: Part, b: Part) -> Part { return Part(a.value + b.value, 0u); }
fn finish(task: u32, sum: Part) { x[own(1u) + task] = sum.value; }
