//! The WGSL of the reductions.

use crate::dtype::DType;
use crate::gpu::map::element::{self, Num};

pub(super) const THREADS: usize = 256;
/// Where the words of a dispatch's parameters begin: the numbers, then the shape and stride of each
/// kept and each reduced dimension, innermost first.
pub(super) const TABLES: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Add,
    Mul,
    Max,
    Min,
    Any,
    All,
}

/// What a reduction carries from span to span.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Value(Fold, Num),
    /// Where the largest or smallest is.
    Place {
        largest: bool,
    },
}

impl Fold {
    pub(super) fn parse(op: &str) -> Option<Self> {
        Some(match op {
            "add" => Self::Add,
            "mul" => Self::Mul,
            "max" => Self::Max,
            "min" => Self::Min,
            "any" => Self::Any,
            "all" => Self::All,
            _ => return None,
        })
    }

    /// The type of the accumulators: that of the wider of input and result.
    pub(super) fn compute(self, x: DType, out: DType) -> Num {
        match (self, Num::of(x), Num::of(out)) {
            (Self::Any | Self::All, _, _) => Num::U32,
            (Self::Max | Self::Min, num, _) => num,
            (_, Num::F32, _) | (_, _, Num::F32) => Num::F32,
            (_, _, Num::U64) => Num::U64,
            _ => Num::I64,
        }
    }

    /// What sums and products of nothing are.
    pub(super) fn neutral(self) -> f64 {
        f64::from(u8::from(matches!(self, Self::Mul | Self::All)))
    }

    fn combine(self, num: Num) -> String {
        let wide = matches!(num, Num::I64 | Num::U64);
        match self {
            Self::Add if wide => "add_l(a, b)".into(),
            Self::Add => "a + b".into(),
            Self::Mul if wide => "mul_l(a, b)".into(),
            Self::Mul => "a * b".into(),
            Self::Max => format!("max{}(a, b)", num.suffix()),
            Self::Min => format!("min{}(a, b)", num.suffix()),
            Self::Any => "a | b".into(),
            Self::All => "a & b".into(),
        }
    }

    fn start(self, num: Num) -> &'static str {
        match (self, num) {
            (Self::Mul, Num::I64 | Num::U64) => "vec2<u32>(1u, 0u)",
            (Self::Mul, _) => "1.0",
            (Self::Max, Num::F32) => "-inf_()",
            (Self::Max, Num::I32) => "-2147483647 - 1",
            (Self::Max, Num::I64) => "vec2<u32>(0u, 0x80000000u)",
            (Self::Min, Num::F32) => "inf_()",
            (Self::Min, Num::I32) => "2147483647",
            (Self::Min, Num::I64) => "vec2<u32>(0xffffffffu, 0x7fffffffu)",
            (Self::Min, Num::U64) => "vec2<u32>(0xffffffffu)",
            (Self::Min, _) => "0xffffffffu",
            (Self::All, _) => "1u",
            (_, Num::F32) => "0.0",
            (_, Num::I64 | Num::U64) => "vec2<u32>(0u)",
            _ => "0u",
        }
    }
}

impl Kind {
    pub(super) fn key(self, from: DType, first: bool, line: bool) -> String {
        let from = if first { element::letter(from) } else { '-' };
        let walk = if line { ':' } else { '!' };
        match self {
            Self::Value(fold, num) => format!("reduce.{fold:?}{walk}{}{from}", num.tag()),
            Self::Place { .. } if !first => "reduce.place:-".into(),
            Self::Place { largest } => format!("reduce.place{walk}{largest}{from}"),
        }
    }

    /// Elements that the result of one span takes, and their dtype.
    pub(super) fn partial(self) -> (usize, DType) {
        match self {
            Self::Value(_, num) => (1, native(num)),
            Self::Place { .. } => (2, DType::U64),
        }
    }

