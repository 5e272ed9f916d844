//! `dx = dy gelu'(x)`, tanh form: with `t = tanh(u)` the slope is `(1 + t) / 2 + x (1 − t²) u' / 2`.
//!
//! Shapes: `x, dy, dx` of any one shape. Memory written: `dx`.
//!
//! Errors: more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors); `x` and `dy` of different shapes.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU, check_len, each, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Size of a gelu's gradient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeluBackward {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for GeluBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gelu_backward(n={})", self.n)
    }
}

impl Kernel for GeluBackward {
    const STEM: &'static str = "gelu_backward";
    const SHADER: Source = wgsl!("elementwise/gelu_backward.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]), Slot::read("dy", [self.n]), Slot::write("dx", [self.n])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, pack(self.n))
            .into_iter()
            .map(|elem| variant(caps, elem, self.n).module(BETWEEN).module(GELU))
            .collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        Launch::new(&Params { packs: packs as u32 }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let n = self.n as f64;
        Work { flops: 20.0 * n, bytes: 12.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for GeluBackward {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "gradient of gelu by its input";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, dy] = inputs else { return Vec::new() };
        vec![map2(x, dy, |x, dy| dy * gelu_slope(x))]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.n], 3.0);
        add_tails(&mut x);
        vec![x, inputs::normal(rng, [self.n], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp, times an outlier of dy";
        vec![Tolerance::for_elem(elem, 1e-5, 2.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        Some(Gradient::of("gelu", vec![(0, 0)], |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            x.data.iter().zip(&dy.data).map(|(&x, &dy)| dy * gelu_of(x)).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        [1, 0, 37, 64, 1001, 5000].map(|n| Self { n }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("wan-1.3b frame", Self { n: 1560 * 8960 }), ("wan-1.3b 480p", Self { n: 32_760 * 8960 })]
    }
}

/// Gradient of [`gelu`](super::gelu()) by `x` from the gradient `dy` by its result; beyond ±20 the slope is 0 or 1.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn gelu_backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    each(&[x, dy], |n| GeluBackward { n })
}
