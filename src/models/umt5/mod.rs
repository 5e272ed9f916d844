//! UMT5 encoder: the text encoder of Wan.
//!
//! Pre-norm T5 without biases: RMS norm, attention without scaling but with a table of relative-position biases per
//! layer, gated tanh-gelu feed-forward, final RMS norm. Computed in f32.
//!
//! Source: google/umt5 as in transformers' UMT5EncoderModel and Wan 2.1's t5.py.

pub mod config;
mod infer;
pub mod keys;

pub use config::Umt5Config;
pub use keys::Umt5Weights;

use crate::autograd::{Attend, LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::kernels::attention::{AttentionProblem, AttentionShape, Mask, Tables, relative_bias};
use crate::kernels::elementwise::geglu;
use crate::nn::{Linear, Precision, RmsNorm};
use crate::{Dtype, Error, HostTensor, Result, Tensor};
use keys::{Umt5BlockParam, Umt5Param};

#[derive(Debug)]
struct Block {
    attention_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    /// `(buckets, heads)`, kept on the host: the table of a length is made from it when a prompt comes.
    position_bias: HostTensor,
    ffn_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The encoder on a device. Its embedding table stays in the weight file: a prompt needs a few rows of it.
#[derive(Debug)]
pub struct Umt5 {
    context: Context,
    weights: Umt5Weights,
    blocks: Vec<Block>,
    final_norm: RmsNorm,
}

impl Umt5 {
    /// Uploads the weights, in f32.
    pub fn new(context: &Context, weights: Umt5Weights) -> Result<Self> {
        Self::with_storage(context, weights, Dtype::F32)
    }

    /// Uploads the weights, those of linear layers stored as `storage` (f32, f16 or bf16). Activations are f32: T5's
    /// residual stream leaves f16's range, and one prompt's is small.
    pub fn with_storage(context: &Context, weights: Umt5Weights, storage: Dtype) -> Result<Self> {
        Precision { weights: storage, activations: Dtype::F32 }.check(context)?;
        let eps = weights.config().eps;
        let mut blocks = Vec::new();
        for i in 0..weights.config().num_layers {
            let load = |p| weights.load(Umt5Param::Block(i, p));
            let linear = |p| Linear::new(context, &load(p)?, None, storage);
            let norm = |p| RmsNorm::new(context, &load(p)?, eps);
            blocks.push(Block {
                attention_norm: norm(Umt5BlockParam::AttentionNorm)?,
                q: linear(Umt5BlockParam::Q)?,
                k: linear(Umt5BlockParam::K)?,
                v: linear(Umt5BlockParam::V)?,
                o: linear(Umt5BlockParam::O)?,
                position_bias: load(Umt5BlockParam::PositionBias)?,
                ffn_norm: norm(Umt5BlockParam::FfnNorm)?,
                gate: linear(Umt5BlockParam::FfnGate)?,
                up: linear(Umt5BlockParam::FfnUp)?,
                down: linear(Umt5BlockParam::FfnDown)?,
            });
        }
        let final_norm = RmsNorm::new(context, &weights.load(Umt5Param::FinalNorm)?, eps)?;
        Ok(Self { context: context.clone(), weights, blocks, final_norm })
    }

    /// Sizes.
    pub fn config(&self) -> &Umt5Config {
        self.weights.config()
    }

    /// The weights it was made from.
    pub fn weights(&self) -> &Umt5Weights {
        &self.weights
    }

    /// Encodes `ids (batch, length)` with `lengths` real tokens each; keys past a length are not seen. Returns
    /// `(batch, length, d_model)`; rows past a length hold what the padding became.
    ///
    /// # Errors
    /// [`Error::Input`] for ids that do not fill the sequences and for lengths of zero or above `length`;
    /// [`Error::Weight`] for an id past the vocabulary.
    pub fn encode(&self, ids: &[u32], length: usize, lengths: &[usize]) -> Result<Tensor> {
        let batch = lengths.len();
        if length == 0
            || batch == 0
            || batch.checked_mul(length) != Some(ids.len())
            || lengths.iter().any(|&n| n == 0 || n > length)
        {
            return Err(Error::input(
                "token ids",
                format!("{} ids for {batch} sequences of {length} with lengths {lengths:?}", ids.len()),
            ));
        }
        let c = self.config();
        let embedded = self.weights.load_embeddings(ids)?;
        let mut tape = Tape::forward();
        let mut x =
            Var::constant(Tensor::from_f32(&self.context, [batch * length, c.d_model], embedded.data())?);
        let shape = AttentionShape {
            batch,
            heads: c.num_heads,
            kv_heads: c.num_heads,
            seq_q: length,
            seq_kv: length,
            head_dim: c.d_kv,
        };
        let padded = lengths.iter().any(|&n| n < length);
        let problem = AttentionProblem {
            scale: 1.0,
            mask: Mask::Relative,
            key_lengths: padded,
            ..AttentionProblem::new(shape)
        };
        let key_lengths: Vec<u32> =
            if padded { lengths.iter().map(|&n| n as u32).collect() } else { Vec::new() };
        let heads = [batch, length, c.num_heads, c.d_kv];
        for block in &self.blocks {
            let bias = relative_bias(
                block.position_bias.data(),
                c.num_buckets,
                c.max_distance,
                c.num_heads,
                length,
                length,
            )?;
            let tables = Tables::default()
                .with_key_lengths(&key_lengths[..])
                .with_mask(bias)
                .upload(&self.context, &problem)?;
            let h = block.attention_norm.apply(&mut tape, &x, None)?;
            let mut split = |layer: &Linear| layer.apply(&mut tape, &h)?.reshape(heads);
            let (q, k, v) = (split(&block.q)?, split(&block.k)?, split(&block.v)?);
            let o = tape.attend(&Attend::new(&problem, &q, &k, &v).with_tables(&tables))?.o;
            x = block.o.then(&mut tape, &o.reshape([batch * length, c.d_attn])?, LinearThen::Residual(&x))?;
            let h = block.ffn_norm.apply(&mut tape, &x, None)?;
            let (gate, up) = (block.gate.apply(&mut tape, &h)?, block.up.apply(&mut tape, &h)?);
            let hidden = Var::constant(geglu(gate.tensor(), up.tensor())?);
            x = block.down.then(&mut tape, &hidden, LinearThen::Residual(&x))?;
        }
        let out = self.final_norm.apply(&mut tape, &x, None)?;
        out.tensor().reshape([batch, length, c.d_model])
    }
}
