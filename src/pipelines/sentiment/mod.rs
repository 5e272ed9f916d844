//! Multimodal sentiment: a DashFusion model trained on a user's feature files, and clips scored with it.
//!
//! [`data`] reads the files, [`model`] keeps a model in a folder and scores, [`train`] trains, [`metrics`] measures as the
//! published tables do, [`log`] keeps scores so that a run that was killed goes on where it stopped.

pub mod metrics;

#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub mod data;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod log;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod model;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod retrieval;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod train;
