//! Matrix transposition, which is how channels get from planes to lanes and back.

/// `dst[j * dst_step + i] = src[i * src_step + j]` for i < rows, j < cols.
pub(super) struct Transpose<T> {
    pub(super) src: *const T,
    pub(super) src_step: usize,
    pub(super) dst: *mut T,
    pub(super) dst_step: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// Any element, any machine: blocks of 4 x 4, then the edges.
#[inline(always)]
pub(super) unsafe fn transpose<T: Copy>(t: &Transpose<T>) {
    const B: usize = 4;
    let Transpose { src, src_step, dst, dst_step, rows, cols } = *t;
    let (whole_rows, whole_cols) = (rows - rows % B, cols - cols % B);
    for i in (0..whole_rows).step_by(B) {
        for j in (0..whole_cols).step_by(B) {
            let from = src.add(i * src_step + j);
            let to = dst.add(j * dst_step + i);
            let mut block = [from.cast::<[T; B]>().read_unaligned(); B];
            for r in 1..B {
                block[r] = from.add(r * src_step).cast::<[T; B]>().read_unaligned();
            }
            for c in 0..B {
                let column = [block[0][c], block[1][c], block[2][c], block[3][c]];
                to.add(c * dst_step).cast::<[T; B]>().write_unaligned(column);
            }
        }
        for j in whole_cols..cols {
            for r in i..i + B {
                *dst.add(j * dst_step + r) = *src.add(r * src_step + j);
            }
        }
    }
    for i in whole_rows..rows {
        for j in 0..cols {
            *dst.add(j * dst_step + i) = *src.add(i * src_step + j);
        }
    }
}

/// Whole registers at a time, masked at the edges. Interleaving the lower half of a list of N rows with its upper half
/// log2(N) times transposes it.
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use super::Transpose;
    use std::arch::x86_64::*;

    macro_rules! transpose {
        ($name:ident, $t:ty, $n:literal, $mask:ty, $load:ident, $store:ident, $zero:ident, $pick:ident, $index:ident,
         $int:ty) => {
            #[inline(always)]
            pub(in super::super) unsafe fn $name(t: &Transpose<$t>) {
                let half = |first: $int| {
                    let mut order: [$int; $n] = [0; $n];
                    for i in 0..$n / 2 {
                        order[2 * i] = first + i as $int;
                        order[2 * i + 1] = first + i as $int + $n;
                    }
                    $index(order.as_ptr().cast())
                };
                let (lower, upper) = (half(0), half($n / 2));
                let mask = |n: usize| ((1u32 << n.min($n)) - 1) as $mask;
                for i in (0..t.rows).step_by($n) {
                    let down = mask(t.rows - i);
                    for j in (0..t.cols).step_by($n) {
                        let across = mask(t.cols - j);
                        let mut rows = [$zero(); $n];
                        for r in 0..$n {
                            if i + r < t.rows {
                                rows[r] = $load(across, t.src.add((i + r) * t.src_step + j));
                            }
                        }
                        let mut stride = 1;
                        while stride < $n {
                            let mut next = rows;
                            for r in 0..$n / 2 {
                                next[2 * r] = $pick(rows[r], lower, rows[r + $n / 2]);
                                next[2 * r + 1] = $pick(rows[r], upper, rows[r + $n / 2]);
                            }
                            rows = next;
                            stride *= 2;
                        }
                        for c in 0..$n {
                            if j + c < t.cols {
                                $store(t.dst.add((j + c) * t.dst_step + i), down, rows[c]);
                            }
                        }
                    }
                }
            }
        };
    }
    transpose!(
        transpose_f32,
        f32,
        16,
        __mmask16,
        _mm512_maskz_loadu_ps,
        _mm512_mask_storeu_ps,
        _mm512_setzero_ps,
        _mm512_permutex2var_ps,
        _mm512_loadu_si512,
        i32
    );
    transpose!(
        transpose_f64,
        f64,
        8,
        __mmask8,
        _mm512_maskz_loadu_pd,
        _mm512_mask_storeu_pd,
        _mm512_setzero_pd,
        _mm512_permutex2var_pd,
        _mm512_loadu_si512,
        i64
    );
}
