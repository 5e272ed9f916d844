//! The denoising loop.

use super::{Control, Event, Guidance, Prompts, StopWhen, TimedTokens, Update, wish};
use crate::autograd::{Tape, Var};
use crate::kernels::elementwise::weighted_sum;
use crate::kernels::optim::{adamw, norm, sum_of_squares};
use crate::kernels::temporal::{GroupTerms, TemporalOutcome, temporal_loss};
use crate::models::wan::{Capture, CrossMask, Wan, WanOptions, WanText};
use crate::pipelines::go_on;
use crate::pipelines::schedules::{AfterEdit, Sampler, SamplerState, guidance};
use crate::{Dtype, Error, HostTensor, Result, Tensor};
use std::ops::ControlFlow;
use std::sync::OnceLock;

struct Run<'a> {
    model: &'a Wan,
    prompts: &'a Prompts,
    sampler: &'a Sampler,
    capture: Option<Capture>,
    masks: Option<Tensor>,
    cross_mask: Option<CrossMask>,
    control: Option<&'a Control>,
    /// What the run read first, against which held and hidden words are measured.
    first: OnceLock<Vec<GroupTerms>>,
}

fn go(step: usize, flow: ControlFlow<()>) -> Result<()> {
    go_on(flow, || format!("denoising step {step}"))
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
/// [`Error::Cancelled`] where the hook says so; [`Error::Input`] for tokens, curves or sizes that do not fit the model,
/// for settings that are no numbers or out of range, for guided steps that the sampler does not have, and for curves that
/// nothing would follow (the module's table) or that want different things of a token. After each of
/// them, and after [`Error::OutOfMemory`], the context and the model may be used again.
pub async fn sample(
    model: &Wan,
    latent: &HostTensor,
    prompts: &Prompts,
    sampler: &Sampler,
    control: Option<&Control>,
    mut hook: impl FnMut(&Event) -> ControlFlow<()>,
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
        go(step, hook(&Event::Stepped { step, velocity, latent: z.clone() }))?;
        edit = None;
        let mut stopped_early = false;
        if let Some(g) = guided
            && (g.unused_work || g.guides(step, sampler.steps()))
        {
            let moved = run.optimise(g, step, &z, &mut hook).await?;
            stopped_early = moved.stopped_early;
            if let Some(latent) = moved.latent {
                watch.add(format!("latent moved after denoising step {step}"), &latent)?;
                edit = Some(weighted_sum(&[(&latent, 1.0), (&z, -1.0)])?);
                z = latent;
            }
        }
        go(step, hook(&Event::Done { step, latent: z.clone(), stopped_early }))?;
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
        prompts: &'a Prompts,
        sampler: &'a Sampler,
        control: Option<&'a Control>,
    ) -> Result<Self> {
        let first = OnceLock::new();
        let mut run =
            Self { model, prompts, sampler, capture: None, masks: None, cross_mask: None, control, first };
        let Some(control) = control else { return Ok(run) };
        // Written so that NaN is refused too.
        if let Some(floor) = control.mask.map(|m| m.floor).filter(|f| !(0.0..=1.0).contains(f)) {
            return Err(Error::input("mask floor", format!("expected 0 ..= 1, found {floor}")));
        }
        if let Some(guidance) = &control.guidance {
            if guidance.threshold.is_nan() {
                return Err(Error::input("guidance threshold", "it is NaN"));
            }
            if let Update::TrustRegion { size } = guidance.update
                && !(size.is_finite() && size >= 0.0)
            {
                return Err(Error::input("trust region", format!("a size of {size}; 0 and more can be")));
            }
        }
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
        let takes_gradient =
            |g: &Guidance| g.updates > 0 && (0..sampler.steps()).any(|step| g.guides(step, sampler.steps()));
        if control.guidance.as_ref().is_some_and(takes_gradient)
            && model.precision().activations == Dtype::F16
        {
            let reason = "gradients into the map are below what f16 holds; bf16 has the range, and so have f16 weights \
                          with f32 activations; without updates the map is read in f16 too";
            return Err(Error::input("precision f16 with a gradient", reason));
        }
        if let Some(guidance) = &control.guidance {
            guidance.steps.require_within(sampler.steps())?;
        }
        wish::check(control)?;
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
        let curves = wish::objectives(control);
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
            let (mask, rows_at_a_time) = (mask.cloned(), self.prompts.rows_at_a_time);
            let options = WanOptions { mask, rows_at_a_time, ..WanOptions::default() };
            let x = Var::constant(z.clone());
            let out = self.model.forward(&mut Tape::forward(), &x, &time, text, &options)?;
            out.velocity.map(|v| v.tensor().clone()).ok_or_else(|| Error::input("forward", "no velocity"))
        };
        let cond = branch(&self.prompts.positive, self.mask_at(step))?;
        if self.prompts.scale == 1.0 {
            return Ok(cond);
        }
        guidance(&cond, &branch(&self.prompts.negative, None)?, self.prompts.scale)
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
        // Read without the mask: under it the map follows the curve whatever the latent holds, and the gradient would have
        // nothing to do.
        let rows_at_a_time = self.prompts.rows_at_a_time;
        let options = WanOptions { mask: None, capture: Some(capture.clone()), rows_at_a_time };
        let out = self.model.forward(&mut tape, &leaf, &time, &self.prompts.positive, &options)?;
        let map = out.map.ok_or_else(|| Error::input("forward", "no map"))?;
        let outcome = temporal_loss(map.tensor(), masks, &g.objective)?;
        Ok((tape, leaf, map, outcome))
    }

    /// Which groups have what they want.
    fn met(&self, g: &Guidance, terms: &[GroupTerms]) -> Vec<bool> {
        let groups = self.control.map(|c| c.groups.as_slice()).unwrap_or_default();
        let first = self.first.get_or_init(|| terms.to_vec());
        let met = |((group, now), first): ((&TimedTokens, &GroupTerms), &GroupTerms)| {
            wish::met(group, now, first, g).unwrap_or(now.correlation > g.threshold)
        };
        groups.iter().zip(terms).zip(first).map(met).collect()
    }

    /// Gradient by the map of what is minimised: the objective of the curves, or of the parts that held and hidden words make
    /// of it.
    fn slope(&self, g: &Guidance, map: &Var, outcome: &TemporalOutcome, met: &[bool]) -> Result<Tensor> {
        let map = map.tensor();
        let Some(parts) = self.control.and_then(|control| wish::parts(control, g, met)) else {
            return outcome.grad.reshape(map.shape().clone());
        };
        let mut gradients = Vec::with_capacity(parts.len());
        for (curves, objective) in parts {
            let shape = [met.len(), curves.len() / met.len().max(1)];
            let curves = Tensor::from_f32(self.model.context(), shape, &curves)?;
            gradients.push(temporal_loss(map, &curves, &objective)?.grad.reshape(map.shape().clone())?);
        }
        match &gradients[..] {
            [one] => Ok(one.clone()),
            all => weighted_sum(&all.iter().map(|part| (part, 1.0)).collect::<Vec<_>>()),
        }
    }

    async fn optimise(
        &self,
        g: &Guidance,
        step: usize,
        z: &Tensor,
        hook: &mut impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<Moved> {
        let mut moved = Moved { latent: None, stopped_early: false };
        // Without updates the map is only read, which takes no tape.
        let inside = g.updates > 0 && g.guides(step, self.sampler.steps());
        let mut latent = z.to_owned_copy()?;
        let moments = (
            Tensor::zeros(z.context(), z.shape().clone(), Dtype::F32)?,
            Tensor::zeros(z.context(), z.shape().clone(), Dtype::F32)?,
        );
        for update in 0..g.updates.max(1) {
            let (tape, leaf, map, outcome) = self.read(g, &latent, step, inside)?;
            let terms = outcome.group_terms().await?;
            if let Some(bad) = terms.iter().position(|t| !t.total.is_finite()) {
                return Err(Error::NonFinite {
                    what: format!("objective after denoising step {step}"),
                    index: bad,
                });
            }
            let each = self.met(g, &terms);
            let met = match g.stop_when {
                StopWhen::FirstGroup => each.first().is_some_and(|met| *met),
                StopWhen::AllGroups => each.iter().all(|met| *met),
            };
            if update == 0 {
                // The released code optimises a step only strictly below the threshold.
                let below = !met
                    && terms
                        .first()
                        .is_some_and(|t| t.correlation < g.threshold || g.stop_when == StopWhen::AllGroups);
                let optimised = inside && (below || !g.check_before);
                let (map, signal) = (map.tensor().clone(), outcome.signal.clone());
                go(step, hook(&Event::Read { step, terms: terms.clone(), map, signal, optimised }))?;
                if !optimised {
                    return Ok(moved);
                }
            }
            if met && !g.unused_work {
                moved.stopped_early = true;
                break;
            }
            let gradient = tape
                .backward(&[(&map, self.slope(g, &map, &outcome, &each)?)])?
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
                    terms,
                    gradient,
                    latent: latent.clone(),
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
