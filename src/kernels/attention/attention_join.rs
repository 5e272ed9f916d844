//! Attention over all keys from attention over parts of them that one dispatch left side by side.
//!
//! Shapes: `o_parts` `(parts, batch, seq_q, heads, head_dim)`, `stats_parts` `(2 or 3, parts, batch, heads, seq_q)` f32 as
//! `attention` leaves them; `o` and `stats` the same without `parts`. `attention_merge` is for results in buffers of their own.
//!
//! Source: Dao et al. 2023 (flash decoding), from Milakov & Gimelshein 2018.

use super::output::{AttentionOutput, OutputShape};
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Error, Result, Tensor, wgsl};
use std::fmt;

/// Joins the results of parts of the keys.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionJoin {
    /// Parts of the keys.
    pub parts: usize,
    /// Results of each, and of all.
    pub output: OutputShape,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    parts: u32,
    batch: u32,
    heads: u32,
    seq_q: u32,
    first_workgroup: [u32; 3],
}

impl fmt::Display for AttentionJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attention_join(parts={},{})", self.parts, self.output)
    }
}

impl AttentionJoin {
    fn parts_dims(&self) -> [Vec<usize>; 2] {
        let [mut o, mut stats] = self.output.dims();
        o.insert(0, self.parts);
        stats.insert(1, self.parts);
        [o, stats]
    }
}

impl Kernel for AttentionJoin {
    const STEM: &'static str = "attention_join";
    const SHADER: Source = wgsl!("attention/attention_join.wgsl");

    fn check(&self) -> Result<()> {
        self.output.check(Self::STEM, self.parts)
    }

    fn slots(&self) -> Vec<Slot> {
        let [o_parts, stats_parts] = self.parts_dims();
        let [o, stats] = self.output.dims();
        vec![
            Slot::read("o_parts", o_parts),
            Slot::read("stats_parts", stats_parts).f32(),
            Slot::write("o", o),
            Slot::write("stats", stats).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.output.variants(caps)
    }

    fn launch(&self, _caps: &Caps, variant: &Variant) -> Launch {
        let OutputShape { batch, heads, seq_q, .. } = self.output;
        let [parts, batch, heads, seq_q] = [self.parts, batch, heads, seq_q].map(|n| n as u32);
        let params = Params { parts, batch, heads, seq_q, first_workgroup: [0; 3] };
        Launch::new(&params, self.output.workgroups(variant))
            .in_cuts(0, std::mem::offset_of!(Params, first_workgroup))
    }

    fn work(&self) -> Work {
        let n = (self.output.plane() * self.output.head_dim) as f64;
        let parts = self.parts as f64;
        Work { flops: 2.0 * parts * n, bytes: 4.0 * (parts + 1.0) * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for AttentionJoin {
    const FAMILY: &'static str = "attention";
    const SUMMARY: &'static str = "attention over all keys from attention over parts of them";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [o, stats] = inputs else { return Vec::new() };
        let plane = self.output.plane();
        let of_part = |part: usize| -> Vec<f64> {
            let planes = stats.data.chunks(plane).skip(part).step_by(self.parts);
            planes.flatten().copied().collect()
        };
        let stats: Vec<_> = (0..self.parts).map(of_part).collect();
        let parts: Vec<_> =
            o.data.chunks(plane * self.output.head_dim).zip(&stats).map(|(o, s)| [o, s]).collect();
        self.output.joined(&parts)
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        // Rows that see nothing of one part, of some, or of any.
        let parts: Vec<_> = (0..self.parts).map(|part| self.output.inputs(2 + part % 3, rng)).collect();
        let plane = self.output.plane();
        let [o, stats] = self.parts_dims();
        let each = plane * self.output.head_dim;
        vec![
            Array::from_fn(o, |at| parts[at / each][0].data[at % each]),
            Array::from_fn(stats, |at| {
                let (n, part, row) = (at / plane / self.parts, at / plane % self.parts, at % plane);
                parts[part][1].data[n * plane + row]
            }),
        ]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![cases::tolerance(elem, 1.0), cases::tolerance(Dtype::F32, 2.0)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let few = cases::in_parts().into_iter().map(|(parts, p)| Self { parts, output: OutputShape::of(&p) });
        let whole = cases::outputs().into_iter().take(2).map(|output| Self { parts: 1, output });
        whole.chain(few).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let output = OutputShape { batch: 1, heads: 28, seq_q: 1, head_dim: 128, entropy: false };
        vec![("qwen2.5-vl-7b, one token", Self { parts: 21, output })]
    }
}

/// What one attention over the keys of all parts would have returned, from `o (parts, batch, seq_q, heads, head_dim)`
/// and `stats` `(2 or 3, parts, batch, heads, seq_q)`. A part of which a row sees nothing does not matter to it, whatever
/// its result holds.
///
/// # Errors
/// [`Error::Problem`] where the tensors are not results of parts, [`Error::Shape`] where they do not belong together.
pub fn attention_join(o: &Tensor, stats: &Tensor) -> Result<AttentionOutput> {
    let (&[parts, batch, seq_q, heads, head_dim], &[planes, ..]) = (o.dims(), stats.dims()) else {
        return Err(Error::problem(AttentionJoin::STEM, format!("o {} is not results of parts", o.shape())));
    };
    let output = OutputShape { batch, heads, seq_q, head_dim, entropy: planes == 3 };
    let kernel = AttentionJoin { parts, output };
    kernel.check()?;
    let [of_o, of_stats] = output.dims();
    let joined = AttentionOutput {
        o: Tensor::empty(o.context(), of_o, o.dtype())?,
        stats: Tensor::empty(o.context(), of_stats, Dtype::F32)?,
    };
    run(o.context(), &kernel, &[o, stats, &joined.o, &joined.stats])?;
    Ok(joined)
}
