//! The extension module `rubigo._core`: Python's side of the core. No maths here.

// The signatures of Python methods are what Python asks for.
#![allow(clippy::unused_self, clippy::unnecessary_wraps, clippy::format_collect)]

mod autograd;
mod convert;
mod create;
mod dlpack;
mod error;
mod index;
mod info;
mod interop;
mod io;
mod lists;
mod observe;
mod operators;
mod ops;
mod optim;
mod random;
mod tensor;
mod types;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    rubigo_core::interrupt::set_hook(error::interrupted);
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<tensor::PyTensor>()?;
    error::register(m)?;
    types::register(m)?;
    ops::register(m)?;
    observe::register(m)?;
    autograd::register(m)?;
    interop::register(m)?;
    dlpack::register(m)?;
    io::register(m)?;
    info::register(m)?;
    random::register(m)?;
    optim::register(m)?;
    create::register(m)
}
