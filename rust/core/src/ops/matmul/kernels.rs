//! The inner loops, written once over `Lanes` and compiled for each instruction set.

use super::kernels_thin::{axpy_text, dot_text};
use super::lanes::{Lanes, Plain};
use super::pack::transpose_plain;
use crate::cpu::simd::Isa;

/// One tile of C: `rows x cols` over `k`.
pub(super) struct Tile<T> {
    pub(super) k: usize,
    /// Packed kernels read A at `a[p * M + i]` and ignore these strides.
    pub(super) a: *const T,
    pub(super) a_rs: isize,
    pub(super) a_cs: isize,
    /// A whole number of vectors is read from each row of B.
    pub(super) b: *const T,
    pub(super) b_rs: isize,
    pub(super) c: *mut T,
    pub(super) c_rs: isize,
    /// The tile's first column; see `Output::block` for where it lies.
    pub(super) col: usize,
    pub(super) cols: usize,
    pub(super) block: usize,
    pub(super) block_stride: isize,
    /// Add what C holds.
    pub(super) load_c: bool,
    /// At the tile's first column and row; null for none.
    pub(super) bias_n: *const T,
    pub(super) bias_m: *const T,
    pub(super) relu: bool,
}

pub(super) type TileKernel<T> = unsafe fn(&Tile<T>);
pub(super) type PackKernel<T> = unsafe fn(usize, usize, *const T, isize, usize, *mut T);

/// A product with few rows: `out[r * os + j] = sum over p < k of x(r, p) * mat(p, j)` for r < rows,
/// j < cols.
pub(super) struct Thin<T> {
    pub(super) k: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) x: *const T,
    pub(super) x_rs: isize,
    /// `dot` takes x contiguous along k and ignores it.
    pub(super) x_ks: isize,
    pub(super) mat: *const T,
    /// From one row of the matrix to the next in memory; `axpy` has a row for each p, `dot` one for
    /// each j.
    pub(super) mat_rs: isize,
    pub(super) out: *mut T,
    pub(super) os: usize,
}

/// The most rows that `axpy` takes.
pub(super) const AXPY_ROWS: usize = 4;

/// The kernels of one element type in one instruction set.
pub(super) struct Kernels<T: 'static> {
    pub(super) lanes: usize,
    /// The most rows of a tile.
    pub(super) mr: usize,
    /// Columns of a tile, and of a packed panel of B.
    pub(super) nr: usize,
    /// `packed[rows - 1][vectors - 1]`
    pub(super) packed: &'static [[TileKernel<T>; 2]],
    pub(super) strided: &'static [[TileKernel<T>; 2]],
    pub(super) axpy: unsafe fn(&Thin<T>),
    pub(super) dot: unsafe fn(&Thin<T>),
    /// (kc, nx, src, stride, width, dst): `dst[p * width + i] = src[p * stride + i]` for p < kc, i
    /// < nx, then zeros.
    pub(super) copy: PackKernel<T>,
    /// As `copy` from `src[i * stride + p]`, with no zeros.
    pub(super) transpose: PackKernel<T>,
}

/// f32 and f64.
pub trait Real:
    Copy
    + Send
    + Sync
    + Default
    + PartialEq
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + HasKernels
    + 'static
{
}
impl Real for f32 {}
impl Real for f64 {}

/// Seals `Real`, and finds its kernels.
#[allow(private_interfaces)]
pub trait HasKernels: Sized + 'static {
    fn kernels(isa: Isa) -> &'static Kernels<Self>;
}

