//! Does every invocation learn the sum and the maximum over its workgroup, or over its subgroup?
//!
//! Shapes: `x (n)`, `y (2, n)`: the sum, then the maximum, once for each element. Memory written: `y`.
//!
//! Errors: no element, or more than a workgroup passes over in a moment (2¹⁶).

use super::EXACT;
use crate::gpu::Caps;
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
use std::fmt;

/// Number of elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeLanes {
    /// Elements.
    pub n: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    n: u32,
}

impl fmt::Display for ProbeLanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe_lanes(n={})", self.n)
    }
}

impl Kernel for ProbeLanes {
    const STEM: &'static str = "probe_lanes";
    const SHADER: Source = wgsl!("probe/probe_lanes.wgsl");

    fn check(&self) -> Result<()> {
        if self.n == 0 || self.n > 1 << 16 {
            return Err(Error::problem(Self::STEM, format!("{self}: sizes are 1..65536")));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]).f32(), Slot::write("y", [2, self.n]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let workgroup = Variant::new(Dtype::F32, 64).module(wgsl!("shared/reduce.workgroup.wgsl"));
        let size = caps.subgroup.filter(|(low, high)| low == high).map(|(size, _)| size);
        let subgroup = size.map(|size| Variant { subgroup: true, ..Variant::new(Dtype::F32, size) });
        let subgroup = subgroup.map(|v| v.module(wgsl!("shared/reduce.subgroup.wgsl")));
        std::iter::once(workgroup).chain(subgroup).collect()
    }

    fn launch(&self, _caps: &Caps, _variant: &Variant) -> Launch {
        Launch::new(&Params { n: self.n as u32 }, [1, 1, 1])
    }

    fn work(&self) -> Work {
        Work { flops: 2.0 * self.n as f64, bytes: 12.0 * self.n as f64 }
    }
}

impl Verified for ProbeLanes {
    const FAMILY: &'static str = "probe";
    const SUMMARY: &'static str = "do workgroups and subgroups add and compare all of their lanes";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let largest = largest(x.data.iter().copied());
        let sum: f64 = x.data.iter().sum();
        vec![Array::from_fn([2, self.n], |i| if i < self.n { sum } else { largest })]
    }

    fn inputs(&self, _rng: &mut Pcg64) -> Vec<Array> {
        // The largest is the last; negative ones stand where a lane without elements would add zeros.
        let last = self.n - 1;
        vec![Array::from_fn([self.n], |i| if i == last { -1.0 } else { (i % 61) as f64 - 70.0 })]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![EXACT]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [1, 3, 64, 1001].map(|n| Self { n }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("driver self-test", Self { n: 1001 })]
    }
}
