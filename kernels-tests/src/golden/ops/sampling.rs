//! `wan.unipc` and `tempo.guided_sample`: the sampler and the steered sampler, step by step.

use crate::golden::{Case, Outputs};
use foveal::kernels::optim::AdamW;
use foveal::kernels::temporal::GroupTerms;
use foveal::models::wan::{Wan, WanConfig, WanWeights};
use foveal::pipelines::schedules::SamplerState;
use foveal::pipelines::schedules::{Sampler, Solver};
use foveal::pipelines::schedules::{Schedule, SigmaGrid};
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::{
    Control, Event, Guidance, GuidedSteps, Prompts, TimedTokens, Update, sample,
};
use foveal::{Context, Error, HostTensor, Result, Tensor};
use std::ops::ControlFlow;

fn schedule(case: &Case) -> Result<Schedule> {
    Schedule::new(SigmaGrid::Wan, case.usize("steps")?, case.f64("shift")?)
}

/// One tensor after another, each of `shape`.
async fn stacked(tensors: &[Tensor], shape: &[usize]) -> Result<HostTensor> {
    let mut all = Vec::new();
    for tensor in tensors {
        all.extend(tensor.to_vec().await?);
    }
    let dims: Vec<usize> = std::iter::once(tensors.len()).chain(shape.iter().copied()).collect();
    HostTensor::new(dims, all)
}

fn timesteps(schedule: &Schedule) -> Vec<i64> {
    schedule.timesteps().iter().map(|&t| t as i64).collect()
}

fn sigmas(schedule: &Schedule) -> Result<HostTensor> {
    HostTensor::new([schedule.sigmas().len()], schedule.sigmas().to_vec())
}

/// Velocities are given, so the sampler alone is tested.
pub(super) fn unipc(context: &Context, case: &Case) -> Result<Outputs> {
    let schedule = schedule(case)?;
    let steps = schedule.steps();
    let skip = case.usizes("disable_corrector")?;
    let edited_after = case.usizes("edit_after_steps")?;
    let sampler = Sampler::new(schedule.clone(), Solver::UniPc).disable_corrector(&skip)?;
    let latent = case.input("latent")?;
    let shape = latent.shape().dims().to_vec();
    let velocities = case.input("velocity")?;
    let each = latent.data().len();
    let part = |host: &HostTensor, i: usize| {
        let values = host.data().get(i * each..(i + 1) * each);
        Tensor::from_f32(context, shape.clone(), values.ok_or_else(|| case.malformed(format!("no row {i}")))?)
    };
    let mut state = SamplerState::new();
    let mut z = Tensor::from_host(context, &latent)?;
    let (mut latents, mut after, mut corrected, mut x0, mut order) = (vec![], vec![], vec![], vec![], vec![]);
    for step in 0..steps {
        let plan = sampler.plan(step)?;
        order.push(plan.order as i64);
        z = state.step(&plan, &z, &part(&velocities, step)?, None)?;
        latents.push(z.clone());
        if let Some(row) = edited_after.iter().position(|&s| s == step) {
            let delta = part(&case.input("edit_delta")?, row)?;
            z = foveal::kernels::elementwise::weighted_sum(&[(&z, 1.0), (&delta, 1.0)])?;
        }
        after.push(z.clone());
        let missing = || Error::input("sampler", "nothing remembered");
        corrected.push(state.corrected().ok_or_else(missing)?.clone());
        x0.push(state.x0().ok_or_else(missing)?.clone());
    }
    foveal::block_on(async {
        let mut outputs = Outputs::new();
        outputs
            .tensor("sigmas", sigmas(&schedule)?)
            .ints("timesteps", [steps], &timesteps(&schedule))
            .ints("order", [steps], &order)
            .tensor("latents", stacked(&latents, &shape).await?)
            .tensor("latents_after_edit", stacked(&after, &shape).await?)
            .tensor("corrected", stacked(&corrected, &shape).await?)
            .tensor("x0", stacked(&x0, &shape).await?);
        Ok(outputs)
    })
}

/// What a guided run leaves behind, step by step and update by update.
#[derive(Default)]
struct Record {
    velocity: Vec<Tensor>,
    after_step: Vec<Tensor>,
    after_edit: Vec<Tensor>,
    r_before: Vec<f64>,
    optimised: Vec<i64>,
    stopped: Vec<i64>,
    iteration_step: Vec<i64>,
    applied: Vec<i64>,
    terms: Vec<Vec<GroupTerms>>,
    gradient: Vec<Tensor>,
    latent: Vec<Tensor>,
}

