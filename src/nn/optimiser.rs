//! AdamW over named parameters: groups with and without decay, a learning rate that warms up and decays, clipping,
//! accumulation.

use super::Parameters;
use crate::kernels::Kernel;
use crate::kernels::elementwise::weighted_sum;
use crate::kernels::optim::{AdamW, AdamWStep, adamw, norm_of, sum_of_squares};
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
    /// Adds a part's gradients: all of them, or none where one does not fit.
    ///
    /// # Errors
    /// [`Error::Input`] for a gradient of another size than the sum so far.
    pub fn add(&mut self, part: BTreeMap<String, Tensor>) -> Result<()> {
        let mut sums = Vec::with_capacity(part.len());
        for (name, gradient) in part {
            let sum = match self.sums.get(&name) {
                Some(before) if before.shape() != gradient.shape() => {
                    let reason = format!("{}, the sum so far is {}", gradient.shape(), before.shape());
                    return Err(Error::input(format!("gradient `{name}`"), reason));
                }
                Some(before) => weighted_sum(&[(before, 1.0), (&gradient, 1.0)])?,
                None => gradient,
            };
            sums.push((name, sum));
        }
        self.sums.extend(sums);
        Ok(())
    }

    /// The sums, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.sums.iter().map(|(name, g)| (name.as_str(), g))
    }

    /// Euclidean norm over all of them, whatever the size of their values.
    pub async fn norm(&self) -> Result<f64> {
        // One download for all: a wait for the device costs more than a copy of a few numbers.
        let partials: Vec<Tensor> = self.sums.values().map(sum_of_squares).collect::<Result<_>>()?;
        let Some(first) = partials.first() else { return Ok(0.0) };
        let all = Tensor::empty(first.context(), [partials.iter().map(Tensor::len).sum()], Dtype::F32)?;
        let mut at = 0;
        for part in &partials {
            part.reshape([part.len()])?.copy_to(&all.narrow(at, part.len())?)?;
            at += part.len();
        }
        Ok(norm_of(&all.to_vec().await?))
    }

    /// Scales all of them so that their norm is at most `limit`, as torch's `clip_grad_norm_` does; gives the norm from
    /// before.
    ///
    /// # Errors
    /// [`Error::Input`] where the norm is not finite, or the limit is negative or NaN; nothing is scaled then.
    pub async fn clip(&mut self, limit: f64) -> Result<f64> {
        if limit.is_nan() || limit < 0.0 {
            return Err(Error::input("clip", format!("a norm is not limited to {limit}: 0 and more can be")));
        }
        let norm = self.norm().await?;
        if !norm.is_finite() {
            return Err(Error::input("gradient", format!("its norm is {norm}")));
        }
        let factor = limit / (norm + 1e-6);
        if factor < 1.0 {
            // Of a factor that f32 does not hold, its root twice.
            let (factor, times) = if factor < 1e-30 { (factor.sqrt(), 2) } else { (factor, 1) };
            let scaled = |gradient: &Tensor| {
                let once = weighted_sum(&[(gradient, factor as f32)])?;
                if times == 1 { Ok(once) } else { weighted_sum(&[(&once, factor as f32)]) }
            };
            let scaled = self.sums.iter().map(|(name, g)| Ok((name.clone(), scaled(g)?)));
            self.sums = scaled.collect::<Result<_>>()?;
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
    ///
    /// # Errors
    /// [`Error::Input`] for a gradient of an unknown parameter or of another size or type, [`Error::Context`] for one of
    /// another context, [`Error::Problem`] for settings out of range: then nothing has changed.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Accumulated,
        rate: f64,
        decays: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let step = self.steps.checked_add(1).ok_or_else(|| Error::input("optimiser", "too many steps"))?;
        let mut moves = Vec::new();
        for (name, gradient) in gradients.iter() {
            let parameter = parameters.get(name)?;
            if parameter.shape() != gradient.shape() || gradient.dtype() != parameter.dtype() {
                let of = |t: &Tensor| format!("{} {}", t.shape(), t.dtype());
                let reason = format!("{} for a parameter of {}", of(gradient), of(parameter));
                return Err(Error::input(format!("gradient `{name}`"), reason));
            }
            if !gradient.context().same(parameter.context()) {
                return Err(gradient.foreign(
                    "optimiser",
                    &format!("gradient `{name}`"),
                    parameter.context(),
                ));
            }
            let weight_decay = if decays(name) { self.settings.weight_decay } else { 0.0 };
            let settings = AdamW { lr: rate, weight_decay, ..self.settings };
            AdamWStep { count: parameter.len(), settings, step }.check()?;
            let moments = match self.moments.get(name) {
                Some(both) => both.clone(),
                None => {
                    let zeros = || Tensor::zeros(parameter.context(), parameter.shape().clone(), Dtype::F32);
                    [zeros()?, zeros()?]
                }
            };
            moves.push((name, parameter, gradient, moments, settings));
        }
        for (name, parameter, gradient, [first, second], settings) in moves {
            adamw(parameter, gradient, &first, &second, &settings, step)?;
            self.moments.entry(name.to_owned()).or_insert([first, second]);
        }
        self.steps = step;
        Ok(())
    }

    /// Both moments of every parameter that has been moved, by name.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &[Tensor; 2])> {
        self.moments.iter().map(|(name, both)| (name.as_str(), both))
    }

    /// Goes on from a checkpoint: steps taken, and both moments of a parameter by name.
    ///
    /// # Errors
    /// [`Error::Input`] for moments of an unknown parameter or of another size, and for a second moment that is
    /// negative; [`Error::NonFinite`] for NaN and infinities. Then nothing has changed.
    pub fn restore(
        &mut self,
        parameters: &Parameters,
        steps: u32,
        moments: impl IntoIterator<Item = (String, [HostTensor; 2])>,
    ) -> Result<()> {
        let mut restored = BTreeMap::new();
        for (name, both) in moments {
            let parameter = parameters.get(&name)?;
            if let Some(other) = both.iter().find(|moment| moment.shape() != parameter.shape()) {
                let reason = format!("{} for a parameter of {}", other.shape(), parameter.shape());
                return Err(Error::input(format!("moment of `{name}`"), reason));
            }
            let [first, second] = &both;
            first.require_finite(&format!("first moment of `{name}`"))?;
            second.require_finite(&format!("second moment of `{name}`"))?;
            if let Some((i, v)) = second.data().iter().enumerate().find(|(_, v)| **v < 0.0) {
                let reason = format!("element {i} is {v}, which no mean of squares is");
                return Err(Error::input(format!("second moment of `{name}`"), reason));
            }
            let [first, second] =
                both.each_ref().map(|moment| Tensor::from_host(parameter.context(), moment));
            restored.insert(name, [first?, second?]);
        }
        self.steps = steps;
        self.moments = restored;
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
