//! The kernels. Each is one stem: `shaders/<family>/<stem>.wgsl`, `<family>/<stem>.rs` here, one line in
//! `registry`. A kernel never imports another kernel.

mod any_kernel;
pub mod attention;
mod choices;
mod compound;
mod contract;
pub mod contrast;
pub mod elementwise;
#[cfg(feature = "verify")]
mod flagships;
#[cfg_attr(not(feature = "verify"), expect(dead_code, reason = "the probes need little of it"))]
pub(crate) mod formula;
#[cfg(feature = "verify")]
pub mod inputs;
pub mod matmul;
pub mod optim;
mod packs;
pub mod probe;
#[cfg(feature = "verify")]
pub mod registry;
pub mod rowwise;
mod run;
pub mod selection;
pub mod self_test;
pub(crate) mod splits;
pub mod temporal;
pub mod token;
pub mod trial;
pub mod verified;

pub use any_kernel::AnyKernel;
pub use choices::Choices;
pub use compound::{GeluForm, Then, matmul};
pub use contract::{Cut, Element, Kernel, Launch, Slot, Variant, Why, Work, elems};
pub use packs::{pack, pack_module};
pub use verified::Verified;

/// Workgroups that are numbered.
pub(crate) const GRID: crate::shader::Source = crate::wgsl!("shared/grid.wgsl");
/// Sums and maxima over a workgroup, `reduce_sum` and `reduce_max`, through its memory; `WG_SIZE` is a power of two.
pub const REDUCE: crate::shader::Source = crate::wgsl!("shared/reduce.workgroup.wgsl");
/// Whether a number is none, for kernels of several families.
pub(crate) const NAN: crate::shader::Source = crate::wgsl!("shared/nan.wgsl");
/// The lowest number.
pub(crate) const LOWEST: crate::shader::Source = crate::wgsl!("shared/lowest.wgsl");
/// Sums of many terms.
pub(crate) const CASCADE: crate::shader::Source = crate::wgsl!("shared/cascade.wgsl");

pub use run::{compile, composed, grid, lanes, run, run_composed, run_variant};
