//! The core of rubigo: tensors, autograd, and kernels for the CPU and for any GPU. Knows no Python.

pub mod apply;
pub mod autograd;
pub mod cpu;
pub mod dtype;
pub mod error;
pub mod gpu;
pub mod interrupt;
pub mod io;
pub mod layout;
pub mod mode;
#[cfg(feature = "mutate")]
pub mod mutate;
pub mod number;
pub mod ops;
pub mod rng;
pub mod storage;
pub mod tensor;

pub use error::{Error, Kind, Result};
pub use storage::Device;
pub use tensor::Tensor;
