//! What the temporal objective needs to know of a frame of a word's attention map, with `A` the frame's values and
//! `p = A / (Σ A + ε)`, `ε = 1e-10`: `sums = Σ A`, `entropies = −Σ p ln(p + ε)` and, for the gradient of the entropy,
//! `slopes = Σ p·(ln(p + ε) + p/(p + ε))`.
//!
//! Shapes: `map (groups, frames, tokens)`, attention probabilities, so not negative; `sums`, `entropies`, `slopes`
//! `(groups, frames)`; all f32. Memory written: the three tables.
//!
//! Errors: sizes of zero or a product above 2³².

use super::check_sizes;
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::{AdapterClass, Caps};
use crate::kernels::{CASCADE, GRID, Kernel, Launch, Slot, Variant, Work, grid, lanes};
use crate::shader::Source;
use crate::{Dtype, Result, wgsl};
use std::fmt;

/// Sizes of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemporalSignal {
    /// Groups of words.
    pub groups: usize,
    /// Latent frames.
    pub frames: usize,
    /// Tokens of a frame.
    pub tokens: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    tokens: u32,
}

impl fmt::Display for TemporalSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, frames, tokens } = self;
        write!(f, "temporal_signal(groups={groups},frames={frames},tokens={tokens})")
    }
}

impl Kernel for TemporalSignal {
    const STEM: &'static str = "temporal_signal";
    const SHADER: Source = wgsl!("temporal/temporal_signal.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, self.groups, self.frames, self.tokens)
    }

    fn slots(&self) -> Vec<Slot> {
        let table = [self.groups, self.frames];
        vec![
            Slot::read("map", [self.groups, self.frames, self.tokens]).f32(),
            Slot::write("sums", table).f32(),
            Slot::write("entropies", table).f32(),
            Slot::write("slopes", table).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let software = caps.class == AdapterClass::Software;
        let wide = if software { lanes(caps) } else { 256 };
        let workgroup = Variant::new(Dtype::F32, wide)
            .module(wgsl!("shared/reduce.workgroup.wgsl"))
            .module(GRID)
            .module(CASCADE);
        let Some((size, _)) = caps.subgroup.filter(|(low, high)| low == high) else { return vec![workgroup] };
        let subgroup = Variant::new(Dtype::F32, size)
            .module(wgsl!("shared/reduce.subgroup.wgsl"))
            .module(GRID)
            .module(CASCADE);
        let subgroup = Variant { subgroup: true, ..subgroup };
        // Barriers are dear on a CPU; on a GPU the few rows want as many invocations as a workgroup holds.
        if software { vec![subgroup, workgroup] } else { vec![workgroup, subgroup] }
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        let rows = self.groups * self.frames;
        Launch::new(&Params { rows: rows as u32, tokens: self.tokens as u32 }, grid(rows, caps))
    }

    fn work(&self) -> Work {
        let (rows, tokens) = ((self.groups * self.frames) as f64, self.tokens as f64);
        Work { flops: 12.0 * rows * tokens, bytes: 4.0 * rows * (tokens + 3.0) }
    }
}

#[cfg(feature = "verify")]
impl Verified for TemporalSignal {
    const FAMILY: &'static str = "temporal";
    const SUMMARY: &'static str = "sum and entropy of each frame of an attention map";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [map] = inputs else { return Vec::new() };
        let stats: Vec<[f64; 3]> = map.data.chunks(self.tokens).map(frame_stats).collect();
        (0..3).map(|i| Array::from_fn([self.groups, self.frames], |row| stats[row][i])).collect()
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let shape = [self.groups, self.frames, self.tokens];
        let mut map = inputs::uniform(rng, shape, 0.0, 1.0);
        for (i, v) in map.data.iter_mut().enumerate() {
            let (row, token) = (i / self.tokens, i % self.tokens);
            *v = match row % 5 {
                // Skewed, as probabilities are, with zeros in between.
                0 | 1 => {
                    if *v < 0.1 {
                        0.0
                    } else {
                        0.05 * v.powi(3)
                    }
                }
                // A single token, then nothing at all, then values that compete with ε.
                2 => {
                    if token == self.tokens / 2 {
                        1.0
                    } else {
                        0.0
                    }
                }
                3 => 0.0,
                _ => 1e-12 * *v,
            };
        }
        vec![map]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![
            Tolerance { atol: 1e-30, rtol: 1e-5, reason: "f32 sum of terms of one sign" },
            Tolerance {
                atol: 2e-5,
                rtol: 1e-5,
                reason: "f32 sum of terms up to ln(tokens), a logarithm of a few ulp",
            },
            Tolerance {
                atol: 2e-5,
                rtol: 1e-5,
                reason: "f32 sum of terms up to ln(tokens), a logarithm of a few ulp",
            },
        ]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |groups, frames, tokens| Self { groups, frames, tokens };
        vec![case(1, 1, 1), case(2, 5, 7), case(3, 21, 35), case(1, 5, 1560)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("wan-1.3b 480p, 2 groups", Self { groups: 2, frames: 21, tokens: 1560 })]
    }
}
