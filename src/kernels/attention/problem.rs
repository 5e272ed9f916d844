//! What attention is asked for: sizes, mask, reductions, and the small tables behind them.

use crate::gpu::{Caps, Context};
use crate::kernels::{Launch, NAN, Slot, Variant, elems, lanes};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// A bias at or below this takes the key away, which no score does; tables hold [`f32::MIN`] there, since WGSL has no
/// infinity.
pub const MASKED: f64 = -1.0e38;

/// Sizes. `q` and `o` are `(batch, seq_q, heads, head_dim)`, `k` and `v` `(batch, seq_kv, kv_heads, head_dim)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// Independent sequences.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Queries of a sequence.
    pub seq_q: usize,
    /// Keys of a sequence.
    pub seq_kv: usize,
    /// Width of a head; a multiple of 4, up to 256.
    pub head_dim: usize,
}

/// Which keys a query sees, and with what bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mask {
    /// All of them.
    #[default]
    None,
    /// Those up to its own position; see [`AttentionProblem::positions`].
    Causal,
    /// `left` before and `right` after its own position.
    Window {
        /// Keys before.
        left: usize,
        /// Keys after.
        right: usize,
    },
    /// A table `(frames, seq_kv)` of biases by the query's frame: hard ([`f32::MIN`]) or soft.
    Temporal {
        /// Queries of a frame; frames are `seq_q / tokens_per_frame`, rounded up.
        tokens_per_frame: usize,
    },
    /// A table `(heads, seq_q + seq_kv - 1)` of biases by head and distance `key - query` (T5).
    Relative,
}

/// Where queries and keys stand, for masks that compare positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Positions {
    /// Position of the first query.
    pub first_query: usize,
    /// Position of the first key.
    pub first_key: usize,
}

/// How column mass is reduced over the chosen rows and heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mass {
    /// Weighted mean.
    Mean,
    /// Largest entry.
    Max,
}

/// Reductions of the map that a caller reads, and into which gradients may flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readout {
    /// Token groups whose columns are averaged over heads; 0 for none.
    pub columns: usize,
    /// Mass that each key receives.
    pub mass: Option<Mass>,
    /// Entropy of each row.
    pub entropy: bool,
}

/// Everything the attention kernels must know.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionProblem {
    /// Sizes.
    pub shape: AttentionShape,
    /// Factor on `q · k`, usually `head_dim^-0.5`; finite.
    pub scale: f32,
    /// Mask.
    pub mask: Mask,
    /// Each sequence has its own number of keys, in `tables`.
    pub key_lengths: bool,
    /// Where queries and keys stand, for [`Mask::Causal`] and [`Mask::Window`]: a cache whose capacity is not its length, or
    /// a part of a sequence. Without it the last query stands at the last key of its own sequence, by the key lengths where
    /// there are some.
    pub positions: Option<Positions>,
    /// Reductions.
    pub readout: Readout,
    /// Factor on accumulated columns: `1 / (heads · layers)` for a mean over both; finite.
    pub column_factor: f32,
    /// Backward only: a gradient of the output flows in, not just gradients of reductions.
    pub upstream: bool,
}

impl fmt::Display for AttentionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = self.shape;
        write!(f, "b={batch},h={heads}/{kv_heads},q={seq_q},kv={seq_kv},d={head_dim},mask={:?}", self.mask)?;
        if self.key_lengths {
            write!(f, ",key_lengths")?;
        }
        if let Some(Positions { first_query, first_key }) = self.positions {
            write!(f, ",from={first_query}/{first_key}")?;
        }
        if self.readout.columns > 0 {
            write!(f, ",columns={}", self.readout.columns)?;
        }
        if let Some(mass) = self.readout.mass {
            write!(f, ",mass={mass:?}")?;
        }
        if self.readout.entropy {
            write!(f, ",entropy")?;
        }
        if !self.upstream {
            write!(f, ",no-upstream")?;
        }
        Ok(())
    }
}

