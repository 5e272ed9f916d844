//! `dmap = dsums + dentropies · (slopes − q) / (sums + ε)` with `p = map / (sums + ε)`, `q = ln(p + ε) + p/(p + ε)` and
//! `ε = 1e-10`: the exact gradient of `temporal_signal`'s sums and entropies.
//!
//! Shapes: `map`, `dmap (groups, frames, tokens)`; `sums`, `slopes`, `dsums`, `dentropies (groups, frames)`; all f32.
//! Memory written: `dmap`.
//!
//! Errors: sizes of zero or a product above 2³².

use super::check_sizes;
#[cfg(feature = "verify")]
use super::verified::*;
use crate::gpu::Caps;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, grid, lanes};
use crate::shader::Source;
use crate::{Dtype, Result, wgsl};
use std::fmt;

/// Sizes of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemporalSignalBackward {
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
    elements: u32,
    tokens: u32,
}

impl fmt::Display for TemporalSignalBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { groups, frames, tokens } = self;
        write!(f, "temporal_signal_backward(groups={groups},frames={frames},tokens={tokens})")
    }
}

impl TemporalSignalBackward {
    fn elements(&self) -> usize {
        self.groups * self.frames * self.tokens
    }
}

impl Kernel for TemporalSignalBackward {
    const STEM: &'static str = "temporal_signal_backward";
    const SHADER: Source = wgsl!("temporal/temporal_signal_backward.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, self.groups, self.frames, self.tokens)
    }

    fn slots(&self) -> Vec<Slot> {
        let (map, table) = ([self.groups, self.frames, self.tokens], [self.groups, self.frames]);
        vec![
            Slot::read("map", map).f32(),
            Slot::read("sums", table).f32(),
            Slot::read("slopes", table).f32(),
            Slot::read("dsums", table).f32(),
            Slot::read("dentropies", table).f32(),
            Slot::write("dmap", map).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, lanes(caps)).module(GRID)]
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let params = Params { elements: self.elements() as u32, tokens: self.tokens as u32 };
        Launch::new(&params, grid(self.elements().div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let (rows, tokens) = ((self.groups * self.frames) as f64, self.tokens as f64);
        Work { flops: 10.0 * rows * tokens, bytes: 4.0 * rows * (2.0 * tokens + 4.0) }
    }
}

#[cfg(feature = "verify")]
impl Verified for TemporalSignalBackward {
    const FAMILY: &'static str = "temporal";
    const SUMMARY: &'static str = "gradient of each frame's sum and entropy by the attention map";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [map, sums, slopes, dsums, dentropies] = inputs else { return Vec::new() };
        let dmap = Array::from_fn(map.shape.clone(), |i| {
            let row = i / self.tokens;
            let total = sums.data[row] + EPS_ENTROPY;
            let p = map.data[i] / total;
            let q = (p + EPS_ENTROPY).ln() + p / (p + EPS_ENTROPY);
            dsums.data[row] + dentropies.data[row] * (slopes.data[row] - q) / total
        });
        vec![dmap]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let table = [self.groups, self.frames];
        // Positive with room below, since finite differences move every value; frames differ in scale.
        let mut map = inputs::uniform(rng, [self.groups, self.frames, self.tokens], 0.05, 1.0);
        for (i, v) in map.data.iter_mut().enumerate() {
            *v *= 1.0 + (i / self.tokens % 3) as f64;
        }
        let stats: Vec<[f64; 3]> = map.data.chunks(self.tokens).map(frame_stats).collect();
        let column = |i: usize| Array::from_fn(table, |row| stats[row][i]);
        let (sums, slopes) = (column(0), column(2));
        vec![map, sums, slopes, inputs::normal(rng, table, 0.1), inputs::normal(rng, table, 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        // A coefficient of up to 60 times a logarithm's absolute error, over the frame's sum.
        let scale = 60.0 / (0.5 * self.tokens as f64).max(0.05);
        vec![Tolerance {
            atol: 4e-6 * scale,
            rtol: 1e-5,
            reason: "the difference of two f32 logarithms up to ln(tokens)",
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let tokens = self.tokens;
        Some(Gradient::of("temporal_signal", vec![(0, 0)], move |inputs| {
            let [map, _, _, dsums, dentropies] = inputs else { return f64::NAN };
            let frames = map.data.chunks(tokens).map(frame_stats);
            let gradients = dsums.data.iter().zip(&dentropies.data);
            frames.zip(gradients).map(|([sum, entropy, _], (ds, dh))| ds * sum + dh * entropy).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |groups, frames, tokens| Self { groups, frames, tokens };
        vec![case(1, 1, 1), case(2, 5, 7), case(3, 21, 35), case(1, 3, 1560)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("wan-1.3b 480p, 2 groups", Self { groups: 2, frames: 21, tokens: 1560 })]
    }
}
