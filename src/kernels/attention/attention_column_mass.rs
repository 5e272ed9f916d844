//! Mean: `mass[b, j] = Σ_h Σ_i rows[i] · heads[h] · p[b, h, i, j]`, weights summing to 1. Max: the largest `p` over the
//! rows and heads whose weights are not zero, then in a second plane the index `h · seq_q + i` of the first largest.
//!
//! Shapes: as in `attention_columns`; `mass (1 or 2, batch, seq_kv)` f32.
//!
//! Source: token selection by received attention (FastV: mean over heads of the last row; FlexSelect: max over text
//! rows and heads).

use super::output::softmax_stats;
use super::problem::{AttentionProblem, Mass};
use super::tiling::{PROBABILITY, ROW_STATS, STRAY, Tiling};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{CASCADE, Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

const TILING: Tiling = Tiling {
    rows: wgsl!("attention/mass/rows.wgsl"),
    rows_checked: false,
    rolled_rows: None,
    vectors: 64,
    most_rows: 4,
    tiles: wgsl!("attention/mass/tiles.wgsl"),
    matrices: Some(wgsl!("attention/mass/matrices.wgsl")),
    few: None,
    held: None,
    own_keys: true,
    shows_values: false,
    sums_long: false,
};

/// How much attention each key receives.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionColumnMass(pub AttentionProblem);

impl fmt::Display for AttentionColumnMass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_column_mass({})", self.0)
    }
}

impl Kernel for AttentionColumnMass {
    const STEM: &'static str = "attention_column_mass";
    const SHADER: Source = wgsl!("attention/attention_column_mass.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)?;
        if self.0.readout.mass.is_none() {
            return Err(crate::Error::problem(Self::STEM, "no mass was asked for"));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.0;
        let s = &p.shape;
        let planes = if p.readout.mass == Some(Mass::Max) { 2 } else { 1 };
        vec![
            p.slot_q("q"),
            p.slot_kv("k"),
            p.slot_stats("stats", 2),
            p.slot_tables(),
            Slot::write("mass", [planes, s.batch, s.seq_kv]).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.tiled(caps, &TILING, &["MASS_MAX"], &[STRAY, CASCADE, ROW_STATS, PROBABILITY])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let s = &self.0.shape;
        self.0.launch(variant, s.seq_kv, s.batch, 1)
    }

    fn work(&self) -> Work {
        Work { flops: self.0.product_flops(), bytes: self.0.bytes(1, 1) }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionColumnMass {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "attention that each key receives: mean or max over chosen rows and heads";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [q, k, _stats, tables] = inputs else { return Vec::new() };
        vec![reference::forward(&self.0, q, k, k, tables).mass]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let i = cases::inputs_for(&self.0, rng);
        let mut all = vec![i.q, i.k, Array::zeros([0]), i.tables];
        self.follow(&mut all);
        all
    }

    fn follow(&self, inputs: &mut [Array]) {
        if let [q, k, stats, tables] = inputs {
            *stats = reference::softmax_stats(&self.0, q, k, tables);
        }
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        // Inputs are exact in f16 and the mass is f32, so the storage type does not matter.
        vec![cases::tolerance(Dtype::F32, 1.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let with = |mass| {
            move |p: AttentionProblem| {
                Self(AttentionProblem { readout: Readout { mass: Some(mass), ..Readout::default() }, ..p })
            }
        };
        let mean = cases::forward().into_iter().chain(cases::long()).map(with(Mass::Mean));
        // Of some keys nobody sees the first row that is chosen is of the second head.
        let unseen =
            AttentionProblem { key_lengths: true, ..AttentionProblem::new(cases::shape(2, 3, 1, 5, 21, 16)) };
        let max = cases::forward().into_iter().take(5).chain([unseen]).map(with(Mass::Max));
        mean.chain(max).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let cases = cases::bench(Readout { mass: Some(Mass::Mean), ..Readout::default() });
        cases.into_iter().filter(|(_, p)| p.readout.mass.is_some()).map(|(n, p)| (n, Self(p))).collect()
    }
}

/// Mass of each key, `(1, batch, seq_kv)` f32, or `(2, batch, seq_kv)` for a maximum with its index; `stats` is what
/// the forward returned for the same `q`, `k` and `tables`. Probabilities are computed anew, each at most 1 and its
/// logarithm within about `2⁻²² Σ |q · k| · scale`; a key that no chosen row sees receives 0.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for statistics of fewer than two planes; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn attention_column_mass(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    stats: &Tensor,
    tables: &Tensor,
) -> Result<Tensor> {
    let planes = if problem.readout.mass == Some(Mass::Max) { 2 } else { 1 };
    let mass = Tensor::empty(q.context(), [planes, problem.shape.batch, problem.shape.seq_kv], Dtype::F32)?;
    run(q.context(), &AttentionColumnMass(problem.clone()), &[q, k, &softmax_stats(stats)?, tables, &mass])?;
    Ok(mass)
}
