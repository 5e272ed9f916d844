//! Kernels that ask the driver, not the model: what every other kernel takes for granted, small enough to run whenever a
//! device is opened. See [`crate::SelfTest`].

pub mod probe_barriers;
pub mod probe_bounds;
pub mod probe_lanes;
pub mod probe_loops;
pub mod probe_storage;

pub use probe_barriers::ProbeBarriers;
pub use probe_bounds::ProbeBounds;
pub use probe_lanes::ProbeLanes;
pub use probe_loops::ProbeLoops;
pub use probe_storage::ProbeStorage;

use super::AnyKernel;
use super::verified::{Tolerance, Verified};

/// The cases of all of them.
pub(super) fn cases() -> Vec<Box<dyn AnyKernel>> {
    fn of<K: Verified>() -> impl Iterator<Item = Box<dyn AnyKernel>> {
        K::cases().into_iter().map(|case| Box::new(case) as Box<dyn AnyKernel>)
    }
    let first = of::<ProbeBarriers>().chain(of::<ProbeBounds>()).chain(of::<ProbeLanes>());
    first.chain(of::<ProbeLoops>()).chain(of::<ProbeStorage>()).collect()
}

const EXACT: Tolerance = Tolerance { atol: 0.0, rtol: 0.0, reason: "whole numbers: exact" };
