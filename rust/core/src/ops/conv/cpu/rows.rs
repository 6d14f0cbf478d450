//! The kernels for few channels (depthwise above all): vector lanes are neighbouring pixels of one row.

use super::lanes::Lanes;

/// `y[r, u] = relu?(start + sum over taps of weights[t] * x[r * x_step + taps[t] + u])` for u < cols.
///
/// Whole vectors of x are read, so x needs `Lanes::N` elements of slack at its end.
pub(super) struct Rows<'a, T> {
    pub(super) x: *const T,
    pub(super) x_step: usize,
    pub(super) taps: &'a [usize],
    pub(super) weights: &'a [T],
    pub(super) y: *mut T,
    pub(super) y_step: usize,
    pub(super) count: usize,
    pub(super) cols: usize,
    /// Where the sums start; `None`: at what y holds.
    pub(super) start: Option<T>,
    pub(super) relu: bool,
}

#[inline(always)]
pub(super) unsafe fn rows<V: Lanes>(t: &Rows<'_, V::T>) {
    // Rows together share the loading of weights, and hide each other's latency.
    let whole = t.count - t.count % 4;
    for r in (0..whole).step_by(4) {
        some_rows::<V, 4>(t, r);
    }
    for r in whole..t.count {
        some_rows::<V, 1>(t, r);
    }
}

#[inline(always)]
unsafe fn some_rows<V: Lanes, const R: usize>(t: &Rows<'_, V::T>, first: usize) {
    let x = t.x.add(first * t.x_step);
    for u in (0..t.cols).step_by(V::N) {
        let left = t.cols - u;
        let y = t.y.add(first * t.y_step + u);
        let mut acc = [V::zero(); R];
        for r in 0..R {
            let y = y.add(r * t.y_step);
            acc[r] = match t.start {
                Some(bias) => V::splat(bias),
                None if left < V::N => V::load_first(y, left, V::zero()),
                None => V::load(y),
            };
        }
        for (&tap, &w) in t.taps.iter().zip(t.weights) {
            let (x, w) = (x.add(tap + u), V::splat(w));
            for r in 0..R {
                acc[r] = w.fma(V::load(x.add(r * t.x_step)), acc[r]);
            }
        }
        for r in 0..R {
            let out = if t.relu { acc[r].relu() } else { acc[r] };
            let y = y.add(r * t.y_step);
            if left < V::N {
                out.store_first(y, left);
            } else {
                out.store(y);
            }
        }
    }
}

/// `to[r][residue][q] = from[r, q * step + residue]`, for columns lo <= q * step + residue < hi.
///
/// Up to a vector behind the last column of each residue and row is set to `border` (and then overwritten by what
/// belongs there): `to` needs that slack at its end.
pub(super) struct Split<T> {
    pub(super) from: *const T,
    pub(super) from_step: usize,
    pub(super) to: *mut T,
    pub(super) step: usize,
    /// Columns per residue.
    pub(super) width: usize,
    pub(super) rows: usize,
    pub(super) lo: usize,
    pub(super) hi: usize,
    pub(super) border: T,
}

#[inline(always)]
pub(super) unsafe fn split<V: Lanes>(t: &Split<V::T>) {
    let border = V::splat(t.border);
    let range = |residue: usize| {
        let first = (t.lo + t.step - 1 - residue) / t.step;
        (first, (t.hi + t.step - 1 - residue) / t.step - first)
    };
    let common = [range(0), range(t.step.min(2) - 1)];
    for r in 0..t.rows {
        for residue in 0..t.step {
            let (first, n) = if residue < 2 { common[residue] } else { range(residue) };
            let from = t.from.wrapping_add(r * t.from_step + first * t.step + residue);
            let to = t.to.add((r * t.step + residue) * t.width + first);
            if t.step == 1 {
                for u in (0..n).step_by(V::N) {
                    load_up_to::<V>(from, u, n, border).store(to.add(u));
                }
            } else if t.step == 2 {
                for u in (0..n).step_by(V::N) {
                    let lower = load_up_to::<V>(from, 2 * u, 2 * n - 1, border);
                    let upper = load_up_to::<V>(from, 2 * u + V::N, 2 * n - 1, border);
                    lower.evens(upper).store(to.add(u));
                }
            } else {
                for u in 0..n {
                    *to.add(u) = *from.add(u * t.step);
                }
            }
        }
    }
}

/// The elements p[u..] as far as they lie before p[n]; `rest` for the others.
#[inline(always)]
unsafe fn load_up_to<V: Lanes>(p: *const V::T, u: usize, n: usize, rest: V) -> V {
    if u + V::N <= n {
        V::load(p.add(u))
    } else if u < n {
        V::load_first(p.add(u), n - u, rest)
    } else {
        rest
    }
}

/// Taps that one pass over the rows of `dots` sums at a time.
const AT_ONCE: usize = 4;

/// `sums[t] += sum over r, u of x[r * x_step + taps[t] + u] * g[r * g_step + u]`. Reads nothing beyond `cols`.
pub(super) struct Dots<'a, T> {
    pub(super) x: *const T,
    pub(super) x_step: usize,
    pub(super) taps: &'a [usize],
    pub(super) g: *const T,
    pub(super) g_step: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) sums: &'a mut [T],
}

#[inline(always)]
pub(super) unsafe fn dots<V: Lanes>(t: &mut Dots<'_, V::T>)
where
    V::T: std::ops::AddAssign + Default,
{
    let mut first = 0;
    while first + AT_ONCE <= t.taps.len() {
        dots_of::<V, AT_ONCE>(t, first);
        first += AT_ONCE;
    }
    for tap in first..t.taps.len() {
        dots_of::<V, 1>(t, tap);
    }
}

#[inline(always)]
unsafe fn dots_of<V: Lanes, const K: usize>(t: &mut Dots<'_, V::T>, first: usize)
where
    V::T: std::ops::AddAssign + Default,
{
    let mut taps = [0; K];
    taps.copy_from_slice(&t.taps[first..first + K]);
    let mut acc = [V::zero(); K];
    let whole = t.cols - t.cols % V::N;
    let rest = t.cols - whole;
    for r in 0..t.rows {
        let x = t.x.add(r * t.x_step);
        let g = t.g.add(r * t.g_step);
        for u in (0..whole).step_by(V::N) {
            let gv = V::load(g.add(u));
            for k in 0..K {
                acc[k] = gv.fma(V::load(x.add(taps[k] + u)), acc[k]);
            }
        }
        if rest > 0 {
            let gv = V::load_first(g.add(whole), rest, V::zero());
            for k in 0..K {
                acc[k] = gv.fma(V::load_first(x.add(taps[k] + whole), rest, V::zero()), acc[k]);
            }
        }
    }
    for k in 0..K {
        let mut lanes = [V::T::default(); 16];
        acc[k].store(lanes.as_mut_ptr());
        let mut half = V::N / 2;
        while half > 0 {
            for i in 0..half {
                let upper = lanes[i + half];
                lanes[i] += upper;
            }
            half /= 2;
        }
        t.sums[first + k] += lanes[0];
    }
}
