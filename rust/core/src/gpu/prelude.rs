//! The scalar math of a GPU kernel: which functions of `wgsl/*.wgsl` a source needs, as text.
//!
//! The functions shadow WGSL's built-ins of the same name, whose accuracy and treatment of NaN are
//! not good enough. A kernel that calls `max` or `min` therefore gets ours, on f32 and passing NaN
//! on; for integers there are `max_u`, `min_i` and so on.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::OnceLock;

const TEXTS: [&str; 10] = [
    include_str!("wgsl/basic.wgsl"),
    include_str!("wgsl/exp.wgsl"),
    include_str!("wgsl/log.wgsl"),
    include_str!("wgsl/pow.wgsl"),
    include_str!("wgsl/trig.wgsl"),
    include_str!("wgsl/special.wgsl"),
    include_str!("wgsl/int.wgsl"),
    include_str!("wgsl/int64.wgsl"),
    include_str!("wgsl/random.wgsl"),
    include_str!("wgsl/half.wgsl"),
];

/// The names of a row's expression that are WGSL's own functions.
pub const BUILT_IN: [&str; 8] = ["abs", "ceil", "floor", "fma", "round", "select", "sqrt", "trunc"];

/// The functions that `source` calls and does not declare, and those that they call in turn.
pub fn prelude_for(source: &str) -> String {
    let library = library();
    let source = without_comments(source);
    let declared: BTreeSet<&str> = declarations(&source).collect();
    let mut wanted = BTreeSet::new();
    let mut open: Vec<usize> = calls(&source)
        .filter(|name| !declared.contains(name))
        .filter_map(|name| library.index.get(name).copied())
        .collect();
    while let Some(i) = open.pop() {
        if wanted.insert(i) {
            open.extend(&library.functions[i].needs);
        }
    }
    let mut text = String::new();
    for i in wanted {
        let _ = writeln!(text, "{}", library.functions[i].text);
    }
    text
}

/// The names of all functions of the prelude.
pub fn names() -> impl Iterator<Item = &'static str> {
    library().functions.iter().map(|f| f.name)
}

struct Function {
    name: &'static str,
    text: &'static str,
    needs: Vec<usize>,
}

struct Library {
    functions: Vec<Function>,
    index: HashMap<&'static str, usize>,
}

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut functions: Vec<Function> = TEXTS.into_iter().flat_map(functions_of).collect();
        let index: HashMap<_, _> = functions.iter().enumerate().map(|(i, f)| (f.name, i)).collect();
        for f in &mut functions {
            let text = without_comments(f.text);
            f.needs = calls(&text).filter_map(|name| index.get(name).copied()).collect();
        }
        Library { functions, index }
    })
}

/// Functions start with `fn` and end with `}`, both in the first column.
fn functions_of(text: &'static str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("\nfn ") {
        rest = &rest[start + 1..];
        let end = rest.find("\n}").map_or(rest.len(), |i| i + 2);
        let name = rest[3..].split('(').next().unwrap_or_default();
        found.push(Function { name, text: &rest[..end], needs: Vec::new() });
        rest = &rest[end..];
    }
    found
}

fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Identifiers followed by an opening parenthesis.
fn calls(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices('(').filter_map(|(at, _)| {
        let before = code[..at].trim_end();
        let name = before.rsplit(|c: char| !is_word(c)).next()?;
        (!name.is_empty()).then_some(name)
    })
}

/// The names behind `fn`.
fn declarations(code: &str) -> impl Iterator<Item = &str> {
    code.split("fn ").skip(1).filter_map(|rest| rest.trim_start().split(|c| !is_word(c)).next())
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::naga;

    const FLOAT: &str = "fma abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos \
        atan sinh cosh tanh asinh acosh atanh erf erfc erfinv lgamma digamma trigamma floor ceil round \
        trunc sign max min fmax fmin pow atan2 hypot fmod remainder floordiv copysign logaddexp xlogy \
        select lt le gt ge eq ne isnan isinf isfinite both either not signbit";
    const BOTH_WIDTHS: &str = "neg abs sign max min truncdiv floordiv fmod remainder pow lt le gt ge eq \
        ne select bitand bitor bitxor bitnot shl shr";
    const LONG: &str = "add_l sub_l mul_l l_from_i32 l_from_u32 l_from_f32 f32_from_l i32_from_l \
        u32_from_l ul_from_f32 f32_from_ul sign_ul max_ul min_ul lt_ul le_ul gt_ul ge_ul floordiv_ul \
        remainder_ul truncdiv_ul fmod_ul pow_ul shr_ul";
    const OTHER: &str = "philox mul_wide f32_from_f16bits f16bits_from_f32 f32_from_bf16bits \
        bf16bits_from_f32 u32_from_l";

    fn validate(source: &str) -> Result<naga::valid::ModuleInfo, String> {
        let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
        let (flags, features) = (
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        );
        naga::valid::Validator::new(flags, features)
            .validate(&module)
            .map_err(|e| e.emit_to_string(source))
    }

    fn text_of(name: &str) -> &'static str {
        library().functions[library().index[name]].text
    }

    #[test]
    fn every_promised_name_exists() {
        let have: BTreeSet<&str> = names().collect();
        for name in FLOAT.split_whitespace() {
            assert!(have.contains(name) != BUILT_IN.contains(&name), "{name}");
        }
        for name in BOTH_WIDTHS.split_whitespace() {
            for suffix in ["i", "u", "l"] {
                let name = format!("{name}_{suffix}");
                assert!(have.contains(name.as_str()), "{name}");
            }
        }
        for name in LONG.split_whitespace().chain(OTHER.split_whitespace()) {
            assert!(have.contains(name), "{name}");
        }
        assert_eq!(have.len(), library().functions.len(), "a name is declared twice");
    }

    #[test]
    fn each_function_alone_is_valid_and_complete() {
        for name in names() {
            let text = prelude_for(&format!("{name}()"));
            assert!(text.contains(text_of(name)), "{name} is missing from its own closure");
            if let Err(message) = validate(&text) {
                panic!("{name}: {message}");
            }
        }
        assert!(validate("fn f() -> f32 { return exp2(1); }").is_ok());
        assert!(validate("fn f() -> f32 { return expm1(1.0); }").is_err());
    }

    #[test]
    fn the_built_ins_are_shadowed() {
        let source = "fn f(x: f32) -> f32 { return select(0.0, exp(-x), gt(max(x, 0.0), 1.0)); }";
        let module = naga::front::wgsl::parse_str(&(prelude_for(source) + source)).unwrap();
        let (_, f) = module.functions.iter().find(|(_, f)| f.name.as_deref() == Some("f")).unwrap();
        let built_in = |e: &naga::Expression| matches!(e, naga::Expression::Math { .. });
        assert!(!f.expressions.iter().any(|(_, e)| built_in(e)));
    }

    #[test]
    fn only_what_is_called_comes_in_and_once() {
        assert_eq!(prelude_for("let exp = x * y; // sin(x)"), "");
        assert_eq!(prelude_for("sqrt(abs(x))"), "");
        assert_eq!(prelude_for("fn tanh(x: f32) -> f32 { return x; } fn f() { tanh(1.0); }"), "");
        let declared = |source| {
            let text = prelude_for(source);
            declarations(&text).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(declared("isnan (x)"), ["isnan"]);
        assert_eq!(
            declared("tanh(x) + tanh(exp(y))"),
            [
                "keep",
                "isnan",
                "copysign",
                "pow2_",
                "scale_",
                "exp_tail_",
                "exp_rest_",
                "exp_times_",
                "exp",
                "tanh"
            ]
        );
    }
}
