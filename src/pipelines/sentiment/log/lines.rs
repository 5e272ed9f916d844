//! Lines of a file of scores, as text and back.

use super::super::model::{Score, Unscored};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// First row of a file of comma-separated values.
pub(super) const HEADER: &str = "id,score,missing,error,model,data";
/// Digits of a digest.
const DIGITS: usize = 16;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: `id`, `score` and `missing` (a list), or `id` and `error`; then `model` and `data`.
    JsonLines,
    /// `id,score,missing,error,model,data` under a header; missing modalities joined by `+`. An id may hold line ends, in quotes.
    Csv,
}

impl LogFormat {
    /// By a file's extension: `jsonl` or `csv`.
    ///
    /// # Errors
    /// [`Error::Input`] for any other.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("jsonl") => Ok(Self::JsonLines),
            Some("csv") => Ok(Self::Csv),
            _ => {
                let reason = "scores are written to a file whose name ends in .jsonl or .csv";
                Err(Error::input(path.display().to_string(), reason))
            }
        }
    }
}

/// What scores are made from: digests by [`SentimentModel::digest`](super::super::SentimentModel::digest) and
/// [`Dataset::digest`](super::super::data::Dataset::digest).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The model's.
    pub model: String,
    /// The data set's.
    pub data: String,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
    /// Why there is no score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) model: String,
    pub(super) data: String,
}

/// What follows the last whole line of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tail {
    /// A line of this program that lacks nothing but its end.
    Whole(Box<Line>),
    /// The beginning of one, as a run that was killed leaves it.
    Torn,
    /// Something else.
    Foreign,
}

impl Line {
    pub(super) fn scored(score: &Score, origin: &Origin) -> Self {
        // NaN has no JSON, and is no score.
        let finite = score.score.is_finite();
        Self {
            id: score.id.clone(),
            score: finite.then_some(score.score),
            missing: finite.then(|| score.missing.clone()),
            error: (!finite).then(|| format!("the model gives {} for it", score.score)),
            model: origin.model.clone(),
            data: origin.data.clone(),
        }
    }

    pub(super) fn unscored(clip: &Unscored, origin: &Origin) -> Self {
        Self {
            id: clip.id.clone(),
            score: None,
            missing: None,
            error: Some(clip.reason.clone()),
            model: origin.model.clone(),
            data: origin.data.clone(),
        }
    }

    /// A line has a score or says why not, and says what it is of.
    fn is_sound(&self) -> bool {
        let digits = |d: &str| d.len() == DIGITS && d.bytes().all(|b| b.is_ascii_hexdigit());
        self.score.is_some() != self.error.is_some()
            && self.score.is_some() == self.missing.is_some()
            && self.score.is_none_or(f32::is_finite)
            && digits(&self.model)
            && digits(&self.data)
    }

    /// The line with its end.
    pub(super) fn text(&self, format: LogFormat) -> serde_json::Result<String> {
        Ok(match format {
            LogFormat::JsonLines => serde_json::to_string(self)? + "\n",
            LogFormat::Csv => {
                let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
                let score = self.score.map(|s| s.to_string()).unwrap_or_default();
                let missing = self.missing.as_deref().unwrap_or_default().join("+");
                let error = self.error.as_deref().map(quoted).unwrap_or_default();
                format!("{},{score},{missing},{error},{},{}\n", quoted(&self.id), self.model, self.data)
            }
        })
    }

    /// A line of this program without its end, or `None`.
    pub(super) fn parse(bytes: &[u8], format: LogFormat) -> Option<Self> {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let line = match format {
            LogFormat::JsonLines => serde_json::from_slice(bytes).ok()?,
            LogFormat::Csv => {
                let fields = fields(std::str::from_utf8(bytes).ok()?)?;
                let [id, score, missing, error, model, data] = <[String; 6]>::try_from(fields).ok()?;
                let score = if score.is_empty() { None } else { Some(score.parse().ok()?) };
                let names = missing.split('+').filter(|m| !m.is_empty()).map(str::to_owned);
                let missing = score.map(|_: f32| names.collect());
                Self { id, score, missing, error: Some(error).filter(|e| !e.is_empty()), model, data }
            }
        };
        Some(line).filter(Self::is_sound)
    }

    /// What stands after the last line end; `first` says that no line, in CSV no header, stands before.
    pub(super) fn tail(bytes: &[u8], format: LogFormat, first: bool) -> Tail {
        if let Some(line) = Self::parse(bytes, format).filter(|_| !(first && format == LogFormat::Csv)) {
            return Tail::Whole(Box::new(line));
        }
        let begins = |whole: &[u8]| bytes.starts_with(whole) || whole.starts_with(bytes);
        let ours = match format {
            LogFormat::JsonLines => {
                // Nothing is wrong up to where it breaks off.
                let rest = serde_json::from_slice::<Self>(bytes);
                begins(b"{\"id\":\"") && rest.is_err_and(|e| e.is_eof())
            }
            LogFormat::Csv if first => HEADER.as_bytes().starts_with(bytes),
            LogFormat::Csv => begins(b"\"") && commas(bytes) < 6,
        };
        if ours { Tail::Torn } else { Tail::Foreign }
    }
}

/// The lines of a file: each without its end, and what follows the last one. Where values are comma-separated, a line end
/// within quotes belongs to its value.
pub(super) fn split(bytes: &[u8], format: LogFormat) -> (Vec<&[u8]>, &[u8]) {
    let (mut lines, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if format == LogFormat::Csv => quoted = !quoted,
            b'\n' if !quoted => {
                lines.push(bytes.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    (lines, bytes.get(from..).unwrap_or_default())
}

fn commas(bytes: &[u8]) -> usize {
    let mut quoted = false;
    let outside = bytes.iter().filter(|&&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    outside.count()
}

/// Values of a row, quoted or not; `None` where quotes stand in the wrong place.
fn fields(row: &str) -> Option<Vec<String>> {
    let (mut fields, mut rest) = (Vec::new(), row);
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut from = 0;
                let end = loop {
                    let at = from + quoted.get(from..)?.find('"')?;
                    if !quoted.get(at + 1..)?.starts_with('"') {
                        break at;
                    }
                    from = at + 2;
                };
                (quoted.get(..end)?.replace("\"\"", "\""), quoted.get(end + 1..)?)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let field = rest.get(..end)?;
                if field.contains('"') {
                    return None;
                }
                (field.to_owned(), rest.get(end..)?)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(fields),
            None => return None,
        }
    }
}
