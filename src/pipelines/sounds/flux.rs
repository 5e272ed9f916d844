//! Spectral flux.

use super::Sound;
use super::mel::{bands, hann};
use super::recording::check;
use crate::Result;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// Samples a second at which windows and hops have the sizes below.
const RATE: f64 = 22_050.0;
const WINDOW: f64 = 2048.0;
const HOP: f64 = 512.0;
const BANDS: usize = 128;
/// Power below which everything is silence.
const SILENCE: f32 = 1e-10;
/// Decibels below the loudest band of the sound that still count.
const RANGE: f32 = 80.0;

/// How strongly something begins, over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Mean rise over the bands in decibels, never negative; the first value belongs to the sound's beginning.
    pub values: Vec<f32>,
    /// Values a second.
    pub rate: f64,
}

/// The spectral flux of a sound, as the module documents.
///
/// Value `k` belongs to the time `k · hop / rate`: a window that is centred two hops before just reaches to it.
/// Sources: librosa `onset_strength`; Böck and Widmer, Maximum filter vibrato suppression for onset detection
/// (2013), without the filter.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for a sound without samples or of a rate outside 1 kHz ..= 192 kHz; [`Error::NonFinite`](crate::Error::NonFinite).
pub fn onset_envelope(sound: &Sound) -> Result<Envelope> {
    check(std::slice::from_ref(&sound.samples), sound.rate)?;
    let rate = f64::from(sound.rate);
    // Even, so that a window has a middle.
    let window = 2 * (WINDOW / 2.0 * rate / RATE).round().max(1.0) as usize;
    let hop = (HOP * rate / RATE).round().max(1.0) as usize;
    let (spectrum, frames) = decibels(&sound.samples, window, hop, rate);
    let column = |frame: usize| spectrum.get(frame * BANDS..(frame + 1) * BANDS).unwrap_or_default();
    let rise = |frame: usize| {
        let pairs = column(frame).iter().zip(column(frame - 1));
        pairs.map(|(now, before)| (now - before).max(0.0)).sum::<f32>() / BANDS as f32
    };
    // Half a window in hops: the window of frame k sees what happens up to that much later.
    let ahead = window / (2 * hop);
    let values = (0..frames).map(|k| if k > ahead { rise(k - ahead) } else { 0.0 }).collect();
    Ok(Envelope { values, rate: rate / hop as f64 })
}

/// Mel spectrogram in decibels, `BANDS` values a frame, and the number of frames. Windows are centred on their
/// time; the sound is silent before and after itself.
fn decibels(samples: &[f32], window: usize, hop: usize, rate: f64) -> (Vec<f32>, usize) {
    let frames = 1 + samples.len() / hop;
    let bands = bands(BANDS, window, rate, RATE.min(rate) / 2.0);
    let hann: Vec<f32> = hann(window).into_iter().map(|w| w as f32).collect();
    let transform = FftPlanner::<f32>::new().plan_fft_forward(window);
    let mut buffer = vec![Complex::default(); window];
    let mut scratch = vec![Complex::default(); transform.get_inplace_scratch_len()];
    let mut spectrum = Vec::with_capacity(frames * BANDS);
    for frame in 0..frames {
        for (i, (slot, weight)) in buffer.iter_mut().zip(&hann).enumerate() {
            let place = (frame * hop + i).checked_sub(window / 2);
            let sample = place.and_then(|p| samples.get(p)).copied().unwrap_or(0.0);
            *slot = Complex::new(sample * weight, 0.0);
        }
        transform.process_with_scratch(&mut buffer, &mut scratch);
        for band in &bands {
            let bins = buffer.iter().skip(band.first).zip(&band.weights);
            let power: f32 = bins.map(|(bin, weight)| bin.norm_sqr() * weight).sum();
            spectrum.push(10.0 * power.max(SILENCE).log10());
        }
    }
    let floor = spectrum.iter().copied().fold(f32::NEG_INFINITY, f32::max) - RANGE;
    spectrum.iter_mut().for_each(|v| *v = v.max(floor));
    (spectrum, frames)
}
