//! From a path to a video.

use super::animation::Animation;
use super::film::{Film, Opened};
use super::head::head;
use super::pictures::Pictures;
use super::program::{PROGRAMS, Program};
use super::{Reader, Video, VideoOptions};
use crate::{Error, Result};
use std::path::Path;

impl Video {
    /// Opens a file or a folder with the default options: [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &VideoOptions::default())
    }

    /// Opens an mp4 or mov file, a GIF, a folder of pictures, or a picture as a clip of one frame. What a file is its bytes
    /// tell, not its name. Nothing of a file is kept in memory but its index.
    ///
    /// In a folder the files count that end in png, jpg, jpeg, bmp, webp or gif, in the natural order of their names (9
    /// before 10) and without those that begin with a dot. Of an animated one the first frame is taken.
    ///
    /// H.264 of 8 bits with chroma 4:2:0, not interlaced, is decoded by the library itself; everything else by the programs
    /// ffmpeg and ffprobe, where both are on the PATH. With these, opening takes as long as decoding the file once: its
    /// frames are counted so.
    ///
    /// # Errors
    /// [`Error::Io`] when something cannot be read; [`Error::File`] for what is neither a regular file nor a folder, for an
    /// empty one, for a file in none of the formats or in one that asks for ffmpeg where that is not installed (the reason
    /// names the coding and says what to do), for one that is damaged or breaks off in front of its first frame, for a clip
    /// without frames, for pictures of different sizes in one folder, and for a side of more than 16384 pixels;
    /// [`Error::Input`] for a rate that is not above 0.
    pub fn open_with(path: impl AsRef<Path>, options: &VideoOptions) -> Result<Self> {
        let path = path.as_ref();
        let rate = options.picture_rate;
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::input(
                "picture_rate",
                format!("{rate} frames a second, expected more than 0"),
            ));
        }
        let kind = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if kind.is_dir() {
            let (pictures, info) = Pictures::folder(path, rate)?;
            return Ok(Self { info, reader: Reader::Pictures(pictures) });
        }
        // A device would never end and a pipe never begin.
        if !kind.is_file() {
            return Err(Error::file(path, "neither a regular file nor a folder"));
        }
        let head = head(path)?;
        if head.is_empty() {
            return Err(Error::file(path, "it is empty"));
        }
        if head.starts_with(b"GIF8") {
            let (animation, info) = Animation::open(path)?;
            return Ok(Self { info, reader: Reader::Animation(Box::new(animation)) });
        }
        if is_movie(&head) {
            let foreign = match Film::open(path)? {
                (Opened::Film(film), Some(info)) => return Ok(Self { info, reader: Reader::Film(film) }),
                (Opened::Foreign(reason), _) => reason,
                (Opened::Film(_), None) => "a film without a description".into(),
            };
            return program(path, &foreign);
        }
        if image::guess_format(&head).is_ok() {
            let (pictures, info) = Pictures::of(vec![path.to_owned()], rate)?;
            return Ok(Self { info, reader: Reader::Pictures(pictures) });
        }
        match container(&head) {
            Some(name) => program(path, name),
            None => Err(Error::file(
                path,
                "neither a video nor a picture that is known: mp4, mov, GIF, png, jpeg, bmp and webp are, and mkv, webm, avi, \
                 flv, ts and others by way of ffmpeg",
            )),
        }
    }
}

fn program(path: &Path, what: &str) -> Result<Video> {
    let (program, info) = Program::open(path, what, PROGRAMS)?;
    Ok(Video { info, reader: Reader::Program(Box::new(program)) })
}

/// Begins with a box that a file of the ISO base media file format or of QuickTime begins with.
fn is_movie(head: &[u8]) -> bool {
    let kinds: [&[u8]; 9] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot", b"uuid"];
    head.get(4..8).is_some_and(|kind| kinds.contains(&kind))
}

/// The container that a file begins like, of those that only ffmpeg reads.
fn container(head: &[u8]) -> Option<&'static str> {
    let at = |place: usize, bytes: &[u8]| head.get(place..).is_some_and(|rest| rest.starts_with(bytes));
    let known: [(usize, &[u8], &'static str); 9] = [
        (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
        (8, b"AVI ", "an AVI file"),
        (0, b"FLV", "a Flash video file"),
        (0, b"OggS", "an Ogg file"),
        (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
        (0, b"\0\0\x01\xba", "an MPEG program stream"),
        (0, b"DKIF", "an IVF file"),
        (0, b"\x06\x0e\x2b\x34", "an MXF file"),
        (0, b"nut/multimedia container", "a NUT file"),
    ];
    let found = known.iter().find(|(place, bytes, _)| at(*place, bytes)).map(|(_, _, name)| *name);
    // Packets of 188 bytes, or of 192 with a time before each.
    let packets = [(0, 188), (4, 192)].iter().any(|(first, size)| at(*first, b"G") && at(first + size, b"G"));
    found.or(packets.then_some("an MPEG transport stream"))
}
