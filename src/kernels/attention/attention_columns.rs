//! `map[b, g, i] += column_factor · Σ_h Σ_j weight[g, j] · p[b, h, i, j]` with `p = exp(score − largest − log total)`.
//!
//! Shapes: `q (batch, seq_q, heads, head_dim)`, `k (batch, seq_kv, kv_heads, head_dim)`, `stats (2, batch, heads, seq_q)` f32,
//! `map (batch, groups, seq_q)` f32, added to, so that layers accumulate. Only keys of some group cost anything:
//! `O(seq_q · heads · head_dim · selected keys)`.
//!
//! Source: TempoControl eq. 2 (temporal attention signal) before its spatial reduction.

use super::output::softmax_stats;
use super::problem::AttentionProblem;
use super::tiling::{PROBABILITY, ROW_STATS, SCORE};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// The columns of the map that belong to groups of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionColumns(pub AttentionProblem);

impl fmt::Display for AttentionColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_columns({})", self.0)
    }
}

impl Kernel for AttentionColumns {
    const STEM: &'static str = "attention_columns";
    const SHADER: Source = wgsl!("attention/attention_columns.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)?;
        if self.0.readout.groups == 0 {
            return Err(crate::Error::problem(Self::STEM, "no token group was asked for"));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.0;
        let s = &p.shape;
        vec![
            p.slot_q("q"),
            p.slot_kv("k"),
            p.slot_stats("stats", 2),
            p.slot_tables(),
            Slot::update("map", [s.batch, p.readout.groups, s.seq_q]).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps, &["GROUPS"], &[ROW_STATS, PROBABILITY, SCORE])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let s = &self.0.shape;
        self.0.launch(variant, s.seq_q, s.batch, 1)
    }

    fn work(&self) -> Work {
        // Four selected tokens are usual; their number is data, not size.
        let share = 4.0 / self.0.shape.seq_kv as f64;
        Work { flops: self.0.product_flops() * share.min(1.0), bytes: self.0.bytes(1, 1) }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionColumns {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str =
        "token columns of the map, averaged over heads and groups, accumulated over layers";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [q, k, _stats, tables, before] = inputs else { return Vec::new() };
        let p = &self.0;
        let s = &p.shape;
        let mut map = before.clone();
        let columns_at = p.layout().columns;
        reference::rows(p, q, k, tables, |(b, _, i), row| {
            for g in 0..p.readout.groups {
                let at = (b * p.readout.groups + g) * s.seq_q + i;
                let weight = |j: usize| tables.data[columns_at + g * s.seq_kv + j];
                let chosen = row.p.iter().enumerate().filter(|(j, _)| weight(*j) != 0.0);
                let sum: f64 = chosen.map(|(j, p)| p * weight(j)).sum();
                map.data[at] += f64::from(p.column_factor) * sum;
            }
        });
        vec![map]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let i = cases::inputs_for(&self.0, rng);
        let s = &self.0.shape;
        let map = inputs::tame(rng, [s.batch, self.0.readout.groups, s.seq_q], 0.1);
        let mut all = vec![i.q, i.k, Array::zeros([0]), i.tables, map];
        self.follow(&mut all);
        all
    }

    fn follow(&self, inputs: &mut [Array]) {
        if let [q, k, stats, tables, _] = inputs {
            *stats = reference::softmax_stats(&self.0, q, k, tables);
        }
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        // Inputs are exact in f16 and the map is f32, so the storage type does not matter.
        vec![cases::tolerance(Dtype::F32, 1.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let with = |columns| {
            move |p: AttentionProblem| {
                Self(AttentionProblem { readout: Readout { groups: columns, ..Readout::default() }, ..p })
            }
        };
        let few = cases::forward().into_iter().map(with(1));
        let more = cases::forward().into_iter().take(3).map(with(3));
        few.chain(more).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let cases = cases::bench(Readout { groups: 2, ..Readout::default() });
        cases.into_iter().filter(|(_, p)| p.readout.groups > 0).map(|(n, p)| (n, Self(p))).collect()
    }
}

/// Adds the columns of this layer to `map (batch, groups, seq_q)` f32; `stats` is what the forward returned for the
/// same `q`, `k` and `tables`. Probabilities are computed anew, each at most 1 and its logarithm within about
/// `2⁻²² Σ |q · k| · scale`.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for statistics of fewer than two planes; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn attention_columns(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    stats: &Tensor,
    tables: &Tensor,
    map: &Tensor,
) -> Result<()> {
    run(q.context(), &AttentionColumns(problem.clone()), &[q, k, &softmax_stats(stats)?, tables, map])
}
