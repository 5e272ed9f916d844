//! The formulas of the family in f64. Maps are computed row by row, as in the kernels; clarity before speed.

use super::mask::{MASKED, Mask, Positions};
use super::problem::{AttentionProblem, Mass};
use super::shape::AttentionShape;
use super::tables::Layout;
use crate::kernels::formula;
use crate::tensor::Array;
use std::ops::Range;

/// Scores of one row after mask and lengths; `None` where the key is not seen, or not one of `keys`.
fn row_scores(
    p: &AttentionProblem,
    keys: &Range<usize>,
    [q, k, tables]: [&Array; 3],
    (b, h, i): (usize, usize, usize),
) -> Vec<Option<f64>> {
    let AttentionShape { heads, kv_heads, seq_q, seq_kv, head_dim, .. } = p.shape;
    let kv_head = h / (heads / kv_heads);
    let Layout { lengths: lengths_at, mask: mask_at, .. } = p.layout();
    let half = |n: usize| tables.data[lengths_at + 2 * b + n] as usize;
    let end = if p.key_lengths { ((half(0) << 16) + half(1)).min(seq_kv) } else { seq_kv };
    // Where query i stands among the keys.
    let position = match p.positions {
        None => (i + end) as i128 - seq_q as i128,
        Some(Positions { first_query, first_key }) => i as i128 + first_query as i128 - first_key as i128,
    };
    let bias = |j: usize| -> f64 {
        let away = j as i128 - position;
        let hidden = |seen: bool| if seen { 0.0 } else { f64::from(f32::MIN) };
        match p.mask {
            Mask::None => 0.0,
            Mask::Causal => hidden(away <= 0),
            Mask::Window { left, right } => hidden(away >= -(left as i128) && away <= right as i128),
            Mask::Temporal { tokens_per_frame } => tables.data[mask_at + i / tokens_per_frame * seq_kv + j],
            Mask::Relative => tables.data[mask_at + h * (seq_q + seq_kv - 1) + j + seq_q - 1 - i],
        }
    };
    let dot = |j: usize| -> f64 {
        let (q0, k0) =
            (((b * seq_q + i) * heads + h) * head_dim, ((b * seq_kv + j) * kv_heads + kv_head) * head_dim);
        (0..head_dim).map(|d| q.data[q0 + d] * k.data[k0 + d]).sum::<f64>()
    };
    let score = |j: usize| {
        let bias = bias(j);
        (keys.contains(&j) && j < end && bias > MASKED).then(|| dot(j) * f64::from(p.scale) + bias)
    };
    (0..seq_kv).map(score).collect()
}

/// One row of the map.
pub(super) struct Row {
    /// The largest score; [`f32::MIN`] where nothing is seen.
    pub(super) largest: f64,
    /// ln Σ exp(score − largest); 0 where nothing is seen.
    pub(super) log_total: f64,
    /// 0 where the key is not seen.
    pub(super) p: Vec<f64>,
    /// ln p, 0 where the key is not seen.
    pub(super) log_p: Vec<f64>,
    pub(super) seen: Vec<bool>,
}

impl Row {
    pub(super) fn entropy(&self) -> f64 {
        -self.p.iter().zip(&self.log_p).map(|(p, l)| p * l).sum::<f64>()
    }
}

fn row(p: &AttentionProblem, keys: &Range<usize>, inputs: [&Array; 3], at: (usize, usize, usize)) -> Row {
    let scores = row_scores(p, keys, inputs, at);
    let mut largest = formula::largest(scores.iter().flatten().copied());
    if largest == f64::NEG_INFINITY {
        // Nothing is seen, or nothing weighs anything.
        let zeros = vec![0.0; scores.len()];
        let seen = vec![false; scores.len()];
        return Row { largest: f64::from(f32::MIN), log_total: 0.0, p: zeros.clone(), log_p: zeros, seen };
    }
    let seen: Vec<bool> = scores.iter().map(Option::is_some).collect();
    let log_total = scores.iter().flatten().map(|s| (s - largest).exp()).sum::<f64>().ln();
    if log_total.is_nan() {
        largest = f64::NAN;
    }
    // What has no probability has no share in anything, and 0 · ∞ would be NaN.
    let log_p = |s: f64| formula::largest([s - largest - log_total, -1e4].into_iter());
    let log_p: Vec<f64> = scores.iter().map(|s| s.map_or(0.0, log_p)).collect();
    let p = log_p.iter().zip(&seen).map(|(l, seen)| if *seen { l.exp() } else { 0.0 }).collect();
    Row { largest, log_total, p, log_p, seen }
}

/// Calls `f` for every row of the map.
pub(super) fn rows(
    p: &AttentionProblem,
    q: &Array,
    k: &Array,
    tables: &Array,
    f: impl FnMut((usize, usize, usize), Row),
) {
    rows_of(p, &(0..p.shape.seq_kv), [q, k, tables], f);
}

