//! CPU machinery; no op has a name here.

pub mod alloc;
mod limits;
pub mod map;
pub mod math;
pub mod reduce;
pub mod runs;
pub mod scratch;
pub mod simd;
pub mod threads;
pub mod transpose;
