//! What attention is asked for: sizes, mask and reductions.

use super::mask::{FAR, Mask, Positions};
use super::shape::AttentionShape;
use crate::kernels::Slot;
use crate::{Error, Result};
use std::fmt;

/// How column mass is reduced over the chosen rows and heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mass {
    /// Weighted mean.
    Mean,
    /// Largest entry.
    Max,
}

/// Reductions of the map that a caller reads, and into which gradients may flow; none by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readout {
    /// Token groups whose columns are averaged over heads; 0 for none, and up to 64.
    pub groups: usize,
    /// Mass that each key receives.
    pub mass: Option<Mass>,
    /// Entropy of each row.
    pub entropy: bool,
}

impl Readout {
    /// Reads the columns of so many token groups too.
    pub fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Reads the mass that each key receives too.
    pub fn with_mass(self, mass: Mass) -> Self {
        Self { mass: Some(mass), ..self }
    }

    /// Reads the entropy of each row too.
    pub fn with_entropy(self) -> Self {
        Self { entropy: true, ..self }
    }
}

/// Everything the attention kernels must know. [`AttentionProblem::new`] is plain attention; what is asked beyond it is set by
/// name: `AttentionProblem { mask: Mask::Causal, ..AttentionProblem::new(shape) }`, so all fields are open.
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
    /// Backward only: there is a gradient of the output `o`, not just gradients of reductions.
    pub output_gradient: bool,
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
        // `columns` and `no-upstream` are part of the names by which measured errors are recorded and inputs are drawn.
        if self.readout.groups > 0 {
            write!(f, ",columns={}", self.readout.groups)?;
        }
        if let Some(mass) = self.readout.mass {
            write!(f, ",mass={mass:?}")?;
        }
        if self.readout.entropy {
            write!(f, ",entropy")?;
        }
        if !self.output_gradient {
            write!(f, ",no-upstream")?;
        }
        Ok(())
    }
}

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
            output_gradient: true,
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
        if let Some(reason) = self.mask.refusal() {
            return refuse(reason.into());
        }
        let compares = self.mask.is_by_position();
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
        if self.readout.groups > 64 {
            return refuse(format!("{} token groups: at most 64", self.readout.groups));
        }
        // The index of the largest entry travels in an f32.
        if self.readout.mass == Some(Mass::Max) && heads * seq_q > 1 << 24 {
            return refuse(format!("{heads} heads × {seq_q} rows: a maximum tells apart at most 2^24"));
        }
        let (tables, map_grads) = (self.layout().end, self.map_grads_offsets()[2]);
        if tables.max(map_grads) >= u32::MAX as usize {
            return refuse(format!(
                "{self}: tables of {tables} and gradients of {map_grads} elements: below 2^32 are addressed"
            ));
        }
        Ok(())
    }

    /// Frames of a temporal mask.
    pub fn frames(&self) -> usize {
        self.mask.frames(self.shape.seq_q)
    }

    /// Offsets of the entropy and mass parts of `map_grads`, and its length; columns lie at 0. Sizes that the kernels
    /// refuse saturate.
    pub fn map_grads_offsets(&self) -> [usize; 3] {
        let AttentionShape { batch, heads, seq_q, seq_kv, .. } = self.shape;
        let of = |sizes: [usize; 3]| sizes.into_iter().fold(1usize, usize::saturating_mul);
        let entropy_at = of([batch, self.readout.groups, seq_q]);
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

    /// What the kernels read that give gradients by queries, keys and values.
    pub(super) fn slots_backward(&self) -> Vec<Slot> {
        vec![
            self.slot_q("q"),
            self.slot_kv("k"),
            self.slot_kv("v"),
            self.slot_q("d_o"),
            self.slot_stats("stats", 3),
            self.slot_tables(),
            self.slot_map_grads(),
        ]
    }

    /// Multiply-adds of one product of queries and keys, counted as two operations, over what the mask leaves.
    pub(super) fn product_flops(&self) -> f64 {
        let s = &self.shape;
        2.0 * (s.batch * s.heads * s.seq_q * s.head_dim) as f64 * self.mask.keys_seen(s, self.positions)
    }

    pub(super) fn bytes(&self, q_like: usize, kv_like: usize) -> f64 {
        let s = &self.shape;
        let q = s.batch * s.seq_q * s.heads * s.head_dim;
        let kv = s.batch * s.seq_kv * s.kv_heads * s.head_dim;
        4.0 * (q_like * q + kv_like * kv) as f64
    }
}
