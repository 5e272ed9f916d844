//! Attention over two sets of keys from attention over each, as if one softmax had passed over both.
//!
//! Shapes: both `o` and the result `(batch, seq_q, heads, head_dim)`; `stats` `(1 or 2, batch, heads, seq_q)` f32, lse and
//! entropy in nats. For keys that lie in several buffers (a ring of past frames and a condition), and for a few queries
//! over many keys, which are more parallel in parts. The backward needs nothing new: with the merged `o` and `stats`,
//! `attention_backward_delta`, `_dq` and `_dkv` of each part give its share of the gradient.
//!
//! Source: Liu et al. 2023 (ring attention), from Milakov & Gimelshein 2018.

use super::cases;
use super::output::AttentionOutput;
use super::problem::AttentionProblem;
use crate::gpu::Caps;
use crate::kernels::{Gradient, Kernel, Launch, Slot, Tolerance, Variant, Work, elems, inputs, lanes, run};
use crate::shader::Source;
use crate::tensor::Array;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use rand_pcg::Pcg64;
use std::fmt;

/// Merges the results of two sets of keys.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMerge {
    /// Independent sequences.
    pub batch: usize,
    /// Query heads.
    pub heads: usize,
    /// Queries of a sequence.
    pub seq_q: usize,
    /// Width of a head; a multiple of 4, up to 256.
    pub head_dim: usize,
    /// The statistics hold entropies.
    pub entropy: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup: u32,
}

impl fmt::Display for AttentionMerge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, heads, seq_q, head_dim, entropy } = self;
        write!(f, "attention_merge(b={batch},h={heads},q={seq_q},d={head_dim},entropy={entropy})")
    }
}

impl AttentionMerge {
    /// As much of a problem as matters here.
    fn of(problem: &AttentionProblem) -> Self {
        let s = &problem.shape;
        let entropy = problem.readout.entropy;
        Self { batch: s.batch, heads: s.heads, seq_q: s.seq_q, head_dim: s.head_dim, entropy }
    }

    fn outputs(&self) -> [Vec<usize>; 2] {
        let Self { batch, heads, seq_q, head_dim, entropy } = *self;
        [vec![batch, seq_q, heads, head_dim], vec![1 + usize::from(entropy), batch, heads, seq_q]]
    }
}

impl Kernel for AttentionMerge {
    const STEM: &'static str = "attention_merge";
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "attention over two sets of keys from attention over each";
    const SHADER: Source = wgsl!("attention/attention_merge.wgsl");

