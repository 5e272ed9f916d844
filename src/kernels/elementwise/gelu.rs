//! `y = gelu(x) = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`: the tanh form, as in Wan.
//!
//! Shapes: `x, y` of any one shape. Memory written: `y`.
//!
//! Errors: more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU, check_len, each, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Size of a gelu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gelu {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for Gelu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gelu(n={})", self.n)
    }
}

impl Kernel for Gelu {
    const STEM: &'static str = "gelu";
    const SHADER: Source = wgsl!("elementwise/gelu.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]), Slot::write("y", [self.n])]
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
        Work { flops: 12.0 * n, bytes: 8.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for Gelu {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "gelu, tanh form";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        vec![map(x, gelu_of)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.n], 3.0);
        add_tails(&mut x);
        vec![x]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp, its quotient by 2.5";
        vec![Tolerance::for_elem(elem, 1e-5, 1.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [1, 0, 37, 64, 1001, 5000].map(|n| Self { n }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("wan-1.3b frame", Self { n: 1560 * 8960 }), ("wan-1.3b 480p", Self { n: 32_760 * 8960 })]
    }
}

/// Gelu of every element, tanh form. Below −20 the result is 0 to within 2e-33, at −∞ too; NaN stays NaN.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    each(&[x], |n| Gelu { n })
}
