//! Wav files as programs write them.
//!
//! Sizes in a wav file are often wrong: a program that writes to a pipe does not know them yet, one that was stopped never
//! set them, four gigabytes do not fit, and many forget the byte that pads an odd chunk. Its format comes in several lengths.
//! So the chunks are walked here, with doubt, and what follows reads a plain header before the bytes of the samples.
//!
//! Sources: RIFF and WAVEFORMATEX as Microsoft documents them; EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64).

use super::section::{Section, bytes_at, number};
use std::io::{self, SeekFrom};
use symphonia::core::io::MediaSource;

/// What lies in a wav file.
pub(super) enum Wave {
    /// Samples, under a header that states what is there.
    Plain(Section),
    /// MPEG audio, which has headers of its own.
    Mpeg(Section),
    /// Something that is not read, in a user's words.
    Refused(String),
}

/// Chunks that stand in wav files; others are believed too where they look like one.
const KNOWN: [&[u8; 4]; 16] = [
    b"fmt ", b"data", b"LIST", b"fact", b"bext", b"JUNK", b"junk", b"PAD ", b"FLLR", b"id3 ", b"ID3 ",
    b"cue ", b"smpl", b"PEAK", b"ds64", b"iXML",
];
/// A size from here on stands for one that its program did not know: all ones, or as near to 2³¹ as whole blocks come.
const UNKNOWN: u64 = 0x7fff_0000;
/// Bytes in which the samples are searched for once a chunk makes no sense.
const SEARCHED: usize = 1 << 20;

/// Walks a file; one that is no wav is handed back. A warning is added where it breaks off.
pub(super) fn wave(
    mut file: Box<dyn MediaSource>,
    warnings: &mut Vec<String>,
) -> io::Result<Result<Wave, Box<dyn MediaSource>>> {
    let end = file.seek(SeekFrom::End(0))?;
    let head = bytes_at(&mut file, 0, 12)?;
    let (kind, form) = (head.get(..4), head.get(8..));
    file.rewind()?;
    match (kind, form) {
        (Some(b"RIFX"), Some(b"WAVE")) => {
            return Ok(Ok(Wave::Refused("a wav file of the other byte order (RIFX) is not read".into())));
        }
        (Some(b"riff"), _) => return Ok(Ok(Wave::Refused("Sony's Wave64 is not read".into()))),
        (Some(b"RIFF" | b"RF64" | b"BW64"), Some(b"WAVE")) => {}
        _ => return Ok(Err(file)),
    }
    let chunks = walk(&mut file, end)?;
    let Some((from, stated)) = chunks.data else {
        return Ok(Ok(Wave::Refused("a wav file without samples (no `data` chunk)".into())));
    };
    let Some(format) = chunks.format else {
        return Ok(Ok(Wave::Refused("a wav file that does not state its format (no `fmt ` chunk)".into())));
    };
    let there = stated.unwrap_or(u64::MAX).min(end.saturating_sub(from));
    let plain = match Format::read(&format) {
        Ok(plain) => plain,
        Err(refused) => return Ok(Ok(Wave::Refused(refused))),
    };
    if let Some(stated) = stated.filter(|stated| *stated > there && *stated < UNKNOWN) {
        warnings.push(format!("it breaks off: {there} of {stated} bytes of samples are there"));
    }
    Ok(Ok(match plain {
        Format::Mpeg => Wave::Mpeg(Section::new(Vec::new(), file, from, there)?),
        Format::Plain { chunk, block } => {
            let whole = there - there % u64::from(block.max(1));
            Wave::Plain(Section::new(header(&chunk, whole), file, from, whole)?)
        }
    }))
}

/// Most chunks that are looked at.
const MAX_CHUNKS: usize = 1 << 12;

/// The chunks that matter.
#[derive(Default)]
struct Chunks {
    format: Option<Vec<u8>>,
    /// Where the samples begin, and how many bytes of them are stated.
    data: Option<(u64, Option<u64>)>,
}

