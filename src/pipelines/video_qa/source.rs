//! Where frames come from: files, an app's own decoder, or memory.

use crate::models::qwen2_5_vl::processor::{RgbFrame, Size};
use crate::{Error, Result};

/// What is known of a video before its frames are decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SourceInfo {
    /// Frames.
    pub frames: usize,
    /// Frames a second, on average.
    pub fps: f64,
    /// Of each frame.
    pub size: Size,
}

/// A video that gives frames when it is asked for them, so that no more than a few are in memory.
pub trait FrameSource {
    /// What is known of it.
    fn info(&self) -> SourceInfo;

    /// Shows the frames `indices`, which do not fall, to `each`, one by one: with its index and the second at which it is shown.
    /// Calls one after another ask for later frames, or the last one again.
    ///
    /// # Errors
    /// Those of the source, and of `each`.
    fn frames(
        &mut self,
        indices: &[usize],
        each: &mut dyn FnMut(usize, f64, &RgbFrame<'_>) -> Result<()>,
    ) -> Result<()>;
}

/// A video in memory: frames of one size, evenly spaced.
#[derive(Debug, Clone)]
pub struct Clip {
    info: SourceInfo,
    frames: Vec<Vec<u8>>,
}

impl Clip {
    /// Frames of 8-bit RGB, row-major, `fps` of them a second.
    ///
    /// # Errors
    /// [`Error::Input`] for none, a rate that is not positive, and a frame that is not of that size.
    pub fn new(size: Size, fps: f64, frames: Vec<Vec<u8>>) -> Result<Self> {
        if frames.is_empty() {
            return Err(Error::input("clip", "it has no frames"));
        }
        if !(fps > 0.0 && fps.is_finite()) {
            return Err(Error::input("clip", format!("{fps} frames a second: expected a positive number")));
        }
        for (i, frame) in frames.iter().enumerate() {
            RgbFrame::new(size.height, size.width, frame)
                .map_err(|e| Error::input(format!("frame {i} of the clip"), e.to_string()))?;
        }
        Ok(Self { info: SourceInfo { frames: frames.len(), fps, size }, frames })
    }
}

impl FrameSource for Clip {
    fn info(&self) -> SourceInfo {
        self.info
    }

    fn frames(
        &mut self,
        indices: &[usize],
        each: &mut dyn FnMut(usize, f64, &RgbFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        let Size { height, width } = self.info.size;
        for &index in indices {
            let Some(frame) = self.frames.get(index) else {
                return Err(Error::input("clip", format!("frame {index} of {}", self.frames.len())));
            };
            each(index, index as f64 / self.info.fps, &RgbFrame::new(height, width, frame)?)?;
        }
        Ok(())
    }
}

#[cfg(all(feature = "video", not(target_arch = "wasm32")))]
impl FrameSource for crate::pipelines::videos::Video {
    fn info(&self) -> SourceInfo {
        let info = Self::info(self);
        SourceInfo {
            frames: info.frames(),
            // One picture lasts no time; any rate will do.
            fps: if info.rate > 0.0 { info.rate } else { 1.0 },
            size: Size { height: info.height, width: info.width },
        }
    }

    fn frames(
        &mut self,
        indices: &[usize],
        each: &mut dyn FnMut(usize, f64, &RgbFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        Self::frames(self, indices, &mut |index, frame| {
            each(index, frame.time, &RgbFrame::new(frame.height, frame.width, &frame.rgb)?)
        })
    }
}
