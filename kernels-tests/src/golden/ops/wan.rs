//! The video transformer: velocity, what is read from its cross-attention, and the gradient through it.

use super::super::{Case, Outputs};
use super::{host, objective, tempo};
use foveal::autograd::{Tape, Var};
use foveal::kernels::temporal::temporal_loss;
use foveal::models::wan::{
    BlockEvent, Capture, Wan, WanConfig, WanOptions, WanOutput, WanText, WanTime, WanWeights,
};
use foveal::weights::WeightStore;
use foveal::{Context, HostTensor, Result, Tensor};
use std::ops::ControlFlow;

/// A model with the inputs of one forward pass.
struct Setup {
    wan: Wan,
    latent: Tensor,
    time: WanTime,
    /// Latent frames, and rows and columns of tokens.
    grid: [usize; 3],
}

impl Setup {
    fn new(context: &Context, case: &Case, weights: &WeightStore, config: WanConfig) -> Result<Self> {
        let latent = case.input("latent")?;
        let &[_, frames, height, width] = latent.shape().dims() else {
            return Err(case.malformed(format!(
                "in/latent {} is not (channels, frames, height, width)",
                latent.shape()
            )));
        };
        let grid = config.grid(frames, height, width)?;
        let wan = Wan::new(context, &WanWeights::new(weights, config)?)?;
        let timestep = case.input("timestep")?;
        let &[timestep] = timestep.data() else {
            return Err(case.malformed("in/timestep is not one number"));
        };
        Ok(Self { latent: Tensor::from_host(context, &latent)?, time: wan.time(timestep)?, wan, grid })
    }

    /// The model whose configuration and weights stand in the case.
    fn original(context: &Context, case: &Case) -> Result<Self> {
        Self::new(context, case, &case.weights(), WanConfig::from_config(&case.config("model")?)?)
    }

    /// A pass whose blocks `hook` sees.
    fn watched(
        &self,
        text: &WanText,
        options: &WanOptions,
        hook: impl FnMut(&BlockEvent) -> ControlFlow<()>,
    ) -> Result<WanOutput> {
        let latent = Var::constant(self.latent.clone());
        self.wan.forward_watched(&mut Tape::forward(), &latent, &self.time, text, options, hook)
    }

    fn velocity(&self, case: &Case, text: &WanText) -> Result<HostTensor> {
        let found = self.watched(text, &WanOptions::default(), |_| ControlFlow::Continue(()))?;
        velocity_of(case, &found)
    }

    /// A map `(groups, frames, tokens)` with its tokens as rows and columns.
    fn map(&self, map: &Tensor) -> Result<HostTensor> {
        let [frames, height, width] = self.grid;
        let groups = map.len() / (frames * height * width);
        host(map)?.reshape([groups, frames, height, width])
    }

    fn capture(&self, case: &Case, divisor: usize, map_only: bool) -> Result<Capture> {
        let (groups, text_len) = (case.usize_lists("token_groups")?, self.wan.config().text_len);
        let mut weights = vec![0.0; groups.len() * text_len];
        for (row, tokens) in weights.chunks_mut(text_len).zip(&groups) {
            for &token in tokens {
                let weight = row
                    .get_mut(token)
                    .ok_or_else(|| case.malformed(format!("token {token} of {text_len}")))?;
                *weight += 1.0 / tokens.len() as f32;
            }
        }
        Ok(Capture { weights, groups: groups.len(), layer_divisor: divisor as f32, map_only })
    }
}

fn velocity_of(case: &Case, found: &WanOutput) -> Result<HostTensor> {
    let velocity = found.velocity.as_ref().ok_or_else(|| case.malformed("no velocity came back"))?;
    host(velocity.tensor())
}

