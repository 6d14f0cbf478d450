//! Normalisations.

pub(crate) mod lanes;
