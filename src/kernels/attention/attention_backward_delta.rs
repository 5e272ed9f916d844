//! `delta[b, h, i] = Σ_j p · dp = Σ_d do · o + Σ_j p · map_grad`, written beside a copy of the row's largest score and log total.
//!
//! `map_grads` packs the gradients of the reductions: columns `(batch, groups, seq_q)`, entropy
//! `(batch, heads, seq_q)`, mass `(batch, seq_kv)` (for a maximum followed by the index the forward gave). The entropy
//! needs no pass over the keys, since `Σ p · (−ln p) = H`; columns touch the keys of their groups alone.
//!
//! Source: Dao 2023 (FlashAttention-2) for the first term; the others follow from `ds = p · (dp − Σ p · dp)`.

use super::problem::AttentionProblem;
use super::tiling::{MAP_GRAD, MAP_GRAD_USES, SCORE};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::{Access, Caps};
use crate::kernels::{CASCADE, Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// What the backward subtracts from every gradient of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionBackwardDelta(pub AttentionProblem);

impl fmt::Display for AttentionBackwardDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_backward_delta({})", self.0)
    }
}

impl Kernel for AttentionBackwardDelta {
    const STEM: &'static str = "attention_backward_delta";
    const SHADER: Source = wgsl!("attention/attention_backward_delta.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.0;
        vec![
            p.slot_q("q"),
            p.slot_kv("k"),
            p.slot_q("o"),
            p.slot_q("d_o"),
            p.slot_stats("forward_stats", p.planes()),
            p.slot_tables(),
            p.slot_map_grads(),
            Slot { access: Access::Write, ..p.slot_stats("stats", 3) },
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps, &MAP_GRAD_USES, &[MAP_GRAD, CASCADE, SCORE])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let s = &self.0.shape;
        self.0.launch(variant, s.seq_q, s.heads, s.batch)
    }

    fn work(&self) -> Work {
        let s = &self.0.shape;
        Work { flops: 2.0 * (s.batch * s.heads * s.seq_q * s.head_dim) as f64, bytes: self.0.bytes(2, 0) }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionBackwardDelta {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str =
        "row sums that the backward of attention needs, with the gradients of the reductions in them";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [q, k, o, d_o, _stats, tables, map_grads] = inputs else { return Vec::new() };
        let p = &self.0;
        // The product of do and o is taken from o itself, so v is not needed: the rest of delta is that of a problem
        // without a gradient of the output.
        let rest = AttentionProblem { output_gradient: false, ..p.clone() };
        let up = Upstream { d_o, map_grads };
        let mut stats = reference::backward(&rest, q, k, k, tables, &up).stats;
        let s = &p.shape;
        let plane = s.batch * s.heads * s.seq_q;
        if p.output_gradient {
            for at in 0..plane {
                let (b, h, i) = (at / (s.heads * s.seq_q), at / s.seq_q % s.heads, at % s.seq_q);
                let from = ((b * s.seq_q + i) * s.heads + h) * s.head_dim;
                // A row that sees nothing has no share, whatever the gradient of its output holds.
                if stats.data[at] > f64::from(f32::MIN) || stats.data[plane + at] != 0.0 {
                    stats.data[2 * plane + at] +=
                        (0..s.head_dim).map(|d| o.data[from + d] * d_o.data[from + d]).sum::<f64>();
                }
            }
        }
        vec![stats]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let i = cases::inputs_for(&self.0, rng);
        let f = reference::forward(&self.0, &i.q, &i.k, &i.v, &i.tables);
        vec![i.q, i.k, f.o, i.d_o, f.stats, i.tables, i.map_grads]
    }

    fn follow(&self, inputs: &mut [Array]) {
        let s = &self.0.shape;
        if let [q, k, o, _, stats, tables, _] = inputs {
            // v makes no difference to them.
            *stats = reference::forward(&self.0, q, k, k, tables).stats;
            for (at, v) in o.data.iter_mut().enumerate() {
                let (head, row) = (at / s.head_dim % s.heads, at / s.head_dim / s.heads);
                if stats.data[(row / s.seq_q * s.heads + head) * s.seq_q + row % s.seq_q].is_nan() {
                    *v = f64::NAN;
                }
            }
        }
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![cases::tolerance(elem, 4.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        // Not a gradient by itself: the two kernels after it are checked with it.
        None
    }

    fn cases() -> Vec<Self> {
        cases::backward().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        cases::bench(Default::default()).into_iter().map(|(n, p)| (n, Self(p))).collect()
    }
}

/// Largest score, log total and delta of each row, `(3, batch, heads, seq_q)` f32, for the two kernels after. `o` and
/// `stats` are what the forward returned; `map_grads` has [`AttentionProblem::map_grads_len`] f32. Where the problem
/// has no gradient of the output, `d_o` and `o` may be any tensors of their shape. The delta of a row that
/// sees nothing is 0.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn attention_backward_delta(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    o: &Tensor,
    d_o: &Tensor,
    stats: &Tensor,
    tables: &Tensor,
    map_grads: &Tensor,
) -> Result<Tensor> {
    let s = &problem.shape;
    let out = Tensor::empty(q.context(), [3, s.batch, s.heads, s.seq_q], Dtype::F32)?;
    run(
        q.context(),
        &AttentionBackwardDelta(problem.clone()),
        &[q, k, o, d_o, stats, tables, map_grads, &out],
    )?;
    Ok(out)
}
