//! The device: adapters and their capabilities, buffers, pipelines, and the one recorder that submits work.
//!
//! Everything above this floor sees a [`Context`] and never a `wgpu` type, except where an app hands in its own
//! device or buffers.

mod adapter;
mod bind_groups;
mod caps;
mod checks;
mod compiled;
mod context;
mod device;
mod error_scope;
mod lock;
mod memory;
mod options;
mod pace;
mod pipeline;
mod readback;
mod recorder;
mod submit;
mod timing;
mod track;
mod work;

pub use adapter::{AdapterReport, list_adapters};
pub use caps::{AdapterClass, Caps, CoopMatrix};
pub use context::Context;
pub(crate) use memory::BufferWatch;
pub use memory::{Binding, Buffer, MemoryStats};
pub use options::{AdapterChoice, ContextOptions, SelfTest};
pub use pipeline::PipelineKey;
pub(crate) use pipeline::PipelineSource;
pub use timing::Timing;
pub use track::Access;
pub(crate) use work::Dispatch;
