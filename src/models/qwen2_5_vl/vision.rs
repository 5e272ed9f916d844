//! The vision tower: patches of two frames in, tokens of the language model out.
//!
//! Pre-norm blocks with RMS norms, rotary positions in two axes, a gated feed-forward layer with biases; most blocks attend
//! within windows, some within the whole temporal slice. Attention never crosses temporal slices, so slices are encoded one at
//! a time: a long clip needs no more memory than a short one. The merger makes one token of each square of patches.
//!
//! Source: Bai et al. 2025, arXiv 2502.13923; transformers 4.49.0, Qwen2_5_VisionTransformerPretrainedModel.

use super::config::{QwenVisionConfig, VISION_EPS};
use super::keys::{Ffn, Part, QwenVlParam, QwenVlWeights, VisionParam};
use super::windows::{WindowOrder, vision_frequencies};
use crate::autograd::{LinearThen, Tape, Var};
use crate::gpu::Context;
use crate::kernels::attention::{AttentionProblem, AttentionShape, Tables, attention};
use crate::kernels::elementwise::swiglu;
use crate::kernels::token::{Pairs, RotaryPositions, embedding_of, rotary};
use crate::nn::{Linear, Precision, RmsNorm};
use crate::{Dtype, Error, HostTensor, Result, Tensor};

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
    /// Attends to the whole slice.
    full: bool,
}

/// The vision tower on a device.
#[derive(Debug)]
pub struct QwenVision {
    context: Context,
    config: QwenVisionConfig,
    activations: Dtype,
    patch_embedding: Linear,
    blocks: Vec<Block>,
    merger_norm: RmsNorm,
    merger_in: Linear,
    merger_out: Linear,
}

/// Windows of as many rows each, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowClass {
    first: usize,
    windows: usize,
    rows: usize,
}

/// What all temporal slices of one size share: their order, positions and windows.
#[derive(Debug, Clone)]
pub struct SlicePlan {
    /// Row of the slice that is read at each place.
    order: Vec<u32>,
    /// `(tokens)`: where the merger leaves each token.
    inverse: Tensor,
    positions: RotaryPositions,
    classes: Vec<WindowClass>,
}

impl SlicePlan {
    /// Patches of a slice.
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// Tokens of a slice.
    pub fn tokens(&self) -> usize {
        self.inverse.len()
    }
}

/// The windows of a slice by their sizes, largest first, so that those of one size lie one behind the other and are one batch;
/// which window comes first makes no difference to any.
fn classes_of(order: &WindowOrder) -> (Vec<u32>, Vec<WindowClass>) {
    let mut windows: Vec<(usize, usize)> = order
        .windows
        .windows(2)
        .filter_map(|ends| <[u32; 2]>::try_from(ends).ok())
        .map(|[from, to]| (from as usize / order.unit, to.saturating_sub(from) as usize / order.unit))
        .collect();
    windows.sort_by_key(|&(_, units)| std::cmp::Reverse(units));
    let mut units = Vec::with_capacity(order.index.len());
    let mut classes: Vec<WindowClass> = Vec::new();
    for (from, count) in windows {
        let rows = count * order.unit;
        match classes.last_mut().filter(|class| class.rows == rows) {
            Some(class) => class.windows += 1,
            None => classes.push(WindowClass { first: units.len() * order.unit, windows: 1, rows }),
        }
        units.extend(order.index.get(from..from + count).unwrap_or_default());
    }
    (units, classes)
}

