//! What becomes of a clip.

use crate::{Error, HostTensor, Result};

/// A clip that was made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClipResult {
    /// `(channels, frames, height, width)`, pixels in −1..1 for a model without a VAE.
    pub clip: HostTensor,
    /// Pixel frames a second, as the model's folder says.
    pub fps: f64,
}

impl ClipResult {
    /// The clip as 8-bit RGB frames, see [`to_rgb`].
    ///
    /// # Errors
    /// Those of [`to_rgb`].
    pub fn to_rgb(&self) -> Result<Vec<Vec<u8>>> {
        to_rgb(&self.clip)
    }
}

/// A pixel-space clip `(3, frames, height, width)` in −1..1 as 8-bit RGB frames, row-major.
///
/// # Errors
/// [`Error::Input`] for another shape.
pub fn to_rgb(clip: &HostTensor) -> Result<Vec<Vec<u8>>> {
    let &[3, frames, height, width] = clip.shape().dims() else {
        return Err(Error::input("clip", format!("{} is not (3, frames, height, width)", clip.shape())));
    };
    let plane = height * width;
    let byte = |v: f32| ((v.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
    let pixel = |frame: usize, at: usize, channel: usize| {
        clip.data().get((channel * frames + frame) * plane + at).copied().unwrap_or(-1.0)
    };
    Ok((0..frames)
        .map(|f| (0..plane).flat_map(|at| (0..3).map(move |c| byte(pixel(f, at, c)))).collect())
        .collect())
}
