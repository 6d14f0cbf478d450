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
    match text.to_str().and_then(parse) {
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

fn parse(name: &str) -> Option<Isa> {
    match name.to_ascii_lowercase().as_str() {
        "portable" => Some(Isa::Portable),
        "neon" => Some(Isa::Neon),
        "avx2" => Some(Isa::Avx2),
        "avx512" => Some(Isa::Avx512),
        _ => None,
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    use std::arch::is_x86_feature_detected as has;
    if !(has!("avx2") && has!("fma")) {
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
        for isa in [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512] {
            assert_eq!(parse(&format!("{isa:?}")), Some(isa));
        }
    }
}
