//! The one-line form of a curve, as typed on a command line.

use std::ops::Range;

use super::{TimeAxis, TimingCurve};
use crate::{Error, Result};

/// Shown with every refusal.
const FORMS: &str = "expected values \"0,0,0.5,1\", intervals \"3..8\", \"3..=7\" or \"1.5s..3s\", \"onset:3\" or \"onset:1.5s\", \
                     \"keys:0=0,5=1\" or \"keys:0s=0,2.5s=1\", or \"on\"";

/// A place in time: a latent frame or a second.
#[derive(Clone, Copy)]
enum Time {
    Frame(usize),
    Second(f64),
}

impl TimingCurve {
    /// Parses the one-line form of a curve. Plain numbers are latent frames, counted from 0; numbers
    /// with an `s` are seconds.
    ///
    /// | form | meaning |
    /// |---|---|
    /// | `0,0,0.5,1` | one value per latent frame |
    /// | `3..8`, `3..=7`, `..4`, `9..` | 1 in the interval, 0 elsewhere; several are joined with commas |
    /// | `1.5s..3s` | the same in seconds |
    /// | `onset:3`, `onset:1.5s` | 0 before, 1 from there on |
    /// | `keys:0=0,5=1`, `keys:0s=0,2.5s=1` | straight lines between keyframes |
    /// | `on` | 1 everywhere |
    ///
    /// # Errors
    /// [`Error::Input`] with the offending part, or as the constructor of the form.
    pub fn parse(spec: &str, axis: &TimeAxis) -> Result<Self> {
        let (spec, frames) = (spec.trim(), axis.latent_frames());
        if spec.is_empty() {
            return Err(refuse(spec, "it is empty"));
        }
        if spec.eq_ignore_ascii_case("on") {
            return Self::constant(frames, 1.0);
        }
        if let Some(start) = spec.strip_prefix("onset:") {
            return match time(start)? {
                Time::Frame(frame) => Self::onset(frames, frame),
                Time::Second(second) => Self::seconds(axis, std::slice::from_ref(&(second..f64::INFINITY))),
            };
        }
        if let Some(keys) = spec.strip_prefix("keys:") {
            return parse_keys(keys, axis);
        }
        if spec.contains("..") {
            return parse_intervals(spec, axis);
        }
        let number = |part: &str| {
            part.trim()
                .parse::<f32>()
                .map_err(|_| refuse(spec, &format!("`{}` is not a number", part.trim())))
        };
        let curve = Self::new(spec.split(',').map(number).collect::<Result<_>>()?)?;
        curve.require_frames(frames)?;
        Ok(curve)
    }
}

fn refuse(spec: &str, reason: &str) -> Error {
    let shown = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    Error::input(format!("timing curve \"{}\"", shown(spec, 80)), format!("{}; {FORMS}", shown(reason, 160)))
}

fn time(text: &str) -> Result<Time> {
    let text = text.trim();
    let parsed = match text.strip_suffix('s') {
        Some(seconds) => seconds.trim().parse().ok().filter(|s: &f64| s.is_finite()).map(Time::Second),
        None => text.parse().ok().map(Time::Frame),
    };
    parsed.ok_or_else(|| refuse(text, "neither a latent frame nor seconds"))
}

fn parse_intervals(spec: &str, axis: &TimeAxis) -> Result<TimingCurve> {
    let (mut frames, mut seconds): (Vec<Range<usize>>, Vec<Range<f64>>) = (Vec::new(), Vec::new());
    for part in spec.split(',') {
        let Some((from, to)) = part.split_once("..") else {
            return Err(refuse(spec, &format!("`{}` is not an interval", part.trim())));
        };
        let (inclusive, to) = to.strip_prefix('=').map_or((false, to), |to| (true, to));
        let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { time(text).map(Some) };
        match (bound(from)?, bound(to)?) {
            (Some(Time::Second(a)), Some(Time::Second(b))) => seconds.push(a..b),
            (Some(Time::Second(a)), None) => seconds.push(a..f64::INFINITY),
            (None, Some(Time::Second(b))) => seconds.push(0.0..b),
            (Some(Time::Second(_)), Some(Time::Frame(_))) | (Some(Time::Frame(_)), Some(Time::Second(_))) => {
                return Err(refuse(spec, &format!("`{}` mixes frames and seconds", part.trim())));
            }
            (a, b) => {
                let frame =
                    |t: Option<Time>, absent: usize| if let Some(Time::Frame(f)) = t { f } else { absent };
                let end =
                    frame(b, axis.latent_frames()).saturating_add(usize::from(inclusive && b.is_some()));
                frames.push(frame(a, 0)..end);
            }
        }
    }
    match (frames.is_empty(), seconds.is_empty()) {
        (false, true) => TimingCurve::intervals(axis.latent_frames(), &frames),
        (true, false) => TimingCurve::seconds(axis, &seconds),
        _ => Err(refuse(spec, "it mixes frames and seconds")),
    }
}

fn parse_keys(keys: &str, axis: &TimeAxis) -> Result<TimingCurve> {
    let (mut in_seconds, mut parsed) = (None, Vec::new());
    for part in keys.split(',') {
        let Some((at, value)) = part.split_once('=') else {
            return Err(refuse(keys, &format!("`{}` is not time=value", part.trim())));
        };
        let value: f32 =
            value.trim().parse().map_err(|_| refuse(keys, &format!("`{}` is not a number", value.trim())))?;
        let (position, is_second) = match time(at)? {
            Time::Frame(frame) => (frame as f64, false),
            Time::Second(second) => (second, true),
        };
        if *in_seconds.get_or_insert(is_second) != is_second {
            return Err(refuse(keys, "it mixes frames and seconds"));
        }
        parsed.push((position, value));
    }
    if in_seconds == Some(true) {
        TimingCurve::keyframes_seconds(axis, &parsed)
    } else {
        TimingCurve::keyframes(axis.latent_frames(), &parsed)
    }
}
