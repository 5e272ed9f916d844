//! Multimodal sentiment: a DashFusion model trained on a user's feature files, and clips scored with it.
//!
//! [`data`] reads the files, `model` keeps a model in a folder, [`metrics`] measures as the published tables do, `log` keeps
//! scores so that a run that was killed goes on where it stopped. `Trainer::run` trains as `TrainOptions` say,
//! `SentimentModel::score` and `evaluate` score what a `ScoreRequest` names; a hook sees their events, as in [every
//! system](super).

pub mod metrics;

#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub mod data;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod log;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod memory;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub mod model;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod progress;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod request;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod result;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod retrieval;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod score;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod train;

#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub use self::{
    memory::TextMemory,
    model::{Description, Score, SentimentModel},
    progress::{EpochRecord, ScoreEvent, StepRecord, TrainEvent},
    request::{Saving, ScoreRequest, TrainOptions},
    result::{Evaluation, ScoreResult, TrainResult},
    train::Trainer,
};
