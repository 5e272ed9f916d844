//! `y = a ⊙ b`, element by element. Linear in `a`: the gradient by `a` is the product of `dy` and `b`.
//!
//! Shapes: `a, b, y` of any one shape and storage type. Memory written: `y`.
//!
//! Errors: shapes that differ, more than 2³¹ elements in one dispatch (the wrapper cuts larger tensors).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_len, each, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// Size of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "product(n={})", self.n)
    }
}

impl Kernel for Product {
    const STEM: &'static str = "product";
    const SHADER: Source = wgsl!("elementwise/product.wgsl");

    fn check(&self) -> Result<()> {
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("a", [self.n]), Slot::read("b", [self.n]), Slot::write("y", [self.n])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, pack(self.n)).into_iter().map(|elem| variant(caps, elem, self.n)).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        Launch::new(&Params { packs: packs as u32 }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let n = self.n as f64;
        Work { flops: n, bytes: 12.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for Product {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "product of two tensors, element by element";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [a, b] = inputs else { return Vec::new() };
        vec![map2(a, b, |a, b| a * b)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.n], 1.0), inputs::tame(rng, [self.n], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance::for_elem(elem, 1e-6, 1.0, "one rounded product")]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        Some(Gradient::linear(Self::STEM, |inputs, x| {
            let [dy, b] = inputs else { return f64::NAN };
            x.data.iter().zip(&b.data).zip(&dy.data).map(|((x, b), dy)| x * b * dy).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        [1, 0, 37, 64, 1001, 5000].map(|n| Self { n }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 clips of vision", Self { n: 16 * 501 * 128 })]
    }
}

/// Product of two tensors of one shape and storage type.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    each(&[a, b], |n| Product { n })
}
