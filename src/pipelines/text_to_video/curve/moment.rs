//! Places in time as people give them, and the spans between two of them.

use std::fmt;

use super::TimeAxis;
use crate::{Error, Result};

/// A part of a pixel frame below which a time in seconds is taken for the moment at which a frame appears. Times with
/// three digits are off by half a millisecond at most, 0.03 frames at 60 frames a second.
const NEAR: f64 = 1.0 / 32.0;

/// A time in a clip, by the clock that the module's documentation states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// When a latent frame appears, counted from 0. Written `3`.
    Latent(usize),
    /// When a pixel frame appears, counted from 0. Written `12f`.
    Frame(usize),
    /// Seconds from the beginning of the clip. Written `1.5s`.
    Second(f64),
}

impl Moment {
    /// Reads `3` (latent frame), `12f` (pixel frame) or `1.5s` (seconds).
    ///
    /// # Errors
    /// [`Error::Input`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let parsed = match (text.strip_suffix('s'), text.strip_suffix('f')) {
            (Some(seconds), _) => {
                seconds.trim().parse().ok().filter(|s: &f64| s.is_finite()).map(Self::Second)
            }
            (None, Some(frame)) => frame.trim().parse().ok().map(Self::Frame),
            (None, None) => text.parse().ok().map(Self::Latent),
        };
        parsed.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            Error::input(
                format!("time \"{shown}\""),
                "neither a latent frame (3), a pixel frame (12f) nor seconds (1.5s)",
            )
        })
    }

    /// True when both count in the same unit.
    pub(super) fn same_unit(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// Its place in pixel frames, of which number `f` is on screen from `f` to `f + 1`; without regard to [`NEAR`].
    fn exact(self, axis: &TimeAxis) -> f64 {
        match self {
            Self::Latent(latent) => axis.pixels_of(latent).start as f64,
            Self::Frame(frame) => frame as f64,
            Self::Second(second) => second * axis.fps,
        }
    }

    /// Its place in pixel frames, whole where a frame appears.
    pub(super) fn place(self, axis: &TimeAxis) -> f64 {
        let exact = self.exact(axis);
        let whole = exact.round();
        if (exact - whole).abs() <= NEAR { whole } else { exact }
    }

    /// The end of the clip in the same unit.
    pub(super) fn end(self, axis: &TimeAxis) -> Self {
        match self {
            Self::Latent(_) => Self::Latent(axis.latent_frames),
            Self::Frame(_) => Self::Frame(axis.pixel_frames()),
            Self::Second(_) => Self::Second(axis.seconds()),
        }
    }

    /// The beginning of the clip in the same unit.
    pub(super) fn zero(self) -> Self {
        match self {
            Self::Latent(_) => Self::Latent(0),
            Self::Frame(_) => Self::Frame(0),
            Self::Second(_) => Self::Second(0.0),
        }
    }

    /// The number in its unit.
    pub(super) fn number(self) -> f64 {
        match self {
            Self::Latent(n) | Self::Frame(n) => n as f64,
            Self::Second(s) => s,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latent(n) => write!(f, "{n}"),
            Self::Frame(n) => write!(f, "{n}f"),
            Self::Second(s) => write!(f, "{s}s"),
        }
    }
}

/// A stretch of time at a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Its beginning.
    pub from: Moment,
    /// Its end, which does not belong to it.
    pub to: Moment,
    /// Value within it, 0..1.
    pub level: f32,
}

impl Span {
    /// A span at level 1.
    pub fn new(from: Moment, to: Moment) -> Self {
        Self { from, to, level: 1.0 }
    }

    /// Checks it and gives beginning and end as [`Moment::place`] does, and the level.
    pub(super) fn resolve(&self, axis: &TimeAxis) -> Result<(f64, f64, f64)> {
        let Self { from, to, level } = *self;
        let refuse =
            |reason: String| Err(Error::input("timing curve", format!("interval {from}..{to} {reason}")));
        if !from.same_unit(to) {
            return refuse("mixes frames and seconds".into());
        }
        if !(0.0..=1.0).contains(&level) {
            return refuse(format!("has level {level}, outside 0 ..= 1"));
        }
        // Written so that NaN is refused too.
        if !(from.number() >= 0.0) {
            return refuse("starts before the clip".into());
        }
        let (mut start, mut end) = (from.place(axis), to.place(axis));
        if !(start < axis.pixel_frames() as f64) {
            return refuse(format!("does not start within the clip, which ends at {}", from.end(axis)));
        }
        if !(from.number() < to.number()) {
            return refuse("is empty".into());
        }
        // In seconds it may go on after the clip.
        let seconds = matches!(to, Moment::Second(_));
        if !seconds && to.number() > to.end(axis).number() {
            return refuse(format!("is not within 0..{}", to.end(axis)));
        }
        if start == end {
            (start, end) = (from.exact(axis), to.exact(axis));
        }
        Ok((start, end, f64::from(level)))
    }
}
