//! The UniPC solver of order 2 and the Euler method, as weights for linear combinations.
//!
//! The samples live on a device, so the solver never touches them: [`Sampler::plan`] says with which
//! weights a step combines them. [`SolverState`] carries a plan out in host memory.
//!
//! With `alpha = 1 - sigma`, `lambda = ln(alpha) - ln(sigma)`, model output `v` and `h` the difference
//! of `lambda` over a step, `E = expm1(-h)`, step `i` is
//! - `x0_i = z_i - sigma_i * v_i`
//! - corrector: `z_i <- (sigma_i/sigma_p) * last - alpha_i*E*(x0_p + rho0*D1 + rho1*(x0_i - x0_p))` with
//!   `p = i-1`, `D1 = (x0_{i-2} - x0_p)/r0`, and `last` the sample that step `p` started from. The
//!   incoming `z_i` enters through `x0_i` only.
//! - predictor: `z_{i+1} = (sigma_{i+1}/sigma_i)*z_i - alpha_{i+1}*E*(x0_i + D1/2)`, at the last step
//!   `x0_i` itself.
//!
//! Source: UniPC, bh2 variant predicting x0 (Zhao et al., 2023), as configured by Wan 2.1.

use super::schedule::Schedule;
use crate::{Error, Result};

/// Integration rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Solver {
    /// Predictor-corrector of order 2; first and last step of order 1.
    #[default]
    UniPc,
    /// First order: `z_{i+1} = z_i + (sigma_{i+1} - sigma_i) * v_i`.
    Euler,
}

/// What a step does about an edit that was made to the sample after the step before it.
///
/// The corrector rebuilds the sample from the one before the edit, so that of an edit only its effect on
/// the next model output survives: about 1 % of it reaches the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterEdit {
    /// Correct as if there had been no edit: what the released code does.
    #[default]
    Ignore,
    /// Do not correct this step; the edited sample is used as it is.
    SkipCorrector,
    /// Correct, and carry the edit over. The corrector weighs the sample that the step before started
    /// from with `sigma_i/sigma_{i-1}`; moving that sample by the edit times the inverse ratio adds
    /// the edit, unchanged, to the corrected sample.
    Transport,
}

/// Weights of the corrector. A tensor whose weight is 0 need not exist.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correction {
    /// Of the sample that the step before started from, after its own correction.
    pub last_sample: f32,
    /// Of this step's clean estimate.
    pub x0: f32,
    /// Of the clean estimate one step before.
    pub x0_prev: f32,
    /// Of the clean estimate two steps before; 0 at order 1.
    pub x0_prev2: f32,
    /// Of the edit, the incoming sample minus what the step before returned: 0, or 1 with
    /// [`AfterEdit::Transport`].
    pub edit: f32,
}

/// Weights of the predictor. A tensor whose weight is 0 need not exist.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Of this step's sample, corrected if the plan corrects.
    pub sample: f32,
    /// Of this step's clean estimate.
    pub x0: f32,
    /// Of the clean estimate one step before; 0 at order 1.
    pub x0_prev: f32,
}

/// One step: `x0 = sample - sigma * velocity`, then the correction, then the prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPlan {
    /// Index of the step.
    pub step: usize,
    /// Noise level of the incoming sample; the clean estimate is `sample - sigma * velocity`.
    pub sigma: f32,
    /// What the model is asked with.
    pub timestep: f32,
    /// Order of the predictor, 1 or 2.
    pub order: usize,
    /// How the incoming sample is replaced before the prediction; `None` leaves it.
    pub correction: Option<Correction>,
    /// How the next sample is made.
    pub prediction: Prediction,
}

/// A schedule with an integration rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    schedule: Schedule,
    solver: Solver,
    /// Per step: its result is not corrected by the next one.
    uncorrected: Vec<bool>,
}

impl Sampler {
    /// Joins a schedule and a rule; the corrector of UniPC is on.
    pub fn new(schedule: Schedule, solver: Solver) -> Self {
        let uncorrected = vec![false; schedule.steps()];
        Self { schedule, solver, uncorrected }
    }

