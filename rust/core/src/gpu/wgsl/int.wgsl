// Integers: the functions of a row's expression on i32 (suffix _i) and u32 (suffix _u).
//
// Dividing by zero gives 0 (the caller raises beforehand); i32's least number by -1 wraps. The
// built-in % is not used, for drivers differ on negative operands.

fn neg_i(a: i32) -> i32 {
    return bitcast<i32>(0u - bitcast<u32>(a));
}

fn neg_u(a: u32) -> u32 {
    return 0u - a;
}

fn abs_i(a: i32) -> i32 {
    return select(a, neg_i(a), a < 0);
}

fn abs_u(a: u32) -> u32 {
    return a;
}

fn sign_i(a: i32) -> i32 {
    return select(select(0, -1, a < 0), 1, a > 0);
}

fn sign_u(a: u32) -> u32 {
    return select(0u, 1u, a != 0u);
}

fn max_i(a: i32, b: i32) -> i32 {
    return select(b, a, a > b);
}

fn max_u(a: u32, b: u32) -> u32 {
    return select(b, a, a > b);
}

fn min_i(a: i32, b: i32) -> i32 {
    return select(b, a, a < b);
}

fn min_u(a: u32, b: u32) -> u32 {
    return select(b, a, a < b);
}

fn truncdiv_i(a: i32, b: i32) -> i32 {
    let wraps = a == -2147483647 - 1 && b == -1;
    return select(a / select(b, 1, b == 0 || wraps), 0, b == 0);
}

fn truncdiv_u(a: u32, b: u32) -> u32 {
    return select(a / select(b, 1u, b == 0u), 0u, b == 0u);
}

fn fmod_i(a: i32, b: i32) -> i32 {
    return select(a - truncdiv_i(a, b) * b, 0, b == 0);
}

fn fmod_u(a: u32, b: u32) -> u32 {
    return select(a - truncdiv_u(a, b) * b, 0u, b == 0u);
}

fn remainder_i(a: i32, b: i32) -> i32 {
    let r = fmod_i(a, b);
    return select(r, r + b, r != 0 && (r < 0) != (b < 0));
}

fn remainder_u(a: u32, b: u32) -> u32 {
    return fmod_u(a, b);
}

fn floordiv_i(a: i32, b: i32) -> i32 {
    let r = fmod_i(a, b);
    let q = truncdiv_i(a, b);
    return select(q, q - 1, r != 0 && (r < 0) != (b < 0));
}

fn floordiv_u(a: u32, b: u32) -> u32 {
    return truncdiv_u(a, b);
}

fn pow_u(a: u32, b: u32) -> u32 {
    var result = 1u;
    var base = a;
    for (var left = b; left != 0u; left >>= 1u) {
        result = select(result, result * base, (left & 1u) != 0u);
        base *= base;
    }
    return result;
}

// A negative power is 0 unless the base is 1 or -1.
fn pow_i(a: i32, b: i32) -> i32 {
    let power = bitcast<i32>(pow_u(bitcast<u32>(a), bitcast<u32>(b)));
    return select(power, 0, b < 0 && a != 1 && a != -1);
}

fn lt_i(a: i32, b: i32) -> bool {
    return a < b;
}

fn lt_u(a: u32, b: u32) -> bool {
    return a < b;
}

fn le_i(a: i32, b: i32) -> bool {
    return a <= b;
}

fn le_u(a: u32, b: u32) -> bool {
    return a <= b;
}

fn gt_i(a: i32, b: i32) -> bool {
    return a > b;
}

fn gt_u(a: u32, b: u32) -> bool {
    return a > b;
}

fn ge_i(a: i32, b: i32) -> bool {
    return a >= b;
}

fn ge_u(a: u32, b: u32) -> bool {
    return a >= b;
}

fn eq_i(a: i32, b: i32) -> bool {
    return a == b;
}

fn eq_u(a: u32, b: u32) -> bool {
    return a == b;
}

fn ne_i(a: i32, b: i32) -> bool {
    return a != b;
}

fn ne_u(a: u32, b: u32) -> bool {
    return a != b;
}

fn select_i(f: i32, t: i32, c: bool) -> i32 {
    return select(f, t, c);
}

fn select_u(f: u32, t: u32, c: bool) -> u32 {
    return select(f, t, c);
}

fn bitand_i(a: i32, b: i32) -> i32 {
    return a & b;
}

fn bitand_u(a: u32, b: u32) -> u32 {
    return a & b;
}

fn bitor_i(a: i32, b: i32) -> i32 {
    return a | b;
}

fn bitor_u(a: u32, b: u32) -> u32 {
    return a | b;
}

fn bitxor_i(a: i32, b: i32) -> i32 {
    return a ^ b;
}

fn bitxor_u(a: u32, b: u32) -> u32 {
    return a ^ b;
}

fn bitnot_i(a: i32) -> i32 {
    return ~a;
}

fn bitnot_u(a: u32) -> u32 {
    return ~a;
}

// Shifting by the width or more (a negative count is one of those) gives 0, or the sign.
fn shl_u(a: u32, b: u32) -> u32 {
    return select(a << (b & 31u), 0u, b > 31u);
}

fn shl_i(a: i32, b: i32) -> i32 {
    return bitcast<i32>(shl_u(bitcast<u32>(a), bitcast<u32>(b)));
}

fn shr_u(a: u32, b: u32) -> u32 {
    return select(a >> (b & 31u), 0u, b > 31u);
}

fn shr_i(a: i32, b: i32) -> i32 {
    return a >> min_u(bitcast<u32>(b), 31u);
}

fn zero_i() -> i32 {
    return 0;
}

fn zero_u() -> u32 {
    return 0u;
}

fn pos_i(a: i32) -> i32 {
    return a;
}

fn pos_u(a: u32) -> u32 {
    return a;
}

fn add_i(a: i32, b: i32) -> i32 {
    return a + b;
}

fn add_u(a: u32, b: u32) -> u32 {
    return a + b;
}

fn sub_i(a: i32, b: i32) -> i32 {
    return a - b;
}

fn sub_u(a: u32, b: u32) -> u32 {
    return a - b;
}

fn mul_i(a: i32, b: i32) -> i32 {
    return a * b;
}

fn mul_u(a: u32, b: u32) -> u32 {
    return a * b;
}
