//! Sound files and when something begins in them (feature `audio`).
//!
//! [`Recording`] is a file's channels, or some seconds of them, with what was damaged; [`Sound`] is one channel.
//!
//! [`onsets`] are the moments at which something begins, with how loud it is: what a curve follows that should follow a beat.
//! Equal beats are equally strong, whatever the sample rate, the level and the number of channels.
//!
//! [`onset_envelope`] is the spectral flux of the sound: how much louder each band of a mel spectrogram is than one window
//! before, in decibels, averaged over the bands. At 22,050 Hz its numbers are those of librosa's `onset_strength` (2048
//! samples a window, 512 a hop, 128 bands), which the released TempoControl reads; at other rates windows and bands keep their
//! length in time and their pitch, so that no resampling is needed. Of equal beats its values differ with where they fall
//! between hops.
//!
//! [`features`] describes speech by the same principle.

mod aiff;
mod bands;
mod codebooks;
mod decode;
pub mod features;
mod flux;
mod lead;
mod mel;
mod onsets;
mod open;
mod recording;
mod riff;
mod section;

pub use flux::{Envelope, onset_envelope};
pub use onsets::{Onset, onsets};
pub use recording::{Recording, Sound};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
