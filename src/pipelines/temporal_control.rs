//! TempoControl: a word appears when its curve says so.
//!
//! At the first denoising steps the latent is moved so that the attention which each latent frame pays to the words
//! follows their curves: the columns of the cross-attention map are read without the map, scored against the curves,
//! and the gradient goes back through the transformer to the latent. [`Guidance::released`] follows the released code
//! step by step; [`Guidance::default`] mends what is wrong in it (each field says what). Independently, a
//! [`TemporalMask`] takes words away from frames inside the cross-attention, without gradients.
//!
//! Source: Schiber et al., TempoControl; released code Shira-Schiber/TempoControl at 701dbd2.

use super::curve::TimingCurve;
use super::sampling::{SamplerState, guidance};
use super::unipc::{AfterEdit, Sampler};
use crate::autograd::{Keep, Tape, Var};
use crate::kernels::elementwise::weighted_sum;
use crate::kernels::optim::{AdamW, adamw, norm, sum_of_squares};
use crate::kernels::temporal::{GroupTerms, TemporalObjective, TemporalOutcome, temporal_loss};
use crate::models::wan::{Capture, CrossMask, Wan, WanOptions, WanText};
use crate::{Error, HostTensor, Result, Tensor};
use std::ops::{ControlFlow, Range};

/// A group of text tokens with the curve it is to follow.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedTokens {
    /// Positions in the text context.
    pub tokens: Vec<usize>,
    /// Wanted presence per latent frame, 0..1; all ones for something that must always be there.
    pub curve: TimingCurve,
}

/// How the latent is moved along the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Update {
    /// AdamW with fresh moments at each denoising step. Its first update is `lr · sign(gradient)` whatever the
    /// gradient's size, so nothing bounds how far the latent leaves what the model knows.
    AdamW(AdamW),
    /// Against the gradient, by `size · sigma` in root mean square: an update is never larger than a known part of the
    /// noise at hand, and where the gradient is small everywhere but at the object, only the object moves.
    TrustRegion {
        /// Root mean square of an update as a share of the noise level.
        size: f32,
    },
}

/// When a step's updates end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopWhen {
    /// The first group's correlation is above the threshold.
    FirstGroup,
    /// Every group with a varying curve is above the threshold.
    AllGroups,
}

/// Settings of the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// Denoising steps after which the latent is moved.
    pub steps: Range<usize>,
    /// Most updates after one step.
    pub updates: usize,
    /// Correlation at which updates stop.
    pub threshold: f32,
    /// Leave a step alone when the threshold is met before its first update.
    pub check_before: bool,
    /// Which groups are asked. The released code asks the first alone, so a second word is never waited for.
    pub stop_when: StopWhen,
    /// What is minimised.
    pub objective: TemporalObjective,
    /// How the latent is moved.
    pub update: Update,
    /// Score the moved latent with the timestep of the step just taken, as the released code does, rather than with
    /// the one that belongs to its noise level.
    pub previous_timestep: bool,
    /// What the next step's corrector does about the move. The released code's corrector discards it: about 1 % of a
    /// move reaches the result directly.
    pub after_edit: AfterEdit,
    /// Divide the sum over layers by one less than their number, as the released code does.
    pub released_layer_divisor: bool,
    /// What the gradient's pass keeps in memory rather than computes again. Results do not depend on it.
    pub keep: Keep,
    /// Read the map after every denoising step, and compute the gradient that a stop discards, as the released code
    /// does: nothing depends on either.
    pub unused_work: bool,
}

impl Guidance {
    /// The released code with its settings for one object.
    pub fn released() -> Self {
        Self {
            steps: 0..11,
            updates: 10,
            threshold: 0.9,
            check_before: true,
            stop_when: StopWhen::FirstGroup,
            objective: TemporalObjective::released(),
            update: Update::AdamW(AdamW { lr: 5e-4, ..AdamW::default() }),
            previous_timestep: true,
            after_edit: AfterEdit::Ignore,
            released_layer_divisor: true,
            keep: Keep::Attention,
            unused_work: true,
        }
    }
}

