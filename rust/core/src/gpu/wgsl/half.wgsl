// 16-bit floats, held in the low half of a u32.

fn f32_from_f16bits(bits: u32) -> f32 {
    return unpack2x16float(bits & 0xffffu).x;
}

// To the nearest, ties to even, in integers: the built-in pack2x16float may truncate.
fn f16bits_from_f32(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    // Below 2^-14 the last kept bit is worth 2^-24, whatever the exponent.
    let e = size >> 23u;
    let drop = select(select(126u - e, 25u, e < 101u), 13u, e > 112u);
    let small = (size & 0x7fffffu) | 0x800000u;
    let source = select(small, size - 0x38000000u, e > 112u);
    let kept = source >> drop;
    let rest = source & ((1u << drop) - 1u);
    let half = 1u << (drop - 1u);
    let rounded = kept + select(0u, 1u, rest > half || (rest == half && (kept & 1u) != 0u));
    let finite = select(rounded, 0x7c00u, size >= 0x477ff000u);
    let nan = 0x7e00u | ((bits >> 13u) & 0x1ffu);
    return ((bits >> 16u) & 0x8000u) | select(finite, nan, size > 0x7f800000u);
}

fn f32_from_bf16bits(bits: u32) -> f32 {
    return bitcast<f32>(bits << 16u);
}

fn bf16bits_from_f32(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return select(rounded, (bits >> 16u) | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}
