//! Files to samples.

use crate::{Error, Result};
use std::io::Cursor;
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as Refused;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// Longest sound, in samples of one channel: an hour at 48 kHz. Bounds what a small compressed file can grow to.
const MAX_SAMPLES: usize = 48_000 * 3600;

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// A sound of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples, full scale being −1..1.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
}

impl Sound {
    /// Reads a wav, mp3, flac or ogg (Vorbis) file; several channels are averaged.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::File`] when it is in none of the formats, broken,
    /// silent of samples, longer than an hour at 48 kHz, or changes its channels or rate.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = crate::weights::file::read(path, MAX_BYTES, "a sound")?;
        Self::decode(bytes, path)
    }

    /// Decodes the bytes of a file; `name` stands in errors, and its extension is a hint at the format.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn decode(bytes: Vec<u8>, name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
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
        let mut decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(failed)?;
        let id = track.id;
        let (mut sound, mut interleaved) = (Self { samples: Vec::new(), rate: 0 }, Vec::<f32>::new());
        while let Some(packet) = reader.next_packet().map_err(failed)? {
            if packet.track_id != id {
                continue;
            }
            let decoded = match decoder.decode(&packet) {
                Ok(decoded) => decoded,
                // A damaged packet: players skip it, and the rest stays usable.
                Err(Refused::DecodeError(_)) => continue,
                Err(error) => return Err(failed(error)),
            };
            let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
            if rate == 0 || channels == 0 || (sound.rate != 0 && sound.rate != rate) {
                return Err(refuse("its sample rate is missing or changes"));
            }
            sound.rate = rate;
            decoded.copy_to_vec_interleaved(&mut interleaved);
            let mono = interleaved.chunks_exact(channels).map(|c| c.iter().sum::<f32>() / channels as f32);
            sound.samples.extend(mono);
            if sound.samples.len() > MAX_SAMPLES {
                return Err(refuse("it is longer than an hour"));
            }
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