    /// The kernel for an input of this dtype, or for the results of spans; `line` when one
    /// dimension is reduced.
    pub(super) fn source(self, from: DType, first: bool, line: bool) -> String {
        let (carried, start, combine, out) = match self {
            Self::Value(fold, num) => {
                (num.wgsl(), fold.start(num), fold.combine(num), element::stored(native(num)))
            }
            Self::Place { .. } => {
                ("vec4<u32>", "vec4<u32>(0u, 0u, 0xffffffffu, 0u)", BETTER.into(), "vec2<u32>")
            }
        };
        let stored = if first { element::stored(from) } else { out };
        let load = self.load(from, first);
        // The one dimension of most reductions needs no division.
        let place = if line {
            "k * step".to_owned()
        } else {
            format!("place_({TABLES}u + 2u * param(7u), param(8u), k)")
        };
        let store = match self {
            Self::Value(..) => "out[param(6u) + task] = part[lane];",
            Self::Place { .. } => STORE_PLACE,
        };
        format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<{stored}>;
@group(0) @binding(1) var<storage, read_write> out: array<{out}>;
var<workgroup> part: array<{carried}, {THREADS}>;
fn fold_(a: {carried}, b: {carried}) -> {carried} {{ return {combine}; }}
fn load_(base: u32, k: u32, step: u32) -> {carried} {{
    let at = base + {place};
    {load}
}}
fn start_() -> {carried} {{ return {start}; }}
{WALK}    if (live && lane % width == 0u) {{
        {store}
    }}
}}"
        )
    }

    fn load(self, from: DType, first: bool) -> String {
        match self {
            Self::Value(fold, num) if first => {
                let bits = matches!(fold, Fold::Any | Fold::All);
                let read = element::load(from, if bits { Num::Bool } else { num }, "x", "at");
                let read = if bits { element::convert(Num::Bool, num, &read) } else { read };
                format!("return {read};")
            }
            Self::Value(..) => "return x[at];".into(),
            Self::Place { .. } if !first => "return vec4<u32>(x[2u * at], x[2u * at + 1u]);".into(),
            Self::Place { largest } => {
                let num = Num::of(from);
                let value = element::load(from, num, "x", "at");
                let key = order_key(num, largest);
                format!("let v = {value};\n{key}\nreturn vec4<u32>(key, k, 0u);")
            }
        }
    }
}

/// Of two places the one with the larger key, or the first of equal ones.
const BETTER: &str = "select(a, b, lt_ul(a.xy, b.xy) || (eq_l(a.xy, b.xy) && b.z < a.z))";

const STORE_PLACE: &str = "let best = part[lane];
        if (param(9u) != 0u) {
            out[param(6u) + task] = vec2<u32>(best.z, 0u);
        } else {
            out[2u * task] = best.xy;
            out[2u * task + 1u] = best.zw;
        }";

/// `v` as an unsigned 64-bit key that grows with it, or falls when the smallest is wanted. NaN has
/// the largest key either way, both zeros the same.
fn order_key(num: Num, largest: bool) -> String {
    let key = match num {
        Num::F32 => {
            let value = if largest { "v" } else { "-v" };
            return format!(
                "let bits = bitcast<u32>({value});
    var rank = select(bits | 0x80000000u, ~bits, (bits >> 31u) != 0u);
    rank = select(rank, 0x80000000u, (bits & 0x7fffffffu) == 0u);
    let key = vec2<u32>(select(rank, 0xffffffffu, isnan(v)), 0u);"
            );
        }
        Num::I32 => "vec2<u32>(bitcast<u32>(v) ^ 0x80000000u, 0u)",
        Num::I64 => "v ^ vec2<u32>(0u, 0x80000000u)",
        Num::U64 => "v",
        Num::U32 | Num::Bool => "vec2<u32>(v, 0u)",
    };
    if largest { format!("let key = {key};") } else { format!("let key = ~({key});") }
}

/// The dtype that is stored as the type.
pub(super) const fn native(num: Num) -> DType {
    match num {
        Num::F32 => DType::F32,
        Num::I32 => DType::I32,
        Num::I64 => DType::I64,
        Num::U64 => DType::U64,
        Num::U32 | Num::Bool => DType::U32,
    }
}

/// Parameters: 0 rows, 1 spans per row, 2 elements per row, 3 elements per span, 4 threads per task,
/// 5 and 6 where input and result begin, 7 and 8 kept and reduced dimensions, 9 whether it is the last
/// stage. Tasks of neighbouring rows are neighbours. Four loads are under way at a time.
const WALK: &str = "fn place_(table: u32, dims: u32, index: u32) -> u32 {
    var rest = index;
    var at = 0u;
    for (var d = 0u; d + 1u < dims; d++) {
        let size = param(table + 2u * d);
        let above = rest / size;
        at += (rest - above * size) * param(table + 2u * d + 1u);
        rest = above;
    }
    return at + rest * param(table + 2u * dims - 1u);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let rows = param(0u);
    let width = param(4u);
    let task = linear_group(group, groups) * (256u / width) + lane / width;
    let live = task < rows * param(1u);
    var sum = start_();
    if (live) {
        let span = task / rows;
        let base = param(5u) + place_(10u, param(7u), task - span * rows);
        let end = min_u((span + 1u) * param(3u), param(2u));
        let step = param(11u + 2u * param(7u));
        var k = span * param(3u) + lane % width;
        while (k + 3u * width < end) {
            let low = fold_(load_(base, k, step), load_(base, k + width, step));
            let high = fold_(load_(base, k + 2u * width, step), load_(base, k + 3u * width, step));
            sum = fold_(sum, fold_(low, high));
            k += 4u * width;
        }
        while (k < end) {
            sum = fold_(sum, load_(base, k, step));
            k += width;
        }
    }
    part[lane] = sum;
    for (var half = width >> 1u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if (lane % width < half) { part[lane] = fold_(part[lane], part[lane + half]); }
    }
";
