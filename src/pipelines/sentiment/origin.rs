//! What a training run takes from outside.

use super::data::Dataset;
use super::digest::Digest;
use super::model::SentimentModel;
use super::request::TrainOptions;
use crate::Result;
use serde::{Deserialize, Serialize};

/// The split that is trained on.
pub(super) const TRAIN: &str = "train";
/// The split by which the model is looked at.
pub(super) const VALID: &str = "valid";

/// What a run depends on beside its options and its own values, by digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Clips that are trained on and those that the model is looked at by, with their labels.
    pub(super) data: String,
    /// The text encoder, of which the tokenizer alone where it is trained, and so in the checkpoint.
    pub(super) text: String,
}

impl Origin {
    pub(super) async fn of(model: &SentimentModel, data: &Dataset, options: &TrainOptions) -> Result<Self> {
        let mut digest = Digest::new();
        digest.text(data.digest_of([TRAIN, VALID]));
        for split in [TRAIN, VALID] {
            let labels: Vec<f32> = data.labels(data.split(split)?)?;
            digest.floats(&labels);
        }
        Ok(Self { data: digest.digits(), text: model.encoder_digest(!options.train_text).await? })
    }
}
