//! Which frames of a clip the model sees, and when each was filmed.

use crate::{Error, Result};

/// What is known of a clip before a frame is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClipInfo {
    /// Frames in the file.
    pub frames: usize,
    /// Frames a second, on average.
    pub fps: f64,
    /// First second that is looked at; `None` from the start.
    pub start: Option<f64>,
    /// Last second; `None` to the end.
    pub end: Option<f64>,
}

/// Whose choice of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FrameRule {
    /// qwen-vl-utils 0.0.14: spread from the first frame to the last, each rounded to the nearest.
    #[default]
    Utils,
    /// transformers 4.57.1 and 5.23.0, `sample_frames`: steps of equal length from the first frame on,
    /// rounded down; the end of the last step is not reached.
    Transformers,
}

/// How many frames.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FrameSampling {
    /// Frames a second that are wanted.
    pub fps: f64,
    /// At least so many, where the clip has them.
    pub min_frames: usize,
    /// At most so many.
    pub max_frames: usize,
    /// The number is a multiple of this, the frames of a patch.
    pub multiple: usize,
    /// Whose choice.
    pub rule: FrameRule,
}

impl Default for FrameSampling {
    /// 2 frames a second, 4 to 768, even, as the published model's preparation has it.
    fn default() -> Self {
        Self { fps: 2.0, min_frames: 4, max_frames: 768, multiple: 2, rule: FrameRule::default() }
    }
}

/// Frames that were picked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SampledFrames {
    /// Their numbers in the file, from 0.
    pub indices: Vec<usize>,
    /// Seconds from the file's start to each.
    pub times: Vec<f64>,
    /// Frames a second after picking: frames picked by seconds looked at. Not always what was asked for.
    pub sample_fps: f64,
    multiple: usize,
}

impl SampledFrames {
    /// Seconds from one temporal step to the next, which positions are computed from.
    pub fn second_per_grid(&self) -> f32 {
        (self.multiple as f64 / self.sample_fps) as f32
    }

    /// Seconds to the middle of each temporal step, for times stated as text: halfway from its first frame to
    /// its last (Qwen3-VL, transformers 4.57).
    pub fn step_times(&self) -> Vec<f64> {
        step_middles(&self.times, self.multiple)
    }
}

/// The middle of every so many times, from the first of them to the last.
pub(crate) fn step_middles(times: &[f64], of_step: usize) -> Vec<f64> {
    let middle = |step: &[f64]| match step {
        [first, .., last] => (first + last) / 2.0,
        [only] => *only,
        [] => 0.0,
    };
    times.chunks(of_step.max(1)).map(middle).collect()
}

/// Most frames of a file: two days at 60 a second.
const MAX_FRAMES: usize = 1 << 24;

