//! `y = gelu(x) = x erfc(−x / √2) / 2`: the exact form, as in BERT and torch's default.
//!
//! Shapes: `x, y` of any one shape. Memory written: `y`.
//!
//! Errors: more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU_ERF, check_len, each, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Size of a gelu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeluErf {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for GeluErf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gelu_erf(n={})", self.n)
    }
}

impl Kernel for GeluErf {
    const STEM: &'static str = "gelu_erf";
    const SHADER: Source = wgsl!("elementwise/gelu_erf.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]), Slot::write("y", [self.n])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, pack(self.n))
            .into_iter()
            .map(|elem| variant(caps, elem, self.n).module(BETWEEN).module(GELU_ERF))
            .collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        Launch::new(&Params { packs: packs as u32 }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let n = self.n as f64;
        Work { flops: 12.0 * n, bytes: 8.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for GeluErf {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "gelu, erf form";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        vec![map(x, gelu_erf_of)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.n], 3.0);
        add_tails(&mut x);
        vec![x]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "a fit of erfc to 9e-8, WGSL's exp errs by 3 + 2|x| ulp";
        vec![Tolerance::for_elem(elem, 1e-5, 1.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [1, 0, 37, 64, 1001, 5000].map(|n| Self { n }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("bert-base 16 texts of 39", Self { n: 16 * 39 * 3072 })]
    }
}

/// Gelu of every element, erf form. Below −20 the result is 0 to within 2e-33, at −∞ too; NaN stays NaN.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    each(&[x], |n| GeluErf { n })
}
