//! A file of results: tried before the work starts, and held against other runs.

use foveal::weights::require_writable;
use foveal::{Error, Result};
use std::path::{Path, PathBuf};

/// A file of results that is rewritten as they come in; no other run writes to it meanwhile.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    _lock: Option<std::fs::File>,
}

impl File {
    /// Takes a file, whose folder is made where there is none, and tries whether it can be written. A file that is there is
    /// replaced if `ours` takes its content for an earlier result; `what` says what that would be.
    ///
    /// # Errors
    /// [`Error::File`] for a file that another run is writing to, or that is something else; [`Error::Io`] where it cannot be
    /// written to.
    pub(crate) fn open(path: &Path, what: &str, ours: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let path = path.to_path_buf();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        // Such as /dev/stdout: there is nothing to replace, and any number of runs may write there.
        let is_device = std::fs::metadata(&path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
        require_writable(&path)?;
        if is_device {
            return Ok(Self { path, _lock: None });
        }
        let lock = lock_beside(&path)?;
        if path.exists() {
            let old = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
            if !old.is_empty() && !ours(&old) {
                let reason =
                    format!("it is there and is not {what}, which would replace it: give another file");
                return Err(Error::file(&path, reason));
            }
        }
        Ok(Self { path, _lock: Some(lock) })
    }
}

/// The lock of a file lies beside it, since the file itself is replaced.
fn lock_beside(path: &Path) -> Result<std::fs::File> {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.lock"));
    let io = |e| Error::io(&beside, e);
    let file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&beside).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::file(
            path,
            "another run is writing to it: wait until it has ended, or give another file",
        )),
        Err(std::fs::TryLockError::Error(e)) => {
            let reason = format!("it cannot be locked against other runs ({e}); use a file on another disk");
            Err(Error::io(path, std::io::Error::new(e.kind(), reason)))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_by_one_run_and_replaces_its_like() {
        let place = std::env::temp_dir().join(format!("foveal-file-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        let path = place.join("deep/er/result.json");
        let open = || File::open(&path, "a result", |old| old.starts_with(b"ours"));
        let file = open().unwrap();
        assert!(!path.exists() && path.parent().unwrap().is_dir());
        let text = open().unwrap_err().to_string();
        assert!(text.contains("another run is writing to it"), "{text}");
        drop(file);
        for (old, taken) in [("ours, older", true), ("", true), ("theirs", false)] {
            std::fs::write(&path, old).unwrap();
            match open() {
                Ok(_) => assert!(taken, "{old}"),
                Err(error) => assert!(!taken && error.to_string().contains("is not a result"), "{error}"),
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
        }
        assert!(File::open(&place, "a result", |_| true).is_err(), "a folder is no file");
        assert!(File::open(&path.join("below"), "a result", |_| true).is_err(), "a file is no folder");
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_as_it_is() {
        let taken = [0, 1].map(|_| File::open(Path::new("/dev/null"), "a result", |_| false).unwrap());
        assert!(taken.iter().all(|file| foveal::weights::write_whole(&file.path, b"result").is_ok()));
        let full = File::open(Path::new("/dev/full"), "a result", |_| false);
        assert!(full.is_err() || foveal::weights::write_whole("/dev/full", b"result").is_err());
        use std::os::unix::fs::FileTypeExt;
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
}