impl Default for Guidance {
    /// The released code's faults mended.
    fn default() -> Self {
        Self {
            steps: 0..5,
            updates: 4,
            threshold: 0.9,
            check_before: true,
            stop_when: StopWhen::AllGroups,
            objective: TemporalObjective::scale_free(),
            update: Update::TrustRegion { size: 0.03 },
            previous_timestep: false,
            after_edit: AfterEdit::Transport,
            released_layer_divisor: false,
            keep: Keep::Attention,
            unused_work: false,
        }
    }
}

/// Takes words away from frames where their curve is low, inside the cross-attention of the conditional branch:
/// the bias of a word is `ln(floor + (1 − floor) · curve)`, so 1 leaves it alone and 0 leaves `floor` of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalMask {
    /// Share of attention left where the curve is 0; 0 hides the word altogether.
    pub floor: f32,
    /// Denoising steps that are masked, from the first.
    pub steps: usize,
}

impl Default for TemporalMask {
    fn default() -> Self {
        Self { floor: 0.0, steps: usize::MAX }
    }
}

/// What a sampling run is asked for.
#[derive(Debug, Clone)]
pub struct Control {
    /// Words and their curves.
    pub groups: Vec<TimedTokens>,
    /// Gradient, if any.
    pub guidance: Option<Guidance>,
    /// Mask, if any.
    pub mask: Option<TemporalMask>,
}

/// What a run reports while it goes. Tensors may be overwritten later: copy what is to be kept.
#[derive(Debug)]
pub enum Event<'a> {
    /// A denoising step is done.
    Stepped {
        /// Index of the step.
        step: usize,
        /// Velocity after classifier-free guidance.
        velocity: &'a Tensor,
        /// Latent at the next noise level.
        latent: &'a Tensor,
    },
    /// The map was read after a step, before any update.
    Read {
        /// Index of the step.
        step: usize,
        /// Terms of each group.
        terms: &'a [GroupTerms],
        /// Map `(groups, frames, height · width)`.
        map: &'a Tensor,
        /// Attention over time, 0..1 `(groups, frames)`.
        signal: &'a Tensor,
        /// Updates will follow.
        optimised: bool,
    },
    /// An update was made, or computed and discarded because the threshold was met.
    Updated {
        /// Index of the step.
        step: usize,
        /// Number of the update.
        update: usize,
        /// Terms of each group before it.
        terms: &'a [GroupTerms],
        /// Gradient of the objective by the latent.
        gradient: &'a Tensor,
        /// Latent after it.
        latent: &'a Tensor,
        /// False where it was discarded.
        applied: bool,
    },
    /// A step with its updates is over.
    Done {
        /// Index of the step.
        step: usize,
        /// Latent that the next step starts from.
        latent: &'a Tensor,
        /// The threshold ended the updates.
        stopped_early: bool,
    },
}

/// Tells a run to go on or to stop; stopping ends it with [`Error::Cancelled`].
pub type Hook<'a> = &'a mut dyn FnMut(&Event<'_>) -> ControlFlow<()>;

/// Conditional and negative text of a run.
#[derive(Debug, Clone, Copy)]
pub struct Prompts<'a> {
    /// The prompt.
    pub positive: &'a WanText,
    /// What classifier-free guidance moves away from.
    pub negative: &'a WanText,
    /// Its strength; at 1 the negative branch is not computed.
    pub scale: f32,
    /// Rows that the feed-forward layers take at a time; see [`WanOptions::rows_at_a_time`]. Results do not depend on
    /// it.
    pub rows_at_a_time: Option<usize>,
}

struct Run<'a> {
    model: &'a Wan,
    prompts: Prompts<'a>,
    sampler: &'a Sampler,
    capture: Option<Capture>,
    masks: Option<Tensor>,
    cross_mask: Option<CrossMask>,
    control: Option<&'a Control>,
}

fn go(step: usize, flow: ControlFlow<()>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled(format!("denoising step {step}"))),
    }
}

