use super::{NAMES, fused, i64m, plain, u64m};

/// The distance of `got` from `want` in units in the last place of an f32.
fn ulp32(got: f32, want: f64) -> f64 {
    if got.is_nan() || want.is_nan() || got.is_infinite() || (want as f32).is_infinite() {
        let same = (got.is_nan() && want.is_nan()) || got == want as f32;
        return if same { 0.0 } else { f64::INFINITY };
    }
    let exponent = ((want.abs().to_bits() >> 52) as i32 - 1023).max(-126);
    (got as f64 - want).abs() / 2f64.powi(exponent - 23)
}

/// The distance in representable numbers.
fn ulp64(got: f64, want: f64) -> u64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0;
    }
    let place = |x: f64| {
        if x < 0.0 { i64::MIN.wrapping_sub(x.to_bits() as i64) } else { x.to_bits() as i64 }
    };
    if got.is_finite() && want.is_finite() { place(got).abs_diff(place(want)) } else { u64::MAX }
}

/// f32 of every exponent and sign, specials included.
fn sweep32() -> impl Iterator<Item = f32> {
    let special =
        [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN];
    (0..=u32::MAX).step_by(65_537).map(f32::from_bits).chain(special)
}

/// f64 of every exponent and sign, and many of moderate size.
fn sweep64() -> impl Iterator<Item = f64> {
    let wild = (0..4000u64).map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let moderate = (-4000..4000).map(|i| i as f64 * 0.004_567_89);
    let special =
        [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN, 5e-324];
    wild.chain(moderate).chain(special)
}

macro_rules! check32 {
    ($($name:ident $limit:literal $reference:expr;)+) => {$(
        for x in sweep32() {
            let reference: fn(f64) -> f64 = $reference;
            let want = reference(x as f64);
            for got in [plain::m32::$name(x), fused::m32::$name(x)] {
                let ulp = ulp32(got, want);
                assert!(ulp <= $limit, "{}({x:e}) = {got:e}, not {want:e}: {ulp} ulp", stringify!($name));
            }
        }
    )+};
}

#[test]
fn f32_functions_are_accurate_everywhere() {
    check32! {
        exp 1.0 f64::exp; exp2 1.0 f64::exp2; expm1 1.5 f64::exp_m1; log 1.0 f64::ln; log2 1.0 f64::log2;
        log10 1.0 f64::log10; log1p 1.5 f64::ln_1p; sqrt 0.5 f64::sqrt; rsqrt 1.5 |x| 1.0 / x.sqrt();
        sin 2.0 f64::sin; cos 2.0 f64::cos; tan 4.0 f64::tan; asin 1.0 f64::asin; acos 1.0 f64::acos;
        atan 2.0 f64::atan; sinh 2.0 f64::sinh; cosh 2.0 f64::cosh; tanh 1.5 f64::tanh;
        asinh 1.0 wide_asinh; acosh 1.0 f64::acosh; atanh 1.0 wide_atanh; erf 2.0 plain::m64::erf;
        abs 0.0 f64::abs; floor 0.0 f64::floor; ceil 0.0 f64::ceil; trunc 0.0 f64::trunc;
        round 0.0 f64::round_ties_even;
        sign 0.0 |x| if x == 0.0 { 0.0 } else if x.is_nan() { x } else { x.signum() };
    }
}

/// The standard library's formula loses digits near zero.
fn wide_asinh(x: f64) -> f64 {
    if x.abs() < 1e-3 { x - x * x * x / 6.0 } else { x.asinh() }
}

fn wide_atanh(x: f64) -> f64 {
    if x.abs() < 1e-3 { x + x * x * x / 3.0 } else { x.atanh() }
}

macro_rules! check64 {
    ($($name:ident $limit:literal $reference:expr;)+) => {$(
        for x in sweep64() {
            let want = $reference(x);
            for got in [plain::m64::$name(x), fused::m64::$name(x)] {
                let ulp = ulp64(got, want);
                assert!(ulp <= $limit, "{}({x:e}) = {got:e}, not {want:e}: {ulp} ulp", stringify!($name));
            }
        }
    )+};
}

/// The limits hold one ulp for the reference itself.
#[test]
fn f64_functions_are_accurate_everywhere() {
    check64! {
        exp 2 f64::exp; exp2 2 f64::exp2; expm1 3 f64::exp_m1; log 2 f64::ln; log2 2 f64::log2; log10 3 f64::log10;
        log1p 3 f64::ln_1p; sin 2 f64::sin; cos 2 f64::cos; tan 4 f64::tan; asin 4 f64::asin; acos 3 f64::acos;
        atan 3 f64::atan; sinh 4 f64::sinh; cosh 3 f64::cosh; tanh 4 f64::tanh; rsqrt 2 |x: f64| 1.0 / x.sqrt();
    }
}

