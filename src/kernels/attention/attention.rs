//! `o = softmax(scale · q kᵀ + mask) v`, with the log-sum-exp of each row and, where asked, its entropy.
//!
//! Shapes: `q`, `o` `(batch, seq_q, heads, head_dim)`; `k`, `v` `(batch, seq_kv, kv_heads, head_dim)`; `stats`
//! `(1 or 2, batch, heads, seq_q)` f32: lse in nats, entropy in nats. Memory written: `o` and `stats`, nothing of
//! size `seq_q × seq_kv`. A row that sees no key gives `o = 0`, entropy 0 and the lowest finite lse.
//!
//! Source: Milakov & Gimelshein 2018 (running softmax); entropy as `lse − Σ p · score`.

use super::cases;
use super::output::AttentionOutput;
use super::problem::AttentionProblem;
use super::reference;
use super::tiling::{Matrices, Tiling};
use crate::gpu::Caps;
use crate::kernels::{Gradient, Kernel, Launch, Slot, Tolerance, Variant, Work, run};
use crate::shader::Source;
use crate::tensor::Array;
use crate::{Dtype, Result, Tensor, wgsl};
use rand_pcg::Pcg64;
use std::fmt;

const TILING: Tiling = Tiling {
    rows: wgsl!("shared/attention.rows.wgsl"),
    vectors: 64,
    most_rows: 4,
    tiles: wgsl!("shared/attention.tiles.wgsl"),
    matrices: Some(Matrices { modules: &[wgsl!("shared/attention.matrices.wgsl")], stages: 1 }),
    few: Some(wgsl!("shared/attention.few.wgsl")),
    own_keys: false,
};

/// The forward kernel of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention(pub AttentionProblem);

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention({})", self.0)
    }
}

impl Kernel for Attention {
    const STEM: &'static str = "attention";
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "masked attention with log-sum-exp and row entropy";
    const SHADER: Source = wgsl!("attention/attention.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.0;
        let write = |slot: Slot| Slot { access: crate::gpu::Access::Write, ..slot };
        vec![
            p.slot_q("q"),
            p.slot_kv("k"),
            p.slot_kv("v"),
            p.slot_tables(),
            write(p.slot_q("o")),
            write(p.slot_stats("stats", p.planes())),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.tiled(caps, &TILING, &["ENTROPY"], &[])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch_tiled(variant, &TILING)
    }

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [q, k, v, tables] = inputs else { return Vec::new() };
        let f = reference::forward(&self.0, q, k, v, tables);
        vec![f.o, f.stats]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let i = cases::inputs_for(&self.0, rng);
        vec![i.q, i.k, i.v, i.tables]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // Statistics stay f32 whatever the storage type; the entropy is a difference of two numbers of a few nats.
        vec![cases::tolerance(elem, 1.0), cases::tolerance(Dtype::F32, 2.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        cases::forward().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        cases::bench(Default::default()).into_iter().map(|(n, p)| (n, Self(p))).collect()
    }

    fn work(&self) -> Work {
        Work { flops: 2.0 * self.0.product_flops(), bytes: self.0.bytes(2, 2) }
    }
}

/// Runs the forward. `tables` comes from [`super::Tables::upload`] for the same problem.
pub fn attention(
    problem: &AttentionProblem,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    tables: &Tensor,
) -> Result<AttentionOutput> {
    let kernel = Attention(problem.clone());
    kernel.check()?;
    let context = q.context();
    let o = Tensor::empty(context, q.shape().clone(), q.dtype())?;
    let s = &problem.shape;
    let stats = Tensor::empty(context, [problem.planes(), s.batch, s.heads, s.seq_q], Dtype::F32)?;
    run(context, &kernel, &[q, k, v, tables, &o, &stats])?;
    Ok(AttentionOutput { o, stats })
}
