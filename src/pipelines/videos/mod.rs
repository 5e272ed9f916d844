//! Frames of video files, of GIFs and of folders of pictures (feature `video`).
//!
//! [`Video::open`] reads what a file says of its frames, and [`Video::frames`] decodes those that are asked for, one after the
//! other: memory does not grow with a clip's length. Frames are counted as they are shown, from 0: in the order of their times,
//! whatever the order in which they are stored.
//!
//! | what | by what | times |
//! |---|---|---|
//! | mp4 and mov (index first or last, fragmented) with H.264 | the library OpenH264, built in | the container's, edit lists applied |
//! | GIF | built in; transparent pixels over black | sums of delays; one of 0 or 1 hundredths counts as 100 ms, as in browsers |
//! | folder of png, jpeg, bmp, webp, gif; one such file | built in; transparent pixels over black, turned upright | [`VideoOptions::picture_rate`] |
//! | mkv, webm, avi, ts, flv and others; H.265, AV1, VP9 and other codings in mp4; H.264 that is interlaced, of more than 8 bits or of other chroma than 4:2:0 | ffmpeg and ffprobe on the PATH | ffprobe's, from the start of the file |
//!
//! Colours are converted by the stream's own description (matrix and range, in the H.264 stream or else the container); where
//! there is none, as BT.601 of limited range, whatever the size. Each value of chroma is used for its four pixels. That is what
//! ffmpeg does by default on x86-64, whose frames these equal but for single values that the two decoders of H.264 predict
//! differently. A turn of the picture that the container asks for is
//! done; the shape of pixels is left as it is, and a clip whose pixels are not square has the size of its samples.
//!
//! Damage: a frame whose data are missing or which the decoder refuses is an error when it is asked for, which names frame and
//! time; so are those stored behind it up to the next one at which decoding can begin. The others can be read. Bits that are wrong without being impossible
//! show in the picture and are not found.

mod animation;
mod boxes;
mod colour;
mod film;
mod fragments;
mod h264;
mod head;
mod open;
mod pictures;
mod program;
mod sps;
mod timeline;
mod track;
mod turn;
mod units;

use crate::{Error, Result};
use std::path::Path;

/// Pixels of a side at most.
const MAX_SIDE: usize = 16_384;

/// Pixels of a frame at most: 16 times those of 4K, 400 MB as RGB.
const MAX_PIXELS: usize = 1 << 27;

/// One picture of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row from the top, 0 to 255.
    pub rgb: Vec<u8>,
    /// When it is shown, in seconds.
    pub time: f64,
}

/// What is known of a clip before a frame is decoded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VideoInfo {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// When each frame is shown, in seconds, in the order of showing. The first one need not be 0.
    pub times: Vec<f64>,
    /// When the last frame ends, in seconds.
    pub duration: f64,
    /// Frames a second in the mean, from when the first one is shown to when the last one ends; 0 where that is no time.
    pub rate: f64,
    /// Damage that was passed over, in a reader's words. Empty for a file without fault.
    pub warnings: Vec<String>,
}

impl VideoInfo {
    fn new((width, height): (usize, usize), times: Vec<f64>, duration: f64) -> Self {
        let rate = times.len() as f64 / (duration - times.first().copied().unwrap_or(0.0));
        let rate = if rate.is_finite() && rate > 0.0 { rate } else { 0.0 };
        Self { width, height, times, duration, rate, warnings: Vec::new() }
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.times.len()
    }
}

/// How a clip is read.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoOptions {
    /// Frames a second of pictures in a folder, which state no times. 25 by default.
    pub picture_rate: f64,
}

impl Default for VideoOptions {
    fn default() -> Self {
        Self { picture_rate: 25.0 }
    }
}

/// A clip that is open.
pub struct Video {
    info: VideoInfo,
    reader: Reader,
}

enum Reader {
    Film(Box<film::Film>),
    Animation(Box<animation::Animation>),
    Pictures(pictures::Pictures),
    Program(Box<program::Program>),
}

impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Video").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Video {
    /// What is known of the clip.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Decodes the frames of some numbers, which ascend and may repeat, and gives each with its number to `each`. One frame
    /// is in memory at a time, besides those that the decoder refers to; who wants to keep it clones it.
    ///
    /// Of an mp4 or mov file decoding begins at the last frame before the wanted one at which it can, where that saves work.
    /// A GIF, and what ffmpeg reads, is decoded from its first frame on, and anew where an earlier frame than the last one is asked
    /// for. The program runs until the clip is dropped.
    ///
    /// # Errors
    /// [`Error::Input`] for a number past the end and for numbers that descend, before anything is decoded; [`Error::Io`]
    /// when the file cannot be read; [`Error::File`] naming the frame, when it cannot be decoded; those of `each`, at the
    /// first of which decoding ends.
    pub fn frames(
        &mut self,
        wanted: &[usize],
        each: &mut dyn FnMut(usize, &Frame) -> Result<()>,
    ) -> Result<()> {
        let count = self.info.frames();
        if let Some(past) = wanted.iter().find(|i| **i >= count) {
            let reason = format!(
                "frame {past} is past the end of a clip of {count} (0 to {})",
                count.saturating_sub(1)
            );
            return Err(Error::input("frames", reason));
        }
        if let Some((a, b)) = wanted.iter().zip(wanted.iter().skip(1)).find(|(a, b)| a > b) {
            return Err(Error::input("frames", format!("{b} comes after {a}, expected ascending numbers")));
        }
        // What decodes stays where it is: who asks for later frames next goes on from there.
        wanted.iter().try_for_each(|index| each(*index, self.reader.frame(*index)?))
    }
}

impl Reader {
    fn frame(&mut self, index: usize) -> Result<&Frame> {
        match self {
            Self::Film(film) => film.frame(index),
            Self::Animation(animation) => animation.frame(index),
            Self::Pictures(pictures) => pictures.frame(index),
            Self::Program(program) => program.frame(index),
        }
    }
}

/// Refuses a size without pixels, and one that no camera has.
fn check_size(path: &Path, (width, height): (usize, usize)) -> Result<()> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || width * height > MAX_PIXELS {
        let most = format!("at most {MAX_SIDE} on a side and {MAX_PIXELS} in all");
        return Err(Error::file(path, format!("{width} × {height} pixels, expected {most}")));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
