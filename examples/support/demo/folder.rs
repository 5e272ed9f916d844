//! The folder of a report: tried before the work starts, and written whole or not at all.

use foveal::weights::{FolderLock, require_writable};
use foveal::{Error, Result};
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// The file of a report by which the folder is known again.
pub(crate) const RESULT: &str = "result.json";
/// Its field that says which program's report it is.
pub(crate) const KIND: &str = "report";
/// Where a report is written before it is moved into its place.
const UNFINISHED: &str = ".foveal-unfinished";

/// A folder that holds a report, or will; no other run writes to it meanwhile.
///
/// What stands in a folder already is replaced if it is a report of the same program, which `result.json` says. Where another
/// thing has the name of one of the report's files, the folder is refused. Other files in it are left alone.
#[derive(Debug)]
pub(crate) struct Folder {
    lock: FolderLock,
    /// There is an earlier report.
    pub(crate) replaces: bool,
}

impl Folder {
    /// Takes a folder for a report of these files, which is made where there is none, and tries whether it can be written to.
    ///
    /// # Errors
    /// [`Error::File`] for a folder that another run is writing to, or that holds something else than such a report;
    /// [`Error::Io`] where it cannot be written to.
    pub(crate) fn open(path: &Path, kind: &str, files: &[&str]) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Err(Error::file(path, "a folder was expected: give another one"));
        }
        let lock = FolderLock::take(path)?;
        let taken = files.iter().find(|name| path.join(name).symlink_metadata().is_ok());
        let replaces = taken.is_some();
        if let Some(taken) = taken
            && !is_report(&path.join(RESULT), kind)
        {
            let reason = format!(
                "the folder has a `{taken}` that is not of a {kind} report, which would replace it: give another folder"
            );
            return Err(Error::file(path, reason));
        }
        for name in files {
            require_writable(path.join(name))?;
        }
        Ok(Self { lock, replaces })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.lock.folder()
    }

    /// Writes a report: all its files beside their places first, so that a full disk leaves the earlier report as it was.
    ///
    /// # Errors
    /// [`Error::Io`], with what became of the folder.
    pub(crate) fn write(&self, files: &[(&str, Vec<u8>)]) -> Result<()> {
        let folder = self.path();
        let beside = folder.join(UNFINISHED);
        let remains = if self.replaces { "the earlier report is unchanged" } else { "no report was made" };
        let failed = |path: &Path, e: std::io::Error, remains: &str| {
            let _ = std::fs::remove_dir_all(&beside);
            Error::io(path, std::io::Error::new(e.kind(), format!("{e}; {remains}")))
        };
        // What a run that was killed has left there.
        let _ = std::fs::remove_dir_all(&beside);
        std::fs::create_dir(&beside).map_err(|e| failed(&beside, e, remains))?;
        for (name, bytes) in files {
            let path = beside.join(name);
            let write = || -> std::io::Result<()> {
                let mut file = std::fs::File::create(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(|e| failed(&folder.join(name), e, remains))?;
        }
        // Whoever finds a part of a report finds what says whose it is.
        let mut order: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        order.sort_by_key(|name| *name != RESULT);
        for (moved, name) in order.iter().enumerate() {
            let place = folder.join(name);
            let mixed = format!("{moved} of {} files of the new report are in place", order.len());
            let remains = if moved == 0 { remains } else { &mixed };
            std::fs::rename(beside.join(name), &place).map_err(|e| failed(&place, e, remains))?;
        }
        let _ = std::fs::remove_dir(&beside);
        Ok(())
    }
}

/// The file is of a report of this kind.
fn is_report(path: &Path, kind: &str) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    value.get(KIND).and_then(Value::as_str) == Some(kind)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
