//! `dx = (g − mean(g) − x̂ mean(g x̂)) / sqrt(variance + eps)` with `g = dy (scale + unit)` over each row: the gradient
//! of [`layer_norm`](super::layer_norm()) by `x`. Mean, variance and `x̂` are computed again from `x`.
//!
//! Shapes: `x, dy, dx (rows, cols)`; `scale (groups, cols)` in f32; row `r` uses group `r / (rows / groups)`. Memory
//! written: `dx`.
//!
//! Errors: no columns, 2³² elements or more, groups that do not divide the rows, `eps` not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{LayerNormProblem, Operand, by_rows, rows_of, vectors};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// The kernel of a layer norm's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormBackward(pub LayerNormProblem);

impl fmt::Display for LayerNormBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer_norm_backward({})", self.0)
    }
}

impl Kernel for LayerNormBackward {
    const STEM: &'static str = "layer_norm_backward";
    const SHADER: Source = wgsl!("rowwise/layer_norm_backward.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let LayerNormProblem { rows, cols, groups, .. } = self.0;
        vec![
            Slot::read("x", [rows, cols]),
            Slot::read("scale", [groups, cols]).f32(),
            Slot::read("dy", [rows, cols]),
            Slot::write("dx", [rows, cols]),
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
        Work { flops: 16.0 * n, bytes: 12.0 * n + 4.0 * (self.0.groups * self.0.cols) as f64 }
    }
}

#[cfg(feature = "verify")]
impl Verified for LayerNormBackward {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "gradient of layer_norm by its input";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, scale, dy] = inputs else { return Vec::new() };
        let cols = self.0.cols;
        let mut dx = Vec::with_capacity(x.data.len());
        for (r, (x, dy)) in x.data.chunks_exact(cols).zip(dy.data.chunks_exact(cols)).enumerate() {
            let (mean, reciprocal) = moments(x, self.0.eps);
            let g: Vec<f64> =
                dy.iter().zip(self.0.factors(r, scale)).map(|(dy, factor)| dy * factor).collect();
            let xhat: Vec<f64> = x.iter().map(|x| (x - mean) * reciprocal).collect();
            let g_mean = g.iter().sum::<f64>() / cols as f64;
            let gx_mean = dot(&g, &xhat) / cols as f64;
            dx.extend(g.iter().zip(&xhat).map(|(g, xhat)| (g - g_mean - xhat * gx_mean) * reciprocal));
        }
        vec![Array { shape: x.shape.clone(), data: dx }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let LayerNormProblem { rows, cols, groups, .. } = self.0;
        let x = with_offsets(rng, [rows, cols], 0.05, false);
        vec![x, inputs::tame(rng, [groups, cols], 1.0), inputs::normal(rng, [rows, cols], 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // A row of one column has no spread: its terms cancel exactly but for their rounding, times 1 / sqrt(eps).
        let reason = "differences of terms up to 4 at outliers, each a sum in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 4.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let problem = self.0;
        Some(Gradient::of("layer_norm", vec![(0, 0)], move |inputs| {
            let [x, scale, dy] = inputs else { return f64::NAN };
            let rows = x.data.chunks_exact(problem.cols).zip(dy.data.chunks_exact(problem.cols));
            let of_row = |(r, (x, dy)): (usize, (&[f64], &[f64]))| {
                let (mean, reciprocal) = moments(x, problem.eps);
                let y = x.iter().zip(problem.factors(r, scale)).map(|(x, f)| (x - mean) * reciprocal * f);
                y.zip(dy).map(|(y, dy)| y * dy).sum::<f64>()
            };
            rows.enumerate().map(of_row).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        LayerNormProblem::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        LayerNormProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Gradient by `x` of [`layer_norm`](super::layer_norm()) from the gradient `dy` by its result, both `(…, cols)`; right
/// for the same rows.
///
/// # Errors
/// As for [`layer_norm`](super::layer_norm()), and [`Error::Input`](crate::Error::Input) for a `dy` of another size.
pub fn layer_norm_backward(
    x: &Tensor,
    scale: &Tensor,
    dy: &Tensor,
    modulated: bool,
    eps: f32,
) -> Result<Tensor> {
    let (_, cols) = rows_of(LayerNormBackward::STEM, x)?;
    let scale = vectors(LayerNormBackward::STEM, "scale", scale, cols)?;
    let operands = [Operand::Rows(x), Operand::Groups(&scale), Operand::Rows(dy), Operand::Result];
    by_rows(x, scale.len() / cols, &operands, |piece| {
        LayerNormBackward(LayerNormProblem { rows: piece.rows, cols, groups: piece.groups, modulated, eps })
    })
}