/// Shader parameters of the whole family; see `shaders/attention/problem.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    heads: u32,
    kv_heads: u32,
    head_vec: u32,
    seq_q: u32,
    seq_kv: u32,
    scale: f32,
    key_lengths: u32,
    mask_at: u32,
    blocks_at: u32,
    columns_at: u32,
    rows_at: u32,
    heads_at: u32,
    left: i32,
    right: i32,
    tokens_per_frame: u32,
    shift: i32,
    aligned: u32,
    column_factor: f32,
    grad_entropy_at: u32,
    grad_mass_at: u32,
    parts: u32,
    part_keys: u32,
    first_workgroup: [u32; 3],
}

/// Positions and windows beyond this are all the same to a sequence, and four of them fit an i32.
const FAR: usize = 1 << 29;

/// Keys whose visibility a temporal mask's table sums up in one number; `BLOCK` of the mask's module.
const BLOCK: usize = 16;

/// Constants that the gradient into the map depends on.
pub(super) const MAP_GRAD_USES: [&str; 5] = ["GROUPS", "ENTROPY", "MASS_MEAN", "MASS_MAX", "UPSTREAM"];
const SHARED: Source = wgsl!("attention/problem.wgsl");
/// How probabilities come from scores.
pub(super) const SOFTMAX_ROW: Source = wgsl!("attention/softmax_row.wgsl");
/// What rows do not see must not matter.
pub(super) const STRAY: Source = wgsl!("attention/stray.wgsl");
/// The statistics of a row for the backward.
pub(super) const ROW_STATS: Source = wgsl!("attention/row_stats.wgsl");
/// Which workgroup of the whole one of a cut is.
pub(super) const CUT: Source = wgsl!("shared/cut.wgsl");
/// Gradients into the map; only backward kernels take it.
pub(super) const MAP_GRAD: Source = wgsl!("attention/map_grad.wgsl");

impl AttentionProblem {
    /// Plain attention of some sizes with the usual scale.
    pub fn new(shape: AttentionShape) -> Self {
        let scale = (shape.head_dim.max(1) as f32).powf(-0.5);
        let column_factor = 1.0 / shape.heads.max(1) as f32;
        Self {
            shape,
            scale,
            mask: Mask::None,
            key_lengths: false,
            positions: None,
            readout: Readout::default(),
            column_factor,
            upstream: true,
        }
    }

    pub(super) fn check(&self, kernel: &'static str) -> Result<()> {
        let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = self.shape;
        let refuse = |reason: String| Err(Error::problem(kernel, reason));
        if [batch, heads, kv_heads, seq_q, seq_kv].contains(&0) {
            return refuse(format!("{self}: every size is at least 1"));
        }
        if !head_dim.is_multiple_of(4) || !(4..=256).contains(&head_dim) {
            return refuse(format!("head_dim {head_dim}: a multiple of 4 up to 256 is needed"));
        }
        if !heads.is_multiple_of(kv_heads) {
            return refuse(format!("{heads} query heads do not share {kv_heads} key heads evenly"));
        }
        let fits = |n: usize, h: usize| {
            [batch, h, head_dim]
                .iter()
                .try_fold(n, |p, &d| p.checked_mul(d))
                .is_some_and(|p| p < u32::MAX as usize)
        };
        if !fits(seq_q, heads) || !fits(seq_kv, kv_heads) {
            return refuse(format!("{self}: tensors of 2^32 elements and more are not addressed"));
        }
        if let Mask::Temporal { tokens_per_frame: 0 } = self.mask {
            return refuse("a temporal mask needs tokens_per_frame of at least 1".into());
        }
        let compares = matches!(self.mask, Mask::Causal | Mask::Window { .. });
        if compares && seq_q.saturating_add(seq_kv) >= FAR {
            return refuse(format!(
                "{seq_q} queries and {seq_kv} keys: below {FAR} together under a mask by position"
            ));
        }
        if self.positions.is_some() && !compares {
            return refuse(format!("{self}: positions are for causal masks and windows"));
        }
        for (name, factor) in [("scale", self.scale), ("column_factor", self.column_factor)] {
            if !factor.is_finite() {
                return refuse(format!("{name} is {factor}; it is finite"));
            }
        }
        if self.readout.columns > 64 {
            return refuse(format!("{} token groups: at most 64", self.readout.columns));
        }
        // The index of the largest entry travels in an f32.
        if self.readout.mass == Some(Mass::Max) && heads * seq_q > 1 << 24 {
            return refuse(format!("{heads} heads × {seq_q} rows: a maximum tells apart at most 2^24"));
        }
        let (tables, map_grads) = (self.layout()[6], self.map_grads_offsets()[2]);
        if tables.max(map_grads) >= u32::MAX as usize {
            return refuse(format!(
                "{self}: tables of {tables} and gradients of {map_grads} elements: below 2^32 are addressed"
            ));
        }
        Ok(())
    }