/// Tensors of a run with their sums of squares, which tell whether all of a tensor is finite. They are read one step
/// later: by then the device has them, and it has the next step to work on while the host looks.
#[derive(Default)]
struct Watch(Vec<(String, Tensor, Tensor)>);

impl Watch {
    fn add(&mut self, what: String, tensor: &Tensor) -> Result<()> {
        self.0.push((what, tensor.clone(), sum_of_squares(tensor)?));
        Ok(())
    }

    /// Fails with the first tensor that is not finite; a tensor of finite values whose squares are too large passes.
    async fn settle(self) -> Result<()> {
        for (what, tensor, squares) in self.0 {
            if !squares.to_vec().await?.iter().all(|v| v.is_finite()) {
                tensor.to_host().await?.require_finite(&what)?;
            }
        }
        Ok(())
    }
}

/// Denoises `latent (channels, frames, height, width)`, steering it where `control` asks.
///
/// # Errors
/// [`Error::NonFinite`] with the step and the tensor where a value first is NaN or infinite, at most a step later;
/// [`Error::Cancelled`] where the hook says so; [`Error::Input`] for tokens, curves or sizes that do not fit the model.
/// After each of them, and after [`Error::OutOfMemory`], the context and the model may be used again.
pub async fn sample(
    model: &Wan,
    latent: &HostTensor,
    prompts: Prompts<'_>,
    sampler: &Sampler,
    control: Option<&Control>,
    hook: Hook<'_>,
) -> Result<Tensor> {
    latent.require_finite("latent")?;
    let run = Run::new(model, latent, prompts, sampler, control)?;
    let mut z = Tensor::from_host(model.context(), latent)?;
    let mut state = SamplerState::new();
    let mut edit: Option<Tensor> = None;
    let guided = control.and_then(|c| c.guidance.as_ref());
    let mut watched = Watch::default();
    for step in 0..sampler.steps() {
        let mut watch = Watch::default();
        let velocity = run.velocity(&z, step)?;
        let after = match (&edit, guided) {
            (Some(_), Some(g)) => g.after_edit,
            _ => AfterEdit::Ignore,
        };
        let plan = sampler.plan_after_edit(step, after)?;
        watch.add(format!("velocity of denoising step {step}"), &velocity)?;
        z = state.step(&plan, &z, &velocity, edit.as_ref())?;
        watch.add(format!("latent after denoising step {step}"), &z)?;
        go(step, hook(&Event::Stepped { step, velocity: &velocity, latent: &z }))?;
        edit = None;
        let last = step + 1 == sampler.steps();
        let mut stopped_early = false;
        if let Some(g) = guided
            && (g.unused_work || (g.steps.contains(&step) && !last))
        {
            let moved = run.optimise(g, step, &z, hook).await?;
            stopped_early = moved.stopped_early;
            if let Some(latent) = moved.latent {
                watch.add(format!("latent moved after denoising step {step}"), &latent)?;
                edit = Some(weighted_sum(&[(&latent, 1.0), (&z, -1.0)])?);
                z = latent;
            }
        }
        go(step, hook(&Event::Done { step, latent: &z, stopped_early }))?;
        model.context().submit()?;
        std::mem::replace(&mut watched, watch).settle().await?;
    }
    watched.settle().await?;
    Ok(z)
}

struct Moved {
    latent: Option<Tensor>,
    stopped_early: bool,
}

