//! Text to video from a model folder: diffusers' (`model_index.json`, `tokenizer/`, `text_encoder/`, `transformer/`,
//! `scheduler/`), the original repository's (`config.json` beside the transformer's weights, `models_t5_….safetensors`,
//! `google/umt5-xxl/`), or one file of the transformer that lies in either. What a folder says of its clips is in
//! [`ClipDefaults`].
//!
//! A model without a VAE works on pixels: its latent is the clip, in −1..1. A VAE's decoder is not part of the crate yet, and
//! a folder with one is refused rather than decoded wrongly.
//!
//! A [`ClipRequest`] says what is to be drawn, [`TextToVideo`] holds the models of a folder, and `TextToVideo::generate` draws
//! it as a [`ClipResult`], telling a hook of each [`Event`]. Words follow curves ([`curve`], [`plan`]) by [`temporal_control`];
//! [`memory_plan`] says beforehand what it takes.

pub mod audio_mask;
pub mod beat_curve;
pub mod curve;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod folder;
pub mod memory_plan;
mod model;
pub mod plan;
mod progress;
mod request;
mod result;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod run;
pub mod temporal_control;

pub use model::{Prompt, TextToVideo};
pub use progress::Event;
pub use request::{ClipDefaults, ClipRequest, TimedWord};
pub use result::{ClipResult, to_rgb};
