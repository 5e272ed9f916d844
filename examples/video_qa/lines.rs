//! Files of one JSON object a line, to which a run that was killed can go on adding.

use foveal::{Error, Result};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The objects of a file with their lines; blank lines are left out.
pub(crate) fn read(path: &Path) -> Result<Vec<(usize, Value)>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        let value = serde_json::from_str(line)
            .map_err(|e| Error::file(path, format!("line {number}: no JSON: {e}")))?;
        all.push((number, value));
    }
    Ok(all)
}

/// A file that is added to.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens or makes the file and gives the objects that are there, each of which `ours` has to know as an answer. A last line that
    /// was not finished is cut off.
    ///
    /// # Errors
    /// The system's, and a line that is no answer: the file is another's, and stays as it is.
    pub(crate) fn open(path: &Path, ours: impl Fn(&Value) -> bool) -> Result<(Self, Vec<Value>)> {
        let io = |e| Error::io(path, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
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
    pub(crate) fn add(&mut self, value: &Value) -> Result<()> {
        let line = format!("{value}\n");
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(|e| Error::io(&self.path, e))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_goes_on_and_another_file_stays_as_it_is() {
        let path = std::env::temp_dir().join(format!("foveal-lines-{}.jsonl", std::process::id()));
        let ours = |value: &Value| value.get("id").is_some();
        let opened = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let opened = Log::open(&path, ours).map(|(mut log, there)| {
                log.add(&json!({"id": 9})).unwrap();
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