    /// Switches the corrector off for the results of these steps: index `i` means that step `i + 1`
    /// takes its incoming sample as it is. Without meaning for Euler.
    ///
    /// # Errors
    /// [`Error::Input`] for an index past the last step.
    pub fn disable_corrector(mut self, steps: &[usize]) -> Result<Self> {
        for &step in steps {
            *self.uncorrected.get_mut(step).ok_or_else(|| past_end(step, self.schedule.steps()))? = true;
        }
        Ok(self)
    }

    /// Noise levels and timesteps.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Integration rule.
    pub fn solver(&self) -> Solver {
        self.solver
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.schedule.steps()
    }

    /// Weights of a step whose incoming sample is what the step before returned, or an edit of it that
    /// is treated as in the released code.
    ///
    /// # Errors
    /// [`Error::Input`] for an index past the last step.
    pub fn plan(&self, step: usize) -> Result<StepPlan> {
        self.plan_after_edit(step, AfterEdit::Ignore)
    }

    /// Weights of a step whose incoming sample was edited after step `step - 1`.
    ///
    /// # Errors
    /// [`Error::Input`] for an index past the last step.
    pub fn plan_after_edit(&self, step: usize, edit: AfterEdit) -> Result<StepPlan> {
        let (sigmas, steps) = (self.schedule.sigmas(), self.steps());
        // A step has the level it starts from and the one it goes to: the pairs are as many as the steps.
        let (Some((&sigma, &next)), Some(&timestep)) =
            (sigmas.iter().zip(sigmas.iter().skip(1)).nth(step), self.schedule.timesteps().get(step))
        else {
            return Err(past_end(step, steps));
        };
        let level = |i: usize| sigmas.get(i).copied().map(Level::new);
        let (here, before) = (Level::new(sigma), step.checked_sub(1).and_then(level));
        let order_at = |i: usize| if self.solver == Solver::Euler { 1 } else { 2.min(steps - i).min(i + 1) };

        let corrects = self.solver == Solver::UniPc && edit != AfterEdit::SkipCorrector;
        let correction = match before.filter(|_| corrects) {
            Some(source) if self.uncorrected.get(step - 1) == Some(&false) => {
                let older = if order_at(step - 1) == 2 { step.checked_sub(2).and_then(level) } else { None };
                Some(correction(older, source, here, if edit == AfterEdit::Transport { 1.0 } else { 0.0 }))
            }
            _ => None,
        };
        let order = order_at(step);
        let prediction = prediction(before.filter(|_| order == 2), here, Level::new(next));
        Ok(StepPlan { step, sigma, timestep, order, correction, prediction })
    }
}

fn past_end(step: usize, steps: usize) -> Error {
    Error::input("step", format!("index {step}, the schedule has {steps}"))
}

/// A noise level in the solver's variables. Weights are computed in f64 from the f32 levels that the
/// schedule holds, as the model was asked with those.
#[derive(Debug, Clone, Copy)]
struct Level {
    sigma: f64,
    alpha: f64,
    lambda: f64,
}

impl Level {
    fn new(sigma: f32) -> Self {
        let sigma = f64::from(sigma);
        let alpha = 1.0 - sigma;
        // At sigma 1 this is -inf, and every weight below still has its finite limit.
        Self { sigma, alpha, lambda: alpha.ln() - sigma.ln() }
    }
}

/// `source` is the level the sample came from, `target` the one it arrived at.
fn correction(older: Option<Level>, source: Level, target: Level, edit: f32) -> Correction {
    let h = target.lambda - source.lambda;
    let e = (-h).exp_m1();
    let (rho_older, rho_target) = match older {
        None => (0.0, 0.5),
        Some(older) => {
            let r0 = (older.lambda - source.lambda) / h;
            let phi = e / -h - 1.0;
            let (b1, b2) = (phi / e, 2.0 * (phi / -h - 0.5) / e);
            let rho = (b1 - b2) / (1.0 - r0);
            (rho / r0, b1 - rho)
        }
    };
    let scale = -target.alpha * e;
    Correction {
        last_sample: (target.sigma / source.sigma) as f32,
        x0: (scale * rho_target) as f32,
        x0_prev: (scale * (1.0 - rho_target - rho_older)) as f32,
        x0_prev2: (scale * rho_older) as f32,
        edit,
    }
}

