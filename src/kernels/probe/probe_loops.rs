//! Do long loops run to their end? Mesa's software rasteriser before 25 ends every shader after 65,535 back-edges, nested
//! ones counted together, without an error.
//!
//! Shapes: `ones (8)`, `y (2)`: steps of one loop, steps of two nested ones. Memory written: `y`.
//!
//! Errors: counts that f32 does not hold exactly (2²⁴).

use super::EXACT;
use crate::gpu::Caps;
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, lanes};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
use std::fmt;

/// How long the loops are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeLoops {
    /// Steps of the single loop.
    pub single: usize,
    /// Steps of the outer loop.
    pub outer: usize,
    /// Steps of the inner loop, for each of the outer.
    pub inner: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    single: u32,
    outer: u32,
    inner: u32,
}

impl fmt::Display for ProbeLoops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { single, outer, inner } = self;
        write!(f, "probe_loops(single={single},outer={outer},inner={inner})")
    }
}

impl Kernel for ProbeLoops {
    const STEM: &'static str = "probe_loops";
    const SHADER: Source = wgsl!("probe/probe_loops.wgsl");

    fn check(&self) -> Result<()> {
        let nested = self.outer.checked_mul(self.inner);
        if self.single > 1 << 24 || nested.is_none_or(|n| n > 1 << 24) {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: at most 2^24 steps, which f32 counts exactly"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("ones", [8]).u32(), Slot::write("y", [2]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, lanes(caps))]
    }

    fn launch(&self, _caps: &Caps, _variant: &Variant) -> Launch {
        let params =
            Params { single: self.single as u32, outer: self.outer as u32, inner: self.inner as u32 };
        Launch::new(&params, [1, 1, 1])
    }

    fn work(&self) -> Work {
        Work { flops: (self.single + self.outer * self.inner) as f64, bytes: 40.0 }
    }
}

impl Verified for ProbeLoops {
    const FAMILY: &'static str = "probe";
    const SUMMARY: &'static str = "do long loops run to their end";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [ones] = inputs else { return Vec::new() };
        let step = ones.data.first().copied().unwrap_or(0.0);
        let counts = [self.single, self.outer * self.inner];
        vec![Array::from_fn([2], |i| step * counts.get(i).copied().unwrap_or(0) as f64)]
    }

    fn inputs(&self, _rng: &mut Pcg64) -> Vec<Array> {
        vec![Array::from_fn([8], |_| 1.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![EXACT]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |single, outer, inner| Self { single, outer, inner };
        // The first two lie on both sides of 65,535; the last is nested past it.
        vec![case(65_000, 1, 1), case(200_000, 0, 7), case(1, 400, 300)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("driver self-test", Self { single: 200_000, outer: 400, inner: 300 })]
    }
}
