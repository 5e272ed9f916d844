//! A model's folder on a device.

use super::defaults::QaDefaults;
use super::request::Question;
use crate::gpu::Context;
use crate::models::qwen2_5_vl::{Placement, QwenVl, QwenVlConfig, QwenVlWeights};
use crate::models::tokenizer::{ChatTemplate, Tokenizer};
use crate::nn::Precision;
use crate::weights::{WeightStore, warning};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Qwen2.5-VL with its tokenizer and chat template, on a device.
#[derive(Debug)]
pub struct VideoQa {
    pub(super) context: Context,
    pub(super) tokenizer: Tokenizer,
    pub(super) template: ChatTemplate,
    pub(super) model: QwenVl,
    pub(super) defaults: QaDefaults,
    pub(super) ends: Vec<u32>,
    folder: PathBuf,
    warnings: Vec<String>,
}

impl VideoQa {
    /// Loads a folder in f32, all of it on the device.
    ///
    /// # Errors
    /// As [`VideoQa::open_as`].
    pub fn open(context: &Context, folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(context, folder, Precision::F32, Placement::Resident)
    }

    /// Loads a folder as published, its numbers stored in `precision` and the language model's blocks where `placement` says.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] and [`Error::Weight`] for what is missing, damaged or of another model, before anything is
    /// uploaded; otherwise those of an allocation.
    pub fn open_as(
        context: &Context,
        folder: impl AsRef<Path>,
        precision: Precision,
        placement: Placement,
    ) -> Result<Self> {
        precision.check(context)?;
        let folder = folder.as_ref();
        let config = QwenVlConfig::open(folder)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        let template = ChatTemplate::from_folder(folder)?;
        let defaults = QaDefaults::read(folder)?;
        // The tokenizer and the configuration are files of their own: a prompt laid out by two that differ would be noise.
        let tokens = config.tokens;
        for (text, id) in [
            ("<|image_pad|>", tokens.image),
            ("<|video_pad|>", tokens.video),
            ("<|vision_start|>", tokens.vision_start),
            ("<|vision_end|>", tokens.vision_end),
        ] {
            match tokenizer.token(text) {
                Some(found) if found == id => {}
                found => {
                    let found = found.map_or_else(|| "no such token".to_owned(), |id| format!("token {id}"));
                    let reason = format!("`{text}`: token {id} by config.json, {found} by the tokenizer");
                    return Err(Error::file(folder, reason));
                }
            }
        }
        let mut ends = defaults.ends.clone();
        if ends.is_empty() {
            ends.push(tokenizer.eos());
        }
        let weights = QwenVlWeights::new(&WeightStore::open(folder)?, config)?;
        let warnings = warning("model", weights.unread()).into_iter().collect();
        let model = QwenVl::new(context, &weights, precision, placement)?;
        let (context, folder) = (context.clone(), folder.to_path_buf());
        Ok(Self { context, tokenizer, template, model, defaults, ends, folder, warnings })
    }

    /// A question, its tokens drawn as the folder says.
    pub fn question(&self, text: impl Into<String>) -> Question {
        Question { sampling: self.defaults.sampling, ..Question::new(text) }
    }

    /// What the folder says.
    pub fn defaults(&self) -> &QaDefaults {
        &self.defaults
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a user should know of the files, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Both halves of the model.
    pub fn model(&self) -> &QwenVl {
        &self.model
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }
}
