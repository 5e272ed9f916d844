//! `dq = scale · Σ_j ds k`, `ds = p · (dp − delta)`, `dp = do · v + map_grad`.
//!
//! Alone it is the whole backward of cross-attention to a fixed text: keys and values need no gradient there.
//! Shapes: as in `attention`; `stats (3, batch, heads, seq_q)` f32 from `attention_backward_delta`; `dq` like `q`.

use super::problem::AttentionProblem;
use super::tiling::Tiling;
use super::tiling::{BACKWARD, MAP_GRAD, MAP_GRAD_USES, ROW_STATS, SEEN_STRAYS, STRAY};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::{Access, Caps};
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

const TILING: Tiling = Tiling {
    rows: wgsl!("attention/dq/rows.wgsl"),
    rows_checked: false,
    rolled_rows: Some(4),
    vectors: 32,
    most_rows: 2,
    tiles: wgsl!("attention/dq/tiles.wgsl"),
    matrices: Some(wgsl!("attention/dq/matrices.wgsl")),
    few: None,
    held: Some(wgsl!("attention/dq/held.wgsl")),
    own_keys: false,
    shows_values: false,
    sums_long: true,
};

/// Gradient of attention by its queries.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionBackwardDq(pub AttentionProblem);

impl fmt::Display for AttentionBackwardDq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_backward_dq({})", self.0)
    }
}

impl Kernel for AttentionBackwardDq {
    const STEM: &'static str = "attention_backward_dq";
    const SHADER: Source = wgsl!("attention/attention_backward_dq.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.0;
        let mut slots = p.slots_backward();
        slots.push(Slot { access: Access::Write, ..p.slot_q("dq") });
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.tiled(caps, &TILING, &MAP_GRAD_USES, &[MAP_GRAD, STRAY, SEEN_STRAYS, ROW_STATS, BACKWARD])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch_tiled(variant, &TILING, 1)
    }

    fn work(&self) -> Work {
        Work { flops: 3.0 * self.0.product_flops(), bytes: self.0.bytes(3, 2) }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionBackwardDq {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "gradient by the queries, with gradients into the map";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        reference::backward_of(&self.0, inputs).map(|b| b.dq).into_iter().collect()
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut all = cases::backward_inputs(&self.0, rng);
        self.follow(&mut all);
        all
    }

    fn follow(&self, inputs: &mut [Array]) {
        if let Some(backward) = reference::backward_of(&self.0, inputs) {
            inputs[reference::BACKWARD_STATS] = backward.stats;
        }
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![cases::tolerance(elem, 4.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let problem = self.0.clone();
        Some(Gradient::of("attention", vec![(0, 0)], move |inputs| reference::loss_of(&problem, inputs)))
    }

    fn cases() -> Vec<Self> {
        cases::backward().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        cases::bench_backward().into_iter().map(|(n, p)| (n, Self(p))).collect()
    }
}

/// Gradient by `q`, shaped like it; `stats` is what `attention_backward_delta` returned. What a row does not see does
/// not matter, and the gradient of a row that sees nothing is 0.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn attention_backward_dq(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    d_o: &Tensor,
    stats: &Tensor,
    tables: &Tensor,
    map_grads: &Tensor,
) -> Result<Tensor> {
    let dq = Tensor::empty(q.context(), q.shape().clone(), q.dtype())?;
    run(q.context(), &AttentionBackwardDq(problem.clone()), &[q, k, v, d_o, stats, tables, map_grads, &dq])?;
    Ok(dq)
}
