//! The sampler on the device: carries out the plans of [`super::unipc`] with one weighted sum a combination.

use super::unipc::StepPlan;
use crate::gpu::Context;
use crate::kernels::elementwise::weighted_sum;
use crate::{Error, HostTensor, Result, Shape, Tensor};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

/// The tensors a multistep solver remembers.
#[derive(Debug, Clone, Default)]
pub struct SamplerState {
    done: usize,
    last_sample: Option<Tensor>,
    x0: Option<Tensor>,
    x0_prev: Option<Tensor>,
}

/// Sum over the terms whose weight is not zero.
fn combine(terms: &[(Option<&Tensor>, f32)]) -> Result<Tensor> {
    let missing = || Error::input("step plan", "it needs a tensor that was not given");
    let weighed = terms.iter().filter(|(_, w)| *w != 0.0).map(|(t, w)| Ok((t.ok_or_else(missing)?, *w)));
    let present = weighed.collect::<Result<Vec<(&Tensor, f32)>>>()?;
    let (first, rest) = present.split_at(present.len().min(4));
    let mut sum = weighted_sum(first)?;
    for more in rest.chunks(3) {
        let all: Vec<(&Tensor, f32)> = std::iter::once((&sum, 1.0)).chain(more.iter().copied()).collect();
        sum = weighted_sum(&all)?;
    }
    Ok(sum)
}

impl SamplerState {
    /// Before the first step.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next sample. `edit` is what was added to the sample since the step before returned it, needed where the
    /// plan transports edits.
    ///
    /// # Errors
    /// [`Error::Input`] for a plan that is not for the next step, and for one that weighs a tensor which is not there;
    /// otherwise those of [`weighted_sum()`]. The state is then as it was.
    pub fn step(
        &mut self,
        plan: &StepPlan,
        sample: &Tensor,
        velocity: &Tensor,
        edit: Option<&Tensor>,
    ) -> Result<Tensor> {
        if plan.step != self.done {
            let reason = format!("step {} was planned, {} is next", plan.step, self.done);
            return Err(Error::input("step plan", reason));
        }
        let x0 = combine(&[(Some(sample), 1.0), (Some(velocity), -plan.sigma)])?;
        let corrected = match &plan.correction {
            None => sample.clone(),
            Some(c) => combine(&[
                (self.last_sample.as_ref(), c.last_sample),
                (Some(&x0), c.x0),
                (self.x0.as_ref(), c.x0_prev),
                (self.x0_prev.as_ref(), c.x0_prev2),
                (edit, c.edit),
            ])?,
        };
        let p = &plan.prediction;
        let next =
            combine(&[(Some(&corrected), p.sample), (Some(&x0), p.x0), (self.x0.as_ref(), p.x0_prev)])?;
        self.last_sample = Some(corrected);
        self.x0_prev = self.x0.replace(x0);
        self.done += 1;
        Ok(next)
    }

    /// Clean estimate of the last step.
    pub fn x0(&self) -> Option<&Tensor> {
        self.x0.as_ref()
    }

    /// Sample of the last step after its correction.
    pub fn corrected(&self) -> Option<&Tensor> {
        self.last_sample.as_ref()
    }
}

/// `uncond + scale · (cond − uncond)`: classifier-free guidance.
pub fn guidance(cond: &Tensor, uncond: &Tensor, scale: f32) -> Result<Tensor> {
    weighted_sum(&[(uncond, 1.0 - scale), (cond, scale)])
}

/// Standard normal noise, the same for a seed on every platform (PCG-64 seeded as its documentation says). For a shape
/// that no memory has it is without elements, as [`HostTensor::zeros`] is.
pub fn noise(seed: u64, shape: [usize; 4]) -> HostTensor {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut noise = HostTensor::zeros(shape);
    noise.data_mut().fill_with(|| StandardNormal.sample(&mut rng));
    noise
}

/// Uploads noise for a context.
///
/// # Errors
/// [`Error::Input`] for a shape that no memory has; otherwise those of an upload.
pub fn noise_on(context: &Context, seed: u64, shape: [usize; 4]) -> Result<Tensor> {
    let noise = noise(seed, shape);
    let shape = Shape::from(shape);
    if *noise.shape() != shape {
        return Err(Error::input("noise", format!("shape {shape} is too large")));
    }
    Tensor::from_host(context, &noise)
}
