// 64-bit integers as vec2<u32>(low, high): signed (suffix _l) and, where it differs, unsigned
// (suffix _ul). They wrap; dividing by zero gives 0.

fn add_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn neg_l(a: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(0u - a.x, ~a.y + select(0u, 1u, a.x == 0u));
}

fn sub_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn mul_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = mul_wide(a.x, b.x);
    return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}

fn negative_l(a: vec2<u32>) -> bool {
    return (a.y >> 31u) != 0u;
}

fn abs_l(a: vec2<u32>) -> vec2<u32> {
    return select(a, neg_l(a), negative_l(a));
}

fn sign_l(a: vec2<u32>) -> vec2<u32> {
    return select(sign_ul(a), vec2<u32>(0xffffffffu), negative_l(a));
}

fn sign_ul(a: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(select(0u, 1u, (a.x | a.y) != 0u), 0u);
}

fn eq_l(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x == b.x && a.y == b.y;
}

fn ne_l(a: vec2<u32>, b: vec2<u32>) -> bool {
    return !eq_l(a, b);
}

fn lt_ul(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn lt_l(a: vec2<u32>, b: vec2<u32>) -> bool {
    let flip = vec2<u32>(0u, 0x80000000u);
    return lt_ul(a ^ flip, b ^ flip);
}

fn le_l(a: vec2<u32>, b: vec2<u32>) -> bool {
    return !lt_l(b, a);
}

fn le_ul(a: vec2<u32>, b: vec2<u32>) -> bool {
    return !lt_ul(b, a);
}

fn gt_l(a: vec2<u32>, b: vec2<u32>) -> bool {
    return lt_l(b, a);
}

fn gt_ul(a: vec2<u32>, b: vec2<u32>) -> bool {
    return lt_ul(b, a);
}

fn ge_l(a: vec2<u32>, b: vec2<u32>) -> bool {
    return !lt_l(a, b);
}

fn ge_ul(a: vec2<u32>, b: vec2<u32>) -> bool {
    return !lt_ul(a, b);
}

fn select_l(f: vec2<u32>, t: vec2<u32>, c: bool) -> vec2<u32> {
    return select(f, t, c);
}

fn max_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, lt_l(a, b));
}

fn max_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, lt_ul(a, b));
}

fn min_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, lt_l(b, a));
}

fn min_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, lt_ul(b, a));
}

fn bitand_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return a & b;
}

fn bitor_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return a | b;
}

fn bitxor_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return a ^ b;
}

fn bitnot_l(a: vec2<u32>) -> vec2<u32> {
    return ~a;
}

// Shifting by 64 or more (a negative count is one of those) gives 0, or the sign.
fn shl_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let n = b.x & 31u;
    let inside = vec2<u32>(a.x << n, (a.y << n) | ((a.x >> 1u) >> (31u - n)));
    let result = select(inside, vec2<u32>(0u, a.x << n), b.x > 31u);
    return select(result, vec2<u32>(0u), b.y != 0u || b.x > 63u);
}

fn shr_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let n = b.x & 31u;
    let inside = vec2<u32>((a.x >> n) | ((a.y << 1u) << (31u - n)), a.y >> n);
    let result = select(inside, vec2<u32>(a.y >> n, 0u), b.x > 31u);
    return select(result, vec2<u32>(0u), b.y != 0u || b.x > 63u);
}

fn shr_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let flip = vec2<u32>(select(0u, 0xffffffffu, negative_l(a)));
    return shr_ul(a ^ flip, b) ^ flip;
}

// Quotient and remainder, a bit at a time from the first that is set.
fn divide_ul(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    if (a.y == 0u && b.y == 0u) {
        return vec4<u32>(truncdiv_u(a.x, b.x), 0u, fmod_u(a.x, b.x), 0u);
    }
    if (lt_ul(a, b) || (b.x | b.y) == 0u) {
        return vec4<u32>(0u, 0u, select(a, vec2<u32>(0u), (b.x | b.y) == 0u));
    }
    var quotient = vec2<u32>(0u);
    var rest = a;
    var i = leading_zeros_l(b) - leading_zeros_l(a);
    var part = shl_l(b, vec2<u32>(i, 0u));
    loop {
        if (le_ul(part, rest)) {
            rest = sub_l(rest, part);
            quotient |= select(vec2<u32>(0u, 1u << (i & 31u)), vec2<u32>(1u << i, 0u), i < 32u);
        }
        if (i == 0u) {
            break;
        }
        i -= 1u;
        part = vec2<u32>((part.x >> 1u) | (part.y << 31u), part.y >> 1u);
    }
    return vec4<u32>(quotient, rest);
}

fn leading_zeros_l(a: vec2<u32>) -> u32 {
    return select(countLeadingZeros(a.y), 32u + countLeadingZeros(a.x), a.y == 0u);
}

fn truncdiv_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return divide_ul(a, b).xy;
}

fn truncdiv_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let q = divide_ul(abs_l(a), abs_l(b)).xy;
    return select(q, neg_l(q), negative_l(a) != negative_l(b));
}

fn fmod_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return divide_ul(a, b).zw;
}

fn fmod_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let r = divide_ul(abs_l(a), abs_l(b)).zw;
    return select(r, neg_l(r), negative_l(a));
}

fn remainder_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return fmod_ul(a, b);
}

