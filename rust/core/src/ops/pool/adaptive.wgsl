// Windows that share the input evenly. Axis 0 is height.

// The first position of output o, and how many it covers.
fn taps(o: u32, axis: u32) -> vec2<u32> {
    let size = input_size(axis);
    let n = output_size(axis);
    let first = o * size / n;
    return vec2<u32>(first, ((o + 1u) * size + n - 1u) / n - first);
}

fn spot(o: u32, tap: u32, axis: u32) -> u32 {
    return tap;
}

// The first output that covers position i, and how many do.
fn users(i: u32, axis: u32) -> vec2<u32> {
    let size = input_size(axis);
    let n = output_size(axis);
    let first = i * n / size;
    return vec2<u32>(first, ((i + 1u) * n + size - 1u) / size - first);
}

fn divisor(oy: u32, ox: u32) -> f32 {
    return f32(taps(oy, 0u).y) * f32(taps(ox, 1u).y);
}
