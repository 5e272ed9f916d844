//! Answers, one JSON object a line, to which a run that was killed can go on adding.

use super::lock::lock;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file of one JSON object a line, locked against other runs while this is kept.
#[derive(Debug)]
pub struct LineLog {
    file: File,
    path: PathBuf,
}

impl LineLog {
    /// Opens or makes the file and gives the objects that are there, each of which `ours` has to know as an answer. A last line that
    /// was not finished is cut off.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] where another run has the file, and for a line that is no answer: the file is another's, and
    /// stays as it is.
    pub fn open(path: impl AsRef<Path>, ours: impl Fn(&Value) -> bool) -> Result<(Self, Vec<Value>)> {
        let path = path.as_ref();
        let io = |e| Error::io(path, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let busy = || "another run is writing to it: wait until it has ended, or give another file".into();
        lock(&file, path, busy)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let mut there = Vec::new();
        let mut whole = 0;
        let mut open_end = false;
        for (number, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
            let (text, ended) = (line.trim_ascii(), line.ends_with(b"\n"));
            let refuse =
                |why: String| Error::file(path, format!("line {}: {why}, so no file of answers", number + 1));
            match serde_json::from_slice::<Value>(text) {
                _ if text.is_empty() => {}
                Ok(value) if ours(&value) => there.push(value),
                Ok(_) => return Err(refuse("no answer".into())),
                // Lines are written at once: only the last can be torn, and it begins as all do.
                Err(_) if !ended && text.starts_with(b"{") => break,
                Err(error) => return Err(refuse(format!("no JSON ({error})"))),
            }
            whole += line.len();
            open_end = !ended;
        }
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if open_end {
            file.write_all(b"\n").map_err(io)?;
        }
        Ok((Self { file, path: path.into() }, there))
    }

    /// Adds a line, whole or not at all for a reader that cuts off what is not finished.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn add(&mut self, line: &impl Serialize) -> Result<()> {
        let io = |e| Error::io(&self.path, e);
        let line = serde_json::to_string(line).map_err(|e| io(e.into()))? + "\n";
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush()).map_err(io)
    }

    /// All lines, as they stand in the file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn text(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Reading leaves off where writing goes on: at the end.
        self.file
            .rewind()
            .and_then(|()| self.file.read_to_end(&mut bytes))
            .map_err(|e| Error::io(&self.path, e))?;
        Ok(bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_goes_on_and_another_file_stays_as_it_is() {
        let path = std::env::temp_dir().join(format!("foveal-line-log-{}.jsonl", std::process::id()));
        let ours = |value: &Value| value.get("id").is_some();
        let opened = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let opened = LineLog::open(&path, ours).map(|(mut log, there)| {
                assert!(LineLog::open(&path, ours).unwrap_err().to_string().contains("another run"));
                log.add(&json!({"id": 9})).unwrap();
                assert_eq!(log.text().unwrap(), std::fs::read(&path).unwrap());
                there.len()
            });
            (opened, std::fs::read_to_string(&path).unwrap())
        };
        let new = "{\"id\":9}\n";
        let (there, text) = opened("");
        assert_eq!((there.unwrap(), text), (0, new.to_owned()));
        let (there, text) = opened("{\"id\":1}\n{\"id\":2,\"ans");
        assert_eq!((there.unwrap(), text), (1, format!("{{\"id\":1}}\n{new}")));
        let (there, text) = opened("{\"id\":1}\n\n{\"id\":2}");
        assert_eq!((there.unwrap(), text), (2, format!("{{\"id\":1}}\n\n{{\"id\":2}}\n{new}")));
        for foreign in ["notes", "a\nb\n", "{\"video\": 1}\n", "{\"id\":1}\nnotes\n{\"id\":2}\n", "[1]"] {
            let (there, text) = opened(foreign);
            assert!(there.is_err() && text == foreign, "{foreign}: {there:?}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
