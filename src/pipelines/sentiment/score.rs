//! Scoring many clips, and measuring the scores.

use super::data::{Clip, Dataset, bucketed};
use super::metrics::Metrics;
use super::model::SentimentModel;
use super::progress::ScoreEvent;
use super::request::ScoreRequest;
use super::result::{Evaluation, ScoreResult};
use crate::Result;
use crate::pipelines::go_on;
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
    /// Scores clips in batches of like length, telling `hook` of each batch, whose scores it may keep: a run that is broken off
    /// loses none of those.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for a split without clips, [`Error::Input`](crate::Error::Input) for a batch of none, [`Error::Cancelled`](crate::Error::Cancelled) where the hook breaks
    /// off; otherwise as [`SentimentModel::score_batch`].
    pub async fn score(
        &self,
        data: &Dataset,
        request: &ScoreRequest,
        mut hook: impl FnMut(&ScoreEvent) -> ControlFlow<()>,
    ) -> Result<ScoreResult> {
        let clips = asked(data, request)?;
        let costs: Vec<usize> = clips.iter().map(|clip| self.cost(clip)).collect();
        let (mut all, mut done, of) = (Vec::with_capacity(clips.len()), 0, clips.len());
        for batch in bucketed(&costs, request.batch) {
            let part: Vec<&Clip> = batch.iter().map(|&i| clips[i]).collect();
            let scores = self.score_batch(data, &part).await?;
            done += part.len();
            all.extend(batch.into_iter().zip(scores.iter().cloned()));
            let flow = hook(&ScoreEvent::Scored { scores, done, of });
            go_on(flow, || format!("clip {done} of {of}"))?;
        }
        all.sort_by_key(|(clip, _)| *clip);
        Ok(ScoreResult { scores: all.into_iter().map(|(_, score)| score).collect() })
    }

    /// Scores clips that have labels, and measures the scores in the model's convention.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for a clip without a label; otherwise as [`SentimentModel::score`] and [`Metrics::of`].
    pub async fn evaluate(
        &self,
        data: &Dataset,
        request: &ScoreRequest,
        hook: impl FnMut(&ScoreEvent) -> ControlFlow<()>,
    ) -> Result<Evaluation> {
        let labels = data.labels(asked(data, request)?)?;
        let scores = self.score(data, request, hook).await?.scores;
        let scores: Vec<f32> = scores.into_iter().map(|score| score.score).collect();
        let metrics = Metrics::of(self.description.convention, &scores, &labels)?;
        Ok(Evaluation { scores, labels, metrics })
    }
}
