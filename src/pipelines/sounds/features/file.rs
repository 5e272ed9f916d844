//! Files of speech: sounds, and films for their sound.

use super::super::Recording;
use crate::{Error, Result};
use std::io::Read;
use std::path::Path;

/// Extensions of files that hold pictures first.
const FILMS: [&str; 15] = [
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "wmv", "flv", "3gp", "3g2", "ts", "m2ts", "ogv",
];

/// Extensions of files that hold sound alone, whatever they begin with: telephones write mp4 brands into theirs.
const SOUNDS: [&str; 3] = ["m4a", "m4b", "mka"];

/// Reads a sound as [`Recording::open`] does, and of a film (mp4, mov, mkv) the sound that it plays by default.
///
/// # Errors
/// Those of [`Recording::open`]; of a film whose sound is not read the error says how to take it out.
pub fn open_speech(path: impl AsRef<Path>) -> Result<Recording> {
    let path = path.as_ref();
    let opened = Recording::open(path, None);
    let Err(Error::File { reason, .. }) = &opened else { return opened };
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let mut head = Vec::new();
    // Only of a regular file: a pipe would wait for ever, and its bytes are gone.
    if std::fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        file.take(12).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
    }
    let film = !SOUNDS.contains(&extension.as_str()) && is_film(&head);
    if !FILMS.contains(&extension.as_str()) && !film {
        return opened;
    }
    let (name, other) = (path.display(), if extension == "wav" { "sound.wav" } else { "wav" });
    let way = format!("ffmpeg -i \"{name}\" -vn \"{}\"", path.with_extension(other).display());
    Err(Error::file(path, format!("{reason}; a film's sound can be taken out by `{way}`")))
}

/// Whether a file begins as mp4, Matroska, AVI or an MPEG program stream do.
fn is_film(head: &[u8]) -> bool {
    let at = |from: usize, len: usize| head.get(from..from + len).unwrap_or_default();
    // Some m4a say that they are an mp4 without pictures.
    let mp4 = at(4, 4) == b"ftyp" && !matches!(at(8, 3), b"M4A" | b"M4B");
    let avi = at(0, 4) == b"RIFF" && at(8, 4) == b"AVI ";
    mp4 || avi || matches!(at(0, 4), [0x1a, 0x45, 0xdf, 0xa3] | [0, 0, 1, 0xba])
}
