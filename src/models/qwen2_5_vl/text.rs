//! The language model: pre-norm blocks with grouped-query attention, rotary positions of three axes and a gated feed-forward
//! layer. Blocks may be run some at a time, over some tokens at a time, against a cache of keys and values.
//!
//! Source: Bai et al. 2025, arXiv 2502.13923; transformers 4.49.0, Qwen2_5_VLModel.

use super::cache::KvCache;
use super::config::QwenVlConfig;
use super::keys::{Ffn, Part, QwenVlParam, QwenVlWeights, TextParam};
use crate::autograd::{LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::kernels::attention::{AttentionProblem, AttentionShape, Mask, Tables, attention};
use crate::kernels::elementwise::{convert, swiglu};
use crate::kernels::token::{Pairs, RotaryPositions, rotary, rotary_table};
use crate::nn::{Linear, Precision, RmsNorm};
use crate::{Dtype, Error, Result, Tensor};
use std::ops::Range;

#[derive(Debug)]
struct Block {
    attention_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    ffn_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(context: &Context, weights: &QwenVlWeights, i: usize, storage: Dtype) -> Result<Self> {
        let load = |p| weights.load(QwenVlParam::Text(i, p));
        let eps = f64::from(weights.config().eps);
        let norm = |p| RmsNorm::new(context, &load(p)?, eps);
        let biased = |p: fn(Part) -> TextParam| {
            Linear::new(context, &load(p(Part::Weight))?, Some(&load(p(Part::Bias))?), storage)
        };
        let bare = |p| Linear::new(context, &load(p)?, None, storage);
        Ok(Self {
            attention_norm: norm(TextParam::AttentionNorm)?,
            q: biased(TextParam::Q)?,
            k: biased(TextParam::K)?,
            v: biased(TextParam::V)?,
            o: bare(TextParam::O)?,
            ffn_norm: norm(TextParam::FfnNorm)?,
            gate: bare(TextParam::Ffn(Ffn::Gate))?,
            up: bare(TextParam::Ffn(Ffn::Up))?,
            down: bare(TextParam::Ffn(Ffn::Down))?,
        })
    }
}

/// What the blocks of one run share.
struct Call<'a> {
    at: &'a RotaryPositions,
    problem: AttentionProblem,
    tables: Tensor,
}

/// Where the blocks' weights are while nothing is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Placement {
    /// On the device.
    #[default]
    Resident,
    /// In the file: a block is uploaded each time that it runs, so that the device holds one at a time.
    Streamed,
}

/// What a block's attention meets, for whoever reads its map.
#[derive(Debug)]
#[non_exhaustive]
pub struct Seen<'a> {
    /// The block.
    pub layer: usize,
    /// Queries of this call's tokens behind their rotation, `(tokens, heads, head_dim)`.
    pub q: &'a Tensor,
    /// All keys so far behind their rotation, `(first + tokens, kv_heads, head_dim)`.
    pub k: &'a Tensor,
    /// Place among the keys of the first query: each sees the keys up to its own.
    pub first: usize,
}

