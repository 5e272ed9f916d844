//! Feature files: a folder with `dataset.json` and `features.safetensors`, which `tools/convert_mmsa` makes from MMSA's
//! pickles.
//!
//! `dataset.json`: `format` "foveal-sentiment", `version` 1, `name`, `label_range` [low, high], `audio_width`,
//! `vision_width`, and `splits`: lists of clips `{id, text, label, audio, vision}` by name, where `label` may be null and
//! `audio`, `vision` are `[first_row, rows]` of the matrices `audio` and `vision` (f32, `(rows of all clips, width)`,
//! without padding). No rows: the modality is missing. Where the audio's columns have names, `audio_features` holds them
//! ([`FeatureSet`]); the rows are then unscaled.

use super::digest::Digest;
use super::features::FeatureSet;
use crate::weights::WeightStore;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Name of the description in a data set's folder.
pub const DESCRIPTION: &str = "dataset.json";
/// Name of the features beside it.
pub const FEATURES: &str = "features.safetensors";
pub(super) const FORMAT: &str = "foveal-sentiment";
/// MOSEI's 22,856 clips with their transcripts take some 6 MB.
const MAX_BYTES: u64 = 1 << 30;

/// One clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Its name, unique in the data set.
    pub id: String,
    /// What is said.
    pub text: String,
    /// Its sentiment, where known.
    pub label: Option<f32>,
    /// First row and number of rows in the audio matrix.
    pub(super) audio: [usize; 2],
    /// First row and number of rows in the vision matrix.
    pub(super) vision: [usize; 2],
}

impl Clip {
    /// Frames of audio and of vision; 0 where the modality is missing.
    pub fn frames(&self) -> [usize; 2] {
        [self.audio[1], self.vision[1]]
    }

    /// Names of the modalities that it lacks.
    pub fn missing(&self) -> Vec<&'static str> {
        let [audio, vision] = self.frames();
        [("audio", audio), ("vision", vision)].into_iter().filter(|p| p.1 == 0).map(|p| p.0).collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) label_range: [f32; 2],
    pub(super) audio_width: usize,
    pub(super) vision_width: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) audio_features: Option<FeatureSet>,
    pub(super) splits: BTreeMap<String, Vec<Clip>>,
}

/// Clips with their features, in host memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What it calls itself.
    pub name: String,
    /// Lowest and highest label.
    pub label_range: [f32; 2],
    /// Width of a frame of audio.
    pub audio_width: usize,
    /// Width of a frame of vision.
    pub vision_width: usize,
    /// What the audio's columns are, where it is known.
    pub audio_features: Option<FeatureSet>,
    /// Clips by split.
    pub splits: BTreeMap<String, Vec<Clip>>,
    /// Audio values that were −∞, as COVAREP's logarithms of silence are, and are 0 now.
    pub cleaned: usize,
    pub(super) audio: Vec<f32>,
    pub(super) vision: Vec<f32>,
    pub(super) path: PathBuf,
}

