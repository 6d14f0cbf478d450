// Shared by the two kernels of multinomial: a workgroup for each row, or for each draw.

@group(0) @binding(0) var<storage, read_write> weights: array<f32>;
// Indices as int64.
@group(0) @binding(1) var<storage, read_write> picks: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> fault: atomic<u32>;

// By their bits, for a compiler may assume that there is no NaN; -0 is a zero.
fn valid(w: f32) -> bool {
    let bits = bitcast<u32>(w);
    return bits < 0x7f800000u || bits == 0x80000000u;
}

// Word i of the stream.
fn word(i: u32) -> u32 {
    let counter = add_l(vec2<u32>(param(2u), param(3u)), vec2<u32>(i >> 2u, 0u));
    return philox(vec4<u32>(counter, 0u, 0u), vec2<u32>(param(0u), param(1u)))[i & 3u];
}

