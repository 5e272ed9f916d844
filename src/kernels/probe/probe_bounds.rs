//! Does a read past the end of a binding give 0, an element of it, or what lies right behind, and nothing else?
//!
//! Shapes: `x` (n, rounded up to four), all sevens; `y (n)`. Memory written: `y`.
//!
//! Errors: no element, or a read farther than 64 elements behind the last.

use super::EXACT;
use crate::gpu::Caps;
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
use std::fmt;

/// Size and distance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeBounds {
    /// Elements.
    pub n: usize,
    /// How far past the end; beyond the 16 bytes that a binding is rounded up to,
    /// within the guard that a trial puts behind it.
    pub far: usize,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    n: u32,
    far: u32,
}

impl fmt::Display for ProbeBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe_bounds(n={},far={})", self.n, self.far)
    }
}

impl Kernel for ProbeBounds {
    const STEM: &'static str = "probe_bounds";
    const SHADER: Source = wgsl!("probe/probe_bounds.wgsl");

    fn check(&self) -> Result<()> {
        // The last invocation reads at 2 n − 1 + far.
        if self.n == 0 || self.n.saturating_add(self.far) > 64 {
            return Err(Error::problem(Self::STEM, format!("{self}: n is at least 1, n + far at most 64")));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        // A binding ends on 16 bytes, and so does this one: what lies behind it is no element.
        let whole = self.n.next_multiple_of(4);
        vec![Slot::read("x", [whole]).f32(), Slot::write("y", [self.n]).f32()]
    }

    fn variants(&self, _caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, 64)]
    }

    fn launch(&self, _caps: &Caps, _variant: &Variant) -> Launch {
        Launch::new(&Params { n: self.n as u32, far: self.far as u32 }, [1, 1, 1])
    }

    fn work(&self) -> Work {
        Work { flops: 0.0, bytes: 8.0 * self.n as f64 }
    }
}

impl Verified for ProbeBounds {
    const FAMILY: &'static str = "probe";
    const SUMMARY: &'static str = "do reads past the end stay inside";

    fn reference(&self, _inputs: &[Array]) -> Vec<Array> {
        vec![Array::from_fn([self.n], |_| 1.0)]
    }

    fn inputs(&self, _rng: &mut Pcg64) -> Vec<Array> {
        vec![Array::from_fn([self.n.next_multiple_of(4)], |_| 7.0)]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        vec![EXACT]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        [(1, 16), (17, 20), (32, 31)].map(|(n, far)| Self { n, far }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("driver self-test", Self { n: 32, far: 31 })]
    }
}
