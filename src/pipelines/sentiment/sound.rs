//! From a sound and its words to a score.

use super::builder::{DatasetBuilder, NewClip};
use super::features::FeatureSet;
use super::model::{Score, SentimentModel};
use super::scale::apart;
use crate::pipelines::sounds::Sound;
use crate::pipelines::sounds::features::{NAME, ROWS_PER_SECOND, VERSION, columns, speech_features};
use crate::{Error, Result};

impl FeatureSet {
    /// The columns of [`speech_features`].
    pub fn speech() -> Self {
        let columns = columns().into_iter().map(|column| column.name).collect();
        Self { name: NAME.into(), version: VERSION, columns }
    }
}

impl SentimentModel {
    /// Refuses a model that takes other audio features than [`speech_features`] gives: those could not be made of a sound.
    ///
    /// # Errors
    /// [`Error::Input`] naming both.
    pub fn takes_sounds(&self) -> Result<()> {
        let own = self.description.audio_scale.as_ref().map(|scale| &scale.features);
        let speech = FeatureSet::speech();
        match apart((Some(&speech), speech.columns.len()), (own, self.description.model.audio_width)) {
            Some([speech, own]) => {
                let reason = format!("the model was trained on {own}; of a sound {speech} can be made");
                Err(Error::input("audio features", reason))
            }
            None => Ok(()),
        }
    }

    /// The score of a sound and what is said in it, its vision missing. The features are those that the model was trained on,
    /// by its own scale.
    ///
    /// # Errors
    /// As [`SentimentModel::takes_sounds`], [`speech_features`] and [`SentimentModel::score_batch`]; [`Error::Input`] for a
    /// sound that is longer than the model has positions for, saying how long it may be: to cut it off would score words
    /// by a voice that does not say them.
    pub async fn score_sound(&self, id: &str, text: &str, sound: &Sound) -> Result<Score> {
        self.takes_sounds()?;
        let features = speech_features(sound)?;
        let (rows, most) = (features.rows(), self.description.model.audio_frames);
        if rows > most {
            let limit = most as f64 / f64::from(ROWS_PER_SECOND);
            let found = format!("{:.2} s of sound are {rows} rows", sound.seconds());
            let reason = format!("{found}; the model has positions for {most}, sounds below {limit:.2} s");
            return Err(Error::input(format!("clip `{}`", id.escape_debug()), reason));
        }
        let description = &self.description;
        let mut clips = DatasetBuilder::new(
            "a sound",
            description.label_range,
            FeatureSet::speech(),
            description.model.vision_width,
        )?;
        clips.add("sound", &NewClip { id, text, label: None, audio: &features.values, vision: &[] })?;
        let data = clips.build();
        let scores = self.score_batch(&data, &data.split("sound")?.iter().collect::<Vec<_>>()).await?;
        scores.into_iter().next().ok_or_else(|| Error::input(format!("clip `{id}`"), "it has no score"))
    }
}
