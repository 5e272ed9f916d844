//! Do numbers survive their storage type: infinities, NaN, the smallest and largest? And are they rounded to bf16 as this
//! crate says, to the nearest with ties to even? (To f16 the device rounds, and WGSL leaves it the direction.)
//!
//! Shapes: `x, y (n)`, both f32. `y` has ±2¹⁰⁰ for infinities and 2¹⁰¹ for NaN. Memory written: `y`.
//!
//! Errors: a number of elements that is no multiple of four.

use crate::gpu::Caps;
use crate::kernels::verified::*;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Dtype, Error, Result, wgsl};
use std::fmt;

/// Number of elements, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStorage {
    /// Elements.
    pub n: usize,
    /// Numbers halfway between two of bf16, and their neighbours, instead of those that every type holds; in bf16 only.
    pub ties: bool,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
}

/// An f32 halfway between two neighbours in bf16, or one step of f32 beside that, of either sign: the lower neighbour odd
/// and even in turn, over all exponents, the largest of which rounds to infinity.
fn near_tie(i: usize) -> f32 {
    const UPPER: [u32; 8] = [0x3f80, 0x3f81, 0x4049, 0x0081, 0x7f7f, 0x7f7e, 0x2b7f, 0x5500];
    let upper = UPPER.get(i / 3 % UPPER.len()).copied().unwrap_or_default();
    let sign = if (i / 3 / UPPER.len()).is_multiple_of(2) { 0 } else { 1 << 31 };
    f32::from_bits(sign | (upper << 16 | 0x8000).wrapping_add(i as u32 % 3).wrapping_sub(1))
}

impl fmt::Display for ProbeStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe_storage(n={}{})", self.n, if self.ties { ",ties" } else { "" })
    }
}

impl Kernel for ProbeStorage {
    const STEM: &'static str = "probe_storage";
    const SHADER: Source = wgsl!("probe/probe_storage.wgsl");

    fn check(&self) -> Result<()> {
        if self.n == 0 || !self.n.is_multiple_of(4) || self.n > 1 << 16 {
            return Err(Error::problem(
                Self::STEM,
                format!("{self}: sizes are multiples of four up to 65536"),
            ));
        }
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]).f32(), Slot::write("y", [self.n]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let pack = wgsl!("shared/pack.4.wgsl");
        let elems = elems(caps, 4).into_iter().filter(|elem| !self.ties || *elem == Dtype::Bf16);
        elems.map(|elem| Variant::new(elem, 8).module(pack)).collect()
    }

    fn launch(&self, _caps: &Caps, _variant: &Variant) -> Launch {
        let packs = (self.n / 4) as u32;
        Launch::new(&Params { packs }, [packs.div_ceil(8), 1, 1])
    }

    fn work(&self) -> Work {
        Work { flops: 0.0, bytes: 8.0 * self.n as f64 }
    }
}

impl Verified for ProbeStorage {
    const FAMILY: &'static str = "probe";
    const SUMMARY: &'static str = "do infinities, NaN and the smallest numbers survive their storage type";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let stored = |v: f64| if self.ties { Dtype::Bf16.round(v) } else { v };
        let shown = |v: f64| match stored(v) {
            v if v.is_nan() => 2f64.powi(101),
            v if v.is_infinite() => 2f64.powi(100).copysign(v),
            v => v,
        };
        vec![Array::from_fn([self.n], |i| shown(x.data[i]))]
    }

    fn inputs(&self, _rng: &mut Pcg64) -> Vec<Array> {
        if self.ties {
            return vec![Array::from_fn([self.n], |i| f64::from(near_tie(i)))];
        }
        // Each is exact in f16 and in bf16, or survives as itself: ±0, f16's smallest subnormal, smallest normal and
        // nearly largest number, both infinities, NaN.
        let special = [
            0.0,
            -0.0,
            2f64.powi(-24),
            -(2f64.powi(-14)),
            1.5,
            -65_280.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            1.0 + 2f64.powi(-7),
            -3.0,
            384.0,
        ];
        vec![Array::from_fn([self.n], |i| special[i % special.len()])]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // f16's subnormals may be flushed to zero: WGSL allows it. 2⁻²⁴ is the one among the inputs.
        let atol = if elem == Dtype::F16 { 6e-8 } else { 0.0 };
        let reason =
            "numbers that the type holds exactly, or whose rounding is ours; f16's smallest may become zero";
        vec![Tolerance { atol, rtol: 0.0, reason }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let cases = [(4, false), (36, false), (64, false), (4, true), (96, true)];
        cases.map(|(n, ties)| Self { n, ties }).into()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("driver self-test", Self { n: 64, ties: false })]
    }
}
