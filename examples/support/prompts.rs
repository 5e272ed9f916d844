//! The fixed prompts of an evaluation, with what is wanted when.

use super::detector::{Detector, Object};
use foveal::pipelines::curve::TimingCurve;
use foveal::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// `prompts.json`.
#[derive(Debug, Deserialize)]
struct File {
    evaluation: Vec<Task>,
    tuning: Vec<Task>,
}

/// One prompt.
#[derive(Debug, Deserialize)]
pub(crate) struct Task {
    pub(crate) prompt: String,
    /// Of the noise; the same for every mode.
    pub(crate) seed: u64,
    /// The phrase that is timed.
    pub(crate) target: String,
    /// Everything the prompt names, the target among them.
    pub(crate) objects: Vec<Wanted>,
}

/// An object of a prompt with its curve.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) phrase: String,
    pub(crate) curve: Vec<f32>,
}

impl Task {
    /// What the detector is to look for, in the order of `objects`.
    pub(crate) fn asked(&self, detector: &Detector) -> Result<Vec<Object>> {
        let object = |wanted: &Wanted| {
            let found = detector.objects(&wanted.phrase).first().copied();
            found.ok_or_else(|| {
                Error::input(format!("phrase \"{}\"", wanted.phrase), "no colour and shape of the model")
            })
        };
        self.objects.iter().map(object).collect()
    }

    /// Place of the target among `objects`.
    pub(crate) fn target(&self) -> Result<usize> {
        let found = self.objects.iter().position(|o| o.phrase == self.target);
        found
            .ok_or_else(|| Error::input(format!("target \"{}\"", self.target), "it is not among the objects"))
    }
}

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Set {
    /// The one that is reported.
    Evaluation,
    /// The one that settings are chosen on.
    Tuning,
}

/// Reads a list; curves are checked against the number of frames.
pub(crate) fn read(path: &Path, set: Set, frames: usize) -> Result<Vec<Task>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let file: File = serde_json::from_str(&text).map_err(|e| Error::file(path, e.to_string()))?;
    let tasks = match set {
        Set::Evaluation => file.evaluation,
        Set::Tuning => file.tuning,
    };
    for object in tasks.iter().flat_map(|t| &t.objects) {
        TimingCurve::new(object.curve.clone())?.require_frames(frames)?;
    }
    Ok(tasks)
}
