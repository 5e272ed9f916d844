//! Named columns of numbers that describe how something is said, 25 rows a second.
//!
//! Row `k` belongs to the time `k / 25` s: a Hann window of 64 ms is centred there, and before and after itself the sound is
//! silent, so that the shortest sound has a row. All columns are read off the window's spectrum between 50 and 3,700 Hz. Since
//! windows and bands keep their length in time and their pitch at any sample rate, as in [`onset_envelope`](super::onset_envelope), a sound
//! has the same numbers at every rate from 8 kHz up, and no resampling is needed.
//!
//! To the window's power faint noise is added by formula, even over the band and −90 dB against full scale in all. Silence
//! so has the numbers of that noise: finite, and the same whatever the last bit of a recording does.
//!
//! `docs/sentiment.md` has the formula of every column. Columns are never changed under the same [`VERSION`]: who keeps rows
//! keeps [`NAME`] and version beside them, and knows later whether they can be made again.

mod columns;
#[cfg(not(target_arch = "wasm32"))]
mod file;
mod pitch;
mod window;

pub use columns::{Column, WIDTH, columns};
#[cfg(not(target_arch = "wasm32"))]
pub use file::open_speech;

use super::Sound;
use crate::{Error, Result};
use window::Analyser;

/// What the features are called where they are kept.
pub const NAME: &str = "foveal-speech";
/// Counts up when a column changes.
pub const VERSION: u32 = 1;
/// Rows a second.
pub const ROWS_PER_SECOND: u32 = 25;

/// Sample rates whose band reaches far enough, up to what is read of a file.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// The rows of a sound.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechFeatures {
    /// `(rows, WIDTH)`, the columns as [`columns`] lists them.
    pub values: Vec<f32>,
}

impl SpeechFeatures {
    /// Number of rows, never 0.
    pub fn rows(&self) -> usize {
        self.values.len() / WIDTH
    }

    /// One column by its name, a value a row.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that no column has.
    pub fn column(&self, name: &str) -> Result<Vec<f32>> {
        let at = columns().iter().position(|c| c.name == name);
        let at = at.ok_or_else(|| Error::input(name, format!("{NAME} {VERSION} has no such column")))?;
        Ok(self.values.iter().skip(at).step_by(WIDTH).copied().collect())
    }
}

/// The rows of a sound: one, and one more for each whole 40 ms of it.
///
/// # Errors
/// [`Error::Input`] for a sound without samples or of a rate outside 8 kHz ..= 192 kHz; [`Error::NonFinite`].
pub fn speech_features(sound: &Sound) -> Result<SpeechFeatures> {
    if !RATES.contains(&sound.rate) {
        let found = format!("{} samples a second; speech features want {RATES:?}", sound.rate);
        return Err(Error::input("sound", found));
    }
    super::recording::check(std::slice::from_ref(&sound.samples), sound.rate)?;
    let rate = u64::from(sound.rate);
    let hops = u64::from(ROWS_PER_SECOND);
    let mut analyser = Analyser::new(sound.rate);
    let rows = sound.samples.len() as u64 * hops / rate;
    // The nearest sample to the row's time: at rates that 25 does not divide too, rows do not drift.
    let centre = |row: u64| ((2 * row * rate + hops) / (2 * hops)) as usize;
    let windows: Vec<window::Row> = (0..=rows).map(|row| analyser.row(&sound.samples, centre(row))).collect();
    Ok(SpeechFeatures { values: columns::of(&windows) })
}

#[cfg(test)]
mod tests;
