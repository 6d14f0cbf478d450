// Error and gamma functions.

// 1 - erf(a) for 0.9 <= a, through a fit of its logarithm; its error is small beside erf(a) only.
fn erf_rest_(a: f32) -> f32 {
    let b = min(a, 4.1);
    let p = (6.6515025e-7 * b + 1.2303594e-5) * b - 0.0003846627;
    let q = ((p * b + 0.0040130913) * b - 0.024812358) * b + 0.10790534;
    return exp(-(((q * b + 0.6336275) * b + 1.129397) * b - 0.00015338225));
}

// At most 1.3 ulp.
fn erf(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.9) {
        let z = a * a;
        let p = ((7.9098674e-5 * z - 0.0008032781) * z + 0.0051912405) * z - 0.026855407;
        return copysign(a + a * (((p * z + 0.11283623) * z - 0.3761263) * z + 0.12837917), x);
    }
    return copysign(1.0 - erf_rest_(a), x);
}

// At most 4.1 ulp. From 1/2 up it is e^(-x^2) times a slow function of x, and the square is taken
// in two parts.
fn erfc(x: f32) -> f32 {
    if (x < 0.5) {
        return 1.0 - erf(x);
    }
    let b = min(x, 20.0);
    let t = (b - 2.0) / (b + 2.0);
    let p = (0.00048326334 * t - 0.00034206684) * t - 0.0017564466;
    let q = ((p * t + 0.0012410427) * t + 0.008835321) * t - 0.008030921;
    let r = ((q * t - 0.054237287) * t + 0.16405119) * t - 0.16602947;
    let slow = ((r * t - 0.092763826) * t + 1.2769784) / (1.0 + 2.0 * b);
    let high = high_half(b);
    let d = (b - high) * (b + high);
    let correction = ((0.041666668 * d - 0.16666667) * d + 0.5) * d * d - d;
    return exp(-high * high) * (slow + slow * correction);
}

// At most 2.5 ulp. With w = -log(1 - x^2), erfinv(x) / x is smooth in w; farther out, in sqrt(w).
fn erfinv(x: f32) -> f32 {
    let a = abs(x);
    if (!(a < 1.0)) {
        return select(nan_(), copysign(inf_(), x), a == 1.0);
    }
    let w = -select(log1p(-a * a), log((1.0 - a) * (1.0 + a)), a > 0.75);
    if (w < 5.0) {
        let v = w - 2.5;
        let p = ((-8.246944e-9 * v + 2.8100304e-8) * v + 4.6005897e-7) * v - 3.5227106e-6;
        let q = ((p * v - 4.9438395e-6) * v + 0.00021857434) * v - 0.0012527553;
        return x * (((q * v - 0.0041776663) * v + 0.24664028) * v + 1.5014094);
    }
    let v = sqrt(w) - 3.0;
    let p = ((0.000121660036 * v - 0.00031183663) * v - 6.815298e-5) * v + 0.0014874939;
    let q = ((p * v - 0.003589684) * v + 0.005686515) * v - 0.007639358;
    return x * (((q * v + 0.0094451755) * v + 1.0016751) * v + 2.8329768);
}

// lgamma(1 + f) for |f| <= 1/2.
fn lgamma_one_(f: f32) -> f32 {
    let p = ((0.1567977 * f - 0.17993565) * f + 0.08086654) * f - 0.083860986;
    let q = ((p * f + 0.12728512) * f - 0.14760768) * f + 0.16953745;
    let r = ((q * f - 0.20719439) * f + 0.27057743) * f - 0.40068865;
    return f * ((r * f + 0.8224671) * f - 0.5772157);
}

// lgamma(2 + f) for |f| <= 1/2.
fn lgamma_two_(f: f32) -> f32 {
    let p = ((-0.00044505333 * f + 0.0005653406) * f - 0.0010887245) * f + 0.002881168;
    let q = ((p * f - 0.0074016703) * f + 0.020581314) * f - 0.06735148;
    return f * ((q * f + 0.32246703) * f + 0.42278433);
}

