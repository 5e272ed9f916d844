//! `y = x̂ (scale + unit) + shift` with `x̂ = (x − mean) / sqrt(variance + eps)` over each row; `unit` is 1 when
//! modulated (Wan's adaptive norm) and 0 for an ordinary affine norm.
//!
//! Shapes: `x, y (rows, cols)`; `scale, shift (groups, cols)` in f32; row `r` uses group `r / (rows / groups)`. The
//! variance is the mean of squares (not the unbiased estimate). Memory written: `y`.
//!
//! Errors: no columns, 2³² elements or more, groups that do not divide the rows, `eps` not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{LayerNormProblem, Operand, by_rows, rows_of, vectors};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Error, Result, Tensor, wgsl};
use std::fmt;

/// The kernel of a layer norm.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm(pub LayerNormProblem);

impl fmt::Display for LayerNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer_norm({})", self.0)
    }
}

impl Kernel for LayerNorm {
    const STEM: &'static str = "layer_norm";
    const SHADER: Source = wgsl!("rowwise/layer_norm.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let LayerNormProblem { rows, cols, groups, .. } = self.0;
        vec![
            Slot::read("x", [rows, cols]),
            Slot::read("scale", [groups, cols]).f32(),
            Slot::read("shift", [groups, cols]).f32(),
            Slot::write("y", [rows, cols]),
        ]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps)
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        self.0.launch(caps)
    }

    fn work(&self) -> Work {
        let n = (self.0.rows * self.0.cols) as f64;
        Work { flops: 9.0 * n, bytes: 8.0 * (n + (self.0.groups * self.0.cols) as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for LayerNorm {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "layer norm, affine or modulated by scale and shift of a group of rows";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, scale, shift] = inputs else { return Vec::new() };
        let mut y = Vec::with_capacity(x.data.len());
        for (r, x) in x.data.chunks_exact(self.0.cols).enumerate() {
            let (mean, reciprocal) = moments(x, self.0.eps);
            let of = self.0.factors(r, scale).zip(&shift.data[self.0.group(r)]);
            y.extend(x.iter().zip(of).map(|(x, (factor, shift))| (x - mean) * reciprocal * factor + shift));
        }
        vec![Array { shape: x.shape.clone(), data: y }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let LayerNormProblem { rows, cols, groups, .. } = self.0;
        let x = with_offsets(rng, [rows, cols], 0.002, true);
        vec![x, inputs::tame(rng, [groups, cols], 1.0), inputs::tame(rng, [groups, cols], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        let reason = "sums of cols terms and WGSL's 2.5-ulp quotient and root, in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 1.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let empty = LayerNormProblem { rows: 0, cols: 8, groups: 1, modulated: false, eps: 1e-6 };
        let mut cases = LayerNormProblem::cases();
        // Not last: the last case is what every device runs in every storage type.
        cases.insert(1, empty);
        cases.into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        LayerNormProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Layer norm over the last axis of `x (…, cols)`; `scale` and `shift` hold one f32 vector a group of rows, `(cols)` or
/// `(groups, cols)`. Right for every row of finite f32, however large or small its values; a row that holds a NaN is NaN
/// throughout.
///
/// # Errors
/// [`Error::Problem`] for no column, an `eps` that is not finite and above zero, and groups that differ or do not
/// divide the rows; otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, modulated: bool, eps: f32) -> Result<Tensor> {
    let (_, cols) = rows_of(LayerNorm::STEM, x)?;
    let scale = vectors(LayerNorm::STEM, "scale", scale, cols)?;
    let shift = vectors(LayerNorm::STEM, "shift", shift, cols)?;
    if shift.shape() != scale.shape() {
        let reason = format!("scale {} and shift {} differ in their groups", scale.shape(), shift.shape());
        return Err(Error::problem(LayerNorm::STEM, reason));
    }
    let operands = [Operand::Rows(x), Operand::Groups(&scale), Operand::Groups(&shift), Operand::Result];
    by_rows(x, scale.len() / cols, &operands, |piece| {
        LayerNorm(LayerNormProblem { rows: piece.rows, cols, groups: piece.groups, modulated, eps })
    })
}