/// `wan.dit`: a forward pass with its embeddings and maps.
pub(super) fn dit(context: &Context, case: &Case) -> Result<Outputs> {
    let setup = Setup::original(context, case)?;
    let text = setup.wan.text(&case.input("context")?)?;
    let mut out = Outputs::new();
    out.tensor("context_embedded", host(&text.embedded)?);
    out.tensor("time_e", host(&setup.time.e)?);
    out.tensor("time_e0", host(&setup.time.e0)?);

    let mut block0 = None;
    let first = |event: &BlockEvent| {
        if event.block == 0 {
            block0 = Some(event.x.to_owned_copy());
        }
        ControlFlow::Continue(())
    };
    let official = setup.capture(case, case.usize("layer_divisor_official")?, false)?;
    let options = WanOptions { capture: Some(official), ..WanOptions::default() };
    let found = setup.watched(&text, &options, first)?;
    out.tensor("velocity", velocity_of(case, &found)?);
    if let (Some(map), Some(block0)) = (&found.map, block0) {
        out.tensor("map_official", setup.map(map.tensor())?);
        out.tensor("block0", host(&block0?)?);
    }

    // Maps accumulate over the blocks: a block's own is the difference to the one before.
    let mut sums: Vec<Result<Tensor>> = Vec::new();
    let each = |event: &BlockEvent| {
        sums.extend(event.map.as_ref().map(Tensor::to_owned_copy));
        ControlFlow::Continue(())
    };
    let plain = setup.capture(case, case.usize("layer_divisor_plain")?, true)?;
    let options = WanOptions { capture: Some(plain.clone()), ..WanOptions::default() };
    let found = setup.watched(&text, &options, each)?;
    let sums: Vec<Tensor> = sums.into_iter().collect::<Result<_>>()?;
    if let Some(map) = &found.map {
        out.tensor("map_mean", setup.map(map.tensor())?);
    }
    let mut before = vec![0.0; sums.first().map_or(0, Tensor::len)];
    let mut layers = Vec::new();
    for sum in &sums {
        let sum = host(sum)?;
        let own =
            sum.data().iter().zip(&before).map(|(a, b)| f64::from(plain.layer_divisor) * f64::from(a - b));
        layers.extend(own);
        before = sum.into_data();
    }
    let [frames, height, width] = setup.grid;
    out.f64s("map_per_layer", [sums.len(), plain.groups, frames, height, width], layers);
    Ok(out)
}

/// `wan.dit_grad`: the temporal objective of the map, and its gradient by the latent.
pub(super) fn dit_grad(context: &Context, case: &Case) -> Result<Outputs> {
    let setup = Setup::original(context, case)?;
    let text = setup.wan.text(&case.input("context")?)?;
    let mut out = Outputs::new();
    out.tensor("velocity", setup.velocity(case, &text)?);

    let capture = setup.capture(case, case.usize("layer_divisor")?, true)?;
    let mut tape = Tape::record();
    let latent = tape.leaf(setup.latent.clone());
    let options = WanOptions { capture: Some(capture), ..WanOptions::default() };
    let found = setup.wan.forward(&mut tape, &latent, &setup.time, &text, &options)?;
    let map = found.map.ok_or_else(|| case.malformed("no map came back"))?;
    out.tensor("map_official", setup.map(map.tensor())?);

    let masks = Tensor::from_host(context, &case.input("masks")?)?;
    let outcome = temporal_loss(map.tensor(), &masks, &objective(case)?)?;
    tempo::report(&mut out, &outcome)?;
    out.tensor("grad_map", setup.map(&outcome.grad)?);

    let gradients = tape.backward(&[(&map, outcome.grad)])?;
    if let Some(gradient) = gradients.of(&latent)? {
        out.tensor("grad", host(&gradient)?);
    }
    Ok(out)
}

/// `wan.diffusers_dit`: the same pass with the other library's files; both libraries' velocities are expected of it.
pub(super) fn diffusers_dit(context: &Context, case: &Case) -> Result<Outputs> {
    let folder = case.model_folder()?;
    let padded = case.input("encoder_hidden_states")?;
    let text_len = padded.shape().dims().first().copied().unwrap_or(0);
    let config = WanConfig::open(&folder)?.with_text_len(text_len)?;
    let setup = Setup::new(context, case, &WeightStore::open(&folder)?, config)?;
    let mut out = Outputs::new();
    let mut block0 = None;
    let first = |event: &BlockEvent| {
        if event.block == 0 {
            block0 = Some(event.x.to_owned_copy());
        }
        ControlFlow::Continue(())
    };
    let found = setup.watched(&setup.wan.text(&padded)?, &WanOptions::default(), first)?;
    out.tensor("velocity", velocity_of(case, &found)?);
    if let Some(block0) = block0 {
        out.tensor("block0", host(&block0?)?);
    }
    // The same text before it was padded.
    out.tensor("velocity_official", setup.velocity(case, &setup.wan.text(&case.input("context")?)?)?);
    Ok(out)
}
