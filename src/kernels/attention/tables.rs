//! The small tables behind a problem, packed into one tensor: the one place that knows how they lie, beside the first comment
//! of `shaders/attention/problem.wgsl`.

use super::mask::frame_blocks;
use super::problem::{AttentionProblem, Mass};
use super::shape::AttentionShape;
use crate::gpu::Context;
use crate::{Error, Result, Tensor};
use std::borrow::Cow;

/// Where each part of the `tables` tensor begins, in elements, and where the last ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Key lengths `(batch, 2)`: the upper and the lower 16 bits.
    pub(super) lengths: usize,
    /// The mask's table.
    pub(super) mask: usize,
    /// Of a temporal mask, for each frame and block of keys whether it sees some of them.
    pub(super) frame_blocks: usize,
    /// Column weights `(groups, seq_kv)`.
    pub(super) columns: usize,
    /// Row weights `(seq_q)`.
    pub(super) rows: usize,
    /// Head weights `(heads)`.
    pub(super) heads: usize,
    pub(super) end: usize,
}

impl AttentionProblem {
    /// Offsets saturate: `check` asks for them before the sizes are known to fit.
    pub(super) fn layout(&self) -> Layout {
        let shape = &self.shape;
        let [rows, heads] = self.readout.mass.map_or([0, 0], |_| [shape.seq_q, shape.heads]);
        let mut end = 0usize;
        let mut next = |elements: usize| {
            let at = end;
            end = end.saturating_add(elements);
            at
        };
        Layout {
            lengths: next(if self.key_lengths { shape.batch.saturating_mul(2) } else { 0 }),
            mask: next(self.mask.table_len(shape)),
            frame_blocks: next(self.mask.frame_blocks_len(shape)),
            columns: next(self.readout.groups.saturating_mul(shape.seq_kv)),
            rows: next(rows),
            heads: next(heads),
            end,
        }
    }

    /// Elements of the `tables` tensor; at least one, since a binding cannot be empty.
    pub fn tables_len(&self) -> usize {
        self.layout().end.max(1)
    }
}

/// The parts of the `tables` tensor, in host memory. A part that a problem reads and that is empty here is the natural one,
/// where there is one: each field says which.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tables {
    /// Keys of each sequence `(batch)`.
    pub key_lengths: Vec<u32>,
    /// Biases of a temporal or relative mask; anything not above −1e38 hides the key.
    pub mask: Vec<f32>,
    /// Weight of each key in each token group `(groups, seq_kv)`. Empty, with as many groups as keys: each key is a group of
    /// its own.
    pub columns: Vec<f32>,
    /// Weight of each row in the column mass `(seq_q)`: a mean's weights sum to 1; of a maximum, those of weight 0 are left
    /// out. Empty: all rows alike.
    pub rows: Vec<f32>,
    /// Weight of each head likewise `(heads)`. Empty: all heads alike.
    pub heads: Vec<f32>,
}

impl Tables {
    /// Sets [`Self::key_lengths`].
    pub fn with_key_lengths(self, key_lengths: impl Into<Vec<u32>>) -> Self {
        Self { key_lengths: key_lengths.into(), ..self }
    }

    /// Sets [`Self::mask`].
    pub fn with_mask(self, mask: impl Into<Vec<f32>>) -> Self {
        Self { mask: mask.into(), ..self }
    }

    /// Sets [`Self::columns`].
    pub fn with_columns(self, columns: impl Into<Vec<f32>>) -> Self {
        Self { columns: columns.into(), ..self }
    }

    /// Sets [`Self::rows`].
    pub fn with_rows(self, rows: impl Into<Vec<f32>>) -> Self {
        Self { rows: rows.into(), ..self }
    }

    /// Sets [`Self::heads`].
    pub fn with_heads(self, heads: impl Into<Vec<f32>>) -> Self {
        Self { heads: heads.into(), ..self }
    }

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
        let blocks: Vec<f32> = frame_blocks(frames, seq_kv).into_iter().map(|b| b as f32).collect();
        let [columns, rows, heads] = self.weights(problem);
        let parts = [
            ("key_lengths", &lengths[..], 2, at.lengths..at.mask),
            ("mask", &self.mask[..], 1, at.mask..at.frame_blocks),
            ("blocks", &blocks, 1, at.frame_blocks..at.columns),
            ("columns", &columns, 1, at.columns..at.rows),
            ("rows", &rows, 1, at.rows..at.heads),
            ("heads", &heads, 1, at.heads..at.end),
        ];
        let mut all = Vec::with_capacity(problem.tables_len());
        for (name, part, each, place) in parts {
            let expected = place.len();
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

    /// Weights of keys, rows and heads, the natural ones where none are given.
    fn weights(&self, problem: &AttentionProblem) -> [Cow<'_, [f32]>; 3] {
        let AttentionShape { heads, seq_q, seq_kv, .. } = problem.shape;
        fn own(given: &[f32], natural: impl FnOnce() -> Option<Vec<f32>>) -> Cow<'_, [f32]> {
            let natural = if given.is_empty() { natural() } else { None };
            natural.map_or(Cow::Borrowed(given), Cow::Owned)
        }
        let identity = || {
            let mut weights = vec![0.0; seq_kv * seq_kv];
            weights.iter_mut().step_by(seq_kv + 1).for_each(|w| *w = 1.0);
            weights
        };
        let alike = |n: usize| {
            problem.readout.mass.map(|mass| match mass {
                Mass::Mean => vec![1.0 / n as f32; n],
                Mass::Max => vec![1.0; n],
            })
        };
        let each_key = problem.readout.groups == seq_kv;
        [
            own(&self.columns, || each_key.then(identity)),
            own(&self.rows, || alike(seq_q)),
            own(&self.heads, || alike(heads)),
        ]
    }
}
