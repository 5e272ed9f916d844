//! `dv = Σ_i p do`, `dk = scale · Σ_i ds q`, summed over the query heads that share a key head.
//!
//! Shapes: as in `attention_backward_dq`; `dkv (2, batch, seq_kv, kv_heads, head_dim)`: dk, then dv. No atomics: one
//! invocation owns a key, so the result does not depend on the order of workgroups.

use super::problem::AttentionProblem;
use super::tiling::Tiling;
use super::tiling::{BACKWARD, MAP_GRAD, MAP_GRAD_USES, ROW_STATS, STRAY};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

const TILING: Tiling = Tiling {
    rows: wgsl!("attention/dkv/rows.wgsl"),
    rows_checked: false,
    rolled_rows: Some(4),
    vectors: 32,
    most_rows: 2,
    tiles: wgsl!("attention/dkv/tiles.wgsl"),
    matrices: Some(wgsl!("attention/dkv/matrices.wgsl")),
    few: None,
    held: Some(wgsl!("attention/dkv/held.wgsl")),
    own_keys: true,
    shows_values: true,
    sums_long: true,
};

/// Gradient of attention by its keys and values.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionBackwardDkv(pub AttentionProblem);

impl fmt::Display for AttentionBackwardDkv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_backward_dkv({})", self.0)
    }
}

impl Kernel for AttentionBackwardDkv {
    const STEM: &'static str = "attention_backward_dkv";
    const SHADER: Source = wgsl!("attention/attention_backward_dkv.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.0;
        let mut slots = p.slots_backward();
        slots
            .push(Slot::write("dkv", [2, p.shape.batch, p.shape.seq_kv, p.shape.kv_heads, p.shape.head_dim]));
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.tiled(caps, &TILING, &MAP_GRAD_USES, &[MAP_GRAD, STRAY, ROW_STATS, BACKWARD])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch_tiled(variant, &TILING, 1)
    }

    fn work(&self) -> Work {
        Work { flops: 4.0 * self.0.product_flops(), bytes: self.0.bytes(2, 4) }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionBackwardDkv {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "gradients by keys and values, with gradients into the map";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        reference::backward_of(&self.0, inputs).map(|b| b.dkv).into_iter().collect()
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
        Some(Gradient::stacked("attention", vec![1, 2], move |inputs| reference::loss_of(&problem, inputs)))
    }

    fn cases() -> Vec<Self> {
        cases::backward().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        cases::bench_backward().into_iter().map(|(n, p)| (n, Self(p))).collect()
    }
}

/// Gradients by `k` and `v`, each shaped like it; `stats` is what `attention_backward_delta` returned. Rows that do not
/// see a key do not matter to it, and the gradients of a key that nobody sees are 0.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn attention_backward_dkv(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    d_o: &Tensor,
    stats: &Tensor,
    tables: &Tensor,
    map_grads: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let dims: Vec<usize> = [2].into_iter().chain(k.dims().iter().copied()).collect();
    let dkv = Tensor::empty(q.context(), dims, q.dtype())?;
    run(
        q.context(),
        &AttentionBackwardDkv(problem.clone()),
        &[q, k, v, d_o, stats, tables, map_grads, &dkv],
    )?;
    let plane = |n| dkv.narrow(n, 1)?.reshape(k.shape().clone());
    Ok((plane(0)?, plane(1)?))
}