impl<'a> Run<'a> {
    fn new(
        model: &'a Wan,
        latent: &HostTensor,
        prompts: Prompts<'a>,
        sampler: &'a Sampler,
        control: Option<&'a Control>,
    ) -> Result<Self> {
        let mut run = Self { model, prompts, sampler, capture: None, masks: None, cross_mask: None, control };
        let Some(control) = control else { return Ok(run) };
        let text_len = model.config().text_len;
        let &[_, frames, height, width] = latent.shape().dims() else {
            return Err(Error::input(
                "latent",
                format!("{} is not (channels, frames, height, width)", latent.shape()),
            ));
        };
        let frames = model.config().grid(frames, height, width)?[0];
        if control.groups.is_empty() && (control.guidance.is_some() || control.mask.is_some()) {
            return Err(Error::input("temporal control", "no word with a curve was given"));
        }
        let mut weights = Vec::with_capacity(control.groups.len() * text_len);
        let mut curves = Vec::with_capacity(control.groups.len() * frames);
        let mut bias = vec![0f32; frames * text_len];
        for group in &control.groups {
            group.curve.require_frames(frames)?;
            let mut row = vec![0f32; text_len];
            for &token in &group.tokens {
                let weight = row.get_mut(token).ok_or_else(|| {
                    Error::input("token", format!("position {token}, the text has {text_len}"))
                })?;
                *weight = 1.0 / group.tokens.len() as f32;
            }
            if group.tokens.is_empty() {
                return Err(Error::input("temporal control", "a group has no token"));
            }
            weights.extend(row);
            curves.extend_from_slice(group.curve.values());
            if let Some(mask) = control.mask {
                for (frame, &wanted) in group.curve.values().iter().enumerate() {
                    let left = (mask.floor + (1.0 - mask.floor) * wanted).ln();
                    for &token in &group.tokens {
                        if let Some(b) = bias.get_mut(frame * text_len + token) {
                            *b = left;
                        }
                    }
                }
            }
        }
        if let Some(guidance) = &control.guidance {
            let layers = model.config().num_layers as f32;
            let divisor = if guidance.released_layer_divisor { layers - 1.0 } else { layers };
            run.capture = Some(Capture {
                weights,
                groups: control.groups.len(),
                layer_divisor: divisor,
                map_only: true,
            });
        }
        run.masks = Some(Tensor::from_f32(model.context(), [control.groups.len(), frames], &curves)?);
        run.cross_mask = control.mask.map(|_| CrossMask { bias });
        Ok(run)
    }

    fn mask_at(&self, step: usize) -> Option<&CrossMask> {
        let masked = self.control.and_then(|c| c.mask).is_some_and(|m| step < m.steps);
        self.cross_mask.as_ref().filter(|_| masked)
    }

    fn timestep(&self, step: usize) -> Result<f32> {
        Ok(self.sampler.plan(step)?.timestep)
    }

    /// Velocity of a step with classifier-free guidance.
    fn velocity(&self, z: &Tensor, step: usize) -> Result<Tensor> {
        let time = self.model.time(self.timestep(step)?)?;
        let branch = |text: &WanText, mask: Option<&CrossMask>| {
            let rows_at_a_time = self.prompts.rows_at_a_time;
            let options = WanOptions { mask, rows_at_a_time, ..WanOptions::default() };
            let out =
                self.model.forward(&mut Tape::forward(), &Var::constant(z.clone()), &time, text, options)?;
            out.velocity.map(|v| v.tensor().clone()).ok_or_else(|| Error::input("forward", "no velocity"))
        };
        let cond = branch(self.prompts.positive, self.mask_at(step))?;
        if self.prompts.scale == 1.0 {
            return Ok(cond);
        }
        guidance(&cond, &branch(self.prompts.negative, None)?, self.prompts.scale)
    }

    /// Reads the map at a latent and scores it; with `record`, leaves the tape and the leaf for the gradient.
    fn read(
        &self,
        g: &Guidance,
        z: &Tensor,
        step: usize,
        record: bool,
    ) -> Result<(Tape, Var, Var, TemporalOutcome)> {
        let (Some(capture), Some(masks)) = (&self.capture, &self.masks) else {
            return Err(Error::input("temporal control", "no word with a curve was given"));
        };
        let asked = if g.previous_timestep { step } else { (step + 1).min(self.sampler.steps() - 1) };
        let time = self.model.time(self.timestep(asked)?)?;
        let mut tape = if record { Tape::record_keeping(g.keep) } else { Tape::forward() };
        let leaf = tape.leaf(z.clone());
        let mask = self.mask_at(asked);
        let rows_at_a_time = self.prompts.rows_at_a_time;
        let options = WanOptions { capture: Some(capture), mask, rows_at_a_time, on_block: None };
        let out = self.model.forward(&mut tape, &leaf, &time, self.prompts.positive, options)?;
        let map = out.map.ok_or_else(|| Error::input("forward", "no map"))?;
        let outcome = temporal_loss(map.tensor(), masks, &g.objective)?;
        Ok((tape, leaf, map, outcome))
    }

