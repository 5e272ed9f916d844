//! A temporal mask from an onset envelope.

use super::curve::TimeAxis;
use crate::{Error, Result};

/// Most latent frames; bounds what a caller's number can make this module allocate.
const MAX_FRAMES: usize = 1 << 16;
/// Most bins of smoothing on either side; bounds the work.
const MAX_REACH: f64 = 1024.0;

/// How an envelope becomes a mask. The default is the released rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioMaskOptions {
    /// Latent frames of the mask.
    pub frames: usize,
    /// Bins at or above this, after scaling to `[0, 1]`, keep their value; the others are smoothed.
    pub threshold: f32,
    /// Standard deviation of the smoothing, in latent frames.
    pub sigma: f64,
    /// The smoothing ends at this many standard deviations.
    pub truncate: f64,
}

impl Default for AudioMaskOptions {
    fn default() -> Self {
        Self { frames: 21, threshold: 0.7, sigma: 2.0, truncate: 4.0 }
    }
}

/// A mask and the pooled envelope it came from, one value per latent frame.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioMask {
    /// Largest envelope value of each frame's bin, in the envelope's unit.
    pub pooled: Vec<f32>,
    /// Mask in `[0, 1]`: strong onsets as they are, the rest smoothed.
    pub mask: Vec<f32>,
}

/// Turns an onset envelope (any unit, any number of samples over the whole clip) into a mask.
///
/// The envelope is stretched to the clip: bin `i` of `frames` is the maximum over samples
/// `floor(i*L/frames) .. ceil((i+1)*L/frames)`. The bins are scaled by their minimum and maximum to
/// `s` in `[0, 1]`; `g` is `s` under a Gaussian with reflected ends; the mask is `s` where
/// `s >= threshold` and `g` elsewhere. Source: TempoControl's `extract_audio_features`.
///
/// # Errors
/// [`Error::Input`] for an empty envelope, options out of range, or an envelope whose bins are all
/// equal: it has no onset to scale by (the released code returns NaN there).
/// [`Error::NonFinite`] for a NaN or infinity in the envelope.
pub fn audio_mask(envelope: &[f32], options: &AudioMaskOptions) -> Result<AudioMask> {
    check(envelope, options)?;
    mask_of(adaptive_max_pool(envelope, options.frames), options)
}

/// The same rule in true time: `envelope` has `rate` values a second, the first of them `start` seconds into
/// the clip. Each latent frame's bin is the maximum over the time that the frame is on screen, the envelope being
/// linear between its values. Frames that the envelope does not reach get its smallest value; what lies before
/// or after the clip is cut off.
///
/// # Errors
/// As [`audio_mask`]; and [`Error::Input`] for a rate that is not positive, a start that is not finite, an
/// envelope that lies outside the clip, and options for another number of frames than the axis has.
pub fn audio_mask_in_time(
    envelope: &[f32],
    rate: f64,
    start: f64,
    axis: &TimeAxis,
    options: &AudioMaskOptions,
) -> Result<AudioMask> {
    check(envelope, options)?;
    if options.frames != axis.latent_frames() {
        return Err(Error::input(
            "frames",
            format!("the clip has {} latent frames, found {}", axis.latent_frames(), options.frames),
        ));
    }
    if !(rate > 0.0 && rate.is_finite() && start.is_finite()) {
        return Err(Error::input(
            "audio envelope",
            format!("its rate {rate} must be positive and its start {start} finite"),
        ));
    }
    let (end, clip) = (start + (envelope.len() - 1) as f64 / rate, axis.seconds());
    if end < 0.0 || start > clip {
        return Err(Error::input(
            "audio envelope",
            format!("it lasts from {start:.3}s to {end:.3}s, the clip from 0s to {clip:.3}s"),
        ));
    }
    let quiet = envelope.iter().copied().fold(f32::INFINITY, f32::min);
    let last = (envelope.len() - 1) as f64;
    let value = |i: f64| envelope.get(i as usize).copied().unwrap_or(quiet);
    let at = |place: f64| {
        let part = place.fract() as f32;
        value(place.floor()) * (1.0 - part) + value((place + 1.0).floor().min(last)) * part
    };
    let loudest = |latent: usize| {
        let (from, to) = axis.seconds_of(latent);
        let (from, to) = (((from - start) * rate).max(0.0), ((to - start) * rate).min(last));
        if from > to {
            return quiet;
        }
        // Between two values a straight line is largest at an end.
        let first = (from.ceil() as usize).min(envelope.len());
        let whole = envelope.get(first..(to.floor() as usize + 1).max(first)).unwrap_or_default();
        whole.iter().copied().fold(at(from).max(at(to)), f32::max)
    };
    mask_of((0..axis.latent_frames()).map(loudest).collect(), options)
}

