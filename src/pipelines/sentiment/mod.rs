//! Multimodal sentiment: a DashFusion model trained on a user's feature files, and clips scored with it.
//!
//! [`data`] reads the files, `DatasetBuilder` writes them, `model` keeps a model in a folder, [`metrics`] measures as the published tables do, `log` keeps
//! scores so that a run that was killed goes on where it stopped. `Trainer::run` trains as `TrainOptions` say,
//! `SentimentModel::score` and `evaluate` score what a `ScoreRequest` names; a hook sees their events, as in [every
//! system](super).

pub mod metrics;

#[cfg(not(target_arch = "wasm32"))]
mod builder;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub mod data;
#[cfg(not(target_arch = "wasm32"))]
mod digest;
#[cfg(not(target_arch = "wasm32"))]
mod features;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod log;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod memory;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod model;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod origin;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod progress;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod request;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod result;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod resume;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod retrieval;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod scale;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod score;
#[cfg(all(feature = "audio", feature = "tokenizers", not(target_arch = "wasm32")))]
mod sound;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod train;

#[cfg(not(target_arch = "wasm32"))]
pub use self::{
    builder::{DatasetBuilder, NewClip},
    features::FeatureSet,
};
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub use self::{
    memory::TextMemory,
    model::{Description, Score, SentimentModel, Unscored},
    progress::{EpochRecord, ScoreEvent, StepRecord, TrainEvent},
    request::{Saving, ScoreRequest, TrainOptions},
    result::{Evaluation, Resumed, ScoreResult, TrainResult},
    scale::AudioScale,
    train::Trainer,
};
