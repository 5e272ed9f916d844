//! Sound files and when something begins in them (feature `audio`).
//!
//! wav, mp3, flac and ogg are decoded to one channel. [`onset_envelope`] is the spectral flux of the sound: how
//! much louder each band of a mel spectrogram is than one window before, in decibels, averaged over the bands.
//! At 22,050 Hz its numbers are those of librosa's `onset_strength` (2048 samples a window, 512 a hop, 128
//! bands), which the released TempoControl reads; at other rates windows and bands keep their length in time and
//! their pitch, so that no resampling is needed. [`features`] describes speech by the same principle.

mod codebooks;
mod decode;
pub mod features;
mod mel;
mod onset;

pub use decode::Sound;
pub use onset::{Envelope, onset_envelope};
