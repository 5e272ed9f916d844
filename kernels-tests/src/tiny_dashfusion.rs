//! A model of DashFusion for the tests' small data, and the data.

use crate::root;
use foveal::models::dashfusion::DashFusionConfig;
use foveal::pipelines::sentiment::metrics::Convention;
use foveal::pipelines::sentiment::{Description, SentimentModel};
use foveal::{Context, Result};
use std::path::PathBuf;

/// 24 clips of `tools/sentiment_data`.
pub fn tiny_clips() -> PathBuf {
    root().join("kernels-tests/training/sentiment_tiny")
}

/// A random text encoder with a real tokenizer.
pub fn tiny_text_encoder() -> PathBuf {
    root().join("kernels-tests/golden/bert_encode_tiny/model")
}

/// An untrained model with that encoder.
///
/// # Errors
/// Those of [`SentimentModel::fresh`].
pub fn tiny_sentiment_model(context: &Context, config: DashFusionConfig) -> Result<SentimentModel> {
    let description = Description::new(config, Convention::Mosi, [-3.0, 3.0]);
    SentimentModel::fresh(context, description, &tiny_text_encoder(), 3)
}

/// Sizes that fit `kernels-tests/golden`'s tiny text encoder and the synthetic clips, with MOSI's options.
pub fn tiny_dashfusion() -> DashFusionConfig {
    DashFusionConfig {
        text_width: 32,
        audio_width: 33,
        vision_width: 25,
        audio_frames: 140,
        vision_frames: 70,
        d_model: 32,
        heads: 4,
        alignment_head_dim: 8,
        ffn: 48,
        audio_layers: 1,
        vision_layers: 1,
        ..DashFusionConfig::mosi()
    }
}
