//! Fields of a JSON object, with errors that name file, line and field.

use super::lines::{Place, kind};
use crate::{Error, Result};
use regex::Regex;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// An object of a line, with what stands before its keys in messages, such as `answer.`.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    place: Place<'a>,
    before: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Those of a line.
    pub(super) fn new(place: Place<'a>, map: &'a Map<String, Value>) -> Self {
        Self { place, before: "", map }
    }

    /// Those of an object in it; `before` is its key and a dot.
    pub(super) fn within(&self, key: &str, before: &'static str) -> Result<Self> {
        let value = self.needed(key)?;
        let map = value.as_object().ok_or_else(|| self.not(key, "an object", value))?;
        Ok(Self { place: self.place, before, map })
    }

    /// A field that may be missing; null is as good as missing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    fn needed(&self, key: &str) -> Result<&'a Value> {
        self.get(key).ok_or_else(|| self.wrong(key, "it is missing"))
    }

    /// A text that has to be there and not blank.
    pub(super) fn text(&self, key: &str) -> Result<&'a str> {
        let text = self.any_text(key)?;
        if text.trim().is_empty() { Err(self.wrong(key, "it is blank")) } else { Ok(text) }
    }

    /// A text that has to be there.
    pub(super) fn any_text(&self, key: &str) -> Result<&'a str> {
        let value = self.needed(key)?;
        value.as_str().ok_or_else(|| self.not(key, "a text", value))
    }

    /// A list that has to be there.
    pub(super) fn list(&self, key: &str) -> Result<&'a [Value]> {
        let value = self.needed(key)?;
        value.as_array().map(Vec::as_slice).ok_or_else(|| self.not(key, "a list", value))
    }

    /// Texts of a list; none where it is missing.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<String>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.not(key, "a list of texts", value))?;
        let text = |v: &Value| v.as_str().map(str::to_owned);
        list.iter().map(|v| text(v).ok_or_else(|| self.not(key, "a list of texts", v))).collect()
    }

    /// Seconds; `None` where they are missing or not readable as a number, as the benchmark's "x" is.
    pub(super) fn seconds(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(value @ (Value::Number(_) | Value::String(_))) => Ok(number(value)),
            Some(other) => Err(self.not(key, "seconds", other)),
        }
    }

    /// Keys other than some.
    pub(super) fn others(&self, known: &[&str]) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.map.iter().map(|(k, v)| (k.as_str(), v)).filter(|(k, _)| !known.contains(k))
    }

    /// An error about a field.
    pub(super) fn wrong(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        self.place.wrong(&format!("{}{key}", self.before), reason)
    }

    /// An error about a field of another type.
    pub(super) fn not(&self, key: &str, expected: &str, found: &Value) -> Error {
        self.wrong(key, format_args!("expected {expected}, found {}", kind(found)))
    }
}

/// A number as it is written in the data: as JSON, or as a text such as ` 11.00s`. Never infinite.
pub(super) fn number(value: &Value) -> Option<f64> {
    static TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))\s*(?:s|sec|secs|seconds)?\s*$").ok()
    });
    let found = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => TEXT.as_ref()?.captures(text)?.get(1)?.as_str().parse().ok(),
        _ => None,
    };
    found.filter(|n| n.is_finite())
}

/// Four numbers with `x2 > x1` and `y2 > y1`; anything else is no box.
pub(super) fn corners(value: &Value) -> Option<[f64; 4]> {
    let all: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    let corners @ [x1, y1, x2, y2] = <[f64; 4]>::try_from(all).ok()?;
    (corners.iter().all(|c| c.is_finite()) && x2 > x1 && y2 > y1).then_some(corners)
}

/// A span of seconds whose ends are numbers in order.
pub(super) fn window(start: Option<f64>, end: Option<f64>) -> Option<[f64; 2]> {
    let window @ [start, end] = [start?, end?];
    (end >= start).then_some(window)
}
