//! Wan 2.1 text-to-video diffusion transformer: one forward pass, with its cross-attention masked, read and steered.
//!
//! Per block, with `(shift, scale, gate)` of attention and feed-forward from the timestep:
//! `x += gate₁ · self(ln(x) (1 + scale₁) + shift₁)`, `x += cross(ln_affine(x), text)`,
//! `x += gate₂ · ffn(ln(x) (1 + scale₂) + shift₂)`. Queries and keys pass an RMS norm over the full width before the
//! heads are split; self-attention rotates them over frame, height and width.
//!
//! Source: Wan-Video/Wan2.1 wan/modules/model.py at 9737cba; diffusers' WanTransformer3DModel for its key names.

mod block;
pub mod config;
mod foreign;
mod infer;
pub mod keys;

pub use block::{Capture, CrossMask};
pub use config::WanConfig;
pub use keys::{WanFormat, WanWeights};

use crate::autograd::{LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::kernels::elementwise::{silu, weighted_sum};
use crate::kernels::rowwise::rope_table;
use crate::kernels::token::{PatchOrder, Patches};
use crate::nn::{Linear, Precision};
use crate::{Dtype, Error, HostTensor, Result, Tensor};
use block::{Block, BlockCall};
use keys::{Part, WanParam};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The text of one prompt, as the blocks see it: keys and values of every cross-attention, `(text_len, dim)` each.
#[derive(Debug, Clone)]
pub struct WanText {
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    /// Embedded text `(text_len, dim)`.
    pub embedded: Tensor,
}

/// The time embedding of one timestep.
#[derive(Debug, Clone)]
pub struct WanTime {
    /// `(1, dim)`: what the head is modulated by.
    pub e: Tensor,
    /// `(6, dim)`: what the blocks are modulated by.
    pub e0: Tensor,
}

/// What one forward pass is asked for beyond the velocity: `WanOptions { capture, ..WanOptions::default() }`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WanOptions {
    /// Columns to read.
    pub capture: Option<Capture>,
    /// Bias on the text positions by frame.
    pub mask: Option<CrossMask>,
    /// Rows that the feed-forward layers take at a time; all of them where absent. Fewer rows need less memory: the
    /// hidden layer is the widest tensor of a pass.
    pub rows_at_a_time: Option<usize>,
}

/// What a forward pass reports after each block. Tensors may be overwritten later: copy what is to be kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BlockEvent {
    /// Number of the block.
    pub block: usize,
    /// Residual stream `(tokens, dim)` as it is stored.
    pub x: Tensor,
    /// Map so far `(1, groups, tokens)`, where columns are read.
    pub map: Option<Tensor>,
}

/// What one forward pass returns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WanOutput {
    /// Velocity, shaped like the latent; absent for [`Capture::map_only`].
    pub velocity: Option<Var>,
    /// Token columns of the cross-attention map, averaged over heads and layers `(groups, frames, height · width)`.
    pub map: Option<Var>,
}

/// The transformer on a device.
#[derive(Debug)]
pub struct Wan {
    context: Context,
    config: WanConfig,
    precision: Precision,
    /// Diffusers computes the timestep's sinusoid in f32, the original in f64.
    f32_sinusoid: bool,
    patch: Linear,
    text_in: Linear,
    text_out: Linear,
    time_in: Linear,
    time_out: Linear,
    time_projection: Linear,
    blocks: Vec<Arc<Block>>,
    head: Linear,
    /// `(2, dim)`
    head_modulation: Tensor,
}

impl Wan {
    /// Uploads the weights, in f32.
    pub fn new(context: &Context, weights: &WanWeights) -> Result<Self> {
        Self::with_precision(context, weights, Precision::F32)
    }