fn walk(file: &mut Box<dyn MediaSource>, end: u64) -> io::Result<Chunks> {
    let (mut chunks, mut at, mut believed, mut long) = (Chunks::default(), 12, 0, None);
    for _ in 0..MAX_CHUNKS {
        if at + 8 > end {
            break;
        }
        let head = bytes_at(file, at, 8)?;
        let Some((id, size)) =
            head.split_first_chunk::<4>().and_then(|(id, size)| Some((*id, number(size, 0, 4)?)))
        else {
            break;
        };
        let body = at + 8;
        match &id {
            b"data" => {
                let size = match (size, long) {
                    (0xffff_ffff, Some(long)) => Some(long),
                    // None was known when it was written; or there are none, and another chunk follows.
                    (0, _) if !chunk_follows(file, body, end)? => None,
                    (0xffff_ffff, None) => None,
                    (size, _) => Some(size),
                };
                chunks.data = Some((body, size));
                if chunks.format.is_some() {
                    break;
                }
            }
            b"fmt " => chunks.format = Some(bytes_at(file, body, size.min(64) as usize)?),
            b"ds64" => long = number(&bytes_at(file, body, 16)?, 8, 8),
            _ => {}
        }
        let size = chunks.data.filter(|(from, _)| *from == body).map_or(Some(size), |(_, stated)| stated);
        let next = size.and_then(|size| body.checked_add(size)).filter(|next| *next <= end);
        at = match next {
            Some(next) if is_plausible(&id) => {
                believed = at;
                following(file, next, size.unwrap_or(0) % 2 == 1)?
            }
            // The samples last to the end, or something here or in the chunk before is not what it states.
            _ if &id == b"data" => break,
            _ => match search(file, believed + 1)? {
                Some(found) => {
                    believed = found;
                    found
                }
                None => break,
            },
        };
    }
    Ok(chunks)
}

/// True where a chunk of a known name stands that fits into the file.
fn chunk_follows(file: &mut Box<dyn MediaSource>, at: u64, end: u64) -> io::Result<bool> {
    let head = bytes_at(file, at, 8)?;
    let size = number(&head, 4, 4);
    Ok(head.is_empty() || is_known(&head) && size.is_some_and(|size| at + 8 + size <= end))
}

/// Where the next chunk stands: an odd one is padded by a byte, which many programs forget.
fn following(file: &mut Box<dyn MediaSource>, next: u64, odd: bool) -> io::Result<u64> {
    if !odd {
        return Ok(next);
    }
    let bytes = bytes_at(file, next, 5)?;
    let (bare, padded) = (bytes.get(..4).unwrap_or_default(), bytes.get(1..).unwrap_or_default());
    let forgotten = is_known(bare) && !is_known(padded) || is_plausible(bare) && !is_plausible(padded);
    Ok(if forgotten { next } else { next + 1 })
}

/// The next place where `data` or `fmt ` stands.
fn search(file: &mut Box<dyn MediaSource>, from: u64) -> io::Result<Option<u64>> {
    let bytes = bytes_at(file, from, SEARCHED)?;
    let found = bytes.windows(4).position(|w| w == b"data" || w == b"fmt ");
    Ok(found.map(|i| from + i as u64))
}

fn is_known(id: &[u8]) -> bool {
    KNOWN.iter().any(|known| id.starts_with(&known[..]))
}

fn is_plausible(id: &[u8]) -> bool {
    id.len() == 4 && id.iter().all(|b| (0x20..0x7f).contains(b))
}

/// A format as one chunk of known length.
enum Format {
    Plain {
        /// What the chunk holds.
        chunk: Vec<u8>,
        /// Bytes that are decoded together.
        block: u32,
    },
    Mpeg,
}