impl Record {
    fn note(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Stepped { velocity, latent, .. } => {
                self.velocity.push(velocity.clone());
                self.after_step.push(latent.clone());
            }
            Event::Read { terms, optimised, .. } => {
                self.r_before.push(terms.first().map_or(f64::NAN, |t| f64::from(t.correlation)));
                self.optimised.push(i64::from(*optimised));
            }
            Event::Updated { step, terms, gradient, latent, applied, .. } => {
                self.iteration_step.push(*step as i64);
                self.applied.push(i64::from(*applied));
                self.terms.push(terms.clone());
                self.gradient.push(gradient.clone());
                self.latent.push(latent.to_owned_copy()?);
            }
            Event::Done { latent, stopped_early, .. } => {
                self.after_edit.push(latent.clone());
                self.stopped.push(i64::from(*stopped_early));
            }
            other => return Err(Error::input("golden", format!("an event that nobody records: {other:?}"))),
        }
        Ok(())
    }

    fn term(&self, of: fn(&GroupTerms) -> f32) -> Result<HostTensor> {
        let groups = self.terms.first().map_or(0, Vec::len);
        HostTensor::new([self.terms.len(), groups], self.terms.iter().flatten().map(of).collect())
    }
}

/// The released algorithm on a small transformer, from a latent to a latent.
pub(super) fn guided_sample(context: &Context, case: &Case) -> Result<Outputs> {
    let config = WanConfig::from_config(&case.config("model")?)?;
    let layers = config.num_layers;
    let model = Wan::new(context, &WanWeights::new(&case.weights(), config)?)?;
    let positive = model.text(&case.input("context")?)?;
    let negative = model.text(&case.input("context_null")?)?;
    let latent = case.input("latent")?;
    let shape = latent.shape().dims().to_vec();
    let schedule = schedule(case)?;
    let sampler = Sampler::new(schedule.clone(), Solver::UniPc);
    let masks = case.input("masks")?;
    let frames = masks.shape().dims().last().copied().unwrap_or(0);
    let mut groups = Vec::new();
    for (tokens, curve) in
        case.usize_lists("token_groups")?.into_iter().zip(masks.data().chunks(frames.max(1)))
    {
        groups.push(TimedTokens { tokens, curve: TimingCurve::new(curve.to_vec())? });
    }
    // A second group that is not optimised is only drawn.
    if case.param("optimize_two").is_some() && !case.bool("optimize_two")? {
        groups.truncate(1);
    }
    let divisor = if case.param("layer_divisor").is_some() {
        case.usize("layer_divisor")?
    } else {
        layers.saturating_sub(1)
    };
    if divisor != layers && divisor + 1 != layers {
        return Err(case.malformed(format!("`layer_divisor` is {divisor}, the model has {layers} layers")));
    }
    // The released code asks of each step that it takes whether the list has it, so that it passes over steps past the last.
    let guided: GuidedSteps = case.usizes("guided_steps")?.into_iter().collect();
    let number = |name: &str| case.f64(&format!("adamw.{name}"));
    let adamw = AdamW {
        lr: number("lr")?,
        beta1: number("beta1")?,
        beta2: number("beta2")?,
        eps: number("eps")?,
        weight_decay: number("weight_decay")?,
    };
    let guidance = Guidance {
        steps: guided.within(schedule.steps()),
        updates: case.usize("updates_per_step")?,
        threshold: case.f64("pearson_threshold")? as f32,
        check_before: case.bool("correlation_based_steps")?,
        objective: super::objective(case)?,
        update: Update::AdamW(adamw),
        released_layer_divisor: divisor != layers,
        ..Guidance::released()
    };
    let control = Control { groups, guidance: Some(guidance), mask: None };
    let scale = case.f64("guide_scale")? as f32;
    let prompts = Prompts::new(positive, negative, scale);
    let mut record = Record::default();
    let mut failed = None;
    let mut hook = |event: &Event| match record.note(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    let last = foveal::block_on(sample(&model, &latent, &prompts, &sampler, Some(&control), &mut hook));
    if let Some(error) = failed {
        return Err(error);
    }
    let last = last?;
    let difference =
        |a: &Tensor, b: &Tensor| foveal::kernels::elementwise::weighted_sum(&[(a, 1.0), (b, -1.0)]);
    let mut edits = Vec::new();
    for (after, before) in record.after_edit.iter().zip(&record.after_step) {
        edits.push(difference(after, before)?);
    }
    let mut moves = Vec::new();
    for (latent, &step) in record.latent.iter().zip(&record.iteration_step) {
        let before = record.after_step.get(step as usize).ok_or_else(|| case.malformed("no such step"))?;
        moves.push(difference(latent, before)?);
    }
    let mean_total = |terms: &Vec<GroupTerms>| {
        terms.iter().map(|t| f64::from(t.total)).sum::<f64>() / terms.len().max(1) as f64
    };
    let updates = record.iteration_step.len();
    let steps = schedule.steps();
    foveal::block_on(async {
        let mut outputs = Outputs::new();
        outputs
            .tensor("sigmas", sigmas(&schedule)?)
            .ints("timesteps", [steps], &timesteps(&schedule))
            .tensor("velocity_cfg", stacked(&record.velocity, &shape).await?)
            .tensor("latent_after_step", stacked(&record.after_step, &shape).await?)
            .tensor("latent_after_edit", stacked(&record.after_edit, &shape).await?)
            .tensor("edit_delta", stacked(&edits, &shape).await?)
            .tensor("latent_final", last.to_host().await?)
            .f64s("r_before", [steps], record.r_before.clone())
            .ints("step_optimized", [steps], &record.optimised)
            .ints("step_early_stopped", [steps], &record.stopped)
            .ints("iter_step", [updates], &record.iteration_step)
            .ints("iter_applied", [updates], &record.applied)
            .tensor("iter_r", record.term(|t| t.correlation)?)
            .tensor("iter_positive_magnitude", record.term(|t| t.positive_magnitude)?)
            .tensor("iter_negative_magnitude", record.term(|t| t.negative_magnitude)?)
            .tensor("iter_entropy", record.term(|t| t.entropy)?)
            .f64s("iter_total", [updates], record.terms.iter().map(mean_total).collect::<Vec<_>>())
            .tensor("iter_grad", stacked(&record.gradient, &shape).await?)
            .tensor("iter_latent", stacked(&record.latent, &shape).await?)
            .tensor("iter_delta", stacked(&moves, &shape).await?);
        Ok(outputs)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::golden::new_context;
    use serde_json::json;

    /// The case of eight steps that are guided after 0, 1 and 2, with other parameters.
    fn changed(context: &Context, name: &str, value: serde_json::Value) -> Result<(Case, Outputs)> {
        let mut case = Case::open(crate::root().join("kernels-tests/golden/tempo_guided_early_stop"))?;
        case.params[name] = value;
        let outputs = guided_sample(context, &case)?;
        Ok((case, outputs))
    }

    #[test]
    fn guided_steps_may_be_any_list() {
        let context = new_context().unwrap();
        // In any order, twice, and past the last step, where the released code would never look.
        let (case, outputs) = changed(&context, "guided_steps", json!([2, 0, 1, 1, 8, 40])).unwrap();
        let op = crate::golden::ops::OPS.iter().find(|op| op.name == case.op).unwrap();
        let outcomes = outputs.judge(&case, op).unwrap();
        assert!(outcomes.len() > 15 && outcomes.iter().all(|o| o.failure.is_none()), "{outcomes:?}");
        let (_, outputs) = changed(&context, "guided_steps", json!([0, 2])).unwrap();
        let of = |name: &str| outputs.values.get(name).unwrap().data.clone();
        assert!(of("iter_step").contains(&0.0) && of("iter_step").iter().all(|s| [0.0, 2.0].contains(s)));
        let optimised = of("step_optimized");
        assert_eq!((optimised.len(), optimised[0], optimised[1]), (8, 1.0, 0.0));
        assert_eq!(of("r_before").len(), 8);
        let (_, outputs) = changed(&context, "guided_steps", json!([])).unwrap();
        assert!(outputs.values.get("step_optimized").unwrap().data.iter().all(|o| *o == 0.0));
    }

    #[test]
    fn the_divisor_is_the_case_s() {
        let context = new_context().unwrap();
        let attention = |outputs: &Outputs| outputs.values.get("iter_positive_magnitude").unwrap().data[0];
        let [official, plain] =
            [2, 3].map(|d| attention(&changed(&context, "layer_divisor", json!(d)).unwrap().1));
        assert!((official * 2.0 / 3.0 / plain - 1.0).abs() < 1e-3, "{official} {plain}");
        let error = changed(&context, "layer_divisor", json!(4)).unwrap_err();
        assert!(error.to_string().contains("`layer_divisor` is 4"), "{error}");
    }
}
