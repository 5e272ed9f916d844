//! Asking a model every question, so that a run may be killed and go on.

use super::predictions::{Prediction, Predictions};
use super::prompt::prompt;
use super::rows::Row;
use crate::weights::LineLog;
use crate::{Error, Result};
use serde_json::Value;
use std::future::Future;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Whatever answers questions: a model of this library, or any other.
pub trait Respondent {
    /// The answer to a question, which `prompt` asks in a form whose answers can be read.
    ///
    /// An error leaves the question without an answer; [`Error::Cancelled`] and [`Error::Lost`] end the survey.
    fn respond(&mut self, row: &Row, prompt: &str) -> impl Future<Output = Result<Prediction>>;
}

/// What a survey reports while it goes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum SurveyEvent<'a> {
    /// So many questions of all have an answer.
    #[non_exhaustive]
    Answered {
        /// Those of earlier runs included.
        done: usize,
        /// All.
        of: usize,
    },
    /// A question has none.
    #[non_exhaustive]
    Failed {
        /// The question's id.
        question_id: &'a str,
        /// Why.
        error: &'a Error,
    },
}

/// Asks every question that the file `log` has no answer to, and adds the answers to it as they come. A last line that a killed
/// run left half written is cut off first.
///
/// # Errors
/// Those of [`LineLog::open`] and [`Predictions::parse`]; [`Error::Cancelled`] where the hook breaks off.
pub async fn survey<R: Respondent>(
    rows: &[Row],
    respondent: &mut R,
    log: impl AsRef<Path>,
    mut hook: impl FnMut(SurveyEvent<'_>) -> ControlFlow<()>,
) -> Result<Predictions> {
    let path = log.as_ref();
    let answer = |line: &Value| {
        ["question_id", "output"].iter().all(|key| line.get(key).is_some_and(Value::is_string))
    };
    let (mut log, _) = LineLog::open(path, answer)?;
    let there = Predictions::parse(path, &log.text()?, rows)?;
    let mut done = rows.iter().filter(|row| there.get(&row.question_id).is_some()).count();
    let left: Vec<&Row> = rows.iter().filter(|row| there.get(&row.question_id).is_none()).collect();
    for row in left {
        let event = match respondent.respond(row, &prompt(row)).await {
            Ok(answer) => {
                // Under the question's own id, whatever the respondent says.
                let answer = Prediction { question_id: row.question_id.clone(), ..answer };
                log.add(&answer)?;
                done += 1;
                hook(SurveyEvent::Answered { done, of: rows.len() })
            }
            Err(error @ (Error::Cancelled(_) | Error::Lost(_))) => return Err(error),
            Err(error) => hook(SurveyEvent::Failed { question_id: &row.question_id, error: &error }),
        };
        if event.is_break() {
            return Err(Error::Cancelled(format!("behind question {}", row.question_id)));
        }
    }
    Predictions::parse(path, &log.text()?, rows)
}

/// The file of a question's video in a folder: by the video's id or that of its first clip, with an extension or without.
pub fn find_video(folder: impl AsRef<Path>, row: &Row) -> Option<PathBuf> {
    const EXTENSIONS: [&str; 6] = ["mp4", "mov", "mkv", "webm", "avi", "gif"];
    let names = std::iter::once(&row.video_id).chain(row.clips.first());
    // An id comes from a file: it names something in the folder and nothing above it.
    let plain = names.filter(|name| Path::new(name).file_name().is_some_and(|n| n == name.as_str()));
    let mut found = plain.flat_map(|name| {
        let own = folder.as_ref().join(name);
        let with = EXTENSIONS.map(|end| folder.as_ref().join(format!("{name}.{end}")));
        std::iter::once(own).chain(with)
    });
    found.find(|path| path.is_file())
}
