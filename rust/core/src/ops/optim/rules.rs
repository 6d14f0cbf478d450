//! The update of one element, once in Rust and once in WGSL. The slots of an element are the parameter, the gradient
//! and the optimizer's state; the gradient's is not stored.

use super::{Adam, RmsProp, Sgd};
use crate::dtype::Element;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Slots of an element, at most.
pub(super) const SLOTS: usize = 5;
/// The numbers of a step, in an order that each rule knows.
pub(super) type Coefficients = [f64; 8];

pub(super) trait Rule {
    /// Slots in use.
    const USED: usize;
    const KEY: &'static str;
    /// Works on the variables p, g, a, b, c; reads coefficients as k(i).
    const WGSL: &'static str;
    fn apply<T: Real>(k: &[T; 8], e: &mut [T; SLOTS]);
}

pub(super) trait Real:
    Element
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    fn sqrt(self) -> Self;
    fn is_nan(self) -> bool;
}

impl Real for f32 {
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

fn sign(maximize: bool) -> f64 {
    if maximize { -1.0 } else { 1.0 }
}

impl Sgd {
    pub(super) fn coefficients(&self) -> Coefficients {
        let keep = 1.0 - self.dampening;
        [sign(self.maximize), self.weight_decay, self.lr, self.momentum, keep, 0.0, 0.0, 0.0]
    }
}

pub(super) struct SgdRule;

impl Rule for SgdRule {
    const USED: usize = 2;
    const KEY: &'static str = "optim.sgd";
    const WGSL: &'static str = "p -= k(2u) * (k(0u) * g + k(1u) * p);";

    #[inline(always)]
    fn apply<T: Real>(k: &[T; 8], [p, g, ..]: &mut [T; SLOTS]) {
        *p = *p - k[2] * (k[0] * *g + k[1] * *p);
    }
}

pub(super) struct Momentum<const NESTEROV: bool, const FIRST: bool>;

impl<const NESTEROV: bool, const FIRST: bool> Rule for Momentum<NESTEROV, FIRST> {
    const USED: usize = 3;
    const KEY: &'static str = match (NESTEROV, FIRST) {
        (false, false) => "optim.momentum",
        (false, true) => "optim.momentum.first",
        (true, false) => "optim.nesterov",
        (true, true) => "optim.nesterov.first",
    };
    const WGSL: &'static str = match (NESTEROV, FIRST) {
        (false, false) => "g = k(0u) * g + k(1u) * p; a = k(3u) * a + k(4u) * g; p -= k(2u) * a;",
        (false, true) => "a = k(0u) * g + k(1u) * p; p -= k(2u) * a;",
        (true, false) => {
            "g = k(0u) * g + k(1u) * p; a = k(3u) * a + k(4u) * g; p -= k(2u) * (g + k(3u) * a);"
        }
        (true, true) => "a = k(0u) * g + k(1u) * p; p -= k(2u) * (a + k(3u) * a);",
    };

    #[inline(always)]
    fn apply<T: Real>(k: &[T; 8], [p, g, a, ..]: &mut [T; SLOTS]) {
        let d = k[0] * *g + k[1] * *p;
        *a = if FIRST { d } else { k[3] * *a + k[4] * d };
        *p = *p - k[2] * if NESTEROV { d + k[3] * *a } else { *a };
    }
}

impl Adam {
    pub(super) fn coefficients(&self, step: i64) -> Coefficients {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let (decay, shrink) = if self.decoupled {
            (0.0, 1.0 - self.lr * self.weight_decay)
        } else {
            (self.weight_decay, 1.0)
        };
        let step_size = self.lr / correction(self.beta1);
        let root = correction(self.beta2).sqrt();
        [sign(self.maximize), decay, shrink, self.beta1, self.beta2, root, self.eps, step_size]
    }
}

pub(super) struct AdamRule<const AMSGRAD: bool>;

