//! `y = Σ weight_k input_k` over one to four inputs: guidance, sampler steps, residual sums.
//!
//! Shapes: inputs and `y` of any one shape and storage type. Memory written: `y`.
//!
//! Errors: no input or more than four, shapes that differ, a weight that is not finite, more than 2³¹ elements in one
//! dispatch (the wrapper cuts larger tensors).

use super::pointwise::each_as;
#[cfg(feature = "verify")]
use super::verified::*;
use super::{check_len, groups_for, pack, variant};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, elems};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// Size and weights of a sum; the number of weights is the number of inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedSum {
    /// Elements.
    pub n: usize,
    /// Weight of each input.
    pub weights: Vec<f32>,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    packs: u32,
    weights: [f32; 4],
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

impl fmt::Display for WeightedSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, weights } = self;
        write!(f, "weighted_sum(n={n}")?;
        NAMES.iter().zip(weights).try_for_each(|(name, weight)| write!(f, ",{name}={weight}"))?;
        write!(f, ")")
    }
}

impl Kernel for WeightedSum {
    const STEM: &'static str = "weighted_sum";
    const SHADER: Source = wgsl!("elementwise/weighted_sum.wgsl");

    fn check(&self) -> Result<()> {
        if !(1..=NAMES.len()).contains(&self.weights.len()) {
            return Err(Error::problem(
                Self::STEM,
                format!("{} inputs; one to four are taken", self.weights.len()),
            ));
        }
        if let Some(weight) = self.weights.iter().find(|w| !w.is_finite()) {
            return Err(Error::problem(Self::STEM, format!("weight {weight} is not finite")));
        }
        check_len(Self::STEM, self.n)
    }

    fn slots(&self) -> Vec<Slot> {
        let inputs = NAMES.iter().take(self.weights.len()).map(|&name| Slot::read(name, [self.n]));
        inputs.chain([Slot::write("y", [self.n])]).collect()
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        let terms = match self.weights.len() {
            1 => wgsl!("elementwise/terms/1.wgsl"),
            2 => wgsl!("elementwise/terms/2.wgsl"),
            3 => wgsl!("elementwise/terms/3.wgsl"),
            _ => wgsl!("elementwise/terms/4.wgsl"),
        };
        let of = |elem| variant(caps, elem, self.n).with("INPUTS", self.weights.len()).module(terms);
        elems(caps, pack(self.n)).into_iter().map(of).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let packs = self.n / pack(self.n);
        let mut weights = [0.0; 4];
        weights.iter_mut().zip(&self.weights).for_each(|(to, from)| *to = *from);
        Launch::new(&Params { packs: packs as u32, weights }, groups_for(packs, caps, variant))
    }

    fn work(&self) -> Work {
        let (n, inputs) = (self.n as f64, self.weights.len() as f64);
        Work { flops: 2.0 * inputs * n, bytes: 4.0 * (inputs + 1.0) * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for WeightedSum {
    const FAMILY: &'static str = "elementwise";
    const SUMMARY: &'static str = "weighted sum of one to four tensors";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let total = |i: usize| self.weights.iter().zip(inputs).map(|(&w, x)| f64::from(w) * x.data[i]).sum();
        vec![Array::from_fn([self.n], total)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        self.weights.iter().map(|_| inputs::normal(rng, [self.n], 1.0)).collect()
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let largest = self.weights.iter().fold(0.0f64, |m, w| m.max(f64::from(w.abs())));
        let reason = "up to four products that may cancel, at outliers";
        vec![Tolerance::for_elem(elem, 1e-6, 20.0 * largest, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |n, weights: &[f32]| Self { n, weights: weights.to_vec() };
        vec![
            case(1, &[-2.5]),
            case(0, &[1.0, 1.0]),
            case(37, &[6.0, -5.0]),
            case(1001, &[0.5, 0.0, -1.25]),
            case(5000, &[1.0, -0.25, 3.0, 1e-3]),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![
            ("wan-1.3b 480p guidance", Self { n: 16 * 21 * 60 * 104, weights: vec![5.0, -4.0] }),
            ("wan-1.3b 480p residual", Self { n: 32_760 * 1536, weights: vec![1.0, 1.0] }),
        ]
    }
}

/// Sum of tensors of one shape and storage type, each times its weight; one to four of them.
///
/// # Errors
/// [`Error::Problem`] for another number of terms, shapes that differ and a weight that is not finite; otherwise those
/// of [`kernels::run`](crate::kernels::run()).
pub fn weighted_sum(terms: &[(&Tensor, f32)]) -> Result<Tensor> {
    let (inputs, weights): (Vec<&Tensor>, Vec<f32>) = terms.iter().copied().unzip();
    each_as(&inputs, |n| WeightedSum { n, weights: weights.clone() })
}
