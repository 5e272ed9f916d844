//! What training and scoring are asked for.

use crate::models::dashfusion::loss;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;

/// How to train: `TrainOptions { epochs: 20, ..TrainOptions::default() }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// Times that every clip is seen.
    pub epochs: u32,
    /// Clips of an optimiser step.
    pub batch: usize,
    /// Clips of a pass: a batch is taken in parts of at most this many, their gradients summed.
    pub part: usize,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Epochs in which the rate rises.
    pub warmup_epochs: u32,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Weight of the contrast beside the squared error; 0 leaves it and its six companions a clip out.
    pub contrastive_weight: f64,
    /// Largest norm of a step's gradient.
    pub clip_norm: Option<f64>,
    /// Whether the text encoder is trained too.
    pub train_text: bool,
    /// Decides order, companions and dropout.
    pub seed: u64,
}

impl Default for TrainOptions {
    /// The published schedule of MOSI and SIMS, with the text encoder frozen.
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 16,
            part: 16,
            learning_rate: 5e-5,
            warmup_epochs: 10,
            weight_decay: 1e-3,
            contrastive_weight: loss::WEIGHT,
            clip_norm: None,
            train_text: false,
            seed: 12,
        }
    }
}

impl TrainOptions {
    pub(super) fn check(&self) -> Result<()> {
        // They reach the device as f32.
        let positive = |v: f64| v >= 0.0 && (v as f32).is_finite();
        let some = [("epochs", self.epochs as usize), ("batch", self.batch), ("part", self.part)];
        if let Some((name, _)) = some.into_iter().find(|(_, n)| *n == 0) {
            return Err(Error::input(format!("training option `{name}`"), "0, at least 1 is wanted"));
        }
        let measures = [
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
            ("contrastive_weight", self.contrastive_weight),
        ];
        if let Some((name, value)) = measures.into_iter().find(|(_, v)| !positive(*v)) {
            let reason = format!("{value}, a number from 0 on is wanted");
            return Err(Error::input(format!("training option `{name}`"), reason));
        }
        match self.clip_norm {
            Some(norm) if !(norm.is_finite() && norm > 0.0) => Err(Error::input(
                "training option `clip_norm`",
                format!("{norm}, a number above 0 is wanted"),
            )),
            _ => Ok(()),
        }
    }
}

/// What a run writes on its way, so that it may be killed and go on: none by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saving {
    /// File of the checkpoint that [`Trainer::resume`](super::Trainer::resume) reads: written before the first step, after each
    /// epoch, and where the hook breaks off.
    pub checkpoint: Option<PathBuf>,
    /// Steps after which it is written too; 0 for none.
    pub every_steps: Option<u32>,
    /// Folder of the model that was best on the validation clips so far.
    pub best: Option<PathBuf>,
}

/// What is scored: `ScoreRequest { batch: 8, ..ScoreRequest::split("test") }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreRequest {
    /// Split whose clips are scored; all splits where there is none.
    pub split: Option<String>,
    /// Clips of a pass.
    pub batch: usize,
    /// Names of clips that are left out, such as those that have [their line](super::log::ScoreLog::ids).
    pub skip: HashSet<String>,
}

impl Default for ScoreRequest {
    /// All clips of all splits, 16 at a time.
    fn default() -> Self {
        Self { split: None, batch: 16, skip: HashSet::new() }
    }
}

impl ScoreRequest {
    /// The clips of a split, 16 at a time.
    pub fn split(name: impl Into<String>) -> Self {
        Self { split: Some(name.into()), ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.batch == 0 { Err(Error::input("batch", "no clip at a time")) } else { Ok(()) }
    }
}