    /// Uploads the weights. The latent, the velocity, the map, the time embedding and the text's embedding are f32 in
    /// every precision; the residual stream, and what the blocks compute from it, are stored as the activations are.
    ///
    /// # Errors
    /// Those of [`Precision::check`]; a weight that is missing or of another shape.
    pub fn with_precision(context: &Context, weights: &WanWeights, precision: Precision) -> Result<Self> {
        precision.check(context)?;
        let config = weights.config().clone();
        let linear = |w: WanParam, b: WanParam| {
            Linear::new(context, &weights.load(w)?, Some(&weights.load(b)?), precision.weights)
        };
        let pair = |p: fn(Part) -> WanParam| linear(p(Part::Weight), p(Part::Bias));
        let mut blocks = Vec::with_capacity(config.num_layers);
        for i in 0..config.num_layers {
            blocks.push(Arc::new(Block::new(context, weights, i, precision)?));
        }
        let head_modulation = weights.load(WanParam::HeadModulation)?;
        Ok(Self {
            context: context.clone(),
            f32_sinusoid: weights.format() == WanFormat::Diffusers,
            patch: pair(WanParam::PatchEmbedding)?,
            text_in: pair(WanParam::TextIn)?,
            text_out: pair(WanParam::TextOut)?,
            time_in: pair(WanParam::TimeIn)?,
            time_out: pair(WanParam::TimeOut)?,
            time_projection: pair(WanParam::TimeProjection)?,
            blocks,
            head: pair(WanParam::Head)?,
            head_modulation: Tensor::from_f32(context, [2, config.dim], head_modulation.data())?,
            config,
            precision,
        })
    }

    /// How its numbers lie in memory.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Sizes.
    pub fn config(&self) -> &WanConfig {
        &self.config
    }

    /// The device it lives on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Embeds a prompt's encoding `(tokens, text_dim)` and computes keys and values of every block, once per prompt.
    ///
    /// Rows up to `text_len` are zeros before the embedding, and are attended to: the model was trained so.
    pub fn text(&self, encoded: &HostTensor) -> Result<WanText> {
        encoded.require_finite("text encoding")?;
        self.text_on_device(&Tensor::from_host(&self.context, encoded)?)
    }