/// The same as if there were no other keys than these.
fn rows_of(
    p: &AttentionProblem,
    keys: &Range<usize>,
    inputs: [&Array; 3],
    mut f: impl FnMut((usize, usize, usize), Row),
) {
    let AttentionShape { batch, heads, seq_q, .. } = p.shape;
    for b in 0..batch {
        for h in 0..heads {
            for i in 0..seq_q {
                f((b, h, i), row(p, keys, inputs, (b, h, i)));
            }
        }
    }
}

/// The part of the forward's statistics that makes probabilities of scores: (2, batch, heads, seq_q).
pub(super) fn softmax_stats(p: &AttentionProblem, q: &Array, k: &Array, tables: &Array) -> Array {
    let AttentionShape { batch, heads, seq_q, .. } = p.shape;
    // v makes no difference to them.
    let stats = forward(p, q, k, k, tables).stats;
    Array::from_fn([2, batch, heads, seq_q], |at| stats.data[at])
}

/// Everything that leaves the forward: `o`, `stats`, columns, mass (with the index of the largest for a maximum).
pub(super) struct Forward {
    pub(super) o: Array,
    pub(super) stats: Array,
    pub(super) columns: Array,
    pub(super) mass: Array,
}

pub(super) fn forward(p: &AttentionProblem, q: &Array, k: &Array, v: &Array, tables: &Array) -> Forward {
    forward_of(p, &(0..p.shape.seq_kv), [q, k, v, tables])
}

/// The same as if there were no other keys than these.
pub(super) fn forward_of(
    p: &AttentionProblem,
    keys: &Range<usize>,
    [q, k, v, tables]: [&Array; 4],
) -> Forward {
    let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = p.shape;
    let Layout { columns: columns_at, rows: rows_at, heads: heads_at, .. } = p.layout();
    let groups = p.readout.groups;
    let mut o = Array::zeros([batch, seq_q, heads, head_dim]);
    let mut stats = Array::zeros([p.planes(), batch, heads, seq_q]);
    let mut columns = Array::zeros([batch, groups.max(1), seq_q]);
    let planes = if p.readout.mass == Some(Mass::Max) { 2 } else { 1 };
    let mut mass = Array::zeros([planes, batch, seq_kv]);
    let mut any = vec![false; batch * seq_kv];
    rows_of(p, keys, [q, k, tables], |(b, h, i), row| {
        let kv_head = h / (heads / kv_heads);
        for (j, &prob) in row.p.iter().enumerate() {
            let v0 = ((b * seq_kv + j) * kv_heads + kv_head) * head_dim;
            // What is not seen does not matter, whatever it holds.
            for d in (0..head_dim).filter(|_| row.seen[j]) {
                o.data[((b * seq_q + i) * heads + h) * head_dim + d] += prob * v.data[v0 + d];
            }
            for g in 0..groups {
                let weight = tables.data[columns_at + g * seq_kv + j];
                if weight == 0.0 {
                    continue;
                }
                columns.data[(b * groups + g) * seq_q + i] += f64::from(p.column_factor) * weight * prob;
            }
            let Some(reduce) = p.readout.mass else { continue };
            let (rw, hw) = (tables.data[rows_at + i], tables.data[heads_at + h]);
            if rw == 0.0 || hw == 0.0 {
                continue;
            }
            let at = b * seq_kv + j;
            match reduce {
                Mass::Mean => mass.data[at] += rw * hw * prob,
                Mass::Max => {
                    if !any[at] || prob > mass.data[at] || (prob.is_nan() && !mass.data[at].is_nan()) {
                        mass.data[at] = prob;
                        mass.data[batch * seq_kv + at] = (h * seq_q + i) as f64;
                        any[at] = true;
                    }
                }
            }
        }
        let at = (b * heads + h) * seq_q + i;
        let plane = batch * heads * seq_q;
        stats.data[at] = row.largest;
        stats.data[plane + at] = row.log_total;
        if p.readout.entropy {
            stats.data[2 * plane + at] = row.entropy();
        }
    });
    Forward { o, stats, columns, mass }
}

/// Upstream gradients: of the output, and of the reductions in the layout of `map_grads`.
pub(super) struct Upstream<'a> {
    pub(super) d_o: &'a Array,
    pub(super) map_grads: &'a Array,
}