fn remainder_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let r = fmod_l(a, b);
    return select(r, add_l(r, b), (r.x | r.y) != 0u && negative_l(r) != negative_l(b));
}

fn floordiv_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return truncdiv_ul(a, b);
}

fn floordiv_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let d = divide_ul(abs_l(a), abs_l(b));
    let down = negative_l(a) != negative_l(b);
    // Rounding down is the complement where something is left.
    return select(d.xy, select(neg_l(d.xy), ~d.xy, (d.z | d.w) != 0u), down);
}

fn pow_ul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    var result = vec2<u32>(1u, 0u);
    var base = a;
    var left = b;
    while ((left.x | left.y) != 0u) {
        result = select(result, mul_l(result, base), (left.x & 1u) != 0u);
        base = mul_l(base, base);
        left = vec2<u32>((left.x >> 1u) | (left.y << 31u), left.y >> 1u);
    }
    return result;
}

// A negative power is 0 unless the base is 1 or -1.
fn pow_l(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let unit = eq_l(abs_l(a), vec2<u32>(1u, 0u));
    return select(pow_ul(a, b), vec2<u32>(0u), negative_l(b) && !unit);
}

fn l_from_u32(a: u32) -> vec2<u32> {
    return vec2<u32>(a, 0u);
}

fn l_from_i32(a: i32) -> vec2<u32> {
    return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u));
}

fn i32_from_l(a: vec2<u32>) -> i32 {
    return bitcast<i32>(a.x);
}

fn u32_from_l(a: vec2<u32>) -> u32 {
    return a.x;
}

// The integer part of a finite |x|, modulo 2^64.
fn whole_ul(x: f32) -> vec2<u32> {
    let s = split_(x);
    let fraction = vec2<u32>(s.x, 0u);
    let small = shr_ul(fraction, vec2<u32>(150u - s.y, 0u));
    return select(shl_l(fraction, vec2<u32>(s.y - 150u, 0u)), small, s.y < 150u);
}

// Truncates; NaN and what does not fit give the least integer, as x86 does.
fn l_from_f32(x: f32) -> vec2<u32> {
    let whole = whole_ul(x);
    let signed = select(whole, neg_l(whole), signbit(x));
    return select(vec2<u32>(0u, 0x80000000u), signed, abs(x) < 9223372036854775808.0);
}

// Truncates; a negative number wraps; NaN and what does not fit give 2^63.
fn ul_from_f32(x: f32) -> vec2<u32> {
    let inside = !signbit(x) && x < 18446744073709551616.0;
    return select(l_from_f32(x), whole_ul(x), inside && !isnan(x));
}

// To the nearest, ties to even.
fn f32_from_ul(a: vec2<u32>) -> f32 {
    let n = leading_zeros_l(a);
    let top = shl_l(a, vec2<u32>(n, 0u));
    // 24 bits are kept; of the others it matters whether they are above, at or below a half.
    let rest = (top.y & 0xffu) * 2u + select(0u, 1u, top.x != 0u);
    let kept = top.y >> 8u;
    let up = rest > 0x100u || (rest == 0x100u && (kept & 1u) != 0u);
    // A carry out of the fraction steps the exponent, which is what it should do.
    let bits = ((189u - n) << 23u) + kept + select(0u, 1u, up);
    return select(bitcast<f32>(bits), 0.0, (a.x | a.y) == 0u);
}

fn f32_from_l(a: vec2<u32>) -> f32 {
    let size = f32_from_ul(abs_l(a));
    return select(size, -size, negative_l(a));
}

fn zero_l() -> vec2<u32> {
    return vec2<u32>(0u);
}

fn pos_l(a: vec2<u32>) -> vec2<u32> {
    return a;
}

fn abs_ul(a: vec2<u32>) -> vec2<u32> {
    return a;
}

// Casts of x as Rust makes them: truncated, the nearest integer that fits, 0 for NaN.
fn saturated_l(x: f32) -> vec2<u32> {
    let most = vec2<u32>(0xffffffffu, 0x7fffffffu);
    let finite = select(l_from_f32(x), most, x >= 9223372036854775808.0);
    return select(finite, vec2<u32>(0u), isnan(x));
}

fn saturated_ul(x: f32) -> vec2<u32> {
    let finite = select(whole_ul(x), vec2<u32>(0xffffffffu), x >= 18446744073709551616.0);
    return select(finite, vec2<u32>(0u), isnan(x) || x <= 0.0);
}

// The low word of `saturated_l`.
fn wrapped_i(x: f32) -> i32 {
    if (abs(x) < 2147483648.0 && !isnan(x)) {
        return i32(x);
    }
    return i32_from_l(saturated_l(x));
}

// Cut to 24 bits, the last of which is set where others were lost: rounding that to fewer bits
// rounds the integer itself.
fn f32_sticky_from_ul(a: vec2<u32>) -> f32 {
    let n = leading_zeros_l(a);
    let top = shl_l(a, vec2<u32>(n, 0u));
    let lost = (top.y & 0xffu) != 0u || top.x != 0u;
    let bits = (((189u - n) << 23u) + (top.y >> 8u)) | select(0u, 1u, lost);
    return select(bitcast<f32>(bits), 0.0, (a.x | a.y) == 0u);
}

fn f32_sticky_from_l(a: vec2<u32>) -> f32 {
    let size = f32_sticky_from_ul(abs_l(a));
    return select(size, -size, negative_l(a));
}
