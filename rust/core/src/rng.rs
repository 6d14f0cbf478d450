//! Random numbers: Philox4x32-10 indexed by element, so that a value depends only on (seed, offset, index).
//!
//! A fill starts at an offset, counted in Philox blocks of four words. Block `b` of the fill has the 64-bit counter
//! `offset + b` in counter words 0 and 1 (words 2 and 3 are zero) and the seed as key. An element uses one word
//! (u32, uniform f32, normal f32), two (uniform and normal f64, randint up to 2^32 values, randperm) or four (wider
//! randint) of its block, in order. The generator then moves on by the number of blocks, see `blocks`.
//!
//! Uniforms are exact conversions of the words, so every device gives equal bits. Normals use only `+ - * / sqrt`
//! without fused operations, so they have equal bits on all CPUs; a GPU may differ by a few ulp.

mod fill;
mod normal;

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

pub use fill::{fill_randint, fill_u32, fill_uniform_f32, fill_uniform_f64, randperm};
pub use normal::{fill_normal_f32, fill_normal_f64};

use crate::error::{Error, Result};

/// The seed of a program that sets none: `PyTorch`'s.
const DEFAULT_SEED: u64 = 67_280_421_310_721;

static DEFAULT: Mutex<Generator> = Mutex::new(Generator::new(DEFAULT_SEED));

/// A place in a stream: the seed chooses the stream, the offset counts the blocks that are used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generator {
    pub seed: u64,
    pub offset: u64,
}

impl Generator {
    pub const fn new(seed: u64) -> Self {
        Self { seed, offset: 0 }
    }

    pub fn manual_seed(&mut self, seed: u64) {
        *self = Self::new(seed);
    }

    /// Uses up `blocks` blocks and returns the offset of the first.
    pub fn take(&mut self, blocks: u64) -> u64 {
        let offset = self.offset;
        self.offset = offset.wrapping_add(blocks);
        offset
    }

    /// Seed and offset, little-endian.
    pub fn get_state(&self) -> [u8; 16] {
        let state = u128::from(self.seed) | u128::from(self.offset) << 64;
        state.to_le_bytes()
    }

    pub fn set_state(&mut self, state: &[u8]) -> Result<()> {
        let Ok(state) = <[u8; 16]>::try_from(state) else {
            return Err(Error::value(format!(
                "a generator's state has 16 bytes, this one has {}",
                state.len()
            )));
        };
        let state = u128::from_le_bytes(state);
        *self = Self { seed: state as u64, offset: (state >> 64) as u64 };
        Ok(())
    }
}

thread_local! {
    static OWN: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

/// Reads or advances the generator used where a caller names none: this thread's own, or the one all share.
pub fn with_default<R>(f: impl FnOnce(&mut Generator) -> R) -> R {
    OWN.with_borrow_mut(|own| match own {
        Some(own) => f(own),
        None => f(&mut DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)),
    })
}

/// Gives this thread a default generator of its own, or takes it away; returns the one it had.
pub fn swap_own(generator: Option<Generator>) -> Option<Generator> {
    OWN.replace(generator)
}

/// Seeds the default generator.
pub fn manual_seed(seed: u64) {
    with_default(|g| g.manual_seed(seed));
}

/// Blocks that `n` elements of `words` words each (1, 2 or 4) use up.
pub fn blocks(n: usize, words: usize) -> u64 {
    n.div_ceil(4 / words) as u64
}

/// Ten rounds of Philox4x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
#[inline(always)]
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    for _ in 0..10 {
        let p0 = u64::from(c0) * 0xD251_1F53;
        let p1 = u64::from(c2) * 0xCD9E_8D57;
        c0 = (p1 >> 32) as u32 ^ c1 ^ k0;
        c1 = p1 as u32;
        c2 = (p0 >> 32) as u32 ^ c3 ^ k1;
        c3 = p0 as u32;
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// The words of block `block` of the stream `seed`.
#[inline(always)]
fn block_words(seed: u64, block: u64) -> [u32; 4] {
    philox([seed as u32, (seed >> 32) as u32], [block as u32, (block >> 32) as u32, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_answers() {
        // Random123's kat_vectors for philox4x32 with 10 rounds.
        let cases = [
            ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, words) in cases {
            assert_eq!(philox(key, counter), words);
        }
    }

    #[test]
    fn a_state_is_restored() {
        let mut generator = Generator::new(u64::MAX - 5);
        assert_eq!((generator.take(blocks(9, 1)), generator.take(blocks(9, 2))), (0, 3));
        assert_eq!(generator.offset, 8);
        let state = generator.get_state();
        let mut other = Generator::new(1);
        other.set_state(&state).unwrap();
        assert_eq!(other, generator);
        assert!(other.set_state(&state[1..]).unwrap_err().msg.contains("15"));
        assert_eq!(other, generator);
        generator.manual_seed(7);
        assert_eq!(generator, Generator { seed: 7, offset: 0 });
    }

    #[test]
    fn the_default_generator_is_shared_unless_a_thread_has_its_own() {
        manual_seed(3);
        assert_eq!(with_default(|g| g.take(2)), 0);
        assert_eq!(swap_own(Some(Generator::new(9))), None);
        assert_eq!(with_default(|g| (g.seed, g.take(5))), (9, 0));
        let other = std::thread::spawn(|| with_default(|g| g.clone())).join().unwrap();
        assert_eq!(other, Generator { seed: 3, offset: 2 });
        assert_eq!(swap_own(None), Some(Generator { seed: 9, offset: 5 }));
        assert_eq!(with_default(|g| g.clone()), other);
    }
}