// lgamma(a) for a >= 1/2.
fn lgamma_positive_(a: f32) -> f32 {
    if (a < 1.5) {
        return select(lgamma_one_(a - 1.0), 0.0, a == 1.0);
    }
    if (a < 8.0) {
        var y = a;
        var product = 1.0;
        while (y >= 2.5) {
            y -= 1.0;
            product *= y;
        }
        return log(product) + lgamma_two_(y - 2.0);
    }
    let z = 1.0 / a;
    let series = z * (0.083333336 - z * z * (0.0027777778 - z * z * 0.0007936508));
    return select((a - 0.5) * (log(a) - 1.0) + (0.4189385 + series), a, isinf(a));
}

// At most 3.1 ulp for x > 0; for x < 0 an error of 4e-7 beside max(1, |x|, |lgamma(x)|).
fn lgamma(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.5) {
        return lgamma_one_(x) - log(a);
    }
    if (x > 0.0 || isnan(x)) {
        return lgamma_positive_(a);
    }
    // Reflection: Gamma(x) Gamma(-x) = -pi / (x sin(pi x)).
    let r = abs(a - round(a));
    let y = log(3.1415927 / (sin_turn_(r) * a)) - lgamma_positive_(a);
    return select(y, inf_(), r == 0.0 || isinf(a));
}

// sin(pi r) for |r| <= 1/2.
fn sin_turn_(r: f32) -> f32 {
    let near = abs(r) < 0.25;
    let y = quarter_(3.1415927 * select(0.5 - abs(r), abs(r), near), select(1u, 0u, near));
    return copysign(y, r);
}

// cos(pi r) for |r| <= 1/2.
fn cos_turn_(r: f32) -> f32 {
    let near = abs(r) < 0.25;
    return quarter_(3.1415927 * select(0.5 - abs(r), abs(r), near), select(0u, 1u, near));
}

// digamma(x) for x > 0.
fn digamma_positive_(x: f32) -> f32 {
    if (x >= 8.0) {
        let z = 1.0 / x;
        let w = z * z;
        return log(x) - (0.5 * z + w * (0.083333336 - w * (0.008333334 - w * 0.003968254)));
    }
    var y = x;
    var sum = 0.0;
    while (y > 2.0) {
        y -= 1.0;
        sum += 1.0 / y;
    }
    if (y < 1.0) {
        sum = -1.0 / y;
        y += 1.0;
    }
    // The zero near 1.46 is a factor, in two parts.
    let t = y - 1.5;
    let p = ((0.009426948 * t - 0.01612306) * t + 0.018122237) * t - 0.025937086;
    let q = ((p * t + 0.04060445) * t - 0.06202546) * t + 0.09500993;
    let r = ((q * t - 0.14840126) * t + 0.24054156) * t - 0.42362744;
    return sum + (keep(y - 1.4616321) - 1.243815e-8) * (r * t + 0.9510559);
}

// At most 3.2 ulp for x > 0; for x < 0 an error of 4e-7 beside the larger of 1 and its two terms.
// Minus or plus infinity at 0 and -0, NaN at the negative integers.
fn digamma(x: f32) -> f32 {
    if (x > 0.0 || isnan(x)) {
        return digamma_positive_(x);
    }
    if (x == 0.0) {
        return copysign(inf_(), -x);
    }
    let r = x - round(x);
    let y = digamma_positive_(1.0 - x) - 3.1415927 * cos_turn_(r) / sin_turn_(r);
    return select(y, nan_(), r == 0.0 || isinf(x));
}

// trigamma(x) for x > 0.
fn trigamma_positive_(x: f32) -> f32 {
    var sum = 0.0;
    var y = x;
    while (y < 8.0) {
        sum += 1.0 / y / y;
        y += 1.0;
    }
    let z = 1.0 / y;
    let w = z * z;
    return sum + (z + (0.5 * w + z * w * (0.16666667 - w * (0.033333335 - w * 0.023809524))));
}

// At most 6.2 ulp; infinite at 0 and the negative integers.
fn trigamma(x: f32) -> f32 {
    if (x > 0.0 || isnan(x)) {
        return trigamma_positive_(x);
    }
    let s = sin_turn_(x - round(x));
    return select(9.869604 / (s * s) - trigamma_positive_(1.0 - x), inf_(), s == 0.0);
}
