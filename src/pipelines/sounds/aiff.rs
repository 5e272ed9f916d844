//! Sizes of an aiff file that was written to a pipe or cut: they pass its end, and are set to what is there.
//!
//! Source: Audio Interchange File Format, versions 1.3 and AIFF-C, as Apple documents them.

use super::section::{Section, bytes_at};
use std::io::{self, SeekFrom};
use symphonia::core::io::MediaSource;

/// Bytes in which the samples have to begin.
const HEAD: usize = 1 << 20;
/// A size from here on stands for one that its program did not know: it writes to a pipe.
const UNKNOWN: u64 = 0x7f00_0000;

/// The file as it is, or with sizes that fit it.
pub(super) fn sized(mut file: Box<dyn MediaSource>, warnings: &mut Vec<String>) -> io::Result<Section> {
    let end = file.seek(SeekFrom::End(0))?;
    let kind = bytes_at(&mut file, 0, 12)?;
    let is_aiff =
        kind.starts_with(b"FORM") && [&b"AIFF"[..], b"AIFC"].contains(&kind.get(8..).unwrap_or_default());
    if is_aiff {
        let head = bytes_at(&mut file, 0, HEAD)?;
        if let Some((head, stated)) = mended(head, end) {
            if stated < UNKNOWN {
                let there = end - head.len() as u64;
                warnings.push(format!("it breaks off: {there} of {stated} bytes of samples are there"));
            }
            let from = head.len() as u64;
            return Section::new(head, file, from, end - from);
        }
    }
    Section::new(Vec::new(), file, 0, end)
}

/// The bytes up to the samples with sizes that fit, and how many bytes of samples were stated; `None` where those fit.
fn mended(mut head: Vec<u8>, end: u64) -> Option<(Vec<u8>, u64)> {
    let number = |head: &[u8], at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
    let (mut at, mut common) = (12, None);
    loop {
        let (size, body) = (u64::from(number(&head, at + 4)?), at + 8);
        match head.get(at..at + 4)? {
            b"COMM" => common = Some(body),
            b"SSND" if body as u64 + size > end => {
                let there = u32::try_from(end.checked_sub(body as u64)?).ok()?;
                let common = common?;
                let (channels, bits) = (number(&head, common)? >> 16, number(&head, common + 6)? >> 16);
                // Two numbers stand before the samples.
                let frames = there.checked_sub(8)?.checked_div(channels * bits.div_ceil(8))?;
                let whole = u32::try_from(end - 8).ok()?;
                for (place, value) in [(4, whole), (at + 4, there), (common + 2, frames)] {
                    head.get_mut(place..place + 4)?.copy_from_slice(&value.to_be_bytes());
                }
                head.truncate(body);
                return Some((head, size));
            }
            b"SSND" => return None,
            _ => {}
        }
        at = usize::try_from(body as u64 + size + size % 2).ok()?;
    }
}