impl Upstream<'_> {
    /// Upstream gradients times forward outputs: the scalar that the backward differentiates.
    pub(super) fn loss(&self, p: &AttentionProblem, q: &Array, k: &Array, v: &Array, tables: &Array) -> f64 {
        let f = forward(p, q, k, v, tables);
        let AttentionShape { batch, heads, seq_q, seq_kv, .. } = p.shape;
        let [entropy_at, mass_at, _] = p.map_grads_offsets();
        let g = &self.map_grads.data;
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut loss = 0.0;
        if p.output_gradient {
            loss += product(&self.d_o.data, &f.o.data);
        }
        if p.readout.groups > 0 {
            loss += product(g, &f.columns.data);
        }
        if p.readout.entropy {
            loss += product(&g[entropy_at..], &f.stats.data[2 * batch * heads * seq_q..]);
        }
        if p.readout.mass.is_some() {
            loss += product(&g[mass_at..mass_at + batch * seq_kv], &f.mass.data);
        }
        loss
    }

    /// Gradient into the map at one entry.
    fn map_grad(
        &self,
        p: &AttentionProblem,
        tables: &Array,
        (b, h, i): (usize, usize, usize),
        j: usize,
        log_p: f64,
    ) -> f64 {
        let AttentionShape { batch, heads, seq_q, seq_kv, .. } = p.shape;
        let Layout { columns: columns_at, rows: rows_at, heads: heads_at, .. } = p.layout();
        let [entropy_at, mass_at, _] = p.map_grads_offsets();
        let g = &self.map_grads.data;
        let groups = p.readout.groups;
        // What the gradient of a group holds does not matter to keys outside it.
        let weight = |gr: usize| tables.data[columns_at + gr * seq_kv + j];
        let mut sum: f64 = (0..groups)
            .filter(|&gr| weight(gr) != 0.0)
            .map(|gr| g[(b * groups + gr) * seq_q + i] * weight(gr) * f64::from(p.column_factor))
            .sum();
        if p.readout.entropy {
            sum -= g[entropy_at + (b * heads + h) * seq_q + i] * log_p;
        }
        let at = mass_at + b * seq_kv + j;
        match p.readout.mass {
            None => {}
            Some(Mass::Mean) => sum += g[at] * tables.data[rows_at + i] * tables.data[heads_at + h],
            Some(Mass::Max) if g[at + batch * seq_kv] as usize == h * seq_q + i => sum += g[at],
            Some(Mass::Max) => {}
        }
        sum
    }
}

/// Gradients by q, k and v, and the delta of each row.
pub(super) struct Backward {
    pub(super) dq: Array,
    pub(super) dkv: Array,
    pub(super) stats: Array,
}

pub(super) fn backward(
    p: &AttentionProblem,
    q: &Array,
    k: &Array,
    v: &Array,
    tables: &Array,
    up: &Upstream<'_>,
) -> Backward {
    let AttentionShape { batch, heads, kv_heads, seq_q, seq_kv, head_dim } = p.shape;
    let mut dq = Array::zeros(q.shape.clone());
    let mut dkv = Array::zeros([2, batch, seq_kv, kv_heads, head_dim]);
    let mut stats = Array::zeros([3, batch, heads, seq_q]);
    let plane = k.len();
    rows(p, q, k, tables, |(b, h, i), row| {
        let kv_head = h / (heads / kv_heads);
        let q0 = ((b * seq_q + i) * heads + h) * head_dim;
        let at_kv = |j: usize| ((b * seq_kv + j) * kv_heads + kv_head) * head_dim;
        let dp: Vec<f64> = (0..seq_kv)
            .map(|j| {
                let dot: f64 = (0..head_dim).map(|d| up.d_o.data[q0 + d] * v.data[at_kv(j) + d]).sum();
                let dot = if p.output_gradient { dot } else { 0.0 };
                dot + up.map_grad(p, tables, (b, h, i), j, row.log_p[j])
            })
            .collect();
        // What is not seen does not matter, whatever it holds.
        let seen = || (0..seq_kv).filter(|&j| row.seen[j]);
        let delta: f64 = seen().map(|j| dp[j] * row.p[j]).sum();
        let (at, rows) = ((b * heads + h) * seq_q + i, batch * heads * seq_q);
        stats.data[at] = row.largest;
        stats.data[rows + at] = row.log_total;
        stats.data[2 * rows + at] = delta;
        for j in seen() {
            let ds = row.p[j] * (dp[j] - delta) * f64::from(p.scale);
            for d in 0..head_dim {
                dq.data[q0 + d] += ds * k.data[at_kv(j) + d];
                dkv.data[at_kv(j) + d] += ds * q.data[q0 + d];
                if p.output_gradient {
                    dkv.data[plane + at_kv(j) + d] += row.p[j] * up.d_o.data[q0 + d];
                }
            }
        }
    });
    Backward { dq, dkv, stats }
}

/// Where the row sums stand among what the kernels of the backward read.
pub(super) const BACKWARD_STATS: usize = 4;

/// The backward of what those kernels read, in the order of [`AttentionProblem::slots_backward`]; the row sums do not
/// matter.
pub(super) fn backward_of(p: &AttentionProblem, inputs: &[Array]) -> Option<Backward> {
    let [q, k, v, d_o, _stats, tables, map_grads] = inputs else { return None };
    Some(backward(p, q, k, v, tables, &Upstream { d_o, map_grads }))
}

/// What they differentiate.
pub(super) fn loss_of(p: &AttentionProblem, inputs: &[Array]) -> f64 {
    let [q, k, v, d_o, _stats, tables, map_grads] = inputs else { return f64::NAN };
    Upstream { d_o, map_grads }.loss(p, q, k, v, tables)
}
