//! The gradient of [`nt_xent`](super::nt_xent())'s losses, summed over the pairs of each group and times `dy`, by
//! the similarities: `d[b, a, c] = dy[b] / τ · (m_c e^{s_c/τ} Σ_p w_p / Z_p − w_c (1 − e^{s_c/τ} / Z_c))`, where
//! `Z_p = e^{s_p/τ} + Σ_n m_n e^{s_n/τ}`.
//!
//! Shapes: `similarity, d_similarity (batch, rows, rows)`; `positives, negatives (rows, rows)`; `dy (batch)`; all
//! f32. Memory written: `d_similarity`.
//!
//! Errors: sizes of zero, 2³¹ elements or more, a temperature that is not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{NtXentProblem, sizes};
use crate::gpu::Caps;
use crate::kernels::{Kernel, LOWEST, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// The kernel of the gradient of [`NtXent`](super::NtXent).
#[derive(Debug, Clone, PartialEq)]
pub struct NtXentBackward(pub NtXentProblem);

impl fmt::Display for NtXentBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nt_xent_backward({})", self.0)
    }
}

impl Kernel for NtXentBackward {
    const STEM: &'static str = "nt_xent_backward";
    const SHADER: Source = wgsl!("contrast/nt_xent_backward.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = self.0.inputs();
        slots.push(Slot::read("dy", [self.0.batch]).f32());
        slots.push(Slot::write("d_similarity", self.0.pairs_shape()).f32());
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps).into_iter().map(|variant| variant.module(LOWEST)).collect()
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch(caps, variant, self.0.batch * self.0.rows)
    }

    fn work(&self) -> Work {
        let pairs = self.0.pairs() as f64;
        Work { flops: 40.0 * pairs, bytes: 8.0 * pairs }
    }
}

#[cfg(feature = "verify")]
impl Verified for NtXentBackward {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "gradient of nt_xent by the similarities";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [s, positives, negatives, dy] = inputs else { return Vec::new() };
        let NtXentProblem { batch, rows, temperature } = self.0;
        let t = f64::from(temperature);
        let d = |at: usize| {
            let (row, anchor) = (at / rows * rows, at / rows % rows * rows);
            let negative = |c: usize| weight_of(negatives.data[anchor + c]);
            let positive = |c: usize| weight_of(positives.data[anchor + c]);
            let counts = |c: &usize| negative(*c).or(positive(*c)).is_some();
            let top = largest((0..rows).filter(counts).map(|c| s.data[row + c]));
            // Where a term is NaN or infinite, so is their sum, and none of them has a gradient.
            let top = if top == f64::INFINITY { f64::NAN } else { top };
            let e = |c: usize| ((s.data[row + c] - top) / t).exp();
            let others: f64 = (0..rows).filter_map(|n| Some(negative(n)? * e(n))).sum();
            let share: f64 = (0..rows).filter_map(|p| Some(positive(p)? / (e(p) + others))).sum();
            let c = at % rows;
            let scale = dy.data[at / (rows * rows)] / t;
            if others == 0.0 || !counts(&c) {
                return 0.0 * scale;
            }
            let push = negative(c).map_or(0.0, |weight| weight * e(c) * share);
            let pull = positive(c).map_or(0.0, |weight| weight * others / (e(c) + others));
            scale * (push - pull)
        };
        vec![Array::from_fn([batch, rows, rows], d)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut all = similarity_and_tables(rng, self.0.batch, self.0.rows);
        all.push(inputs::tame(rng, [self.0.batch], 1.0));
        all
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp at arguments up to 2/τ, over a group's pairs";
        let spread = self.0.spread();
        vec![Tolerance { atol: 1e-5 * spread * spread, rtol: 4e-6 * spread, reason }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let NtXentProblem { rows, temperature, .. } = self.0;
        Some(Gradient::of("nt_xent", vec![(0, 0)], move |inputs| {
            let [s, positives, negatives, dy] = inputs else { return f64::NAN };
            let losses = pair_losses(rows, temperature, &s.data, &positives.data, &negatives.data);
            let term = |(at, loss): (usize, &f64)| dy.data[at / (rows * rows)] * loss;
            losses.iter().enumerate().map(term).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        NtXentProblem::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        NtXentProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Gradient of the weighted losses' sum over each group, times `dy (batch)`, by `similarity (batch, rows, rows)`.
/// It is NaN where the loss is; an anchor without negatives has none.
///
/// # Errors
/// As for [`nt_xent`](super::nt_xent()).
pub fn nt_xent_backward(
    similarity: &Tensor,
    positives: &Tensor,
    negatives: &Tensor,
    dy: &Tensor,
    temperature: f32,
) -> Result<Tensor> {
    let [batch, rows, _] = sizes(NtXentBackward::STEM, similarity)?;
    let d = Tensor::empty(similarity.context(), [batch, rows, rows], Dtype::F32)?;
    let problem = NtXentBackward(NtXentProblem { batch, rows, temperature });
    run(similarity.context(), &problem, &[similarity, positives, negatives, dy, &d])?;
    Ok(d)
}