impl Format {
    fn read(chunk: &[u8]) -> Result<Self, String> {
        let field = |at: usize| number(chunk, at, 2).map(|v| v as u16);
        let (Some(stated), Some(channels), Some(rate), Some(align), Some(bits)) =
            (field(0), field(2), number(chunk, 4, 4), field(12), field(14))
        else {
            return Err(format!(
                "a wav file whose `fmt ` chunk has {} bytes, expected 16 or more",
                chunk.len()
            ));
        };
        // An extensible format names another by the first field of an identifier.
        let tag = if stated == 0xfffe { field(24).unwrap_or(stated) } else { stated };
        if channels == 0 {
            return Err("a wav file of no channels".into());
        }
        let rate = rate as u32;
        let samples = |bytes: u16| {
            let block = u32::from(channels) * u32::from(bytes);
            let align = u16::try_from(block).map_err(|_| format!("a wav file of {channels} channels"))?;
            let chunk = fields(tag, channels, rate, rate.wrapping_mul(block), align, bytes * 8);
            Ok(Self::Plain { chunk, block })
        };
        let refuse = |what: &str| Err(format!("a wav file of {bits}-bit {what} is not read"));
        match tag {
            0x0001 => {
                let least = bits.div_ceil(8);
                // Samples may have room to spare; what a block states is believed where that is so.
                let room = if align % channels == 0 { align / channels } else { 0 };
                match if room > least { room } else { least } {
                    bytes @ 1..=4 => samples(bytes),
                    _ => refuse("PCM"),
                }
            }
            0x0003 if bits == 32 || bits == 64 => samples(bits / 8),
            0x0003 => refuse("floating point numbers"),
            0x0006 | 0x0007 => {
                let mut chunk = fields(tag, channels, rate, rate.wrapping_mul(channels.into()), channels, 8);
                chunk.extend([0, 0]);
                Ok(Self::Plain { chunk, block: channels.into() })
            }
            0x0002 | 0x0011 => {
                let mut chunk =
                    fields(tag, channels, rate, number(chunk, 8, 4).unwrap_or(0) as u32, align, 4);
                // What follows is what these blocks always hold; coefficients of their own no program writes.
                let extra: &[u16] = if tag == 2 {
                    &[32, 0, 7, 256, 0, 512, 0xff00, 0, 0, 192, 64, 240, 0, 460, 0xff30, 392, 0xff18]
                } else {
                    &[2, 0]
                };
                chunk.extend(extra.iter().flat_map(|v| v.to_le_bytes()));
                Ok(Self::Plain { chunk, block: align.into() })
            }
            0x0050 | 0x0055 => Ok(Self::Mpeg),
            _ => {
                let name = match tag {
                    0x0031 => "GSM 6.10",
                    0x0040 | 0x0045 | 0x0064 => "G.726",
                    0x0160..=0x0163 => "Windows Media Audio",
                    0x00ff | 0x1600..=0x1610 => "AAC",
                    0x2000 => "AC-3",
                    0x2001 => "DTS",
                    0x674f..=0x6771 => "Vorbis",
                    0xfffe => "an extensible format that names no other",
                    _ => "an unknown format",
                };
                Err(format!("a wav file of {name} (format {tag:#06x}) is not read"))
            }
        }
    }
}

fn fields(tag: u16, channels: u16, rate: u32, per_second: u32, align: u16, bits: u16) -> Vec<u8> {
    let mut chunk = [tag, channels].map(u16::to_le_bytes).concat();
    chunk.extend([rate, per_second].map(u32::to_le_bytes).concat());
    chunk.extend([align, bits].map(u16::to_le_bytes).concat());
    chunk
}

/// A header for so many bytes of samples; more than fit are stated as unknown.
fn header(format: &[u8], samples: u64) -> Vec<u8> {
    let around = 4 + 8 + format.len() as u64 + 8;
    let size = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let whole = if samples + around > u64::from(u32::MAX) { u64::MAX } else { samples };
    let parts: [&[u8]; 7] = [
        b"RIFF",
        &size(whole.saturating_add(around)),
        b"WAVEfmt ",
        &size(format.len() as u64),
        format,
        b"data",
        &size(whole),
    ];
    parts.concat()
}
