//! The gradient of [`nt_xent`](super::nt_xent())'s losses, summed over the pairs of each group and times `upstream`, by
//! the similarities: `d[b, a, c] = upstream[b] / τ · (m_c e^{s_c/τ} Σ_p w_p / Z_p − w_c (1 − e^{s_c/τ} / Z_c))`, where
//! `Z_p = e^{s_p/τ} + Σ_n m_n e^{s_n/τ}`.
//!
//! Shapes: `similarity, d_similarity (batch, rows, rows)`; `positives, negatives (rows, rows)`; `upstream (batch)`; all
//! f32. Memory written: `d_similarity`.
//!
//! Errors: sizes of zero, 2³¹ elements or more, a temperature that is not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{PAIRS, check_sizes, check_temperature, sizes};
use crate::gpu::Caps;
use crate::kernels::{CASCADE, GRID, Kernel, LOWEST, Launch, NAN, Slot, Variant, Work, grid, lanes, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// Sizes and temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NtXentBackward {
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

impl fmt::Display for NtXentBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, rows, temperature } = self;
        write!(f, "nt_xent_backward(batch={batch},rows={rows},temperature={temperature})")
    }
}

impl Kernel for NtXentBackward {
    const STEM: &'static str = "nt_xent_backward";
    const SHADER: Source = wgsl!("contrast/nt_xent_backward.wgsl");

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
            Slot::read("upstream", [batch]).f32(),
            Slot::write("d_similarity", [batch, rows, rows]).f32(),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        vec![
            Variant::new(Dtype::F32, lanes(caps))
                .module(GRID)
                .module(PAIRS)
                .module(NAN)
                .module(LOWEST)
                .module(CASCADE),
        ]
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        let params =
            Params { batch: self.batch as u32, rows: self.rows as u32, sharpness: self.temperature.recip() };
        let anchors = self.batch * self.rows;
        Launch::new(&params, grid(anchors.div_ceil(variant.number("WG_SIZE").max(1) as usize), caps))
    }

    fn work(&self) -> Work {
        let pairs = (self.batch * self.rows * self.rows) as f64;
        Work { flops: 40.0 * pairs, bytes: 8.0 * pairs }
    }
}

#[cfg(feature = "verify")]
impl Verified for NtXentBackward {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "gradient of nt_xent by the similarities";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [s, positives, negatives, upstream] = inputs else { return Vec::new() };
        let Self { batch, rows, temperature } = *self;
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
            let scale = upstream.data[at / (rows * rows)] / t;
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
        let mut all = similarity_and_tables(rng, self.batch, self.rows);
        all.push(inputs::tame(rng, [self.batch], 1.0));
        all
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        let reason = "WGSL's exp errs by 3 + 2|x| ulp at arguments up to 2/τ, over a group's pairs";
        let spread = f64::from(self.temperature.recip()).max(1.0);
        vec![Tolerance { atol: 1e-5 * spread * spread, rtol: 4e-6 * spread, reason }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let Self { rows, temperature, .. } = *self;
        Some(Gradient::of("nt_xent", vec![(0, 0)], move |inputs| {
            let [s, positives, negatives, upstream] = inputs else { return f64::NAN };
            let losses = pair_losses(rows, temperature, &s.data, &positives.data, &negatives.data);
            let term = |(at, loss): (usize, &f64)| upstream.data[at / (rows * rows)] * loss;
            losses.iter().enumerate().map(term).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |batch, rows, temperature| Self { batch, rows, temperature };
        vec![case(1, 1, 0.5), case(2, 5, 1.0), case(3, 28, 0.5), case(1, 33, 0.07)]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        vec![("dashfusion 16 anchors", Self { batch: 16, rows: 28, temperature: 0.5 })]
    }
}

/// Gradient of the weighted losses' sum over each group, times `upstream (batch)`, by `similarity (batch, rows, rows)`.
/// It is NaN where the loss is; an anchor without negatives has none.
///
/// # Errors
/// As for [`nt_xent`](super::nt_xent()).
pub fn nt_xent_backward(
    similarity: &Tensor,
    positives: &Tensor,
    negatives: &Tensor,
    upstream: &Tensor,
    temperature: f32,
) -> Result<Tensor> {
    let [batch, rows, _] = sizes(NtXentBackward::STEM, similarity)?;
    let d = Tensor::empty(similarity.context(), [batch, rows, rows], Dtype::F32)?;
    let problem = NtXentBackward { batch, rows, temperature };
    run(similarity.context(), &problem, &[similarity, positives, negatives, upstream, &d])?;
    Ok(d)
}
