//! NT-Xent over given pairs: `loss[b, a, p] = w_p · −log(e^{s_p/τ} / (e^{s_p/τ} + Σ_n m_n e^{s_n/τ}))` with similarities
//! `s = similarity[b, a, :]`, weights `w = positives[a, :]` (0: no pair) and multiplicities `m = negatives[a, :]` (0: no
//! negative). Other positives are not in the denominator; a pair whose anchor has no negatives costs nothing.
//!
//! Shapes: `similarity, loss (batch, rows, rows)`; `positives, negatives (rows, rows)`; all f32. Memory written: `loss`.
//!
//! Errors: sizes of zero, 2³¹ elements or more, a temperature that is not above zero.
//!
//! Source: Sohn 2016 and Chen et al. 2020, in the form of pytorch-metric-learning's NTXentLoss.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{NtXentProblem, sizes};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// The kernel of NT-Xent over given pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct NtXent(pub NtXentProblem);

impl fmt::Display for NtXent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nt_xent({})", self.0)
    }
}

impl Kernel for NtXent {
    const STEM: &'static str = "nt_xent";
    const SHADER: Source = wgsl!("contrast/nt_xent.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = self.0.inputs();
        slots.push(Slot::write("loss", self.0.pairs_shape()).f32());
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps)
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch(caps, variant, self.0.pairs())
    }

    fn work(&self) -> Work {
        let pairs = self.0.pairs() as f64;
        Work { flops: 12.0 * pairs * self.0.rows as f64, bytes: 8.0 * pairs }
    }
}

#[cfg(feature = "verify")]
impl Verified for NtXent {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "contrastive loss of given pairs against given negatives";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [s, positives, negatives] = inputs else { return Vec::new() };
        let NtXentProblem { batch, rows, temperature } = self.0;
        let data = pair_losses(rows, temperature, &s.data, &positives.data, &negatives.data);
        vec![Array { shape: [batch, rows, rows].into(), data }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        similarity_and_tables(rng, self.0.batch, self.0.rows)
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp at arguments up to 2/τ, its log by 2^-21 near one";
        let spread = self.0.spread();
        vec![Tolerance { atol: 5e-6 * spread, rtol: 2e-6 * spread, reason }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        NtXentProblem::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        NtXentProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Weighted loss of every pair of `similarity (batch, rows, rows)`, in its shape; zero for what is no pair. `positives`
/// and `negatives` are `(rows, rows)`, and all is f32. Similarities may be any finite numbers. A weight of 0 or below
/// makes no pair and no negative. A NaN shows in every pair that it counts for, and does not matter where it counts for
/// none.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for what has not three axes, sizes of zero or 2³¹ elements and more, and a
/// temperature that is not finite and above zero; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn nt_xent(
    similarity: &Tensor,
    positives: &Tensor,
    negatives: &Tensor,
    temperature: f32,
) -> Result<Tensor> {
    let [batch, rows, _] = sizes(NtXent::STEM, similarity)?;
    let loss = Tensor::empty(similarity.context(), [batch, rows, rows], Dtype::F32)?;
    let problem = NtXent(NtXentProblem { batch, rows, temperature });
    run(similarity.context(), &problem, &[similarity, positives, negatives, &loss])?;
    Ok(loss)
}
