//! Frames of a GIF.

use super::{Frame, VideoInfo};
use crate::{Error, Result};
use gif::{ColorOutput, DecodeOptions, Decoder, DisposalMethod, MemoryLimit};
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

/// Seconds for which a frame is shown whose delay is 0 or 1 hundredths, as browsers have it.
const DEFAULT_DELAY: f64 = 0.1;

/// A GIF, read from its beginning on.
pub(super) struct Animation {
    path: PathBuf,
    size: (usize, usize),
    times: Vec<f64>,
    decoder: Option<Decoder<BufReader<File>>>,
    /// The frame that is decoded next.
    next: usize,
    frame: Frame,
    /// What lay below the last frame, where it is to come back.
    below: Vec<u8>,
    /// Left, top, width and height of the last frame, and what is done to it before the next one.
    last: Option<([usize; 4], DisposalMethod)>,
}

fn decoder(path: &Path, skip: bool) -> Result<Decoder<BufReader<File>>> {
    let mut options = DecodeOptions::new();
    options.set_color_output(if skip { ColorOutput::Indexed } else { ColorOutput::RGBA });
    options.skip_frame_decoding(skip);
    if let Some(most) = NonZeroU64::new(4 * super::MAX_PIXELS as u64) {
        options.set_memory_limit(MemoryLimit::Bytes(most));
    }
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    options.read_info(BufReader::new(file)).map_err(|e| Error::file(path, format!("as a GIF: {e}")))
}

impl Animation {
    pub(super) fn open(path: &Path) -> Result<(Self, VideoInfo)> {
        let mut reader = decoder(path, true)?;
        let size = (usize::from(reader.width()), usize::from(reader.height()));
        super::check_size(path, size)?;
        let (mut times, mut warnings, mut end) = (Vec::new(), Vec::new(), 0.0);
        loop {
            match reader.next_frame_info() {
                Ok(Some(frame)) => {
                    times.push(end);
                    end += if frame.delay < 2 { DEFAULT_DELAY } else { f64::from(frame.delay) / 100.0 };
                }
                Ok(None) => break,
                // What came before is shown.
                Err(error) if !times.is_empty() => {
                    warnings.push(format!("it breaks off after {} frames: {error}", times.len()));
                    break;
                }
                Err(error) => return Err(Error::file(path, format!("as a GIF: {error}"))),
            }
            if times.len() > super::track::MAX_FRAMES {
                return Err(Error::file(path, "it has too many frames"));
            }
        }
        if times.is_empty() {
            return Err(Error::file(path, "a GIF without frames"));
        }
        let info = VideoInfo { warnings, ..VideoInfo::new(size, times.clone(), end) };
        let frame = Frame { width: size.0, height: size.1, rgb: Vec::new(), time: 0.0 };
        let path = path.to_owned();
        let made = Self { path, size, times, decoder: None, next: 0, frame, below: Vec::new(), last: None };
        Ok((made, info))
    }

    /// A frame by its number.
    pub(super) fn frame(&mut self, index: usize) -> Result<&Frame> {
        if self.next > index + 1 {
            self.decoder = None;
        }
        let mut reader = match self.decoder.take() {
            Some(reader) => reader,
            None => {
                (self.next, self.last) = (0, None);
                self.frame.rgb.clear();
                self.frame.rgb.resize(self.size.0 * self.size.1 * 3, 0);
                decoder(&self.path, false)?
            }
        };
        while self.next <= index {
            self.draw(&mut reader).map_err(|reason| {
                let time = self.times.get(self.next).copied().unwrap_or(0.0);
                Error::file(&self.path, format!("frame {} (at {time:.2} s): {reason}", self.next))
            })?;
            self.next += 1;
        }
        self.decoder = Some(reader);
        self.frame.time = self.times.get(index).copied().unwrap_or(0.0);
        Ok(&self.frame)
    }

    /// Draws the next frame over the last one.
    fn draw(&mut self, reader: &mut Decoder<BufReader<File>>) -> std::result::Result<(), String> {
        match self.last.take() {
            Some((area, DisposalMethod::Background)) => {
                self.rows(area, |_, pixels| pixels.fill(0));
            }
            Some((_, DisposalMethod::Previous)) => self.frame.rgb.clone_from(&self.below),
            _ => {}
        }
        let frame = reader.read_next_frame().map_err(|e| e.to_string())?;
        let frame = frame.ok_or("it is missing")?;
        let area = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
        if frame.dispose == DisposalMethod::Previous {
            self.below.clone_from(&self.frame.rgb);
        }
        self.last = Some((area, frame.dispose));
        let stride = (area[2] * 4).max(1);
        self.rows(area, |row, pixels| {
            let source = frame.buffer.get(row * stride..).unwrap_or_default();
            for (pixel, from) in pixels.chunks_exact_mut(3).zip(source.chunks_exact(4)) {
                if let [red, green, blue, 1..=255] = from {
                    pixel.copy_from_slice(&[*red, *green, *blue]);
                }
            }
        });
        Ok(())
    }

    /// The pixels of an area, as far as it lies on the picture, row by row.
    fn rows(&mut self, [left, top, width, height]: [usize; 4], mut each: impl FnMut(usize, &mut [u8])) {
        let (wide, _) = self.size;
        let (from, to) = (left.min(wide), (left + width).min(wide));
        for (row, pixels) in self.frame.rgb.chunks_exact_mut(wide * 3).skip(top).take(height).enumerate() {
            if let Some(part) = pixels.get_mut(from * 3..to * 3) {
                each(row, part);
            }
        }
    }
}
