//! Answers of any model, one JSON object a line: `question_id`, `output` (the model's text), and where its
//! boxes are about resized frames `resized` `[w, h]` and `orig` `[W, H]` in pixels. Further keys may be
//! anything.

use super::answer::FrameSizes;
use super::fields::Fields;
use super::lines::{Line, lines};
use super::rows::Row;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Answers to 2,568 questions take a megabyte.
#[cfg(not(target_arch = "wasm32"))]
const MAX_BYTES: u64 = 1 << 30;

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The question's.
    pub question_id: String,
    /// The model's text.
    pub output: String,
    /// Sizes of frames, where boxes are not about the original ones.
    #[serde(flatten)]
    pub sizes: Option<FrameSizes>,
}

impl Prediction {
    /// The line of a file, with its end.
    ///
    /// # Errors
    /// [`Error::Input`] for a blank id, which could not be read again.
    pub fn to_line(&self) -> Result<String> {
        if self.question_id.trim().is_empty() {
            return Err(Error::input("question_id", "it is blank"));
        }
        let json = serde_json::to_string(self).map_err(|e| Error::input("prediction", e.to_string()))?;
        Ok(json + "\n")
    }
}

/// A last line that a killed run left half written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torn {
    /// Counted from 1.
    pub line: usize,
    /// Bytes of it.
    pub bytes: usize,
}

/// The answers of a file.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Predictions {
    /// By the question's id.
    pub all: BTreeMap<String, Prediction>,
    /// What is odd, for a person: answers to no question, answers that stand twice.
    pub warnings: Vec<String>,
    /// A last line that was skipped.
    pub torn: Option<Torn>,
    /// Bytes of the file up to the torn line: a run that goes on cuts the file to so many before it appends.
    pub whole: u64,
    /// Whether a line end has to be written before a further line, once the file is cut.
    pub open_end: bool,
}

impl Predictions {
    /// Reads a file of answers to some questions.
    ///
    /// # Errors
    /// Those of [`Predictions::parse`]; [`Error::Io`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(path: impl AsRef<Path>, rows: &[Row]) -> Result<Self> {
        let path = path.as_ref();
        Self::parse(path, &crate::weights::file::read(path, MAX_BYTES, "predictions")?, rows)
    }

    /// Answers from the bytes of a file; `path` stands in messages. A second answer to a question is ignored
    /// where it says the same. A last line without line end that is no JSON is skipped: it is
    /// [`torn`](Self::torn).
    ///
    /// # Errors
    /// [`Error::File`] with line and field for what is no JSON object, lacks a field or has one of another
    /// type, and with both lines for two different answers to one question.
    pub fn parse(path: &Path, bytes: &[u8], rows: &[Row]) -> Result<Self> {
        let asked: BTreeSet<&str> = rows.iter().map(|row| row.question_id.as_str()).collect();
        let mut read = Self { whole: bytes.len() as u64, ..Self::default() };
        let mut seen = BTreeMap::<String, usize>::new();
        for line in lines(path, bytes) {
            let number = line.place.line;
            if !line.ended && serde_json::from_slice::<serde::de::IgnoredAny>(line.bytes).is_err() {
                read.torn = Some(Torn { line: number, bytes: bytes.len() - line.start });
                read.whole = line.start as u64;
                continue;
            }
            let prediction = prediction(&line)?;
            let id = prediction.question_id.clone();
            let named = id.escape_debug();
            if let Some(first) = seen.get(&id) {
                if read.all.get(&id) != Some(&prediction) {
                    let reason = format!("another answer to `{named}` than that of line {first}");
                    return Err(line.place.wrong("question_id", reason));
                }
                read.warnings.push(format!("line {number}: `{named}` is answered as in line {first}"));
                continue;
            }
            if !asked.contains(id.as_str()) {
                read.warnings.push(format!("line {number}: `{named}` is none of the questions"));
            }
            seen.insert(id.clone(), number);
            read.all.insert(id, prediction);
        }
        let kept = usize::try_from(read.whole).ok().and_then(|n| bytes.get(..n)).unwrap_or_default();
        read.open_end = kept.last().is_some_and(|&b| b != b'\n');
        Ok(read)
    }

    /// The answer to a question.
    pub fn get(&self, question_id: &str) -> Option<&Prediction> {
        self.all.get(question_id)
    }
}

fn prediction(line: &Line<'_>) -> Result<Prediction> {
    let object = line.object()?;
    let fields = Fields::new(line.place, &object);
    let sizes = match (size(fields, "resized")?, size(fields, "orig")?) {
        (None, None) => None,
        (Some(resized), Some(orig)) => {
            let sizes = FrameSizes::new(resized, orig);
            Some(sizes.map_err(|error| line.place.refuse(error))?)
        }
        (Some(_), None) => return Err(fields.wrong("orig", "it is missing beside `resized`")),
        (None, Some(_)) => return Err(fields.wrong("resized", "it is missing beside `orig`")),
    };
    let (id, output) = (fields.text("question_id")?, fields.any_text("output")?);
    Ok(Prediction { question_id: id.to_owned(), output: output.to_owned(), sizes })
}

fn size(fields: Fields<'_>, key: &str) -> Result<Option<[f64; 2]>> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let sides = || value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let both = sides().and_then(|sides| <[f64; 2]>::try_from(sides).ok());
    both.map(Some).ok_or_else(|| fields.not(key, "a list of two numbers", value))
}
