//! Parts of files, read as files.

use std::io::{self, Read, Seek, SeekFrom};
use symphonia::core::io::MediaSource;

/// A header, and a part of a file after it.
pub(super) struct Section {
    head: Vec<u8>,
    file: Box<dyn MediaSource>,
    from: u64,
    len: u64,
    at: u64,
}

impl Section {
    pub(super) fn new(
        head: Vec<u8>,
        mut file: Box<dyn MediaSource>,
        from: u64,
        len: u64,
    ) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { head, file, from, len, at: 0 })
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let head = self.head.len() as u64;
        let count = if self.at < head {
            self.head.get(self.at as usize..).unwrap_or_default().read(buffer)?
        } else {
            let left = (head + self.len).saturating_sub(self.at);
            self.file.by_ref().take(left).read(buffer)?
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let head = self.head.len() as u64;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => (head + self.len).checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.file.seek(SeekFrom::Start(self.from.saturating_add(self.at.saturating_sub(head))))?;
        Ok(self.at)
    }
}

impl MediaSource for Section {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.head.len() as u64 + self.len)
    }
}

/// A file without the tags (ID3v1, APE) that players append to any: a decoder would take them for sound.
pub(super) fn untagged(mut file: Box<dyn MediaSource>) -> io::Result<Section> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let before = |end: u64, count: u64| end.checked_sub(count);
    if let Some(at) = before(end, 128) {
        end = if bytes_at(&mut file, at, 3)? == b"TAG" { at } else { end };
    }
    if let Some(at) = before(end, 32) {
        let foot = bytes_at(&mut file, at, 32)?;
        if foot.starts_with(b"APETAGEX") {
            let head = if foot.get(23).is_some_and(|flags| flags & 0x80 != 0) { 32 } else { 0 };
            end = number(&foot, 12, 4).and_then(|size| before(end, size + head)).unwrap_or(end);
        }
    }
    Section::new(Vec::new(), file, 0, end)
}

/// Up to so many bytes; fewer at the end of the file.
pub(super) fn bytes_at(file: &mut Box<dyn MediaSource>, at: u64, count: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.by_ref().take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A number of `len` bytes, the lowest first.
pub(super) fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + len)?;
    Some(bytes.iter().rev().fold(0, |all, b| all << 8 | u64::from(*b)))
}