impl QwenVision {
    /// Uploads the tower's weights.
    ///
    /// # Errors
    /// Those of [`QwenVlWeights::load`] and of [`Linear::new`].
    pub fn new(context: &Context, weights: &QwenVlWeights, precision: Precision) -> Result<Self> {
        precision.check(context)?;
        let config = weights.config().vision.clone();
        let storage = precision.weights;
        let norm = |p| RmsNorm::new(context, &weights.load(p)?, f64::from(VISION_EPS));
        let both = |p: fn(Part) -> QwenVlParam| {
            Linear::new(
                context,
                &weights.load(p(Part::Weight))?,
                Some(&weights.load(p(Part::Bias))?),
                storage,
            )
        };
        let mut blocks = Vec::with_capacity(config.depth);
        for i in 0..config.depth {
            let load = |p| weights.load(QwenVlParam::Vision(i, p));
            let linear = |p: &dyn Fn(Part) -> VisionParam| {
                Linear::new(context, &load(p(Part::Weight))?, Some(&load(p(Part::Bias))?), storage)
            };
            // Queries, keys and values lie in one matrix, one behind the other.
            let (fused, biases) =
                (load(VisionParam::Qkv(Part::Weight))?, load(VisionParam::Qkv(Part::Bias))?);
            let width = config.hidden_size;
            let third = |n: usize| {
                let rows = fused.data().get(n * width * width..(n + 1) * width * width).unwrap_or_default();
                let bias = biases.data().get(n * width..(n + 1) * width).unwrap_or_default();
                let bias = HostTensor::new([width], bias.to_vec())?;
                Linear::new(context, &HostTensor::new([width, width], rows.to_vec())?, Some(&bias), storage)
            };
            blocks.push(Block {
                attention_norm: norm(QwenVlParam::Vision(i, VisionParam::AttentionNorm))?,
                q: third(0)?,
                k: third(1)?,
                v: third(2)?,
                o: linear(&VisionParam::O)?,
                ffn_norm: norm(QwenVlParam::Vision(i, VisionParam::FfnNorm))?,
                gate: linear(&|part| VisionParam::Ffn(Ffn::Gate, part))?,
                up: linear(&|part| VisionParam::Ffn(Ffn::Up, part))?,
                down: linear(&|part| VisionParam::Ffn(Ffn::Down, part))?,
                full: config.full_attention.contains(&i),
            });
        }
        Ok(Self {
            context: context.clone(),
            activations: precision.activations,
            patch_embedding: Linear::new(
                context,
                &weights.load(QwenVlParam::PatchEmbedding)?,
                None,
                storage,
            )?,
            blocks,
            merger_norm: norm(QwenVlParam::MergerNorm)?,
            merger_in: both(QwenVlParam::MergerIn)?,
            merger_out: both(QwenVlParam::MergerOut)?,
            config,
        })
    }

    /// Sizes.
    pub fn config(&self) -> &QwenVisionConfig {
        &self.config
    }

    /// Values of a patch: 3 · frames · side².
    pub fn patch_values(&self) -> usize {
        3 * self.config.temporal_patch_size * self.config.patch_size * self.config.patch_size
    }

    /// What slices of `height` × `width` patches share.
    ///
    /// # Errors
    /// [`Error::Input`] for sizes of zero, or that do not merge into tokens.
    pub fn plan(&self, height: usize, width: usize) -> Result<SlicePlan> {
        let c = &self.config;
        let order = WindowOrder::new(c, &[[1, height, width]])?;
        let (units, classes) = classes_of(&order);
        let unit = order.unit as u32;
        let rows: Vec<u32> = units.iter().flat_map(|u| u * unit..(u + 1) * unit).collect();
        let mut inverse = vec![0u32; units.len()];
        for (place, unit) in units.iter().enumerate() {
            if let Some(at) = inverse.get_mut(*unit as usize) {
                *at = place as u32;
            }
        }
        let at = |axis: usize| -> Vec<u32> {
            let position = |&row: &u32| order.positions.get(row as usize).map_or(0, |p| p[axis]);
            rows.iter().map(position).collect()
        };
        let frequencies = vision_frequencies(c.hidden_size / c.heads.max(1));
        let pairs = frequencies.len();
        // Rows and columns turn by the same angles: the table has them twice.
        let turn = |i: usize| {
            let angle =
                (i / (2 * pairs)) as f64 * f64::from(frequencies.get(i % pairs).copied().unwrap_or(0.0));
            [angle.cos() as f32, angle.sin() as f32]
        };
        let longest = height.max(width);
        let table =
            HostTensor::new([longest, 2 * pairs, 2], (0..longest * 2 * pairs).flat_map(turn).collect())?;
        let table = Tensor::from_host(&self.context, &table)?;
        let positions = RotaryPositions::new(&table, &[&at(0), &at(1)], [pairs, pairs, 0], Pairs::Halves)?;
        let inverse = Tensor::from_u32(&self.context, [inverse.len()], &inverse)?;
        Ok(SlicePlan { order: rows, inverse, positions, classes })
    }

