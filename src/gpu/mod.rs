//! The device: adapters and their capabilities, buffers, pipelines, and the one recorder that submits work.
//!
//! Everything above this floor sees a [`Context`] and never a `wgpu` type, except where an app hands in its own
//! device or buffers.

mod adapter;
mod caps;
mod compiled;
mod context;
mod error_scope;
mod memory;
mod pace;
mod pipeline;
mod readback;
mod recorder;
mod submit;
mod timing;
mod track;

pub use adapter::{AdapterChoice, AdapterReport, list_adapters};
pub use caps::{AdapterClass, Caps, CoopMatrix};
pub use context::{Context, ContextOptions, SelfTest};
pub(crate) use memory::BufferWatch;
pub use memory::{Buffer, MemoryStats};
pub(crate) use pipeline::PipelineSource;
pub use pipeline::{Access, PipelineKey};
pub use recorder::Binding;
pub(crate) use recorder::Dispatch;
pub use timing::Timing;
