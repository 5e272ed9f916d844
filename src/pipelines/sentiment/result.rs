//! What runs return.

use super::metrics::Metrics;
use super::model::Score;
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

/// Scores of a bulk run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoreResult {
    /// In the order of the data set.
    pub scores: Vec<Score>,
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
