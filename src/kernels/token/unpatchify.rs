//! `x[c, f·pt + i, h·ph + j, w·pw + k] = y[token, feature]`: rows of patches back to a video.
//!
//! Shapes: `y (tokens, channels·pt·ph·pw)`; `x (channels, frames, height, width)`, as in `patchify`, whose inverse and
//! gradient this is. Memory written: `x`.
//!
//! Errors: sizes of zero or a product above 2³², an axis that its patch does not divide.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{PATCHES, PatchOrder, PatchParams, Patches};
use crate::gpu::Caps;
use crate::kernels::{GRID, Kernel, Launch, Slot, Variant, Work, elems, grid, lanes, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Sizes and order of the patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpatchify(pub Patches);

impl fmt::Display for Unpatchify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unpatchify({})", self.0)
    }
}

impl Kernel for Unpatchify {
    const STEM: &'static str = "unpatchify";
    const SHADER: Source = wgsl!("token/unpatchify.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("y", self.0.token_dims()), Slot::write("x", self.0.video_dims())]
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
impl Verified for Unpatchify {
    const FAMILY: &'static str = "token";
    const SUMMARY: &'static str = "rows of patches back to a video";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [y] = inputs else { return Vec::new() };
        vec![Array { shape: self.0.video_dims().into(), data: self.0.join(&y.data) }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, self.0.token_dims(), 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance { atol: 0.0, rtol: 0.0, reason: "a permutation of stored values" }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        // L(x) = Σ dtokens ⊙ patchify(x).
        let patches = self.0;
        Some(Gradient::linear("patchify", move |inputs, x| {
            patches.cut(&x.data).iter().zip(&inputs[0].data).map(|(y, d)| y * d).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        Patches::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        Patches::bench_cases().into_iter().map(|(name, patches)| (name, Self(patches))).collect()
    }
}

/// The video `(channels, frames, height, width)` of rows of patches `y (tokens, channels·pt·ph·pw)`.
pub fn unpatchify(y: &Tensor, patches: Patches) -> Result<Tensor> {
    patches.check(Unpatchify::STEM)?;
    let x = Tensor::empty(y.context(), patches.video_dims(), y.dtype())?;
    run(y.context(), &Unpatchify(patches), &[y, &x])?;
    Ok(x)
}
