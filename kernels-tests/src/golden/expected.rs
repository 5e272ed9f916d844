//! What a folder says becomes of its cases: `expected.txt`, one `run NAME` or `skip NAME` a line.
//!
//! With it a case whose operation is misspelt, one that vanished, and one that runs though it is listed as skipped are
//! failures. Cases that it does not list run as in a folder without it.

use super::{Outcome, Report, Verdict};
use foveal::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The file's name.
pub const FILE: &str = "expected.txt";

/// What becomes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs, and passes.
    Run,
    /// Its system is not built.
    Skip,
}

impl Fate {
    /// Fails a report that ended in another way than was said.
    pub fn judge(self, report: &mut Report) {
        let reason = match (self, report.verdict) {
            (Self::Run, Verdict::Skip) => "listed to run, yet it is skipped",
            (Self::Skip, Verdict::Pass | Verdict::Fail) => "listed as skipped, yet its operation is there",
            _ => return,
        };
        report.verdict = Verdict::Fail;
        report.outcomes.push(Outcome::failed(FILE, reason));
    }
}

/// The cases of a folder's list by name; none where there is no list.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for a line that is neither, and for a name that stands twice.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Fate>> {
    let path = folder.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read.map_err(|e| Error::io(&path, e))?,
    };
    let mut cases = BTreeMap::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (fate, name) = match line.split_once(' ') {
            Some(("run", name)) => (Fate::Run, name),
            Some(("skip", name)) => (Fate::Skip, name),
            _ => return Err(Error::file(path, format!("`{line}` is neither `run NAME` nor `skip NAME`"))),
        };
        if cases.insert(name.trim().to_owned(), fate).is_some() {
            return Err(Error::file(path, format!("`{name}` stands twice")));
        }
    }
    Ok(cases)
}

/// The report of a case that is listed and not there.
pub(super) fn vanished(name: String) -> Report {
    let outcomes = vec![Outcome::failed(FILE, "listed, yet there is no such case")];
    Report { verdict: Verdict::Fail, op: "?".into(), name, outcomes }
}
