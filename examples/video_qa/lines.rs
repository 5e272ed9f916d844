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
    /// Opens or makes the file, cuts off a last line that was not finished, and gives the objects that are there.
    ///
    /// # Errors
    /// The system's, and a line that is whole and no JSON: the file is another's.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Value>)> {
        let io = |e| Error::io(path, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let mut there = Vec::new();
        for (number, line) in
            bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty())
        {
            let value = serde_json::from_slice(line).map_err(|e| {
                Error::file(path, format!("line {}: no JSON, so no file of answers: {e}", number + 1))
            })?;
            there.push(value);
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
