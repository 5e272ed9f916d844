//! `y = gelu(gate) x`, tanh form: the gate of UMT5's feed-forward.
//!
//! Shapes: `gate, x, y` of any one shape. Memory written: `y`.
//!
//! Errors: more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors); `gate` and `x` of different shapes.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU, check_len, each, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Size of a gelu gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geglu {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for Geglu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "geglu(n={})", self.n)
    }
}

impl Kernel for Geglu {
    const STEM: &'static str = "geglu";
    const SHADER: Source = wgsl!("elementwise/geglu.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("gate", [self.n]), Slot::read("x", [self.n]), Slot::write("y", [self.n])]
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
        Work { flops: 13.0 * n, bytes: 12.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for Geglu {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "gelu of a gate times a value";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [gate, x] = inputs else { return Vec::new() };
        vec![map2(gate, x, |gate, x| gelu_of(gate) * x)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut gate = inputs::normal(rng, [self.n], 3.0);
        add_tails(&mut gate);
        vec![gate, inputs::tame(rng, [self.n], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp, times x";
        vec![Tolerance::for_elem(elem, 1e-5, 2.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [1, 0, 37, 64, 1001, 5000].map(|n| Self { n }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("umt5-xxl 512 tokens", Self { n: 512 * 10_240 })]
    }
}

/// `gelu(gate) x`, element by element, of two tensors of one shape; the gate as in [`gelu`](super::gelu()).
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn geglu(gate: &Tensor, x: &Tensor) -> Result<Tensor> {
    each(&[gate, x], |n| Geglu { n })
}
