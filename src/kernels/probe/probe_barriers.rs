//! Do barriers order workgroup memory?
//!
//! Shapes: `x, y (size)`. Memory written: `y`.
//!
//! Errors: a size outside 1..256, the invocations that every device has.

use super::EXACT;
use crate::gpu::Caps;
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
use std::fmt;

/// Workgroup and rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeBarriers {
    /// Invocations of the workgroup.
    pub size: usize,
    /// Times that every value is handed on.
    pub rounds: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rounds: u32,
}

impl fmt::Display for ProbeBarriers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe_barriers(size={},rounds={})", self.size, self.rounds)
    }
}

impl Kernel for ProbeBarriers {
    const STEM: &'static str = "probe_barriers";
    const SHADER: Source = wgsl!("probe/probe_barriers.wgsl");

    fn check(&self) -> Result<()> {
        if self.size == 0 || self.size > 256 {
            return Err(Error::problem(Self::STEM, format!("{self}: sizes are 1..256")));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.size]).f32(), Slot::write("y", [self.size]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, self.size.min(caps.max_invocations as usize) as u32)]
    }

    fn launch(&self, _caps: &Caps, _variant: &Variant) -> Launch {
        Launch::new(&Params { rounds: self.rounds as u32 }, [1, 1, 1])
    }

    fn work(&self) -> Work {
        Work { flops: 0.0, bytes: 8.0 * self.size as f64 }
    }
}

impl Verified for ProbeBarriers {
    const FAMILY: &'static str = "probe";
    const SUMMARY: &'static str = "do barriers order workgroup memory";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        vec![Array::from_fn([self.size], |i| x.data[(i + self.rounds) % self.size])]
    }

    fn inputs(&self, _rng: &mut Pcg64) -> Vec<Array> {
        vec![Array::from_fn([self.size], |i| (i * i) as f64)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![EXACT]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [(1, 3), (37, 40), (64, 100), (256, 11)].map(|(size, rounds)| Self { size, rounds }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("driver self-test", Self { size: 256, rounds: 100 })]
    }
}
