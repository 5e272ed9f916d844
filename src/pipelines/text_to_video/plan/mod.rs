//! A clip's timing as a file: the prompt and each word's curve, in TOML or JSON.
//!
//! ```toml
//! prompt = "a red square and a blue cross"
//! seed = 1                      # optional, as are steps, guidance_scale and negative_prompt
//!
//! [[words]]
//! phrase = "red square"
//! curve = "0.5s..1.5s@0.8"      # any form of TimingCurve::parse, or a list with one value per latent frame
//!
//! [[words]]
//! phrase = "blue cross"
//! keyframes = [["0s", 0], ["1s", 1]]     # [time, value]; a plain number is a latent frame, "12f" a pixel frame
//! interpolation = "smooth"               # or step, linear
//!
//! [[words]]
//! phrase = "a"
//! occurrence = 0                         # of several, counted from 0; all of them without it
//! audio = { file = "beat.wav", start = 0.25 }    # beside the plan; needs the feature `audio`
//! ```
//!
//! A part of the prompt follows one curve: the same word twice, and words that overlap with different curves, are refused.
//!
//! `audio` takes `start` (seconds into the clip at which the sound begins, 0 by default), `stretch = true` (the sound is
//! stretched to the clip), and `rule`: `"beats"`, the default, or `"released"`, which stretches unless it is told not to, and
//! takes `threshold` and `sigma` of [`AudioMaskOptions`](super::audio_mask::AudioMaskOptions). Only as much of a file is
//! decoded as the clip has of it. Damage that was passed over in it is what [`Plan::apply`] returns.

use super::curve::TimeAxis;
use super::request::{ClipRequest, TimedWord};
use crate::models::tokenizer::{Encoding, clean_prompt};
use crate::{Error, Result};
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};

mod source;
mod word;

pub use source::{AudioCurve, AudioRule, CurveSource};
pub use word::PlanWord;
use word::RawWord;

/// What is to be drawn and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to draw.
    pub prompt: String,
    /// What to stay away from, if it is stated.
    pub negative_prompt: Option<String>,
    /// Seed of the noise, if it is stated.
    pub seed: Option<u64>,
    /// Denoising steps, if they are stated.
    pub steps: Option<usize>,
    /// Strength of classifier-free guidance, if it is stated.
    pub guidance_scale: Option<f32>,
    /// Words of the prompt with their curves.
    pub words: Vec<PlanWord>,
    /// Where it was read, for errors and for files that stand beside it.
    path: PathBuf,
}

/// The syntax of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanFormat {
    /// TOML; needs the feature `toml`.
    Toml,
    /// JSON.
    Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    prompt: String,
    negative_prompt: Option<String>,
    seed: Option<u64>,
    steps: Option<usize>,
    guidance_scale: Option<f32>,
    #[serde(default)]
    words: Vec<RawWord>,
}

impl Plan {
    /// A plan from words and curves at hand, such as those of a command line.
    pub fn new(prompt: impl Into<String>, words: Vec<PlanWord>) -> Self {
        Self {
            prompt: prompt.into(),
            negative_prompt: None,
            seed: None,
            steps: None,
            guidance_scale: None,
            words,
            path: PathBuf::new(),
        }
    }

