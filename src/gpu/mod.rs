//! The device: adapters and their capabilities, buffers, pipelines, and the one recorder that submits work.
//!
//! Everything above this floor sees a [`Context`] and never a `wgpu` type, except where an app hands in its own
//! device or buffers.

mod adapter;
mod bind_groups;
#[cfg(not(target_arch = "wasm32"))]
mod blocking;
mod caps;
mod checks;
mod compiled;
mod context;
mod cores;
mod device;
mod error_scope;
mod identity;
mod lock;
mod memory;
mod options;
mod pace;
mod pipeline;
mod prepare;
mod readback;
mod recorder;
mod rehearsed;
mod submit;
mod timing;
mod track;
mod work;

pub(crate) use adapter::refused_device;
pub use adapter::{AdapterReport, list_adapters};
#[cfg(not(target_arch = "wasm32"))]
pub use blocking::block_on;
pub use caps::{AdapterClass, Caps, CoopMatrix};
pub use context::Context;
pub use cores::Cores;
pub(crate) use device::{AppDevice, AppQueue};
pub(crate) use memory::BufferWatch;
pub use memory::{Binding, Buffer, MemoryStats};
pub use options::{AdapterChoice, ContextOptions, SelfTest};
pub(crate) use pipeline::{PipelineKey, PipelineSource};
pub use prepare::PrepareEvent;
pub(crate) use rehearsed::Later;
pub use timing::Timing;
pub use track::Access;
pub(crate) use work::Dispatch;