    /// The tokens `(tokens, out_hidden_size)` of one temporal slice from its patch rows `(rows, patch values)` in merge-block
    /// order, row by row of tokens.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of values than the plan's slices have; otherwise those of the kernels.
    pub fn encode(&self, plan: &SlicePlan, patches: &[f32]) -> Result<Tensor> {
        let (c, rows, values) = (&self.config, plan.rows(), self.patch_values());
        if patches.len() != rows * values {
            let reason = format!("{} values for {rows} patches of {values} each", patches.len());
            return Err(Error::input("patches of a temporal slice", reason));
        }
        let sorted: Vec<f32> = plan
            .order
            .iter()
            .flat_map(|&row| {
                patches.get(row as usize * values..(row as usize + 1) * values).unwrap_or_default()
            })
            .copied()
            .collect();
        let mut tape = Tape::forward();
        let x = Tensor::from_f32_as(&self.context, [rows, values], &sorted, self.activations)?;
        let mut x = self.patch_embedding.apply(&mut tape, &Var::constant(x))?;
        let head_dim = c.hidden_size / c.heads.max(1);
        let slice = [WindowClass { first: 0, windows: 1, rows }];
        for block in &self.blocks {
            let h = block.attention_norm.apply(&mut tape, &x, None)?;
            let mut split =
                |layer: &Linear| layer.apply(&mut tape, &h)?.tensor().reshape([rows, c.heads, head_dim]);
            let (q, k, v) = (split(&block.q)?, split(&block.k)?, split(&block.v)?);
            let (q, k) = (rotary(&q, &plan.positions)?, rotary(&k, &plan.positions)?);
            let o = self.attend(&q, &k, &v, if block.full { &slice } else { &plan.classes })?;
            let o = Var::constant(o.reshape([rows, c.hidden_size])?);
            x = block.o.then(&mut tape, &o, LinearThen::Residual(&x))?;
            let h = block.ffn_norm.apply(&mut tape, &x, None)?;
            let (gate, up) = (block.gate.apply(&mut tape, &h)?, block.up.apply(&mut tape, &h)?);
            let hidden = Var::constant(swiglu(gate.tensor(), up.tensor())?);
            x = block.down.then(&mut tape, &hidden, LinearThen::Residual(&x))?;
        }
        let x = self.merger_norm.apply(&mut tape, &x, None)?;
        let merged = x.tensor().reshape([plan.tokens(), rows / plan.tokens().max(1) * c.hidden_size])?;
        let x = self.merger_in.then(&mut tape, &Var::constant(merged), LinearThen::GeluErf)?;
        let x = self.merger_out.apply(&mut tape, &x)?;
        embedding_of(x.tensor(), &plan.inverse)
    }

    /// Attention within each window.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, classes: &[WindowClass]) -> Result<Tensor> {
        let &[rows, heads, head_dim] = q.dims() else { return Ok(q.clone()) };
        let whole = Tensor::empty(&self.context, [rows, heads, head_dim], q.dtype())?;
        for &WindowClass { first, windows, rows: size } in classes {
            let shape = AttentionShape {
                batch: windows,
                heads,
                kv_heads: heads,
                seq_q: size,
                seq_kv: size,
                head_dim,
            };
            let problem = AttentionProblem::new(shape);
            let part =
                |t: &Tensor| t.narrow(first, windows * size)?.reshape([windows, size, heads, head_dim]);
            let tables = Tables::default().upload(&self.context, &problem)?;
            let o = attention(&problem, &part(q)?, &part(k)?, &part(v)?, &tables)?.o;
            if classes.len() == 1 {
                return Ok(o);
            }
            o.reshape([windows * size, heads, head_dim])?.copy_to(&whole.narrow(first, windows * size)?)?;
        }
        Ok(whole)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::models::qwen2_5_vl::QwenVlConfig;

    #[test]
    fn windows_of_a_size_are_one_batch() {
        let vision = QwenVlConfig::qwen2_5_vl_3b().vision;
        let order = WindowOrder::new(&vision, &[[1, 20, 34]]).unwrap();
        let (units, classes) = classes_of(&order);
        // 10 × 17 units in windows of 4 × 4: eight whole ones, four cut at the bottom, two at the right, one at both.
        let expected = [(0, 8, 64), (512, 4, 32), (640, 2, 16), (672, 1, 8)];
        assert_eq!(classes.iter().map(|c| (c.first, c.windows, c.rows)).collect::<Vec<_>>(), expected);
        let mut sorted = units.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..170));
    }
}