#[inline(always)]
unsafe fn tile_text<S: Lanes, const M: usize, const N: usize, const PACKED: bool>(t: &Tile<S::T>) {
    // SAFETY: the caller's: A, B and C are valid for the tile.
    unsafe {
        let (a_rs, a_cs) = if PACKED { (1, M as isize) } else { (t.a_rs, t.a_cs) };
        let (mut a, mut b) = (t.a, t.b);
        let inside = t.col % t.block;
        let c = t.c.offset((t.col / t.block) as isize * t.block_stride).add(inside);
        // C is on its way while the tile is computed.
        for i in 0..M {
            S::prefetch(c.offset(i as isize * t.c_rs));
        }
        let mut acc = [[S::zero(); N]; M];
        for _ in 0..t.k {
            let mut row = [S::zero(); N];
            for v in 0..N {
                row[v] = S::load(b.add(v * S::LANES));
            }
            for i in 0..M {
                let x = S::splat(a.offset(i as isize * a_rs));
                for v in 0..N {
                    acc[i][v] = S::fma(x, row[v], acc[i][v]);
                }
            }
            a = a.offset(a_cs);
            b = b.offset(t.b_rs);
        }
        let simple = t.bias_n.is_null() && t.bias_m.is_null() && !t.relu;
        if simple && t.cols == N * S::LANES && t.cols <= t.block - inside {
            for i in 0..M {
                let row = c.offset(i as isize * t.c_rs);
                for v in 0..N {
                    let at = row.add(v * S::LANES);
                    let old = if t.load_c { S::load(at) } else { S::zero() };
                    S::store(at, S::add(acc[i][v], old));
                }
            }
        } else {
            let mut buffer = [[S::zero(); N]; M];
            for i in 0..M {
                for v in 0..N {
                    buffer[i][v] = acc[i][v];
                }
            }
            finish::<S>(t, buffer.as_ptr().cast(), M, N * S::LANES);
        }
    }
}

/// Writes a tile that needs more than a plain store: an edge, an epilogue, or columns in several
/// blocks.
#[inline(always)]
unsafe fn finish<S: Lanes>(t: &Tile<S::T>, buffer: *const S::T, rows: usize, width: usize) {
    // SAFETY: `buffer` holds rows * width elements, the rest is the caller's.
    unsafe {
        let mut j = 0;
        while j < t.cols {
            let (outer, inside) = ((t.col + j) / t.block, (t.col + j) % t.block);
            let len = S::LANES.min(t.cols - j).min(t.block - inside);
            let c = t.c.offset(outer as isize * t.block_stride).add(inside);
            let bias_n =
                if t.bias_n.is_null() { S::zero() } else { S::load_part(t.bias_n.add(j), len) };
            for i in 0..rows {
                let at = c.offset(i as isize * t.c_rs);
                let mut v = S::load_part(buffer.add(i * width + j), len);
                if t.load_c {
                    v = S::add(v, S::load_part(at, len));
                }
                v = S::add(v, bias_n);
                if !t.bias_m.is_null() {
                    v = S::add(v, S::splat(t.bias_m.add(i)));
                }
                if t.relu {
                    v = S::relu(v);
                }
                S::store_part(at, len, v);
            }
            j += len;
        }
    }
}

#[inline(always)]
unsafe fn copy_text<S: Lanes>(
    kc: usize,
    nx: usize,
    src: *const S::T,
    stride: isize,
    width: usize,
    dst: *mut S::T,
) {
    let full = nx / S::LANES * S::LANES;
    let rest = nx - full;
    for p in 0..kc {
        // The rows lie too far apart for the machine to fetch them ahead by itself.
        S::prefetch(src.wrapping_offset((p + 16) as isize * stride));
        // SAFETY: the caller's.
        unsafe {
            let (from, to) = (src.offset(p as isize * stride), dst.add(p * width));
            for i in (0..full).step_by(S::LANES) {
                S::store(to.add(i), S::load(from.add(i)));
            }
            if rest > 0 {
                let v = S::load_part(from.add(full), rest);
                S::store_part(to.add(full), S::LANES.min(width - full), v);
            }
            for i in (nx.next_multiple_of(S::LANES)..width).step_by(S::LANES) {
                S::store_part(to.add(i), S::LANES.min(width - i), S::zero());
            }
        }
    }
}

/// `$f::<rows, vectors, packed>` for 1 and 2 vectors and each number of rows.
macro_rules! table {
    ($f:ident, $packed:literal, $($m:literal)*) => {
        &[$([$f::<$m, 1, $packed>, $f::<$m, 2, $packed>]),*]
    };
}

