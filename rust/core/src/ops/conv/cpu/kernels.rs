//! The element types and, per instruction set, their kernels.

use super::lanes::{Array, Lanes};
use super::rows::{Dots, Rows, Split, dots, rows, split};
use super::tile::{MAX_NV, Tile, tile};
use super::transpose::{self, Transpose};
use crate::cpu::simd::{Isa, isa};
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul};

/// An element type that the convolution and pooling kernels compute in.
pub trait Elem:
    Copy
    + Send
    + Sync
    + Default
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + 'static
{
    /// Minus infinity.
    const LOWEST: Self;
    fn from_i64(n: i64) -> Self;
    /// Vectors of the AVX-512, the AVX2 and the portable instruction set.
    #[cfg(target_arch = "x86_64")]
    type Wide: Lanes<T = Self>;
    #[cfg(target_arch = "x86_64")]
    type Middle: Lanes<T = Self>;
    type Plain: Lanes<T = Self>;
    fn to_index(self) -> usize;
    /// Elements per vector.
    fn lanes() -> usize {
        Self::kernels().lanes
    }
    #[doc(hidden)]
    fn kernels() -> &'static Kernels<Self>;
}

/// What one instruction set offers for one element type.
#[doc(hidden)]
pub struct Kernels<T: 'static> {
    /// Elements per vector.
    pub(super) lanes: usize,
    /// Rows of a tile.
    pub(super) mr: usize,
    /// By the number of vectors per panel row, from one.
    pub(super) tile: [unsafe fn(&Tile<'_, T>); MAX_NV],
    pub(super) rows: unsafe fn(&Rows<'_, T>),
    pub(super) dots: unsafe fn(&mut Dots<'_, T>),
    pub(super) split: unsafe fn(&Split<T>),
    pub(super) transpose: unsafe fn(&Transpose<T>),
}

macro_rules! kernels {
    ($module:ident, $t:ty, $v:ty, $mr:literal, $transpose:path $(, $feature:literal)?) => {
        mod $module {
            use super::*;

            $(#[target_feature(enable = $feature)])?
            unsafe fn tile_of<const NV: usize>(t: &Tile<'_, $t>) {
                tile::<$v, $mr, NV>(t);
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn rows_of(t: &Rows<'_, $t>) {
                rows::<$v>(t);
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn dots_of(t: &mut Dots<'_, $t>) {
                dots::<$v>(t);
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn split_of(t: &Split<$t>) {
                split::<$v>(t);
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn transpose_of(t: &Transpose<$t>) {
                $transpose(t);
            }
            pub(super) static KERNELS: Kernels<$t> = Kernels {
                lanes: <$v as Lanes>::N,
                mr: $mr,
                tile: [tile_of::<1>, tile_of::<2>, tile_of::<3>],
                rows: rows_of,
                dots: dots_of,
                split: split_of,
                transpose: transpose_of,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
use super::lanes::x86::{F32x8, F32x16, F64x4, F64x8};
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_f32,
    f32,
    F32x16,
    8,
    transpose::avx512::transpose_f32,
    "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_f64,
    f64,
    F64x8,
    8,
    transpose::avx512::transpose_f64,
    "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"
);
#[cfg(target_arch = "x86_64")]
kernels!(avx2_f32, f32, F32x8, 4, transpose::transpose, "avx2,fma");
#[cfg(target_arch = "x86_64")]
kernels!(avx2_f64, f64, F64x4, 4, transpose::transpose, "avx2,fma");
// 32 registers on 64-bit ARM, 16 elsewhere.
#[cfg(target_arch = "aarch64")]
kernels!(plain_f32, f32, Array<f32, 4>, 8, transpose::transpose);
#[cfg(target_arch = "aarch64")]
kernels!(plain_f64, f64, Array<f64, 2>, 8, transpose::transpose);
#[cfg(not(target_arch = "aarch64"))]
kernels!(plain_f32, f32, Array<f32, 4>, 4, transpose::transpose);
#[cfg(not(target_arch = "aarch64"))]
kernels!(plain_f64, f64, Array<f64, 2>, 4, transpose::transpose);

macro_rules! elem {
    ($t:ty, $avx512:ident $wide:ty, $avx2:ident $middle:ty, $plain:ident $array:ty) => {
        impl Elem for $t {
            #[cfg(target_arch = "x86_64")]
            type Wide = $wide;
            #[cfg(target_arch = "x86_64")]
            type Middle = $middle;
            type Plain = $array;
            fn to_index(self) -> usize {
                self as usize
            }
            const LOWEST: Self = <$t>::NEG_INFINITY;
            fn from_i64(n: i64) -> Self {
                n as $t
            }
            fn kernels() -> &'static Kernels<Self> {
                match isa() {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => &$avx512::KERNELS,
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => &$avx2::KERNELS,
                    _ => &$plain::KERNELS,
                }
            }
        }
    };
}
elem!(f32, avx512_f32 F32x16, avx2_f32 F32x8, plain_f32 Array<f32, 4>);
elem!(f64, avx512_f64 F64x8, avx2_f64 F64x4, plain_f64 Array<f64, 2>);
