//! From a file, or its bytes, to a recording.

use super::decode;
use super::recording::{Recording, Sound};
use crate::Result;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

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
}

impl Recording {
    /// Reads a file: wav (RF64 and BW64 too, and from a pipe), aiff, caf, mp3, flac, ogg, m4a or mkv; PCM, A-law, µ-law,
    /// ADPCM, MPEG audio, FLAC, Vorbis, AAC and ALAC within them. `wanted` are the seconds of it to decode, without which
    /// it is all of at most ten minutes; of a longer file only the seconds that are wanted are kept in memory.
    ///
    /// A file that breaks off ends there. A packet that cannot be decoded (damaged or, in mp3, of other channels or another
    /// rate than the first one) is silence of its length: what comes after it keeps its time. [`warnings`](Self::warnings)
    /// say so. The first ones that cannot be decoded are left out.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the file cannot be read; [`Error::File`](crate::Error::File) when it is in none of the formats (Opus is not read),
    /// without a packet that can be decoded, or without one in the seconds that are wanted, when those are empty or more
    /// than ten minutes, when all its samples together are too many to keep, and for a rate outside 1 kHz ..= 192 kHz;
    /// [`Error::NonFinite`](crate::Error::NonFinite) for a NaN or infinity among its samples.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: impl AsRef<Path>, wanted: Option<Range<f64>>) -> Result<Self> {
        let path = path.as_ref();
        let io = |e| crate::Error::io(path, e);
        // A link to a device would never end and a pipe never begin.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(crate::Error::file(path, "not a regular file"));
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
}