    /// Reads a file; its extension, `.toml` or `.json`, tells the format.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, otherwise as [`parse`](Self::parse).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        // A prompt and its curves; a list of values for every frame of a long clip is a few kilobytes.
        const MAX_BYTES: u64 = 1 << 20;
        let path = path.as_ref();
        let extension = path.extension().map(|e| e.to_ascii_lowercase());
        let format = match extension.as_ref().and_then(|e| e.to_str()) {
            Some("toml") => PlanFormat::Toml,
            Some("json") => PlanFormat::Json,
            _ => return Err(Error::file(path, "a plan ends in .toml or .json")),
        };
        let text = crate::weights::file::read(path, MAX_BYTES, "a plan")?;
        let wide = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff");
        let reason = if wide { "it is UTF-16: save it as UTF-8" } else { "it is not UTF-8" };
        let text = String::from_utf8(text).map_err(|_| Error::file(path, reason))?;
        Self::parse(&text, format, path)
    }

    /// Reads a plan; `path` stands in errors, and audio files are looked for beside it.
    ///
    /// # Errors
    /// [`Error::File`] with the line of a syntax error, a field that is unknown, missing or of another type; or
    /// with the field of a phrase that the prompt does not contain, and of a word without exactly one curve.
    pub fn parse(text: &str, format: PlanFormat, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        // Some editors write a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: Raw = match format {
            PlanFormat::Json => serde_json::from_str(text).map_err(|e| Error::file(&path, e.to_string()))?,
            PlanFormat::Toml => from_toml(text, &path)?,
        };
        let mut plan = Self {
            prompt: raw.prompt,
            negative_prompt: raw.negative_prompt,
            seed: raw.seed,
            steps: raw.steps,
            guidance_scale: raw.guidance_scale,
            words: Vec::with_capacity(raw.words.len()),
            path,
        };
        for (index, word) in raw.words.into_iter().enumerate() {
            let word = word.into_word().map_err(|(field, reason)| plan.field(index, field, &reason))?;
            plan.words.push(word);
        }
        plan.check()?;
        Ok(plan)
    }

    /// Fails when the plan's numbers cannot be meant or the prompt does not contain a phrase as whole words.
    ///
    /// # Errors
    /// [`Error::File`] with the field, or [`Error::Input`] for a plan that was not read from a file.
    pub fn check(&self) -> Result<()> {
        if self.prompt.trim().is_empty() {
            return Err(self.refuse("prompt: it is empty"));
        }
        if self.steps == Some(0) {
            return Err(self.refuse("steps: expected at least 1"));
        }
        if self.guidance_scale.is_some_and(|g| !g.is_finite()) {
            return Err(self.refuse("guidance_scale: it is not finite"));
        }
        let whole = self.text();
        for (index, word) in self.words.iter().enumerate() {
            if word.phrase.trim().is_empty() {
                return Err(self.field(index, "phrase", &"it is empty"));
            }
            whole
                .places(&word.phrase, word.occurrence)
                .map_err(|error| self.field(index, "phrase", &error))?;
        }
        Ok(())
    }

    /// Each word with its curve over the latent frames; reads the audio files.
    ///
    /// # Errors
    /// [`Error::File`] with the word's field and what is wrong with its curve, or with its phrase where that is timed twice;
    /// [`Error::Input`] for a plan that was not read from a file.
    pub fn timed_words(&self, axis: &TimeAxis) -> Result<Vec<TimedWord>> {
        self.timed(axis).map(|(words, _)| words)
    }

    /// Fails for a word that stands there twice, and for words that share a part of the prompt with different curves.
    fn require_apart(&self, words: &[TimedWord]) -> Result<()> {
        let text = self.text();
        let mut earlier: Vec<(&TimedWord, Vec<Range<usize>>)> = Vec::with_capacity(words.len());
        for (index, word) in words.iter().enumerate() {
            let places = text.places(&word.phrase, word.occurrence);
            let places = places.map_err(|error| self.field(index, "phrase", &error))?;
            for (other, (before, others)) in earlier.iter().enumerate() {
                let meets = |a: &Range<usize>| others.iter().find(|b| a.start < b.end && b.start < a.end);
                let Some(shared) = places.iter().find(|a| meets(a).is_some()) else { continue };
                if places != *others && word.curve == before.curve {
                    continue;
                }
                let part = text.text.get(shared.clone()).unwrap_or_default();
                let reason = format!(
                    "\"{}\" is timed by words[{other}] too, which is \"{}\": leave one out, or give each an occurrence or a \
                     part of the prompt of its own",
                    part, before.phrase
                );
                return Err(self.field(index, "phrase", &reason));
            }
            earlier.push((word, places));
        }
        Ok(())
    }

    /// The prompt, in which words are looked for. Where they stand does not depend on how a tokenizer cuts them: one token for
    /// everything will do.
    fn text(&self) -> Encoding {
        let text = clean_prompt(&self.prompt);
        Encoding { ids: vec![0], offsets: vec![(0, text.len())], kept: text.len(), text }
    }

    fn timed(&self, axis: &TimeAxis) -> Result<(Vec<TimedWord>, Vec<String>)> {
        let mut warnings = Vec::new();
        let base = self.path.parent().unwrap_or(Path::new(""));
        let timed = |(index, word): (usize, &PlanWord)| {
            let curve = word.curve.curve_with_warnings(axis, base);
            let (curve, more) = curve.map_err(|error| self.field(index, word.curve.field(), &error))?;
            warnings.extend(more);
            Ok(TimedWord { phrase: word.phrase.clone(), occurrence: word.occurrence, curve })
        };
        let words = self.words.iter().enumerate().map(timed).collect::<Result<Vec<_>>>()?;
        self.require_apart(&words)?;
        Ok((words, warnings))
    }

    /// Puts the prompt, the words and every setting that the plan states into a request. Returned is what was damaged in
    /// the files of sounds and passed over, a line each, for the user to see.
    ///
    /// # Errors
    /// As [`timed_words`](Self::timed_words).
    pub fn apply(&self, request: &mut ClipRequest, axis: &TimeAxis) -> Result<Vec<String>> {
        let (words, warnings) = self.timed(axis)?;
        request.words = words;
        request.prompt.clone_from(&self.prompt);
        if let Some(negative) = &self.negative_prompt {
            request.negative_prompt.clone_from(negative);
        }
        request.seed = self.seed.unwrap_or(request.seed);
        request.steps = self.steps.unwrap_or(request.steps);
        request.guidance_scale = self.guidance_scale.unwrap_or(request.guidance_scale);
        Ok(warnings)
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        if self.path.as_os_str().is_empty() {
            Error::input("plan", reason)
        } else {
            Error::file(&self.path, reason)
        }
    }

    fn field(&self, index: usize, field: &str, reason: &dyn std::fmt::Display) -> Error {
        self.refuse(format!("words[{index}].{field}: {reason}"))
    }
}

#[cfg(feature = "toml")]
fn from_toml(text: &str, path: &Path) -> Result<Raw> {
    // The message shows the line with a mark under the place.
    toml::from_str(text).map_err(|e| Error::file(path, e.to_string().trim_end().to_owned()))
}

#[cfg(not(feature = "toml"))]
fn from_toml(_: &str, path: &Path) -> Result<Raw> {
    Err(Error::file(path, "TOML is read with the crate's feature `toml`; JSON needs none"))
}

#[cfg(test)]
mod tests;
