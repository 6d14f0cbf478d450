//! The WGSL of an elementwise kernel. A thread makes four consecutive results, so that it owns the
//! words of packed dtypes.

use super::element::{self, Num};
use crate::dtype::DType;
use crate::gpu::prelude;
use std::fmt::Write;

/// Where the words of a dispatch's parameters begin. The shape comes innermost first, then the
/// strides of the result and of each buffer.
pub(super) const COUNT: usize = 0;
pub(super) const DIMS: usize = 1;
pub(super) const QUADS: usize = 2;
pub(super) const OFFSETS: usize = 3;
pub(super) const SCALARS: usize = 10;
pub(super) const SHAPE: usize = 26;
/// Six buffers and the result in 128 words.
pub(super) const MAX_DIMS: usize = 12;
pub(super) const THREADS: usize = 256;

/// How a kernel walks its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All operands are runs of whole quads: loads and stores of four elements.
    Quads,
    /// Operands of any strides; the packed result is a run of words.
    Words,
    /// Operands and result of any strides; elements of packed results are set by atomics.
    Scatter,
}

/// One variable of the expression: a buffer's element, or a number among the parameters.
pub(super) struct Arg<'a> {
    pub name: &'a str,
    pub num: Num,
    pub buffer: Option<DType>,
}

pub(super) struct Source<'a> {
    pub args: &'a [Arg<'a>],
    pub text: String,
    pub result: Num,
    pub out: DType,
    pub mode: Mode,
}

const HEAD: &str = "@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let quad = linear_group(group, groups) * 256u + lane;
";

