//! From pixels to a video's tokens.

use super::source::{FrameSource, SourceInfo};
use crate::models::qwen2_5_vl::positions::temporal_ids;
use crate::models::qwen2_5_vl::processor::frames::step_middles;
use crate::models::qwen2_5_vl::processor::{
    ClipInfo, FrameSampling, PixelLimits, RgbFrame, SampledFrames, Size, VisionProcessor, sample,
};
use crate::models::qwen2_5_vl::{Grid, MropeRule, QwenVisionConfig, QwenVl, VideoGrid};
use crate::pipelines::go_on;
use crate::{Error, Result, Tensor};
use std::ops::ControlFlow;

/// How a video is looked at: `Look { sampling, ..Look::default() }`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// Frames a second, and how many at most.
    pub sampling: FrameSampling,
    /// First second that is looked at, by the mean number of frames a second; `None` from the start.
    pub start: Option<f64>,
    /// Last second; `None` to the end.
    pub end: Option<f64>,
    /// Bounds on a frame's pixels, of which the upper one falls with the number of frames as qwen-vl-utils has it; without, its own.
    pub limits: Option<PixelLimits>,
}

/// What a look at a video takes of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LookPlan {
    /// The frames.
    pub frames: SampledFrames,
    /// Makes their patches.
    pub processor: VisionProcessor,
    /// Patches along time, height and width.
    pub grid: Grid,
}

impl Look {
    /// What it takes of a video.
    ///
    /// # Errors
    /// [`Error::Input`] for a video without frames, and rates, times and limits that make no sense.
    pub fn plan(&self, vision: &QwenVisionConfig, source: SourceInfo) -> Result<LookPlan> {
        let SourceInfo { frames, fps, size } = source;
        let clip = ClipInfo { frames, fps, start: self.start, end: self.end };
        let sampling = FrameSampling { multiple: vision.temporal_patch_size, ..self.sampling };
        let sampled = sample(&clip, &sampling)?;
        let count = sampled.indices.len();
        let factor = vision.patch_size * vision.merge_size;
        let limits = self.limits.map(|own| {
            let most = PixelLimits::video(factor, count, Some(own.max)).max;
            PixelLimits { min: own.min, max: most.max(own.min) }
        });
        let processor = VisionProcessor::video(vision, size, count, limits)?;
        let grid = processor.grid(count)?;
        Ok(LookPlan { frames: sampled, processor, grid })
    }
}

/// An image or a video as the language model sees it. One serves any number of questions.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Visual {
    /// Tokens `(tokens, hidden)`: steps, then rows, then columns.
    pub tokens: Tensor,
    /// Patches along time, height and width.
    pub grid: Grid,
    /// Tokens along time, height and width.
    pub units: Grid,
    /// Of the source's frames.
    pub size: Size,
    /// What frames were resized to. Boxes in answers are in pixels of this.
    pub resized: Size,
    /// The frames that were looked at, by number; empty for an image.
    pub frames: Vec<usize>,
    /// The second at which each is shown; empty for an image.
    pub times: Vec<f64>,
    /// Frames of one temporal step.
    pub frames_per_step: usize,
    /// Seconds from one temporal step to the next; `None` for an image.
    pub second_per_grid: Option<f32>,
}

impl Visual {
    /// The second in the middle of each temporal step; empty for an image.
    pub fn step_times(&self) -> Vec<f64> {
        step_middles(&self.times, self.frames_per_step)
    }

    /// A box in pixels of what the model sees, as left, top, right and bottom, in pixels of the source, within its edges.
    pub fn to_source(&self, [x1, y1, x2, y2]: [f64; 4]) -> [f64; 4] {
        let scale =
            |v: f64, from: usize, to: usize| (v * to as f64 / from.max(1) as f64).clamp(0.0, to as f64);
        let x = |v| scale(v, self.resized.width, self.size.width);
        let y = |v| scale(v, self.resized.height, self.size.height);
        [x(x1), y(y1), x(x2), y(y2)]
    }

