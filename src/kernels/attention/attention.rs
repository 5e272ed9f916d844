//! `o = softmax(scale · q kᵀ + mask) v`, with the log-sum-exp of each row and, where asked, its entropy.
//!
//! Shapes: `q`, `o` `(batch, seq_q, heads, head_dim)`; `k`, `v` `(batch, seq_kv, kv_heads, head_dim)`; `stats`
//! `(2 or 3, batch, heads, seq_q)` f32: a row's largest score, `ln Σ exp(score − largest)`, and its entropy in nats.
//! The first two, whose sum is the log-sum-exp, stay apart so that probabilities are right however large scores are.
//! Memory written: `o` and `stats`, nothing of size `seq_q × seq_kv`. A row that sees no key gives `o = 0`, entropy 0,
//! and for its largest score the lowest finite number; what it or a key that it does not see holds, NaN and infinities
//! too, does not matter. A row whose scores are all −∞ counts as one that sees nothing.
//!
//! Errors of results: scores are rounded to f32. Two ways of summing one differ by about `2⁻²² Σ|q k| scale`, by which
//! the logarithm of a probability may be off where another kernel computes it anew; it is at most 1. Sums lose below
//! 1e-5 however many keys there are.
//!
//! Few queries over many keys leave most of a GPU idle: there the keys are cut into `parts`, each with results of its
//! own, `o` `(parts, batch, seq_q, heads, head_dim)` and `stats` `(2 or 3, parts, batch, heads, seq_q)`, which
//! `attention_join` makes one.
//!
//! Source: Milakov & Gimelshein 2018 (running softmax); entropy as `log total − Σ p · (score − largest)`.

use super::problem::AttentionProblem;
use super::shape::AttentionShape;
use super::tiling::{SEEN_STRAYS, STRAY, Tiling};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Error, Result, wgsl};
use std::fmt;

/// The softmax of rows of which the largest score is not known yet.
const RUNNING: Source = wgsl!("attention/forward/running.wgsl");

const TILING: Tiling = Tiling {
    rows: wgsl!("attention/forward/rows.wgsl"),
    // llvmpipe compiles it in half the time and runs it up to 1.6 times as fast.
    rows_checked: true,
    rolled_rows: None,
    vectors: 64,
    most_rows: 4,
    tiles: wgsl!("attention/forward/tiles.wgsl"),
    matrices: Some(wgsl!("attention/forward/matrices.wgsl")),
    few: Some(wgsl!("attention/forward/few.wgsl")),
    held: Some(wgsl!("attention/forward/held.wgsl")),
    own_keys: false,
    shows_values: false,
    sums_long: true,
};

/// The forward kernel of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// What is asked.
    pub problem: AttentionProblem,
    /// Parts of the keys, each with results of its own.
    pub parts: usize,
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention({}", self.problem)?;
        if self.parts > 1 {
            write!(f, ",parts={}", self.parts)?;
        }
        write!(f, ")")
    }
}

impl From<AttentionProblem> for Attention {
    /// The keys in one part.
    fn from(problem: AttentionProblem) -> Self {
        Self { problem, parts: 1 }
    }
}

impl Attention {
    /// Shape of results: without a leading axis where there is one part.
    pub(super) fn outputs(&self) -> [Vec<usize>; 2] {
        let AttentionShape { batch, heads, seq_q, head_dim, .. } = self.problem.shape;
        let parts = if self.parts > 1 { vec![self.parts] } else { Vec::new() };
        let o = [parts.clone(), vec![batch, seq_q, heads, head_dim]].concat();
        let stats = [vec![self.problem.planes()], parts, vec![batch, heads, seq_q]].concat();
        [o, stats]
    }
}

impl Kernel for Attention {
    const STEM: &'static str = "attention";
    const SHADER: Source = wgsl!("attention/attention.wgsl");

    fn check(&self) -> Result<()> {
        self.problem.check(Self::STEM)?;
        let AttentionShape { batch, heads, seq_q, head_dim, .. } = self.problem.shape;
        let elements = [batch, heads, seq_q, head_dim].iter().try_fold(self.parts, |n, &d| n.checked_mul(d));
        let addressed = elements.is_some_and(|n| (1..u32::MAX as usize).contains(&n));
        if !addressed {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: at least one part; of all parts below 2^32 elements"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let p = &self.problem;
        let [o, stats] = self.outputs();
        vec![
            p.slot_q("q"),
            p.slot_kv("k"),
            p.slot_kv("v"),
            p.slot_tables(),
            Slot::write("o", o),
            Slot::write("stats", stats).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.problem.tiled(caps, &TILING, &["ENTROPY"], &[STRAY, SEEN_STRAYS, RUNNING])
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        self.problem.launch_tiled(variant, &TILING, self.parts)
    }

    fn work(&self) -> Work {
        Work { flops: 2.0 * self.problem.product_flops(), bytes: self.problem.bytes(1 + self.parts, 2) }
    }
}

#[cfg(feature = "verify")]
impl Verified for Attention {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "masked attention with log-sum-exp and row entropy";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [q, k, v, tables] = inputs else { return Vec::new() };
        let [mut o, mut stats] = self.outputs().map(Array::zeros);
        let keys = self.problem.part_keys(self.parts);
        let plane = stats.data.len() / self.problem.planes();
        for part in 0..self.parts {
            let f =
                reference::forward_of(&self.problem, &(part * keys..(part + 1) * keys), [q, k, v, tables]);
            let len = f.o.data.len();
            o.data[part * len..][..len].copy_from_slice(&f.o.data);
            let len = plane / self.parts;
            for (n, values) in f.stats.data.chunks(len).enumerate() {
                stats.data[n * plane + part * len..][..len].copy_from_slice(values);
            }
        }
        vec![o, stats]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let i = cases::inputs_for(&self.problem, rng);
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
        let whole = cases::forward().into_iter().chain(cases::long()).map(Self::from);
        whole.chain(cases::in_parts().into_iter().map(|(parts, problem)| Self { problem, parts })).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let whole = cases::bench(Default::default()).into_iter().map(|(n, p)| (n, Self::from(p)));
        let one = AttentionShape { batch: 1, heads: 28, kv_heads: 4, seq_q: 1, seq_kv: 5440, head_dim: 128 };
        let in_parts = Self { problem: AttentionProblem::new(one), parts: 21 };
        whole.chain([("qwen2.5-vl-7b, one token, keys in parts", in_parts)]).collect()
    }
}
