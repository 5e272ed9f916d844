//! `dx[b, i, :] = Σ_j (dy[b, i, j] + dy[b, j, i]) x[b, j, :]`: the gradient of [`gram`](super::gram()).
//!
//! Shapes: `x, dx (batch, rows, dim)`; `dy (batch, rows, rows)` in f32. Memory written: `dx`.
//!
//! Errors: sizes of zero, 2³¹ elements or more.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{GramProblem, sizes};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// The kernel of the gradient of [`Gram`](super::Gram).
#[derive(Debug, Clone, PartialEq)]
pub struct GramBackward(pub GramProblem);

impl fmt::Display for GramBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gram_backward({})", self.0)
    }
}

impl Kernel for GramBackward {
    const STEM: &'static str = "gram_backward";
    const SHADER: Source = wgsl!("contrast/gram_backward.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let GramProblem { batch, rows, dim } = self.0;
        vec![
            Slot::read("x", [batch, rows, dim]),
            Slot::read("dy", [batch, rows, rows]).f32(),
            Slot::write("dx", [batch, rows, dim]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps)
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch(caps, variant, self.0.packs())
    }

    fn work(&self) -> Work {
        let GramProblem { batch, rows, dim } = self.0;
        let n = (batch * rows * dim) as f64;
        Work { flops: 3.0 * n * rows as f64, bytes: 4.0 * (2.0 * n + self.0.products() as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for GramBackward {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "gradient of gram by the vectors";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, dy] = inputs else { return Vec::new() };
        let GramProblem { batch, rows, dim } = self.0;
        let dx = |at: usize| {
            let (b, i, c) = (at / (rows * dim), at / dim % rows, at % dim);
            let of = |i: usize, j: usize| dy.data[(b * rows + i) * rows + j];
            (0..rows).map(|j| (of(i, j) + of(j, i)) * x.data[(b * rows + j) * dim + c]).sum()
        };
        vec![Array::from_fn([batch, rows, dim], dx)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let GramProblem { batch, rows, dim } = self.0;
        vec![inputs::tame(rng, [batch, rows, dim], 1.0), inputs::tame(rng, [batch, rows, rows], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let scale = (2.0 * self.0.rows as f64).sqrt() * 4.0;
        vec![Tolerance::for_elem(elem, 2e-6, scale, "f32 sum over the group's vectors")]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let problem = self.0;
        Some(Gradient::of("gram", vec![(0, 0)], move |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            dot(&problem.products_of(x), &dy.data)
        }))
    }

    fn cases() -> Vec<Self> {
        GramProblem::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        GramProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Gradient of [`gram`](super::gram()) by `x (batch, rows, dim)` from the gradient `dy (batch, rows, rows)` f32 by its
/// result.
///
/// # Errors
/// As for [`gram`](super::gram()).
pub fn gram_backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let [batch, rows, dim] = sizes(GramBackward::STEM, x)?;
    let dx = Tensor::empty(x.context(), x.shape().clone(), x.dtype())?;
    run(x.context(), &GramBackward(GramProblem { batch, rows, dim }), &[x, dy, &dx])?;
    Ok(dx)
}
