//! Frames of an mp4 or mov file of H.264.

use super::boxes::{MAX_INDEX, Outer, Source};
use super::colour::Colour;
use super::h264::{Picture, Stream};
use super::timeline::{Shown, shown};
use super::track::{Sample, Track, name};
use super::turn::Turn;
use super::units::Config;
use super::{Frame, VideoInfo, fragments};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// Bytes of a sample: more than a picture of the largest size has uncompressed.
const MAX_SAMPLE: u64 = 64 << 20;

/// Pictures that the decoder holds back to bring them in order; one that it dropped would be waited for without end.
const MAX_HELD: usize = 64;

/// What a file turned out to be.
pub(super) enum Opened {
    Film(Box<Film>),
    /// A file that another program may read, and why it is not read here.
    Foreign(String),
}

/// A file whose frames are decoded here.
pub(super) struct Film {
    source: Source,
    config: Config,
    samples: Vec<Sample>,
    shown: Vec<Shown>,
    colour: Colour,
    grey: bool,
    /// Before the turn.
    size: (usize, usize),
    turn: Turn,
    decoding: Option<Decoding>,
    frame: Frame,
    /// The sample that `frame` shows.
    held: Option<usize>,
    bytes: Vec<u8>,
    stream: Vec<u8>,
    spare: Vec<u8>,
}

/// Where decoding stands.
struct Decoding {
    stream: Stream,
    /// The sample that is decoded next.
    next: usize,
    /// Samples whose pictures are still to come.
    pending: BTreeSet<usize>,
    /// No sample can be decoded after the last pictures were asked for.
    ends: bool,
}

/// Finds the index of a file and what it says of the video in it.
fn track(source: &mut Source) -> Result<(Track, Option<String>)> {
    let (mut start, mut bytes) = (0, Vec::new());
    while let Some(outer) = Outer::at(source, start, &mut bytes)? {
        if &outer.kind == b"moov" {
            let size = outer.end.saturating_sub(outer.body);
            if size > MAX_INDEX {
                return Err(source.refuse(format!("its index (moov) is of {size} bytes")));
            }
            if !source.read(outer.body, size, &mut bytes)? {
                return Err(source.refuse("it breaks off within its index (moov)"));
            }
            let moov = std::mem::take(&mut bytes);
            let mut track = Track::of(&moov, source.length).map_err(|e| source.refuse(e))?;
            fragments::read(source, &moov, outer.end, &mut track)?;
            let foreign = match &track.codec {
                b"avc1" | b"avc3" if track.changes => Some("video whose description changes".into()),
                b"avc1" | b"avc3" => None,
                codec => Some(format!("video coded as {}", named(*codec))),
            };
            return Ok((track, foreign));
        }
        start = outer.end;
    }
    let reason = match start > source.length {
        true => "it breaks off before its index (moov)",
        false => "it has no index of a movie (moov)",
    };
    Err(source.refuse(reason))
}

/// A coding by its usual name.
fn named(codec: [u8; 4]) -> String {
    let usual = match &codec {
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "H.265",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"mp4v" => "MPEG-4 part 2",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes",
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG",
        _ => return name(codec),
    };
    format!("{usual} ({})", name(codec))
}

impl Film {
    pub(super) fn open(path: &Path) -> Result<(Opened, Option<VideoInfo>)> {
        let mut source = Source::open(path)?;
        let (track, foreign) = track(&mut source)?;
        if let Some(reason) = foreign {
            return Ok((Opened::Foreign(reason), None));
        }
        let config = track.avc.as_deref().and_then(Config::read);
        let config =
            config.ok_or_else(|| source.refuse("its description of H.264 (avcC) is missing or cut off"))?;
        let frames = shown(&track).map_err(|e| source.refuse(e))?;
        if frames.is_empty() {
            return Err(source.refuse("its video track shows no frames"));
        }
        let mut bytes = Vec::new();
        let first = track.samples.first().copied();
        let whole = match first {
            Some(s) if u64::from(s.size) <= MAX_SAMPLE => source.read(s.offset, s.size.into(), &mut bytes)?,
            _ => false,
        };
        if !whole {
            return Err(source.refuse("it breaks off before its first frame"));
        }
        let sps = config
            .sps(&bytes)
            .ok_or_else(|| source.refuse("its description of pictures (SPS) cannot be read"))?;
        let other = sps.unread().or_else(|| {
            (!config.is_key(&bytes)).then(|| "H.264 that begins without a frame to begin at (IDR)".to_owned())
        });
        if let Some(reason) = other {
            return Ok((Opened::Foreign(reason), None));
        }
        let mut colour = sps.colour.or(track.colour).unwrap_or_default();
        colour.full = sps.full.unwrap_or(colour.full);
        let (width, height) = track.turn.size(sps.size);
        let mut film = Self {
            source,
            config,
            samples: track.samples,
            shown: frames,
            colour,
            grey: sps.is_grey(),
            size: sps.size,
            turn: track.turn,
            decoding: None,
            frame: Frame { width, height, rgb: Vec::new(), time: 0.0 },
            held: None,
            bytes,
            stream: Vec::new(),
            spare: Vec::new(),
        };
        // What the decoder turns out not to know, another program may.
        if let Err(reason) = film.picture(0)? {
            return Ok((
                Opened::Foreign(format!("H.264 whose first frame cannot be decoded: {reason}")),
                None,
            ));
        }
        let last = film.shown.iter().map(|s| s.time + s.duration).fold(0.0, f64::max);
        let times: Vec<f64> = film.shown.iter().map(|s| s.time).collect();
        let info = VideoInfo::new((width, height), times, last);
        Ok((Opened::Film(Box::new(film)), Some(info)))
    }