/// Picks frames.
///
/// A clip shorter than one step of `multiple` frames is taken whole, and its last frame repeated where rows
/// are made; both programs refuse such a clip.
///
/// # Errors
/// [`Error::Input`] for a clip without frames, rates that are not positive, limits that leave no number of
/// frames, and a range of time without two frames.
pub fn sample(clip: &ClipInfo, sampling: &FrameSampling) -> Result<SampledFrames> {
    let FrameSampling { fps, min_frames, max_frames, multiple, rule } = *sampling;
    if !(1..=MAX_FRAMES).contains(&clip.frames) {
        let reason = format!("expected 1 ..= {MAX_FRAMES} frames in the clip, found {}", clip.frames);
        return Err(Error::input("frames", reason));
    }
    for (what, rate) in [("clip's fps", clip.fps), ("fps", fps)] {
        if !(rate > 0.0 && rate <= 1e6) {
            return Err(Error::input(what, format!("expected a number in (0, 1e6], found {rate}")));
        }
    }
    if !(1..=64).contains(&multiple) {
        return Err(Error::input("multiple", format!("expected 1 ..= 64, found {multiple}")));
    }
    if min_frames > max_frames || max_frames < multiple || max_frames > MAX_FRAMES {
        let reason = format!(
            "expected {multiple} ..= {MAX_FRAMES} with min_frames {min_frames} below, found {max_frames}"
        );
        return Err(Error::input("max_frames", reason));
    }
    let (first, last) = range(clip)?;
    let total = last - first + 1;
    let count = if total < multiple {
        total
    } else {
        let most = max_frames.min(total) / multiple * multiple;
        let least = match rule {
            FrameRule::Utils => min_frames.div_ceil(multiple) * multiple,
            FrameRule::Transformers => min_frames,
        };
        let wanted = total as f64 / clip.fps * fps;
        // `most` is a whole number of steps, so this has at least one of them only where `least` or the rate
        // asks.
        let count = wanted.max(least as f64).min(most as f64) as usize / multiple * multiple;
        if count == 0 {
            let reason = format!("expected enough for {multiple} frames, found {fps} over {total} frames");
            return Err(Error::input("fps", reason));
        }
        count
    };
    let indices: Vec<usize> = match rule {
        FrameRule::Utils => spread(first, last, count),
        FrameRule::Transformers => steps(first, total, count),
    };
    Ok(SampledFrames {
        times: indices.iter().map(|i| *i as f64 / clip.fps).collect(),
        indices,
        sample_fps: count as f64 / total as f64 * clip.fps,
        multiple,
    })
}

/// First and last frame within the seconds looked at: those that start in them.
fn range(clip: &ClipInfo) -> Result<(usize, usize)> {
    let end_of_file = clip.frames as f64 / clip.fps;
    let frame = |what, seconds: f64| {
        if seconds.is_finite() {
            Ok(seconds.clamp(0.0, end_of_file) * clip.fps)
        } else {
            Err(Error::input(what, format!("expected a finite number of seconds, found {seconds}")))
        }
    };
    let first = clip.start.map_or(Ok(0), |s| frame("start", s).map(|f| f.ceil() as usize))?;
    let last = clip.end.map_or(Ok(clip.frames - 1), |s| frame("end", s).map(|f| f.floor() as usize))?;
    let last = last.min(clip.frames - 1);
    if (clip.start.is_some() || clip.end.is_some()) && first >= last {
        let reason = format!("expected two frames of {} or more, found {first} ..= {last}", clip.frames);
        return Err(Error::input("start and end", reason));
    }
    Ok((first, last))
}

/// `count` frames, each the first of an equal share of `total`: by torch's `arange`, whose f32 rounds every
/// eighth place before it adds up, behind the last whole sixteen every place. Where `total` divided by the
/// step is a little above `count`, torch gives one index more, which is behind the clip's end; it is left
/// out.
fn steps(first: usize, total: usize, count: usize) -> Vec<usize> {
    let step = total as f64 / count.max(1) as f64;
    let places = (total as f64 / step).ceil() as usize;
    let place = |i: usize| {
        let base = if i < places / 16 * 16 { i / 8 * 8 } else { i };
        (f64::from((base as f64 * step) as f32) + (i - base) as f64 * step) as f32
    };
    (0..count).map(|i| first + (place(i) as usize).min(total - 1)).collect()
}

/// `count` frames from `first` to `last`: f32 from both ends towards the middle, a product and a sum rounded
/// at once, and halves to the even neighbour, as torch's `linspace` and `round` do on CPUs with AVX2; each
/// decides about single frames.
fn spread(first: usize, last: usize, count: usize) -> Vec<usize> {
    let (start, end) = (first as f32, last as f32);
    let step = (end - start) / count.saturating_sub(1).max(1) as f32;
    let place = |i: usize| {
        if i < count / 2 || count == 1 {
            step.mul_add(i as f32, start)
        } else {
            (-step).mul_add((count - i - 1) as f32, end)
        }
    };
    (0..count).map(|i| (place(i).round_ties_even() as usize).clamp(first, last)).collect()
}

#[cfg(test)]
mod tests;