impl Source<'_> {
    pub(super) fn wgsl(&self) -> String {
        let mut s = String::with_capacity(2048);
        let mut buffers = 0;
        for dtype in self.args.iter().filter_map(|a| a.buffer) {
            self.declare(&mut s, buffers, &format!("x{buffers}"), dtype, false);
            buffers += 1;
        }
        self.declare(&mut s, buffers, "out", self.out, self.scatters_bits());
        let list: Vec<_> =
            self.args.iter().map(|a| format!("{}: {}", a.name, a.num.wgsl())).collect();
        let (list, result, text) = (list.join(", "), self.result.wgsl(), &self.text);
        let _ = writeln!(s, "fn row_({list}) -> {result} {{ return {text}; }}");
        s.push_str(HEAD);
        for (number, arg) in self.args.iter().filter(|a| a.buffer.is_none()).enumerate() {
            let _ = writeln!(s, "let p{number} = {};", scalar(arg.num, SCALARS + 2 * number));
        }
        match self.mode {
            Mode::Quads => self.quads(&mut s),
            _ => self.elements(&mut s, buffers),
        }
        s.push('}');
        s
    }

    fn scatters_bits(&self) -> bool {
        self.mode == Mode::Scatter && self.out.size() < 4
    }

    fn declare(&self, s: &mut String, i: usize, name: &str, dtype: DType, atomic: bool) {
        let scalar = element::stored(dtype);
        let kind = match (self.mode, dtype.size()) {
            (Mode::Quads, 8) => "vec4<u32>".to_owned(),
            (Mode::Quads, 4) => format!("vec4<{scalar}>"),
            (Mode::Quads, 2) => "vec2<u32>".to_owned(),
            _ if atomic => "atomic<u32>".to_owned(),
            _ => scalar.to_owned(),
        };
        let _ =
            writeln!(s, "@group(0) @binding({i}) var<storage, read_write> {name}: array<{kind}>;");
    }

    /// The call of the row with what `element` says of each buffer.
    fn call(&self, element: impl Fn(usize, DType, Num) -> String) -> String {
        let (mut buffers, mut numbers) = (0, 0);
        let args = self.args.iter().map(|a| {
            if let Some(dtype) = a.buffer {
                buffers += 1;
                element(buffers - 1, dtype, a.num)
            } else {
                numbers += 1;
                format!("p{}", numbers - 1)
            }
        });
        format!("row_({})", args.collect::<Vec<_>>().join(", "))
    }

    fn quads(&self, s: &mut String) {
        let _ = writeln!(s, "if (quad >= param({COUNT}u) >> 2u) {{ return; }}");
        let at = |operand: usize| format!("(param({}u) >> 2u) + quad", OFFSETS + operand);
        for (i, dtype) in self.args.iter().filter_map(|a| a.buffer).enumerate() {
            let at = at(i + 1);
            let _ = if dtype.size() == 8 {
                writeln!(s, "let a{i} = x{i}[2u * ({at})]; let b{i} = x{i}[2u * ({at}) + 1u];")
            } else {
                writeln!(s, "let a{i} = x{i}[{at}];")
            };
        }
        for e in 0..4 {
            let call = self.call(|i, dtype, num| {
                let native = Num::of(dtype);
                let value = match dtype.size() {
                    1 => element::unpack(dtype, &format!("a{i}"), &format!("{e}u")),
                    2 => {
                        let word = ["x", "y"][e / 2];
                        element::unpack(dtype, &format!("a{i}.{word}"), &format!("{}u", e % 2))
                    }
                    4 => format!("a{i}.{}", ["x", "y", "z", "w"][e]),
                    _ => format!("{}{i}.{}", ["a", "b"][e / 2], ["xy", "zw"][e % 2]),
                };
                element::convert(native, num, &value)
            });
            let _ = writeln!(s, "let y{e} = {call};");
            let _ = writeln!(
                s,
                "let r{e} = {};",
                element::pack(self.out, self.result, &format!("y{e}"))
            );
        }
        let (at, kind) = (at(0), element::stored(self.out));
        let _ = match self.out.size() {
            1 => writeln!(s, "out[{at}] = r0 | (r1 << 8u) | (r2 << 16u) | (r3 << 24u);"),
            2 => writeln!(s, "out[{at}] = vec2<u32>(r0 | (r1 << 16u), r2 | (r3 << 16u));"),
            4 => writeln!(s, "out[{at}] = vec4<{kind}>(r0, r1, r2, r3);"),
            _ => writeln!(
                s,
                "out[2u * ({at})] = vec4<u32>(r0, r1); out[2u * ({at}) + 1u] = vec4<u32>(r2, r3);"
            ),
        };
    }

    /// Element by element. Where the innermost size is a multiple of four, a thread's elements
    /// differ in that dimension only, and the places are found once.
    fn elements(&self, s: &mut String, buffers: usize) {
        let _ = writeln!(
            s,
            "let start = 4u * quad; let count = param({COUNT}u); let dims = param({DIMS}u);
    if (start >= count) {{ return; }}
    let end = min_u(start + 4u, count);
    var words = vec2<u32>(0u);"
        );
        let operands = buffers + 1;
        for k in 0..operands {
            let _ = writeln!(s, "var i{k} = param({}u);", OFFSETS + k);
        }
        let _ = writeln!(
            s,
            "for (var i = start; i < end; i++) {{
    if (i == start || param({QUADS}u) == 0u) {{
        var rest = i;"
        );
        for k in 0..operands {
            let _ = writeln!(s, "i{k} = param({}u);", OFFSETS + k);
        }
        let _ = writeln!(
            s,
            "for (var d = 0u; d + 1u < dims; d++) {{
        let size = param({SHAPE}u + d);
        let above = rest / size;
        let here = rest - above * size;
        rest = above;"
        );
        let stride = |k: usize| format!("param({SHAPE}u + dims * {}u", k + 1);
        for k in 0..operands {
            let _ = writeln!(s, "i{k} += here * {} + d);", stride(k));
        }
        s.push_str("}\n");
        for k in 0..operands {
            let _ = writeln!(s, "i{k} += rest * {} + dims - 1u);", stride(k));
        }
        s.push_str("} else {\n");
        for k in 0..operands {
            let _ = writeln!(s, "i{k} += {});", stride(k));
        }
        s.push_str("}\n");
        let call = self.call(|i, dtype, num| {
            element::load(dtype, num, &format!("x{i}"), &format!("i{}", i + 1))
        });
        let _ = writeln!(s, "let y = {call};");
        let value = element::pack(self.out, self.result, "y");
        let _ = match (self.mode, self.out.size()) {
            (Mode::Scatter, 1) => writeln!(
                s,
                "atomicAnd(&out[i0 >> 2u], ~(0xffu << (8u * (i0 & 3u))));
    atomicOr(&out[i0 >> 2u], {value} << (8u * (i0 & 3u)));"
            ),
            (Mode::Scatter, 2) => writeln!(
                s,
                "atomicAnd(&out[i0 >> 1u], ~(0xffffu << (16u * (i0 & 1u))));
    atomicOr(&out[i0 >> 1u], {value} << (16u * (i0 & 1u)));"
            ),
            (_, 1) => writeln!(s, "words.x |= {value} << (8u * (i & 3u));"),
            (_, 2) => writeln!(
                s,
                "let bits = {value} << (16u * (i & 1u));
    words |= select(vec2<u32>(0u, bits), vec2<u32>(bits, 0u), (i & 2u) == 0u);"
            ),
            _ => writeln!(s, "out[i0] = {value};"),
        };
        s.push_str("}\n");
        let _ = match (self.mode, self.out.size()) {
            (Mode::Words, 1) => writeln!(s, "out[(param({OFFSETS}u) >> 2u) + quad] = words.x;"),
            (Mode::Words, 2) => writeln!(
                s,
                "let word = (param({OFFSETS}u) >> 1u) + 2u * quad;
    out[word] = words.x;
    if (start + 2u < count) {{ out[word + 1u] = words.y; }}"
            ),
            _ => Ok(()),
        };
    }
}

fn scalar(num: Num, at: usize) -> String {
    match num {
        Num::F32 => format!("paramf({at}u)"),
        Num::I32 => format!("bitcast<i32>(param({at}u))"),
        Num::U32 => format!("param({at}u)"),
        Num::I64 | Num::U64 => format!("vec2<u32>(param({at}u), param({}u))", at + 1),
        Num::Bool => format!("(param({at}u) != 0u)"),
    }
}

/// An integer text with the suffix of the type at every call.
pub(super) fn suffixed(text: &str, num: Num) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find('(') {
        let head = rest[..at].trim_end();
        let name = head.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        out.push_str(head);
        if !name.is_empty() && !["both", "either", "not"].contains(&name) {
            out.push_str(suffix_of(name, num));
        }
        out.push('(');
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out
}

/// Functions that are the same on both 64-bit types have only the signed one's name.
fn suffix_of(name: &str, num: Num) -> &'static str {
    let own = num.suffix();
    let exists = || prelude::names().any(|n| n.strip_suffix(own) == Some(name));
    if num == Num::U64 && !exists() { Num::I64.suffix() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_get_the_suffix_of_the_type() {
        assert_eq!(suffixed("mul(x, x)", Num::I32), "mul_i(x, x)");
        let text = "both(ne(x, zero()), lt(other, zero()))";
        assert_eq!(suffixed(text, Num::U64), "both(ne_l(x, zero_l()), lt_ul(other, zero_l()))");
        assert_eq!(suffixed("(x)", Num::U32), "(x)");
    }
}
