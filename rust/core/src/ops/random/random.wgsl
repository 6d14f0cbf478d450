// A block of Philox words for each thread; `make` and PER follow.

@group(0) @binding(0) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let block = linear_group(group, groups) * 256u + lane;
    let first = block * PER;
    let end = arrayLength(&out);
    if (first >= end) {
        return;
    }
    let counter = add_l(vec2<u32>(param(2u), param(3u)), vec2<u32>(block, 0u));
    let made = make(philox(vec4<u32>(counter, 0u, 0u), vec2<u32>(param(0u), param(1u))));
    for (var i = 0u; i < PER && first + i < end; i++) {
        out[first + i] = made[i];
    }
}

// low + u * width in two roundings, as on the CPU.
fn affine(u: vec4<f32>) -> vec4<f32> {
    let x = u * paramf(5u);
    return vec4<f32>(keep(x.x), keep(x.y), keep(x.z), keep(x.w)) + paramf(4u);
}

// What was rounded up to the upper end becomes the lower one.
fn below(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(paramf(6u)), x >= vec4<f32>(paramf(7u)));
}

fn f16_rounded(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        f32_from_f16bits(f16bits_from_f32(x.x)), f32_from_f16bits(f16bits_from_f32(x.y)),
        f32_from_f16bits(f16bits_from_f32(x.z)), f32_from_f16bits(f16bits_from_f32(x.w)),
    );
}

fn bf16_rounded(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        f32_from_bf16bits(bf16bits_from_f32(x.x)), f32_from_bf16bits(bf16bits_from_f32(x.y)),
        f32_from_bf16bits(bf16bits_from_f32(x.z)), f32_from_bf16bits(bf16bits_from_f32(x.w)),
    );
}

fn f16_pairs(x: vec4<f32>) -> vec4<u32> {
    return vec4<u32>(
        f16bits_from_f32(x.x) | (f16bits_from_f32(x.y) << 16u),
        f16bits_from_f32(x.z) | (f16bits_from_f32(x.w) << 16u), 0u, 0u,
    );
}

fn bf16_pairs(x: vec4<f32>) -> vec4<u32> {
    return vec4<u32>(
        bf16bits_from_f32(x.x) | (bf16bits_from_f32(x.y) << 16u),
        bf16bits_from_f32(x.z) | (bf16bits_from_f32(x.w) << 16u), 0u, 0u,
    );
}

// mean + std * z for two pairs by Box-Muller, step by step as in `rng/normal.rs`.
fn gauss(w: vec4<u32>) -> vec4<f32> {
    let z = vec4<f32>(pair(w.xy), pair(w.zw)) * paramf(5u);
    return vec4<f32>(keep(z.x), keep(z.y), keep(z.z), keep(z.w)) + paramf(4u);
}

fn pair(w: vec2<u32>) -> vec2<f32> {
    let whole = f32(w.x >> 16u) * 65536.0 + f32(w.x & 0xffffu);
    let radius = sqrt(-2.0 * ln_unit(whole * 2.3283064365386963e-10 + 1.1641532182693481e-10));
    return radius * cos_sin(w.y >> 8u);
}

// ln x for normal x in (0, 1].
fn ln_unit(x: f32) -> f32 {
    let shifted = bitcast<u32>(x) - 0x3f3504f3u;
    let exponent = f32(bitcast<i32>(shifted) >> 23u);
    let m = bitcast<f32>((shifted & 0x7fffffu) + 0x3f3504f3u);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * 0.11111111)));
    return exponent * 0.6931472 + (2.0 * s + 2.0 * s * series);
}

// Cosine and sine of k / 2^24 turns.
fn cos_sin(k: u32) -> vec2<f32> {
    let quarter = (k + (1u << 21u)) >> 22u;
    let x = f32(bitcast<i32>(k - (quarter << 22u))) * 3.7450704e-7;
    let z = x * x;
    let sine = x - x * z * (0.16666667 - z * (0.008333334 - z * (0.0001984127 - z * 2.7557319e-6)));
    let cosine = 1.0 - z * (0.5 - z * (0.041666668 - z * (0.0013888889
        - z * (2.4801588e-5 - z * 2.7557319e-7))));
    let swap = (quarter & 1u) == 1u;
    let s = bitcast<u32>(select(sine, cosine, swap)) ^ ((quarter & 2u) << 30u);
    let c = bitcast<u32>(select(cosine, sine, swap)) ^ (((quarter + 1u) & 2u) << 30u);
    return vec2<f32>(bitcast<f32>(c), bitcast<f32>(s));
}

// The high half of word * count, plus low; at most 2^32 values.
fn narrow(word: vec2<u32>) -> vec2<u32> {
    let low = vec2<u32>(param(4u), param(5u));
    let count = param(6u);
    let sum = add_l(mul_wide(word.y, count), vec2<u32>(mul_wide(word.x, count).y, 0u));
    return add_l(low, vec2<u32>(select(sum.y, word.y, param(7u) == 1u), 0u));
}

// The high 64 bits of the 128-bit word times count, plus low; a count of 0 means 2^64.
fn wide(w: vec4<u32>) -> vec2<u32> {
    let low = vec2<u32>(param(4u), param(5u));
    let count = vec2<u32>(param(6u), param(7u));
    let carry = mul_long(w.xy, count).zw;
    let product = mul_long(w.zw, count);
    let over = lt_ul(add_l(product.xy, carry), carry);
    let pick = add_l(product.zw, vec2<u32>(select(0u, 1u, over), 0u));
    return add_l(low, select(pick, w.zw, (count.x | count.y) == 0u));
}

// The 128-bit product, low word first.
fn mul_long(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    let low = mul_wide(a.x, b.x);
    let one = add_l(mul_wide(a.x, b.y), vec2<u32>(low.y, 0u));
    let two = add_l(mul_wide(a.y, b.x), vec2<u32>(one.x, 0u));
    let high = add_l(mul_wide(a.y, b.y), vec2<u32>(one.y, 0u));
    return vec4<u32>(low.x, two.x, add_l(high, vec2<u32>(two.y, 0u)));
}

