//! The polynomial of atan.

use super::fma;

/// What the f32 nearest to pi lacks.
pub(super) const PI_LOW: f32 = -8.742278e-8;

/// `(atan(t) - t) / t` for |t| <= tan(pi / 8), with `z = t^2`.
#[inline(always)]
pub(super) fn atan_tail(z: f32) -> f32 {
    z * poly!(z; -0.33333316, 0.19998494, -0.14243926, 0.105964795, -0.060845003)
}