impl<const AMSGRAD: bool> Rule for AdamRule<AMSGRAD> {
    const USED: usize = if AMSGRAD { 5 } else { 4 };
    const KEY: &'static str = if AMSGRAD { "optim.amsgrad" } else { "optim.adam" };
    const WGSL: &'static str = if AMSGRAD {
        "p *= k(2u); g = k(0u) * g + k(1u) * p; a = k(3u) * a + (1.0 - k(3u)) * g;
        b = k(4u) * b + (1.0 - k(4u)) * g * g; c = max(c, b);
        p -= k(7u) * a / (sqrt(c) / k(5u) + k(6u));"
    } else {
        "p *= k(2u); g = k(0u) * g + k(1u) * p; a = k(3u) * a + (1.0 - k(3u)) * g;
        b = k(4u) * b + (1.0 - k(4u)) * g * g;
        p -= k(7u) * a / (sqrt(b) / k(5u) + k(6u));"
    };

    #[inline(always)]
    fn apply<T: Real>(k: &[T; 8], [p, g, a, b, c]: &mut [T; SLOTS]) {
        let one = T::from_f64(1.0);
        let shrunk = *p * k[2];
        let d = k[0] * *g + k[1] * shrunk;
        *a = k[3] * *a + (one - k[3]) * d;
        *b = k[4] * *b + (one - k[4]) * d * d;
        let square = if AMSGRAD {
            // A NaN in either stays.
            *c = if *b > *c || b.is_nan() { *b } else { *c };
            *c
        } else {
            *b
        };
        *p = shrunk - k[7] * *a / (square.sqrt() / k[5] + k[6]);
    }
}

impl RmsProp {
    pub(super) fn coefficients(&self) -> Coefficients {
        let decay = self.weight_decay;
        [sign(self.maximize), decay, self.lr, self.alpha, self.eps, self.momentum, 0.0, 0.0]
    }
}

pub(super) struct RmsRule<const CENTERED: bool, const MOMENTUM: bool>;

impl<const CENTERED: bool, const MOMENTUM: bool> Rule for RmsRule<CENTERED, MOMENTUM> {
    const USED: usize = 3 + CENTERED as usize + MOMENTUM as usize;
    const KEY: &'static str = match (CENTERED, MOMENTUM) {
        (false, false) => "optim.rms",
        (false, true) => "optim.rms.momentum",
        (true, false) => "optim.rms.centered",
        (true, true) => "optim.rms.centered.momentum",
    };
    const WGSL: &'static str = match (CENTERED, MOMENTUM) {
        (false, false) => {
            "g = k(0u) * g + k(1u) * p; a = k(3u) * a + (1.0 - k(3u)) * g * g;
            p -= k(2u) * g / (sqrt(a) + k(4u));"
        }
        (false, true) => {
            "g = k(0u) * g + k(1u) * p; a = k(3u) * a + (1.0 - k(3u)) * g * g;
            b = k(5u) * b + g / (sqrt(a) + k(4u)); p -= k(2u) * b;"
        }
        (true, false) => {
            "g = k(0u) * g + k(1u) * p; a = k(3u) * a + (1.0 - k(3u)) * g * g;
            b = k(3u) * b + (1.0 - k(3u)) * g; p -= k(2u) * g / (sqrt(a - b * b) + k(4u));"
        }
        (true, true) => {
            "g = k(0u) * g + k(1u) * p; a = k(3u) * a + (1.0 - k(3u)) * g * g;
            b = k(3u) * b + (1.0 - k(3u)) * g;
            c = k(5u) * c + g / (sqrt(a - b * b) + k(4u)); p -= k(2u) * c;"
        }
    };

    #[inline(always)]
    fn apply<T: Real>(k: &[T; 8], [p, g, a, b, c]: &mut [T; SLOTS]) {
        let rest = T::from_f64(1.0) - k[3];
        let d = k[0] * *g + k[1] * *p;
        *a = k[3] * *a + rest * d * d;
        let mut square = *a;
        if CENTERED {
            *b = k[3] * *b + rest * d;
            square = square - *b * *b;
        }
        let mut along = d / (square.sqrt() + k[4]);
        if MOMENTUM {
            let buffer = if CENTERED { c } else { b };
            *buffer = k[5] * *buffer + along;
            along = *buffer;
        }
        *p = *p - k[2] * along;
    }
}
