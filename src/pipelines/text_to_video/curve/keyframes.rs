//! Curves through given values.

use super::{Moment, TimeAxis, TimingCurve};
use crate::{Error, Result};

/// How a curve goes from one keyframe to the next. None of them leaves the range of the two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Each value holds until the next keyframe.
    Step,
    /// Straight lines.
    #[default]
    Linear,
    /// `3t² − 2t³`: level at the keyframes, steepest halfway.
    Smooth,
}

impl Interpolation {
    fn ease(self, t: f64) -> f64 {
        match self {
            Self::Step => 0.0,
            Self::Linear => t,
            Self::Smooth => t * t * (3.0 - 2.0 * t),
        }
    }
}

impl TimingCurve {
    /// Goes through `(time, value)` pairs in rising order; constant before the first and after the last.
    /// Pairs in latent frames are read at each latent frame, those in pixel frames or seconds at each pixel
    /// frame and averaged.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no pair, units are mixed, times do not rise strictly or lie outside the
    /// clip (whose last pixel frame is shown for `1 / fps`), or a value is outside `[0, 1]`.
    pub fn keyframes(axis: &TimeAxis, keys: &[(Moment, f32)], how: Interpolation) -> Result<Self> {
        check(axis, keys)?;
        let numbers: Vec<(f64, f64)> = keys.iter().map(|(at, v)| (at.number(), f64::from(*v))).collect();
        let at = |time: f64| interpolate(&numbers, time, how);
        match keys.first() {
            Some((Moment::Second(_), _)) => axis.average(|f| at(f as f64 / axis.fps)),
            Some((Moment::Frame(_), _)) => axis.average(|f| at(f as f64)),
            _ => Self::new((0..axis.latent_frames).map(|j| at(j as f64) as f32).collect()),
        }
    }
}

fn check(axis: &TimeAxis, keys: &[(Moment, f32)]) -> Result<()> {
    let refuse = |reason: String| Err(Error::input("keyframes", reason));
    let Some((first, _)) = keys.first() else { return refuse("there are none".into()) };
    // A key may stand where the last pixel frame stops to be shown, but not after it.
    let end = match first {
        Moment::Latent(_) => (axis.latent_frames - 1) as f64,
        Moment::Frame(_) => (axis.pixel_frames() - 1) as f64,
        Moment::Second(_) => axis.pixel_frames() as f64 / axis.fps,
    };
    for (at, value) in keys {
        if !at.same_unit(*first) {
            return refuse(format!("{at}={value} mixes frames and seconds with {first}"));
        }
        if !(0.0..=1.0).contains(value) {
            return refuse(format!("{at}={value}: the value must be in 0 ..= 1"));
        }
        if !(0.0..=end).contains(&at.number()) {
            return refuse(format!("{at}={value} lies outside the clip, 0 ..= {end}"));
        }
    }
    let unordered = |w: &&[(Moment, f32)]| matches!(w, [(a, _), (b, _)] if a.number() >= b.number());
    match keys.windows(2).find(unordered) {
        Some([(a, _), (b, _), ..]) => refuse(format!("time {b} does not come after {a}")),
        _ => Ok(()),
    }
}

fn interpolate(keys: &[(f64, f64)], time: f64, how: Interpolation) -> f64 {
    let next = keys.partition_point(|(t, _)| *t <= time);
    let (left, right) = (next.checked_sub(1).and_then(|i| keys.get(i)), keys.get(next));
    match (left, right) {
        (Some((t0, v0)), Some((t1, v1))) => {
            let t = how.ease((time - t0) / (t1 - t0));
            // Not v0 + (v1 - v0)·t, which can round past v1.
            v0 * (1.0 - t) + v1 * t
        }
        (Some((_, v)), None) | (None, Some((_, v))) => *v,
        (None, None) => 0.0,
    }
}