    /// Frames of a temporal mask.
    pub fn frames(&self) -> usize {
        match self.mask {
            Mask::Temporal { tokens_per_frame } => self.shape.seq_q.div_ceil(tokens_per_frame.max(1)),
            _ => 0,
        }
    }

    /// Offsets of the parts of `tables`, and its length: key lengths, mask, blocks, columns, rows, heads, end. They
    /// saturate: `check` asks for them before the sizes are known to fit.
    pub(super) fn layout(&self) -> [usize; 7] {
        let AttentionShape { batch, heads, seq_q, seq_kv, .. } = self.shape;
        let lengths = if self.key_lengths { batch.saturating_mul(2) } else { 0 };
        let mask = match self.mask {
            Mask::Temporal { .. } => self.frames().saturating_mul(seq_kv),
            Mask::Relative => heads.saturating_mul(seq_q.saturating_add(seq_kv).saturating_sub(1)),
            _ => 0,
        };
        let blocks = self.frames().saturating_mul(seq_kv.div_ceil(BLOCK));
        let (rows, head_weights) = if self.readout.mass.is_some() { (seq_q, heads) } else { (0, 0) };
        let columns = self.readout.columns.saturating_mul(seq_kv);
        let sizes = [lengths, mask, blocks, columns, rows, head_weights];
        let mut at = [0usize; 7];
        for (i, size) in sizes.into_iter().enumerate() {
            at[i + 1] = at[i].saturating_add(size);
        }
        at
    }

    /// Elements of the `tables` tensor; at least one, since a binding cannot be empty.
    pub fn tables_len(&self) -> usize {
        self.layout()[6].max(1)
    }

    /// Offsets of the entropy and mass parts of `map_grads`, and its length; columns lie at 0. Sizes that the kernels
    /// refuse saturate.
    pub fn map_grads_offsets(&self) -> [usize; 3] {
        let AttentionShape { batch, heads, seq_q, seq_kv, .. } = self.shape;
        let of = |sizes: [usize; 3]| sizes.into_iter().fold(1usize, usize::saturating_mul);
        let entropy_at = of([batch, self.readout.columns, seq_q]);
        let entropy = if self.readout.entropy { of([batch, heads, seq_q]) } else { 0 };
        let mass_at = entropy_at.saturating_add(entropy);
        let mass = match self.readout.mass {
            None => 0,
            Some(Mass::Mean) => of([1, batch, seq_kv]),
            Some(Mass::Max) => of([2, batch, seq_kv]),
        };
        [entropy_at, mass_at, mass_at.saturating_add(mass)]
    }

    /// Elements of the `map_grads` tensor; at least one.
    pub fn map_grads_len(&self) -> usize {
        self.map_grads_offsets()[2].max(1)
    }

    /// Planes of the forward's `stats`: largest score, log total, and entropy where asked.
    pub fn planes(&self) -> usize {
        2 + usize::from(self.readout.entropy)
    }

    pub(super) fn slot_q(&self, name: &'static str) -> Slot {
        let AttentionShape { batch, heads, seq_q, head_dim, .. } = self.shape;
        Slot::read(name, [batch, seq_q, heads, head_dim])
    }

    pub(super) fn slot_kv(&self, name: &'static str) -> Slot {
        let AttentionShape { batch, kv_heads, seq_kv, head_dim, .. } = self.shape;
        Slot::read(name, [batch, seq_kv, kv_heads, head_dim])
    }

    pub(super) fn slot_stats(&self, name: &'static str, planes: usize) -> Slot {
        let AttentionShape { batch, heads, seq_q, .. } = self.shape;
        Slot::read(name, [planes, batch, heads, seq_q]).f32()
    }