impl Dataset {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] naming the clip and what is wrong with it: no text, a label outside the range, rows
    /// that the features do not have, an id that comes twice, NaN or infinite features; [`Error::Weight`] for features of
    /// another width than the description says.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(DESCRIPTION);
        let json = crate::weights::file::read(&path, MAX_BYTES, "a data set")?;
        Self::from_parts(&path, &json, &WeightStore::open(folder.join(FEATURES))?)
    }

    /// From the text of a `dataset.json` and its features; `path` stands in messages.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn from_parts(path: &Path, json: &[u8], features: &WeightStore) -> Result<Self> {
        let refuse = |reason: String| Error::file(path, reason);
        let d: Description = serde_json::from_slice(json).map_err(|e| refuse(e.to_string()))?;
        if d.format != FORMAT || d.version != 1 {
            return Err(refuse(format!("format {} {}: {FORMAT} 1 is read", d.format, d.version)));
        }
        let [low, high] = d.label_range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(refuse(format!("label_range {low}..{high}")));
        }
        if let Some(set) = &d.audio_features {
            set.check(d.audio_width).map_err(|reason| refuse(format!("audio_features: {reason}")))?;
        }
        let matrix = |name: &str, width: usize| -> Result<(Vec<f32>, usize)> {
            let shape = features.shape(name)?;
            match *shape.dims() {
                [rows, found] if found == width && width > 0 => {
                    Ok((features.load_any(name)?.into_data(), rows))
                }
                _ => Err(Error::weight(
                    features.path(),
                    name,
                    format!("{shape}; {DESCRIPTION} says (rows, {width})"),
                )),
            }
        };
        let (mut audio, audio_rows) = matrix("audio", d.audio_width)?;
        let (vision, vision_rows) = matrix("vision", d.vision_width)?;
        let silent = audio.iter_mut().filter(|v| **v == f32::NEG_INFINITY);
        let cleaned = silent.map(|v| *v = 0.0).count();
        let mut seen = BTreeSet::new();
        for (split, clips) in &d.splits {
            for clip in clips {
                let id = clip.id.escape_debug();
                let of = |reason: String| Err(refuse(format!("clip `{id}` of `{split}`: {reason}")));
                if !seen.insert(clip.id.as_str()) {
                    return of("its id comes twice".into());
                }
                if clip.text.trim().is_empty() {
                    return of("it has no text".into());
                }
                if let Some(label) = clip.label.filter(|l| !(low..=high).contains(l)) {
                    return of(format!("label {label} is outside {low}..{high}"));
                }
                for (what, [first, rows], all, width, values) in [
                    ("audio", clip.audio, audio_rows, d.audio_width, &audio),
                    ("vision", clip.vision, vision_rows, d.vision_width, &vision),
                ] {
                    let Some(end) = first.checked_add(rows).filter(|&end| end <= all) else {
                        return of(format!("{what} rows {first}..{first}+{rows} of {all}"));
                    };
                    let own = values.get(first * width..end * width).unwrap_or_default();
                    if let Some(at) = own.iter().position(|v| !v.is_finite()) {
                        let (row, column) = (at / width, at % width);
                        return of(format!("{what} frame {row}, column {column} is {}", own[at]));
                    }
                }
            }
        }
        Ok(Self {
            name: d.name,
            label_range: d.label_range,
            audio_width: d.audio_width,
            vision_width: d.vision_width,
            audio_features: d.audio_features,
            splits: d.splits,
            cleaned,
            audio,
            vision,
            path: path.to_path_buf(),
        })
    }

    /// Clips of a split.
    ///
    /// # Errors
    /// [`Error::File`] listing the splits that there are.
    pub fn split(&self, name: &str) -> Result<&[Clip]> {
        let there = || self.splits.keys().cloned().collect::<Vec<_>>().join(", ");
        let found = self.splits.get(name).filter(|clips| !clips.is_empty());
        found.map(Vec::as_slice).ok_or_else(|| {
            Error::file(&self.path, format!("no clips in split `{name}`; there is {}", there()))
        })
    }

    /// Labels of clips.
    ///
    /// # Errors
    /// [`Error::File`] naming the first clip without one.
    pub fn labels<'a>(&self, clips: impl IntoIterator<Item = &'a Clip>) -> Result<Vec<f32>> {
        let label = |c: &Clip| {
            c.label.ok_or_else(|| {
                Error::file(&self.path, format!("clip `{}` has no label", c.id.escape_debug()))
            })
        };
        clips.into_iter().map(label).collect()
    }

    /// Audio frames of a clip, `(frames, audio_width)`.
    pub fn audio(&self, clip: &Clip) -> &[f32] {
        let [first, rows] = clip.audio;
        self.audio.get(first * self.audio_width..(first + rows) * self.audio_width).unwrap_or_default()
    }

    /// Vision frames of a clip, `(frames, vision_width)`.
    pub fn vision(&self, clip: &Clip) -> &[f32] {
        let [first, rows] = clip.vision;
        self.vision.get(first * self.vision_width..(first + rows) * self.vision_width).unwrap_or_default()
    }

    /// Sixteen digits that another data set does not have: of the clips' splits, names, texts and features. Labels are no part
    /// of it, since scores do not depend on them.
    pub fn digest(&self) -> String {
        self.digest_of(self.splits.keys().map(String::as_str))
    }

    /// The digest of some splits.
    pub(super) fn digest_of<'a>(&self, splits: impl IntoIterator<Item = &'a str>) -> String {
        let mut digest = Digest::new();
        digest.number(self.audio_width).number(self.vision_width);
        // A model of named columns refuses others, and makes of the same rows other scores than one of nameless columns.
        if let Some(set) = &self.audio_features {
            digest.text(format!("{set:?}"));
        }
        for (split, clips) in splits.into_iter().filter_map(|name| self.splits.get_key_value(name)) {
            digest.text(split).number(clips.len());
            for clip in clips {
                digest.text(&clip.id).text(&clip.text).floats(self.audio(clip)).floats(self.vision(clip));
            }
        }
        digest.digits()
    }

    /// Most frames of audio and of vision of any clip.
    pub fn longest(&self) -> [usize; 2] {
        let all = self.splits.values().flatten().map(Clip::frames);
        all.fold([0, 0], |[a, v], [x, y]| [a.max(x), v.max(y)])
    }
}

/// Clips in batches of at most `size` that hold clips of like length, shortest first: indices into `costs`.
pub fn bucketed(costs: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by_key(|&i| costs[i]);
    order.chunks(size.max(1)).map(<[usize]>::to_vec).collect()
}
