//! Work memory of kernels, from the allocator of the tensors: it keeps freed blocks, counts them and knows the limit.
//!
//! Kernels ask deep inside of parallel pieces. A refusal unwinds from there (no panic hook sees it) to `catch`,
//! which `apply` puts around every kernel.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::alloc::{self, Block};
use crate::error::{Error, Result};

/// Room for `len` elements of unspecified content, on a cache line's boundary.
pub fn take<T: Copy>(len: usize) -> Block {
    let bytes = len.saturating_mul(size_of::<T>());
    alloc::alloc(bytes).unwrap_or_else(|e| resume_unwind(Box::new(e)))
}

/// Calls `f` with such room.
pub fn with<T: Copy, R>(len: usize, f: impl FnOnce(*mut T) -> R) -> R {
    f(take::<T>(len).ptr().cast())
}

/// The result of `f`, or the error for which a piece of it gave up.
pub fn catch<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    // What a kernel writes are results that are dropped with the error.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|cause: Box<dyn Any + Send>| {
        Err(*cause.downcast::<Error>().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::threads;
    use crate::error::Kind;

    #[test]
    fn a_refusal_in_a_piece_is_an_error_of_the_whole() {
        let work = || {
            threads::run(8, &|i| {
                with::<f32, _>(if i == 5 { usize::MAX / 8 } else { 10 }, |p| assert!(!p.is_null()));
            });
            Ok(())
        };
        assert_eq!(catch(work).unwrap_err().kind, Kind::Memory);
        assert!(catch(|| Ok(with::<u8, _>(7, |p| p as usize))).unwrap() % alloc::ALIGN == 0);
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn a_panic_stays_one() {
        let _: Result<()> = catch(|| panic!("a bug"));
    }
}
