//! One transformer block.

use super::config::WanConfig;
use super::keys::{Attention as Which, BlockParam, Part, Projection, WanParam, WanWeights};
use crate::autograd::{Attend, LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::kernels::attention::{AttentionProblem, AttentionShape, Mask, Readout, Tables};
use crate::kernels::elementwise::{convert, weighted_sum};
use crate::kernels::rowwise::RopeAt;
use crate::nn::{LayerNorm, Linear, Precision, RmsNorm};
use crate::{Dtype, Error, Result, Tensor};

/// Which columns of the cross-attention map are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    /// Weight of each text position in each group `(groups, text_len)`; a mean over tokens has weights 1/count.
    pub weights: Vec<f32>,
    /// Number of groups.
    pub groups: usize,
    /// What the sum over layers is divided by: the number of layers for a mean; the released TempoControl code divides
    /// by one less.
    pub layer_divisor: f32,
    /// Stop after the last map is read: no velocity, but a third less work in the last block and no head.
    pub map_only: bool,
}

impl Capture {
    /// Columns of groups by their weights `(groups, text_len)`, averaged over `layers` layers, beside the velocity.
    pub fn new(weights: Vec<f32>, groups: usize, layers: usize) -> Self {
        Self { weights, groups, layer_divisor: layers as f32, map_only: false }
    }
}

/// A bias on each text position by latent frame, `(frames, text_len)`: −∞ hides a word from a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossMask {
    /// Biases, row-major.
    pub bias: Vec<f32>,
}

/// What all blocks of one forward pass share.
#[derive(Debug)]
pub(super) struct BlockCall {
    rope: RopeAt,
    rows_at_a_time: Option<usize>,
    self_problem: AttentionProblem,
    self_tables: Tensor,
    cross_problem: AttentionProblem,
    cross_tables: Tensor,
}

impl BlockCall {
    pub(super) fn new(
        context: &Context,
        c: &WanConfig,
        grid: [usize; 3],
        rope: Tensor,
        rows_at_a_time: Option<usize>,
        capture: Option<&Capture>,
        mask: Option<&CrossMask>,
    ) -> Result<Self> {
        let tokens: usize = grid.iter().product();
        let shape = AttentionShape {
            batch: 1,
            heads: c.num_heads,
            kv_heads: c.num_heads,
            seq_q: tokens,
            seq_kv: tokens,
            head_dim: c.head_dim(),
        };
        let self_problem = AttentionProblem::new(shape);
        let mut cross_problem = AttentionProblem::new(AttentionShape { seq_kv: c.text_len, ..shape });
        let mut tables = Tables::default();
        if let Some(mask) = mask {
            let [frames, height, width] = grid;
            if mask.bias.len() != frames * c.text_len {
                return Err(Error::input(
                    "cross-attention mask",
                    format!("{} biases for {frames} frames × {} text positions", mask.bias.len(), c.text_len),
                ));
            }
            cross_problem.mask = Mask::Temporal { tokens_per_frame: height * width };
            tables.mask.clone_from(&mask.bias);
        }
        if let Some(capture) = capture {
            if capture.groups == 0 || !(capture.layer_divisor > 0.0) {
                return Err(Error::input(
                    "capture",
                    "at least one token group and a positive layer divisor are needed",
                ));
            }
            cross_problem.readout = Readout { groups: capture.groups, ..Readout::default() };
            cross_problem.column_factor = 1.0 / (c.num_heads as f32 * capture.layer_divisor);
            tables.columns.clone_from(&capture.weights);
        }
        Ok(Self {
            rope: RopeAt::new(rope, grid),
            rows_at_a_time,
            self_tables: Tables::default().upload(context, &self_problem)?,
            self_problem,
            cross_tables: tables.upload(context, &cross_problem)?,
            cross_problem,
        })
    }
}

#[derive(Debug)]
struct Projections {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm_q: RmsNorm,
    norm_k: RmsNorm,
}

impl Projections {
    fn new(context: &Context, weights: &WanWeights, i: usize, which: Which, storage: Dtype) -> Result<Self> {
        let load = |p| weights.load(WanParam::Block(i, p));
        let linear = |p| {
            let part = |part| load(BlockParam::Projection(which, p, part));
            Linear::new(context, &part(Part::Weight)?, Some(&part(Part::Bias)?), storage)
        };
        let eps = weights.config().eps;
        Ok(Self {
            q: linear(Projection::Q)?,
            k: linear(Projection::K)?,
            v: linear(Projection::V)?,
            o: linear(Projection::O)?,
            norm_q: RmsNorm::new(context, &load(BlockParam::NormQ(which))?, eps)?,
            norm_k: RmsNorm::new(context, &load(BlockParam::NormK(which))?, eps)?,
        })
    }
}

/// Weights of one block.
#[derive(Debug)]
pub(super) struct Block {
    /// `(6, dim)`: shift, scale, gate of self-attention, then of the feed-forward.
    modulation: Tensor,
    self_attention: Projections,
    cross_attention: Projections,
    cross_norm: LayerNorm,
    up: Linear,
    down: Linear,
    activations: Dtype,
    eps: f32,
    heads: usize,
    head_dim: usize,
}

