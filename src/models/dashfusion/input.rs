//! What a batch holds: frames of audio and vision, and which of them can be seen.

use crate::{Error, Result};

/// Which frames count, and what becomes of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Padding {
    /// Padding is masked everywhere: a clip's score does not depend on its batch, and a modality without frames is left
    /// out of alignment and fusion.
    #[default]
    Masked,
    /// As the released code has it: audio and vision are padded to the length of their position tables, frames whose
    /// features sum to zero are hidden from the encoders (never the first one), and after the encoders padding is zero
    /// vectors that still take part in every softmax. Scores depend on the longest text of a batch.
    Released,
}

/// Frames of one modality of a batch of clips.
#[derive(Debug, Clone, PartialEq)]
pub struct Frames {
    /// `(clips, frames, width)`, padded with anything.
    values: Vec<f32>,
    width: usize,
    /// Frames of every clip after padding.
    frames: usize,
    /// Numbers of the frames that the encoder sees, of each clip; none where the modality is missing.
    visible: Vec<Vec<usize>>,
}

/// Widest frame and longest position table, as a configuration may have them.
const LARGEST: usize = 1 << 16;

impl Frames {
    /// Pads the frames `(n, width)` of each clip as `padding` says; `table` is the most frames that the model's position
    /// table serves.
    ///
    /// # Errors
    /// [`Error::Input`] for a width or a table above 65536, values that are no whole frames, more frames than `table`,
    /// or, with [`Padding::Released`], a missing modality; [`Error::NonFinite`] for NaN and infinities.
    pub fn new(what: &str, clips: &[&[f32]], width: usize, table: usize, padding: Padding) -> Result<Self> {
        if width.max(table) > LARGEST {
            let reason = format!("{table} frames of width {width}: both are at most {LARGEST}");
            return Err(Error::input(what, reason));
        }
        let mut lengths = Vec::with_capacity(clips.len());
        for (clip, values) in clips.iter().enumerate() {
            if width == 0 || !values.len().is_multiple_of(width) {
                let reason = format!("{} values are no whole frames of width {width}", values.len());
                return Err(Error::input(format!("{what} of clip {clip}"), reason));
            }
            let length = values.len() / width;
            if length > table {
                let reason = format!("{length} frames; the model's position table has {table}");
                return Err(Error::input(format!("{what} of clip {clip}"), reason));
            }
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::NonFinite { what: format!("{what} of clip {clip}"), index });
            }
            if length == 0 && padding == Padding::Released {
                let reason = "it is missing, which the released model has no way to say";
                return Err(Error::input(format!("{what} of clip {clip}"), reason));
            }
            lengths.push(length);
        }
        let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
        let frames = if padding == Padding::Released { table } else { longest };
        let pad = |values: &&[f32]| {
            let missing = frames * width - values.len();
            values.iter().copied().chain(std::iter::repeat_n(0.0, missing)).collect::<Vec<_>>()
        };
        let values: Vec<f32> = clips.iter().flat_map(pad).collect();
        let seen = |(clip, &length): (usize, &usize)| match padding {
            Padding::Masked => (0..length).collect(),
            Padding::Released => (0..frames)
                .filter(|&t| {
                    let at = (clip * frames + t) * width;
                    t == 0 || values.get(at..at + width).is_some_and(|f| f.iter().sum::<f32>() != 0.0)
                })
                .collect(),
        };
        let visible = lengths.iter().enumerate().map(seen).collect();
        Ok(Self { values, width, frames, visible })
    }

    /// Values `(clips, frames, width)` as one matrix of frames.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Width of a frame.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Frames of every clip after padding.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Numbers of the frames that the encoder sees, by clip.
    pub fn visible(&self) -> &[Vec<usize>] {
        &self.visible
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn masked_takes_lengths_and_released_takes_zero_sums() {
        let a = [1.0, -1.0, 2.0, 3.0, 0.0, 0.0];
        let b = [0.0, 0.0];
        let masked = Frames::new("audio", &[&a, &b, &[]], 2, 5, Padding::Masked).unwrap();
        assert_eq!((masked.frames(), masked.visible()), (3, &[vec![0, 1, 2], vec![0], vec![]][..]));
        let released = Frames::new("audio", &[&a, &b], 2, 5, Padding::Released).unwrap();
        assert_eq!((released.frames(), released.visible()), (5, &[vec![0, 1], vec![0]][..]));
        let error = |v: &[f32], p| Frames::new("audio", &[v], 2, 2, p).unwrap_err().to_string();
        assert!(error(&a, Padding::Masked).contains("3 frames; the model's position table has 2"));
        assert!(error(&a[..3], Padding::Masked).contains("width 2"));
        assert!(error(&[0.0, f32::NAN], Padding::Masked).contains("audio of clip 0"));
        assert!(error(&[], Padding::Released).contains("missing"));
    }
}
