//! Scores of a bulk run, one line a clip, kept so that a run that is killed and started again loses and repeats none.
//!
//! A line is written whole or not counted: what a killed run left of its last line is cut off when the next one goes on, and
//! clips that have a line are not scored a second time. Every line names the model and the data that it was made from, by
//! digests, so that scores of two models or of two data sets never meet in one file. While it is open the file is locked
//! against other runs by the operating system.

mod fill;
mod lines;
#[cfg(test)]
mod tests;

pub use self::lines::{LogFormat, Origin};

use self::lines::{HEADER, Line, Tail};
use super::model::{Score, Unscored};
use crate::weights::lock::lock;
use crate::{Error, Result};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// More bytes than any file of scores has.
const MAX_BYTES: u64 = 1 << 32;

/// An open file of scores, locked against other runs.
#[derive(Debug)]
pub struct ScoreLog {
    file: File,
    path: PathBuf,
    format: LogFormat,
    done: HashSet<String>,
    unscored: usize,
    /// What the lines that were found are of.
    found: Option<Origin>,
    /// Set by [`ScoreLog::go_on`].
    origin: Option<Origin>,
    /// Bytes of whole lines.
    whole: u64,
    /// Whether the last whole line lacks its end.
    open_end: bool,
}

impl ScoreLog {
    /// Opens and locks a file, which is made where there is none, and reads its lines. It is not changed before
    /// [`ScoreLog::go_on`].
    ///
    /// # Errors
    /// [`Error::Input`] for an extension that is no [`LogFormat`]; [`Error::Io`]; [`Error::File`] where another run has the
    /// file, and for a file that holds anything but scores, naming the line.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let format = LogFormat::of(&path)?;
        let io = |e| Error::io(&path, e);
        // A pipe would never open.
        if std::fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            return Err(Error::file(&path, "not a regular file: scores are kept in one, to go on from"));
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let busy =
            || "another run is writing its scores to it: wait until it has ended, or give another file";
        lock(&file, &path, || busy().into())?;
        let mut log = Self {
            file,
            path,
            format,
            done: HashSet::new(),
            unscored: 0,
            found: None,
            origin: None,
            whole: 0,
            open_end: false,
        };
        log.in_place()?;
        log.read()?;
        Ok(log)
    }

    /// Counts the lines, without changing the file.
    fn read(&mut self) -> Result<()> {
        let (path, format) = (self.path.clone(), self.format);
        // Of a longer one the end would be taken for a torn line.
        let long = self.file.metadata().map_err(|e| Error::io(&path, e))?.len();
        if long > MAX_BYTES {
            return Err(Error::file(&path, format!("{long} bytes are too many for a file of scores")));
        }
        let mut bytes = Vec::new();
        (&self.file).take(MAX_BYTES).read_to_end(&mut bytes).map_err(|e| Error::io(&path, e))?;
        let (all, tail) = lines::split(&bytes, format);
        let mut rows = all.iter().enumerate();
        let first = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line) == HEADER.as_bytes();
        if format == LogFormat::Csv && rows.next().is_some_and(|(_, header)| !first(header)) {
            let reason =
                format!("its first line is not `{HEADER}`: it is no file of scores, and stays as it is");
            return Err(Error::file(&path, reason));
        }
        for (number, row) in rows {
            let line = Line::parse(row, format).ok_or_else(|| {
                let reason = format!(
                    "line {} is no score: the file is not of this program, or was edited, and stays as it is",
                    number + 1
                );
                Error::file(&path, reason)
            })?;
            self.count(line, number + 1)?;
        }
        self.whole = (bytes.len() - tail.len()) as u64;
        if !tail.is_empty() {
            match Line::tail(tail, format, all.is_empty()) {
                Tail::Whole(line) => {
                    self.count(*line, all.len() + 1)?;
                    (self.whole, self.open_end) = (bytes.len() as u64, true);
                }
                Tail::Torn => {}
                Tail::Foreign => {
                    let reason = format!(
                        "what stands after {} whole lines is no score, nor the beginning of one: the file stays as it is",
                        all.len()
                    );
                    return Err(Error::file(&path, reason));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, line: Line, number: usize) -> Result<()> {
        let origin = Origin { model: line.model, data: line.data };
        if let Some(found) = self.found.as_ref().filter(|found| **found != origin) {
            let reason = format!("line {number} is of {}, those before it of {}", told(&origin), told(found));
            return Err(Error::file(&self.path, reason));
        }
        self.found = Some(origin);
        if !self.done.insert(line.id.clone()) {
            let reason = format!("line {number} is the second one of clip `{}`", line.id.escape_debug());
            return Err(Error::file(&self.path, reason));
        }
        self.unscored += usize::from(line.error.is_some());
        Ok(())
    }

    /// Begins the file or goes on with it: what a killed run left of its last line is cut off.
    ///
    /// # Errors
    /// [`Error::File`] where the file's lines are of another model or other data, which leaves it as it is; [`Error::Io`].
    pub fn go_on(&mut self, origin: Origin) -> Result<()> {
        if let Some(found) = self.found.as_ref().filter(|found| **found != origin) {
            let what = match (found.model == origin.model, found.data == origin.data) {
                (false, true) => "another model",
                (true, false) => "other data",
                _ => "another model and other data",
            };
            let (theirs, ours) = (told(found), told(&origin));
            let reason = format!(
                "its scores are of {what} ({theirs}; this run has {ours}): give another file, or move this one away"
            );
            return Err(Error::file(&self.path, reason));
        }
        self.cut()?;
        let end = if std::mem::take(&mut self.open_end) { "\n" } else { "" };
        self.append(end.as_bytes())?;
        if self.format == LogFormat::Csv && self.whole == 0 {
            self.append(format!("{HEADER}\n").as_bytes())?;
        }
        self.origin = Some(origin);
        Ok(())
    }

    /// Back to the whole lines.
    fn cut(&mut self) -> Result<()> {
        let set = self.file.set_len(self.whole).and_then(|()| self.file.seek(SeekFrom::End(0)));
        set.map(drop).map_err(|e| Error::io(&self.path, e))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.in_place()?;
        // To the disk, so that a loss of power costs no more than a kill.
        if let Err(e) = self.file.write_all(bytes).and_then(|()| self.file.sync_data()) {
            // A full disk has taken a part of it. Where that cannot be cut off now, the next run does.
            let _ = self.cut();
            let reason =
                format!("{e}; {} clips have their lines, and the same command goes on", self.done.len());
            return Err(Error::io(&self.path, std::io::Error::new(e.kind(), reason)));
        }
        self.whole += bytes.len() as u64;
        Ok(())
    }

    /// Lines would be lost in a file that was moved or removed while it is open.
    fn in_place(&self) -> Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let own = self.file.metadata().map_err(|e| Error::io(&self.path, e))?;
            let there = std::fs::metadata(&self.path);
            if !there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                let reason = "it was moved, removed or replaced while this run writes to it";
                return Err(Error::file(&self.path, reason));
            }
        }
        Ok(())
    }

    /// Whether a clip has its line.
    pub fn has(&self, id: &str) -> bool {
        self.done.contains(id)
    }

    /// Names of the clips that have one, for [`ScoreRequest::skip`](super::ScoreRequest::skip).
    pub fn ids(&self) -> &HashSet<String> {
        &self.done
    }

    /// Clips that have one.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// True when no clip has.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Lines that say why a clip has no score.
    pub fn unscored(&self) -> usize {
        self.unscored
    }

    /// Adds scores, each a line of its own, in one write; clips that have a line are left out. A score that is no number is
    /// written as an error.
    ///
    /// # Errors
    /// [`Error::Input`] before [`ScoreLog::go_on`]; [`Error::File`] for a file that was moved away; [`Error::Io`], such as a
    /// full disk: then the file ends with the last whole line before this call.
    pub fn add(&mut self, scores: &[Score]) -> Result<()> {
        let origin = self.begun()?;
        self.write(scores.iter().map(|score| Line::scored(score, &origin)))
    }

    /// Adds clips that cannot be scored, each with its reason.
    ///
    /// # Errors
    /// As [`ScoreLog::add`].
    pub fn add_unscored(&mut self, clips: &[Unscored]) -> Result<()> {
        let origin = self.begun()?;
        self.write(clips.iter().map(|clip| Line::unscored(clip, &origin)))
    }

    fn begun(&self) -> Result<Origin> {
        let none = || Error::input("file of scores", "`ScoreLog::go_on` says what the scores are of, first");
        self.origin.clone().ok_or_else(none)
    }

    fn write(&mut self, all: impl Iterator<Item = Line>) -> Result<()> {
        let (mut text, mut ids, mut unscored) = (String::new(), HashSet::new(), 0);
        for line in all {
            if !self.done.contains(&line.id) && ids.insert(line.id.clone()) {
                unscored += usize::from(line.error.is_some());
                text += &line.text(self.format).map_err(|e| Error::file(&self.path, e.to_string()))?;
            }
        }
        self.append(text.as_bytes())?;
        self.done.extend(ids);
        self.unscored += unscored;
        Ok(())
    }
}

fn told(origin: &Origin) -> String {
    format!("model {}, data {}", origin.model, origin.data)
}
