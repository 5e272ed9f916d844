//! What is read off one window: power between 50 and 3,700 Hz by frequency, by lag and in time.

use super::super::mel::{Band, bands, hann};
use super::pitch::{self, Candidate};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::f64::consts::TAU;
use std::sync::Arc;

/// Half the length of a window in seconds.
const HALF: f64 = 0.032;
/// Hertz from and up to which a window is looked at: above a room's rumble and mains' hum, and within what a telephone's 8 kHz hold.
const LOW: f64 = 50.0;
pub(super) const HIGH: f64 = 3_700.0;
/// Mean square of the noise that is added by formula: −90 dB.
pub(super) const NOISE: f64 = 1e-9;
/// Bands of the mel spectrum.
pub(super) const BANDS: usize = 20;
/// Points of lag and of time that two windows' length is divided into: 32,000 a second and a multiple of eight.
const POINTS: usize = 4096;

/// One window, looked at.
#[derive(Debug)]
pub(super) struct Row {
    /// Mean square, full scale being 1, with the noise.
    pub(super) power: f64,
    /// Power by frequency, its sum being `power`.
    pub(super) bins: Vec<f64>,
    /// Hertz of the first of them, and between two.
    pub(super) first: f64,
    pub(super) step: f64,
    /// Power a hertz of each mel band, in decibels.
    pub(super) bands: Vec<f64>,
    /// Changes of sign a second.
    pub(super) crossings: f64,
    /// Periods that it may have, and how periodic it is at best, 0 to 1.
    pub(super) candidates: Vec<Candidate>,
    pub(super) voicing: f64,
}

/// What windows of one sample rate share.
pub(super) struct Analyser {
    hann: Vec<f64>,
    /// What makes of a squared bin its share of the window's mean square.
    unit: f64,
    /// First and last bin of the band, and hertz between two.
    band: std::ops::RangeInclusive<usize>,
    step: f64,
    mel: Vec<Band>,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    spectrum: Vec<Complex<f64>>,
    points: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Analyser {
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        // Even, so that a window has a middle; with as many zeros behind it, so that lags do not come round.
        let window = 2 * (HALF * rate).round().max(1.0) as usize;
        let whole = 2 * window;
        let step = rate / whole as f64;
        let mut planner = FftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(whole), planner.plan_fft_inverse(POINTS));
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        let hann = hann(window);
        let squares: f64 = hann.iter().map(|w| w * w).sum();
        Self {
            // By Parseval's theorem: the bins of both halves add up to the window's mean square.
            unit: 1.0 / (window as f64 * squares),
            hann,
            band: (LOW / step).ceil() as usize..=(HIGH / step).floor() as usize,
            step,
            mel: bands(BANDS, whole, rate, HIGH),
            forward,
            inverse,
            spectrum: vec![Complex::default(); whole],
            points: vec![Complex::default(); POINTS],
            scratch: vec![Complex::default(); scratch],
        }
    }

    /// The window around a sample.
    pub(super) fn row(&mut self, samples: &[f32], centre: usize) -> Row {
        self.spectrum.fill(Complex::default());
        for (i, (slot, weight)) in self.spectrum.iter_mut().zip(&self.hann).enumerate() {
            let place = (centre + i).checked_sub(self.hann.len() / 2);
            let sample = place.and_then(|p| samples.get(p)).copied().unwrap_or(0.0);
            *slot = Complex::new(f64::from(sample) * weight, 0.0);
        }
        self.forward.process_with_scratch(&mut self.spectrum, &mut self.scratch);
        let unit = self.unit;
        let inside = self.spectrum.get(self.band.clone()).unwrap_or_default();
        let noise = NOISE / inside.len().max(1) as f64;
        let bins: Vec<f64> = inside.iter().map(|x| x.norm_sqr() * unit + noise).collect();
        let (first, step) = (*self.band.start(), self.step);
        let crossings = self.crossings();
        let correlation = self.correlation(&bins);
        let (candidates, voicing) = pitch::candidates(&correlation, step * POINTS as f64);
        let mel = |band: &Band| {
            let weights = band.weights.iter().enumerate();
            let power = weights.map(|(i, w)| {
                let bin = (band.first + i).checked_sub(first).and_then(|at| bins.get(at));
                bin.copied().unwrap_or(0.0) * f64::from(*w)
            });
            10.0 * power.sum::<f64>().log10()
        };
        let bands = self.mel.iter().map(mel).collect();
        let first = first as f64 * step;
        Row { power: bins.iter().sum(), bins, first, step, bands, crossings, candidates, voicing }
    }

    /// How alike the window is to itself later, by lag in points: the transform of its power, divided by what the window
    /// itself does to a signal that is periodic.
    fn correlation(&mut self, bins: &[f64]) -> Vec<f64> {
        self.points.fill(Complex::default());
        for (slot, power) in self.points.iter_mut().skip(*self.band.start()).zip(bins) {
            *slot = Complex::new(*power, 0.0);
        }
        self.inverse.process_with_scratch(&mut self.points, &mut self.scratch);
        let zero = self.points.first().map_or(1.0, |p| p.re);
        let of = |(lag, p): (usize, &Complex<f64>)| {
            // Of a window's length.
            let x = lag as f64 * 2.0 / POINTS as f64;
            let own = (1.0 - x) * (2.0 + (TAU * x).cos()) / 3.0 + (TAU * x).sin() / TAU;
            p.re / zero / own
        };
        // A quarter of a window is the longest period.
        self.points.iter().take(POINTS / 8 + 2).enumerate().map(of).collect()
    }

    /// Changes of sign a second in the middle half of the window, of what lies in the band. Samples fainter than the noise
    /// keep the sign before them.
    fn crossings(&mut self) -> f64 {
        self.points.fill(Complex::default());
        let inside = self.spectrum.get(self.band.clone()).unwrap_or_default();
        for (slot, value) in self.points.iter_mut().skip(*self.band.start()).zip(inside) {
            *slot = *value;
        }
        self.inverse.process_with_scratch(&mut self.points, &mut self.scratch);
        let faint = NOISE.sqrt() * self.hann.len() as f64;
        let middle = self.points.get(POINTS / 8..POINTS * 3 / 8).unwrap_or_default();
        let signs = middle.iter().filter(|p| p.re.abs() > faint).map(|p| p.re > 0.0);
        let (mut changes, mut last) = (0, None);
        for sign in signs {
            changes += usize::from(last.is_some_and(|last| last != sign));
            last = Some(sign);
        }
        changes as f64 * self.step * 4.0
    }
}
