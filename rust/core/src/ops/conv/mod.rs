//! Convolution and its transpose over sequences and images, with the gradients as ops of their own.

pub mod cpu;
mod def;
pub(super) mod geometry;
mod gpu;
mod kernels;
#[cfg(test)]
mod tests;

pub use def::OPS;