/// Compiles the kernels of `$lanes` with `$features`, as the module `$name` with one `KERNELS`.
macro_rules! compile {
    (
        $name:ident, $t:ty, $lanes:ty, $transpose:path, [$(#[$features:meta])?],
        $mr:literal: $($m:literal)*
    ) => {
        mod $name {
            use super::*;

            $(#[$features])?
            unsafe fn tile<const M: usize, const N: usize, const PACKED: bool>(t: &Tile<$t>) {
                unsafe { tile_text::<$lanes, M, N, PACKED>(t) }
            }
            $(#[$features])?
            unsafe fn axpy(g: &Thin<$t>) {
                unsafe { axpy_text::<$lanes>(g) }
            }
            $(#[$features])?
            unsafe fn dot(g: &Thin<$t>) {
                unsafe { dot_text::<$lanes>(g) }
            }
            $(#[$features])?
            unsafe fn copy(
                kc: usize,
                nx: usize,
                src: *const $t,
                stride: isize,
                width: usize,
                dst: *mut $t,
            ) {
                unsafe { copy_text::<$lanes>(kc, nx, src, stride, width, dst) }
            }

            pub(super) static KERNELS: Kernels<$t> = Kernels {
                lanes: <$lanes>::LANES,
                mr: $mr,
                nr: 2 * <$lanes>::LANES,
                packed: table!(tile, true, $($m)*),
                strided: table!(tile, false, $($m)*),
                axpy,
                dot,
                copy,
                transpose: $transpose,
            };
        }
    };
}

compile!(plain32, f32, Plain<f32>, transpose_plain::<f32>, [], 4: 1 2 3 4);
compile!(plain64, f64, Plain<f64>, transpose_plain::<f64>, [], 4: 1 2 3 4);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::lanes::x86::{Avx2, Avx512};
    use super::super::pack::x86::{transpose_f32, transpose_f64};
    use super::*;

    compile!(
        avx2_32, f32, Avx2<f32>, transpose_f32, [#[target_feature(enable = "avx2,fma")]],
        6: 1 2 3 4 5 6
    );
    compile!(
        avx2_64, f64, Avx2<f64>, transpose_f64, [#[target_feature(enable = "avx2,fma")]],
        6: 1 2 3 4 5 6
    );
    compile!(
        avx512_32, f32, Avx512<f32>, transpose_f32,
        [#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]],
        14: 1 2 3 4 5 6 7 8 9 10 11 12 13 14
    );
    compile!(
        avx512_64, f64, Avx512<f64>, transpose_f64,
        [#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]],
        14: 1 2 3 4 5 6 7 8 9 10 11 12 13 14
    );

    #[allow(private_interfaces)]
    impl HasKernels for f32 {
        fn kernels(isa: Isa) -> &'static Kernels<f32> {
            match isa {
                Isa::Avx512 => &avx512_32::KERNELS,
                Isa::Avx2 => &avx2_32::KERNELS,
                Isa::Portable | Isa::Neon => &plain32::KERNELS,
            }
        }
    }
    #[allow(private_interfaces)]
    impl HasKernels for f64 {
        fn kernels(isa: Isa) -> &'static Kernels<f64> {
            match isa {
                Isa::Avx512 => &avx512_64::KERNELS,
                Isa::Avx2 => &avx2_64::KERNELS,
                Isa::Portable | Isa::Neon => &plain64::KERNELS,
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod other {
    #[cfg(target_arch = "aarch64")]
    use super::super::lanes::neon::Neon;
    use super::*;

    #[cfg(target_arch = "aarch64")]
    compile!(neon32, f32, Neon<f32>, transpose_plain::<f32>, [], 8: 1 2 3 4 5 6 7 8);
    #[cfg(target_arch = "aarch64")]
    compile!(neon64, f64, Neon<f64>, transpose_plain::<f64>, [], 8: 1 2 3 4 5 6 7 8);

    #[allow(private_interfaces)]
    impl HasKernels for f32 {
        fn kernels(isa: Isa) -> &'static Kernels<f32> {
            match isa {
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => &neon32::KERNELS,
                _ => &plain32::KERNELS,
            }
        }
    }
    #[allow(private_interfaces)]
    impl HasKernels for f64 {
        fn kernels(isa: Isa) -> &'static Kernels<f64> {
            match isa {
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => &neon64::KERNELS,
                _ => &plain64::KERNELS,
            }
        }
    }
}
