//! Everything the demonstration knows when both clips are made, and its form as JSON.

use super::folder::KIND;
use super::heat::HeatMaps;
use crate::shared::detector::{Detector, Flaw, FrameReport, Object, Sighting};
use crate::shared::film::Film;
use serde_json::{Value, json};

/// A phrase with its curve.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) phrase: String,
    pub(crate) curve: Vec<f32>,
    /// The curve as it was typed.
    pub(crate) spec: String,
    /// Its colour in pictures.
    pub(crate) ink: [u8; 3],
    /// Its place among the objects that the detector looks for.
    pub(crate) object: Option<usize>,
}

/// One of the two clips.
#[derive(Debug)]
pub(crate) struct Take {
    pub(crate) film: Film,
    pub(crate) heat: HeatMaps,
    /// One a frame; empty where the model states no palette.
    pub(crate) reports: Vec<FrameReport>,
}

/// Both clips with what was asked.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) prompt: String,
    pub(crate) words: Vec<Word>,
    /// Frames, height, width.
    pub(crate) size: [usize; 3],
    pub(crate) fps: f64,
    pub(crate) before: Take,
    pub(crate) after: Take,
    /// Settings and machine, as they are shown: name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// How a word is shown in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing of it.
    No,
    /// As one object.
    Once,
    /// Otherwise: twice, torn, in part, or on a frame without background.
    Wrongly,
}

impl Take {
    /// What was measured of a word in a frame, if it can be measured.
    pub(crate) fn sighting(&self, word: &Word, frame: usize) -> Option<&Sighting> {
        self.reports.get(frame)?.objects.get(word.object?)
    }

    /// That in short.
    pub(crate) fn shown(&self, word: &Word, frame: usize) -> Option<Shown> {
        let sighting = self.sighting(word, frame)?;
        Some(match (sighting.present, sighting.seen()) {
            (true, _) => Shown::Once,
            (false, true) => Shown::Wrongly,
            (false, false) => Shown::No,
        })
    }

    /// Frames in which something of a word is there that is not one object.
    pub(crate) fn flaws<'a>(&'a self, word: &'a Word) -> impl Iterator<Item = (usize, Flaw, &'a Sighting)> {
        (0..word.curve.len()).filter_map(|frame| {
            let sighting = self.sighting(word, frame)?;
            Some((frame, sighting.flaw?, sighting))
        })
    }

    /// The frame is clean and shows the word once if it is wanted, and nothing of it if it is not.
    pub(crate) fn right(&self, word: &Word, frame: usize) -> Option<bool> {
        self.sighting(word, frame)?;
        Some(self.reports.get(frame)?.right(word.object?, *word.curve.get(frame)?))
    }

    /// Share of frames that are right.
    pub(crate) fn accuracy(&self, word: &Word) -> Option<f64> {
        let right: Option<Vec<bool>> = (0..word.curve.len()).map(|f| self.right(word, f)).collect();
        let right = right?;
        Some(right.iter().filter(|r| **r).count() as f64 / right.len().max(1) as f64)
    }

    fn json(&self, words: &[Word]) -> Value {
        let per_word = |(group, word): (usize, &Word)| {
            let object = |f: usize| self.sighting(word, f);
            let frames = 0..word.curve.len();
            json!({
                "phrase": word.phrase,
                "attention": self.heat.over_time(group),
                "pixels": frames.clone().map(|f| object(f).map(|o| o.pixels)).collect::<Vec<_>>(),
                "pieces": frames.clone().map(|f| object(f).map(|o| o.pieces.as_slice())).collect::<Vec<_>>(),
                "flaw": frames.clone().map(|f| object(f).and_then(|o| o.flaw)).collect::<Vec<_>>(),
                "present": frames.clone().map(|f| object(f).map(|o| o.present)).collect::<Vec<_>>(),
                "shape_right": frames.clone().map(|f| object(f).and_then(|o| o.shape_right)).collect::<Vec<_>>(),
                "right": frames.map(|f| self.right(word, f)).collect::<Vec<_>>(),
                "accuracy": self.accuracy(word),
            })
        };
        json!({
            "words": words.iter().enumerate().map(per_word).collect::<Vec<_>>(),
            "clean": self.reports.iter().map(|r| r.clean).collect::<Vec<_>>(),
            "attention_steps": self.heat.steps,
            "run": self.film,
        })
    }
}

impl Demo {
    /// Objects to look for and the words they belong to.
    pub(crate) fn objects(detector: Option<&Detector>, prompt: &str) -> Vec<Object> {
        detector.map(|d| d.objects(prompt)).unwrap_or_default()
    }

    /// Results as a JSON value.
    pub(crate) fn json(&self) -> Value {
        let word = |w: &Word| json!({ "phrase": w.phrase, "curve": w.spec, "wanted": w.curve });
        let facts: serde_json::Map<String, Value> =
            self.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            (KIND): super::report::NAME,
            "prompt": self.prompt,
            "words": self.words.iter().map(word).collect::<Vec<_>>(),
            "settings": facts,
            "uncontrolled": self.before.json(&self.words),
            "controlled": self.after.json(&self.words),
        })
    }
}
