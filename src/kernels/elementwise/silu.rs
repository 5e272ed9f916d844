//! `y = silu(x) = x / (1 + exp(−x))`.
//!
//! Shapes: `x, y` of any one shape. Memory written: `y`.
//!
//! Errors: more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, LOGISTIC, check_len, each, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Size of a silu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silu {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for Silu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "silu(n={})", self.n)
    }
}

impl Kernel for Silu {
    const STEM: &'static str = "silu";
    const SHADER: Source = wgsl!("elementwise/silu.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]), Slot::write("y", [self.n])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let of = |elem| variant(caps, elem, self.n).module(BETWEEN).module(LOGISTIC);
        elems(caps, pack(self.n)).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        Launch::new(&Params { packs: packs as u32 }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let n = self.n as f64;
        Work { flops: 5.0 * n, bytes: 8.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for Silu {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "silu";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        // Down to the limit at −∞.
        vec![map(x, |x| x.clamp(-800.0, f64::INFINITY) * logistic(x))]
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
        // The time embedding of a step, and a stage of the video decoder.
        vec![
            ("wan-1.3b time embedding", Self { n: 1536 }),
            ("wan vae 384x41x120x208", Self { n: 384 * 41 * 120 * 208 }),
        ]
    }
}

/// Silu of every element. Below −80 the result is 0 to within 2e-33, at −∞ too; NaN stays NaN.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    each(&[x], |n| Silu { n })
}
