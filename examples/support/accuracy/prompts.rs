//! The fixed prompts of an evaluation, with what is wanted when.

use crate::shared::detector::{Detector, Object};
use foveal::pipelines::text_to_video::curve::TimingCurve;
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

    /// Places of the objects that get a curve, the target first: with it those whose curve varies, or all.
    pub(crate) fn timed(&self, words: Words) -> Result<Vec<usize>> {
        let target = self.target()?;
        let varies = |o: &Wanted| o.curve.iter().any(|v| Some(v) != o.curve.first());
        let others = self.objects.iter().enumerate().filter(|(i, _)| *i != target);
        let others = others.filter(|(_, o)| words == Words::All || varies(o)).map(|(i, _)| i);
        Ok(std::iter::once(target).chain(others).collect())
    }

    /// Place of the target among `objects`.
    pub(crate) fn target(&self) -> Result<usize> {
        let found = self.objects.iter().position(|o| o.phrase == self.target);
        found
            .ok_or_else(|| Error::input(format!("target \"{}\"", self.target), "it is not among the objects"))
    }
}

/// Which words of a prompt are steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Words {
    /// The target, and other objects whose curve varies.
    Target,
    /// Every object, those that are always there too.
    All,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::shared::repository::in_repository;
    use std::collections::BTreeSet;

    fn list(set: Set) -> Vec<Task> {
        read(&in_repository("tools/train_tiny_wan/prompts.json"), set, 8).unwrap()
    }

    #[test]
    fn the_lists_are_apart_and_can_be_measured() {
        let detector = Detector::open(&in_repository("models/tiny-wan")).unwrap().unwrap();
        let (evaluation, tuning) = (list(Set::Evaluation), list(Set::Tuning));
        assert!(evaluation.len() >= 48 && tuning.len() == 16);
        let names = |tasks: &[Task]| tasks.iter().map(|t| t.prompt.clone()).collect::<BTreeSet<_>>();
        let seeds: BTreeSet<u64> = evaluation.iter().chain(&tuning).map(|t| t.seed).collect();
        assert_eq!(names(&evaluation).len(), evaluation.len());
        assert!(names(&evaluation).is_disjoint(&names(&tuning)));
        assert_eq!(seeds.len(), evaluation.len() + tuning.len());
        for task in evaluation.iter().chain(&tuning) {
            assert_eq!(task.asked(&detector).unwrap().len(), task.objects.len());
            assert_eq!(detector.objects(&task.prompt), task.asked(&detector).unwrap(), "{}", task.prompt);
            // On the boundary a frame would be neither wanted nor unwanted.
            assert!(task.objects.iter().all(|o| !o.curve.contains(&0.5)));
        }
        let count = |what: &dyn Fn(&Task) -> bool| evaluation.iter().filter(|t| what(t)).count();
        let partial = |t: &Task| t.objects.iter().any(|o| o.curve.iter().any(|v| *v > 0.0 && *v < 1.0));
        assert_eq!(count(&partial), 8);
        assert_eq!(count(&|t| t.timed(Words::Target).unwrap().len() == 2), 8);
    }
}
