//! Noise levels, the plans of a sampler's steps, and the steps on the device.

mod config;
mod sampler;
mod schedule;
mod unipc;

pub use config::SchedulerConfig;
pub use sampler::{SamplerState, guidance, noise, noise_on};
pub(super) use schedule::MAX_STEPS;
pub use schedule::{Schedule, SigmaGrid};
pub use unipc::{AfterEdit, Correction, Prediction, Sampler, Solver, SolverState, StepPlan};
