//! Attention that can be masked, read and steered, as hand-written WGSL kernels on wgpu.
//!
#![doc = "```rust,no_run"]
#![doc = include_str!("../examples/embed.rs")]
#![doc = "```"]
//!
//! The crate is built in floors; a module uses only the ones below it (see `ARCHITECTURE.md`):
//! [`pipelines`] run whole systems, [`models`] state forward passes, [`nn`] holds layers,
//! [`autograd`] records kernel calls and replays their gradients, [`kernels`] is the work itself,
//! [`tensor`] keeps arrays on a device, [`gpu`] owns that device.

pub mod autograd;
pub mod dtype;
pub mod error;
pub mod gpu;
pub mod kernels;
pub mod models;
pub mod nn;
pub mod pipelines;
pub mod shader;
pub mod shape;
pub mod tensor;
pub mod weights;

pub use dtype::Dtype;
pub use error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
pub use gpu::block_on;
pub use gpu::{AdapterChoice, Caps, Context, ContextOptions, SelfTest};
pub use shape::Shape;
pub use tensor::{HostTensor, Tensor};

/// The examples of README and of the systems' pages compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[cfg_attr(feature = "tokenizers", doc = include_str!("../docs/temporal_control.md"))]
#[doc = include_str!("../docs/sentiment.md")]
struct Pages;
