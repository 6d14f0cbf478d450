// Logarithms and what is built on them. Polynomials are minimax fits of relative error < 2^-27.

// f and e of x = (1 + f) 2^e with 1 + f in [0.7071, 1.4142], for 0 < x < infinity.
fn log_split_(x: f32) -> vec2<f32> {
    // The bits of a subnormal number count multiples of 2^-149.
    let tiny = bitcast<u32>(x) < 0x00800000u;
    let bits = select(bitcast<u32>(x), bitcast<u32>(f32(bitcast<u32>(x))), tiny);
    let e = bitcast<i32>(bits - 0x3f3504f3u) >> 23u;
    let m = bitcast<f32>(bits - (bitcast<u32>(e) << 23u));
    return vec2<f32>(m - 1.0, f32(e - select(0, 149, tiny)));
}

// log(1 + f) - f for f from `log_split_`.
fn log_tail_(f: f32) -> f32 {
    let p = ((0.06792481 * f - 0.117280796) * f + 0.11894763) * f - 0.12396828;
    let q = ((p * f + 0.14217593) * f - 0.16668487) * f + 0.20002237;
    return f * f * f * ((q * f - 0.25) * f + 0.3333331) - 0.5 * f * f;
}

// f + tail + e ln 2
fn log_sum_(f: f32, tail: f32, e: f32) -> f32 {
    return keep(f + (tail - e * 0.00021219444)) + e * 0.693359375;
}

// A logarithm's value y at x, with those at 0, below 0, infinity and NaN put right.
fn log_edges_(x: f32, y: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let above = select(y, x, bits >= 0x7f800000u);
    let below = select(nan_(), -inf_(), (bits << 1u) == 0u);
    return select(above, below, bits == 0u || bits >= 0x80000000u);
}

// At most 1 ulp.
fn log(x: f32) -> f32 {
    let s = log_split_(x);
    return log_edges_(x, log_sum_(s.x, log_tail_(s.x), s.y));
}

// At most 1 ulp.
fn log1p(x: f32) -> f32 {
    let u = keep(1.0 + x);
    let s = log_split_(u);
    let lost = (x - keep(u - 1.0)) / u;
    // Near 0, x itself is f.
    let near = s.y == 0.0;
    let f = select(s.x, x, near);
    let tail = log_tail_(f) + select(lost, 0.0, near);
    return select(log_edges_(u, log_sum_(f, tail, s.y)), x, x == 0.0);
}

// At most 2.3 ulp; powers of 2 are exact.
fn log2(x: f32) -> f32 {
    let s = log_split_(x);
    return log_edges_(x, (s.x + log_tail_(s.x)) * 1.442695 + s.y);
}

// At most 2.6 ulp; 0.30102539 has 12 bits, so its product is exact.
fn log10(x: f32) -> f32 {
    let s = log_split_(x);
    let near = (s.x + log_tail_(s.x)) * 0.4342945;
    return log_edges_(x, keep(near + s.y * 4.605039e-6) + s.y * 0.30102539);
}

// At most 1.7 ulp.
fn asinh(x: f32) -> f32 {
    let a = abs(x);
    if (a > 1e9) {
        return copysign(log(a) + 0.6931472, x);
    }
    return copysign(log1p(a + a * a / (1.0 + sqrt(1.0 + a * a))), x);
}

// At most 2.5 ulp.
fn acosh(x: f32) -> f32 {
    if (x > 1e9) {
        return log(x) + 0.6931472;
    }
    let t = x - 1.0;
    return select(log1p(t + sqrt(t * (t + 2.0))), nan_(), x < 1.0);
}

// At most 2 ulp.
fn atanh(x: f32) -> f32 {
    let a = abs(x);
    let y = 0.5 * log1p(2.0 * a / (1.0 - a));
    return select(select(copysign(y, x), nan_(), a > 1.0), copysign(inf_(), x), a == 1.0);
}

// At most 1.1 ulp, or an error of 1e-7 where the sum cancels.
fn logaddexp(a: f32, b: f32) -> f32 {
    let y = log1p(exp(-abs(a - b)));
    return max(a, b) + select(y, 0.6931472, a == b);
}

// At most 2 ulp; 0 where a is 0, unless b is NaN.
fn xlogy(a: f32, b: f32) -> f32 {
    return select(a * log(b), 0.0, a == 0.0 && !isnan(b));
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

// Infinite where exp(x) is.
fn softplus(x: f32) -> f32 {
    return log1p(exp(x));
}
