//! The kernels. Each is one stem: `shaders/<family>/<stem>.wgsl`, `<family>/<stem>.rs` here, one line in
//! [`registry`]. A kernel never imports another kernel.

pub mod attention;
mod contract;
pub mod contrast;
pub mod elementwise;
pub(crate) mod formula;
pub mod inputs;
pub mod matmul;
pub mod optim;
pub mod probe;
pub mod registry;
pub mod rowwise;
mod run;
pub mod self_test;
pub mod temporal;
pub mod token;
pub mod trial;

pub use contract::{
    Cut, Element, Gradient, GradientLoss, Kernel, Launch, LinearLoss, Loss, Slot, Tolerance, Variant, Work,
    elems,
};
/// The generator that [`Kernel::inputs`] draws from.
pub use rand_pcg::Pcg64;
/// Whether a number is none, for kernels of several families.
pub(crate) const NAN: crate::shader::Source = crate::wgsl!("shared/nan.wgsl");
/// Sums of many terms.
pub(crate) const CASCADE: crate::shader::Source = crate::wgsl!("shared/cascade.wgsl");

pub use run::{composed, grid, lanes, run, run_composed, run_variant};
