//! `y[i] = x[i] / (1 − p)` where the number drawn for `i` is at least `p`, else 0. The number is a hash of seed, stream
//! and `i` (PCG's output permutation): no state, the same on every adapter. The gradient by `x` is the same kernel on
//! `dy`.
//!
//! Shapes: `x, y` of any one shape. Memory written: `y`.
//!
//! Errors: a probability outside 0 ≤ p < 1, more than 2³¹ elements.
//!
//! Source: Srivastava et al. 2014; the hash is that of O'Neill 2014 as Jarzynski & Olano 2020 recommend it.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_len, groups_for, variant};
use crate::gpu::Caps;
use crate::kernels::splits::pieces;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems, run};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Which numbers are drawn: every use of dropout in a step has a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Seed of the step.
    pub seed: u32,
    /// Number of the use within it.
    pub use_number: u32,
}

/// Size, probability and stream of a dropout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Elements.
    pub n: usize,
    /// Number of the first of them in the whole tensor.
    pub first: usize,
    /// Share that becomes 0.
    pub p: f32,
    /// Numbers.
    pub stream: Stream,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u32,
    first: u32,
    key: u32,
    threshold: u32,
    scale: f32,
}

impl fmt::Display for Dropout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, first, p, stream: Stream { seed, use_number } } = self;
        write!(f, "dropout(n={n},first={first},p={p},seed={seed},use={use_number})")
    }
}

fn scramble(v: u32) -> u32 {
    let state = v.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

impl Dropout {
    fn key(&self) -> u32 {
        scramble(self.stream.seed ^ scramble(self.stream.use_number.wrapping_add(0x9e37_79b9)))
    }

    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    fn scale(&self) -> f64 {
        1.0 / (1.0 - f64::from(self.p))
    }

    #[cfg(feature = "verify")]
    fn factor(&self, i: usize) -> f64 {
        let drawn = scramble(scramble((self.first + i) as u32) ^ self.key());
        if drawn >= self.threshold() { self.scale() } else { 0.0 }
    }
}

impl Kernel for Dropout {
    const STEM: &'static str = "dropout";
    const SHADER: Source = wgsl!("elementwise/dropout.wgsl");

    fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.p) {
            return Err(Error::problem(Self::STEM, format!("probability {}: 0 ≤ p < 1 is needed", self.p)));
        }
        check_len(Self::STEM, self.n.saturating_add(self.first))
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::read("x", [self.n]), Slot::write("y", [self.n])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        elems(caps, 1).into_iter().map(|elem| variant(caps, elem, 1)).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let params = Params {
            count: self.n as u32,
            first: self.first as u32,
            key: self.key(),
            threshold: self.threshold(),
            scale: self.scale() as f32,
        };
        Launch::new(&params, groups_for(self.n, caps, variant))
    }

    fn work(&self) -> Work {
        let n = self.n as f64;
        Work { flops: 12.0 * n, bytes: 8.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for Dropout {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "dropout by a counter-based generator, the same on every adapter";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        vec![Array::from_fn([self.n], |i| x.data[i] * self.factor(i))]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        vec![inputs::normal(rng, [self.n], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        vec![Tolerance::for_elem(elem, 1e-6, 1.0, "one rounded product; the mask is exact")]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let problem = *self;
        Some(Gradient::linear(Self::STEM, move |inputs, x| {
            let [dy] = inputs else { return f64::NAN };
            (0..problem.n).map(|i| problem.factor(i) * x.data[i] * dy.data[i]).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |n, first, p, seed, use_number| Self { n, first, p, stream: Stream { seed, use_number } };
        vec![
            case(1, 0, 0.5, 1, 0),
            case(0, 0, 0.5, 1, 0),
            case(37, 0, 0.0, 7, 1),
            case(1001, 64, 0.1, 12, 3),
            case(5000, 0, 0.5, u32::MAX, 40),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        let stream = Stream { seed: 1, use_number: 0 };
        vec![("dashfusion 16 clips of vision", Self { n: 16 * 501 * 128, first: 0, p: 0.5, stream })]
    }
}

/// Dropout of every element with probability `p`; the gradient is the same call on the gradient by its result.
pub fn dropout(x: &Tensor, p: f32, stream: Stream) -> Result<Tensor> {
    let (context, n) = (x.context(), x.len());
    let y = Tensor::empty(context, x.shape().clone(), x.dtype())?;
    let (from, to) = (x.reshape([n])?, y.reshape([n])?);
    for piece in pieces(context.caps(), n, x.dtype().size(), 1) {
        let problem = Dropout { n: piece.rows, first: piece.row, p, stream };
        run(context, &problem, &[&from.narrow(piece.row, piece.rows)?, &to.narrow(piece.row, piece.rows)?])?;
    }
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_zeros_is_p_and_streams_differ() {
        let of =
            |seed, use_number| Dropout { n: 100_000, first: 0, p: 0.3, stream: Stream { seed, use_number } };
        let mask = |d: Dropout| (0..d.n).map(|i| d.factor(i) > 0.0).collect::<Vec<_>>();
        let kept = |m: &[bool]| m.iter().filter(|&&k| k).count() as f64 / m.len() as f64;
        let (a, b, c) = (mask(of(1, 0)), mask(of(1, 1)), mask(of(2, 0)));
        for m in [&a, &b, &c] {
            // Five standard deviations of a mean over 100,000 draws.
            assert!((kept(m) - 0.7).abs() < 5.0 * (0.21f64 / 1e5).sqrt(), "{}", kept(m));
        }
        let agree = |x: &[bool], y: &[bool]| x.iter().zip(y).filter(|(x, y)| x == y).count() as f64 / 1e5;
        for other in [&b, &c] {
            // Independent masks agree at 0.7² + 0.3².
            assert!((agree(&a, other) - 0.58).abs() < 0.01, "{}", agree(&a, other));
        }
    }
}
