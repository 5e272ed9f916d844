//! When something should be there: one value in `[0, 1]` per latent frame.
//!
//! Video models of this kind compress time: latent frame 0 is pixel frame 0, and latent frame `j` is
//! the pixel frames `stride*(j-1) + 1 ..= stride*j`. Curves given in pixel frames or seconds become
//! latent ones by averaging over those frames. In seconds, pixel frame `f` ends at `f / fps` and begins
//! where the one before ends, so that at 16 frames a second and stride 4 second `s` is exactly the latent
//! frames `4s + 1 ..= 4s + 4`.

mod parse;

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

    /// 0 before a latent frame, 1 from it on.
    ///
    /// # Errors
    /// [`Error::Input`] when the frame is past the last one.
    pub fn onset(frames: usize, start: usize) -> Result<Self> {
        Self::intervals(frames, std::slice::from_ref(&(start..frames)))
    }

    /// Straight lines between `(latent frame, value)` pairs in rising order; constant before the first
    /// and after the last.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no pair, times do not rise strictly, a time is not finite, or a
    /// value is outside `[0, 1]`.
    pub fn keyframes(frames: usize, keys: &[(f64, f32)]) -> Result<Self> {
        bounded(frames)?;
        check_keys(keys)?;
        Self::new((0..frames).map(|j| interpolate(keys, j as f64) as f32).collect())
    }

    /// 1 in the given intervals of seconds, 0 elsewhere; a latent frame that is covered in part gets its
    /// covered share. Frame 0 is the instant 0.
    ///
    /// # Errors
    /// [`Error::Input`] for an interval that is empty, starts before 0, or starts after the clip's end.
    pub fn seconds(axis: &TimeAxis, on: &[Range<f64>]) -> Result<Self> {
        let end = (axis.pixel_frames() - 1) as f64 / axis.fps;
        for Range { start, end: stop } in on {
            // Written so that NaN is refused too.
            if !(*start >= 0.0 && start < stop && *start <= end) {
                return Err(Error::input(
                    "timing curve",
                    format!("interval {start}s..{stop}s is empty or does not start within 0s..{end}s"),
                ));
            }
        }
        axis.average(|f| {
            let (from, to) = ((f as f64 - 1.0) / axis.fps, f as f64 / axis.fps);
            let share = |r: &Range<f64>| {
                if f == 0 {
                    f64::from(r.start <= 0.0)
                } else {
                    (r.end.min(to) - r.start.max(from)).max(0.0) * axis.fps
                }
            };
            // Overlapping intervals do not count twice beyond full; rounding must not exceed 1 either.
            on.iter().map(share).sum::<f64>().min(1.0)
        })
    }

    /// Straight lines between `(seconds, value)` pairs, averaged over each latent frame's pixel frames.
    /// Errors as [`keyframes`](Self::keyframes).
    pub fn keyframes_seconds(axis: &TimeAxis, keys: &[(f64, f32)]) -> Result<Self> {
        check_keys(keys)?;
        axis.average(|f| interpolate(keys, f as f64 / axis.fps))
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

fn check_keys(keys: &[(f64, f32)]) -> Result<()> {
    if keys.is_empty() {
        return Err(Error::input("keyframes", "there are none"));
    }
    if let Some((time, value)) =
        keys.iter().find(|(time, value)| !time.is_finite() || !(0.0..=1.0).contains(value))
    {
        return Err(Error::input(
            "keyframes",
            format!("{time}={value}: the time must be finite and the value in 0 ..= 1"),
        ));
    }
    match keys.windows(2).find(|w| matches!(w, [(a, _), (b, _)] if a >= b)) {
        Some([(a, _), (b, _), ..]) => {
            Err(Error::input("keyframes", format!("time {b} does not come after {a}")))
        }
        _ => Ok(()),
    }
}

fn interpolate(keys: &[(f64, f32)], time: f64) -> f64 {
    let next = keys.partition_point(|(t, _)| *t <= time);
    let (left, right) = (next.checked_sub(1).and_then(|i| keys.get(i)), keys.get(next));
    match (left, right) {
        (Some((t0, v0)), Some((t1, v1))) => {
            f64::from(*v0) + (f64::from(*v1) - f64::from(*v0)) * (time - t0) / (t1 - t0)
        }
        (Some((_, v)), None) | (None, Some((_, v))) => f64::from(*v),
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests;
