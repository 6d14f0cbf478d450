//! Element types, their promotion, and the one macro that turns a `DType` into a Rust type.

use crate::error::{Error, Result};
use half::{bf16, f16};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

use DType::*;

pub const ALL: [DType; 13] = [Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64];

/// The type a kernel computes in; loads and stores convert to and from the storage type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compute {
    F32,
    F64,
    I64,
    U64,
    /// One byte, 0 or 1: what comparisons give and `where` takes.
    Bool,
}

impl DType {
    pub const fn size(self) -> usize {
        match self {
            Bool | U8 | I8 => 1,
            U16 | I16 | F16 | BF16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 => 8,
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, F16 | BF16 | F32 | F64)
    }

    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, Bool)
    }

    pub const fn is_signed(self) -> bool {
        matches!(self, I8 | I16 | I32 | I64) || self.is_float()
    }

    pub const fn compute(self) -> Compute {
        match self {
            F16 | BF16 | F32 => Compute::F32,
            F64 => Compute::F64,
            U64 => Compute::U64,
            _ => Compute::I64,
        }
    }

    /// PyTorch's name.
    pub const fn name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "uint8",
            I8 => "int8",
            U16 => "uint16",
            I16 => "int16",
            U32 => "uint32",
            I32 => "int32",
            U64 => "uint64",
            I64 => "int64",
            F16 => "float16",
            BF16 => "bfloat16",
            F32 => "float32",
            F64 => "float64",
        }
    }

    /// The name in a safetensors header.
    pub const fn safetensors(self) -> &'static str {
        match self {
            Bool => "BOOL",
            U8 => "U8",
            I8 => "I8",
            U16 => "U16",
            I16 => "I16",
            U32 => "U32",
            I32 => "I32",
            U64 => "U64",
            I64 => "I64",
            F16 => "F16",
            BF16 => "BF16",
            F32 => "F32",
            F64 => "F64",
        }
    }

    pub fn parse(name: &str) -> Result<Self> {
        let known = match name {
            "half" => Some(F16),
            "float" => Some(F32),
            "double" => Some(F64),
            "short" => Some(I16),
            "int" => Some(I32),
            "long" => Some(I64),
            _ => ALL.into_iter().find(|d| d.name() == name || d.safetensors() == name),
        };
        known.ok_or_else(|| {
            let names = ALL.map(DType::name).join(", ");
            Error::type_(format!("unknown dtype {name:?}")).hint(format!("the dtypes are {names}"))
        })
    }

    /// The dtype of `self op other` for two tensors of equal standing.
    pub fn promote(self, other: Self) -> Result<Self> {
        let (lo, hi) = if self <= other { (self, other) } else { (other, self) };
        Ok(match (lo, hi) {
            (a, b) if a == b => a,
            (Bool, b) => b,
            (F16, BF16) => F32,
            (_, b) if b.is_float() => b,
            (U64, b) | (b, U64) if b.is_signed() => {
                return Err(Error::type_(format!(
                    "no integer type holds both {} and {}",
                    lo.name(),
                    hi.name()
                ))
                .hint("cast one of them first, for example with x.to(rubigo.int64)"));
            }
            (a, b) if a.is_signed() == b.is_signed() => b,
            // One signed, one unsigned: the smallest signed type that holds both.
            (a, b) => {
                let unsigned = if a.is_signed() { b } else { a };
                let signed = if a.is_signed() { a } else { b };
                let need = match unsigned {
                    U8 => I16,
                    U16 => I32,
                    _ => I64,
                };
                if need > signed { need } else { signed }
            }
        })
    }

    /// The category order of promotion: bool, integer, float.
    pub const fn category(self) -> u8 {
        match self {
            Bool => 0,
            d if d.is_float() => 2,
            _ => 1,
        }
    }

    pub fn int_range(self) -> Option<(i128, i128)> {
        Some(match self {
            Bool => (0, 1),
            U8 => (0, u8::MAX as i128),
            I8 => (i8::MIN as i128, i8::MAX as i128),
            U16 => (0, u16::MAX as i128),
            I16 => (i16::MIN as i128, i16::MAX as i128),
            U32 => (0, u32::MAX as i128),
            I32 => (i32::MIN as i128, i32::MAX as i128),
            U64 => (0, u64::MAX as i128),
            I64 => (i64::MIN as i128, i64::MAX as i128),
            _ => return None,
        })
    }
}

impl Compute {
    pub const fn size(self) -> usize {
        match self {
            Compute::F32 => 4,
            Compute::Bool => 1,
            _ => 8,
        }
    }

    /// The storage type that needs no conversion.
    pub const fn native(self) -> DType {
        match self {
            Compute::F32 => F32,
            Compute::F64 => F64,
            Compute::I64 => I64,
            Compute::U64 => U64,
            Compute::Bool => Bool,
        }
    }
}

/// A Rust type that a tensor can hold. Conversions are Rust's `as`: wrapping between integers.
pub trait Element: Copy + Default + Send + Sync + PartialEq + PartialOrd + 'static {
    const DTYPE: DType;
    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
    fn to_i64(self) -> i64;
    fn to_u64(self) -> u64;
    fn from_f32(v: f32) -> Self;
    fn from_f64(v: f64) -> Self;
    fn from_i64(v: i64) -> Self;
    fn from_u64(v: u64) -> Self;
}

