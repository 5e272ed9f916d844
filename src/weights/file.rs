//! Reads small files that nobody vouches for, and writes files that are whole or not there.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// The bytes of a regular file of at most `most` bytes; `what` says what it should be.
///
/// A link to a device would never end and a pipe never begin, so neither is opened; a file that grows while it is read
/// is cut off and refused.
///
/// # Errors
/// [`Error::Io`]; [`Error::File`] for anything but a regular file and for one that is larger.
pub(crate) fn read(path: &Path, most: u64, what: &str) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, e);
    let meta = std::fs::metadata(path).map_err(io)?;
    if !meta.is_file() {
        return Err(Error::file(path, "not a regular file"));
    }
    let too_many = |n: u64| Error::file(path, format!("{n} bytes are too many for {what}"));
    if meta.len() > most {
        return Err(too_many(meta.len()));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    File::open(path).map_err(io)?.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(too_many(bytes.len() as u64));
    }
    match super::foreign::unfetched(&bytes) {
        Some(reason) => Err(Error::file(path, reason)),
        None => Ok(bytes),
    }
}

/// Replaces a file in one step: it is written beside its place, forced to the disk and moved into it, so that a reader, a run
/// that is killed and a disk that is full see the old content or the new one, never half of it. Permissions stay, a link is
/// followed, and what is no regular file, such as `/dev/stdout`, is written to as it is.
///
/// # Errors
/// [`Error::File`] for a folder, a write-protected file, and a folder that is not there; [`Error::Io`], such as a full disk:
/// then the old file is unchanged.
pub fn write_whole(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let place = match place(path)? {
        Place::Device(mut device) => return device.write_all(bytes).map_err(|e| Error::io(path, e)),
        Place::File(place) => place,
    };
    let unchanged = |e: std::io::Error| {
        let stands =
            if place.old.is_some() { "the file that stood there is unchanged" } else { "no file was made" };
        Error::io(path, std::io::Error::new(e.kind(), format!("{e}; {stands}")))
    };
    let mut tries = 0;
    loop {
        let partial = Partial::create(&place).map_err(unchanged)?;
        match partial.filled(bytes, &place) {
            Ok(()) => return Ok(()),
            // Another run took the part for one that a dead run had left, before its lock was there.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && tries < 8 => tries += 1,
            Err(e) => return Err(unchanged(e)),
        }
    }
}

/// Makes sure, before long work begins, that [`write_whole`] could write a file now, and removes what killed runs left beside
/// it. The file itself is neither made nor changed.
///
/// # Errors
/// Those of [`write_whole`].
pub fn require_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let Place::File(place) = place(path)? else { return Ok(()) };
    // The part is removed when it goes.
    let made = Partial::create(&place).map(drop);
    made.map_err(|e| Error::io(path, std::io::Error::new(e.kind(), format!("it cannot be written: {e}"))))?;
    let stem = stem_of(&place.path);
    for entry in std::fs::read_dir(&place.folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let left = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(PARTIAL)).is_some_and(is_part);
        if left && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Where a file will be.
struct Whereabouts {
    path: PathBuf,
    folder: PathBuf,
    /// Of the file that stands there.
    old: Option<Permissions>,
}

enum Place {
    File(Whereabouts),
    /// Open for writing: nothing can be moved into its place.
    Device(File),
}

fn place(path: &Path) -> Result<Place> {
    let io = |e| Error::io(path, e);
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
    let whole = if is_link { std::fs::canonicalize(path).map_err(io)? } else { path.to_path_buf() };
    let old = match std::fs::metadata(&whole) {
        Ok(meta) if meta.is_dir() => return Err(Error::file(path, "it is a folder, a file was expected")),
        Ok(meta) if !meta.is_file() => {
            return Ok(Place::Device(OpenOptions::new().write(true).open(&whole).map_err(io)?));
        }
        Ok(meta) if meta.permissions().readonly() => {
            return Err(Error::file(path, "the file is write-protected"));
        }
        Ok(meta) => Some(meta.permissions()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(io(e)),
    };
    let folder = match whole.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_path_buf(),
        None => return Err(Error::file(path, "it has no file name")),
    };
    if whole.file_name().is_none() {
        return Err(Error::file(path, "it has no file name"));
    }
    if !folder.is_dir() {
        return Err(Error::file(path, format!("there is no folder `{}`: make it first", folder.display())));
    }
    Ok(Place::File(Whereabouts { path: whole, folder, old }))
}

const PARTIAL: &str = ".partial";

