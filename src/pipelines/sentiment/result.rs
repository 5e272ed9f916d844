//! What runs return.

use super::metrics::Metrics;
use super::model::{Score, Unscored};
use super::progress::EpochRecord;

/// What a training run came to; the model is the trainer's.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainResult {
    /// All epochs, those before a checkpoint included.
    pub history: Vec<EpochRecord>,
    /// Steps taken.
    pub steps: u32,
    /// Epoch, from 1, whose model had the least error on the validation clips, and that mean absolute error.
    pub best: Option<(u32, f64)>,
}

/// Where a training run goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// Steps that were taken.
    pub steps: u32,
    /// Epochs that the checkpoint's run was asked for: another number than the options' where it is extended.
    pub epochs: u32,
}

/// Scores of a bulk run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoreResult {
    /// In the order of the data set.
    pub scores: Vec<Score>,
    /// Clips that the model cannot score, likewise.
    pub unscored: Vec<Unscored>,
}

/// Scores of clips with labels, and how good they are.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Scores in the order of the data set.
    pub scores: Vec<f32>,
    /// Labels of the same clips.
    pub labels: Vec<f32>,
    /// Measures in the model's convention.
    pub metrics: Metrics,
}
