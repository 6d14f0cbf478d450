// pow, through a logarithm of some 36 bits.

// log2(x) as a sum, the first part of 12 bits, for 0 < x < infinity. With s = f / (2 + f),
// log2(1 + f) = 2/ln2 (s + s^3/3 + ...); s and the product are carried in two parts.
fn log2_pair_(x: f32) -> vec2<f32> {
    let split = log_split_(x);
    let f = split.x;
    let d = keep(2.0 + f);
    let d_high = high_half(d);
    let d_low = f - keep(d_high - 2.0);
    let s = f / d;
    let s_high = high_half(s);
    let s_low = (keep(f - s_high * d_high) - s_high * d_low) / d;
    let z = s * s;
    let p = ((0.33695364 * z + 0.41190842) * z + 0.577079) * z + 0.9617967;
    let exact = s_high * 2.8847656;
    let rest = s * z * p + (s_low * 2.88539 + s_high * 0.0006244568);
    let high = high_half(split.y + (exact + rest));
    return vec2<f32>(high, keep(keep(split.y - high) + exact) + rest);
}

// x^y for 0 < x < infinity and finite y.
fn pow_inside_(x: f32, y: f32) -> f32 {
    let l = log2_pair_(x);
    // Beyond this the result is 0, 1 or infinite already.
    let c = clamp(y, -4e9, 4e9);
    let c_high = high_half(c);
    let high = c_high * l.x;
    let low = c_high * l.y + (c - c_high) * (l.x + l.y);
    let n = clamp(round(high + low), -250.0, 250.0);
    let r = clamp(keep(high - n) + low, -1.0, 1.0);
    let p = (1.4320905e-5 * r + 0.00015452197) * r + 0.0013337967;
    let q = ((p * r + 0.009618087) * r + 0.05550405) * r + 0.2402265;
    return scale_(1.0 + r * (q * r + 0.6931472), i32(n));
}

// C's pow, at most 3 ulp.
fn pow(x: f32, y: f32) -> f32 {
    let a = abs(x);
    let grows = (a > 1.0) == (y > 0.0);
    let edge = a == 0.0 || isinf(a) || isinf(y);
    var result = select(pow_inside_(a, y), select(0.0, inf_(), grows), edge);
    let whole = abs(y) >= 8388608.0 || trunc(y) == y;
    let odd = whole && abs(y) < 16777216.0 && (i32(clamp(y, -2e7, 2e7)) & 1) != 0;
    result = select(result, -result, signbit(x) && odd);
    result = select(result, nan_(), (x < 0.0 && isfinite(x) && !whole) || isnan(x) || isnan(y));
    return select(result, 1.0, x == 1.0 || y == 0.0 || (a == 1.0 && isinf(y)));
}
