//! The power of a sound in bands of its spectrum, over time.

use super::mel::hann;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// Seconds of a window, and from one to the next.
const WINDOW: f64 = 0.032;
const HOP: f64 = 0.003;
/// Lower ends of the bands below 300 Hz, an octave and more each; from there on there are three an octave.
const LOW: [f64; 3] = [30.0, 90.0, 180.0];
const FIRST: f64 = 300.0;
const TOP: f64 = 11_025.0;
/// Hertz; a band that half the sample rate leaves less of is left out.
const NARROWEST: f64 = 30.0;

/// Powers of bands over time.
#[derive(Debug)]
pub(super) struct Levels {
    /// Number of bands.
    pub(super) bands: usize,
    /// A power for each band, frame by frame; frame `k` is centred at `k · hop` seconds.
    pub(super) powers: Vec<f32>,
    /// Seconds from frame to frame.
    pub(super) hop: f64,
    /// Seconds of half a window.
    pub(super) half: f64,
}

impl Levels {
    pub(super) fn frames(&self) -> usize {
        self.powers.len() / self.bands
    }

    pub(super) fn at(&self, frame: usize, band: usize) -> f32 {
        self.powers.get(frame * self.bands + band).copied().unwrap_or(0.0)
    }

    /// Frames in so many seconds.
    pub(super) fn frames_in(&self, seconds: f64) -> usize {
        (seconds / self.hop).round() as usize
    }

    /// True for the bands of an octave and more.
    pub(super) fn is_wide(&self, band: usize) -> bool {
        band < LOW.len()
    }
}

/// The powers of all channels together, scaled by the largest sample; none for silence. The recording is mirrored at its
/// ends, so that they are no steps.
pub(super) fn levels(channels: &[Vec<f32>], rate: f64) -> Option<Levels> {
    let samples = channels.iter().map(Vec::len).max().filter(|n| *n > 0)?;
    let means: Vec<f64> = channels
        .iter()
        .map(|c| c.iter().copied().map(f64::from).sum::<f64>() / c.len().max(1) as f64)
        .collect();
    let largest =
        |(c, mean): (&Vec<f32>, &f64)| c.iter().map(|v| (f64::from(*v) - mean).abs()).fold(0.0, f64::max);
    let peak = channels.iter().zip(&means).map(largest).fold(0.0, f64::max);
    // What rounding leaves of a constant is silence too.
    let constant = means.iter().map(|m| m.abs()).fold(0.0, f64::max) * 1e-6;
    if !(peak > constant) {
        return None;
    }
    let half = (WINDOW / 2.0 * rate).round().max(1.0) as usize;
    let hop = (HOP * rate).round().max(1.0) as usize;
    let bins = bins(2 * half, rate);
    let hann = hann(2 * half);
    let transform = FftPlanner::<f32>::new().plan_fft_forward(2 * half);
    let mut buffer = vec![Complex::default(); 2 * half];
    let mut scratch = vec![Complex::default(); transform.get_inplace_scratch_len()];
    let frames = 1 + (samples - 1) / hop;
    let mut powers = vec![0.0; frames * bins.len()];
    let scaled = |channel: usize, place: usize| {
        let sample = channels.get(channel).and_then(|c| c.get(place)).copied();
        sample.map_or(0.0, |v| (f64::from(v) - means.get(channel).copied().unwrap_or(0.0)) / peak)
    };
    // Two channels are real and imaginary part of one transform: the powers at a frequency and at its negative add up to
    // twice those of both.
    for pair in (0..channels.len()).step_by(2) {
        for (frame, row) in powers.chunks_exact_mut(bins.len()).enumerate() {
            for (i, (slot, weight)) in buffer.iter_mut().zip(&hann).enumerate() {
                let place = mirrored((frame * hop + i) as i64 - half as i64, samples);
                *slot = Complex::new(
                    (scaled(pair, place) * weight) as f32,
                    (scaled(pair + 1, place) * weight) as f32,
                );
            }
            transform.process_with_scratch(&mut buffer, &mut scratch);
            for (power, bins) in row.iter_mut().zip(&bins) {
                let both =
                    bins.clone().filter_map(|bin| Some((buffer.get(bin)?, buffer.get(2 * half - bin)?)));
                *power += both.map(|(up, down)| up.norm_sqr() + down.norm_sqr()).sum::<f32>();
            }
        }
    }
    Some(Levels { bands: bins.len(), powers, hop: hop as f64 / rate, half: half as f64 / rate })
}

/// Bins of each band in a transform of `window` samples; there is at least one band from 1 kHz on.
fn bins(window: usize, rate: f64) -> Vec<std::ops::Range<usize>> {
    let top = TOP.min(rate / 2.0);
    let thirds = (0..).map(|i| FIRST * 2f64.powf(f64::from(i) / 3.0));
    let edges = LOW.into_iter().chain(thirds.take_while(|f| *f < top)).chain([top]);
    let edges: Vec<f64> = edges.collect();
    let bin = |f: f64| ((f * window as f64 / rate).ceil() as usize).max(1);
    let bands = edges.windows(2).filter(|edge| edge[1] - edge[0] > NARROWEST);
    bands.map(|edge| bin(edge[0])..bin(edge[1]).min(window / 2)).collect()
}

/// A place beyond the ends mirrored at them, the end sample repeated.
fn mirrored(place: i64, samples: usize) -> usize {
    let samples = samples as i64;
    let phase = place.rem_euclid(2 * samples);
    (if phase < samples { phase } else { 2 * samples - 1 - phase }) as usize
}
