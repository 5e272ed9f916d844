//! What a clip needs in device memory, counted by a dry run of the code that will make it: no device, no weight files.
//!
//! The run's own allocations are counted by the pool that serves real ones ([`Context::plan`]), so the plan and the
//! accounting of a real run agree by construction. What it cannot know is what the driver adds to each buffer, and what
//! other programs hold.

use super::request::require_places;
use super::temporal_control::{Control, Event, Guidance, GuidedSteps, Prompts, sample};
use crate::autograd::Tape;
use crate::gpu::{Caps, Context, ContextOptions};
use crate::models::umt5::{Umt5, Umt5Config, Umt5Weights};
use crate::models::wan::{Capture, Wan, WanConfig, WanOptions, WanWeights};
use crate::nn::Precision;
use crate::pipelines::Gigabytes;
use crate::pipelines::schedules::{Sampler, Schedule, SigmaGrid, Solver};
use crate::{Error, HostTensor, Result, Tensor};
use std::fmt;
use std::ops::ControlFlow;

/// What is planned: `PlanRequest { control, ..PlanRequest::new(transformer, size) }`.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// Sizes of the transformer.
    pub transformer: WanConfig,
    /// Sizes of the text encoder, where it is on the same device.
    pub text_encoder: Option<Umt5Config>,
    /// How their numbers lie in memory.
    pub precision: Precision,
    /// Latent frames, height and width.
    pub size: [usize; 3],
    /// Strength of classifier-free guidance; at 1 the negative branch is not computed.
    pub guidance_scale: f32,
    /// Words, gradient and mask, if any.
    pub control: Option<Control>,
    /// Rows that the feed-forward layers take at a time.
    pub rows_at_a_time: Option<usize>,
}

impl PlanRequest {
    /// A transformer in f32 and a latent of so many frames, rows and columns, with Wan's strength of classifier-free guidance,
    /// steered by nothing, beside no text encoder.
    pub fn new(transformer: WanConfig, size: [usize; 3]) -> Self {
        Self {
            transformer,
            text_encoder: None,
            precision: Precision::F32,
            size,
            guidance_scale: 6.0,
            control: None,
            rows_at_a_time: None,
        }
    }
}

/// Bytes of device memory by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Weights of the text encoder; they may go once the prompts are encoded.
    pub text_encoder: u64,
    /// Weights of the transformer.
    pub weights: u64,
    /// Keys and values of both prompts in every block.
    pub text: u64,
    /// What the gradient's pass keeps from its forward half for its backward half.
    pub kept: u64,
    /// Everything else at the moment of the peak.
    pub workspace: u64,
}

impl MemoryPlan {
    /// Most bytes in use at one time, both models on the device.
    pub fn peak(&self) -> u64 {
        self.text_encoder + self.weights + self.text + self.kept + self.workspace
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
            "{} are needed, {} are there; bf16, `keep: Nothing`, fewer rows at a time, fewer frames or a smaller picture need less",
            Gigabytes(self.peak()),
            Gigabytes(budget)
        );
        Err(Error::input("memory plan", reason))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in [
            ("text encoder", self.text_encoder),
            ("weights", self.weights),
            ("text keys and values", self.text),
            ("kept for the gradient", self.kept),
            ("workspace", self.workspace),
        ] {
            writeln!(f, "{name:<22}{:>12}", Gigabytes(bytes).to_string())?;
        }
        write!(f, "{:<22}{:>12}", "peak", Gigabytes(self.peak()).to_string())
    }
}

/// Counts what a clip needs on a device with these capabilities, without one.
///
/// # Errors
/// Those of the run itself: sizes that make no sense, a tensor beyond the device's largest buffer or binding.
pub async fn memory_plan(request: &PlanRequest, caps: Caps) -> Result<MemoryPlan> {
    let PlanRequest { transformer: config, precision, size: [frames, height, width], .. } = request;
    config.grid(*frames, *height, *width)?;
    require_places(request.size)?;
    let context = Context::plan(caps, ContextOptions::default());
    let live = || context.memory().live;
    let mut plan = MemoryPlan::default();
    let encoder = match &request.text_encoder {
        Some(c) => Some(Umt5::with_storage(&context, Umt5Weights::planned(c.clone()), precision.weights)?),
        None => None,
    };
    plan.text_encoder = live();
    let model = Wan::with_precision(&context, &WanWeights::planned(config.clone()), *precision)?;
    plan.weights = live() - plan.text_encoder;
    let encoded = HostTensor::zeros([config.text_len, config.text_dim]);
    let (positive, negative) = (model.text(&encoded)?, model.text(&encoded)?);
    let before = live();
    plan.text = before - plan.text_encoder - plan.weights;

    let latent = HostTensor::zeros([config.in_dim, *frames, *height, *width]);
    let control = request.control.clone().map(short);
    let guided = control.as_ref().and_then(|c| Some((c, c.guidance.as_ref()?)));
    if let Some((control, guidance)) = guided.filter(|(_, g)| !g.steps.is_empty() && g.updates > 0) {
        let groups = control.groups.len();
        let weights = vec![0.0; groups * config.text_len];
        let capture = Capture { weights, groups, layer_divisor: config.num_layers as f32, map_only: true };
        let mut tape = Tape::record_keeping(guidance.keep);
        let leaf = tape.leaf(Tensor::from_host(&context, &latent)?);
        let options = WanOptions {
            capture: Some(capture),
            rows_at_a_time: request.rows_at_a_time,
            ..WanOptions::default()
        };
        let read = model.forward(&mut tape, &leaf, &model.time(0.0)?, &positive, &options)?;
        plan.kept = live() - before;
        drop((read, tape));
    }
    context.reset_peak();
    // Three steps: the sampler's history is full by then.
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, 3, 3.0)?, Solver::UniPc);
    let prompts = Prompts {
        rows_at_a_time: request.rows_at_a_time,
        ..Prompts::new(positive, negative, request.guidance_scale)
    };
    let go_on = |_: &Event| ControlFlow::Continue(());
    drop(sample(&model, &latent, &prompts, &sampler, control.as_ref(), go_on).await?);
    plan.workspace = context.memory().peak.saturating_sub(before + plan.kept);
    drop(encoder);
    Ok(plan)
}

/// The same control over as few updates as show the peak, none of them left out: downloads are zeros here, and what a run
/// decides by its numbers is decided for the most memory.
fn short(control: Control) -> Control {
    let most = |g: Guidance| Guidance {
        steps: few(&g.steps),
        updates: g.updates.min(2),
        threshold: f32::INFINITY,
        check_before: false,
        ..g
    };
    let guidance = control.guidance.map(most);
    Control { guidance, ..control }
}

/// Steps that cost as much as the dearest of these: the sampler remembers less at the first step than at any later one, and
/// a step that is guided right after another finds the latent of that one still being looked at.
fn few(steps: &GuidedSteps) -> GuidedSteps {
    let neighbours = steps.iter().zip(steps.iter().skip(1)).any(|(step, next)| next - step == 1);
    if neighbours {
        (0..2).collect()
    } else {
        steps.iter().last().map(|step| step.min(1)).into_iter().collect()
    }
}
