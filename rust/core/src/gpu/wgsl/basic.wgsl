// Bits, comparisons, selection of values and remainders on f32.
//
// Compilers take a literal infinity or NaN for an error, so they are made from bits in a function;
// they may assume that no float is a NaN, so NaNs are found by their bits as well. The errors
// stated in these files were measured over all of f32 where + - * / and sqrt round correctly.

fn from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

fn inf_() -> f32 {
    return from_bits(0x7f800000u);
}

fn nan_() -> f32 {
    return from_bits(0x7fc00000u);
}

// x, hidden from a compiler that would reassociate the sum or product that made it. No caller
// passes the one value whose last bit this flips.
fn keep(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    return bitcast<f32>(bits ^ select(0u, 1u, bits == 0x7f7ffffdu));
}

// x without the low 12 bits of its fraction: products of two such numbers are exact.
fn high_half(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

fn isnan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn isinf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn isfinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

fn signbit(x: f32) -> bool {
    return (bitcast<u32>(x) >> 31u) != 0u;
}

fn copysign(a: f32, b: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(a) & 0x7fffffffu) | (bitcast<u32>(b) & 0x80000000u));
}

// 0 at both zeros.
fn sign(x: f32) -> f32 {
    return select(copysign(1.0, x), abs(x), x == 0.0 || isnan(x));
}

// Said twice, for `!(a < b)` may be compiled as `a >= b`.
fn ordered_(a: f32, b: f32) -> bool {
    return !isnan(a) && !isnan(b);
}

fn lt(a: f32, b: f32) -> bool {
    return a < b && ordered_(a, b);
}

fn le(a: f32, b: f32) -> bool {
    return a <= b && ordered_(a, b);
}

fn gt(a: f32, b: f32) -> bool {
    return a > b && ordered_(a, b);
}

fn ge(a: f32, b: f32) -> bool {
    return a >= b && ordered_(a, b);
}

fn eq(a: f32, b: f32) -> bool {
    return a == b && ordered_(a, b);
}

fn ne(a: f32, b: f32) -> bool {
    return !eq(a, b);
}

fn both(p: bool, q: bool) -> bool {
    return p && q;
}

fn either(p: bool, q: bool) -> bool {
    return p || q;
}

fn not(p: bool) -> bool {
    return !p;
}

// Of zeros of both signs `max` is 0 and `min` is -0: the bits of equal numbers differ in no
// other case.
fn max(a: f32, b: f32) -> f32 {
    let equal = bitcast<f32>(bitcast<u32>(a) & bitcast<u32>(b));
    let larger = select(select(b, a, a > b), equal, a == b);
    return select(select(larger, b, isnan(b)), a, isnan(a));
}

fn min(a: f32, b: f32) -> f32 {
    let equal = bitcast<f32>(bitcast<u32>(a) | bitcast<u32>(b));
    let smaller = select(select(b, a, a < b), equal, a == b);
    return select(select(smaller, b, isnan(b)), a, isnan(a));
}

fn fmax(a: f32, b: f32) -> f32 {
    return select(select(max(a, b), a, isnan(b)), b, isnan(a));
}

fn fmin(a: f32, b: f32) -> f32 {
    return select(select(min(a, b), a, isnan(b)), b, isnan(a));
}

// a / b. GPUs divide by the reciprocal, which is subnormal, and flushed to 0, for |b| > 2^126: seen
// on NVIDIA's Vulkan, where the quotient of two infinite or huge numbers is then NaN or 0.
fn div(a: f32, b: f32) -> f32 {
    let scale = select(1.0, 0.25, abs(b) > 8.507059e37);
    return (a * scale) / (b * scale);
}

// At most 1.5 ulp.
fn rsqrt(x: f32) -> f32 {
    return 1.0 / sqrt(x);
}

// At most 2 ulp.
fn hypot(a: f32, b: f32) -> f32 {
    let large = fmax(abs(a), abs(b));
    let ratio = div(fmin(abs(a), abs(b)), large);
    let finite = select(large * sqrt(1.0 + ratio * ratio), 0.0, large == 0.0);
    let known = select(finite, nan_(), isnan(a) || isnan(b));
    return select(known, inf_(), isinf(a) || isinf(b));
}

// The fraction of a finite |x| as an integer below 2^24, and the exponent e >= 1 of its last
// bit (|x| = fraction * 2^(e - 150)).
fn split_(x: f32) -> vec2<u32> {
    let bits = bitcast<u32>(x) & 0x7fffffffu;
    let e = bits >> 23u;
    return vec2<u32>((bits & 0x7fffffu) | select(0x800000u, 0u, e == 0u), select(e, 1u, e == 0u));
}

// C's fmod, exact: long division of the fractions, eight bits of the quotient at a time.
fn fmod(a: f32, b: f32) -> f32 {
    if (!isfinite(a) || isnan(b) || b == 0.0) {
        return nan_();
    }
    if (abs(a) < abs(b)) {
        return a;
    }
    let x = split_(a);
    let y = split_(b);
    var rest = x.x % y.x;
    for (var left = x.y - y.y; left > 0u; ) {
        let step = min_u(left, 8u);
        rest = (rest << step) % y.x;
        left -= step;
    }
    if (rest == 0u) {
        return copysign(0.0, a);
    }
    let lift = min_u(countLeadingZeros(rest) - 8u, y.y - 1u);
    let fraction = rest << lift;
    let e = select(y.y - lift, 0u, fraction < 0x800000u);
    return copysign(from_bits((e << 23u) | (fraction & 0x7fffffu)), a);
}

// Python's %.
fn remainder(a: f32, b: f32) -> f32 {
    let r = fmod(a, b);
    if (r == 0.0) {
        return copysign(r, b);
    }
    return select(r, r + b, (r < 0.0) != (b < 0.0));
}

// Python's //, and an infinity or NaN where b is 0.
fn floordiv(a: f32, b: f32) -> f32 {
    let r = fmod(a, b);
    if (isnan(r) || b == 0.0) {
        return select(div(a, b), r, b != 0.0);
    }
    var q = div(a - r, b);
    q -= select(0.0, 1.0, r != 0.0 && (r < 0.0) != (b < 0.0));
    // The quotient is an integer but for its rounding.
    let whole = floor(q);
    return select(select(whole, whole + 1.0, q - whole > 0.5), copysign(0.0, div(a, b)), q == 0.0);
}

fn square(x: f32) -> f32 {
    return x * x;
}
