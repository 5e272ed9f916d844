//! Pixels of a temporal slice to the rows that the vision tower's first product reads.

use super::resize::{Resampling, RgbFrame, resize};
use super::sizes::{PixelLimits, Size, smart_resize};
use crate::models::qwen2_5_vl::{Grid, QwenVisionConfig, units};
use crate::{Error, Result};

/// Mean and standard deviation of red, green and blue, of values in 0 ..= 1, over what CLIP was trained on
/// (openai/CLIP).
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Makes patch rows of the frames of one image or clip, all of one size.
#[derive(Debug, Clone)]
pub struct VisionProcessor {
    from: Size,
    to: Size,
    resampling: Resampling,
    patch: usize,
    temporal: usize,
    merge: usize,
    /// What each byte of a channel becomes.
    values: Box<[[f32; 256]; 3]>,
}

impl VisionProcessor {
    /// For an image of this size, resampled as Pillow does.
    ///
    /// # Errors
    /// As [`smart_resize`].
    pub fn image(vision: &QwenVisionConfig, size: Size, limits: Option<PixelLimits>) -> Result<Self> {
        let limits = limits.unwrap_or_else(|| PixelLimits::image(vision.patch_size * vision.merge_size));
        Self::new(vision, size, &limits, Resampling::Pillow)
    }

    /// For `frames` frames of this size, resampled as torchvision does.
    ///
    /// # Errors
    /// As [`smart_resize`], and [`Error::Input`] for a clip of no frames.
    pub fn video(
        vision: &QwenVisionConfig,
        size: Size,
        frames: usize,
        limits: Option<PixelLimits>,
    ) -> Result<Self> {
        if frames == 0 {
            return Err(Error::input("frames", "expected at least one, found 0"));
        }
        let factor = vision.patch_size * vision.merge_size;
        let limits = limits.unwrap_or_else(|| PixelLimits::video(factor, frames, None));
        Self::new(vision, size, &limits, Resampling::Float)
    }

    /// Within these limits and by this arithmetic.
    ///
    /// # Errors
    /// As [`smart_resize`].
    pub fn new(
        vision: &QwenVisionConfig,
        size: Size,
        limits: &PixelLimits,
        resampling: Resampling,
    ) -> Result<Self> {
        let (patch, temporal, merge) = (vision.patch_size, vision.temporal_patch_size, vision.merge_size);
        if temporal == 0 {
            return Err(Error::input("temporal_patch_size", "expected at least one frame, found 0"));
        }
        let to = smart_resize(size, patch.saturating_mul(merge), limits)?;
        let mut values = Box::new([[0.0; 256]; 3]);
        for ((channel, mean), deviation) in values.iter_mut().zip(MEAN).zip(DEVIATION) {
            for (byte, value) in channel.iter_mut().enumerate() {
                // The scale in f64 and the rest in f32, as transformers' NumPy code does.
                let unit = (byte as f64 * (1.0 / 255.0)) as f32;
                *value = (unit - mean) / deviation;
            }
        }
        Ok(Self { from: size, to, resampling, patch, temporal, merge, values })
    }

    /// Size that frames are resampled to.
    pub fn resized(&self) -> Size {
        self.to
    }

    /// Patches along time, height and width of so many frames.
    ///
    /// # Errors
    /// [`Error::Input`] for no frames and for too many patches.
    pub fn grid(&self, frames: usize) -> Result<Grid> {
        let Size { height, width } = self.to;
        let grid = [frames.div_ceil(self.temporal), height / self.patch, width / self.patch];
        units("frames", grid, self.merge)?;
        Ok(grid)
    }

    /// Values of one row: channels, then frames, then rows and columns of a patch.
    pub fn row_values(&self) -> usize {
        3 * self.temporal * self.patch * self.patch
    }

    /// Rows of one temporal slice, row-major `(height * width patches, row_values)`, in merge-block order.
    ///
    /// Takes as many frames as a patch has; where a clip's last slice has fewer, its last frame is repeated.
    /// An image is one frame.
    ///
    /// # Errors
    /// [`Error::Input`] for no frames, too many, or one of another size than the clip's.
    pub fn slice(&self, frames: &[RgbFrame<'_>]) -> Result<Vec<f32>> {
        if !(1..=self.temporal).contains(&frames.len()) {
            let reason = format!("expected 1 ..= {} for a slice, found {}", self.temporal, frames.len());
            return Err(Error::input("frames", reason));
        }
        let [_, grid_height, grid_width] = self.grid(frames.len())?;
        let area = self.patch * self.patch;
        let row_values = self.row_values();
        let mut rows = vec![0.0; grid_height * grid_width * row_values];
        let mut resized = Vec::new();
        for step in 0..self.temporal {
            if let Some(frame) = frames.get(step) {
                resized = self.resize(step, frame)?;
            }
            let (pixels, _) = resized.as_chunks::<3>();
            for (at, row) in rows.chunks_exact_mut(row_values).enumerate() {
                let (y, x) = self.corner(at, grid_width);
                for line in 0..self.patch {
                    let start = (y + line) * self.to.width + x;
                    let Some(pixels) = pixels.get(start..start + self.patch) else { continue };
                    for (channel, values) in self.values.iter().enumerate() {
                        let start = (channel * self.temporal + step) * area + line * self.patch;
                        for (out, pixel) in row.iter_mut().skip(start).zip(pixels) {
                            *out = values[usize::from(pixel[channel])];
                        }
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Rows of all frames, a slice after another. A long clip has gigabytes of them: [`slice`](Self::slice)
    /// makes a few at a time.
    ///
    /// # Errors
    /// As [`slice`](Self::slice) and [`grid`](Self::grid).
    pub fn rows(&self, frames: &[RgbFrame<'_>]) -> Result<Vec<f32>> {
        self.grid(frames.len())?;
        let mut rows = Vec::new();
        for slice in frames.chunks(self.temporal) {
            rows.extend(self.slice(slice)?);
        }
        Ok(rows)
    }

    fn resize(&self, step: usize, frame: &RgbFrame<'_>) -> Result<Vec<u8>> {
        let found = frame.size();
        if found != self.from {
            let Size { height, width } = self.from;
            return Err(Error::input(
                format!("frame {step} of the slice"),
                format!(
                    "expected {height} × {width} (height × width), found {} × {}",
                    found.height, found.width
                ),
            ));
        }
        resize(frame, self.to, self.resampling)
    }

    /// Upper left pixel of the patch of a row: units row by row, then the patches of a unit.
    fn corner(&self, row: usize, grid_width: usize) -> (usize, usize) {
        let merge = self.merge;
        let (unit, within) = (row / (merge * merge), row % (merge * merge));
        let across = (grid_width / merge).max(1);
        let (y, x) = (unit / across * merge + within / merge, unit % across * merge + within % merge);
        (y * self.patch, x * self.patch)
    }
}

#[cfg(test)]
mod tests;
