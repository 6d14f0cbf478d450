//! Reading and writing by index. Every op here comes down to one of two moves: picks taken from a
//! strided tensor, or dense picks put into one (`cpu.rs`, `gpu.rs`). Where several values meet in one
//! place they are combined in the order of their positions, on every device and at any thread count.

pub mod advanced;
pub mod arrange;
mod cpu;
mod def;
mod gpu;
pub(crate) mod launch;
mod mask;
mod plan;
mod rows;
mod scatter;
#[cfg(test)]
mod tests;
mod triangle;

pub(crate) use cpu::Ptr;
pub use def::read_known;

pub(crate) use gpu::pick as gpu_pick;
pub(crate) use mask::positions;
pub(crate) use plan::{Walk, dense};
pub use rows::EMBEDDING;
pub use scatter::{GATHER, scatter};

use super::OpDef;

pub static OPS: &[&OpDef] = &[
    &def::INDEX,
    &def::INDEX_SPREAD,
    &def::INDEX_PUT,
    &rows::INDEX_PUT,
    &GATHER,
    &scatter::SCATTER_MODE,
    &scatter::SCATTER_PLAIN,
    &scatter::SCATTER,
    &scatter::SCATTER_ADD,
    &scatter::SCATTER_REDUCE,
    &scatter::TAKE_ALONG_DIM,
    &mask::POSITIONS,
    &mask::NONZERO,
    &mask::ARGWHERE,
    &mask::MASKED_FILL,
    &mask::MASKED_SELECT,
    &mask::MASKED_SCATTER,
    &rows::INDEX_SELECT,
    &rows::INDEX_ADD,
    &rows::INDEX_COPY,
    &rows::INDEX_FILL,
    &rows::TAKE,
    &EMBEDDING,
    &rows::ONE_HOT,
    &arrange::FLIP,
    &arrange::FLIPLR,
    &arrange::FLIPUD,
    &arrange::ROLL,
    &arrange::ROT90,
    &arrange::REPEAT,
    &arrange::TILE,
    &arrange::REPEAT_INTERLEAVE,
    &triangle::TRIL,
    &triangle::TRIU,
    &triangle::DIAG,
    &triangle::DIAG_EMBED,
    &triangle::TRACE,
    &triangle::TRIL_INDICES,
    &triangle::TRIU_INDICES,
];
