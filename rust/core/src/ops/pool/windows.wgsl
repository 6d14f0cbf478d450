// Windows of one size, a step apart. Axis 0 is height.

fn kernel(axis: u32) -> u32 { return own(8u + axis); }
fn step_of(axis: u32) -> u32 { return own(10u + axis); }
fn padding(axis: u32) -> u32 { return own(12u + axis); }
fn dilation(axis: u32) -> u32 { return own(14u + axis); }

// The first tap of output o that lies in the input, and how many do.
fn taps(o: u32, axis: u32) -> vec2<u32> {
    let start = o * step_of(axis);
    let pad = padding(axis);
    let d = dilation(axis);
    let first = select(0u, (pad - start + d - 1u) / d, pad > start);
    let end = min_u(kernel(axis), (input_size(axis) + pad - start + d - 1u) / d);
    return vec2<u32>(first, select(0u, end - first, end > first));
}

fn spot(o: u32, tap: u32, axis: u32) -> u32 {
    return o * step_of(axis) + tap * dilation(axis) - padding(axis);
}

// The first output whose window reaches over position i, and how many do.
fn users(i: u32, axis: u32) -> vec2<u32> {
    let at = i + padding(axis);
    let reach = (kernel(axis) - 1u) * dilation(axis);
    let first = select(0u, (at - reach + step_of(axis) - 1u) / step_of(axis), at > reach);
    let end = min_u(output_size(axis), at / step_of(axis) + 1u);
    return vec2<u32>(first, select(0u, end - first, end > first));
}

fn extent(o: u32, axis: u32) -> u32 {
    let start = o * step_of(axis);
    let pad = padding(axis);
    let size = input_size(axis);
    let end = min_u(start + kernel(axis), size + 2u * pad);
    if (own(16u) != 0u) { return max_u(end - min_u(start, end), 1u); }
    let inside = min_u(end, size + pad);
    let begin = max_u(start, pad);
    return max_u(inside - min_u(begin, inside), 1u);
}

fn divisor(oy: u32, ox: u32) -> f32 {
    if (own(17u) != 0u) { return paramf(20u); }
    return f32(extent(oy, 0u)) * f32(extent(ox, 1u));
}