#[test]
fn f64_special_functions_have_known_values() {
    macro_rules! near {
        ($($name:ident($x:expr) = $want:expr;)+) => {$(
            for got in [plain::m64::$name($x), fused::m64::$name($x)] {
                let ulp = ulp64(got, $want);
                assert!(ulp <= 40, "{}({}) = {got:e}: {ulp} ulp", stringify!($name), $x);
            }
        )+};
    }
    near! {
        erf(0.5) = 0.5204998778130465; erf(-2.0) = -0.9953222650189527; erf(f64::INFINITY) = 1.0;
        erfc(0.5) = 0.4795001221869535; erfc(2.0) = 0.004677734981047266; erfc(10.0) = 2.088487583762545e-45;
        erfc(-3.0) = 1.999977909503001; erfc(30.0) = 0.0; erfc(f64::NEG_INFINITY) = 2.0;
        erfinv(0.5) = 0.4769362762044699; erfinv(-0.999) = -2.326753765513525; erfinv(1.0) = f64::INFINITY;
        erfinv(-1.0) = f64::NEG_INFINITY; erfinv(1.5) = f64::NAN;
        lgamma(0.5) = 0.5723649429247001; lgamma(10.0) = 12.801827480081469; lgamma(-0.5) = 1.2655121234846454;
        lgamma(1e-30) = 69.07755278982137; lgamma(0.0) = f64::INFINITY; lgamma(-3.0) = f64::INFINITY;
        lgamma(f64::NEG_INFINITY) = f64::INFINITY; lgamma(1e6) = 12815504.569147611;
        digamma(1.0) = -0.5772156649015329; digamma(-0.5) = 0.03648997397857652; digamma(100.0) = 4.600161852738087;
        digamma(0.0) = f64::NEG_INFINITY; digamma(-0.0) = f64::INFINITY; digamma(-2.0) = f64::NAN;
        trigamma(1.0) = 1.6449340668482264; trigamma(-0.5) = 8.934802200544679; trigamma(-1.0) = f64::INFINITY;
        trigamma(f64::INFINITY) = 0.0; erf(f64::NAN) = f64::NAN; erfc(f64::NAN) = f64::NAN;
        lgamma(f64::NAN) = f64::NAN; digamma(f64::NAN) = f64::NAN; trigamma(f64::NAN) = f64::NAN;
        asinh(1e-8) = 1e-8; asinh(1e300) = 691.4686750787736; acosh(1e300) = 691.4686750787736;
        acosh(0.5) = f64::NAN; atanh(1.0) = f64::INFINITY; atanh(2.0) = f64::NAN; atanh(1e-9) = 1e-9;
        sin(6381956970095103.0 * 2f64.powi(797)) = 1.0; cos(6381956970095103.0 * 2f64.powi(797)) = -4.687165924254627e-19;
        sin(1e22) = -0.8522008497671888;
    }
    assert_eq!(
        (plain::m64::lgamma(1.0), fused::m64::lgamma(2.0), plain::m32::lgamma(1.0)),
        (0.0, 0.0, 0.0)
    );
    assert!((plain::m32::erfinv(0.5) - 0.476_936_28).abs() < 1e-6);
    assert!((fused::m32::digamma(-0.5) - 0.036_489_974).abs() < 1e-8);
    assert_eq!(fused::m32::trigamma(1.0), 1.644_934_1);
    assert_eq!(plain::m32::erfc(10.0), 2.088_487_6e-45_f64 as f32);
}

/// Pairs of special and of ordinary values.
fn pairs() -> impl Iterator<Item = (f64, f64)> {
    let v = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        2.5,
        -7.3,
        1e30,
        -1e30,
        1e-30,
        5e-324,
        1e300,
        f64::MAX,
        16777217.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    v.into_iter().flat_map(move |a| v.into_iter().map(move |b| (a, b)))
}