    /// The frame that is shown as the `index`th.
    pub(super) fn frame(&mut self, index: usize) -> Result<&Frame> {
        let Some(Shown { time, sample, .. }) = self.shown.get(index).copied() else {
            return Err(Error::input("frames", format!("frame {index} of a clip of {}", self.shown.len())));
        };
        match self.picture(sample)? {
            Ok(()) => {
                self.frame.time = time;
                Ok(&self.frame)
            }
            Err(reason) => Err(self.source.refuse(format!("frame {index} (at {time:.3} s): {reason}"))),
        }
    }

    /// Decodes the picture of a sample into `frame`. The inner error is the reason why it cannot be.
    fn picture(&mut self, wanted: usize) -> Result<std::result::Result<(), String>> {
        if self.held == Some(wanted) {
            return Ok(Ok(()));
        }
        self.held = None;
        let start = self.start(wanted)?;
        // Taken out, so that an error leaves no decoder behind that is out of step.
        let decoding = self.decoding.take().filter(|_| start.is_none());
        let mut decoding = match decoding {
            Some(decoding) => decoding,
            None => match Stream::new() {
                Ok(stream) => {
                    Decoding { stream, next: start.unwrap_or(0), pending: BTreeSet::new(), ends: false }
                }
                Err(reason) => return Ok(Err(reason)),
            },
        };
        let found = self.decode(&mut decoding, wanted)?;
        if found.is_ok() {
            self.held = Some(wanted);
            self.decoding = Some(decoding);
        }
        Ok(found)
    }

    /// Where decoding is to begin for a sample, unless it is best to go on.
    fn start(&mut self, wanted: usize) -> Result<Option<usize>> {
        let at = self.decoding.as_ref().and_then(|d| {
            let comes = d.pending.contains(&wanted) || (wanted >= d.next && !d.ends);
            comes.then_some(d.next)
        });
        // From here on a beginning saves work.
        let from = at.unwrap_or(0);
        for sample in (from..=wanted).rev() {
            if self.samples.get(sample).is_some_and(|s| s.sync) && self.is_key(sample)? {
                return Ok((at != Some(sample)).then_some(sample));
            }
        }
        Ok(if at.is_some() { None } else { Some(0) })
    }

    fn is_key(&mut self, sample: usize) -> Result<bool> {
        Ok(self.load(sample)? && self.config.is_key(&self.bytes))
    }

    /// Reads a sample's bytes; false where the file does not have them.
    fn load(&mut self, sample: usize) -> Result<bool> {
        match self.samples.get(sample) {
            Some(s) if u64::from(s.size) <= MAX_SAMPLE => {
                self.source.read(s.offset, s.size.into(), &mut self.bytes)
            }
            _ => Ok(false),
        }
    }

    fn decode(&mut self, decoding: &mut Decoding, wanted: usize) -> Result<std::result::Result<(), String>> {
        loop {
            let next = decoding.next;
            // A sample that never becomes a picture is not waited for once many later ones have been decoded.
            while decoding.pending.len() > MAX_HELD && decoding.pending.first().is_some_and(|s| *s < wanted) {
                decoding.pending.pop_first();
            }
            let waiting = wanted >= next || decoding.pending.contains(&wanted);
            if !waiting || decoding.pending.len() > MAX_HELD {
                return Ok(Err("the decoder gives no picture for it".into()));
            }
            let mut out = None;
            if next < self.samples.len() && !decoding.ends {
                if !self.load(next)? {
                    // What was read before may still be waiting to come out.
                    if wanted >= next {
                        return Ok(Err("the file breaks off before its data".into()));
                    }
                    decoding.ends = true;
                    continue;
                }
                self.config.stream(&self.bytes, &mut self.stream);
                decoding.pending.insert(next);
                decoding.next += 1;
                match decoding.stream.decode(&self.stream, next) {
                    Ok(picture) => out = picture,
                    Err(_) if wanted < next => {
                        decoding.pending.remove(&next);
                        decoding.ends = true;
                    }
                    Err(reason) if wanted == next => return Ok(Err(reason)),
                    Err(reason) => {
                        let other = self.frame_of(next);
                        return Ok(Err(format!("it is decoded by way of {other}, and {reason}")));
                    }
                }
            } else {
                decoding.ends = true;
                out = match decoding.stream.rest() {
                    Ok(Some(picture)) => Some(picture),
                    Ok(None) => return Ok(Err("the decoder gives no picture for it".into())),
                    Err(reason) => return Ok(Err(reason)),
                };
            }
            let Some(picture) = out else { continue };
            decoding.pending.remove(&picture.sample);
            if picture.sample == wanted {
                let (width, height) = (picture.planes.width, picture.height);
                if (width, height) != self.size {
                    let (wide, high) = self.size;
                    let change = format!("it has {width} × {height} pixels, the clip {wide} × {high}");
                    return Ok(Err(change));
                }
                paint(picture, self.colour, self.grey, &mut self.frame.rgb);
                self.turn.apply(self.size, &mut self.frame.rgb, &mut self.spare);
                return Ok(Ok(()));
            }
        }
    }

    /// A sample by the frame that shows it.
    fn frame_of(&self, sample: usize) -> String {
        let shown = self.shown.iter().position(|s| s.sample == sample);
        shown.map_or("a frame that is not shown".into(), |index| format!("frame {index}"))
    }
}

fn paint(mut picture: Picture, colour: Colour, grey: bool, rgb: &mut Vec<u8>) {
    if grey {
        picture.planes.chroma = None;
    }
    rgb.resize(picture.planes.width * picture.height * 3, 0);
    colour.convert(&picture.planes, rgb);
}