    pub(super) fn slot_tables(&self) -> Slot {
        Slot::read("tables", [self.tables_len()]).f32()
    }

    pub(super) fn slot_map_grads(&self) -> Slot {
        Slot::read("map_grads", [self.map_grads_len()]).f32()
    }

    /// Variants of the family: storage type × mask module, with workgroups of one vector register on a CPU. Of the
    /// family's constants a kernel names those it uses, so that calls that differ in others share a pipeline.
    pub(super) fn variants(&self, caps: &Caps, uses: &[&str], extra: &[Source]) -> Vec<Variant> {
        let mask = match self.mask {
            Mask::None => wgsl!("attention/mask/none.wgsl"),
            Mask::Causal => wgsl!("attention/mask/causal.wgsl"),
            Mask::Window { .. } => wgsl!("attention/mask/window.wgsl"),
            Mask::Temporal { .. } => wgsl!("attention/mask/temporal.wgsl"),
            Mask::Relative => wgsl!("attention/mask/relative.wgsl"),
        };
        let variant = |elem| {
            let mut variant = Variant::new(elem, lanes(caps))
                .with("HEAD_DIM", self.shape.head_dim)
                .with("GROUPS", self.readout.columns)
                .flag("ENTROPY", self.readout.entropy)
                .flag("MASS_MEAN", self.readout.mass == Some(Mass::Mean))
                .flag("MASS_MAX", self.readout.mass == Some(Mass::Max))
                .flag("UPSTREAM", self.upstream)
                .module(SHARED)
                .module(NAN)
                .module(SOFTMAX_ROW)
                .module(CUT)
                .module(mask);
            variant.consts.retain(|(name, _)| ["WG_SIZE", "HEAD_DIM"].contains(name) || uses.contains(name));
            extra.iter().fold(variant, |v, &m| v.module(m))
        };
        elems(caps, 4).into_iter().map(variant).collect()
    }

    /// Keys of each of some parts, whole blocks of a mask.
    pub(super) fn part_keys(&self, parts: usize) -> usize {
        self.shape.seq_kv.div_ceil(parts.max(1)).next_multiple_of(BLOCK)
    }

    /// Parameters and grid over `items` (rows or keys) × `y` × `z`, cut along the items where the work is long.
    pub(super) fn launch(&self, variant: &Variant, items: usize, y: usize, z: usize) -> Launch {
        self.launch_parts(variant, [items, y, z], 1)
    }

    /// The same with `parts` workgroups for what one would do with all keys.
    pub(super) fn launch_parts(&self, variant: &Variant, grid: [usize; 3], parts: usize) -> Launch {
        let [items, y, z] = grid;
        let s = &self.shape;
        let [_, mask_at, blocks_at, columns_at, rows_at, heads_at, _] = self.layout();
        let [grad_entropy_at, grad_mass_at, _] = self.map_grads_offsets();
        let far = |n: usize| n.min(FAR) as i64;
        let (left, right) = match self.mask {
            Mask::Window { left, right } => (far(left), far(right)),
            _ => (0, 0),
        };
        // A window reaches as far before the shift as after it, however far the shift itself is beyond the sequence.
        let true_shift = self.positions.map_or(0, |p| far_apart(p.first_query, p.first_key));
        let shift = true_shift.clamp(-far(FAR), far(FAR));
        let [left, right] = [left + shift - true_shift, right + true_shift - shift]
            .map(|n| n.clamp(-far(FAR), far(FAR)) as i32);
        let tokens_per_frame = match self.mask {
            Mask::Temporal { tokens_per_frame } => tokens_per_frame.min(s.seq_q),
            _ => 1,
        };
        let params = Params {
            batch: s.batch as u32,
            heads: s.heads as u32,
            kv_heads: s.kv_heads as u32,
            head_vec: s.head_dim as u32 / 4,
            seq_q: s.seq_q as u32,
            seq_kv: s.seq_kv as u32,
            scale: self.scale,
            key_lengths: u32::from(self.key_lengths),
            mask_at: mask_at as u32,
            blocks_at: blocks_at as u32,
            columns_at: columns_at as u32,
            rows_at: rows_at as u32,
            heads_at: heads_at as u32,
            left,
            right,
            tokens_per_frame: tokens_per_frame as u32,
            shift: shift as i32,
            aligned: u32::from(self.positions.is_none()),
            column_factor: self.column_factor,
            grad_entropy_at: grad_entropy_at as u32,
            grad_mass_at: grad_mass_at as u32,
            parts: parts as u32,
            part_keys: self.part_keys(parts) as u32,
            first_workgroup: [0; 3],
        };
        let rows = super::tiling::rows_of(variant);
        let groups = (items as u32).div_ceil(rows);
        Launch::new(&params, [groups, y as u32, (z * parts) as u32])
            .in_cuts(0, std::mem::offset_of!(Params, first_workgroup))
    }

