//! Matrix products in the layouts a transformer and its input gradient need.

#[expect(clippy::module_inception, reason = "a kernel's file is named like its stem")]
mod matmul;
mod problem;
mod tile;

pub use problem::{Epilogue, Layout, Matmul, Piece};
