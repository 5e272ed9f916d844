//! One writer at a time, by locks of the operating system: they end with the process that holds them, however it ends.

use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the file in a folder whose lock is the folder's.
const NAME: &str = "foveal.lock";

/// Takes the lock of an open file; `what` says what another holder would be doing and what to do instead.
///
/// # Errors
/// [`Error::File`] with `what` where another holds it; [`Error::Io`] where the file system knows no locks.
pub(crate) fn lock(file: &File, path: &Path, what: impl FnOnce() -> String) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::file(path, what())),
        Err(TryLockError::Error(e)) => {
            let reason =
                format!("it cannot be locked against other runs ({e}); use a folder on another disk");
            Err(Error::io(path, std::io::Error::new(e.kind(), reason)))
        }
    }
}

/// A folder that one run at a time writes to, for as long as this is kept. The file that carries the lock, `foveal.lock`, stays
/// behind and means nothing by itself: a run that was killed holds no lock.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    folder: PathBuf,
}

impl FolderLock {
    /// Takes a folder, which is made where there is none.
    ///
    /// # Errors
    /// [`Error::File`] where another run has it, with that run's process number; [`Error::Io`] where it cannot be made or
    /// written to.
    pub fn take(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let path = folder.join(NAME);
        let io = |e| Error::io(&path, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        lock(&file, &folder, || {
            let mut holder = String::new();
            // The number is a help for the reader; where it cannot be read, the refusal stands without.
            let read = File::open(&path).and_then(|f| f.take(20).read_to_string(&mut holder));
            let number = holder.trim().parse::<u32>().ok().filter(|_| read.is_ok());
            let who = number.map_or_else(|| "another run".into(), |n| format!("another run (process {n})"));
            format!("{who} is writing to this folder: wait until it has ended, or give another folder")
        })?;
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { file, folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file gives the lock back too; the number of a process that has ended would mislead.
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = std::env::temp_dir().join(format!("foveal_lock_{}", std::process::id()));
        let held = FolderLock::take(folder.join("a/b")).unwrap();
        assert_eq!(held.folder(), folder.join("a/b"));
        let text = FolderLock::take(folder.join("a/b")).unwrap_err().to_string();
        let own = format!("another run (process {}) is writing", std::process::id());
        assert!(text.contains(&own) && text.contains("another folder"), "{text}");
        FolderLock::take(folder.join("a")).unwrap();
        drop(held);
        FolderLock::take(folder.join("a/b")).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        assert!(matches!(FolderLock::take(folder.join("file")), Err(Error::Io { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