    /// Multiply-adds of one product of queries and keys, counted as two operations, over what the mask leaves.
    pub(super) fn product_flops(&self) -> f64 {
        let s = &self.shape;
        let keys = match self.mask {
            Mask::Causal => (s.seq_kv as f64 - (s.seq_q as f64 - 1.0) / 2.0).max(1.0),
            Mask::Window { left, right } => (left as f64 + right as f64 + 1.0).min(s.seq_kv as f64),
            _ => s.seq_kv as f64,
        };
        2.0 * (s.batch * s.heads * s.seq_q * s.head_dim) as f64 * keys
    }

    pub(super) fn bytes(&self, q_like: usize, kv_like: usize) -> f64 {
        let s = &self.shape;
        let q = s.batch * s.seq_q * s.heads * s.head_dim;
        let kv = s.batch * s.seq_kv * s.kv_heads * s.head_dim;
        4.0 * (q_like * q + kv_like * kv) as f64
    }
}

/// `a − b`, as far as it fits.
fn far_apart(a: usize, b: usize) -> i64 {
    let distance = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    if a >= b { distance } else { -distance }
}

/// For each frame of a temporal mask `(frames, seq_kv)` and each block of keys, 1 where the frame sees some key of it.
pub(super) fn blocks(mask: &[f64], seq_kv: usize) -> Vec<f64> {
    let seen = |block: &[f64]| f64::from(u8::from(block.iter().any(|&b| b > MASKED)));
    mask.chunks(seq_kv.max(1)).flat_map(|frame| frame.chunks(BLOCK).map(seen)).collect()
}

/// The parts of the `tables` tensor, in host memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tables<'a> {
    /// Keys of each sequence `(batch)`.
    pub key_lengths: &'a [u32],
    /// Biases of a temporal or relative mask; anything not above −1e38 hides the key.
    pub mask: &'a [f32],
    /// Weight of each key in each token group `(groups, seq_kv)`.
    pub columns: &'a [f32],
    /// Weight of each row in the column mass `(seq_q)`: a mean's weights sum to 1.
    pub rows: &'a [f32],
    /// Weight of each head likewise `(heads)`.
    pub heads: &'a [f32],
}