#[test]
fn functions_of_two_arguments_treat_every_special_case() {
    type Binary<T> = fn(T, T) -> T;
    let wide: [(&str, u64, [Binary<f64>; 2], Binary<f64>); 6] = [
        ("pow", 2, [plain::m64::pow, fused::m64::pow], f64::powf),
        ("atan2", 3, [plain::m64::atan2, fused::m64::atan2], f64::atan2),
        ("hypot", 2, [plain::m64::hypot, fused::m64::hypot], f64::hypot),
        ("fmod", 0, [plain::m64::fmod, fused::m64::fmod], |a, b| a % b),
        ("fmax", 0, [plain::m64::fmax, fused::m64::fmax], f64::max),
        ("fmin", 0, [plain::m64::fmin, fused::m64::fmin], f64::min),
    ];
    for (name, limit, functions, reference) in wide {
        for (a, b) in pairs() {
            for f in functions {
                let (got, want) = (f(a, b), reference(a, b));
                assert!(ulp64(got, want) <= limit, "{name}({a:e}, {b:e}) = {got:e}, not {want:e}");
                let zero = got == 0.0 && name != "fmax" && name != "fmin";
                assert!(
                    !zero || got.is_sign_negative() == want.is_sign_negative(),
                    "{name}({a:e}, {b:e})"
                );
            }
        }
    }
    let narrow: [(&str, f64, [Binary<f32>; 2], Binary<f64>); 4] = [
        ("pow", 1.0, [plain::m32::pow, fused::m32::pow], f64::powf),
        ("atan2", 3.0, [plain::m32::atan2, fused::m32::atan2], f64::atan2),
        ("hypot", 1.0, [plain::m32::hypot, fused::m32::hypot], f64::hypot),
        ("fmod", 0.0, [plain::m32::fmod, fused::m32::fmod], |a, b| a % b),
    ];
    for (name, limit, functions, reference) in narrow {
        for (a, b) in pairs().map(|(a, b)| (a as f32, b as f32)) {
            for f in functions {
                let (got, want) = (f(a, b), reference(a as f64, b as f64));
                assert!(ulp32(got, want) <= limit, "{name}({a:e}, {b:e}) = {got:e}, not {want:e}");
            }
        }
    }
}

#[test]
fn huge_quotients_have_exact_remainders() {
    for i in 0..3000u64 {
        let a = f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let b = f64::from_bits(i.wrapping_mul(0xd1b5_4a32_d192_ed03));
        assert_eq!(ulp64(plain::m64::fmod(a, b), a % b), 0, "{a:e} {b:e}");
        assert_eq!(ulp64(fused::m64::fmod(a, b), a % b), 0, "{a:e} {b:e}");
        let (a, b) = (a as f32, b as f32);
        assert_eq!(ulp32(fused::m32::fmod(a, b), (a % b) as f64), 0.0, "{a:e} {b:e}");
    }
}

#[test]
fn division_follows_python() {
    use plain::m64::{floordiv, remainder};
    let cases = [
        (7.0, 3.0, 2.0, 1.0),
        (-7.0, 3.0, -3.0, 2.0),
        (7.0, -3.0, -3.0, -2.0),
        (-7.0, -3.0, 2.0, -1.0),
        (1.0, 0.1, 9.0, 0.09999999999999995),
        (-1.0, f64::INFINITY, -1.0, f64::INFINITY),
    ];
    for (a, b, quotient, rest) in cases {
        assert_eq!((floordiv(a, b), remainder(a, b)), (quotient, rest), "{a} {b}");
    }
    assert!(remainder(6.0, -3.0).is_sign_negative() && remainder(1.0, 0.0).is_nan());
    assert_eq!((floordiv(1.0, 0.0), floordiv(-1.0, 0.0)), (f64::INFINITY, f64::NEG_INFINITY));
}

#[test]
fn comparisons_and_sums_in_logs_follow_ieee() {
    use fused::m32 as m;
    let nan = f32::NAN;
    assert!(m::max(nan, 1.0).is_nan() && m::max(1.0, nan).is_nan() && m::min(nan, 1.0).is_nan());
    assert!(m::min(1.0, nan).is_nan() && m::sign(nan).is_nan());
    assert_eq!((m::fmax(nan, 1.0), m::fmin(1.0, nan)), (1.0, 1.0));
    assert_eq!((m::max(1.0, 2.0), m::min(1.0, 2.0), m::copysign(3.0, -0.0)), (2.0, 1.0, -3.0));
    assert!(m::ne(nan, nan) && !m::eq(nan, nan) && !m::lt(nan, 1.0) && !m::ge(nan, 1.0));
    assert!(m::le(1.0, 1.0) && m::gt(2.0, 1.0) && m::isnan(nan) && m::isinf(f32::NEG_INFINITY));
    assert!(
        !m::isfinite(nan) && !m::isfinite(f32::INFINITY) && m::isfinite(1.0) && m::signbit(-0.0)
    );
    assert!(m::both(true, true) && m::either(false, true) && m::not(false));
    assert_eq!((m::select(1.0, 2.0, true), m::fma(2.0, 3.0, 4.0)), (2.0, 10.0));
    assert!(m::sin(-0.0).is_sign_negative() && m::log1p(-0.0).is_sign_negative());
    assert!(m::expm1(-0.0).is_sign_negative() && m::sign(-0.0).is_sign_positive());
    let inf = f32::INFINITY;
    assert_eq!(
        (m::logaddexp(inf, inf), m::logaddexp(-inf, -inf), m::logaddexp(-inf, 2.0)),
        (inf, -inf, 2.0)
    );
    assert!((m::logaddexp(1.0, 2.0) - 2.313_261_7).abs() < 1e-6 && m::logaddexp(nan, 1.0).is_nan());
    assert!(m::xlogy(0.0, nan).is_nan() && m::xlogy(nan, 1.0).is_nan());
    assert_eq!((m::xlogy(0.0, 0.0), m::xlogy(0.0, inf), m::xlogy(2.0, 1.0)), (0.0, 0.0, 0.0));
}

