//! When something should be there: one value in `[0, 1]` per latent frame.
//!
//! Video models of this kind compress time: latent frame 0 is pixel frame 0, and latent frame `j` is
//! the pixel frames `stride*(j-1) + 1 ..= stride*j`, so `n` latent frames are `1 + stride*(n-1)` pixel
//! frames. Curves given in pixel frames or seconds become latent ones by averaging over those frames. In
//! seconds, pixel frame `f` ends at `f / fps` and begins where the one before ends, so that at 16 frames
//! a second and stride 4 second `s` is exactly the latent frames `4s + 1 ..= 4s + 4`; frame 0 is the
//! instant 0.

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

    /// Seconds that a latent frame covers, after the first and up to the second of them; frame 0 is the
    /// instant 0.
    pub fn seconds_of(&self, latent: usize) -> (f64, f64) {
        let end = |j: usize| j.saturating_mul(self.stride) as f64 / self.fps;
        (end(latent.saturating_sub(1)), end(latent))
    }

    /// Pixel frames of a latent frame.
    fn pixels_of(&self, latent: usize) -> Range<usize> {
        if latent == 0 { 0..1 } else { self.stride * (latent - 1) + 1..self.stride * latent + 1 }
    }

    /// Mean of a per-pixel-frame value over each latent frame.
    fn average(&self, value: impl Fn(usize) -> f64) -> Result<TimingCurve> {
        let mean = |j: usize| {
            let pixels = self.pixels_of(j);
            let count = pixels.len() as f64;
            (pixels.map(&value).sum::<f64>() / count) as f32
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

    /// The level of each span inside it, 0 elsewhere; a latent frame that is covered in part gets its covered
    /// share. Where spans overlap their levels add up, to 1 at most.
    ///
    /// # Errors
    /// [`Error::Input`] for a level outside `[0, 1]` and for a span that is empty, mixes units, starts after
    /// the clip, or is given in frames that the clip does not have. In seconds it may end after the clip.
    pub fn spans(axis: &TimeAxis, on: &[Span]) -> Result<Self> {
        let on: Vec<(f64, f64, f64)> = on.iter().map(|span| span.resolve(axis)).collect::<Result<_>>()?;
        // In units of pixel frames, of which number `f` is what lies after `f - 1` and up to `f`.
        axis.average(|f| {
            let to = f as f64;
            let share = |(start, end, level): &(f64, f64, f64)| {
                level * (end.min(to) - start.max(to - 1.0)).clamp(0.0, 1.0)
            };
            // Rounding must not exceed 1 either.
            on.iter().map(share).sum::<f64>().min(1.0)
        })
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
        axis.average(|f| checked.values.get(f).copied().map_or(0.0, f64::from))
    }

    /// Averages a curve sampled `rate` times a second from time `start` (seconds in the clip) on, such as
    /// an audio envelope: linear between samples, constant before and after.
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
        axis.average(|f| {
            let position = ((f as f64 / axis.fps - start) * rate).clamp(0.0, last as f64);
            let (left, part) = (position.floor(), position.fract());
            sample(left as usize) * (1.0 - part) + sample(left as usize + 1) * part
        })
    }

    /// Values, one per latent frame.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Number of latent frames.
    pub fn frames(&self) -> usize {
        self.values.len()
    }

    /// True when every frame has the same value: correlation with such a curve is undefined.
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
mod properties;
#[cfg(test)]
mod tests;
