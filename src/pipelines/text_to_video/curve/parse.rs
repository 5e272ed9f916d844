//! The one-line form of a curve, as typed on a command line.

use super::{Interpolation, Moment, Span, TimeAxis, TimingCurve};
use crate::{Error, Result};

/// Shown with every refusal.
const FORMS: &str = "expected values \"0,0,0.5,1\", intervals \"3..8\", \"3..=7\", \"12f..40f\" or \"1.5s..3s@0.5\", \
                     \"onset:3\", \"offset:1.5s\", \"window:3..8\", \"pulse:0.5s/0.25s\" or with a period \
                     \"pulse:0.5s/0.25s/1s\", \"ramp:3..8\", \"fade:1s..2s\", \"keys:0=0,5=1\" (also \"step:\" and \
                     \"smooth:\", in seconds \"keys:0s=0,2.5s=1\"), \"on\", \"on@0.5\" or \"off\"";

impl TimingCurve {
    /// Parses the one-line form of a curve. Plain numbers are latent frames and numbers with an `f` pixel
    /// frames, both counted from 0; numbers with an `s` are seconds. All of them are times by one clock, which the
    /// module's documentation states.
    ///
    /// | form | meaning |
    /// |---|---|
    /// | `0,0,0.5,1` | one value per latent frame |
    /// | `3..8`, `3..=7`, `..4`, `9..` | 1 in the interval, 0 elsewhere; several are joined with commas |
    /// | `12f..40f`, `1.5s..3s` | the same in pixel frames and seconds |
    /// | `3..8@0.5` | 0.5 in the interval; every form of intervals takes a level |
    /// | `onset:3`, `offset:1.5s` | 0 before and 1 from there on, and the reverse |
    /// | `window:3..8` | another name for the interval |
    /// | `pulse:1s/0.5s`, `pulse:1s/0.5s/2s` | 1 from 1 s on for 0.5 s, once or every 2 s |
    /// | `ramp:3..8`, `fade:1s..2s` | a straight line from 0 to 1, and from 1 to 0 |
    /// | `keys:0=0,5=1`, `keys:0s=0,2.5s=1` | straight lines between keyframes (`linear:` is the same) |
    /// | `step:…`, `smooth:…` | values that hold until the next keyframe; smooth curves between them |
    /// | `on`, `off`, `on@0.5` | 1, 0 or 0.5 everywhere |
    ///
    /// # Errors
    /// [`Error::Input`] with the offending part, or as the constructor of the form.
    pub fn parse(spec: &str, axis: &TimeAxis) -> Result<Self> {
        let spec = spec.trim();
        if spec.is_empty() {
            return Err(refuse(spec, "it is empty"));
        }
        let Some((name, rest)) = spec.split_once(':') else { return plain(spec, axis) };
        let keys = |how| parse_keys(rest, axis, how);
        let line = |low: f32, high: f32| {
            let (from, to) = bounds(rest, rest, axis)?;
            Self::ramp(axis, (from, low), (to, high))
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "onset" => levelled(rest).and_then(|(at, level)| Self::onset(axis, time(spec, at)?, level)),
            "offset" => levelled(rest).and_then(|(at, level)| Self::offset(axis, time(spec, at)?, level)),
            "window" => intervals(rest, axis),
            "pulse" => pulse(rest, axis),
            "ramp" => line(0.0, 1.0),
            "fade" => line(1.0, 0.0),
            "keys" | "linear" => keys(Interpolation::Linear),
            "step" => keys(Interpolation::Step),
            "smooth" => keys(Interpolation::Smooth),
            other => Err(refuse(spec, &format!("`{other}:` is not a form"))),
        }
    }
}

fn refuse(spec: &str, reason: &str) -> Error {
    let shown = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    Error::input(format!("timing curve \"{}\"", shown(spec, 80)), format!("{}; {FORMS}", shown(reason, 160)))
}

fn number(spec: &str, text: &str) -> Result<f32> {
    text.trim().parse().map_err(|_| refuse(spec, &format!("`{}` is not a number", text.trim())))
}