impl Tables<'_> {
    /// Uploads the tables of a problem, checking every length and value.
    ///
    /// # Errors
    /// Those of [`Self::packed`] and of [`Tensor::from_f32`].
    pub fn upload(&self, context: &Context, problem: &AttentionProblem) -> Result<Tensor> {
        let all = self.packed(problem)?;
        Tensor::from_f32(context, [all.len()], &all)
    }

    /// What [`Self::upload`] uploads, for whoever keeps tensors in a way of their own.
    ///
    /// # Errors
    /// [`Error::Shape`] for a part of another length, [`Error::Input`] for a sequence with more keys than there are,
    /// and [`Error::NonFinite`] for weights that are not finite and biases that are NaN or +∞; [`Error::Problem`] for
    /// sizes and options that attention does not accept.
    pub fn packed(&self, problem: &AttentionProblem) -> Result<Vec<f32>> {
        problem.check("attention")?;
        let at = problem.layout();
        let seq_kv = problem.shape.seq_kv;
        if let Some((sequence, length)) =
            self.key_lengths.iter().enumerate().find(|(_, n)| **n as usize > seq_kv)
        {
            let reason = format!("sequence {sequence} has {length} keys, there are {seq_kv}");
            return Err(Error::input("tables.key_lengths", reason));
        }
        // An f32 does not hold every length; it does hold both halves of one.
        let lengths: Vec<f32> =
            self.key_lengths.iter().flat_map(|&n| [(n >> 16) as f32, (n & 0xffff) as f32]).collect();
        let mask: Vec<f64> = self.mask.iter().map(|&b| b.into()).collect();
        let frames = if problem.frames() > 0 { &mask[..] } else { &[] };
        let blocks: Vec<f32> = blocks(frames, seq_kv).into_iter().map(|b| b as f32).collect();
        let parts = [
            ("key_lengths", &lengths[..], 2),
            ("mask", self.mask, 1),
            ("blocks", &blocks, 1),
            ("columns", self.columns, 1),
            ("rows", self.rows, 1),
            ("heads", self.heads, 1),
        ];
        let mut all = Vec::with_capacity(problem.tables_len());
        for (i, (name, part, each)) in parts.into_iter().enumerate() {
            let expected = at[i + 1] - at[i];
            if part.len() != expected {
                return Err(Error::Shape {
                    kernel: "attention",
                    tensor: format!("tables.{name}"),
                    axis: "0".into(),
                    expected: expected / each,
                    found: part.len() / each,
                });
            }
            // −∞ hides a key; nothing else that is not finite means anything.
            let allowed = |v: f32| v.is_finite() || (name == "mask" && v == f32::NEG_INFINITY);
            if let Some(index) = part.iter().position(|v| !allowed(*v)) {
                return Err(Error::NonFinite { what: format!("tables.{name}"), index });
            }
            // WGSL has no infinities: the lowest finite number stands for it.
            all.extend(part.iter().map(|v| v.max(f32::MIN)));
        }
        all.resize(problem.tables_len(), 0.0);
        Ok(all)
    }
}

/// The table of a [`Mask::Relative`] from T5's bucketed embedding `(buckets, heads)`: bidirectional, half of the
/// buckets for each sign, exact up to a quarter of them and logarithmic up to `max_distance`.
///
/// Source: Raffel et al. 2020, as UMT5 uses it with one table a layer.
///
/// # Errors
/// [`Error::Input`] for buckets that are no multiple of four, a largest distance that is not above a quarter of them,
/// an embedding of another size, and a table of 2³² elements and more.
pub fn relative_bias(
    embedding: &[f32],
    buckets: usize,
    max_distance: usize,
    heads: usize,
    seq_q: usize,
    seq_kv: usize,
) -> Result<Vec<f32>> {
    let refuse = |reason: String| Err(Error::input("relative bias", reason));
    let half = buckets / 2;
    let exact = half / 2;
    if buckets < 4 || !buckets.is_multiple_of(4) || max_distance <= exact {
        return refuse(format!(
            "{buckets} buckets must be a multiple of 4 and the largest distance, {max_distance}, above {exact}"
        ));
    }
    if buckets.checked_mul(heads) != Some(embedding.len()) {
        return refuse(format!("{} values for {buckets} buckets and {heads} heads", embedding.len()));
    }
    let distances = seq_q.checked_add(seq_kv).map(|n| n.saturating_sub(1));
    let elements = distances.and_then(|n| n.checked_mul(heads)).filter(|&n| u32::try_from(n).is_ok());
    let (Some(distances), Some(elements)) = (distances, elements) else {
        return refuse(format!("{heads} heads, {seq_q} queries and {seq_kv} keys: below 2^32 elements"));
    };
    let bucket = |distance: i64| -> usize {
        let away = distance.unsigned_abs() as usize;
        let within = if away < exact {
            away
        } else {
            let ratio = (away as f64 / exact as f64).ln() / (max_distance as f64 / exact as f64).ln();
            exact.saturating_add((ratio * (half - exact) as f64) as usize).min(half - 1)
        };
        within + if distance > 0 { half } else { 0 }
    };
    let at = |i: usize| {
        let (head, d) = (i / distances.max(1), i % distances.max(1));
        embedding.get(bucket(d as i64 + 1 - seq_q as i64) * heads + head).copied().unwrap_or(0.0)
    };
    Ok((0..elements).map(at).collect())
}
