//! AdamW over named parameters: groups with and without decay, a learning rate that warms up and decays, clipping,
//! accumulation.

use super::Parameters;
use crate::kernels::elementwise::weighted_sum;
use crate::kernels::optim::{AdamW, adamw, sum_of_squares};
use crate::{Dtype, Error, HostTensor, Result, Tensor};
use std::collections::BTreeMap;

/// Learning rate over the steps of a run: linear warm-up from 0, then linear decay to 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmupLinear {
    /// Largest rate.
    pub peak: f64,
    /// Steps of the warm-up.
    pub warmup: u32,
    /// Steps of the run.
    pub total: u32,
}

impl WarmupLinear {
    /// Rate of a step, counted from 0: `step / warmup`, then `(total − step) / (total − warmup)`, of the peak.
    pub fn rate(&self, step: u32) -> f64 {
        let (step, warmup, total) = (f64::from(step), f64::from(self.warmup), f64::from(self.total));
        let share = if step < warmup {
            step / warmup.max(1.0)
        } else {
            ((total - step) / (total - warmup).max(1.0)).max(0.0)
        };
        self.peak * share
    }
}

/// Gradients by name, summed over the parts of a batch.
#[derive(Debug, Clone, Default)]
pub struct Accumulated {
    sums: BTreeMap<String, Tensor>,
}

impl Accumulated {
    /// Adds a part's gradients.
    pub fn add(&mut self, part: BTreeMap<String, Tensor>) -> Result<()> {
        for (name, gradient) in part {
            let sum = match self.sums.remove(&name) {
                Some(before) => weighted_sum(&[(&before, 1.0), (&gradient, 1.0)])?,
                None => gradient,
            };
            self.sums.insert(name, sum);
        }
        Ok(())
    }

    /// The sums, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.sums.iter().map(|(name, g)| (name.as_str(), g))
    }

    /// Euclidean norm over all of them.
    pub async fn norm(&self) -> Result<f64> {
        // One download for all: a wait for the device costs more than a copy of a few numbers.
        let partials: Vec<Tensor> = self.sums.values().map(sum_of_squares).collect::<Result<_>>()?;
        let Some(first) = partials.first() else { return Ok(0.0) };
        let all = Tensor::empty(first.context(), [partials.iter().map(Tensor::len).sum()], Dtype::F32)?;
        let mut at = 0;
        for part in &partials {
            part.copy_to(&all.narrow(at, part.len())?)?;
            at += part.len();
        }
        Ok(all.to_vec().await?.into_iter().map(f64::from).sum::<f64>().sqrt())
    }

    /// Scales all of them so that their norm is at most `limit`, as torch's `clip_grad_norm_` does; gives the norm from
    /// before.
    ///
    /// # Errors
    /// [`Error::Input`] where the norm is not finite.
    pub async fn clip(&mut self, limit: f64) -> Result<f64> {
        let norm = self.norm().await?;
        if !norm.is_finite() {
            return Err(Error::input("gradient", format!("its norm is {norm}")));
        }
        let factor = limit / (norm + 1e-6);
        if factor < 1.0 {
            for gradient in self.sums.values_mut() {
                *gradient = weighted_sum(&[(gradient, factor as f32)])?;
            }
        }
        Ok(norm)
    }
}

/// AdamW's state: moments by parameter, and the number of steps taken.
#[derive(Debug, Clone)]
pub struct Optimiser {
    settings: AdamW,
    steps: u32,
    moments: BTreeMap<String, [Tensor; 2]>,
}

impl Optimiser {
    /// At step 0; `settings.lr` is replaced by the rate of each step.
    pub fn new(settings: AdamW) -> Self {
        Self { settings, steps: 0, moments: BTreeMap::new() }
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// One step at a learning rate, in place; parameters that `decays` does not name do without weight decay, and those
    /// without a gradient stay as they are.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Accumulated,
        rate: f64,
        decays: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        self.steps += 1;
        for (name, gradient) in gradients.iter() {
            let parameter = parameters.get(name)?;
            if !self.moments.contains_key(name) {
                let zeros = || Tensor::zeros(parameter.context(), parameter.shape().clone());
                self.moments.insert(name.to_owned(), [zeros()?, zeros()?]);
            }
            let Some([first, second]) = self.moments.get(name) else { continue };
            let weight_decay = if decays(name) { self.settings.weight_decay } else { 0.0 };
            let settings = AdamW { lr: rate, weight_decay, ..self.settings };
            adamw(parameter, gradient, first, second, &settings, self.steps)?;
        }
        Ok(())
    }

    /// Both moments of every parameter that has been moved, by name.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &[Tensor; 2])> {
        self.moments.iter().map(|(name, both)| (name.as_str(), both))
    }

    /// Goes on from a checkpoint: steps taken, and both moments of a parameter by name.
    pub fn restore(
        &mut self,
        parameters: &Parameters,
        steps: u32,
        moments: impl IntoIterator<Item = (String, [HostTensor; 2])>,
    ) -> Result<()> {
        self.steps = steps;
        self.moments.clear();
        for (name, [first, second]) in moments {
            let context = parameters.get(&name)?.context();
            let both = [Tensor::from_host(context, &first)?, Tensor::from_host(context, &second)?];
            self.moments.insert(name, both);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_warms_up_and_decays_to_zero() {
        let plan = WarmupLinear { peak: 2.0, warmup: 4, total: 12 };
        let rates: Vec<f64> = [0, 2, 4, 8, 12, 20].map(|s| plan.rate(s)).into();
        assert_eq!(rates, [0.0, 1.0, 2.0, 1.0, 0.0, 0.0]);
        assert_eq!(WarmupLinear { peak: 1.0, warmup: 0, total: 2 }.rate(0), 1.0);
    }
}
