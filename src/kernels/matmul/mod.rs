//! Matrix products in the layouts a transformer and its input gradient need.

mod epilogue;
#[expect(clippy::module_inception, reason = "a kernel's file is named like its stem")]
mod matmul;
mod matmul_join;
mod problem;
mod tile;

pub use epilogue::Epilogue;
pub use matmul_join::MatmulJoin;
pub use problem::{Layout, Matmul, Piece};
