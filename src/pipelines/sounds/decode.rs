//! Files to samples.

use crate::error::without_panic;
use crate::{Error, Result};
use std::io::Cursor;
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as Refused;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// Longest sound in seconds. Together with [`RATES`] it bounds what a small compressed file can grow to: 461 MB, and
/// 115 MB at 48 kHz.
const MAX_SECONDS: usize = 600;

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
    /// Reads a wav, mp3, flac or ogg (Vorbis) file. Each packet's channels are averaged, so that their number does not
    /// matter and may change from packet to packet where the format allows it; the sample rate may not. A packet that
    /// cannot be decoded (damaged or, in mp3, of other channels or another rate than the first one) is silence of its
    /// length: what comes after it keeps its time.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is in none of the formats, broken, without a
    /// packet that can be decoded, longer than ten minutes at its rate, or of a rate that changes or lies outside
    /// 1 kHz ..= 192 kHz; [`Error::NonFinite`] for a NaN or infinity among its samples.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        // Ten minutes of uncompressed sound and more.
        const MAX_BYTES: u64 = 1 << 30;
        let path = path.as_ref();
        let bytes = crate::weights::file::read(path, MAX_BYTES, "a sound")?;
        Self::decode(bytes, path)
    }

    /// Decodes the bytes of a file; `name` stands in errors, and its extension is a hint at the format.
    ///
    /// # Errors
    /// As `open`, except that nothing is read.
    pub fn decode(bytes: Vec<u8>, name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
        // The library asserts what it believes of a Vorbis header.
        without_panic(|| Self::decode_unguarded(bytes, name))
            .unwrap_or_else(|| Err(Error::file(name, "its headers contradict themselves")))
    }

    fn decode_unguarded(bytes: Vec<u8>, name: &Path) -> Result<Self> {
        let refuse = |reason: &str| Error::file(name, format!("{reason} (wav, mp3, flac and ogg are read)"));
        let failed = |error: Refused| refuse(&error.to_string());
        let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
        let mut hint = Hint::new();
        if let Some(extension) = name.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
        let mut reader =
            symphonia::default::get_probe().probe(&hint, stream, format, metadata).map_err(failed)?;
        let track =
            reader.default_track(TrackType::Audio).ok_or_else(|| refuse("there is no sound in it"))?;
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio());
        let parameters = parameters.ok_or_else(|| refuse("its codec is not stated"))?;
        if parameters.extra_data.as_deref().is_some_and(super::codebooks::too_large) {
            return Err(refuse("its codebooks are larger than any encoder's"));
        }
        let mut decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(failed)?;
        let id = track.id;
        let (mut sound, mut interleaved) = (Self { samples: Vec::new(), rate: 0 }, Vec::<f32>::new());
        while let Some(packet) = reader.next_packet().map_err(failed)? {
            if packet.track_id != id {
                continue;
            }
            let known = |rate| MAX_SECONDS * if rate == 0 { *RATES.end() } else { rate } as usize;
            match decoder.decode(&packet) {
                Ok(decoded) => {
                    let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
                    if sound.rate != 0 && sound.rate != rate {
                        return Err(refuse(&format!(
                            "its sample rate changes from {} to {rate}",
                            sound.rate
                        )));
                    }
                    if !RATES.contains(&rate) || channels == 0 {
                        let found = format!("{rate} samples a second of {channels} channels");
                        return Err(refuse(&format!("{found}, expected {RATES:?} of at least one")));
                    }
                    sound.rate = rate;
                    decoded.copy_to_vec_interleaved(&mut interleaved);
                    let mono = interleaved.chunks_exact(channels);
                    sound.samples.extend(mono.map(|c| c.iter().sum::<f32>() / channels as f32));
                }
                Err(Refused::DecodeError(_)) => {
                    let lost = usize::try_from(packet.dur.get()).unwrap_or(usize::MAX);
                    let len = sound.samples.len().saturating_add(lost).min(known(sound.rate) + 1);
                    sound.samples.resize(len, 0.0);
                }
                Err(error) => return Err(failed(error)),
            };
            if sound.samples.len() > known(sound.rate) {
                return Err(refuse(&format!("it is longer than {MAX_SECONDS} seconds")));
            }
        }
        if sound.rate == 0 {
            return Err(refuse("nothing in it can be decoded"));
        }
        if sound.samples.is_empty() {
            return Err(refuse("it holds no samples"));
        }
        if let Some(index) = sound.samples.iter().position(|v| !v.is_finite()) {
            return Err(Error::NonFinite { what: format!("sound {}", name.display()), index });
        }
        Ok(sound)
    }

    /// Its length.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate.max(1))
    }
}
