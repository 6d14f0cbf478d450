//! The one error type. The bindings turn a `Kind` into the Python exception of that name.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub type Result<T> = std::result::Result<T, Error>;

/// Which Python exception a caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sizes that do not fit together (`ShapeError`, both a `ValueError` and a `RuntimeError`).
    Shape,
    Value,
    Type,
    Index,
    Runtime,
    Memory,
    /// A Python integer that a dtype cannot hold.
    Overflow,
    /// Something a row or device lacks; it stands in the list of known gaps.
    NotImplemented,
    /// The operating system refused; carries `errno` where there is one.
    Io(i32),
    /// The GPU is gone (`DeviceLostError`, a `RuntimeError`).
    DeviceLost,
    /// Ctrl-C arrived during a wait.
    Interrupted,
}

/// What went wrong (`msg`), in which op, and the way out (`hint`).
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    pub op: Option<&'static str>,
    pub msg: String,
    pub hint: Option<String>,
    /// What a callback of the caller's raised, carried through the core as it is.
    pub raised: Option<Arc<dyn Any + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, msg: impl Into<String>) -> Self {
        Self { kind, op: None, msg: msg.into(), hint: None, raised: None }
    }

    pub fn shape(msg: impl Into<String>) -> Self {
        Self::new(Kind::Shape, msg)
    }

    pub fn value(msg: impl Into<String>) -> Self {
        Self::new(Kind::Value, msg)
    }

    pub fn type_(msg: impl Into<String>) -> Self {
        Self::new(Kind::Type, msg)
    }

    pub fn index(msg: impl Into<String>) -> Self {
        Self::new(Kind::Index, msg)
    }

    pub fn runtime(msg: impl Into<String>) -> Self {
        Self::new(Kind::Runtime, msg)
    }

    pub fn memory(msg: impl Into<String>) -> Self {
        Self::new(Kind::Memory, msg)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the op. Of nested ones the outermost has the last word: it is what the user called.
    #[must_use]
    pub fn in_op(mut self, op: &'static str) -> Self {
        self.op = Some(op);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(op) = self.op {
            write!(f, "{op}: ")?;
        }
        f.write_str(&self.msg)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::new(Kind::Io(e.raw_os_error().unwrap_or(0)), e.to_string())
    }
}