fn time(spec: &str, text: &str) -> Result<Moment> {
    Moment::parse(text)
        .map_err(|_| refuse(spec, &format!("`{}` is neither a frame nor seconds", text.trim())))
}

/// What stands before `@` and the level after it, 1 without one.
fn levelled(text: &str) -> Result<(&str, f32)> {
    match text.split_once('@') {
        Some((before, level)) => Ok((before, number(text, level)?)),
        None => Ok((text, 1.0)),
    }
}

fn plain(spec: &str, axis: &TimeAxis) -> Result<TimingCurve> {
    let (word, level) = levelled(spec).unwrap_or((spec, 1.0));
    let frames = axis.latent_frames();
    if word.trim().eq_ignore_ascii_case("on") {
        return TimingCurve::constant(frames, level);
    }
    if spec.eq_ignore_ascii_case("off") {
        return TimingCurve::constant(frames, 0.0);
    }
    if spec.contains("..") {
        return intervals(spec, axis);
    }
    let curve = TimingCurve::new(spec.split(',').map(|part| number(spec, part)).collect::<Result<_>>()?)?;
    curve.require_frames(frames)?;
    Ok(curve)
}

fn intervals(spec: &str, axis: &TimeAxis) -> Result<TimingCurve> {
    let mut spans: Vec<Span> = Vec::new();
    for part in spec.split(',') {
        let (range, level) = levelled(part)?;
        let (from, to) = bounds(spec, range, axis)?;
        if spans.first().is_some_and(|first| !first.from.same_unit(from)) {
            return Err(refuse(spec, "it mixes frames and seconds"));
        }
        spans.push(Span { from, to, level });
    }
    TimingCurve::spans(axis, &spans)
}

/// Both ends of `3..8`, `3..=7`, `..4` or `9..`.
fn bounds(spec: &str, part: &str, axis: &TimeAxis) -> Result<(Moment, Moment)> {
    let Some((from, to)) = part.split_once("..") else {
        return Err(refuse(spec, &format!("`{}` is not an interval", part.trim())));
    };
    let (inclusive, to) = to.strip_prefix('=').map_or((false, to), |to| (true, to));
    let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { time(spec, text).map(Some) };
    let (from, to) = match (bound(from)?, bound(to)?) {
        (Some(from), Some(to)) if !from.same_unit(to) => {
            return Err(refuse(spec, &format!("`{}` mixes frames and seconds", part.trim())));
        }
        (Some(from), Some(to)) => (from, to),
        (Some(from), None) => (from, from.end(axis)),
        (None, Some(to)) => (to.zero(), to),
        (None, None) => (Moment::Latent(0), Moment::Latent(0).end(axis)),
    };
    let to = match to {
        Moment::Latent(n) if inclusive => Moment::Latent(n.saturating_add(1)),
        Moment::Frame(n) if inclusive => Moment::Frame(n.saturating_add(1)),
        to => to,
    };
    Ok((from, to))
}

fn pulse(rest: &str, axis: &TimeAxis) -> Result<TimingCurve> {
    let (times, level) = levelled(rest)?;
    let parts: Vec<Moment> = times.split('/').map(|part| time(rest, part)).collect::<Result<_>>()?;
    match *parts.as_slice() {
        [at, length] => TimingCurve::pulse(axis, at, length, None, level),
        [at, length, period] => TimingCurve::pulse(axis, at, length, Some(period), level),
        _ => Err(refuse(rest, "a pulse is start/length or start/length/period")),
    }
}

fn parse_keys(rest: &str, axis: &TimeAxis, how: Interpolation) -> Result<TimingCurve> {
    let key = |part: &str| {
        let Some((at, value)) = part.split_once('=') else {
            return Err(refuse(rest, &format!("`{}` is not time=value", part.trim())));
        };
        Ok((time(rest, at)?, number(rest, value)?))
    };
    TimingCurve::keyframes(axis, &rest.split(',').map(key).collect::<Result<Vec<_>>>()?, how)
}