    /// What a user should know, a sentence each.
    ///
    /// # Errors
    /// As [`temporal_ids`].
    pub fn warnings(&self, tokens_per_second: usize, rule: MropeRule) -> Result<Vec<String>> {
        let Some(seconds) = self.second_per_grid else { return Ok(Vec::new()) };
        let times = temporal_ids(self.grid[0], seconds, tokens_per_second, rule)?;
        let shared = times.windows(2).filter(|pair| matches!(pair, [a, b] if a == b)).count();
        Ok((shared > 0)
            .then(|| {
                format!(
                    "{shared} of {} temporal steps share their time with the one before, so the model sees them as one moment: \
                     a position is {:.2} s and a step {seconds:.2} s; look at fewer frames a second, or state times as text",
                    times.len(),
                    1.0 / tokens_per_second.max(1) as f64
                )
            })
            .into_iter()
            .collect())
    }

    /// Its grid and the seconds of a step, as a prompt's [`Medium`](super::Medium) wants them; `None` for an image.
    pub fn video_grid(&self) -> Option<VideoGrid> {
        Some(VideoGrid { grid: self.grid, second_per_grid: self.second_per_grid? })
    }
}

/// Encodes a video, one temporal step at a time, so that a long one takes no more memory than its tokens. `hook` is told how many
/// steps of how many are done.
///
/// # Errors
/// [`Error::Input`] for a video without frames, rates and limits that make no sense, and frames of another size than the source
/// says; [`Error::Cancelled`] where the hook breaks off; otherwise those of the source and of the kernels.
pub async fn look_at_video<S: FrameSource + ?Sized>(
    model: &QwenVl,
    source: &mut S,
    look: &Look,
    mut hook: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Visual> {
    let vision = model.vision.config();
    let info = source.info();
    let LookPlan { frames: sampled, processor, grid } = look.plan(vision, info)?;
    let plan = model.vision.plan(grid[1], grid[2])?;
    let per_step = plan.tokens();
    let mut tokens = None;
    let mut times = Vec::with_capacity(sampled.indices.len());
    let steps = grid[0];
    for (step, indices) in sampled.indices.chunks(vision.temporal_patch_size).enumerate() {
        let mut pixels: Vec<(Size, Vec<u8>)> = Vec::with_capacity(indices.len());
        source.frames(indices, &mut |_, time, frame| {
            times.push(time);
            pixels.push((frame.size(), frame.pixels().to_vec()));
            Ok(())
        })?;
        if pixels.len() != indices.len() {
            let reason = format!("{} frames where {} were asked for", pixels.len(), indices.len());
            return Err(Error::input("video", reason));
        }
        let slice: Vec<RgbFrame<'_>> = pixels
            .iter()
            .map(|(size, bytes)| RgbFrame::new(size.height, size.width, bytes))
            .collect::<Result<_>>()?;
        let encoded = model.vision.encode(&plan, &processor.slice(&slice)?)?;
        let whole = match &tokens {
            Some(whole) => whole,
            None => tokens.insert(Tensor::empty(
                encoded.context(),
                [steps * per_step, encoded.len() / per_step.max(1)],
                encoded.dtype(),
            )?),
        };
        encoded.copy_to(&whole.narrow(step * per_step, per_step)?)?;
        // Before the next step is decoded, so that uploads do not pile up.
        whole.context().finish().await?;
        go_on(hook(step + 1, steps), || format!("looking at step {} of {steps}", step + 1))?;
    }
    let Some(tokens) = tokens else { return Err(Error::input("video", "it has no frames")) };
    Ok(Visual {
        tokens,
        grid,
        units: [steps, grid[1] / vision.merge_size.max(1), grid[2] / vision.merge_size.max(1)],
        size: info.size,
        resized: processor.resized(),
        second_per_grid: Some(sampled.second_per_grid()),
        frames: sampled.indices,
        times,
        frames_per_step: vision.temporal_patch_size,
    })
}

/// Encodes an image.
///
/// # Errors
/// [`Error::Input`] for limits that make no sense; otherwise those of the kernels.
pub fn look_at_image(model: &QwenVl, image: &RgbFrame<'_>, limits: Option<PixelLimits>) -> Result<Visual> {
    let vision = model.vision.config();
    let processor = VisionProcessor::image(vision, image.size(), limits)?;
    let grid = processor.grid(1)?;
    let plan = model.vision.plan(grid[1], grid[2])?;
    let tokens = model.vision.encode(&plan, &processor.slice(std::slice::from_ref(image))?)?;
    Ok(Visual {
        tokens,
        grid,
        units: [1, grid[1] / vision.merge_size.max(1), grid[2] / vision.merge_size.max(1)],
        size: image.size(),
        resized: processor.resized(),
        second_per_grid: None,
        frames: Vec::new(),
        times: Vec::new(),
        frames_per_step: 1,
    })
}
