//! Reads small files that nobody vouches for.

use std::io::Read;
use std::path::Path;

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
    std::fs::File::open(path).map_err(io)?.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(too_many(bytes.len() as u64));
    }
    match super::foreign::unfetched(&bytes) {
        Some(reason) => Err(Error::file(path, reason)),
        None => Ok(bytes),
    }
}
