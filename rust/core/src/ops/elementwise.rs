//! The elementwise table. A row is: name, class, signature, doc line, names, the value, its derivatives.
//! `float` and `d` texts use the functions of `cpu/math` and `gpu/prelude`; `int` texts are calls only.
//! Where a text calls a domain's edge (0, infinities, NaN), the result is PyTorch's.
//! `d` gives derivatives, which the result's gradient is multiplied with; `d(g)` gives the gradients themselves,
//! for rows that choose what flows: where nothing does, an infinite `g` leaves 0 and not NaN.

use crate::rows;

use super::{Bind, OpDef};

const UNARY: &str = "input: Tensor";
const BINARY: &str = "input: Tensor, other: Tensor";
const SCALED: &str = "input: Tensor, other: Tensor, *, alpha: Number = 1";
const IN: u8 = Bind::FUNCTION | Bind::METHOD | Bind::INPLACE;
const CORE: u8 = Bind::PRIVATE;

pub static OPS: &[&OpDef] = ROWS;

rows! {
    // Exponentials and logarithms.
    exp: Float, UNARY, "e to the power of each element", [] [x] [] -> o float { exp(x) } d { x => o } .bind(IN);
    exp2: Float, UNARY, "2 to the power of each element", [] [x] [] -> o float { exp2(x) }
        d { x => o * 0.6931471805599453 } .bind(IN);
    expm1: Float, UNARY, "exp(x) - 1, accurate near 0", [] [x] [] -> o float { expm1(x) } d { x => o + 1.0 } .bind(IN);
    log: Float, UNARY, "Natural logarithm", [] [x] [] -> o float { log(x) } d { x => 1.0 / x } .domain(0.1, 5.0).bind(IN);
    log2: Float, UNARY, "Logarithm to base 2", [] [x] [] -> o float { log2(x) }
        d { x => 1.4426950408889634 / x } .domain(0.1, 5.0).bind(IN);
    log10: Float, UNARY, "Logarithm to base 10", [] [x] [] -> o float { log10(x) }
        d { x => 0.4342944819032518 / x } .domain(0.1, 5.0).bind(IN);
    log1p: Float, UNARY, "log(1 + x), accurate near 0", [] [x] [] -> o float { log1p(x) }
        d { x => 1.0 / (1.0 + x) } .domain(-0.9, 5.0).bind(IN);
    logaddexp: Float, BINARY, "log(exp(x) + exp(y)) without overflow", [] [x other] [] -> o float { logaddexp(x, other) }
        d { x => 1.0 / (1.0 + exp(other - x)), other => 1.0 / (1.0 + exp(x - other)) };
    xlogy: Float, BINARY, "x * log(y), 0 where x is 0", [] [x other] [] -> o float { xlogy(x, other) }
        d(g) { x => select(xlogy(g, other), 0.0, both(eq(x, 0.0), le(other, 0.0))), other => g * (x / other) } .domain(0.1, 5.0).bind(IN);

    // Powers and roots.
    sqrt: Float, UNARY, "Square root", [] [x] [] -> o float { sqrt(x) } d { x => 0.5 / o } .domain(0.1, 5.0).bind(IN);
    rsqrt: Float, UNARY, "1 / sqrt(x)", [] [x] [] -> o float { rsqrt(x) } d { x => -0.5 * (o * o * o) } .domain(0.1, 5.0).bind(IN);
    square: Arith, UNARY, "x * x", [] [x] [] -> o float { x * x } int { mul(x, x) } d { x => 2.0 * x } .bind(IN);
    reciprocal: Float, UNARY, "1 / x", [] [x] [] -> o float { 1.0 / x } d { x => -(o * o) } .domain(0.3, 3.0).bind(IN);
    pow: Arith, "input: Tensor, exponent: Tensor", "x to the power of y", [] [x y] [] -> o float { pow(x, y) } int { pow(x, y) }
        d(g) { x => select(g * (y * pow(x, select(y - 1.0, 0.0, eq(y, 0.0)))), 0.0, eq(y, 0.0)),
            y => g * select(o * log(x), 0.0, both(eq(x, 0.0), ge(y, 0.0))) } .named("power").public("pow").domain(0.2, 3.0).bind(CORE);
    hypot: Float, BINARY, "sqrt(x^2 + y^2) without overflow", [] [x other] [] -> o float { hypot(x, other) }
        d { x => x / o, other => other / o };

    // Trigonometry.
    sin: Float, UNARY, "Sine of radians", [] [x] [] -> o float { sin(x) } d { x => cos(x) } .bind(IN);
    cos: Float, UNARY, "Cosine of radians", [] [x] [] -> o float { cos(x) } d { x => -sin(x) } .bind(IN);
    tan: Float, UNARY, "Tangent of radians", [] [x] [] -> o float { tan(x) } d { x => 1.0 + o * o } .domain(-1.2, 1.2).bind(IN);
    asin: Float, UNARY, "Inverse sine, in radians", [] [x] [] -> o float { asin(x) } d { x => rsqrt(1.0 - x * x) } .domain(-0.9, 0.9).bind(IN);
    acos: Float, UNARY, "Inverse cosine, in radians", [] [x] [] -> o float { acos(x) } d { x => -rsqrt(1.0 - x * x) } .domain(-0.9, 0.9).bind(IN);
    atan: Float, UNARY, "Inverse tangent, in radians", [] [x] [] -> o float { atan(x) } d { x => 1.0 / (1.0 + x * x) } .bind(IN);
    atan2: Float, BINARY, "Angle of the point (y, x), y first", [] [x other] [] -> o float { atan2(x, other) }
        d { x => select(other / hypot(x, other) / hypot(x, other), 0.0, both(eq(x, 0.0), eq(other, 0.0))),
            other => select(-(x / hypot(x, other) / hypot(x, other)), 0.0, both(eq(x, 0.0), eq(other, 0.0))) } .bind(IN);
    sinh: Float, UNARY, "Hyperbolic sine", [] [x] [] -> o float { sinh(x) } d { x => cosh(x) } .bind(IN);
    cosh: Float, UNARY, "Hyperbolic cosine", [] [x] [] -> o float { cosh(x) } d { x => sinh(x) } .bind(IN);
    tanh: Float, UNARY, "Hyperbolic tangent", [] [x] [] -> o float { tanh(x) } d { x => 1.0 - o * o } .bind(IN);
    asinh: Float, UNARY, "Inverse hyperbolic sine", [] [x] [] -> o float { asinh(x) } d { x => rsqrt(x * x + 1.0) } .bind(IN);
    acosh: Float, UNARY, "Inverse hyperbolic cosine", [] [x] [] -> o float { acosh(x) } d { x => rsqrt(x * x - 1.0) } .domain(1.2, 5.0).bind(IN);
    atanh: Float, UNARY, "Inverse hyperbolic tangent", [] [x] [] -> o float { atanh(x) } d { x => 1.0 / (1.0 - x * x) } .domain(-0.9, 0.9).bind(IN);
    deg2rad: Float, UNARY, "Degrees to radians", [] [x] [] -> o float { x * 0.017453292519943295 } d { x => 0.017453292519943295 } .bind(IN);
    rad2deg: Float, UNARY, "Radians to degrees", [] [x] [] -> o float { x * 57.29577951308232 } d { x => 57.29577951308232 } .bind(IN);

    // Special functions.
    erf: Float, UNARY, "Error function", [] [x] [] -> o float { erf(x) } d { x => 1.1283791670955126 * exp(-(x * x)) } .bind(IN);
    erfc: Float, UNARY, "1 - erf(x), accurate for large x", [] [x] [] -> o float { erfc(x) } d { x => -1.1283791670955126 * exp(-(x * x)) } .bind(IN);
    erfinv: Float, UNARY, "Inverse of erf on (-1, 1)", [] [x] [] -> o float { erfinv(x) }
        d { x => 0.886226925452758 * exp(o * o) } .domain(-0.9, 0.9).ulp(32.0).bind(IN);
    lgamma: Float, UNARY, "log |Gamma(x)|", [] [x] [] -> o float { lgamma(x) } d { x => digamma(x) } .domain(0.3, 5.0).ulp(64.0).bind(IN);
    digamma: Float, UNARY, "Derivative of lgamma", [] [x] [] -> o float { digamma(x) } d { x => trigamma(x) } .domain(0.3, 5.0).ulp(64.0).bind(IN);
    trigamma: Float, UNARY, "Derivative of digamma", [] [x] [] -> o float { trigamma(x) } .domain(0.3, 5.0).ulp(64.0)
        .bind(CORE).missing_grad("the third derivative of lgamma is not implemented");
    sigmoid: Float, UNARY, "1 / (1 + exp(-x))", [] [x] [] -> o float { sigmoid(x) } d { x => o * (1.0 - o) } .bind(IN);

    // Arithmetic.
    add: Arith, SCALED, "x + alpha * y", [] [x other] [alpha] -> o float { x + alpha * other } int { add(x, mul(alpha, other)) }
        d { x => 1.0, other => alpha } .bind(IN);
    sub: Number, SCALED, "x - alpha * y", [] [x other] [alpha] -> o float { x - alpha * other } int { sub(x, mul(alpha, other)) }
        d { x => 1.0, other => -alpha } .bind(IN);
    mul: Arith, BINARY, "x * y", [] [x other] [] -> o float { x * other } int { mul(x, other) } d { x => other, other => x } .bind(IN);
    div: Float, BINARY, "x / y", [] [x other] [] -> o float { div(x, other) } d { x => 1.0 / other, other => -(div(x, other) / other) }
        .named("true_divide").domain(0.3, 3.0).bind(IN);
    floor_divide: Arith, BINARY, "x / y rounded down", [] [x other] [] -> o float { floordiv(x, other) } int { floordiv(x, other) }
        d(g) { x => 0.0, other => 0.0 } .domain(0.3, 3.0).bind(IN);
    div_trunc: Arith, BINARY, "x / y rounded towards 0", [] [x other] [] -> o float { trunc(div(x, other)) } int { truncdiv(x, other) }
        d(g) { x => 0.0, other => 0.0 } .domain(0.3, 3.0).bind(CORE).public("div");
    remainder: Arith, BINARY, "Python's x % y: the sign of y", [] [x other] [] -> o float { remainder(x, other) } int { remainder(x, other) }
        d { x => 1.0, other => -floordiv(x, other) } .domain(0.3, 3.0).bind(IN);
    fmod: Arith, BINARY, "C's fmod: the sign of x", [] [x other] [] -> o float { fmod(x, other) } int { fmod(x, other) }
        d { x => 1.0, other => -trunc(div(x, other)) } .domain(0.3, 3.0).bind(IN);
    neg: Number, UNARY, "-x", [] [x] [] -> o float { -x } int { neg(x) } d { x => -1.0 } .bind(IN);
    abs: Arith, UNARY, "|x|", [] [x] [] -> o float { abs(x) } int { abs(x) } d { x => sign(x) } .bind(IN);
    sign: Arith, UNARY, "-1, 0 or 1", [] [x] [] -> o float { sign(x) } int { sign(x) } d(g) { x => 0.0 } .bind(IN);
    copysign: Float, BINARY, "|x| with the sign of y", [] [x other] [] -> o float { copysign(x, other) }
        d(g) { x => g * select(o / x, 0.0, eq(x, 0.0)), other => 0.0 } .bind(IN);
    maximum: Arith, BINARY, "The larger; NaN if either is NaN", [] [x other] [] -> o float { max(x, other) } int { max(x, other) }
        d(g) { x => select(select(g, g * 0.5, eq(x, other)), 0.0, lt(x, other)),
            other => select(select(g, g * 0.5, eq(x, other)), 0.0, gt(x, other)) };
    minimum: Arith, BINARY, "The smaller; NaN if either is NaN", [] [x other] [] -> o float { min(x, other) } int { min(x, other) }
        d(g) { x => select(select(g, g * 0.5, eq(x, other)), 0.0, gt(x, other)),
            other => select(select(g, g * 0.5, eq(x, other)), 0.0, lt(x, other)) };
    fmax: Arith, BINARY, "The larger, ignoring NaN", [] [x other] [] -> o float { fmax(x, other) } int { max(x, other) }
        d(g) { x => select(0.0, g, either(ge(x, other), isnan(other))),
            other => select(g, 0.0, either(ge(x, other), isnan(other))) };
    fmin: Arith, BINARY, "The smaller, ignoring NaN", [] [x other] [] -> o float { fmin(x, other) } int { min(x, other) }
        d(g) { x => select(0.0, g, either(le(x, other), isnan(other))),
            other => select(g, 0.0, either(le(x, other), isnan(other))) };
    lerp: Float, "input: Tensor, end: Tensor, weight: Tensor", "x + w * (y - x)", [] [x end w] [] -> o
        float { select(x + w * (end - x), end - (end - x) * (1.0 - w), ge(abs(w), 0.5)) }
        d { x => 1.0 - w, end => w, w => end - x } .bind(IN);
    addcmul: Arith, "input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1", "x + value * a * b",
        [] [x a b] [value] -> o float { x + value * a * b } int { add(x, mul(value, mul(a, b))) }
        d { x => 1.0, a => value * b, b => value * a } .bind(IN);
    addcdiv: Float, "input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1", "x + value * a / b",
        [] [x a b] [value] -> o float { x + value * a / b }
        d { x => 1.0, a => value / b, b => -(value * a / (b * b)) } .domain(0.3, 3.0).bind(IN);

    // Rounding.
    floor: Arith, UNARY, "Rounded down", [] [x] [] -> o float { floor(x) } int { pos(x) } d(g) { x => 0.0 } .bind(IN);
    ceil: Arith, UNARY, "Rounded up", [] [x] [] -> o float { ceil(x) } int { pos(x) } d(g) { x => 0.0 } .bind(IN);
    trunc: Arith, UNARY, "Rounded towards 0", [] [x] [] -> o float { trunc(x) } int { pos(x) } d(g) { x => 0.0 } .bind(IN);
    round: Arith, UNARY, "Rounded to the nearest, halves to even", [] [x] [] -> o float { round(x) } int { pos(x) } d(g) { x => 0.0 }
        .named("round_even").public("round").bind(CORE);
    frac: Arith, UNARY, "x - trunc(x)", [] [x] [] -> o float { x - trunc(x) } d { x => 1.0 } .bind(IN);
    clamp_numbers: Arith, "input: Tensor, min: Number = -inf, max: Number = inf", "min(max(x, lo), hi)", [] [x] [lo hi] -> o
        float { min(max(x, lo), hi) } int { min(max(x, lo), hi) }
        d(g) { x => select(0.0, g, both(ge(x, lo), le(x, hi))) } .bind(CORE).public("clamp");

    // Comparison and logic.
    eq: Compare, BINARY, "x == y", [] [x other] [] -> o float { eq(x, other) } int { eq(x, other) };
    ne: Compare, BINARY, "x != y", [] [x other] [] -> o float { ne(x, other) } int { ne(x, other) };
    lt: Compare, BINARY, "x < y", [] [x other] [] -> o float { lt(x, other) } int { lt(x, other) };
    le: Compare, BINARY, "x <= y", [] [x other] [] -> o float { le(x, other) } int { le(x, other) };
    gt: Compare, BINARY, "x > y", [] [x other] [] -> o float { gt(x, other) } int { gt(x, other) };
    ge: Compare, BINARY, "x >= y", [] [x other] [] -> o float { ge(x, other) } int { ge(x, other) };
    eq_or_nan: Compare, BINARY, "x == y, or x is NaN", [] [x other] [] -> o float { either(eq(x, other), isnan(x)) }
        int { eq(x, other) } .bind(CORE);
    isnan: Compare, UNARY, "Whether x is NaN", [] [x] [] -> o float { isnan(x) } int { ne(x, x) };
    isinf: Compare, UNARY, "Whether x is an infinity", [] [x] [] -> o float { isinf(x) } int { ne(x, x) };
    isfinite: Compare, UNARY, "Whether x is neither NaN nor infinite", [] [x] [] -> o float { isfinite(x) } int { eq(x, x) };
    isposinf: Compare, UNARY, "Whether x is +infinity", [] [x] [] -> o float { both(isinf(x), gt(x, 0.0)) } int { ne(x, x) };
    isneginf: Compare, UNARY, "Whether x is -infinity", [] [x] [] -> o float { both(isinf(x), lt(x, 0.0)) } int { ne(x, x) };
    signbit: Compare, UNARY, "Whether the sign bit is set", [] [x] [] -> o float { signbit(x) } int { lt(x, zero()) };
    logical_not: Compare, UNARY, "x == 0", [] [x] [] -> o float { eq(x, 0.0) } int { eq(x, zero()) };
    logical_and: Compare, BINARY, "Both non-zero", [] [x other] [] -> o float { both(ne(x, 0.0), ne(other, 0.0)) }
        int { both(ne(x, zero()), ne(other, zero())) };
    logical_or: Compare, BINARY, "Either non-zero", [] [x other] [] -> o float { either(ne(x, 0.0), ne(other, 0.0)) }
        int { either(ne(x, zero()), ne(other, zero())) };
    logical_xor: Compare, BINARY, "Exactly one non-zero", [] [x other] [] -> o
        float { either(both(ne(x, 0.0), eq(other, 0.0)), both(eq(x, 0.0), ne(other, 0.0))) }
        int { either(both(ne(x, zero()), eq(other, zero())), both(eq(x, zero()), ne(other, zero()))) };
    bitwise_and: Bits, BINARY, "Bitwise and", [] [x other] [] -> o int { bitand(x, other) } .bind(IN);
    bitwise_or: Bits, BINARY, "Bitwise or", [] [x other] [] -> o int { bitor(x, other) } .bind(IN);
    bitwise_xor: Bits, BINARY, "Bitwise exclusive or", [] [x other] [] -> o int { bitxor(x, other) } .bind(IN);
    bitwise_not_int: Ints, UNARY, "Bitwise complement of integers", [] [x] [] -> o int { bitnot(x) } .bind(CORE).public("bitwise_not");
    bitwise_left_shift: Ints, BINARY, "x << y", [] [x other] [] -> o int { shl(x, other) } .bind(IN);
    bitwise_right_shift: Ints, BINARY, "x >> y", [] [x other] [] -> o int { shr(x, other) } .bind(IN);
    choose: Masked, "condition: Tensor, input: Tensor, other: Tensor", "x where the condition holds, y elsewhere",
        [c] [x other] [] -> o float { select(other, x, c) } int { select(other, x, c) }
        d(g) { x => select(0.0, g, c), other => select(g, 0.0, c) } .named("where").bind(Bind::FUNCTION);

    // Activations.
    relu: Arith, UNARY, "max(x, 0)", [] [x] [] -> o float { max(x, 0.0) } int { max(x, zero()) }
        d(g) { x => select(g, 0.0, le(o, 0.0)) } .bind(IN);
    relu6: Arith, UNARY, "min(max(x, 0), 6)", [] [x] [] -> o float { min(max(x, 0.0), 6.0) }
        d(g) { x => select(g, 0.0, either(le(x, 0.0), ge(x, 6.0))) };
    leaky_relu: Arith, "input: Tensor, negative_slope: float = 0.01", "x where positive, slope * x elsewhere", [] [x] [s] -> o
        float { select(x * s, x, gt(x, 0.0)) } d(g) { x => select(g * s, g, gt(x, 0.0)) };
    prelu_of: Arith, "input: Tensor, weight: Tensor", "x where positive, weight * x elsewhere", [] [x w] [] -> o
        float { select(x * w, x, gt(x, 0.0)) } d(g) { x => select(g * w, g, gt(x, 0.0)), w => select(g * x, 0.0, gt(x, 0.0)) }
        .bind(CORE).public("prelu");
    elu: Arith, "input: Tensor, alpha: float = 1.0", "x where positive, alpha * (exp(x) - 1) elsewhere", [] [x] [a] -> o
        float { select(a * expm1(x), x, gt(x, 0.0)) } d { x => select(1.0, a * exp(select(x, 0.0, ge(x, 0.0))), le(x, 0.0)) };
    selu: Arith, UNARY, "Self-normalizing ELU (Klambauer et al. 2017)", [] [x] [] -> o
        float { select(1.7580993408473766 * expm1(x), 1.0507009873554805 * x, gt(x, 0.0)) }
        d { x => select(1.0507009873554805, 1.7580993408473766 * exp(select(x, 0.0, ge(x, 0.0))), le(x, 0.0)) };
    celu: Arith, "input: Tensor, alpha: float = 1.0", "x where positive, alpha * (exp(x / alpha) - 1) elsewhere", [] [x] [a] -> o
        float { select(a * expm1(x / a), x, gt(x, 0.0)) } d { x => select(1.0, exp(select(x, 0.0, ge(x, 0.0)) / a), le(x, 0.0)) };
    gelu_erf: Float, UNARY, "x * Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016)", [] [x] [] -> o
        float { 0.5 * x * (1.0 + erf(x * 0.7071067811865476)) }
        d { x => 0.5 * (1.0 + erf(x * 0.7071067811865476)) + x * (0.3989422804014327 * exp(-0.5 * (x * x))) } .bind(CORE).ulp(32.0).public("gelu");
    gelu_tanh: Float, UNARY, "The tanh approximation of gelu", [] [x] [] -> o
        float { 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x)))) }
        d { x => 0.5 * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))
            + 0.5 * x * (1.0 - square(tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x)))))
                * (0.7978845608028654 * (1.0 + 0.134145 * (x * x))) } .bind(CORE).ulp(32.0).public("gelu");
    silu: Float, UNARY, "x * sigmoid(x)", [] [x] [] -> o float { x / (1.0 + exp(-x)) }
        d { x => sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))) };
    mish: Float, UNARY, "x * tanh(softplus(x)) (Misra 2019)", [] [x] [] -> o float { x * tanh(softplus(x)) }
        d { x => tanh(softplus(x)) + x * (1.0 - square(tanh(softplus(x)))) * sigmoid(x) } .ulp(32.0);
    softplus: Float, "input: Tensor, beta: float = 1.0, threshold: float = 20.0", "log(1 + exp(beta x)) / beta, linear above the threshold",
        [] [x] [b th] -> o float { select(log1p(exp(x * b)) / b, x, gt(x * b, th)) }
        d { x => select(sigmoid(x * b), 1.0, gt(x * b, th)) };
    logsigmoid: Float, UNARY, "log(sigmoid(x)) without overflow", [] [x] [] -> o float { min(x, 0.0) - log1p(exp(-abs(x))) }
        d { x => sigmoid(-x) };
    logit_of: Float, UNARY, "log(x / (1 - x)), NaN with a NaN gradient outside of [0, 1]", [] [x] [] -> o
        float { select(log(div(x, 1.0 - x)), log1p(2.0 * (x - 0.5) / (1.0 - x)), both(gt(x, 0.25), lt(x, 0.75))) }
        d { x => select(1.0 / (x * (1.0 - x)), o, isnan(o)) } .domain(0.1, 0.9).bind(CORE).public("logit");
    softsign: Float, UNARY, "x / (1 + |x|)", [] [x] [] -> o float { div(x, 1.0 + abs(x)) } d { x => 1.0 / square(1.0 + abs(x)) };
    hardtanh: Arith, "input: Tensor, min_val: float = -1.0, max_val: float = 1.0", "x clamped to [min, max]", [] [x] [lo hi] -> o
        float { min(max(x, lo), hi) } d(g) { x => select(g, 0.0, either(le(x, lo), ge(x, hi))) };
    hardsigmoid: Arith, UNARY, "clamp(x + 3, 0, 6) / 6", [] [x] [] -> o float { min(max(x + 3.0, 0.0), 6.0) / 6.0 }
        d(g) { x => select(0.0, g * 0.16666666666666666, both(gt(x, -3.0), lt(x, 3.0))) };
    hardswish: Arith, UNARY, "x * clamp(x + 3, 0, 6) / 6", [] [x] [] -> o float { x * min(max(x + 3.0, 0.0), 6.0) / 6.0 }
        d(g) { x => select(select(g, g * (x / 3.0 + 0.5), lt(x, 3.0)), 0.0, le(x, -3.0)) };
    tanhshrink: Float, UNARY, "x - tanh(x)", [] [x] [] -> o float { x - tanh(x) } d { x => square(tanh(x)) } .ulp(64.0);
    softshrink: Arith, "input: Tensor, lambd: float = 0.5", "x moved towards 0 by lambda, 0 within it", [] [x] [l] -> o
        float { select(select(select(copysign(0.0, x), x, isnan(x)), x + l, lt(x, -l)), x - l, gt(x, l)) }
        d(g) { x => select(g, 0.0, both(ge(x, -l), le(x, l))) };
    hardshrink: Arith, "input: Tensor, lambd: float = 0.5", "x, or 0 where |x| <= lambda", [] [x] [l] -> o
        float { select(x, 0.0, both(ge(x, -l), le(x, l))) } d(g) { x => select(g, 0.0, both(ge(x, -l), le(x, l))) };
    threshold: Arith, "input: Tensor, threshold: float, value: float", "x where above the threshold, value elsewhere", [] [x] [t v] -> o
        float { select(x, v, le(x, t)) } d(g) { x => select(g, 0.0, le(x, t)) };
}