    fn met(&self, g: &Guidance, terms: &[GroupTerms]) -> bool {
        let groups = self.control.map(|c| c.groups.as_slice()).unwrap_or_default();
        match g.stop_when {
            StopWhen::FirstGroup => terms.first().is_some_and(|t| t.correlation > g.threshold),
            StopWhen::AllGroups => terms
                .iter()
                .zip(groups)
                .filter(|(_, group)| !group.curve.is_constant())
                .all(|(t, _)| t.correlation > g.threshold),
        }
    }

    async fn optimise(&self, g: &Guidance, step: usize, z: &Tensor, hook: Hook<'_>) -> Result<Moved> {
        let mut moved = Moved { latent: None, stopped_early: false };
        let inside = g.steps.contains(&step);
        let mut latent = z.to_owned_copy()?;
        let moments =
            (Tensor::zeros(z.context(), z.shape().clone())?, Tensor::zeros(z.context(), z.shape().clone())?);
        for update in 0..g.updates.max(1) {
            let (tape, leaf, map, outcome) = self.read(g, &latent, step, inside)?;
            let terms = outcome.group_terms().await?;
            if let Some(bad) = terms.iter().position(|t| !t.total.is_finite()) {
                return Err(Error::NonFinite {
                    what: format!("objective after denoising step {step}"),
                    index: bad,
                });
            }
            let met = self.met(g, &terms);
            if update == 0 {
                // The released code optimises a step only strictly below the threshold.
                let below = !met
                    && terms
                        .first()
                        .is_some_and(|t| t.correlation < g.threshold || g.stop_when == StopWhen::AllGroups);
                let optimised = inside && g.updates > 0 && (below || !g.check_before);
                let (map, signal) = (map.tensor(), &outcome.signal);
                go(step, hook(&Event::Read { step, terms: &terms, map, signal, optimised }))?;
                if !optimised {
                    return Ok(moved);
                }
            }
            if met && !g.unused_work {
                moved.stopped_early = true;
                break;
            }
            let gradient = tape
                .backward(&[(&map, outcome.grad.reshape(map.tensor().shape().clone())?)])?
                .of(&leaf)?
                .ok_or_else(|| Error::input("gradient", "none reached the latent"))?;
            if !met {
                latent = self.update(g, step, update, &latent, &gradient, &moments).await?;
                moved.latent = Some(latent.clone());
            }
            go(
                step,
                hook(&Event::Updated {
                    step,
                    update,
                    terms: &terms,
                    gradient: &gradient,
                    latent: &latent,
                    applied: !met,
                }),
            )?;
            if met {
                moved.stopped_early = true;
                break;
            }
        }
        Ok(moved)
    }

    async fn update(
        &self,
        g: &Guidance,
        step: usize,
        update: usize,
        z: &Tensor,
        gradient: &Tensor,
        moments: &(Tensor, Tensor),
    ) -> Result<Tensor> {
        match g.update {
            Update::AdamW(settings) => {
                let z = z.to_owned_copy()?;
                adamw(&z, gradient, &moments.0, &moments.1, &settings, update as u32 + 1)?;
                Ok(z)
            }
            Update::TrustRegion { size } => {
                let rms = norm(gradient).await? / (gradient.len().max(1) as f64).sqrt();
                if !rms.is_finite() {
                    return Err(Error::NonFinite {
                        what: format!("gradient after denoising step {step}"),
                        index: 0,
                    });
                }
                if rms == 0.0 {
                    return Ok(z.clone());
                }
                let sigma = self.sampler.schedule().sigmas().get(step + 1).copied().unwrap_or(0.0);
                weighted_sum(&[(z, 1.0), (gradient, (-f64::from(size * sigma) / rms) as f32)])
            }
        }
    }
}