fn check(envelope: &[f32], options: &AudioMaskOptions) -> Result<()> {
    let AudioMaskOptions { frames, threshold, sigma, truncate } = *options;
    if let Some(index) = envelope.iter().position(|v| !v.is_finite()) {
        return Err(Error::NonFinite { what: "audio envelope".into(), index });
    }
    if envelope.is_empty() {
        return Err(Error::input("audio envelope", "it is empty"));
    }
    if !(1..=MAX_FRAMES).contains(&frames) {
        return Err(Error::input("frames", format!("expected 1 ..= {MAX_FRAMES}, found {frames}")));
    }
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::input("threshold", format!("expected 0 ..= 1, found {threshold}")));
    }
    if !(sigma > 0.0 && truncate > 0.0 && sigma * truncate <= MAX_REACH) {
        return Err(Error::input(
            "sigma and truncate",
            format!(
                "both must be positive and their product at most {MAX_REACH}, found {sigma} and {truncate}"
            ),
        ));
    }
    Ok(())
}

/// Scales bins by their minimum and maximum, keeps the strong ones and smooths the others.
fn mask_of(pooled: Vec<f32>, options: &AudioMaskOptions) -> Result<AudioMask> {
    let AudioMaskOptions { threshold, sigma, truncate, .. } = *options;
    let (low, high) =
        pooled.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let range = high - low;
    if !(range > 0.0 && range.is_finite()) {
        return Err(Error::input(
            "audio envelope",
            format!("every frame's maximum is {low}: there is no onset to build a mask from"),
        ));
    }
    let scaled: Vec<f32> = pooled.iter().map(|v| (v - low) / range).collect();
    let smoothed = gaussian_filter(&scaled, sigma, (sigma * truncate + 0.5) as usize);
    let mask =
        scaled.iter().zip(smoothed).map(|(s, g)| if *s >= threshold { *s } else { g.min(1.0) }).collect();
    Ok(AudioMask { pooled, mask })
}

fn adaptive_max_pool(values: &[f32], bins: usize) -> Vec<f32> {
    // u128: an envelope's length times a bin count must not overflow on 32-bit targets.
    let edge = |i: usize, round_up: bool| {
        let product = i as u128 * values.len() as u128;
        (if round_up { product.div_ceil(bins as u128) } else { product / bins as u128 }) as usize
    };
    let bin = |i: usize| values.get(edge(i, false)..edge(i + 1, true)).unwrap_or_default();
    (0..bins).map(|i| bin(i).iter().copied().fold(f32::NEG_INFINITY, f32::max)).collect()
}

