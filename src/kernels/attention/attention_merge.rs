//! Attention over two sets of keys from attention over each, as if one softmax had passed over both.
//!
//! Shapes: both `o` and the result `(batch, seq_q, heads, head_dim)`; `stats` `(2 or 3, batch, heads, seq_q)` f32 as
//! `attention` leaves them. For keys that lie in several buffers (a ring of past frames and a condition), and for a few queries
//! over many keys, which are more parallel in parts. The backward needs nothing new: with the merged `o` and `stats`,
//! `attention_backward_delta`, `_dq` and `_dkv` of each part give its share of the gradient.
//!
//! Source: Liu et al. 2023 (ring attention), from Milakov & Gimelshein 2018.

use super::output::{AttentionOutput, OutputShape};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Merges the results of two sets of keys.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMerge(pub OutputShape);

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup: [u32; 3],
}

impl fmt::Display for AttentionMerge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_merge({})", self.0)
    }
}

impl Kernel for AttentionMerge {
    const STEM: &'static str = "attention_merge";
    const SHADER: Source = wgsl!("attention/attention_merge.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM, 2)
    }

    fn slots(&self) -> Vec<Slot> {
        let [o, stats] = self.0.dims();
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
        self.0.variants(caps)
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let [batch, heads, seq_q] = [self.0.batch, self.0.heads, self.0.seq_q].map(|n| n as u32);
        let params = Params { batch, heads, seq_q, first_workgroup: [0; 3] };
        Launch::new(&params, self.0.workgroups(variant))
            .in_cuts(0, std::mem::offset_of!(Params, first_workgroup))
    }

    fn work(&self) -> Work {
        let n = (self.0.plane() * self.0.head_dim) as f64;
        Work { flops: 3.0 * n, bytes: 12.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionMerge {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "attention over two sets of keys from attention over each";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [o_a, stats_a, o_b, stats_b] = inputs else { return Vec::new() };
        self.0.joined(&[[&o_a.data, &stats_a.data], [&o_b.data, &stats_b.data]])
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        // Rows that see nothing of one set or of both.
        [3, 5].iter().flat_map(|&hidden| self.0.inputs(hidden, rng)).collect()
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![cases::tolerance(elem, 1.0), cases::tolerance(Dtype::F32, 2.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        cases::outputs().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let shape = OutputShape { batch: 1, heads: 12, seq_q: 32_760, head_dim: 128, entropy: false };
        vec![("wan-1.3b cross, 480p", Self(shape))]
    }
}

/// What one attention over the keys of all parts would have returned: parts of one shape, each from
/// [`super::attention`]. They are merged in pairs, so a result is rounded as often as the number of parts has binary
/// digits. A part of which a row sees nothing does not matter to it, whatever its result holds.
///
/// # Errors
/// [`Error::Shape`] where a part differs in shape from the first, [`Error::Problem`] where there is none.
pub fn attention_merge(parts: &[AttentionOutput]) -> Result<AttentionOutput> {
    let [first, ..] = parts else {
        return Err(Error::problem(AttentionMerge::STEM, "there is nothing to merge"));
    };
    let (&[batch, seq_q, heads, head_dim], &[planes, ..]) = (first.o.dims(), first.stats.dims()) else {
        return Err(Error::problem(AttentionMerge::STEM, format!("o {} is not a result", first.o.shape())));
    };
    let kernel = AttentionMerge(OutputShape { batch, heads, seq_q, head_dim, entropy: planes == 3 });
    let context = first.o.context();
    let both = |a: &AttentionOutput, b: &AttentionOutput| {
        let o = Tensor::empty(context, first.o.shape().clone(), first.o.dtype())?;
        let stats = Tensor::empty(context, first.stats.shape().clone(), Dtype::F32)?;
        run(context, &kernel, &[&a.o, &a.stats, &b.o, &b.stats, &o, &stats])?;
        Ok(AttentionOutput { o, stats })
    };
    // Neighbours, then neighbouring pairs: a result is rounded as often as the number of parts has digits.
    let mut parts = parts.to_vec();
    while parts.len() > 1 {
        let pair = |pair: &[AttentionOutput]| match pair {
            [a, b] => both(a, b),
            alone => alone.first().cloned().ok_or_else(|| Error::problem(AttentionMerge::STEM, "no part")),
        };
        parts = parts.chunks(2).map(pair).collect::<Result<_>>()?;
    }
    parts.pop().ok_or_else(|| Error::problem(AttentionMerge::STEM, "there is nothing to merge"))
}