/// What a part has between stem and ending: a process, a time and a number. Others may end alike.
fn is_part(middle: &str) -> bool {
    let fields = || middle.split('-');
    fields().count() == 3 && fields().all(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What the names of a file's parts begin with, at most 160 of the 255 bytes that file systems allow.
fn stem_of(path: &Path) -> String {
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    while name.len() > 160 {
        name.pop();
    }
    name.push('.');
    name
}

/// A file beside its place, locked while its run lives, and removed unless it was moved into the place. No two have the same
/// name, not even after a run has died, so nobody's part can be moved by another.
struct Partial {
    file: File,
    path: PathBuf,
}

impl Partial {
    fn create(place: &Whereabouts) -> std::io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let name = format!("{}{}-{time:x}-{number}{PARTIAL}", stem_of(&place.path), std::process::id());
        let path = place.folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        // Without a lock, as on some network disks, another run may remove the part; it is then written again.
        let _ = file.try_lock();
        Ok(Self { file, path })
    }

    fn filled(mut self, bytes: &[u8], place: &Whereabouts) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        if let Some(old) = &place.old {
            self.file.set_permissions(old.clone())?;
        }
        self.file.sync_all()?;
        std::fs::rename(&self.path, &place.path)?;
        // The move itself; some file systems cannot, and order it behind the content anyway.
        #[cfg(unix)]
        let _ = File::open(&place.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the move there is nothing by this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("foveal_file_{name}_{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let all = std::fs::read_dir(folder).unwrap();
        let mut all: Vec<_> = all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_is_replaced_and_nothing_stays_beside_it() {
        let folder = scratch("replaced");
        let path = folder.join("a.txt");
        require_writable(&path).unwrap();
        assert!(names(&folder).is_empty());
        for content in ["first", "second, longer", ""] {
            write_whole(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(&folder), ["a.txt"]);
        }
        // A name as long as file systems take one, of two bytes a character.
        let long = folder.join("\u{e9}".repeat(125));
        write_whole(&long, b"x").unwrap();
        require_writable(&long).unwrap();
        assert_eq!(names(&folder).len(), 2);
    }

    #[test]
    fn threads_that_write_one_file_leave_one_of_their_contents() {
        let folder = scratch("threads");
        let path = folder.join("a");
        let contents: Vec<Vec<u8>> = (0..4u8).map(|i| vec![i; 40_000 + usize::from(i)]).collect();
        std::thread::scope(|scope| {
            for content in &contents {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        require_writable(path).unwrap();
                        write_whole(path, content).unwrap();
                    }
                });
            }
            for _ in 0..200 {
                if let Ok(found) = std::fs::read(&path) {
                    assert!(contents.contains(&found));
                }
            }
        });
        assert!(contents.contains(&std::fs::read(&path).unwrap()));
        assert_eq!(names(&folder), ["a"]);
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_living_one_writes_stays() {
        let folder = scratch("left");
        let path = folder.join("a");
        for name in ["a.1-2-3.partial", "a.b.partial", "ab.1-2-3.partial", "a.partially"] {
            std::fs::write(folder.join(name), "half").unwrap();
        }
        let Place::File(at) = place(&path).unwrap() else { unreachable!() };
        let living = Partial::create(&at).unwrap();
        require_writable(&path).unwrap();
        let own = living.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names(&folder), [own.as_str(), "a.b.partial", "a.partially", "ab.1-2-3.partial"]);
        drop(living);
        assert_eq!(names(&folder).len(), 3);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_by_name() {
        let folder = scratch("refused");
        std::fs::write(folder.join("file"), "").unwrap();
        for (path, said) in [
            (folder.clone(), "it is a folder"),
            (folder.join("no/such/a"), "there is no folder"),
            (folder.join("file/a"), "file/a"),
            (PathBuf::from("/"), "it is a folder"),
            (PathBuf::new(), ""),
        ] {
            for error in [write_whole(&path, b"x").unwrap_err(), require_writable(&path).unwrap_err()] {
                assert!(error.to_string().contains(said), "{path:?}: {error}");
            }
        }
        let kept = folder.join("kept");
        std::fs::write(&kept, "old").unwrap();
        let mut permissions = std::fs::metadata(&kept).unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&kept, permissions).unwrap();
        assert!(write_whole(&kept, b"new").unwrap_err().to_string().contains("write-protected"));
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "old");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_permissions_stay_and_devices_are_written_to() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let folder = scratch("unix");
        let (path, link) = (folder.join("a"), folder.join("link"));
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        std::os::unix::fs::symlink(folder.join("nowhere"), folder.join("dangling")).unwrap();
        write_whole(folder.join("dangling"), b"x").unwrap_err();
        write_whole("/dev/null", b"x").unwrap();
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        if Path::new("/dev/full").exists() {
            let error = write_whole("/dev/full", b"x").unwrap_err();
            assert!(
                matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
            );
        }
    }
}
