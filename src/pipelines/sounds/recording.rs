//! What a file holds, channel by channel.

use crate::{Error, Result};

/// Samples a second that are read: below, nothing of a sound is left; above, no recorder goes.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 1_000..=192_000;

/// A sound of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples, full scale being −1..1.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
}

impl Sound {
    /// Its length.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate.max(1))
    }
}

/// A sound with all its channels, and what was wrong with its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Samples of each channel, full scale being −1..1, all of one length.
    pub channels: Vec<Vec<f32>>,
    /// Samples a second.
    pub rate: u32,
    /// Damage that was passed over, in a reader's words: what could not be decoded and is silent, and where the file breaks
    /// off. Empty for a file without fault.
    pub warnings: Vec<String>,
}

impl Recording {
    /// Its length.
    pub fn seconds(&self) -> f64 {
        self.samples() as f64 / f64::from(self.rate.max(1))
    }

    /// Samples of a channel.
    pub(super) fn samples(&self) -> usize {
        self.channels.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The mean of the channels. A channel that mostly takes back what the one with the most power has, as one that was
    /// wired the wrong way round, is turned round first: the mean would be silence.
    pub fn mono(&self) -> Sound {
        let product = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let powers: Vec<f64> = self.channels.iter().map(|c| product(c, c)).collect();
        let strongest = (0..powers.len()).reduce(|a, b| if powers.get(b) > powers.get(a) { b } else { a });
        let leader = strongest.and_then(|i| Some((self.channels.get(i)?, *powers.get(i)?)));
        let mut samples = vec![0.0; self.samples()];
        for (channel, power) in self.channels.iter().zip(&powers) {
            let against =
                leader.is_some_and(|(leader, most)| product(leader, channel) < -0.5 * (most * power).sqrt());
            let share = if against { -1.0 } else { 1.0 } / self.channels.len() as f32;
            samples.iter_mut().zip(channel).for_each(|(sum, v)| *sum += share * v);
        }
        Sound { samples, rate: self.rate }
    }

    /// Fails for a recording that nothing can be measured of.
    ///
    /// # Errors
    /// [`Error::Input`] for one without samples, with channels of different lengths, or of a rate outside 1 kHz ..= 192 kHz;
    /// [`Error::NonFinite`].
    pub fn check(&self) -> Result<()> {
        check(&self.channels, self.rate)
    }
}

/// Fails for channels that nothing can be measured of.
pub(super) fn check(channels: &[Vec<f32>], rate: u32) -> Result<()> {
    let samples = channels.first().map_or(0, Vec::len);
    if samples == 0 {
        return Err(Error::input("sound", "it holds no samples"));
    }
    if let Some(other) = channels.iter().map(Vec::len).find(|n| *n != samples) {
        return Err(Error::input("sound", format!("channels of {samples} and of {other} samples")));
    }
    if !RATES.contains(&rate) {
        return Err(Error::input("sound", format!("{rate} samples a second, expected {RATES:?}")));
    }
    match channels.iter().find_map(|c| c.iter().position(|v| !v.is_finite())) {
        Some(index) => Err(Error::NonFinite { what: "sound".into(), index }),
        None => Ok(()),
    }
}

impl From<Sound> for Recording {
    fn from(sound: Sound) -> Self {
        Self { channels: vec![sound.samples], rate: sound.rate, warnings: Vec::new() }
    }
}