/// Reads what blocks' attention meets: see [`QwenText::run`].
pub type Watch<'a> = &'a mut dyn FnMut(&Seen<'_>) -> Result<()>;

/// The language model on a device.
#[derive(Debug)]
pub struct QwenText {
    context: Context,
    weights: QwenVlWeights,
    precision: Precision,
    /// Empty where they are streamed.
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
}

impl QwenText {
    /// Uploads the weights; those of streamed blocks are left in the file.
    ///
    /// # Errors
    /// Those of [`QwenVlWeights::load`] and of [`Linear::new`].
    pub fn new(
        context: &Context,
        weights: &QwenVlWeights,
        precision: Precision,
        placement: Placement,
    ) -> Result<Self> {
        precision.check(context)?;
        let resident = if placement == Placement::Resident { weights.config().layers } else { 0 };
        let block = |i| Block::new(context, weights, i, precision.weights);
        let eps = f64::from(weights.config().eps);
        Ok(Self {
            context: context.clone(),
            precision,
            blocks: (0..resident).map(block).collect::<Result<_>>()?,
            norm: RmsNorm::new(context, &weights.load(QwenVlParam::FinalNorm)?, eps)?,
            head: Linear::new(context, &weights.load(QwenVlParam::Head)?, None, precision.weights)?,
            weights: weights.clone(),
        })
    }

    /// Sizes.
    pub fn config(&self) -> &QwenVlConfig {
        self.weights.config()
    }

    /// An empty cache for so many tokens.
    ///
    /// # Errors
    /// [`Error::Input`] for none; otherwise those of an allocation.
    pub fn cache(&self, capacity: usize) -> Result<KvCache> {
        KvCache::new(&self.context, self.config(), capacity, self.precision.activations)
    }

    /// Rows of the token table `(ids, hidden)`, as the blocks take them.
    ///
    /// # Errors
    /// [`Error::Weight`] for an id past the vocabulary.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let rows = self.weights.load_embeddings(ids)?;
        Tensor::from_f32_as(&self.context, rows.shape().clone(), rows.data(), self.precision.activations)
    }

    /// Cosines and sines of the positions below `rows`, for [`Self::positions`].
    ///
    /// # Errors
    /// Those of [`rotary_table`].
    pub fn rotary_table(&self, rows: usize) -> Result<Tensor> {
        let c = self.config();
        Tensor::from_host(&self.context, &rotary_table(rows, c.head_dim() / 2, c.rope_theta)?)
    }

    /// Positions of tokens, a list an axis; `table` is of [`Self::rotary_table`].
    ///
    /// # Errors
    /// [`Error::Problem`] for lists of different lengths and positions that the table does not have.
    pub fn positions(&self, table: &Tensor, rows: [&[u32]; 3]) -> Result<RotaryPositions> {
        RotaryPositions::new(table, &rows, self.config().mrope_section, Pairs::Halves)
    }

    /// Blocks `layers` of tokens `x (tokens, hidden)` that stand behind those in `cache`, whose keys and values they join there;
    /// `watch` is shown what each block's attention meets. All blocks in `layers` must have seen the same tokens.
    ///
    /// # Errors
    /// [`Error::Input`] for blocks that are not there, a cache that is full, and blocks whose caches hold different numbers of
    /// tokens; otherwise those of the kernels and of `watch`. A cache that saw an error part of the way holds the tokens in some
    /// blocks only: [`KvCache::truncate`] makes it whole.
    pub fn run(
        &self,
        x: &Tensor,
        at: &RotaryPositions,
        cache: &mut KvCache,
        layers: Range<usize>,
        watch: Watch<'_>,
    ) -> Result<Tensor> {
        let c = self.config();
        let &[tokens, width] = x.dims() else {
            return Err(Error::input("tokens", format!("{} is not (tokens, hidden)", x.shape())));
        };
        if layers.end > c.layers || width != c.hidden_size || tokens == 0 {
            let reason = format!(
                "{} through blocks {layers:?}: (tokens, {}) through some of {}",
                x.shape(),
                c.hidden_size,
                c.layers
            );
            return Err(Error::input("tokens", reason));
        }
        cache.require(layers.clone(), tokens)?;
        // The same for all of the blocks, which hold as many tokens each.
        let shape = AttentionShape {
            batch: 1,
            heads: c.heads,
            kv_heads: c.kv_heads,
            seq_q: tokens,
            seq_kv: cache.len(layers.start) + tokens,
            head_dim: c.head_dim(),
        };
        // By order and not by position: tokens that were left out have left no gap among the keys.
        let problem = AttentionProblem { mask: Mask::Causal, ..AttentionProblem::new(shape) };
        let tables = Tables::default().upload(&self.context, &problem)?;
        let call = Call { at, problem, tables };
        let mut tape = Tape::forward();
        let mut x = Var::constant(x.clone());
        for layer in layers {
            let streamed;
            let block = match self.blocks.get(layer) {
                Some(block) => block,
                None => {
                    streamed = Block::new(&self.context, &self.weights, layer, self.precision.weights)?;
                    &streamed
                }
            };
            x = self.block(&mut tape, block, layer, &x, &call, cache, watch)?;
        }
        Ok(x.tensor().clone())
    }

    fn block(
        &self,
        tape: &mut Tape,
        block: &Block,
        layer: usize,
        x: &Var,
        call: &Call<'_>,
        cache: &mut KvCache,
        watch: Watch<'_>,
    ) -> Result<Var> {
        let c = self.config();
        let Call { at, problem, tables } = call;
        let AttentionShape { seq_q: tokens, seq_kv: keys, head_dim, .. } = problem.shape;
        let h = block.attention_norm.apply(tape, x, None)?;
        let mut split =
            |layer: &Linear, heads| layer.apply(tape, &h)?.tensor().reshape([tokens, heads, head_dim]);
        let (q, k, v) =
            (split(&block.q, c.heads)?, split(&block.k, c.kv_heads)?, split(&block.v, c.kv_heads)?);
        let (q, k) = (rotary(&q, at)?, rotary(&k, at)?);
        let first = cache.len(layer);
        let (k, v) = cache.append(layer, &k, &v)?;
        watch(&Seen { layer, q: &q, k: &k, first })?;
        let rows = |t: &Tensor, n: usize, heads: usize| t.reshape([1, n, heads, head_dim]);
        let (k, v) = (rows(&k, keys, c.kv_heads)?, rows(&v, keys, c.kv_heads)?);
        let o = attention(problem, &rows(&q, tokens, c.heads)?, &k, &v, tables)?.o;
        let o = Var::constant(o.reshape([tokens, c.hidden_size])?);
        let x = block.o.then(tape, &o, LinearThen::Residual(x))?;
        let h = block.ffn_norm.apply(tape, &x, None)?;
        let (gate, up) = (block.gate.apply(tape, &h)?, block.up.apply(tape, &h)?);
        let hidden = Var::constant(swiglu(gate.tensor(), up.tensor())?);
        block.down.then(tape, &hidden, LinearThen::Residual(&x))
    }

    /// What the output layer reads of tokens behind the last block: the final norm.
    ///
    /// # Errors
    /// Those of the kernels.
    pub fn normed(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.norm.apply(&mut Tape::forward(), &Var::constant(x.clone()), None)?.tensor().clone())
    }

    /// Logits `(rows, vocab)` f32 of some of the tokens behind the last block, `x (tokens, hidden)`.
    ///
    /// # Errors
    /// [`Error::Input`] for rows that `x` does not have; otherwise those of the kernels.
    pub fn logits(&self, x: &Tensor, rows: Range<usize>) -> Result<Tensor> {
        let x = x.narrow(rows.start, rows.len())?;
        let mut tape = Tape::forward();
        let x = self.norm.apply(&mut tape, &Var::constant(x), None)?;
        let logits = self.head.apply(&mut tape, &x)?;
        let logits = logits.tensor();
        if logits.dtype() == Dtype::F32 { Ok(logits.clone()) } else { convert(logits, Dtype::F32) }
    }
}
