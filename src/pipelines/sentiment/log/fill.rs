//! From a model and clips to lines.

use super::super::data::Dataset;
use super::super::model::SentimentModel;
use super::super::progress::ScoreEvent;
use super::super::request::ScoreRequest;
use super::super::result::ScoreResult;
use super::{Origin, ScoreLog};
use crate::Result;
use std::ops::ControlFlow;

impl ScoreLog {
    /// Scores the clips that a request names and that have no line yet. The lines of a batch are written before `hook` is told
    /// of it, so that a run that is broken off there, or killed, loses none of them.
    ///
    /// # Errors
    /// As [`ScoreLog::go_on`], [`SentimentModel::score`] and [`ScoreLog::add`].
    pub async fn fill(
        &mut self,
        model: &SentimentModel,
        data: &Dataset,
        request: &ScoreRequest,
        mut hook: impl FnMut(&ScoreEvent) -> ControlFlow<()>,
    ) -> Result<ScoreResult> {
        self.go_on(Origin { model: model.digest().await?, data: data.digest() })?;
        let mut request = request.clone();
        request.skip.extend(self.ids().iter().cloned());
        let mut written = Ok(());
        let outcome = model.score(data, &request, |event| {
            written = match event {
                ScoreEvent::Unscored { clips, .. } => self.add_unscored(clips),
                ScoreEvent::Scored { scores, .. } => self.add(scores),
            };
            if written.is_ok() { hook(event) } else { ControlFlow::Break(()) }
        });
        let outcome = outcome.await;
        written?;
        outcome
    }
}
