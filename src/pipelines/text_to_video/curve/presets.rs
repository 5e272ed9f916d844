//! The curves that are asked for by name.

use super::{Interpolation, Moment, Span, TimeAxis, TimingCurve};
use crate::{Error, Result};

/// Most repetitions of a pulse: bounds what a short period can make this module compute.
const MAX_PULSES: f64 = 4096.0;

impl TimingCurve {
    /// 0 before a moment, `level` from it on.
    ///
    /// # Errors
    /// As [`spans`](Self::spans).
    pub fn onset(axis: &TimeAxis, at: Moment, level: f32) -> Result<Self> {
        Self::spans(axis, &[Span { from: at, to: at.end(axis), level }])
    }

    /// `level` before a moment, 0 from it on.
    ///
    /// # Errors
    /// As [`spans`](Self::spans).
    pub fn offset(axis: &TimeAxis, at: Moment, level: f32) -> Result<Self> {
        Self::spans(axis, &[Span { from: at.zero(), to: at, level }])
    }

    /// `level` from one moment to another, 0 elsewhere.
    ///
    /// # Errors
    /// As [`spans`](Self::spans).
    pub fn window(axis: &TimeAxis, from: Moment, to: Moment, level: f32) -> Result<Self> {
        Self::spans(axis, &[Span { from, to, level }])
    }

    /// `level` for `length` from `at` on, and again after every `period` up to the end of the clip. Length
    /// and period count in the unit of `at`.
    ///
    /// # Errors
    /// As [`spans`](Self::spans), and for a length that is not positive, a period that is shorter than it, or
    /// more than 4096 repetitions.
    pub fn pulse(
        axis: &TimeAxis,
        at: Moment,
        length: Moment,
        period: Option<Moment>,
        level: f32,
    ) -> Result<Self> {
        let refuse = |reason: String| Err(Error::input("pulse", reason));
        if !at.same_unit(length) || period.is_some_and(|p| !p.same_unit(at)) {
            return refuse("it mixes frames and seconds".into());
        }
        let (start, long) = (at.number(), length.number());
        if !(long > 0.0 && period.is_none_or(|p| p.number() >= long)) {
            return refuse(format!("length {length} must be positive and no longer than the period"));
        }
        let clip = at.end(axis).number();
        let times = period.map_or(1.0, |p| ((clip - start) / p.number()).ceil().max(1.0));
        if !(times <= MAX_PULSES) {
            return refuse(format!("it would repeat {times} times; at most {MAX_PULSES} are allowed"));
        }
        let moment = |number: f64| match at {
            Moment::Latent(_) => Moment::Latent(number.min(clip) as usize),
            Moment::Frame(_) => Moment::Frame(number.min(clip) as usize),
            Moment::Second(_) => Moment::Second(number),
        };
        let begin = |i: usize| start + i as f64 * period.map_or(0.0, Moment::number);
        let span = |i: usize| Span { from: moment(begin(i)), to: moment(begin(i) + long), level };
        // Rounding may count one more, which would begin where the clip ends.
        let inside = |i: &usize| *i == 0 || moment(begin(*i)).place(axis) < axis.pixel_frames() as f64;
        Self::spans(axis, &(0..times as usize).filter(inside).map(span).collect::<Vec<_>>())
    }

    /// `low` up to one moment, a straight line, `high` from another on. `low` may be above `high`.
    ///
    /// # Errors
    /// As [`keyframes`](Self::keyframes).
    pub fn ramp(axis: &TimeAxis, from: (Moment, f32), to: (Moment, f32)) -> Result<Self> {
        Self::keyframes(axis, &[from, to], Interpolation::Linear)
    }
}
