//! Boxes of the ISO base media file format (mp4, mov), read by seeking.

use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of an index that are read into memory; one of a day of video has some 100 MiB.
pub(super) const MAX_INDEX: u64 = 512 << 20;

/// A file of which parts are read.
pub(super) struct Source {
    file: File,
    pub(super) length: u64,
    pub(super) path: PathBuf,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io(path, e);
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Ok(Self { file, length, path: path.to_owned() })
    }

    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::file(&self.path, reason)
    }

    /// Fills `into` with `size` bytes from `offset` on; false where the file ends before.
    pub(super) fn read(&mut self, offset: u64, size: u64, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        if offset.checked_add(size).is_none_or(|end| end > self.length) {
            return Ok(false);
        }
        let io = |e| Error::io(&self.path, e);
        self.file.seek(SeekFrom::Start(offset)).map_err(io)?;
        self.file.by_ref().take(size).read_to_end(into).map_err(io)?;
        Ok(into.len() as u64 == size)
    }
}

/// A box of the file itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer {
    pub(super) kind: [u8; 4],
    /// Where the box begins, header included: what offsets of a fragment count from.
    pub(super) start: u64,
    pub(super) body: u64,
    /// Where it ends by what it states, which may be behind the file's end.
    pub(super) end: u64,
}

impl Outer {
    /// The box at `start`; none at the file's end, or where no box begins.
    pub(super) fn at(source: &mut Source, start: u64, bytes: &mut Vec<u8>) -> Result<Option<Self>> {
        if !source.read(start, 8, bytes)? {
            return Ok(None);
        }
        let mut header = Fields(bytes);
        let (Some(size), Some(kind)) = (header.u32(), header.kind()) else { return Ok(None) };
        let (head, size) = match size {
            0 => (8, source.length - start),
            1 => {
                if !source.read(start + 8, 8, bytes)? {
                    return Ok(None);
                }
                (16, Fields(bytes).u64().unwrap_or(0))
            }
            _ => (8, u64::from(size)),
        };
        let end = start.checked_add(size).filter(|_| size >= head);
        Ok(end.map(|end| Self { kind, start, body: start + head, end }))
    }
}

/// Numbers one after the other, big-endian.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn kind(&mut self) -> Option<[u8; 4]> {
        self.array()
    }

    /// Version and flags, with which most boxes begin.
    pub(super) fn version(&mut self) -> Option<(u8, u32)> {
        self.u32().map(|v| ((v >> 24) as u8, v & 0x00ff_ffff))
    }

    /// A number of 64 bits in version 1 and of 32 before.
    pub(super) fn by_version(&mut self, version: u8) -> Option<u64> {
        if version == 1 { self.u64() } else { self.u32().map(u64::from) }
    }
}

/// The boxes within a box, up to the first that does not fit in it.
pub(super) fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = Fields(bytes);
    std::iter::from_fn(move || {
        let (whole, size, kind) = (rest.0.len(), rest.u32()?, rest.kind()?);
        let (head, size) = match size {
            0 => (8, whole),
            1 => (16, usize::try_from(rest.u64()?).ok()?),
            _ => (8, usize::try_from(size).ok()?),
        };
        Some((kind, rest.take(size.checked_sub(head)?)?))
    })
}

/// The first box of a kind.
pub(super) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(k, _)| k == kind).map(|(_, body)| body)
}

/// The first box along a path of kinds.
pub(super) fn descend<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, kind| find(bytes, kind))
}