#[test]
fn integers_wrap_and_never_panic() {
    assert_eq!((i64m::floordiv(-7, 2), i64m::remainder(-7, 2)), (-4, 1));
    assert_eq!((i64m::truncdiv(-7, 2), i64m::fmod(-7, 2)), (-3, -1));
    assert_eq!((i64m::floordiv(7, -2), i64m::remainder(7, -2)), (-4, -1));
    for f in [i64m::floordiv, i64m::remainder, i64m::truncdiv, i64m::fmod] {
        assert_eq!(f(5, 0), 0);
    }
    assert_eq!((i64m::floordiv(i64::MIN, -1), i64m::remainder(i64::MIN, -1)), (i64::MIN, 0));
    assert_eq!(
        (i64m::abs(i64::MIN), i64m::neg(i64::MIN), i64m::sign(-9)),
        (i64::MIN, i64::MIN, -1)
    );
    assert_eq!((i64m::pow(3, 13), i64m::pow(2, 64), i64m::pow(-2, 63)), (1_594_323, 0, i64::MIN));
    assert_eq!(
        (i64m::pow(2, -1), i64m::pow(1, -5), i64m::pow(-1, -5), i64m::pow(-1, -4)),
        (0, 1, -1, 1)
    );
    assert_eq!((i64m::pow(0, 0), i64m::pow(0, -1)), (1, 0));
    assert_eq!((i64m::shl(1, 63), i64m::shl(1, 64), i64m::shl(1, -1)), (i64::MIN, 0, 0));
    assert_eq!(
        (i64m::shr(-8, 1), i64m::shr(-8, 64), i64m::shr(8, 99), i64m::shr(-8, -1)),
        (-4, -1, 0, -1)
    );
    assert_eq!((i64m::max(2, -3), i64m::min(2, -3), i64m::select(1, 2, false)), (2, -3, 1));
    assert_eq!(
        (i64m::bitand(6, 3), i64m::bitor(6, 3), i64m::bitxor(6, 3), i64m::bitnot(0)),
        (2, 7, 5, -1)
    );
    assert_eq!(
        (u64m::floordiv(7, 2), u64m::remainder(7, 0), u64m::pow(3, 40)),
        (3, 0, 12_157_665_459_056_928_801)
    );
    assert_eq!((u64m::neg(1), u64m::sign(9), u64m::abs(9)), (u64::MAX, 1, 9));
    assert_eq!((u64m::shl(1, 64), u64m::shr(u64::MAX, 63), u64m::shr(1, 64)), (0, 1, 0));
    assert!(u64m::gt(u64::MAX, 0) && i64m::lt(-1, 0) && i64m::ne(1, 2) && u64m::ge(1, 1));
}

#[test]
fn every_name_is_there_in_every_reading() {
    macro_rules! named {
        ($($name:ident)+) => {{
            $(
                let _ = (plain::m32::$name, plain::m64::$name, fused::m32::$name, fused::m64::$name);
            )+
            [$(stringify!($name)),+]
        }};
    }
    let found = named! {
        abs acos acosh asin asinh atan atan2 atanh both ceil copysign cos cosh digamma div either eq erf erfc erfinv exp
        exp2 expm1 floor floordiv fma fmax fmin fmod ge gt hypot isfinite isinf isnan le lgamma log log10 log1p log2
        logaddexp lt max min ne not pow remainder round rsqrt select sigmoid sign signbit sin sinh softplus sqrt square tan tanh trigamma
        trunc xlogy
    };
    assert_eq!(found, NAMES);
}
