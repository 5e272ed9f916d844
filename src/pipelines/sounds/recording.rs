//! What a file holds, channel by channel.

use super::decode::{self, RATES};
use crate::{Error, Result};
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

/// A sound of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples, full scale being −1..1.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
}

impl Sound {
    /// The whole of a file, of at most ten minutes, as [`Recording::open`] reads it, and [mixed](Recording::mono).
    ///
    /// # Errors
    /// As [`Recording::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Recording::open(path, None).map(|recording| recording.mono())
    }

    /// The same from the bytes of a file; `name` stands in errors, and its extension is a hint at the format.
    ///
    /// # Errors
    /// As [`Recording::decode`].
    pub fn decode(bytes: Vec<u8>, name: impl AsRef<Path>) -> Result<Self> {
        Recording::decode(bytes, name, None).map(|recording| recording.mono())
    }

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
    /// Reads a file: wav (RF64 and BW64 too, and from a pipe), aiff, caf, mp3, flac, ogg, m4a or mkv; PCM, A-law, µ-law,
    /// ADPCM, MPEG audio, FLAC, Vorbis, AAC and ALAC within them. `wanted` are the seconds of it to decode, without which
    /// it is all of at most ten minutes; of a longer file only the seconds that are wanted are kept in memory.
    ///
    /// A file that breaks off ends there. A packet that cannot be decoded (damaged or, in mp3, of other channels or another
    /// rate than the first one) is silence of its length: what comes after it keeps its time. [`warnings`](Self::warnings)
    /// say so.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is in none of the formats (Opus is not read),
    /// without a packet that can be decoded, or without one in the seconds that are wanted, when those are empty or more
    /// than ten minutes, when all its samples together are too many to keep, and for a rate outside 1 kHz ..= 192 kHz;
    /// [`Error::NonFinite`] for a NaN or infinity among its samples.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>, wanted: Option<Range<f64>>) -> Result<Self> {
        let path = path.as_ref();
        let io = |e| Error::io(path, e);
        // A link to a device would never end and a pipe never begin.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(Error::file(path, "not a regular file"));
        }
        decode::read(Box::new(std::fs::File::open(path).map_err(io)?), path, wanted)
    }

    /// Decodes the bytes of a file; `name` stands in errors, and its extension is a hint at the format.
    ///
    /// # Errors
    /// As [`open`](Self::open), except that nothing is read.
    pub fn decode(bytes: Vec<u8>, name: impl AsRef<Path>, wanted: Option<Range<f64>>) -> Result<Self> {
        decode::read(Box::new(Cursor::new(bytes)), name.as_ref(), wanted)
    }

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
