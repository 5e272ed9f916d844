//! When something should be there: one value in `[0, 1]` per latent frame.
//!
//! *The clock.* All times of curves, presets, keyframes and sounds are read by it.
//!
//! - Pixel frame `p` is on screen from `p / fps` to `(p + 1) / fps` seconds; a clip of `n` pixel frames plays `n / fps`.
//! - Video models of this kind compress time: latent frame 0 is pixel frame 0 alone, latent frame `j` the pixel frames
//!   `stride·(j − 1) + 1 ..= stride·j`. Behind Wan's VAE `stride` is 4; without a VAE it is 1, and latent frames are
//!   pixel frames.
//! - A [`Moment`] in latent frames, pixel frames or seconds is a time on that screen: a frame's moment is when it
//!   appears, and the moment behind the last frame is the end of the clip. With `stride` 4 at 16 frames a second `3`,
//!   `9f` and `0.5625s` are the same moment.
//! - A pixel frame's value is the mean of the wish while it is on screen: what goes on and off at once (intervals,
//!   onsets, offsets, windows, pulses, step keyframes) gives it the share of its time. A line or a smooth curve between
//!   keyframes does not move while a frame stands still: it is read when the frame appears.
//! - A latent frame's value is the mean over its pixel frames.
//! - A time in seconds within a 32nd of a frame of the moment at which a frame appears is that moment: tenths of a
//!   second at 30 frames a second, and times rounded to milliseconds at rates up to 60, fall on frames. Only a stretch
//!   that would vanish by it is left as it is.
//!
//! On 21 latent frames of stride 4 at 16 frames a second, 81 pixel frames or 5.0625 s:
//!
//! | latent frame | pixel frames | on screen |
//! |---|---|---|
//! | 0 | 0 | 0 s to 0.0625 s |
//! | 1 | 1 to 4 | 0.0625 s to 0.3125 s |
//! | 2 | 5 to 8 | 0.3125 s to 0.5625 s |
//! | 20 | 77 to 80 | 4.8125 s to 5.0625 s |

mod chart;
mod keyframes;
mod moment;
mod parse;
mod presets;

pub use chart::chart;
pub use keyframes::Interpolation;
pub use moment::{Moment, Span};

use std::ops::Range;

use crate::{Error, Result};

/// Most frames, latent or pixel: bounds what a number in a specification can make this module allocate.
const MAX_FRAMES: usize = 1 << 20;

/// How latent frames lie in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeAxis {
    latent_frames: usize,
    stride: usize,
    fps: f64,
}

impl TimeAxis {
    /// `stride` pixel frames to a latent frame (4 for Wan; 1 for none), `fps` pixel frames a second.
    ///
    /// # Errors
    /// [`Error::Input`] for zero frames or stride, more than 2^20 pixel frames, or a rate that is not
    /// positive and finite.
    pub fn new(latent_frames: usize, stride: usize, fps: f64) -> Result<Self> {
        if latent_frames == 0 || stride == 0 || latent_frames.saturating_mul(stride) > MAX_FRAMES {
            return Err(Error::input(
                "time axis",
                format!(
                    "{latent_frames} latent frames of stride {stride}: expected 1 ..= {MAX_FRAMES} pixel frames"
                ),
            ));
        }
        if !(fps > 0.0 && fps.is_finite()) {
            return Err(Error::input("fps", format!("expected a positive number, found {fps}")));
        }
        Ok(Self { latent_frames, stride, fps })
    }

    /// Number of latent frames.
    pub fn latent_frames(&self) -> usize {
        self.latent_frames
    }

    /// Number of pixel frames: `(latent_frames - 1) * stride + 1`.
    pub fn pixel_frames(&self) -> usize {
        (self.latent_frames - 1) * self.stride + 1
    }

    /// Pixel frames a second.
    pub fn fps(&self) -> f64 {
        self.fps
    }

    /// Seconds that the clip plays: `pixel_frames / fps`.
    pub fn seconds(&self) -> f64 {
        self.pixel_frames() as f64 / self.fps
    }

    /// Pixel frames of a latent frame: 0 of the first, `stride` of each other.
    pub fn pixels_of(&self, latent: usize) -> Range<usize> {
        let end = |latent: usize| latent.saturating_mul(self.stride).saturating_add(1);
        latent.checked_sub(1).map_or(0, end)..end(latent)
    }

    /// Seconds at which a latent frame's first pixel frame appears and its last one is gone.
    pub fn seconds_of(&self, latent: usize) -> (f64, f64) {
        let pixels = self.pixels_of(latent);
        (pixels.start as f64 / self.fps, pixels.end as f64 / self.fps)
    }

    /// One value per pixel frame: the levels of stretches of time, each by its share of the frame's time on screen, added up
    /// to 1 at most. Beginnings and ends count in pixel frames.
    fn cover(&self, stretches: impl IntoIterator<Item = (f64, f64, f64)>) -> Vec<f64> {
        let mut pixels = vec![0.0; self.pixel_frames()];
        for (start, end, level) in stretches {
            let first = start.max(0.0).floor() as usize;
            let touched = pixels.iter_mut().enumerate().skip(first);
            for (frame, value) in touched.take_while(|(frame, _)| (*frame as f64) < end) {
                let frame = frame as f64;
                *value += level * (end.min(frame + 1.0) - start.max(frame)).clamp(0.0, 1.0);
            }
        }
        // Rounding must not exceed 1 either.
        pixels.iter_mut().for_each(|value| *value = value.min(1.0));
        pixels
    }

    /// Mean of one value per pixel frame over each latent frame.
    fn average(&self, pixels: &[f64]) -> Result<TimingCurve> {
        let mean = |latent: usize| {
            let of = pixels.get(self.pixels_of(latent)).unwrap_or_default();
            (of.iter().sum::<f64>() / of.len().max(1) as f64) as f32
        };
        TimingCurve::new((0..self.latent_frames).map(mean).collect())
    }
}

