//! A curve from the moments at which something begins in a sound.

use super::curve::{TimeAxis, TimingCurve};
use crate::{Error, Result};

/// A curve that follows a beat: a latent frame in which something begins has its strength, any other 0.
///
/// Each onset is its time, in seconds from the beginning of the sound, and its strength, a positive number in any unit; the
/// sound begins `start` seconds into the clip. Of several onsets in a frame the strongest counts, and those outside the clip
/// do not. Strengths are scaled so that the middle one within the clip is 1, where stronger ones end too: half of all
/// strength together lies in onsets up to there. So equal beats are all 1, weak ones keep their proportion to them, and one
/// loud clap does not make the others small.
///
/// # Errors
/// [`Error::Input`] when nothing begins within the clip, for a time or strength that is no number, a strength that is not
/// positive, and a start that is not finite.
pub fn beat_curve(onsets: &[(f64, f32)], start: f64, axis: &TimeAxis) -> Result<TimingCurve> {
    if !start.is_finite() {
        return Err(Error::input("sound", format!("it begins at {start}s, which is no time")));
    }
    if let Some((at, strength)) = onsets.iter().find(|(at, s)| !(at.is_finite() && *s > 0.0 && s.is_finite()))
    {
        return Err(Error::input(
            "sound",
            format!("an onset at {at}s of strength {strength}: expected a time and a positive number"),
        ));
    }
    let mut values = vec![0.0f32; axis.latent_frames()];
    let mut heard = Vec::new();
    for (at, strength) in onsets {
        let (at, mut frames) = (start + at, 0..values.len());
        let within = |frame: &usize| {
            let (from, to) = axis.seconds_of(*frame);
            (from..to).contains(&at)
        };
        if let Some(value) = frames.find(within).and_then(|frame| values.get_mut(frame)) {
            *value = value.max(*strength);
            heard.push(*strength);
        }
    }
    heard.sort_by(f32::total_cmp);
    let half = heard.iter().copied().map(f64::from).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    let middle = heard.iter().find(|strength| {
        sum += f64::from(**strength);
        sum >= half
    });
    let Some(middle) = middle else {
        let end = axis.seconds();
        return Err(Error::input(
            "sound",
            format!("nothing begins in it within the clip's {end:.2}s: there is no beat to follow"),
        ));
    };
    TimingCurve::new(values.iter().map(|v| (v / middle).min(1.0)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Twelve latent frames after the first, four a second.
    fn axis() -> TimeAxis {
        TimeAxis::new(13, 4, 16.0).unwrap()
    }

    /// Seconds in the middle of a latent frame.
    fn middle(frame: usize) -> f64 {
        let (from, to) = axis().seconds_of(frame);
        (from + to) / 2.0
    }

    #[test]
    fn a_frame_has_the_strength_of_what_begins_in_it() {
        let beats: Vec<(f64, f32)> = [2, 4, 6, 8].map(|f| (middle(f), 3.0)).into();
        let curve = beat_curve(&beats, 0.0, &axis()).unwrap();
        assert_eq!(curve.values(), [0., 0., 1., 0., 1., 0., 1., 0., 1., 0., 0., 0., 0.]);
        // Half a second later, and half a second of it skipped.
        let later = beat_curve(&beats, 0.5, &axis()).unwrap();
        assert_eq!(later.values(), [0., 0., 0., 0., 1., 0., 1., 0., 1., 0., 1., 0., 0.]);
        let skipped = beat_curve(&beats, -0.75, &axis()).unwrap();
        assert_eq!(skipped.values(), [0., 1., 0., 1., 0., 1., 0., 0., 0., 0., 0., 0., 0.]);
        // The stronger of two in a frame.
        let both = beat_curve(&[(middle(3), 1.0), (middle(3) + 0.01, 4.0), (middle(7), 2.0)], 0.0, &axis());
        assert_eq!(both.unwrap().values()[3], 1.0);
    }

    #[test]
    fn a_clap_hides_no_beat_and_a_whisper_stays_one() {
        let mut beats: Vec<(f64, f32)> = (1..13).map(|f| (middle(f), 2.0)).collect();
        beats[5].1 = 20.0;
        beats[7].1 = 0.4;
        let curve = beat_curve(&beats, 0.0, &axis()).unwrap();
        for (frame, value) in curve.values().iter().enumerate().skip(1) {
            let wanted = if frame == 8 { 0.2 } else { 1.0 };
            assert!((value - wanted).abs() < 1e-6, "{frame}: {value}");
        }
    }

    #[test]
    fn what_begins_outside_the_clip_does_not_count() {
        let curve = beat_curve(&[(middle(2), 1.0), (99.0, 50.0), (-3.0, 50.0)], 0.0, &axis()).unwrap();
        assert_eq!(curve.values()[2], 1.0);
        for onsets in [&[][..], &[(99.0, 1.0)], &[(-0.5, 1.0)]] {
            let text = beat_curve(onsets, 0.0, &axis()).unwrap_err().to_string();
            assert!(text.contains("nothing begins in it within the clip"), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for (at, strength) in
            [(f64::NAN, 1.0), (1.0, f32::NAN), (1.0, 0.0), (1.0, -1.0), (1.0, f32::INFINITY)]
        {
            let text = beat_curve(&[(at, strength)], 0.0, &axis()).unwrap_err().to_string();
            assert!(text.contains("an onset at"), "{text}");
        }
        assert!(beat_curve(&[(0.5, 1.0)], f64::INFINITY, &axis()).is_err());
    }
}