fn prediction(older: Option<Level>, source: Level, target: Level) -> Prediction {
    if target.sigma == 0.0 {
        // `lambda` is +inf here; the limit is the clean estimate itself.
        return Prediction { sample: 0.0, x0: 1.0, x0_prev: 0.0 };
    }
    let h = target.lambda - source.lambda;
    let scale = -target.alpha * (-h).exp_m1();
    let half = older.map_or(0.0, |older| 0.5 * h / (older.lambda - source.lambda));
    Prediction {
        sample: (target.sigma / source.sigma) as f32,
        x0: (scale * (1.0 - half)) as f32,
        x0_prev: (scale * half) as f32,
    }
}

/// Carries plans out in host memory: the reference for the device, and enough for small problems.
#[derive(Debug, Clone, Default)]
pub struct SolverState {
    done: usize,
    last_sample: Vec<f32>,
    x0: Vec<f32>,
    x0_prev: Vec<f32>,
    predicted: Vec<f32>,
}

impl SolverState {
    /// Before the first step.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the sample and the model's output at it, returns the next sample. The sample may be an
    /// edit of what the call before returned.
    ///
    /// # Errors
    /// [`Error::Input`] when the plan is not for the next step or a length differs from the first one's.
    pub fn step(&mut self, plan: &StepPlan, sample: &[f32], velocity: &[f32]) -> Result<Vec<f32>> {
        if plan.step != self.done {
            return Err(Error::input(
                "step plan",
                format!("step {} was planned, {} is next", plan.step, self.done),
            ));
        }
        let expected = if self.done == 0 { sample.len() } else { self.predicted.len() };
        for (what, found) in [("sample", sample.len()), ("velocity", velocity.len())] {
            if found != expected {
                return Err(Error::input(what, format!("expected {expected} values, found {found}")));
            }
        }
        let x0: Vec<f32> = sample.iter().zip(velocity).map(|(z, v)| z - plan.sigma * v).collect();
        let current = match plan.correction {
            None => sample.to_vec(),
            Some(c) => {
                let edit: Vec<f32> = sample.iter().zip(&self.predicted).map(|(z, p)| z - p).collect();
                let terms = [
                    (c.last_sample, &self.last_sample),
                    (c.x0, &x0),
                    (c.x0_prev, &self.x0),
                    (c.x0_prev2, &self.x0_prev),
                    (c.edit, &edit),
                ];
                combine(expected, &terms)
            }
        };
        let p = plan.prediction;
        self.predicted = combine(expected, &[(p.sample, &current), (p.x0, &x0), (p.x0_prev, &self.x0)]);
        self.x0_prev = std::mem::replace(&mut self.x0, x0);
        self.last_sample = current;
        self.done += 1;
        Ok(self.predicted.clone())
    }

    /// Clean estimate of the last step.
    pub fn x0(&self) -> &[f32] {
        &self.x0
    }

    /// The sample that the last step predicted from: corrected, where it corrects.
    pub fn corrected(&self) -> &[f32] {
        &self.last_sample
    }
}

/// Sum of weighted tensors; a term of weight 0 may be empty.
fn combine(len: usize, terms: &[(f32, &Vec<f32>)]) -> Vec<f32> {
    let mut sum = vec![0.0; len];
    for (weight, values) in terms.iter().filter(|(weight, _)| *weight != 0.0) {
        for (s, v) in sum.iter_mut().zip(values.iter()) {
            *s += weight * v;
        }
    }
    sum
}

#[cfg(test)]
mod tests;
