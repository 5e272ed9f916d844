//! What runs report on their way.

use super::metrics::Metrics;
use super::model::{Score, Unscored};
use serde::{Deserialize, Serialize};

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Mean squared error over its training clips, as they were seen.
    pub train_mse: f64,
    /// Mean contrast likewise; 0 without one.
    pub train_contrast: f64,
    /// Measures on the validation clips afterwards.
    pub valid: Metrics,
}

/// One optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepRecord {
    /// Steps taken, this one included.
    pub step: u32,
    /// Steps of the whole run.
    pub of: u32,
    /// Mean squared error.
    pub mse: f64,
    /// Contrast; 0 without one.
    pub contrast: f64,
}

/// What a training run reports on its way.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// A step was taken.
    Step(StepRecord),
    /// An epoch ended.
    #[non_exhaustive]
    Epoch {
        /// What it came to.
        record: EpochRecord,
        /// Its model is the best so far by the validation clips' error.
        best: bool,
    },
}

/// What a scoring run reports on its way.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ScoreEvent {
    /// Some clips cannot be scored; the others are scored next.
    #[non_exhaustive]
    Unscored {
        /// All of them, with their reasons.
        clips: Vec<Unscored>,
        /// Clips that are done by now: these.
        done: usize,
        /// Clips of the whole run.
        of: usize,
    },
    /// A batch has its scores.
    #[non_exhaustive]
    Scored {
        /// Those of the batch, of clips of like length.
        scores: Vec<Score>,
        /// Clips that are done by now.
        done: usize,
        /// Clips of the whole run.
        of: usize,
    },
}
