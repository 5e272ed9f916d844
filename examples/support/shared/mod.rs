//! What the examples that make clips have in common.

pub(crate) mod canvas;
pub(crate) mod detector;
pub(crate) mod estimate;
pub(crate) mod film;
pub(crate) mod interrupt;
pub(crate) mod mode;
pub(crate) mod pieces;
pub(crate) mod progress;
pub(crate) mod repository;
pub(crate) mod session;
pub(crate) mod warning;
pub(crate) mod words;
