//! Where the repository's own files are.

use std::path::{Path, PathBuf};

/// A path below the root of the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