    fn check(&self) -> Result<()> {
        let Self { batch, heads, seq_q, head_dim, .. } = *self;
        let elements = [heads, seq_q, head_dim].iter().try_fold(batch, |n, &d| n.checked_mul(d));
        let sizes_fit = elements.is_some_and(|n| (1..u32::MAX as usize).contains(&n));
        if !sizes_fit || heads > 65_535 || batch > 65_535 {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: every size is at least 1, all together below 2^32"),
            ));
        }
        if !head_dim.is_multiple_of(4) || head_dim > 256 {
            return Err(Error::problem(
                Self::STEM,
                format!("head_dim {head_dim}: a multiple of 4 up to 256 is needed"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        let [o, stats] = self.outputs();
        vec![
            Slot::read("o_a", o.clone()),
            Slot::read("stats_a", stats.clone()).f32(),
            Slot::read("o_b", o.clone()),
            Slot::read("stats_b", stats.clone()).f32(),
            Slot::write("o", o),
            Slot::write("stats", stats).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let plain = |elem| Variant::new(elem, lanes(caps)).with("HEAD_DIM", self.head_dim);
        elems(caps, 4).into_iter().map(|elem| plain(elem).flag("ENTROPY", self.entropy)).collect()
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let Self { batch, heads, seq_q, head_dim, .. } = *self;
        let [batch, heads, items] = [batch, heads, seq_q * (head_dim / 4)].map(|n| n as u32);
        let params = Params { batch, heads, seq_q: seq_q as u32, first_workgroup: 0 };
        Launch::new(&params, [items.div_ceil(variant.number("WG_SIZE").max(1)), heads, batch])
            .split(0, std::mem::offset_of!(Params, first_workgroup))
    }

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [o_a, stats_a, o_b, stats_b] = inputs else { return Vec::new() };
        let Self { batch, heads, seq_q, head_dim, .. } = *self;
        let plane = batch * heads * seq_q;
        let [mut o, mut stats] = self.outputs().map(Array::zeros);
        for at in 0..plane {
            let (b, h, i) = (at / (heads * seq_q), at / seq_q % heads, at % seq_q);
            let parts = [(o_a, stats_a), (o_b, stats_b)];
            let lses = parts.map(|(_, stats)| stats.data[at]);
            if lses.iter().all(|&lse| lse <= super::MASKED) {
                stats.data[at] = f64::from(f32::MIN);
                continue;
            }
            let lse = lses.iter().map(|lse| lse.exp()).sum::<f64>().ln();
            let weights = lses.map(|part| (part - lse).exp());
            stats.data[at] = lse;
            let from = ((b * seq_q + i) * heads + h) * head_dim;
            for ((part, _), weight) in parts.iter().zip(weights) {
                (from..from + head_dim).for_each(|d| o.data[d] += weight * part.data[d]);
            }
            if self.entropy {
                let seen = parts.iter().zip(weights).filter(|(_, weight)| *weight > 0.0);
                let mean = |stats: &Array| stats.data[at] - stats.data[plane + at];
                stats.data[plane + at] = lse - seen.map(|((_, stats), w)| w * mean(stats)).sum::<f64>();
            }
        }
        vec![o, stats]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        // Rows that see nothing of one set or of both; lse and entropy of a few nats.
        let [o, stats] = self.outputs();
        let plane = self.batch * self.heads * self.seq_q;
        let mut part = |hidden: usize| {
            let stats = inputs::tame(rng, stats.clone(), 2.0);
            let lowest = |at: usize| at < plane && at.is_multiple_of(hidden);
            let stats = Array::from_fn(stats.shape.clone(), |at| match lowest(at) {
                true => f64::from(f32::MIN),
                false => Dtype::F32.round(stats.data[at].abs()),
            });
            (inputs::tame(rng, o.clone(), 1.0), stats)
        };
        let ((o_a, stats_a), (o_b, stats_b)) = (part(3), part(5));
        vec![o_a, stats_a, o_b, stats_b]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![cases::tolerance(elem, 1.0), cases::tolerance(Dtype::F32, 2.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        cases::forward().iter().map(Self::of).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let one = Self { batch: 1, heads: 12, seq_q: 32_760, head_dim: 128, entropy: false };
        vec![("wan-1.3b cross, 480p", one)]
    }

    fn work(&self) -> Work {
        let Self { batch, heads, seq_q, head_dim, .. } = *self;
        let n = (batch * heads * seq_q * head_dim) as f64;
        Work { flops: 3.0 * n, bytes: 12.0 * n }
    }
}

/// What one attention over the keys of all parts would have returned: parts of one shape, each from [`super::attention`].
///
/// # Errors
/// [`Error::Shape`] where a part differs in shape from the first, [`Error::Problem`] where there is none.
pub fn attention_merge(parts: &[AttentionOutput]) -> Result<AttentionOutput> {
    let [first, rest @ ..] = parts else {
        return Err(Error::problem(AttentionMerge::STEM, "there is nothing to merge"));
    };
    let (&[batch, seq_q, heads, head_dim], &[planes, ..]) = (first.o.dims(), first.stats.dims()) else {
        return Err(Error::problem(AttentionMerge::STEM, format!("o {} is not a result", first.o.shape())));
    };
    let kernel = AttentionMerge { batch, heads, seq_q, head_dim, entropy: planes == 2 };
    let context = first.o.context();
    let mut merged = first.clone();
    for part in rest {
        let o = Tensor::empty(context, first.o.shape().clone(), first.o.dtype())?;
        let stats = Tensor::empty(context, first.stats.shape().clone(), Dtype::F32)?;
        run(context, &kernel, &[&merged.o, &merged.stats, &part.o, &part.stats, &o, &stats])?;
        merged = AttentionOutput { o, stats };
    }
    Ok(merged)
}
