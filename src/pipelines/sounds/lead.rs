//! Samples that an MPEG-4 file says to leave out at its beginning.
//!
//! An AAC encoder begins with a thousand samples and more of its own, and the file's edit list says how many.
//!
//! Source: ISO/IEC 14496-12, sections 4.2 (boxes), 8.6.6 (edit lists) and 8.4.3 (handlers).

use super::section::bytes_at;
use std::io::{self, SeekFrom};
use symphonia::core::io::MediaSource;

/// Most bytes of a file's description; that of a film of hours has a few million.
const MAX_BYTES: u64 = 1 << 26;
/// Most boxes looked at before it.
const MAX_BOXES: usize = 1 << 12;

/// The lead of the first track of sound, in units of that track; 0 for a file of another kind, or where it says nothing.
pub(super) fn lead(file: &mut Box<dyn MediaSource>) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    for index in 0..MAX_BOXES {
        let head = bytes_at(file, at, 16)?;
        let Some((kind, before, size)) = header(&head) else { break };
        if index == 0 && kind != *b"ftyp" {
            break;
        }
        let size = if size == 0 { end.saturating_sub(at) } else { size };
        if kind == *b"moov" {
            return Ok(of_tracks(&bytes_at(file, at + before as u64, size.min(MAX_BYTES) as usize)?));
        }
        at = at.saturating_add(size);
        if size < before as u64 || at >= end {
            break;
        }
    }
    Ok(0)
}

/// A box's kind, the bytes of its header, and its size with them.
fn header(bytes: &[u8]) -> Option<([u8; 4], usize, u64)> {
    let size = u32::from_be_bytes(*bytes.first_chunk()?);
    let kind = *bytes.get(4..)?.first_chunk()?;
    match size {
        1 => Some((kind, 16, u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?))),
        _ => Some((kind, 8, u64::from(size))),
    }
}

/// The boxes within one.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, before, size) = header(bytes)?;
        let size = usize::try_from(size).ok().filter(|size| *size >= before && *size <= bytes.len())?;
        let (this, rest) = bytes.split_at(size);
        bytes = rest;
        Some((kind, this.get(before..)?))
    })
}

fn within<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(k, _)| k == kind).map(|(_, body)| body)
}

fn of_tracks(body: &[u8]) -> u64 {
    let is_sound = |track: &&[u8]| {
        let handler = within(track, b"mdia").and_then(|media| within(media, b"hdlr"));
        handler.is_some_and(|body| body.get(8..12) == Some(b"soun"))
    };
    let track = boxes(body).filter(|(kind, _)| kind == b"trak").map(|(_, body)| body).find(is_sound);
    let list = track.and_then(|track| within(track, b"edts")).and_then(|edits| within(edits, b"elst"));
    list.and_then(first_media_time).unwrap_or(0)
}

/// Where in the media the first edit that shows any of it begins.
fn first_media_time(list: &[u8]) -> Option<u64> {
    let long = list.first()? == &1;
    let count = u32::from_be_bytes(*list.get(4..)?.first_chunk()?);
    let entries = list.get(8..)?.chunks_exact(if long { 20 } else { 12 }).take(count as usize);
    // An empty edit, of time −1, is a pause.
    entries
        .filter_map(|entry| {
            if long {
                u64::try_from(i64::from_be_bytes(*entry.get(8..)?.first_chunk()?)).ok()
            } else {
                u64::try_from(i32::from_be_bytes(*entry.get(4..)?.first_chunk()?)).ok()
            }
        })
        .next()
}
