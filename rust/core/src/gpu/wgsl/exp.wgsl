// Exponentials and hyperbolic functions. Polynomials are minimax fits of relative error < 2^-27.

fn pow2_(n: i32) -> f32 {
    return bitcast<f32>(u32(n + 127) << 23u);
}

// y * 2^n for |n| <= 250, in two steps, since 2^n need not be a float.
fn scale_(y: f32, n: i32) -> f32 {
    let half = n >> 1u;
    return keep(y * pow2_(half)) * pow2_(n - half);
}

// (e^r - 1 - r) / r^2 for |r| <= 0.35.
fn exp_tail_(r: f32) -> f32 {
    let p = (0.00019742691 * r + 0.0013935934) * r + 0.008333569;
    return ((p * r + 0.041666456) * r + 0.16666666) * r + 0.5;
}

// x - n ln 2, where n * 0.693359375 is exact. Joining the two products would lose 6 bits.
fn exp_rest_(x: f32, n: f32) -> f32 {
    return keep(x - n * 0.693359375) + n * 0.00021219444;
}

// e^x * 2^shift, -2 < shift < 2.
fn exp_times_(x: f32, shift: i32) -> f32 {
    let c = clamp(x, -105.0, 90.0);
    let n = round(c * 1.442695);
    let r = exp_rest_(c, n);
    let y = 1.0 + (r + r * r * exp_tail_(r));
    return select(scale_(y, i32(n) + shift), x, isnan(x));
}

// At most 1.3 ulp.
fn exp(x: f32) -> f32 {
    return exp_times_(x, 0);
}

// At most 1.3 ulp.
fn exp2(x: f32) -> f32 {
    let c = clamp(x, -151.0, 129.0);
    let n = round(c);
    let r = (c - n) * 0.6931472;
    let y = 1.0 + (r + r * r * exp_tail_(r));
    return select(scale_(y, i32(n)), x, isnan(x));
}

// At most 1.5 ulp.
fn expm1(x: f32) -> f32 {
    let c = clamp(x, -18.0, 90.0);
    let n = round(c * 1.442695);
    let r = exp_rest_(c, n);
    let y = r + r * r * exp_tail_(r);
    let result = scale_(y + (1.0 - pow2_(-i32(min(n, 64.0)))), i32(n));
    return select(result, x, x == 0.0 || isnan(x));
}

// At most 1.7 ulp.
fn sinh(x: f32) -> f32 {
    let a = abs(x);
    if (a < 1.0) {
        let z = a * a;
        let p = ((2.7822132e-6 * z + 0.00019842896) * z + 0.0083333105) * z + 0.16666667;
        return copysign(a + a * z * p, x);
    }
    let half = exp_times_(a, -1);
    return copysign(half - 0.25 / half, x);
}

// At most 1.5 ulp.
fn cosh(x: f32) -> f32 {
    let half = exp_times_(abs(x), -1);
    return half + 0.25 / half;
}

// At most 1.5 ulp.
fn tanh(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.625) {
        let z = a * a;
        let p = (-0.008190013 * z + 0.021706894) * z - 0.05394818;
        let q = 0.0021526811 * z * z * z + p;
        return copysign(a + a * z * ((q * z + 0.13333221) * z - 0.3333333), x);
    }
    return copysign(1.0 - 2.0 / (exp(2.0 * a) + 1.0), x);
}