macro_rules! element_number {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = $d;
            #[inline(always)] fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn to_u64(self) -> u64 { self as u64 }
            #[inline(always)] fn from_f32(v: f32) -> Self { v as $t }
            #[inline(always)] fn from_f64(v: f64) -> Self { v as $t }
            #[inline(always)] fn from_i64(v: i64) -> Self { v as $t }
            #[inline(always)] fn from_u64(v: u64) -> Self { v as $t }
        }
    )*};
}
element_number!(u64 => U64, i64 => I64, f32 => F32, f64 => F64);

// Small integers take a float through i64, so that -1.0 becomes 255 in uint8, as in PyTorch.
macro_rules! element_small_int {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = $d;
            #[inline(always)] fn to_f32(self) -> f32 { self as f32 }
            #[inline(always)] fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)] fn to_i64(self) -> i64 { self as i64 }
            #[inline(always)] fn to_u64(self) -> u64 { self as u64 }
            #[inline(always)] fn from_f32(v: f32) -> Self { v as i64 as $t }
            #[inline(always)] fn from_f64(v: f64) -> Self { v as i64 as $t }
            #[inline(always)] fn from_i64(v: i64) -> Self { v as $t }
            #[inline(always)] fn from_u64(v: u64) -> Self { v as $t }
        }
    )*};
}
element_small_int!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32);

/// A bool as tensors hold it. Memory that was lent may come to hold other bytes than 0 and 1, of which a Rust
/// `bool` must not be made; all but 0 are true.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub struct Flag(u8);

impl Flag {
    #[inline(always)]
    pub const fn new(v: bool) -> Self {
        Self(v as u8)
    }

    #[inline(always)]
    pub const fn get(self) -> bool {
        self.0 != 0
    }
}

impl std::ops::BitOr for Flag {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self::new(self.get() | other.get())
    }
}

impl std::ops::BitAnd for Flag {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self::new(self.get() & other.get())
    }
}

impl PartialEq for Flag {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl PartialOrd for Flag {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.get().partial_cmp(&other.get())
    }
}

impl Element for Flag {
    const DTYPE: DType = Bool;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.get() as u8 as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.get() as u8 as f64
    }
    #[inline(always)]
    fn to_i64(self) -> i64 {
        self.get() as i64
    }
    #[inline(always)]
    fn to_u64(self) -> u64 {
        self.get() as u64
    }
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        Self::new(v != 0.0)
    }
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        Self::new(v != 0.0)
    }
    #[inline(always)]
    fn from_i64(v: i64) -> Self {
        Self::new(v != 0)
    }
    #[inline(always)]
    fn from_u64(v: u64) -> Self {
        Self::new(v != 0)
    }
}

macro_rules! element_half {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = $d;
            #[inline(always)] fn to_f32(self) -> f32 { <$t>::to_f32(self) }
            #[inline(always)] fn to_f64(self) -> f64 { <$t>::to_f64(self) }
            #[inline(always)] fn to_i64(self) -> i64 { <$t>::to_f32(self) as i64 }
            #[inline(always)] fn to_u64(self) -> u64 { <$t>::to_f32(self) as u64 }
            #[inline(always)] fn from_f32(v: f32) -> Self { <$t>::from_f32(v) }
            // By way of float32, as in PyTorch: half's own conversion drops bits, and differs with the machine.
            #[inline(always)] fn from_f64(v: f64) -> Self { <$t>::from_f32(v as f32) }
            #[inline(always)] fn from_i64(v: i64) -> Self { <$t>::from_f32(v as f32) }
            #[inline(always)] fn from_u64(v: u64) -> Self { <$t>::from_f32(v as f32) }
        }
    )*};
}
element_half!(f16 => F16, bf16 => BF16);

/// Runs `$body` with `$t` standing for the Rust type of `$dtype`.
#[macro_export]
macro_rules! with_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {{
        use $crate::dtype::DType as D_;
        match $dtype {
            D_::Bool => {
                type $t = $crate::dtype::Flag;
                $body
            }
            D_::U8 => {
                type $t = u8;
                $body
            }
            D_::I8 => {
                type $t = i8;
                $body
            }
            D_::U16 => {
                type $t = u16;
                $body
            }
            D_::I16 => {
                type $t = i16;
                $body
            }
            D_::U32 => {
                type $t = u32;
                $body
            }
            D_::I32 => {
                type $t = i32;
                $body
            }
            D_::U64 => {
                type $t = u64;
                $body
            }
            D_::I64 => {
                type $t = i64;
                $body
            }
            D_::F16 => {
                type $t = half::f16;
                $body
            }
            D_::BF16 => {
                type $t = half::bf16;
                $body
            }
            D_::F32 => {
                type $t = f32;
                $body
            }
            D_::F64 => {
                type $t = f64;
                $body
            }
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_is_commutative_and_keeps_values() {
        for a in ALL {
            for b in ALL {
                let (ab, ba) = (a.promote(b), b.promote(a));
                assert_eq!(ab.is_ok(), ba.is_ok());
                let (Ok(ab), Ok(ba)) = (ab, ba) else { continue };
                assert_eq!(ab, ba);
                if let (Some(ra), Some(rc)) = (a.int_range(), ab.int_range()) {
                    assert!(rc.0 <= ra.0 && ra.1 <= rc.1, "{a:?} {b:?} -> {ab:?}");
                }
            }
        }
    }

    #[test]
    fn known_promotions() {
        assert_eq!(U8.promote(I8).unwrap(), I16);
        assert_eq!(F16.promote(BF16).unwrap(), F32);
        assert_eq!(I64.promote(F16).unwrap(), F16);
        assert_eq!(U32.promote(I8).unwrap(), I64);
        assert_eq!(U16.promote(U8).unwrap(), U16);
        assert!(U64.promote(I8).is_err());
    }
}
