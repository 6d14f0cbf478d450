//! The scalar functions an op row's expression may use, written so that LLVM turns a plain loop over
//! them into SIMD code: always inlined, free of branches and of calls into libm.
//!
//! One text is read twice. `fused` computes `fma(a, b, c)` with one rounding and is only for callers compiled
//! with the fma feature; `plain` computes `a * b + c`. Both are accurate to the stated number of ulp (units in
//! the last place). The exceptions to branch freedom are `fmod`, `remainder` and `floordiv`, whose
//! huge quotients take a cold path.

// Two readings, and within each a text for two widths; `&` and `|` on bools because they do not branch.
#![allow(clippy::duplicate_mod, clippy::needless_bitwise_bool)]

/// `c0 + x * (c1 + x * (c2 + ...))` by Horner's rule, with the `fma` in scope.
macro_rules! horner {
    ($x:expr; $c:expr) => { $c };
    ($x:expr; $c:expr, $($rest:expr),+) => { fma(horner!($x; $($rest),+), $x, $c) };
}

/// The same polynomial from its even and its odd half, whose two chains of `fma` run side by side.
macro_rules! poly {
    ($x:expr; $($c:expr),+ $(,)?) => { poly!(@split $x; []; []; $($c),+) };
    (@split $x:expr; [$($even:expr),*]; [$($odd:expr),*]; $e:expr, $o:expr, $($rest:expr),+) => {
        poly!(@split $x; [$($even,)* $e]; [$($odd,)* $o]; $($rest),+)
    };
    (@split $x:expr; [$($even:expr),*]; [$($odd:expr),*]; $e:expr, $o:expr) => {
        poly!(@join $x; [$($even,)* $e]; [$($odd,)* $o])
    };
    (@split $x:expr; [$($even:expr),*]; [$($odd:expr),*]; $e:expr) => {
        poly!(@join $x; [$($even,)* $e]; [$($odd),*])
    };
    (@join $x:expr; [$($even:expr),+]; [$($odd:expr),+]) => {{
        let square = $x * $x;
        fma(horner!(square; $($odd),+), $x, horner!(square; $($even),+))
    }};
}

pub mod fused;
#[path = "math/int/i64.rs"]
pub mod i64m;
pub mod plain;
#[path = "math/int/u64.rs"]
pub mod u64m;

/// Every name a float expression may call, on every device.
pub const NAMES: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "both",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "digamma",
    "div",
    "either",
    "eq",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floordiv",
    "fma",
    "fmax",
    "fmin",
    "fmod",
    "ge",
    "gt",
    "hypot",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "lt",
    "max",
    "min",
    "ne",
    "not",
    "pow",
    "remainder",
    "round",
    "rsqrt",
    "select",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trigamma",
    "trunc",
    "xlogy",
];

#[cfg(test)]
mod tests;
