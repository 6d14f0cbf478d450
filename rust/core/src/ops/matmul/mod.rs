//! Products of matrices: the ops, the CPU's packed kernels and the GPU's tiled ones.

mod blocked;
mod cpu;
mod def;
pub mod gemm;
mod gpu;
mod kernels;
mod kernels_thin;
mod lanes;
mod pack;
mod product;
mod small;
#[cfg(test)]
mod tests;
mod thin;
pub mod tiled;

#[cfg(test)]
use def::{ADDMM, BMM, DOT, OUTER};
pub use def::{LINEAR, MATMUL, OPS, matmul};
