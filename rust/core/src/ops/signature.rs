//! A signature, written as in Python, read once: `x: Tensor, dim: int[]? = None, keepdim: bool = False`.

use super::Attr;
use crate::dtype::DType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    Tensor,
    /// Several tensors in one list; it is the only tensor parameter of its op.
    Tensors,
    Bool,
    Int,
    Float,
    /// An int, a float or a bool, kept as it came.
    Number,
    /// A list of ints; one int stands for itself.
    Ints,
    Floats,
    Str,
    DType,
    Device,
}

#[derive(Clone, Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: ParamKind,
    pub optional: bool,
    pub default: Option<Attr>,
    pub keyword_only: bool,
    /// The text after `=`, for stubs.
    pub default_text: &'static str,
}

#[derive(Clone, Debug)]
pub struct Signature {
    pub params: Vec<Param>,
    /// `*shape: int`: the trailing ints may come as separate arguments.
    pub variadic: Option<usize>,
}

impl Signature {
    /// Panics on a malformed text: the table is ours, and a unit test reads every row.
    pub fn parse(text: &'static str) -> Self {
        let mut params = Vec::new();
        let mut variadic = None;
        let mut keyword_only = false;
        for part in text.split(", ").filter(|p| !p.is_empty()) {
            if part == "*" {
                keyword_only = true;
                continue;
            }
            let (name, rest) = part.split_once(": ").expect("a parameter has a type");
            let (kind, default_text) = rest.split_once(" = ").unwrap_or((rest, ""));
            let name = name.strip_prefix('*').map_or(name, |n| {
                variadic = Some(params.len());
                n
            });
            let optional = kind.ends_with('?');
            let kind = match kind.trim_end_matches('?') {
                "Tensor" => ParamKind::Tensor,
                "Tensor[]" => ParamKind::Tensors,
                "bool" => ParamKind::Bool,
                "int" => ParamKind::Int,
                "float" => ParamKind::Float,
                "Number" => ParamKind::Number,
                "int[]" => ParamKind::Ints,
                "float[]" => ParamKind::Floats,
                "str" => ParamKind::Str,
                "dtype" => ParamKind::DType,
                "device" => ParamKind::Device,
                other => panic!("unknown parameter type {other:?} in {text:?}"),
            };
            let default = (!default_text.is_empty()).then(|| default_value(default_text, text));
            params.push(Param { name, kind, optional, default, keyword_only, default_text });
        }
        Self { params, variadic }
    }
}

fn default_value(value: &str, text: &str) -> Attr {
    match value {
        "None" => Attr::None,
        "True" => Attr::Bool(true),
        "False" => Attr::Bool(false),
        "inf" => Attr::Float(f64::INFINITY),
        "-inf" => Attr::Float(f64::NEG_INFINITY),
        _ => {
            if let Some(s) = value.strip_prefix('\'').and_then(|s| s.strip_suffix('\'')) {
                Attr::Str(s.to_string())
            } else if let Ok(v) = value.parse::<i64>() {
                Attr::Int(v)
            } else if let Ok(v) = value.parse::<f64>() {
                Attr::Float(v)
            } else if let Ok(d) = DType::parse(value) {
                Attr::DType(d)
            } else {
                panic!("unknown default {value:?} in {text:?}")
            }
        }
    }
}
