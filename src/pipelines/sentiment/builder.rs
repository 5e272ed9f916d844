//! Data sets made clip by clip, and written to a folder.

use super::data::{Clip, DESCRIPTION, Dataset, Description, FEATURES, FORMAT};
use super::features::FeatureSet;
use crate::weights::write::serialized;
use crate::weights::write_whole;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A clip that is added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewClip<'a> {
    /// Its name, unique in the data set.
    pub id: &'a str,
    /// What is said.
    pub text: &'a str,
    /// Its sentiment, where known.
    pub label: Option<f32>,
    /// `(rows, columns)` of audio, unscaled; empty where there is none.
    pub audio: &'a [f32],
    /// The same of vision.
    pub vision: &'a [f32],
}

/// Takes clips one after the other.
#[derive(Debug)]
pub struct DatasetBuilder {
    data: Dataset,
    ids: BTreeSet<String>,
}

impl DatasetBuilder {
    /// An empty data set whose audio has the columns of a feature set. Without vision `vision_width` is 1.
    ///
    /// # Errors
    /// [`Error::Input`] for a range of labels that is none, names of columns that are none, or widths of 0.
    pub fn new(
        name: impl Into<String>,
        label_range: [f32; 2],
        audio: FeatureSet,
        vision_width: usize,
    ) -> Result<Self> {
        let [low, high] = label_range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(Error::input("label range", format!("{low}..{high}")));
        }
        let audio_width = audio.columns.len();
        audio.check(audio_width).map_err(|reason| Error::input("audio features", reason))?;
        for (what, width) in [("audio", audio_width), ("vision", vision_width)] {
            if width == 0 {
                return Err(Error::input(what, "rows without columns"));
            }
        }
        let data = Dataset {
            name: name.into(),
            label_range,
            audio_width,
            vision_width,
            audio_features: Some(audio),
            splits: BTreeMap::new(),
            cleaned: 0,
            audio: Vec::new(),
            vision: Vec::new(),
            path: PathBuf::from(DESCRIPTION),
        };
        Ok(Self { data, ids: BTreeSet::new() })
    }

    /// Adds a clip to a split.
    ///
    /// # Errors
    /// [`Error::Input`] naming the clip: an id that comes twice, no text, a label outside the range, values that are no whole
    /// rows; [`Error::NonFinite`] for NaN and infinities.
    pub fn add(&mut self, split: &str, clip: &NewClip) -> Result<()> {
        let refuse = |reason: String| Err(Error::input(format!("clip `{}`", clip.id.escape_debug()), reason));
        let [low, high] = self.data.label_range;
        if clip.text.trim().is_empty() {
            return refuse("it has no text".into());
        }
        if let Some(label) = clip.label.filter(|label| !(low..=high).contains(label)) {
            return refuse(format!("label {label} is outside {low}..{high}"));
        }
        for (what, values, width) in
            [("audio", clip.audio, self.data.audio_width), ("vision", clip.vision, self.data.vision_width)]
        {
            if !values.len().is_multiple_of(width) {
                return refuse(format!("{} values of {what} are no whole rows of {width}", values.len()));
            }
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::NonFinite { what: format!("{what} of clip `{}`", clip.id), index });
            }
        }
        if !self.ids.insert(clip.id.to_owned()) {
            return refuse("its id comes twice".into());
        }
        let data = &mut self.data;
        let place = |all: &mut Vec<f32>, values: &[f32], width: usize| {
            let place = [all.len() / width, values.len() / width];
            all.extend_from_slice(values);
            place
        };
        let audio = place(&mut data.audio, clip.audio, data.audio_width);
        let vision = place(&mut data.vision, clip.vision, data.vision_width);
        let (id, text, label) = (clip.id.to_owned(), clip.text.to_owned(), clip.label);
        data.splits.entry(split.to_owned()).or_default().push(Clip { id, text, label, audio, vision });
        Ok(())
    }

    /// The data set in memory.
    pub fn build(self) -> Dataset {
        self.data
    }
}

impl Dataset {
    /// Writes the folder that [`Dataset::open`] reads; what is there under the same names is replaced. The description goes first
    /// and comes last: a run that is killed between the two files leaves a folder that is refused.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] as [`write_whole`].
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let (description, features) = (folder.join(DESCRIPTION), folder.join(FEATURES));
        let part = |name: &str, values: &[f32], width: usize| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name.to_owned(), vec![values.len() / width.max(1), width], bytes)
        };
        let parts =
            [part("audio", &self.audio, self.audio_width), part("vision", &self.vision, self.vision_width)];
        let tensors = serialized(&features, &parts, None)?;
        let json = serde_json::to_string(&Description {
            format: FORMAT.into(),
            version: 1,
            name: self.name.clone(),
            label_range: self.label_range,
            audio_width: self.audio_width,
            vision_width: self.vision_width,
            audio_features: self.audio_features.clone(),
            splits: self.splits.clone(),
        });
        // A clip a line: ids come first in a clip, and a quote within a text is escaped.
        let json =
            json.map_err(|e| Error::file(&description, e.to_string()))?.replace("{\"id\"", "\n{\"id\"");
        match std::fs::remove_file(&description) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&description, e)),
            _ => {}
        }
        write_whole(&features, &tensors)?;
        write_whole(&description, json.as_bytes())
    }
}
