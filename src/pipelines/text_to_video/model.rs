//! The models of a folder on a device.

use super::curve::TimeAxis;
use super::request::ClipDefaults;
use crate::Result;
use crate::gpu::Context;
use crate::models::umt5::Umt5;
use crate::models::wan::{Wan, WanText};

/// The pipeline on a device.
#[derive(Debug)]
pub struct TextToVideo {
    pub(super) context: Context,
    #[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
    pub(super) tokenizer: crate::models::tokenizer::Tokenizer,
    pub(super) encoder: Umt5,
    pub(super) transformer: Wan,
    pub(super) defaults: ClipDefaults,
    pub(super) folder: std::path::PathBuf,
    pub(super) warnings: Vec<String>,
}

/// An encoded prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Its tokens with their places in the text.
    pub encoding: crate::models::tokenizer::Encoding,
    /// Keys and values of every cross-attention.
    pub text: WanText,
}

impl TextToVideo {
    /// What the folder says about its clips.
    pub fn defaults(&self) -> &ClipDefaults {
        &self.defaults
    }

    /// The folder that it was opened from; where a file was named, the one that the other parts were found in.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// What a user should know of the files, a sentence each: tensors that no one reads, sizes that were guessed.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Latent frames against time, for curves in seconds.
    pub fn time_axis(&self) -> Result<TimeAxis> {
        TimeAxis::new(self.defaults.size[0], self.defaults.frames_per_latent, self.defaults.fps)
    }

    /// The transformer.
    pub fn transformer(&self) -> &Wan {
        &self.transformer
    }

    /// The text encoder.
    pub fn encoder(&self) -> &Umt5 {
        &self.encoder
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }
}
