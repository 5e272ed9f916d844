//! Opening models and videos.

use crate::Cli;
use crate::warning::warn;
use foveal::models::qwen2_5_vl::processor::ClipInfo;
use foveal::models::qwen2_5_vl::processor::{PixelLimits, VisionProcessor, sample};
use foveal::models::qwen2_5_vl::{Grid, Placement, QwenVlConfig};
use foveal::pipelines::video_qa::{
    FrameSource, Look, QaDefaults, QaPlanRequest, SourceInfo, VideoQa, memory_plan,
};
use foveal::pipelines::videos::{Video, VideoOptions};
use foveal::{Context, ContextOptions, Result};
use std::path::{Path, PathBuf};

/// A path below the root of the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Opens a video.
pub(crate) fn video(cli: &Cli, path: &Path) -> Result<Video> {
    Video::open_with(path, &VideoOptions { picture_rate: cli.frames.folder_fps })
}

/// Opens the device and the model, and says what the first video will need.
///
/// # Errors
/// Those of the folder and the device, and a plan that does not fit the budget.
pub(crate) async fn model(cli: &Cli, first: Option<SourceInfo>) -> Result<VideoQa> {
    let folder = cli.place.model.clone().unwrap_or_else(|| in_repository("models/tiny-qwen-vl"));
    let options = ContextOptions::default().adapter(cli.place.adapter.clone());
    let context = Context::new(options).await?;
    eprintln!("adapter: {}", context.caps());
    let placement = match first {
        Some(info) => placement(cli, &folder, &context, info).await?,
        None if cli.place.stream => Placement::Streamed,
        None => Placement::Resident,
    };
    let model = VideoQa::open_as(&context, &folder, cli.place.precision, placement)?;
    model.warnings().iter().for_each(warn);
    Ok(model)
}

/// Where the blocks are to be, so that what is planned fits.
async fn placement(cli: &Cli, folder: &Path, context: &Context, info: SourceInfo) -> Result<Placement> {
    let config = QwenVlConfig::open(folder)?;
    let look = cli.frames.look(&QaDefaults::read(folder)?);
    let (grid, frames) = grid(&config, &look, info)?;
    let layers = config.layers;
    let plan = |placement| {
        let request = QaPlanRequest {
            precision: cli.place.precision,
            placement,
            // A question of some length, and the time of each step.
            text_tokens: 200 + 12 * grid[0],
            max_tokens: cli.asking.max_tokens(),
            selection: cli.asking.choosing.selection(layers, 0)?,
            chunk: cli.asking.chunk(),
            ..QaPlanRequest::new(config.clone(), grid)
        };
        Ok(request)
    };
    let first = if cli.place.stream { Placement::Streamed } else { Placement::Resident };
    let mut placement = first;
    let caps = context.caps().clone();
    let mut planned = memory_plan(&plan(first)?, caps.clone()).await?;
    if let Some(budget) = cli.place.budget {
        let bytes = (budget * 1e9) as u64;
        if planned.peak() > bytes && first == Placement::Resident {
            placement = Placement::Streamed;
            planned = memory_plan(&plan(placement)?, caps).await?;
        }
        planned.require(bytes)?;
    }
    let [steps, rows, columns] = grid;
    let tokens = steps * rows * columns / (config.vision.merge_size * config.vision.merge_size).max(1);
    eprintln!(
        "plan: {frames} frames, {tokens} video tokens, {:.2} GB of device memory at most{}",
        planned.peak() as f64 / 1e9,
        if placement == Placement::Streamed { ", blocks read from the file each time" } else { "" }
    );
    Ok(placement)
}

/// Patches of a video as it will be looked at, and its frames.
fn grid(config: &QwenVlConfig, look: &Look, info: SourceInfo) -> Result<(Grid, usize)> {
    let clip = ClipInfo { frames: info.frames, fps: info.fps, start: look.start, end: look.end };
    let mut sampling = look.sampling;
    sampling.multiple = config.vision.temporal_patch_size;
    let frames = sample(&clip, &sampling)?.indices.len();
    let limits: Option<PixelLimits> = look.limits;
    Ok((VisionProcessor::video(&config.vision, info.size, frames, limits)?.grid(frames)?, frames))
}

/// What is known of a video.
pub(crate) fn info(video: &Video) -> SourceInfo {
    FrameSource::info(video)
}
