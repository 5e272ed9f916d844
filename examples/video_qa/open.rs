//! Opening models and videos.

use crate::Cli;
use crate::repository::in_repository;
use crate::warning::warn;
use foveal::models::qwen2_5_vl::{Grid, Placement, QwenVlConfig};
use foveal::pipelines::video_qa::{LookPlan, QaDefaults, QaPlanRequest, SourceInfo, VideoQa, memory_plan};
use foveal::pipelines::videos::{Video, VideoOptions};
use foveal::{Context, ContextOptions, Result};
use std::path::Path;

/// Opens a video.
pub(crate) fn video(cli: &Cli, path: &Path) -> Result<Video> {
    Video::open_with(path, &VideoOptions { picture_rate: cli.frames.folder_fps })
}

/// Opens the device and the model, and says what a prompt that shows all of `shown` will need.
///
/// # Errors
/// Those of the folder and the device, and a plan that does not fit the budget.
pub(crate) async fn model(cli: &Cli, shown: &[SourceInfo]) -> Result<VideoQa> {
    let folder = cli.place.model.clone().unwrap_or_else(|| in_repository("models/tiny-qwen-vl"));
    let options = ContextOptions::default().adapter(cli.place.adapter.clone());
    let context = Context::new(options).await?;
    eprintln!("adapter: {}", context.caps());
    let placement = placement(cli, &folder, &context, shown).await?;
    let model = VideoQa::open_as(&context, &folder, cli.place.precision, placement)?;
    model.warnings().iter().for_each(warn);
    Ok(model)
}

/// Where the blocks are to be, so that what is planned fits.
async fn placement(cli: &Cli, folder: &Path, context: &Context, shown: &[SourceInfo]) -> Result<Placement> {
    let first = if cli.place.stream { Placement::Streamed } else { Placement::Resident };
    let config = QwenVlConfig::open(folder)?;
    let look = cli.frames.look(&QaDefaults::read(folder)?);
    // What cannot be looked at is said when its turn comes.
    let plans: Vec<LookPlan> =
        shown.iter().filter_map(|info| look.plan(&config.vision, *info).ok()).collect();
    let size = |grid: Grid| grid[1] * grid[2];
    let Some(mut grid) = plans.iter().map(|plan| plan.grid).max_by_key(|grid| size(*grid)) else {
        return Ok(first);
    };
    let frames: usize = plans.iter().map(|plan| plan.frames.indices.len()).sum();
    // All of them as one video of the largest frames.
    let patches: usize = plans.iter().map(|plan| plan.grid[0] * size(plan.grid)).sum();
    grid[0] = patches.div_ceil(size(grid).max(1));
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
