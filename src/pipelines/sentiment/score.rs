//! Scoring many clips, and measuring the scores.

use super::data::{Clip, Dataset, bucketed};
use super::metrics::Metrics;
use super::model::{SentimentModel, Unscored};
use super::progress::ScoreEvent;
use super::request::ScoreRequest;
use super::result::{Evaluation, ScoreResult};
use crate::models::dashfusion::Padding;
use crate::pipelines::go_on;
use crate::{Error, Result};
use std::ops::ControlFlow;

/// The clips that a request names, in the order of the data set.
fn asked<'a>(data: &'a Dataset, request: &ScoreRequest) -> Result<Vec<&'a Clip>> {
    request.check()?;
    let clips: Vec<&Clip> = match &request.split {
        Some(split) => data.split(split)?.iter().collect(),
        None => data.splits.values().flatten().collect(),
    };
    Ok(clips.into_iter().filter(|clip| !request.skip.contains(&clip.id)).collect())
}

impl SentimentModel {
    /// Why a clip cannot be scored, whatever else is in its batch: more frames than the model has positions for, or, with
    /// [`Padding::Released`], no audio or vision. `None` where it can be.
    pub fn refusal(&self, clip: &Clip) -> Option<Unscored> {
        let config = &self.description.model;
        let [audio, vision] = clip.frames();
        let parts = [("audio", audio, config.audio_frames), ("vision", vision, config.vision_frames)];
        let reason = parts.into_iter().find_map(|(what, frames, most)| match frames {
            0 if self.padding == Padding::Released => {
                Some(format!("{what} is missing, which the released code's padding cannot say"))
            }
            n if n > most => Some(format!("{what} has {n} frames, the model takes at most {most}")),
            _ => None,
        });
        reason.map(|reason| Unscored { id: clip.id.clone(), reason })
    }

    /// Scores clips in batches of like length, telling `hook` of each batch, whose scores it may keep: a run that is broken off
    /// loses none of those. Clips that [`SentimentModel::refusal`] names are told of first and left out of the batches.
    ///
    /// # Errors
    /// [`Error::File`] for a split without clips, [`Error::Input`] for a batch of none and for data of another
    /// width than the model's, [`Error::Cancelled`] where the hook breaks off; otherwise as [`SentimentModel::score_batch`].
    pub async fn score(
        &self,
        data: &Dataset,
        request: &ScoreRequest,
        mut hook: impl FnMut(&ScoreEvent) -> ControlFlow<()>,
    ) -> Result<ScoreResult> {
        let (mut clips, mut unscored) = (Vec::new(), Vec::new());
        let all = asked(data, request)?;
        self.takes(data)?;
        for &clip in &all {
            match self.refusal(clip) {
                Some(refused) => unscored.push(refused),
                None => clips.push(clip),
            }
        }
        let (mut done, of) = (unscored.len(), all.len());
        if !unscored.is_empty() {
            let flow = hook(&ScoreEvent::Unscored { clips: unscored.clone(), done, of });
            go_on(flow, || format!("clip {done} of {of}"))?;
        }
        let costs: Vec<usize> = clips.iter().map(|clip| self.cost(clip)).collect();
        let mut scored = Vec::with_capacity(clips.len());
        for batch in bucketed(&costs, request.batch) {
            let part: Vec<&Clip> = batch.iter().map(|&i| clips[i]).collect();
            let scores = self.score_batch(data, &part).await?;
            done += part.len();
            scored.extend(batch.into_iter().zip(scores.iter().cloned()));
            let flow = hook(&ScoreEvent::Scored { scores, done, of });
            go_on(flow, || format!("clip {done} of {of}"))?;
        }
        scored.sort_by_key(|(clip, _)| *clip);
        Ok(ScoreResult { scores: scored.into_iter().map(|(_, score)| score).collect(), unscored })
    }

    /// Whether the model was made for features as wide as a data set's.
    fn takes(&self, data: &Dataset) -> Result<()> {
        self.frames(data, &[]).map(drop)
    }

    /// Scores clips that have labels, and measures the scores in the model's convention.
    ///
    /// # Errors
    /// [`Error::File`] for a clip without a label; [`Error::Input`] for one that cannot be scored, since measures that leave
    /// clips out compare with nothing; otherwise as [`SentimentModel::score`] and [`Metrics::of`].
    pub async fn evaluate(
        &self,
        data: &Dataset,
        request: &ScoreRequest,
        hook: impl FnMut(&ScoreEvent) -> ControlFlow<()>,
    ) -> Result<Evaluation> {
        let clips = asked(data, request)?;
        if let Some(Unscored { id, reason }) = clips.iter().find_map(|clip| self.refusal(clip)) {
            return Err(Error::input(format!("clip `{}`", id.escape_debug()), reason));
        }
        let labels = data.labels(clips)?;
        let scores = self.score(data, request, hook).await?.scores;
        let scores: Vec<f32> = scores.into_iter().map(|score| score.score).collect();
        let metrics = Metrics::of(self.description.convention, &scores, &labels)?;
        Ok(Evaluation { scores, labels, metrics })
    }
}
