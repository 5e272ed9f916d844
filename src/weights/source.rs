//! One safetensors file: its bytes and its offset table.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::Metadata;

use super::FileDtype;
use crate::{Error, Result};

/// Largest header that is parsed; real ones are well under a tenth of it.
const MAX_HEADER: usize = 100_000_000;
/// The header's length stands in front of it as a little-endian u64.
const LENGTH_PREFIX: usize = 8;

/// Bytes of a file, mapped or owned.
#[derive(Debug, Clone)]
pub(super) enum Bytes {
    /// Pages are read when a tensor is loaded.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(Arc<memmap2::Mmap>),
    /// Given by the caller.
    Owned(Arc<Vec<u8>>),
}

impl Bytes {
    /// All bytes of the file.
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Where a tensor's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file of the store: its number, and the byte range in the whole file.
    File(usize, Range<usize>),
    /// Nowhere: the tensor is planned and reads as zeros.
    Planned,
}

/// One tensor of a store.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Element type in the file.
    pub(super) dtype: FileDtype,
    /// Sizes, outermost first; their product times the element size is the length of the range in the file.
    pub(super) shape: Vec<usize>,
    /// Where it lies.
    pub(super) place: Place,
    /// Its name in the file, where the store calls it otherwise.
    pub(super) stored: Option<String>,
}

/// One file of a store.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    /// The file, or the name given with the bytes.
    pub(super) path: PathBuf,
    /// Its bytes.
    pub(super) bytes: Bytes,
}

impl Shard {
    /// Maps a file.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn map(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let meta = file.metadata().map_err(|e| Error::io(path, e))?;
        if !meta.is_file() {
            return Err(Error::file(path, "not a regular file"));
        }
        // SAFETY: the map is read-only and private to this process. As with every memory map, another
        // process that truncates the file while it is mapped makes later reads fault; weight files
        // are written once, and copying several gigabytes to rule that out would defeat the purpose.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        Ok(Self { path: path.to_path_buf(), bytes: Bytes::Mapped(Arc::new(map)) })
    }

    /// Wraps bytes in memory.
    pub(super) fn owned(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        Self { path: name.into(), bytes: Bytes::Owned(Arc::new(bytes)) }
    }

    /// Reads the offset table; every entry's range is checked to lie in the file and to match its
    /// shape and type, entries do not overlap and leave no gap.
    pub(super) fn entries(&self, shard: usize) -> Result<Vec<(String, Entry)>> {
        parse(&self.path, self.bytes.as_slice(), shard)
    }
}

fn parse(path: &Path, bytes: &[u8], shard: usize) -> Result<Vec<(String, Entry)>> {
    let refuse = |reason: String| Error::file(path, reason);
    if let Some(reason) = super::foreign::refusal(path, bytes) {
        return Err(refuse(reason));
    }
    let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_PREFIX>() else {
        return Err(refuse(format!("{} bytes are too few for a safetensors file", bytes.len())));
    };
    let header_len = usize::try_from(u64::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
    if header_len > MAX_HEADER {
        return Err(refuse(format!(
            "the header claims {header_len} bytes, more than {MAX_HEADER}: not a safetensors file"
        )));
    }
    let Some((header, data)) = rest.split_at_checked(header_len) else {
        return Err(refuse(format!(
            "the header claims {header_len} bytes, the file has {}: truncated",
            rest.len()
        )));
    };
    // `Metadata` checks offsets against shapes, order, gaps and overlaps while it is deserialised. Its
    // total is compared here rather than by `SafeTensors::read_metadata`, whose sum can overflow.
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(|e| refuse(format!("bad safetensors header: {e}")))?;
    if metadata.data_len() != data.len() {
        return Err(refuse(format!(
            "the header describes {} bytes of tensors, the file has {}: truncated or damaged",
            metadata.data_len(),
            data.len()
        )));
    }
    let base = LENGTH_PREFIX + header_len;
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        // No overflow: the last offset plus `base` is the length of the file.
        let (start, end) = info.data_offsets;
        (
            name,
            Entry {
                dtype: info.dtype.into(),
                shape: info.shape.clone(),
                place: Place::File(shard, base + start..base + end),
                stored: None,
            },
        )
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}
