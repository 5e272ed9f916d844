//! Sizes in pixels, as they are typed, and as the model takes them.

use foveal::pipelines::text_to_video::ClipDefaults;
use std::str::FromStr;

/// `WIDTHxHEIGHT`, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pixels {
    width: usize,
    height: usize,
}

impl FromStr for Pixels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<usize>> = text.split(['x', '×']).map(|n| n.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[width, height]) if width > 0 && height > 0 => Ok(Self { width, height }),
            Some([_, _, _]) => {
                Err("it is WIDTHxHEIGHT, such as 16x16; the number of frames is --frames".into())
            }
            _ => Err("it is not WIDTHxHEIGHT in whole pixels, such as 16x16".into()),
        }
    }
}

/// A number of pixel frames, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames(usize);

impl FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().parse().ok().filter(|n| *n > 0);
        number.map(Self).ok_or_else(|| "a whole number of at least 1 was expected".into())
    }
}

/// How a model's latent lies in pixels, and what it takes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lattice {
    /// Pixel frames of a latent frame: 1, or behind a VAE 4, whose first is of one.
    frames_per_latent: usize,
    /// Pixels of a latent place, in either direction.
    pixels_per_place: usize,
    /// Latent frames, rows and columns of a patch.
    patch: [usize; 3],
    /// Most patches in each direction.
    most: usize,
}

impl Lattice {
    /// Of a model, by what its folder says of its clips.
    pub(crate) fn new(defaults: &ClipDefaults, patch: [usize; 3], most: usize) -> Self {
        // Pixel-space models have pixels; behind Wan's VAE a place is 8 × 8 of them.
        let pixels_per_place = if defaults.frames_per_latent == 1 { 1 } else { 8 };
        Self { frames_per_latent: defaults.frames_per_latent, pixels_per_place, patch, most }
    }

    /// Latent frames, height and width of what was asked for, the model's own where nothing was.
    ///
    /// # Errors
    /// By the flag, for sizes that are no multiples of the model's patches, with those next to it, and for more than it has
    /// positions for.
    pub(crate) fn latent(
        &self,
        own: [usize; 3],
        size: Option<Pixels>,
        frames: Option<Frames>,
    ) -> Result<[usize; 3], String> {
        let [patch_frames, patch_rows, patch_columns] = self.patch;
        let mut latent = own;
        if let Some(Pixels { width, height }) = size {
            let along = |name: &str, pixels: usize, patch: usize| {
                let flag = format!("--size {width}x{height}: the {name}");
                places(&flag, pixels, self.pixels_per_place, patch, self.most)
            };
            latent = [own[0], along("height", height, patch_rows)?, along("width", width, patch_columns)?];
        }
        if let Some(Frames(count)) = frames {
            // Behind a VAE the first latent frame is one pixel frame, and each other is as many as the stride.
            let stride = self.frames_per_latent.max(1);
            let after_first = count - 1;
            if !after_first.is_multiple_of(stride) {
                let (low, high) = (count - after_first % stride, count - after_first % stride + stride);
                return Err(format!(
                    "--frames {count}: this model makes 1 frame and {stride} for each further latent frame, such as {low} or {high}"
                ));
            }
            let most = self.most.saturating_mul(patch_frames);
            let most = stride.saturating_mul(most.saturating_sub(1)).saturating_add(1);
            if count > most {
                return Err(format!(
                    "--frames {count}: the number is more than this model has positions for, {most}"
                ));
            }
            latent[0] = places(
                &format!("--frames {count}: the number"),
                1 + after_first / stride,
                1,
                patch_frames,
                self.most,
            )?;
        }
        Ok(latent)
    }
}

/// Latent places of so many pixels.
fn places(flag: &str, pixels: usize, per_place: usize, patch: usize, most: usize) -> Result<usize, String> {
    let unit = per_place.saturating_mul(patch).max(1);
    if !pixels.is_multiple_of(unit) {
        let (low, high) = (pixels / unit * unit, (pixels / unit).saturating_add(1).saturating_mul(unit));
        let near = if low == 0 { format!("{high}") } else { format!("{low} or {high}") };
        return Err(format!("{flag} has to be a multiple of {unit}, such as {near}"));
    }
    if pixels / unit > most {
        return Err(format!(
            "{flag} is more than this model has positions for, {}",
            most.saturating_mul(unit)
        ));
    }
    Ok(pixels / per_place)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const PIXELS: Lattice = Lattice { frames_per_latent: 1, pixels_per_place: 1, patch: [1, 2, 2], most: 64 };
    const VAE: Lattice = Lattice { frames_per_latent: 4, pixels_per_place: 8, patch: [1, 2, 2], most: 1024 };

    fn of(lattice: Lattice, size: &str, frames: &str) -> Result<[usize; 3], String> {
        let size = (!size.is_empty()).then(|| size.parse()).transpose()?;
        let frames = (!frames.is_empty()).then(|| frames.parse()).transpose()?;
        lattice.latent([8, 16, 16], size, frames)
    }

    #[test]
    fn pixels_become_places() {
        assert_eq!(of(PIXELS, "", ""), Ok([8, 16, 16]));
        assert_eq!(of(PIXELS, "32x24", ""), Ok([8, 24, 32]));
        assert_eq!(of(PIXELS, "32×24", "12"), Ok([12, 24, 32]));
        assert_eq!(of(PIXELS, "128x2", "64"), Ok([64, 2, 128]));
        assert_eq!(of(VAE, "832x480", "81"), Ok([21, 60, 104]));
        assert_eq!(of(VAE, "16x16", "1"), Ok([1, 2, 2]));
    }

    #[test]
    fn other_sizes_are_refused_with_the_next_ones() {
        for (lattice, size, frames, words) in [
            (PIXELS, "33x24", "", "--size 33x24: the width has to be a multiple of 2, such as 32 or 34"),
            (PIXELS, "32x1", "", "the height has to be a multiple of 2, such as 2"),
            (PIXELS, "130x16", "", "the width is more than this model has positions for, 128"),
            (PIXELS, "", "65", "--frames 65: the number is more than this model has positions for, 64"),
            (VAE, "", "8193", "positions for, 4093"),
            (VAE, "840x480", "", "the width has to be a multiple of 16, such as 832 or 848"),
            (
                VAE,
                "",
                "80",
                "--frames 80: this model makes 1 frame and 4 for each further latent frame, such as 77 or 81",
            ),
            (PIXELS, "18446744073709551615x2", "", "multiple of 2"),
            (PIXELS, "", "18446744073709551615", "positions"),
        ] {
            let text = of(lattice, size, frames).unwrap_err();
            assert!(text.contains(words), "{text}");
        }
        for text in ["", "16", "16x", "x16", "0x16", "16x0", "16x16x8", "16 by 16", "1e2x16", "-16x16"] {
            assert!(text.parse::<Pixels>().is_err(), "{text}");
        }
        assert!(["0", "", "-1", "2.5", "8f"].iter().all(|text| text.parse::<Frames>().is_err()));
    }
}
