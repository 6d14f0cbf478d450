//! Pooling over sequences and images. Maxima remember where they were found; gradients are ops of their own.

mod adaptive;
pub mod cpu;
mod def;
mod geometry;
mod gpu;
mod kernels;
#[cfg(test)]
mod tests;

pub use def::OPS;