/// Values in `[0, 1]`, one per latent frame: 1 where a word should be seen, 0 where it should not.
#[derive(Debug, Clone, PartialEq)]
pub struct TimingCurve {
    values: Vec<f32>,
}

impl TimingCurve {
    /// Takes one value per latent frame.
    ///
    /// # Errors
    /// [`Error::Input`] when there is none or one is outside `[0, 1]` or NaN, with its place.
    pub fn new(values: Vec<f32>) -> Result<Self> {
        if values.is_empty() || values.len() > MAX_FRAMES {
            return Err(Error::input(
                "timing curve",
                format!("{} values; expected 1 ..= {MAX_FRAMES}", values.len()),
            ));
        }
        if let Some(at) = values.iter().position(|v| !(0.0..=1.0).contains(v)) {
            let value = values.get(at).copied().unwrap_or_default();
            return Err(Error::input("timing curve", format!("frame {at} is {value}, outside 0 ..= 1")));
        }
        Ok(Self { values })
    }

    /// The same value everywhere.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn constant(frames: usize, value: f32) -> Result<Self> {
        bounded(frames)?;
        Self::new(vec![value; frames])
    }

    /// 1 in the given ranges of latent frames, 0 elsewhere. Ranges may touch and overlap.
    ///
    /// # Errors
    /// [`Error::Input`] for zero frames and for a range that is empty or ends past the last frame.
    pub fn intervals(frames: usize, on: &[Range<usize>]) -> Result<Self> {
        bounded(frames)?;
        let mut values = vec![0.0; frames];
        for range in on {
            match values.get_mut(range.clone()) {
                Some(part) if !part.is_empty() => part.fill(1.0),
                _ => {
                    return Err(Error::input(
                        "timing curve",
                        format!("interval {}..{} is empty or not within 0..{frames}", range.start, range.end),
                    ));
                }
            }
        }
        Self::new(values)
    }

    /// The level of each span inside it, 0 elsewhere; a frame that is covered in part gets its covered share.
    /// Where spans overlap their levels add up, to 1 at most.
    ///
    /// # Errors
    /// [`Error::Input`] for a level outside `[0, 1]` and for a span that is empty, mixes units, starts after
    /// the clip, or is given in frames that the clip does not have. In seconds it may end after the clip.
    pub fn spans(axis: &TimeAxis, on: &[Span]) -> Result<Self> {
        let on: Vec<(f64, f64, f64)> = on.iter().map(|span| span.resolve(axis)).collect::<Result<_>>()?;
        axis.average(&axis.cover(on))
    }

    /// Averages one value per pixel frame to latent frames.
    ///
    /// # Errors
    /// [`Error::Input`] unless there is one value per pixel frame, each in `[0, 1]`.
    pub fn from_pixel_frames(axis: &TimeAxis, values: &[f32]) -> Result<Self> {
        if values.len() != axis.pixel_frames() {
            return Err(Error::input(
                "timing curve",
                format!(
                    "expected {} values, one per pixel frame, found {}",
                    axis.pixel_frames(),
                    values.len()
                ),
            ));
        }
        // The values themselves are checked: a mean could hide one that is out of range.
        let checked = Self::new(values.to_vec())?;
        axis.average(&checked.values.iter().copied().map(f64::from).collect::<Vec<_>>())
    }

    /// Averages a curve sampled `rate` times a second from time `start` (seconds in the clip) on, such as
    /// an audio envelope: linear between samples, constant before and after, and read where each pixel frame appears.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty curve, a rate that is not positive, or a value outside `[0, 1]`.
    pub fn from_samples(axis: &TimeAxis, samples: &[f32], rate: f64, start: f64) -> Result<Self> {
        if !(rate > 0.0 && rate.is_finite() && start.is_finite()) {
            return Err(Error::input(
                "timing curve",
                format!("sample rate {rate} must be positive and start {start} finite"),
            ));
        }
        let checked = Self::new(samples.to_vec())?;
        let last = checked.values.len() - 1;
        let sample = |i: usize| checked.values.get(i.min(last)).copied().map_or(0.0, f64::from);
        let at = |frame: usize| {
            let position = ((frame as f64 / axis.fps - start) * rate).clamp(0.0, last as f64);
            let (left, part) = (position.floor(), position.fract());
            sample(left as usize) * (1.0 - part) + sample(left as usize + 1) * part
        };
        axis.average(&(0..axis.pixel_frames()).map(at).collect::<Vec<_>>())
    }

    /// Values, one per latent frame.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of latent frames.
    pub fn frames(&self) -> usize {
        self.values.len()
    }

    /// True when every frame has the same value, as of a word that is held or hidden throughout: correlation with such
    /// a curve is undefined.
    pub fn is_constant(&self) -> bool {
        self.values.iter().all(|v| Some(v) == self.values.first())
    }

    /// Fails unless the curve has this many latent frames.
    ///
    /// # Errors
    /// [`Error::Input`] with both numbers.
    pub fn require_frames(&self, expected: usize) -> Result<()> {
        if self.frames() == expected {
            return Ok(());
        }
        Err(Error::input(
            "timing curve",
            format!("expected {expected} values, one per latent frame, found {}", self.frames()),
        ))
    }
}

fn bounded(frames: usize) -> Result<()> {
    if (1..=MAX_FRAMES).contains(&frames) {
        Ok(())
    } else {
        Err(Error::input("latent frames", format!("expected 1 ..= {MAX_FRAMES}, found {frames}")))
    }
}

#[cfg(test)]
mod tests;
