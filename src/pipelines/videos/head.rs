//! How a file begins.

use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The bytes that a file begins with.
pub(super) fn head(path: &Path) -> Result<Vec<u8>> {
    let io = |e| Error::io(path, e);
    let mut head = Vec::new();
    File::open(path).map_err(io)?.take(400).read_to_end(&mut head).map_err(io)?;
    Ok(head)
}
