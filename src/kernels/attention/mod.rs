//! Attention as one skeleton with hooks: mask modules answer a bias from small tables, reductions of the map leave the
//! kernels without the map, and gradients flow back into it. Nothing of size `seq_q × seq_kv` is ever written.
//!
//! `problem` is what is asked for, `mask` all that differs between masks, `tables` how the small tables lie, `params` what
//! shaders are told, `tiling` who takes which way; `parts` cuts keys into parts and joins them.

#[expect(clippy::module_inception, reason = "a kernel's file is named like its stem")]
mod attention;
mod attention_backward_delta;
mod attention_backward_dkv;
mod attention_backward_dq;
mod attention_column_mass;
mod attention_columns;
mod attention_join;
mod attention_merge;
#[cfg(feature = "verify")]
mod cases;
mod mask;
mod output;
mod params;
mod parts;
mod problem;
#[cfg(feature = "verify")]
mod reference;
mod shape;
mod tables;
mod tiling;
#[cfg(feature = "verify")]
mod verified;

pub use attention::Attention;
pub use attention_backward_delta::{AttentionBackwardDelta, attention_backward_delta};
pub use attention_backward_dkv::{AttentionBackwardDkv, attention_backward_dkv};
pub use attention_backward_dq::{AttentionBackwardDq, attention_backward_dq};
pub use attention_column_mass::{AttentionColumnMass, attention_column_mass};
pub use attention_columns::{AttentionColumns, attention_columns};
pub use attention_join::{AttentionJoin, attention_join};
pub use attention_merge::{AttentionMerge, attention_merge};
pub use mask::{MASKED, Mask, Positions, relative_bias};
pub use output::{AttentionOutput, OutputShape};
pub use parts::attention;
pub use problem::{AttentionProblem, Mass, Readout};
pub use shape::AttentionShape;
pub use tables::Tables;