impl Block {
    pub(super) fn new(
        context: &Context,
        weights: &WanWeights,
        i: usize,
        precision: Precision,
    ) -> Result<Self> {
        let c = weights.config();
        let storage = precision.weights;
        let load = |p| weights.load(WanParam::Block(i, p));
        let linear = |p: fn(Part) -> BlockParam| {
            Linear::new(context, &load(p(Part::Weight))?, Some(&load(p(Part::Bias))?), storage)
        };
        let cross_norm =
            (load(BlockParam::CrossNorm(Part::Weight))?, load(BlockParam::CrossNorm(Part::Bias))?);
        Ok(Self {
            modulation: Tensor::from_f32(context, [6, c.dim], load(BlockParam::Modulation)?.data())?,
            self_attention: Projections::new(context, weights, i, Which::SelfAttention, storage)?,
            cross_attention: Projections::new(context, weights, i, Which::Cross, storage)?,
            cross_norm: LayerNorm::new(context, &cross_norm.0, &cross_norm.1, c.eps)?,
            up: linear(BlockParam::FfnUp)?,
            down: linear(BlockParam::FfnDown)?,
            activations: precision.activations,
            eps: c.eps as f32,
            heads: c.num_heads,
            head_dim: c.head_dim(),
        })
    }

    /// Keys and values of the cross-attention `(text_len, dim)`; they depend on the prompt alone.
    pub(super) fn text(&self, tape: &mut Tape, embedded: &Var) -> Result<(Tensor, Tensor)> {
        let p = &self.cross_attention;
        let k = p.k.apply(tape, embedded)?;
        let k = p.norm_k.apply(tape, &k, None)?;
        let v = p.v.apply(tape, embedded)?;
        Ok((convert(k.tensor(), self.activations)?, convert(v.tensor(), self.activations)?))
    }

    /// `inputs` are the residual stream `(tokens, dim)` and, where columns are read, the map so far; the result is the
    /// same two. With `stop` the block ends once its map is read.
    pub(super) fn forward(
        &self,
        tape: &mut Tape,
        inputs: &[Var],
        call: &BlockCall,
        e0: &Tensor,
        (k, v): (&Tensor, &Tensor),
        stop: bool,
    ) -> Result<Vec<Var>> {
        let [x, rest @ ..] = inputs else { return Err(Error::input("block", "no residual stream")) };
        let tokens: usize = call.rope.grid.iter().product();
        let split = |t: &Var, rows: usize| t.reshape([1, rows, self.heads, self.head_dim]);
        let e = weighted_sum(&[(&self.modulation, 1.0), (e0, 1.0)])?;
        let row = |n| e.narrow(n, 1);

        let p = &self.self_attention;
        let h = tape.modulated_layer_norm(x, &row(1)?, &row(0)?, self.eps)?;
        let rope = Some(&call.rope);
        let (q, key) = (p.q.apply(tape, &h)?, p.k.apply(tape, &h)?);
        let (q, key) = (p.norm_q.apply(tape, &q, rope)?, p.norm_k.apply(tape, &key, rope)?);
        let value = p.v.apply(tape, &h)?;
        let (q, key, value) = (split(&q, tokens)?, split(&key, tokens)?, split(&value, tokens)?);
        let attend = Attend::new(&call.self_problem, &q, &key, &value).with_tables(&call.self_tables);
        let o = tape.attend(&attend)?.o.reshape([tokens, self.heads * self.head_dim])?;
        let x = p.o.then(tape, &o, LinearThen::GatedResidual { gate: &row(2)?, residual: x })?;

        let p = &self.cross_attention;
        let h = self.cross_norm.apply(tape, &x)?;
        let q = p.q.apply(tape, &h)?;
        let q = split(&p.norm_q.apply(tape, &q, None)?, tokens)?;
        let text_len = call.cross_problem.shape.seq_kv;
        let (k, v) =
            (split(&Var::constant(k.clone()), text_len)?, split(&Var::constant(v.clone()), text_len)?);
        let attend = Attend::new(&call.cross_problem, &q, &k, &v).with_tables(&call.cross_tables);
        let attended = tape.attend(&Attend { columns: rest.first().cloned(), ..attend })?;
        if stop {
            return Ok(std::iter::once(x).chain(attended.columns).collect());
        }
        let o = attended.o.reshape([tokens, self.heads * self.head_dim])?;
        let x = p.o.then(tape, &o, LinearThen::Residual(&x))?;

        let (shift, scale, gate) = (row(3)?, row(4)?, row(5)?);
        let (up, down, eps) = (self.up.clone(), self.down.clone(), self.eps);
        let feed_forward = move |tape: &mut Tape, x: &Var| {
            let h = tape.modulated_layer_norm(x, &scale, &shift, eps)?;
            let h = up.then(tape, &h, LinearThen::Gelu)?;
            down.then(tape, &h, LinearThen::GatedResidual { gate: &gate, residual: x })
        };
        let x = match call.rows_at_a_time {
            Some(rows) if rows < tokens => tape.by_rows(&x, rows, feed_forward)?,
            _ => feed_forward(tape, &x)?,
        };
        Ok(std::iter::once(x).chain(attended.columns).collect())
    }
}
