//! How kernels read and write elements: bytes and halves are packed into words, 64-bit integers are
//! pairs of them.

use crate::dtype::DType;

/// What a kernel computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Num {
    F32,
    I32,
    U32,
    I64,
    U64,
    Bool,
}

impl Num {
    /// The type that holds every value of the dtype.
    pub(crate) const fn of(dtype: DType) -> Self {
        match dtype {
            DType::I8 | DType::I16 | DType::I32 => Self::I32,
            DType::Bool | DType::U8 | DType::U16 | DType::U32 => Self::U32,
            DType::I64 => Self::I64,
            DType::U64 => Self::U64,
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Self::F32,
        }
    }

    pub(crate) const fn wgsl(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 | Self::U64 => "vec2<u32>",
            Self::Bool => "bool",
        }
    }

    /// The suffix of the prelude's functions on this type.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::F32 | Self::Bool => "",
            Self::I32 => "_i",
            Self::U32 => "_u",
            Self::I64 => "_l",
            Self::U64 => "_ul",
        }
    }

    pub(crate) const fn tag(self) -> char {
        match self {
            Self::F32 => 'f',
            Self::I32 => 'i',
            Self::U32 => 'u',
            Self::I64 => 'l',
            Self::U64 => 'w',
            Self::Bool => 'b',
        }
    }
}

/// A letter for kernel keys.
pub(crate) const fn letter(dtype: DType) -> char {
    (b'a' + dtype as u8) as char
}

/// The element type of a buffer's declaration.
pub(crate) const fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I32 => "i32",
        DType::I64 | DType::U64 => "vec2<u32>",
        _ => "u32",
    }
}

/// Element `at` (a name) of the buffer `array`, as `num`.
pub(crate) fn load(dtype: DType, num: Num, array: &str, at: &str) -> String {
    let element = match dtype.size() {
        1 => unpack(dtype, &format!("{array}[{at} >> 2u]"), &format!("({at} & 3u)")),
        2 => unpack(dtype, &format!("{array}[{at} >> 1u]"), &format!("({at} & 1u)")),
        _ => format!("{array}[{at}]"),
    };
    convert(Num::of(dtype), num, &element)
}

/// Element `lane` of a packed word, as the type that `Num::of` gives.
pub(crate) fn unpack(dtype: DType, word: &str, lane: &str) -> String {
    let bits = dtype.size() * 8;
    let (place, signed) = (format!("{bits}u * {lane}, {bits}u"), dtype.is_signed());
    match dtype {
        DType::F16 => format!("f32_from_f16bits(extractBits({word}, {place}))"),
        DType::BF16 => format!("f32_from_bf16bits(extractBits({word}, {place}))"),
        _ if signed => format!("extractBits(bitcast<i32>({word}), {place})"),
        _ => format!("extractBits({word}, {place})"),
    }
}

/// `value` of type `num` as it is stored: the low bits of a word for packed dtypes.
pub(crate) fn pack(dtype: DType, num: Num, value: &str) -> String {
    let as_u32 = || convert(num, Num::U32, value);
    match dtype {
        DType::Bool => convert(Num::Bool, Num::U32, &convert(num, Num::Bool, value)),
        DType::U8 | DType::I8 => format!("({} & 0xffu)", as_u32()),
        DType::U16 | DType::I16 => format!("({} & 0xffffu)", as_u32()),
        DType::F16 => format!("f16bits_from_f32({})", convert(num, Num::F32, value)),
        DType::BF16 => format!("bf16bits_from_f32({})", sticky(num, value)),
        _ => convert(num, Num::of(dtype), value),
    }
}

/// As float32, so that rounding once more rounds the integer itself.
fn sticky(num: Num, value: &str) -> String {
    match num {
        Num::U64 => format!("f32_sticky_from_ul({value})"),
        Num::I64 | Num::I32 | Num::U32 => {
            format!("f32_sticky_from_l({})", convert(num, Num::I64, value))
        }
        Num::F32 | Num::Bool => convert(num, Num::F32, value),
    }
}

/// A conversion as the CPU makes it: integers wrap, floats saturate at 64 bits and NaN gives 0.
pub(crate) fn convert(from: Num, to: Num, value: &str) -> String {
    use Num::{Bool, F32, I32, I64, U32, U64};
    match (from, to) {
        (a, b) if a == b => value.to_owned(),
        (I64, U64) | (U64, I64) => value.to_owned(),
        (F32, Bool) => format!("((bitcast<u32>({value}) & 0x7fffffffu) != 0u)"),
        (I32, Bool) => format!("({value} != 0)"),
        (U32, Bool) => format!("({value} != 0u)"),
        (I64 | U64, Bool) => format!("ne_l({value}, vec2<u32>(0u))"),
        (Bool, F32) => format!("select(0.0, 1.0, {value})"),
        (Bool, I32) => format!("select(0, 1, {value})"),
        (Bool, U32) => format!("select(0u, 1u, {value})"),
        (Bool, _) => format!("l_from_u32(select(0u, 1u, {value}))"),
        (I32 | U32, F32) => format!("f32({value})"),
        (I64, F32) => format!("f32_from_l({value})"),
        (U64, F32) => format!("f32_from_ul({value})"),
        (F32, I32) => format!("wrapped_i({value})"),
        (F32, U32) => format!("bitcast<u32>(wrapped_i({value}))"),
        (F32, I64) => format!("saturated_l({value})"),
        (F32, _) => format!("saturated_ul({value})"),
        (I32, U32) => format!("bitcast<u32>({value})"),
        (U32, I32) => format!("bitcast<i32>({value})"),
        (I32, _) => format!("l_from_i32({value})"),
        (U32, _) => format!("l_from_u32({value})"),
        (_, I32) => format!("i32_from_l({value})"),
        (_, _) => format!("u32_from_l({value})"),
    }
}
