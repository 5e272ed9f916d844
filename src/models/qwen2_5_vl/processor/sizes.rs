//! At what size a picture is seen: sides in whole tokens, within bounds on pixels.

use crate::{Error, Result};

/// Height and width, in this order, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Longest side of a picture.
pub(super) const MAX_SIDE: usize = 1 << 16;

impl Size {
    /// Refuses sides of zero and above 2^16.
    pub(super) fn check(self, what: &str) -> Result<()> {
        let Self { height, width } = self;
        if (1..=MAX_SIDE).contains(&height) && (1..=MAX_SIDE).contains(&width) {
            return Ok(());
        }
        let reason =
            format!("expected sides of 1 ..= {MAX_SIDE} pixels, found {height} × {width} (height × width)");
        Err(Error::input(what, reason))
    }
}

/// Bounds on the pixels of a resized picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelLimits {
    /// At least so many.
    pub min: f64,
    /// At most so many; a fraction of a pixel counts, since a clip's share of all pixels need not be whole.
    pub max: f64,
}

/// Tokens of a context that the pixels of one video may fill, as qwen-vl-utils has it.
const CONTEXT: f64 = 128_000.0;
/// Longer by shorter side, at most.
const MAX_RATIO: f64 = 200.0;

impl PixelLimits {
    /// An image's bounds in qwen-vl-utils: 4 to 16384 tokens, of `factor` × `factor` pixels each. They are
    /// the `min_pixels` 3136 and `max_pixels` 12845056 of the published `preprocessor_config.json`. The
    /// default of transformers' class is lower: 1003520, 1280 tokens.
    pub fn image(factor: usize) -> Self {
        let token = (factor * factor) as f64;
        Self { min: 4.0 * token, max: 16_384.0 * token }
    }

    /// Bounds for each of a video's `frames` in qwen-vl-utils: 128 to 768 tokens, fewer where two frames'
    /// share of 90 % of a context of 128000 tokens is less, but never below 1.05 times the least.
    ///
    /// `max` is the user's own bound, used where it is lower, as `max_pixels` is there.
    pub fn video(factor: usize, frames: usize, max: Option<f64>) -> Self {
        let token = (factor * factor) as f64;
        let min = 128.0 * token;
        let share = CONTEXT * token * 0.9 / frames.max(1) as f64 * 2.0;
        let most = (768.0 * token).min(share).max((min * 1.05).trunc());
        Self { min, max: max.map_or(most, |own| own.min(most)) }
    }
}

/// The size with sides in multiples of `factor` (28: two patches of 14) that keeps the aspect ratio best and
/// the pixels within bounds.
///
/// Agrees with qwen-vl-utils 0.0.14, except where that gives a side of 0, which here is `factor`, as in
/// transformers since 4.57. Then, as there, the bounds may be missed.
///
/// # Errors
/// [`Error::Input`] for sides of zero or above 65536, sides more than 200 times apart, and bounds that are
/// not positive or in the wrong order.
pub fn smart_resize(size: Size, factor: usize, limits: &PixelLimits) -> Result<Size> {
    size.check("picture")?;
    if !(1..=MAX_SIDE).contains(&factor) {
        return Err(Error::input("factor", format!("expected 1 ..= {MAX_SIDE}, found {factor}")));
    }
    if !(limits.min > 0.0 && limits.max >= limits.min && limits.max <= (MAX_SIDE as f64).powi(2)) {
        let reason = format!("expected 0 < min <= max <= 2^32, found {} and {}", limits.min, limits.max);
        return Err(Error::input("pixel limits", reason));
    }
    let (height, width) = (size.height as f64, size.width as f64);
    if height.max(width) / height.min(width) > MAX_RATIO {
        let reason = format!("expected sides up to {MAX_RATIO} times apart, found {height} × {width}");
        return Err(Error::input("picture", reason));
    }
    let step = factor as f64;
    // Halves go to the even neighbour, as Python's `round` does.
    let nearest = |side: f64| (side / step).round_ties_even().max(1.0) * step;
    let (mut new_height, mut new_width) = (nearest(height), nearest(width));
    if new_height * new_width > limits.max {
        let shrink = (height * width / limits.max).sqrt();
        let below = |side: f64| (side / shrink / step).floor().max(1.0) * step;
        (new_height, new_width) = (below(height), below(width));
    } else if new_height * new_width < limits.min {
        let grow = (limits.min / (height * width)).sqrt();
        let above = |side: f64| (side * grow / step).ceil() * step;
        (new_height, new_width) = (above(height), above(width));
    }
    let new = Size { height: new_height as usize, width: new_width as usize };
    new.check("resized picture")?;
    Ok(new)
}

#[cfg(test)]
mod tests;
