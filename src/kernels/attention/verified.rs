//! What proving the kernels of this family shares.

use super::output::OutputShape;
use super::problem::AttentionProblem;
pub(super) use super::problem::Readout;
pub(super) use super::reference::Upstream;
pub(super) use super::{cases, reference};
pub(super) use crate::kernels::verified::*;

impl OutputShape {
    /// As much of a problem as matters here.
    pub(super) fn of(problem: &AttentionProblem) -> Self {
        let s = &problem.shape;
        let entropy = problem.readout.entropy;
        Self { batch: s.batch, heads: s.heads, seq_q: s.seq_q, head_dim: s.head_dim, entropy }
    }

    /// Results of one part: rows that see nothing of it, every `hidden`-th, whose result is anything; largest scores, log
    /// totals and entropies of a few nats.
    pub(super) fn inputs(&self, hidden: usize, rng: &mut Pcg64) -> [Array; 2] {
        let [o, stats] = self.dims();
        let stats = inputs::tame(rng, stats, 2.0);
        let plane = self.plane();
        let stats = Array::from_fn(stats.shape.clone(), |at| {
            match (at / plane, (at % plane).is_multiple_of(hidden)) {
                (0, true) => f64::from(f32::MIN),
                (_, true) => 0.0,
                (0, false) => Dtype::F32.round(stats.data[at]),
                (_, false) => Dtype::F32.round(stats.data[at].abs()),
            }
        });
        [inputs::tame(rng, o, 1.0), stats]
    }

    /// The results of all parts from the `o` and `stats` of each.
    pub(super) fn joined(&self, parts: &[[&[f64]; 2]]) -> Vec<Array> {
        let Self { heads, seq_q, head_dim, .. } = *self;
        let plane = self.plane();
        let [mut o, mut stats] = self.dims().map(Array::zeros);
        for at in 0..plane {
            let (b, h, i) = (at / (heads * seq_q), at / seq_q % heads, at % seq_q);
            let seen = |stats: &[f64]| !(stats[at] <= f64::from(f32::MIN) && stats[plane + at] == 0.0);
            let sets: Vec<_> = parts.iter().filter(|[_, stats]| seen(stats)).collect();
            if sets.is_empty() {
                stats.data[at] = f64::from(f32::MIN);
                continue;
            }
            let largest = largest(sets.iter().map(|[_, stats]| stats[at]));
            let log_share = |stats: &[f64]| stats[at] - largest + stats[plane + at];
            let log_total = sets.iter().map(|[_, stats]| log_share(stats).exp()).sum::<f64>().ln();
            let stored = if log_total.is_nan() { log_total } else { largest };
            (stats.data[at], stats.data[plane + at]) = (stored, log_total);
            let from = ((b * seq_q + i) * heads + h) * head_dim;
            let mut entropy = 0.0;
            for [of_part, stats] in sets {
                let log_weight = log_share(stats) - log_total;
                let weight = log_weight.exp();
                (from..from + head_dim).for_each(|d| o.data[d] += weight * of_part[d]);
                entropy += stats.get(2 * plane + at).map_or(0.0, |e| weight * (e - log_weight));
            }
            if self.entropy {
                stats.data[2 * plane + at] = entropy;
            }
        }
        vec![o, stats]
    }
}
