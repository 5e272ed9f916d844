//! The columns by name, and their values.

use super::super::mel::{hertz, mel};
use super::pitch;
use super::window::{BANDS, HIGH, Row};

/// Numbers of a row.
pub const WIDTH: usize = SINGLE.len() + BANDS + CEPSTRUM;
/// Coefficients of the bands' cepstrum, without the first, which would be their mean.
const CEPSTRUM: usize = 12;

/// Columns that come once, with their units.
const SINGLE: [(&str, &str); 15] = [
    ("level", "dB"),
    ("level_relative", "dB"),
    ("voicing", "1"),
    ("harmonicity", "dB"),
    ("pitch", "st"),
    ("pitch_relative", "st"),
    ("pitch_change", "st"),
    ("h1_h2", "dB"),
    ("zero_crossings", "1/s"),
    ("centroid", "Hz"),
    ("spread", "Hz"),
    ("rolloff", "Hz"),
    ("flatness", "dB"),
    ("tilt", "dB/octave"),
    ("flux", "dB"),
];

/// Pitch is counted in semitones from here, A0.
const BASE: f64 = 27.5;
/// Share of the power below the roll-off.
const ROLLOFF: f64 = 0.85;
/// Lowest and highest share of periodic power that a harmonicity is made of: −20 and 30 dB.
const PERIODIC: [f64; 2] = [0.01 / 1.01, 1000.0 / 1001.0];
/// Hertz on each side of a harmonic in which its power is looked for: half the width of a window's own peak.
const BESIDE: f64 = 16.0;

/// What a column is called, and what it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its unit: `dB`, `st` (semitones), `Hz`, `1/s`, `dB/octave`, or `1`.
    pub unit: &'static str,
}

/// The columns of a row, in their order.
pub fn columns() -> Vec<Column> {
    let single = SINGLE.iter().map(|(name, unit)| Column { name: (*name).to_owned(), unit });
    let bands = (1..=BANDS).map(|i| Column { name: format!("mel_{i:02}"), unit: "dB" });
    let cepstrum = (1..=CEPSTRUM).map(|i| Column { name: format!("mfcc_{i:02}"), unit: "dB" });
    single.chain(bands).chain(cepstrum).collect()
}

fn decibels(power: f64) -> f64 {
    10.0 * power.log10()
}

/// The values of a sound's rows.
pub(super) fn of(rows: &[Row]) -> Vec<f32> {
    let mean = decibels(rows.iter().map(|row| row.power).sum::<f64>() / rows.len().max(1) as f64);
    let candidates: Vec<&[pitch::Candidate]> = rows.iter().map(|row| row.candidates.as_slice()).collect();
    let hertz = pitch::path(&candidates);
    let pitches: Vec<Option<f64>> =
        hertz.iter().map(|found| found.map(|hertz| 12.0 * (hertz / BASE).log2())).collect();
    let usual = median(pitches.iter().flatten().copied().collect());
    let octaves = centres().map(f64::log2);
    let mut values = Vec::with_capacity(rows.len() * WIDTH);
    let mut before = None;
    for ((row, hertz), pitch) in rows.iter().zip(&hertz).zip(&pitches) {
        let (last_row, last_pitch) = before.unwrap_or((row, None));
        let level = decibels(row.power);
        let periodic = row.voicing.clamp(PERIODIC[0], PERIODIC[1]);
        let change = pitch.zip(last_pitch).map_or(0.0, |(now, last): (f64, f64)| (now - last).abs());
        let (centroid, spread) = row.moments();
        let rise = row.bands.iter().zip(&last_row.bands).map(|(now, last)| (now - last).max(0.0));
        let single: [f64; SINGLE.len()] = [
            level,
            level - mean,
            row.voicing,
            decibels(periodic / (1.0 - periodic)),
            pitch.unwrap_or(0.0),
            pitch.map_or(0.0, |pitch| pitch - usual),
            change,
            hertz.map_or(0.0, |f| decibels(row.near(f) / row.near(2.0 * f))),
            row.crossings,
            centroid,
            spread,
            row.rolloff(),
            row.flatness(),
            slope(&octaves, &row.bands),
            rise.sum::<f64>() / BANDS as f64,
        ];
        let all = single.iter().chain(&row.bands).copied().chain(cepstrum(&row.bands));
        values.extend(all.map(|v| v as f32));
        before = Some((row, *pitch));
    }
    values
}

impl Row {
    /// Frequencies with their shares of the power.
    fn shares(&self) -> impl Iterator<Item = (f64, f64)> {
        let hertz = |i: usize| self.first + i as f64 * self.step;
        self.bins.iter().enumerate().map(move |(i, power)| (hertz(i), power / self.power))
    }

    /// Mean frequency and deviation.
    fn moments(&self) -> (f64, f64) {
        let mean: f64 = self.shares().map(|(f, share)| f * share).sum();
        (mean, self.shares().map(|(f, share)| (f - mean).powi(2) * share).sum::<f64>().sqrt())
    }

    /// The lowest frequency up to which so much of the power lies.
    fn rolloff(&self) -> f64 {
        let mut sum = 0.0;
        let reached = |&(_, share): &(f64, f64)| {
            sum += share;
            sum >= ROLLOFF
        };
        self.shares().find(reached).map_or(HIGH, |(f, _)| f)
    }

    /// The geometric mean of the power over the arithmetic one.
    fn flatness(&self) -> f64 {
        let count = self.bins.len().max(1) as f64;
        let logarithms = self.bins.iter().map(|&power| decibels(power)).sum::<f64>() / count;
        logarithms - decibels(self.power / count)
    }

    /// The most power of a bin near a frequency.
    fn near(&self, hertz: f64) -> f64 {
        let inside = self.bins.iter().enumerate();
        let close = |(i, power): (usize, &f64)| {
            ((self.first + i as f64 * self.step - hertz).abs() <= BESIDE).then_some(*power)
        };
        inside.filter_map(close).fold(f64::MIN_POSITIVE, f64::max)
    }
}

/// Hertz of the middle of each band.
fn centres() -> [f64; BANDS] {
    std::array::from_fn(|i| hertz(mel(HIGH) * (i + 1) as f64 / (BANDS + 1) as f64))
}

/// Of the line that comes closest to points, by least squares.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let (mx, my) = (mean(x), mean(y));
    let both: f64 = x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum();
    both / x.iter().map(|x| (x - mx).powi(2)).sum::<f64>()
}

/// Orthonormal cosine transform (DCT-II) of the bands, without its constant term.
fn cepstrum(bands: &[f64]) -> impl Iterator<Item = f64> {
    let count = BANDS as f64;
    (1..=CEPSTRUM).map(move |k| {
        let angle = |i: usize| std::f64::consts::PI * k as f64 * (i as f64 + 0.5) / count;
        let terms = bands.iter().enumerate().map(|(i, band)| band * angle(i).cos());
        (2.0 / count).sqrt() * terms.sum::<f64>()
    })
}

/// The middle one, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => 0.0,
    }
}