/// Normalised Gaussian of the given radius; beyond the ends the signal is mirrored with the edge sample
/// repeated (`c b a | a b c | c b a`), again and again where the radius is longer than the signal.
fn gaussian_filter(signal: &[f32], sigma: f64, radius: usize) -> Vec<f32> {
    let weights: Vec<f64> = (0..=radius).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp()).collect();
    let total = 2.0 * weights.iter().sum::<f64>() - 1.0;
    let (len, reach) = (signal.len() as i64, radius as i64);
    let mirrored = |i: i64| {
        let phase = i.rem_euclid(2 * len);
        let index = if phase < len { phase } else { 2 * len - 1 - phase };
        signal.get(index as usize).copied().map_or(0.0, f64::from)
    };
    let at = |i: i64| -> f64 {
        let taps = (-reach..=reach).zip(weights.iter().rev().chain(weights.iter().skip(1)));
        taps.map(|(d, w)| w * mirrored(i + d)).sum()
    };
    (0..len).map(|i| (at(i) / total) as f32).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn options(frames: usize) -> AudioMaskOptions {
        AudioMaskOptions { frames, ..Default::default() }
    }

    #[test]
    fn pools_as_the_adaptive_rule() {
        // Bins of 5 over 3: samples 0..2, 1..4, 3..5; they overlap.
        assert_eq!(adaptive_max_pool(&[1., 5., 2., 3., 4.], 3), [5., 5., 4.]);
        // Fewer samples than bins: every bin still sees one.
        assert_eq!(adaptive_max_pool(&[1., 2.], 4), [1., 1., 2., 2.]);
        assert_eq!(adaptive_max_pool(&[1., 2., 3., 4.], 2), [2., 4.]);
    }

    #[test]
    fn smooths_as_scipy() {
        // The definition behind scipy's gaussian_filter1d (mode "reflect", truncate 4), worked out with
        // numpy.pad(mode="symmetric"); the radius of 8 is longer than the signal.
        let found = gaussian_filter(&[0., 0., 1., 0., 0.5], 2.0, 8);
        let expected = [0.209_620_96, 0.252_451_78, 0.310_128_6, 0.353_792_76, 0.374_005_9];
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn keeps_strong_onsets_and_smooths_the_rest() {
        let mut envelope = vec![0.0; 42];
        envelope[20] = 10.0;
        envelope[30] = 4.0;
        let found = audio_mask(&envelope, &options(21)).unwrap();
        assert_eq!((found.pooled[10], found.pooled[15]), (10.0, 4.0));
        assert_eq!(found.mask[10], 1.0);
        assert!(found.mask[15] < 0.4 && found.mask[15] > found.mask[0]);
        assert!(found.mask.iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn a_constant_envelope_is_an_error_and_not_nan() {
        for flat in [vec![0.0; 50], vec![3.0; 50], vec![1.0]] {
            let text = audio_mask(&flat, &options(21)).unwrap_err().to_string();
            assert!(text.contains("no onset"), "{text}");
        }
        // One frame has one bin, so it is constant whatever the envelope.
        assert!(audio_mask(&[1., 2.], &options(1)).is_err());
    }

    fn in_time(envelope: &[f32], rate: f64, start: f64) -> Result<AudioMask> {
        // Latent frame j is on screen from j - 0.75 to j + 0.25 seconds.
        let axis = TimeAxis::new(6, 4, 4.0).unwrap();
        audio_mask_in_time(envelope, rate, start, &axis, &options(6))
    }

    #[test]
    fn true_time_keeps_an_onset_where_it_is() {
        // Ten values a second; the peak is at 2.6 s.
        let mut envelope = vec![0.0; 51];
        envelope[26] = 8.0;
        assert_eq!(in_time(&envelope, 10.0, 0.0).unwrap().pooled, [0., 0., 0., 8., 0., 0.]);
        assert_eq!(in_time(&envelope, 10.0, 2.0).unwrap().pooled, [0., 0., 0., 0., 0., 8.]);
        assert_eq!(in_time(&envelope, 10.0, -2.0).unwrap().pooled, [0., 8., 0., 0., 0., 0.]);
        // Too short and it is padded, too long and it is cut, and neither moves the onset.
        assert_eq!(in_time(&envelope[..29], 10.0, 0.0).unwrap().pooled, [0., 0., 0., 8., 0., 0.]);
        let long: Vec<f32> = envelope.iter().copied().chain([0.0; 3]).chain([9.0; 200]).collect();
        assert_eq!(in_time(&long, 10.0, 0.0).unwrap().pooled, [0., 0., 0., 8., 0., 0.]);
        // The released rule stretches both instead.
        assert_eq!(audio_mask(&envelope[..29], &options(6)).unwrap().pooled[5], 8.0);
    }

    #[test]
    fn true_time_reads_between_slow_values() {
        let found = in_time(&[0., 4., 0.], 0.5, 0.0).unwrap();
        assert_eq!(found.pooled, [0.5, 2.5, 4., 3.5, 1.5, 0.]);
    }

    #[test]
    fn true_time_refuses_what_lies_elsewhere() {
        let text = |rate: f64, start: f64| in_time(&[0., 1., 0.], rate, start).unwrap_err().to_string();
        assert!(text(1.0, 9.0).contains("clip from 0s to 5.250s"));
        assert!(text(1.0, -9.0).contains("clip"));
        assert!(text(0.0, 0.0).contains("positive"));
        assert!(text(1.0, f64::NAN).contains("finite"));
        assert!(in_time(&[0.5; 9], 1.0, 0.0).unwrap_err().to_string().contains("no onset"));
        let axis = TimeAxis::new(5, 4, 4.0).unwrap();
        let wrong = audio_mask_in_time(&[0., 1.], 1.0, 0.0, &axis, &options(6)).unwrap_err();
        assert!(wrong.to_string().contains("5 latent frames"));
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        assert!(audio_mask(&[], &options(21)).is_err());
        assert!(matches!(audio_mask(&[0., f32::NAN], &options(2)), Err(Error::NonFinite { index: 1, .. })));
        assert!(audio_mask(&[0., 1.], &options(0)).is_err());
        assert!(audio_mask(&[0., 1.], &options(usize::MAX)).is_err());
        assert!(audio_mask(&[-f32::MAX, f32::MAX], &options(2)).is_err());
        for (sigma, truncate, threshold) in
            [(0.0, 4.0, 0.7), (f64::NAN, 4.0, 0.7), (1e9, 4.0, 0.7), (2.0, -1.0, 0.7), (2.0, 4.0, f32::NAN)]
        {
            let bad = AudioMaskOptions { sigma, truncate, threshold, ..options(2) };
            assert!(audio_mask(&[0., 1.], &bad).is_err(), "{bad:?}");
        }
    }
}
