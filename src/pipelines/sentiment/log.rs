//! Scores of a bulk run, one line a clip, kept so that a run that is killed and started again loses and repeats none.
//!
//! A line is written whole or not counted: what a killed run left of its last line is cut off when the file is opened
//! again, and clips that have a line are not scored a second time.

use super::model::Score;
use crate::{Error, Result};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: `id`, `score`, `missing`.
    JsonLines,
    /// `id,score,missing` under a header; missing modalities joined by `+`.
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
            _ => Err(Error::input(path.display().to_string(), "scores are written as .jsonl or .csv")),
        }
    }
}

const HEADER: &str = "id,score,missing";

/// An open file of scores.
#[derive(Debug)]
pub struct ScoreLog {
    file: File,
    path: PathBuf,
    format: LogFormat,
    done: HashSet<String>,
}

impl ScoreLog {
    /// Opens or begins a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] naming the line that is no score.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let format = LogFormat::of(&path)?;
        let io = |e| Error::io(&path, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let (mut done, mut whole, mut line) = (HashSet::new(), 0u64, Vec::new());
        let mut reader = BufReader::new(&file);
        for number in 1usize.. {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(io)?;
            // No more, or a line that the run did not finish.
            if read == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            let header = format == LogFormat::Csv && number == 1;
            if header && text != HEADER {
                return Err(Error::file(
                    &path,
                    format!("line 1 is not `{HEADER}`: a file of something else"),
                ));
            }
            if !header {
                let id = id_of(format, text)
                    .ok_or_else(|| Error::file(&path, format!("line {number} is no score")))?;
                done.insert(id);
            }
            whole += read as u64;
        }
        file.set_len(whole).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        if format == LogFormat::Csv && whole == 0 {
            file.write_all(format!("{HEADER}\n").as_bytes()).map_err(io)?;
        }
        Ok(Self { file, path, format, done })
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

    /// Adds scores, each a line of its own, in one write; clips that have a line are left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn add(&mut self, scores: &[Score]) -> Result<()> {
        let mut text = String::new();
        for score in scores {
            if self.done.insert(score.id.clone()) {
                text.push_str(&line_of(self.format, score, &self.path)?);
                text.push('\n');
            }
        }
        self.file.write_all(text.as_bytes()).map_err(|e| Error::io(&self.path, e))
    }
}

fn line_of(format: LogFormat, score: &Score, path: &Path) -> Result<String> {
    match format {
        LogFormat::JsonLines => serde_json::to_string(score).map_err(|e| Error::file(path, e.to_string())),
        LogFormat::Csv => {
            // Line breaks would end the row where it has to be whole; in quotes a space says as much.
            let id = score.id.replace(['\n', '\r'], " ").replace('"', "\"\"");
            Ok(format!("\"{id}\",{},{}", score.score, score.missing.join("+")))
        }
    }
}

fn id_of(format: LogFormat, line: &str) -> Option<String> {
    match format {
        LogFormat::JsonLines => serde_json::from_str::<Score>(line).ok().map(|s| s.id),
        LogFormat::Csv => {
            let (id, rest) = line.strip_prefix('"')?.rsplit_once("\",")?;
            let (score, _) = rest.split_once(',')?;
            score.parse::<f32>().ok()?;
            Some(id.replace("\"\"", "\""))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn score(id: &str) -> Score {
        Score { id: id.into(), score: 0.25, missing: vec!["audio".into()] }
    }

    #[test]
    fn a_killed_run_goes_on_without_loss_or_repetition() {
        for extension in ["jsonl", "csv"] {
            let path = std::env::temp_dir().join(format!("foveal_log_{}.{extension}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            let odd = "a \"b\",\u{e9}";
            ScoreLog::open(&path).unwrap().add(&[score("one"), score(odd)]).unwrap();
            let whole = std::fs::read(&path).unwrap();
            // The run dies in the middle of its next line.
            for torn in 0..12 {
                let half = b"\"three\",0.25,";
                std::fs::write(&path, [&whole[..], &half[..torn]].concat()).unwrap();
                let mut log = ScoreLog::open(&path).unwrap();
                assert_eq!(
                    (log.len(), log.has("one"), log.has(odd), log.has("three")),
                    (2, true, true, false)
                );
                log.add(&[score("one"), score("three")]).unwrap();
                drop(log);
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(text.lines().count(), 3 + usize::from(extension == "csv"), "{text}");
                assert_eq!(text.matches("three").count(), 1);
            }
            std::fs::write(&path, "something else\n").unwrap();
            assert!(ScoreLog::open(&path).unwrap_err().to_string().contains("line 1"));
            std::fs::remove_file(&path).unwrap();
        }
        assert!(LogFormat::of(Path::new("x.txt")).is_err());
    }
}
