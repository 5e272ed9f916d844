//! `y[token, feature] = x[c, f·pt + i, h·ph + j, w·pw + k]`: a video as rows of patches.
//!
//! Shapes: `x (channels, frames, height, width)`; `y (tokens, channels·pt·ph·pw)` with tokens row-major over
//! `(frames/pt, height/ph, width/pw)` and features `(c, i, j, k)` or `(i, j, k, c)`, see [`PatchOrder`]. Memory written:
//! `y`. A permutation: its gradient is `unpatchify` of the same patches.
//!
//! Errors: sizes of zero or a product above 2³², an axis that its patch does not divide.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{PATCHES, PatchOrder, PatchParams, Patches};
use crate::gpu::Caps;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Sizes and order of the patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patchify(pub Patches);

impl fmt::Display for Patchify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "patchify({})", self.0)
    }
}

impl Kernel for Patchify {
    const STEM: &'static str = "patchify";
    const SHADER: Source = wgsl!("token/patchify.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", self.0.video_dims()), Slot::write("y", self.0.token_dims())]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let channel_first = self.0.order == PatchOrder::ChannelFirst;
        let variant = |elem| {
            Variant::new(elem, lanes(caps)).module(GRID).module(PATCHES).flag("CHANNEL_FIRST", channel_first)
        };
        elems(caps, 1).into_iter().map(variant).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let elements: usize = self.0.video_dims().iter().product();
        let workgroups = elements.div_ceil(variant.number("WG_SIZE").max(1) as usize);
        Launch::new(&PatchParams::of(&self.0), grid(workgroups, caps))
    }

    fn work(&self) -> Work {
        let elements: usize = self.0.video_dims().iter().product();
        Work { flops: 0.0, bytes: 8.0 * elements as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for Patchify {
    const FAMILY: &'static str = "token";
    const SUMMARY: &'static str = "a video as rows of patches, in either order of features";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        vec![Array { shape: self.0.token_dims().into(), data: self.0.cut(&x.data) }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, self.0.video_dims(), 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "a permutation of stored values" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        // x ↦ unpatchify(x) has this kernel as its gradient: L(x) = Σ dvideo ⊙ unpatchify(x).
        let patches = self.0;
        Some(Gradient::linear("unpatchify", move |inputs, x| {
            patches.join(&x.data).iter().zip(&inputs[0].data).map(|(x, d)| x * d).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        Patches::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        Patches::bench_cases().into_iter().map(|(name, patches)| (name, Self(patches))).collect()
    }
}

/// Patches of a video `x (channels, frames, height, width)` as rows: `(tokens, channels·pt·ph·pw)`.
pub fn patchify(x: &Tensor, patch: [usize; 3], order: PatchOrder) -> Result<Tensor> {
    let &[channels, frames, height, width] = x.dims() else {
        return Err(Error::problem(
            Patchify::STEM,
            format!("x {} is not (channels, frames, height, width)", x.shape()),
        ));
    };
    let patches = Patches { channels, frames, height, width, patch, order };
    patches.check(Patchify::STEM)?;
    let y = Tensor::empty(x.context(), patches.token_dims(), x.dtype())?;
    run(x.context(), &Patchify(patches), &[x, &y])?;
    Ok(y)
}
