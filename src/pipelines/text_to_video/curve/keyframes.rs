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
    /// Goes through `(time, value)` pairs in rising order; constant before the first and after the last. Steps give a
    /// pixel frame each value's share of its time on screen, the others are read when it appears.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no pair, units are mixed, times do not rise strictly or lie outside the
    /// clip, at whose end a key may stand, or a value is outside `[0, 1]`.
    pub fn keyframes(axis: &TimeAxis, keys: &[(Moment, f32)], how: Interpolation) -> Result<Self> {
        check(axis, keys)?;
        let places: Vec<(f64, f64)> =
            keys.iter().map(|(at, value)| (at.place(axis), f64::from(*value))).collect();
        if how == Interpolation::Step {
            // Each value from its key up to the next one; the first from the beginning.
            let begins = [0.0].into_iter().chain(places.iter().skip(1).map(|(at, _)| *at));
            let ends = places.iter().skip(1).map(|(at, _)| *at).chain([f64::INFINITY]);
            let held = begins.zip(ends).zip(&places).map(|((from, to), (_, value))| (from, to, *value));
            return axis.average(&axis.cover(held));
        }
        let read = |frame: usize| interpolate(&places, frame as f64, how);
        axis.average(&(0..axis.pixel_frames()).map(read).collect::<Vec<_>>())
    }
}

fn check(axis: &TimeAxis, keys: &[(Moment, f32)]) -> Result<()> {
    let refuse = |reason: String| Err(Error::input("keyframes", reason));
    let Some((first, _)) = keys.first() else { return refuse("there are none".into()) };
    let end = axis.pixel_frames() as f64;
    for (at, value) in keys {
        if !at.same_unit(*first) {
            return refuse(format!("{at}={value} mixes frames and seconds with {first}"));
        }
        if !(0.0..=1.0).contains(value) {
            return refuse(format!("{at}={value}: the value must be in 0 ..= 1"));
        }
        if !(at.number() >= 0.0 && at.place(axis) <= end) {
            return refuse(format!("{at}={value} lies outside the clip, 0 ..= {}", at.end(axis)));
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
