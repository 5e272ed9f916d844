//! `dx = r weight g − x r³ / cols Σ(weight g x)` with `r = 1 / sqrt(mean(x²) + eps)` over each row: the gradient of
//! [`rms_norm`](super::rms_norm()) by `x`, where `g` is `dy` turned back by the token's angle.
//!
//! Shapes: `x, dy, dx (rows, cols)`; `weight (cols)` in f32; `rope_table (positions, head_dim / 2, 2)` in f32. Memory
//! written: `dx`.
//!
//! Errors: those of [`rms_norm`](super::rms_norm()).

#[cfg(feature = "verify")]
use super::verified::*;
use super::{Operand, RmsNormProblem, RopeAt, by_rows, rows_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// The kernel of an RMS norm's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNormBackward(pub RmsNormProblem);

impl fmt::Display for RmsNormBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rms_norm_backward({})", self.0)
    }
}

impl Kernel for RmsNormBackward {
    const STEM: &'static str = "rms_norm_backward";
    const SHADER: Source = wgsl!("rowwise/rms_norm_backward.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let RmsNormProblem { rows, cols, .. } = self.0;
        let mut slots = vec![
            Slot::read("x", [rows, cols]),
            Slot::read("weight", [cols]).f32(),
            Slot::read("dy", [rows, cols]),
            Slot::write("dx", [rows, cols]),
        ];
        slots.extend(self.0.table());
        slots
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps, 4)
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        self.0.launch(caps)
    }

    fn work(&self) -> Work {
        let n = (self.0.rows * self.0.cols) as f64;
        let flops = if self.0.rope.is_some() { 12.0 } else { 9.0 };
        Work { flops: flops * n, bytes: 12.0 * n + self.0.shared_bytes() }
    }
}

#[cfg(feature = "verify")]
impl Verified for RmsNormBackward {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "gradient of rms_norm by its input, rotary position included";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x, weight, dy, table @ ..] = inputs else { return Vec::new() };
        let RmsNormProblem { cols, eps, .. } = self.0;
        let of_row = |r: usize, x: &[f64]| {
            let mut g = dy.data[r * cols..(r + 1) * cols].to_vec();
            self.0.turn(table, r, &mut g, -1.0);
            g.iter_mut().zip(&weight.data).for_each(|(g, w)| *g *= w);
            let reciprocal = reciprocal_rms(x, eps);
            let along = reciprocal.powi(3) / cols as f64 * dot(&g, x);
            g.iter().zip(x).map(|(g, x)| reciprocal * g - x * along).collect()
        };
        vec![self.0.by_rows(x, of_row)]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let RmsNormProblem { rows, cols, rope, .. } = self.0;
        let mut x = self.0.x(rng, 0.02);
        inputs::enlarge(&mut x, cols);
        let mut all = vec![x, inputs::tame(rng, [cols], 1.0), inputs::normal(rng, [rows, cols], 1.0)];
        all.extend(rope.map(|r| r.table()));
        all
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // In short rows the two terms, of size |weight dy| / rms, nearly cancel.
        let reason = "a difference of terms up to 40 at outliers, each a sum in f32";
        vec![Tolerance::for_elem(elem, 1e-5, 4.0, reason)]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let problem = self.0;
        Some(Gradient::of("rms_norm", vec![(0, 0)], move |inputs| {
            let [x, weight, dy, table @ ..] = inputs else { return f64::NAN };
            let y = problem.by_rows(x, |r, x| problem.normed(r, x, weight, table));
            dot(&y.data, &dy.data)
        }))
    }

    fn cases() -> Vec<Self> {
        RmsNormProblem::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        RmsNormProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Gradient by `x` of [`rms_norm`](super::rms_norm()) from the gradient `dy` by its result, both `(…, cols)`; right for
/// the same rows.
///
/// # Errors
/// As for [`rms_norm`](super::rms_norm()), and [`Error::Input`](crate::Error::Input) for a `dy` of another size.
pub fn rms_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    dy: &Tensor,
    eps: f32,
    rope: Option<&RopeAt>,
) -> Result<Tensor> {
    let (_, cols) = rows_of(RmsNormBackward::STEM, x)?;
    let at = rope.map(|r| r.for_cols(RmsNormBackward::STEM, cols)).transpose()?;
    let mut operands = vec![Operand::Rows(x), Operand::Whole(weight), Operand::Rows(dy), Operand::Result];
    operands.extend(rope.map(|r| Operand::Whole(&r.table)));
    by_rows(x, 1, &operands, |piece| {
        let rope = at.map(|r| r.starting_at(piece.row));
        RmsNormBackward(RmsNormProblem { rows: piece.rows, cols, eps, rope })
    })
}
