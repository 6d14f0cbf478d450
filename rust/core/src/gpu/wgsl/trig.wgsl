// Circular functions and their inverses. Polynomials are minimax fits of relative error < 2^-28.

// a >= 0 as q pi/2 + r with |r| <= pi/4 (or a little more): r and q mod 4.
fn trig_rest_(a: f32) -> vec2<f32> {
    if (!isfinite(a)) {
        return vec2<f32>(nan_(), 0.0);
    }
    if (a > 200.0) {
        return trig_rest_large_(a);
    }
    // pi/2 in three parts, the first two of 16 bits.
    let n = round(a * 0.63661975);
    let r = keep(keep(a - n * 1.5707703) - n * 2.6063062e-5) - n * 6.0771006e-11;
    return vec2<f32>(r, f32(u32(n) & 3u));
}

// The same by Payne and Hanek's method, in integers: a = m 2^k times those 96 bits of 2/pi that
// matter modulo 4.
fn trig_rest_large_(a: f32) -> vec2<f32> {
    var two_over_pi = array<u32, 8>(
        0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
        0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu
    );
    let s = split_(a);
    let start = s.y - 120u;
    let i = start >> 5u;
    let shift = start & 31u;
    let t0 = two_over_pi[i];
    let t1 = two_over_pi[i + 1u];
    let t2 = two_over_pi[i + 2u];
    let t3 = two_over_pi[i + 3u];
    let w0 = (t0 << shift) | ((t1 >> 1u) >> (31u - shift));
    let w1 = (t1 << shift) | ((t2 >> 1u) >> (31u - shift));
    let w2 = (t2 << shift) | ((t3 >> 1u) >> (31u - shift));
    // Two bits of the quotient, then 62 of its fraction.
    let middle = mul_wide(s.x, w1);
    let low = middle.x + mul_wide(s.x, w2).y;
    let high = s.x * w0 + middle.y + select(0u, 1u, low < middle.x);
    // The fraction as a signed number: from 1/2 up it counts down from the next quarter turn.
    let up = (high >> 29u) & 1u;
    let fraction = vec2<u32>((high << 2u) | (low >> 30u), low << 2u) ^ vec2<u32>(0u - up);
    let r = (f32(fraction.x) * 2.3283064e-10 + f32(fraction.y) * 5.4210109e-20) * 1.5707964;
    return vec2<f32>(select(r, -r, up != 0u), f32(((high >> 30u) + up) & 3u));
}

// sin(q pi/2 + r)
fn quarter_(r: f32, q: u32) -> f32 {
    let z = r * r;
    let s = ((2.8317181e-6 * z - 0.00019853025) * z + 0.008333379) * z - 0.16666667;
    let c = (2.4431425e-5 * z - 0.0013887305) * z + 0.041666646;
    let y = select(r + r * z * s, 1.0 - 0.5 * z + z * z * c, (q & 1u) != 0u);
    return select(y, -y, (q & 2u) != 0u);
}

// At most 2.6 ulp for every x.
fn sin(x: f32) -> f32 {
    let s = trig_rest_(abs(x));
    let y = quarter_(s.x, u32(s.y));
    return select(y, -y, signbit(x));
}

// At most 2.6 ulp for every x.
fn cos(x: f32) -> f32 {
    let s = trig_rest_(abs(x));
    return quarter_(s.x, u32(s.y) + 1u);
}

// At most 3.6 ulp for every x.
fn tan(x: f32) -> f32 {
    let s = trig_rest_(abs(x));
    let z = s.x * s.x;
    let p = (0.004465061 * z - 8.797312e-5) * z + 0.0109737525;
    let q = ((p * z + 0.021229828) * z + 0.05406988) * z + 0.13332577;
    let t = s.x + s.x * z * (q * z + 0.33333352);
    let y = select(t, -1.0 / t, (u32(s.y) & 1u) != 0u);
    return select(y, -y, signbit(x));
}

// asin(v) for z = v^2 <= 1/4.
fn asin_near_(v: f32, z: f32) -> f32 {
    let p = (0.037660766 * z + 0.014335416) * z + 0.03183505;
    return v + v * z * (((p * z + 0.044513687) * z + 0.07500521) * z + 0.1666666);
}

// asin(sqrt((1 - a) / 2)), which is acos(a) / 2, for 1/2 <= a <= 1.
fn half_acos_(a: f32) -> f32 {
    let z = 0.5 * (1.0 - a);
    return select(asin_near_(sqrt(z), z), nan_(), z < 0.0);
}

// At most 2.4 ulp.
fn asin(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.5) {
        return copysign(asin_near_(a, a * a), x);
    }
    return copysign(1.5707964 - (2.0 * half_acos_(a) + 4.371139e-8), x);
}

// At most 1.3 ulp.
fn acos(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.5) {
        return 1.5707964 - (asin_near_(x, x * x) + 4.371139e-8);
    }
    let y = 2.0 * half_acos_(a);
    return select(y, 3.1415927 - (y + 8.742278e-8), x < 0.0);
}

// atan(a) for a >= 0.
fn atan_positive_(a: f32) -> f32 {
    let large = a > 2.4142135;
    let middle = a > 0.41421357;
    var t = select(a, (a - 1.0) / (a + 1.0), middle);
    t = select(t, -1.0 / a, large);
    let z = t * t;
    let p = (-0.06089863 * z + 0.1059912) * z - 0.14244388;
    let y = t * z * ((p * z + 0.19998528) * z - 0.33333316);
    let base = select(select(0.0, 0.7853982, middle), 1.5707964, large);
    return base + (t + (y - base * 2.7827534e-8));
}

// At most 2.1 ulp.
fn atan(x: f32) -> f32 {
    return copysign(atan_positive_(abs(x)), x);
}

// At most 2.5 ulp.
fn atan2(y: f32, x: f32) -> f32 {
    let a = abs(x);
    let b = abs(y);
    var ratio = div(min(a, b), max(a, b));
    ratio = select(ratio, 0.0, a == 0.0 && b == 0.0);
    ratio = select(ratio, 1.0, isinf(a) && isinf(b));
    var angle = atan_positive_(ratio);
    angle = select(angle, 1.5707964 - (angle + 4.371139e-8), b > a);
    angle = select(angle, 3.1415927 - (angle + 8.742278e-8), signbit(x));
    return copysign(angle, y);
}
