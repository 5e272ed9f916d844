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
use super::{PAIRS, check_sizes, check_temperature, sizes};
use crate::gpu::Caps;
use crate::kernels::{CASCADE, GRID, Kernel, Launch, NAN, Slot, Variant, Work, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// Sizes and temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NtXent {
    /// Groups of vectors.
    pub batch: usize,
    /// Vectors of a group.
    pub rows: usize,
    /// τ.
    pub temperature: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    batch: u32,
    rows: u32,
    sharpness: f32,
}

impl fmt::Display for NtXent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nt_xent(batch={},rows={},temperature={})", self.batch, self.rows, self.temperature)
    }
}

impl Kernel for NtXent {
    const STEM: &'static str = "nt_xent";
    const SHADER: Source = wgsl!("contrast/nt_xent.wgsl");

    fn check(&self) -> Result<()> {
        check_sizes(Self::STEM, [self.batch, self.rows, self.rows])?;
        check_temperature(Self::STEM, self.temperature)
    }

    fn slots(&self) -> Vec<Slot> {
        let Self { batch, rows, .. } = *self;
        vec![
            Slot::read("similarity", [batch, rows, rows]).f32(),
            Slot::read("positives", [rows, rows]).f32(),
            Slot::read("negatives", [rows, rows]).f32(),
            Slot::write("loss", [batch, rows, rows]).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![Variant::new(Dtype::F32, lanes(caps)).module(GRID).module(PAIRS).module(NAN).module(CASCADE)]
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let params =
            Params { batch: self.batch as u32, rows: self.rows as u32, sharpness: self.temperature.recip() };
        let pairs = self.batch * self.rows * self.rows;
        Launch::new(&params, grid(pairs.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let pairs = (self.batch * self.rows * self.rows) as f64;
        Work { flops: 12.0 * pairs * self.rows as f64, bytes: 8.0 * pairs }
    }
}

#[cfg(feature = "verify")]
impl Verified for NtXent {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "contrastive loss of given pairs against given negatives";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [s, positives, negatives] = inputs else { return Vec::new() };
        let Self { batch, rows, temperature } = *self;
        let data = pair_losses(rows, temperature, &s.data, &positives.data, &negatives.data);
        vec![Array { shape: [batch, rows, rows].into(), data }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        similarity_and_tables(rng, self.batch, self.rows)
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp at arguments up to 2/τ, its log by 2^-21 near one";
        let spread = f64::from(self.temperature.recip()).max(1.0);
        vec![Tolerance { atol: 5e-6 * spread, rtol: 2e-6 * spread, reason }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |batch, rows, temperature| Self { batch, rows, temperature };
        vec![case(1, 1, 0.5), case(2, 5, 1.0), case(3, 28, 0.5), case(1, 33, 0.07)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 anchors", Self { batch: 16, rows: 28, temperature: 0.5 })]
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
    let problem = NtXent { batch, rows, temperature };
    run(similarity.context(), &problem, &[similarity, positives, negatives, &loss])?;
    Ok(loss)
}
