//! Files of one JSON value a line.

use crate::Error;
use serde_json::{Map, Value};
use std::path::Path;

/// One line that is not blank.
pub(super) struct Line<'a> {
    /// Where it stands.
    pub(super) place: Place<'a>,
    /// Its bytes, without blanks around them.
    pub(super) bytes: &'a [u8],
    /// Bytes of the file before it.
    pub(super) start: usize,
    /// Whether a line end follows. One that lacks it may have been cut off by a killed run.
    pub(super) ended: bool,
}

/// Lines of a file, without a byte order mark. Lines end with `\n`, and `\r` before that is a blank.
pub(super) fn lines<'a>(path: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = Line<'a>> {
    let marked = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut start = bytes.len() - marked.len();
    let all = marked.split_inclusive(|&b| b == b'\n').zip(1..).map(move |(line, number)| {
        let place = Place { path, line: number };
        let read = Line { place, bytes: line.trim_ascii(), start, ended: line.ends_with(b"\n") };
        start += line.len();
        read
    });
    all.filter(|line| !line.bytes.is_empty())
}

/// A file and a line of it, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    path: &'a Path,
    /// Counted from 1.
    pub(super) line: usize,
}

impl Place<'_> {
    /// An error about the whole line.
    pub(super) fn refuse(&self, reason: impl std::fmt::Display) -> Error {
        Error::file(self.path, format!("line {}: {reason}", self.line))
    }

    /// An error about one field of it.
    pub(super) fn wrong(&self, field: &str, reason: impl std::fmt::Display) -> Error {
        self.refuse(format_args!("`{}`: {reason}", field.escape_debug()))
    }
}

impl Line<'_> {
    /// The JSON object that it holds.
    pub(super) fn object(&self) -> crate::Result<Map<String, Value>> {
        match serde_json::from_slice(self.bytes) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(other) => Err(self.place.refuse(format_args!("expected an object, found {}", kind(&other)))),
            Err(error) => {
                // The parser counts lines of what it was given, which is one.
                let text = error.to_string();
                let what = text.split(" at line ").next().unwrap_or_default();
                Err(self.place.refuse(format_args!("no JSON at column {}: {what}", error.column())))
            }
        }
    }
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