    /// The same from an encoding that is on the device already.
    pub fn text_on_device(&self, encoded: &Tensor) -> Result<WanText> {
        let c = &self.config;
        let &[rows, width] = encoded.dims() else {
            return Err(Error::input(
                "text encoding",
                format!("{} is not (tokens, text_dim)", encoded.shape()),
            ));
        };
        if width != c.text_dim || rows > c.text_len {
            return Err(Error::input(
                "text encoding",
                format!("{rows} rows of {width}, at most {} of {} fit", c.text_len, c.text_dim),
            ));
        }
        let padded = Tensor::zeros(&self.context, [c.text_len, c.text_dim], Dtype::F32)?;
        encoded.copy_to(&padded.narrow(0, rows)?)?;
        let mut tape = Tape::forward();
        let x = Var::constant(padded);
        let h = self.text_in.then(&mut tape, &x, LinearThen::Gelu)?;
        let embedded = self.text_out.apply(&mut tape, &h)?;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            let (k, v) = block.text(&mut tape, &embedded)?;
            keys.push(k);
            values.push(v);
        }
        Ok(WanText { keys, values, embedded: embedded.tensor().clone() })
    }

    /// The embedding of a timestep in 0..1000.
    pub fn time(&self, timestep: f32) -> Result<WanTime> {
        let c = &self.config;
        if !timestep.is_finite() {
            return Err(Error::input("timestep", format!("{timestep}")));
        }
        let half = c.freq_dim / 2;
        let angle = |j: usize| {
            let exponent = j as f64 / half as f64;
            if self.f32_sinusoid {
                let frequency = ((-(10_000f32.ln()) * j as f32) / half as f32).exp();
                f64::from(timestep * frequency)
            } else {
                f64::from(timestep) * 10_000f64.powf(-exponent)
            }
        };
        let wave: Vec<f32> = (0..2 * half)
            .map(|j| if j < half { angle(j).cos() } else { angle(j - half).sin() } as f32)
            .collect();
        let mut tape = Tape::forward();
        let x = Var::constant(Tensor::from_f32(&self.context, [1, 2 * half], &wave)?);
        let h = self.time_in.apply(&mut tape, &x)?;
        let h = Var::constant(silu(h.tensor())?);
        let e = self.time_out.apply(&mut tape, &h)?;
        let h = Var::constant(silu(e.tensor())?);
        let e0 = self.time_projection.apply(&mut tape, &h)?;
        Ok(WanTime { e: e.tensor().clone(), e0: e0.tensor().reshape([6, c.dim])? })
    }

    /// Velocity of a latent `(channels, frames, height, width)`, and the map where asked.
    ///
    /// # Errors
    /// [`Error::Input`] for a latent of sizes that are not the model's, and for a text of a model with another number
    /// of blocks; otherwise those of the kernels.
    pub fn forward(
        &self,
        tape: &mut Tape,
        latent: &Var,
        time: &WanTime,
        text: &WanText,
        options: &WanOptions,
    ) -> Result<WanOutput> {
        self.forward_watched(tape, latent, time, text, options, |_| ControlFlow::Continue(()))
    }

    /// [`Wan::forward`], telling `hook` of each block.
    ///
    /// # Errors
    /// As [`Wan::forward`]; [`Error::Cancelled`] where the hook breaks off.
    pub fn forward_watched(
        &self,
        tape: &mut Tape,
        latent: &Var,
        time: &WanTime,
        text: &WanText,
        options: &WanOptions,
        mut hook: impl FnMut(&BlockEvent) -> ControlFlow<()>,
    ) -> Result<WanOutput> {
        let c = &self.config;
        let &[channels, frames, height, width] = latent.tensor().dims() else {
            return Err(Error::input(
                "latent",
                format!("{} is not (channels, frames, height, width)", latent.tensor().shape()),
            ));
        };
        if channels != c.in_dim {
            return Err(Error::input("latent", format!("{channels} channels, the model takes {}", c.in_dim)));
        }
        let grid = c.grid(frames, height, width)?;
        let tokens: usize = grid.iter().product();
        if text.keys.len() != self.blocks.len() {
            let reason = format!("keys of {} blocks, the model has {}", text.keys.len(), self.blocks.len());
            return Err(Error::input("text", reason));
        }
        let WanOptions { capture, mask, rows_at_a_time } = options;
        let (capture, mask) = (capture.as_ref(), mask.as_ref());
        let positions = grid.iter().copied().max().unwrap_or(1);
        let rope = Tensor::from_host(&self.context, &rope_table(positions, c.head_dim(), 10_000.0)?)?;
        let call = Arc::new(BlockCall::new(&self.context, c, grid, rope, *rows_at_a_time, capture, mask)?);
        let patches = tape.patchify(latent, c.patch_size, PatchOrder::ChannelFirst)?;
        let x = self.patch.apply(tape, &patches)?;
        let mut x = tape.convert(&x, self.precision.activations)?;
        let mut map = match capture {
            Some(capture) => {
                Some(Var::constant(Tensor::zeros(&self.context, [1, capture.groups, tokens], Dtype::F32)?))
            }
            None => None,
        };
        let map_only = capture.is_some_and(|c| c.map_only);
        let last = self.blocks.len().saturating_sub(1);
        for (i, (block, (k, v))) in self.blocks.iter().zip(text.keys.iter().zip(&text.values)).enumerate() {
            let (run, call, time) = (block.clone(), call.clone(), time.e0.clone());
            let (k, v) = (k.clone(), v.clone());
            let stop = map_only && i == last;
            let inputs: Vec<Var> = std::iter::once(x.clone()).chain(map.clone()).collect();
            let mut out = tape
                .checkpoint(&inputs, move |tape, inputs| {
                    run.forward(tape, inputs, &call, &time, (&k, &v), stop)
                })?
                .into_iter();
            x = out.next().ok_or_else(|| Error::input("block", "no result"))?;
            map = out.next();
            let map_so_far = map.as_ref().map(|map| map.tensor().clone());
            if hook(&BlockEvent { block: i, x: x.tensor().clone(), map: map_so_far }).is_break() {
                return Err(Error::Cancelled(format!("block {i}")));
            }
        }
        let map = match (map, capture) {
            (Some(map), Some(capture)) => {
                let [frames, height, width] = grid;
                Some(map.reshape([capture.groups, frames, height * width])?)
            }
            _ => None,
        };
        if map_only {
            return Ok(WanOutput { velocity: None, map });
        }
        let e = &time.e;
        let row = |n| weighted_sum(&[(&self.head_modulation.narrow(n, 1)?.to_owned_copy()?, 1.0), (e, 1.0)]);
        let h = tape.modulated_layer_norm(&x, &row(1)?, &row(0)?, c.eps as f32)?;
        // The velocity is f32 in every precision.
        let h = tape.convert(&h, Dtype::F32)?;
        let y = self.head.apply(tape, &h)?;
        let patches = Patches {
            channels: c.out_dim,
            frames,
            height,
            width,
            patch: c.patch_size,
            order: PatchOrder::ChannelLast,
        };
        Ok(WanOutput { velocity: Some(tape.unpatchify(&y, patches)?), map })
    }
}
