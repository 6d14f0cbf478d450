//! Which instruction set the kernels use: detected once, lowered by `RUBIGO_ISA` or by a test.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicU8, Ordering};

/// From the least to the most capable, as far as one machine has several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    Portable = 1,
    Neon = 2,
    /// AVX2 and FMA.
    Avx2 = 3,
    /// AVX-512 F, VL, DQ and BW, besides AVX2 and FMA.
    Avx512 = 4,
}

impl Isa {
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(name))
    }
}

/// 0: not yet detected.
static CURRENT: AtomicU8 = AtomicU8::new(0);

/// The instruction set in use: the best there is, or `RUBIGO_ISA`, which counts as unset where
/// `check_env` refuses it.
#[inline]
pub fn isa() -> Isa {
    match CURRENT.load(Ordering::Relaxed) {
        0 => {
            let best = detect();
            let chosen = check_env().ok().flatten().unwrap_or(best);
            CURRENT.store(chosen as u8, Ordering::Relaxed);
            chosen
        }
        1 => Isa::Portable,
        2 => Isa::Neon,
        3 => Isa::Avx2,
        _ => Isa::Avx512,
    }
}

/// Whether this machine can run `isa`.
pub fn available(isa: Isa) -> bool {
    let best = detect();
    isa == Isa::Portable || isa == best || (isa == Isa::Avx2 && best == Isa::Avx512)
}

/// Makes every later kernel use `isa`; false, and no change, where this machine lacks it. For tests
/// and benchmarks: results of different instruction sets differ in their last bits.
pub fn set_isa_for_test(isa: Isa) -> bool {
    let can = available(isa);
    if can {
        CURRENT.store(isa as u8, Ordering::Relaxed);
    }
    can
}

/// What `RUBIGO_ISA` says, or why it is refused.
pub fn check_env() -> Result<Option<Isa>> {
    let Some(text) = std::env::var_os("RUBIGO_ISA") else { return Ok(None) };
    match text.to_str().and_then(Isa::parse) {
        Some(isa) if available(isa) => Ok(Some(isa)),
        Some(_) => {
            Err(Error::value(format!("RUBIGO_ISA is {}, which this machine lacks", text.display())))
        }
        None => Err(Error::value(format!(
            "RUBIGO_ISA is {}, not one of portable, neon, avx2, avx512",
            text.display()
        ))),
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    use std::arch::is_x86_feature_detected as has;
    // All that the kernels are compiled with, though every AVX2 machine sold has the rest too.
    if !(has!("avx2") && has!("fma") && has!("bmi1") && has!("bmi2") && has!("f16c")) {
        Isa::Portable
    } else if has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw") {
        Isa::Avx512
    } else {
        Isa::Avx2
    }
}

/// NEON is part of every 64-bit ARM.
#[cfg(target_arch = "aarch64")]
fn detect() -> Isa {
    Isa::Neon
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Isa {
    Isa::Portable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_machine_has_can_be_chosen() {
        assert!(available(Isa::Portable));
        assert!(available(detect()));
        assert!(!(available(Isa::Neon) && available(Isa::Avx2)));
        let before = isa();
        assert!(available(before));
        for isa in Isa::ALL {
            assert_eq!(Isa::parse(&isa.name().to_uppercase()), Some(isa));
        }
        assert_eq!(Isa::parse("sse9"), None);
    }
}
