//! Matrix products in the layouts a transformer and its input gradient need.

#[expect(clippy::module_inception, reason = "a kernel's file is named like its stem")]
mod matmul;
mod parts;
mod tile;

pub use matmul::{Epilogue, Layout, Matmul, Piece};
pub use parts::matmul;
