//! What a question needs in device memory, counted by a dry run of the code that will answer it: no device, no weight files.

use super::choice::Choice;
use super::selection::Selection;
use super::session::{Prefill, Session};
use super::tokens::VideoTokens;
use crate::gpu::{Caps, Context, ContextOptions};
use crate::models::qwen2_5_vl::{
    Grid, MropePositions, Placement, QwenVl, QwenVlConfig, QwenVlWeights, units,
};
use crate::nn::Precision;
use crate::pipelines::Gigabytes;
use crate::{Error, Result, Tensor};
use std::fmt;

/// What is planned: `QaPlanRequest { selection, ..QaPlanRequest::new(config, grid) }`.
#[derive(Debug, Clone)]
pub struct QaPlanRequest {
    /// Sizes of the model.
    pub config: QwenVlConfig,
    /// How its numbers lie in memory.
    pub precision: Precision,
    /// Where the language model's blocks are.
    pub placement: Placement,
    /// Patches of the video along time, height and width.
    pub grid: Grid,
    /// Tokens of the prompt that are no video, stated times included.
    pub text_tokens: usize,
    /// Tokens of the answer, at most.
    pub max_tokens: usize,
    /// Which video tokens are kept.
    pub selection: Option<Selection>,
    /// Tokens that are computed at a time.
    pub chunk: usize,
}

impl QaPlanRequest {
    /// A model in f32 on the device, and a question of 100 tokens with an answer of up to 256.
    pub fn new(config: QwenVlConfig, grid: Grid) -> Self {
        Self {
            config,
            precision: Precision::F32,
            placement: Placement::Resident,
            grid,
            text_tokens: 100,
            max_tokens: 256,
            selection: None,
            chunk: 512,
        }
    }
}

/// Bytes of device memory by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QaPlan {
    /// Weights that stay on the device.
    pub weights: u64,
    /// The video's tokens.
    pub video: u64,
    /// Room for keys and values.
    pub cache: u64,
    /// Everything else at the moment of the peak: a temporal step in the vision tower, or a chunk in the language model, and a
    /// block's weights where blocks are streamed.
    pub workspace: u64,
}

impl QaPlan {
    /// Most bytes in use at one time.
    pub fn peak(&self) -> u64 {
        self.weights + self.video + self.cache + self.workspace
    }

    /// Refuses a plan that does not fit.
    ///
    /// # Errors
    /// [`Error::Input`] with both numbers and what would need less.
    pub fn require(&self, budget: u64) -> Result<()> {
        if self.peak() <= budget {
            return Ok(());
        }
        let reason = format!(
            "{} are needed, {} are there; bf16, streamed blocks, fewer or smaller frames, a smaller chunk and a shorter \
             answer need less",
            Gigabytes(self.peak()),
            Gigabytes(budget)
        );
        Err(Error::input("memory plan", reason))
    }
}

impl fmt::Display for QaPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in [
            ("weights", self.weights),
            ("video tokens", self.video),
            ("keys and values", self.cache),
            ("workspace", self.workspace),
        ] {
            writeln!(f, "{name:<22}{:>12}", Gigabytes(bytes).to_string())?;
        }
        write!(f, "{:<22}{:>12}", "peak", Gigabytes(self.peak()).to_string())
    }
}

/// Counts what a question needs on a device with these capabilities, without one.
///
/// # Errors
/// Those of the run itself: sizes that make no sense, a tensor beyond the device's largest buffer or binding.
pub async fn memory_plan(request: &QaPlanRequest, caps: Caps) -> Result<QaPlan> {
    let QaPlanRequest { config, precision, placement, grid, chunk, .. } = request;
    let [steps, rows, columns] = units("video", *grid, config.vision.merge_size)?;
    let per_step = rows * columns;
    let context = Context::plan(caps, ContextOptions::default());
    let live = || context.memory().live;
    let mut plan = QaPlan::default();
    let model = QwenVl::new(&context, &QwenVlWeights::planned(config.clone()), *precision, *placement)?;
    plan.weights = live();

    context.reset_peak();
    let video = Tensor::empty(&context, [steps * per_step, config.hidden_size], precision.activations)?;
    plan.video = live() - plan.weights;
    let slices = model.vision.plan(grid[1], grid[2])?;
    let patches = vec![0.0; slices.rows() * model.vision.patch_values()];
    // Two, since a step is begun while the one before is still being copied.
    for step in 0..steps.min(2) {
        let tokens = model.vision.encode(&slices, &patches)?;
        tokens.copy_to(&video.narrow(step * per_step, per_step)?)?;
    }
    drop(slices);
    let looking = context.memory().peak.saturating_sub(plan.weights + plan.video);

    context.reset_peak();
    // The question stands behind the video; where exactly text stands makes no difference to memory.
    let behind = request.text_tokens.max(1);
    let tokens = VideoTokens::of_one(steps * per_step + behind, 0, steps, per_step);
    let length = tokens.length;
    let positions = MropePositions::new([(); 3].map(|()| (0..length as u32).collect()))?;
    let all = length.saturating_add(request.max_tokens);
    if all > config.max_positions {
        let reason =
            format!("{all} tokens with the answer's: the model was made for {}", config.max_positions);
        return Err(Error::input("memory plan", reason));
    }
    let before = live();
    let mut session = Session::new(&model.text, all, all)?;
    plan.cache = live() - before;
    let embeddings = Tensor::empty(&context, [length, config.hidden_size], precision.activations)?;
    // What a run decides by its numbers, which are not there, is decided for the most memory.
    let selection = request.selection.clone().map(|mut selection| {
        if matches!(selection.choice, Choice::Mass(_)) {
            selection.choice = Choice::Share(1.0);
        }
        selection
    });
    let prompt = Prefill {
        embeddings: &embeddings,
        positions: &positions,
        tokens: &tokens,
        selection: selection.as_ref(),
        chunk: *chunk,
    };
    let done = session.prefill(&prompt, |_| Ok(())).await?;
    drop(embeddings);
    let logits = session.last_logits(&done)?;
    drop((done, logits));
    session.step(0, &mut |_| Ok(()))?;
    let answering = context.memory().peak.saturating_sub(before + plan.cache);
    plan.workspace = looking.max(answering);
    Ok(plan)
}
