//! A flat JSON configuration, read key by key.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A `config.json`: values are asked for by key, and every refusal names the file, the key and what
/// was found.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    root: Map<String, Value>,
}

/// A text file's bytes without the byte order mark that some editors write in front of it.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

impl ConfigFile {
    /// Reads a file, or the `config.json` in a folder.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        // Real ones have a few kilobytes.
        const MAX_BYTES: u64 = 16 << 20;
        let path = path.as_ref();
        let path = if path.is_dir() { path.join("config.json") } else { path.to_path_buf() };
        let text = super::file::read(&path, MAX_BYTES, "a configuration")?;
        Self::from_bytes(path, &text)
    }

    /// Parses JSON in memory; `name` stands for the path in messages.
    pub fn from_bytes(name: impl Into<PathBuf>, json: &[u8]) -> Result<Self> {
        let path = name.into();
        match serde_json::from_slice(without_mark(json)) {
            Ok(Value::Object(root)) => Ok(Self { path, root }),
            Ok(_) => Err(Error::file(path, "expected a JSON object")),
            Err(e) => Err(Error::file(path, format!("bad JSON: {e}"))),
        }
    }

    /// Wraps an object that was parsed as part of another file.
    pub fn from_value(name: impl Into<PathBuf>, value: Value) -> Result<Self> {
        let path = name.into();
        match value {
            Value::Object(root) => Ok(Self { path, root }),
            _ => Err(Error::file(path, "expected a JSON object")),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key; `None` when it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.root.get(key).filter(|v| !v.is_null())
    }

    /// True when the key is present and not null.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// True when the key is present and null.
    pub fn is_null(&self, key: &str) -> bool {
        self.root.get(key).is_some_and(Value::is_null)
    }

    /// Keys and values, without those that are null.
    #[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.root.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.as_str(), value))
    }

    /// An [`Error::File`] about this file.
    pub fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::file(&self.path, reason)
    }

    fn mismatch(&self, key: &str, expected: &str) -> Error {
        match self.get(key) {
            None => self.refuse(format!("`{key}` is missing (expected {expected})")),
            Some(found) => {
                let mut text = found.to_string();
                if text.len() > 80 {
                    text = text.chars().take(80).chain(['…']).collect();
                }
                self.refuse(format!("`{key}`: expected {expected}, found {text}"))
            }
        }
    }

    /// A whole number in a range.
    pub fn usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize> {
        let value = self.get(key).and_then(Value::as_u64).and_then(|v| usize::try_from(v).ok());
        let expected = || format!("a whole number in {}..={}", range.start(), range.end());
        value.filter(|v| range.contains(v)).ok_or_else(|| self.mismatch(key, &expected()))
    }

    /// As [`usize`](Self::usize), with a value for an absent key.
    pub fn usize_or(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize> {
        if self.has(key) { self.usize(key, range) } else { Ok(default) }
    }

    /// A finite number in an open-closed range `(0, max]`, with a value for an absent key.
    pub fn positive_or(&self, key: &str, default: f64, max: f64) -> Result<f64> {
        if !self.has(key) {
            return Ok(default);
        }
        let value = self.get(key).and_then(Value::as_f64);
        value
            .filter(|v| *v > 0.0 && *v <= max)
            .ok_or_else(|| self.mismatch(key, &format!("a number in (0, {max}]")))
    }

    /// A truth value, with one for an absent key.
    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.mismatch(key, "true or false")),
        }
    }

    /// A string, where the key is present.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.mismatch(key, "a string")),
        }
    }

    /// Whole numbers in a range, exactly `N` of them, with values for an absent key.
    pub fn usize_array_or<const N: usize>(
        &self,
        key: &str,
        default: [usize; N],
        range: RangeInclusive<usize>,
    ) -> Result<[usize; N]> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let number =
            |v: &Value| v.as_u64().and_then(|v| usize::try_from(v).ok()).filter(|v| range.contains(v));
        let parsed: Option<Vec<usize>> =
            value.as_array().and_then(|items| items.iter().map(number).collect());
        let expected = || format!("{N} whole numbers in {}..={}", range.start(), range.end());
        parsed.and_then(|v| v.try_into().ok()).ok_or_else(|| self.mismatch(key, &expected()))
    }

    /// Fails when a key that switches an unsupported feature on is present and not null.
    pub fn require_absent(&self, key: &str, feature: &str) -> Result<()> {
        if self.has(key) {
            Err(self.refuse(format!("`{key}` is set: {feature} is not supported")))
        } else {
            Ok(())
        }
    }

    /// Fails when a string key is present with none of the accepted values.
    pub fn require_one_of(&self, key: &str, accepted: &[&str]) -> Result<()> {
        match self.str(key)? {
            Some(found) if !accepted.contains(&found) => {
                Err(self.refuse(format!("`{key}` is \"{found}\"; supported: {}", accepted.join(", "))))
            }
            _ => Ok(()),
        }
    }
}
