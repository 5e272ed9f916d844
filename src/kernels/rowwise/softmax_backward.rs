//! `dx = scale y (dy − Σ(y dy))` over each row: the gradient of [`softmax`](super::softmax()) by `x`, from its result
//! `y`. A row of zeros (fully masked) gives zeros.
//!
//! Shapes: `y, dy, dx (rows, cols)`. Memory written: `dx`.
//!
//! Errors: no columns, 2³² elements or more, `scale` not above zero.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{Operand, SoftmaxProblem, by_rows, pack, row_variants, rows_of};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};
use std::fmt;

/// The kernel of a softmax's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftmaxBackward(pub SoftmaxProblem);

impl fmt::Display for SoftmaxBackward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "softmax_backward({})", self.0)
    }
}

impl Kernel for SoftmaxBackward {
    const STEM: &'static str = "softmax_backward";
    const SHADER: Source = wgsl!("rowwise/softmax_backward.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let shape = [self.0.rows, self.0.cols];
        vec![Slot::read("y", shape), Slot::read("dy", shape), Slot::write("dx", shape)]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        row_variants(caps, self.0.cols, pack(self.0.cols))
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        self.0.launch(caps)
    }

    fn work(&self) -> Work {
        let n = (self.0.rows * self.0.cols) as f64;
        Work { flops: 5.0 * n, bytes: 12.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for SoftmaxBackward {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "gradient of softmax by its input, from its result";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let SoftmaxProblem { rows, cols, scale } = self.0;
        let [y, dy] = inputs else { return Vec::new() };
        let mut dx = Array::zeros([rows, cols]);
        for (r, dx) in dx.data.chunks_exact_mut(cols).enumerate() {
            let row = r * cols..(r + 1) * cols;
            let (y, dy) = (&y.data[row.clone()], &dy.data[row]);
            let delta = dot(y, dy);
            for (i, dx) in dx.iter_mut().enumerate() {
                *dx = f64::from(scale) * y[i] * (dy[i] - delta);
            }
        }
        vec![dx]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let shape = [self.0.rows, self.0.cols];
        let mut y = inputs::tame(rng, shape, 2.0);
        for (r, row) in y.data.chunks_exact_mut(self.0.cols).enumerate() {
            // Every fifth row is fully masked.
            let masked = r % 5 == 1;
            row.iter_mut().for_each(|v| *v = if masked { 0.0 } else { v.exp() });
            let total = row.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            row.iter_mut().for_each(|v| *v /= total);
        }
        vec![y, inputs::normal(rng, shape, 1.0)]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // Shares of long rows are small: about 64 / cols at most for these inputs.
        let size = f64::from(self.0.scale) * (64.0 / self.0.cols as f64).min(1.0);
        let reason = "delta is a sum in f32, from which dy is subtracted; what is subnormal may be flushed";
        vec![match elem {
            Dtype::F16 => Tolerance { atol: 6.2e-5 + 1e-5 * size, rtol: 2e-3, reason },
            Dtype::Bf16 => Tolerance { atol: 1e-5 * size, rtol: 1.6e-2, reason },
            _ => Tolerance { atol: 1e-5 * size, rtol: 1e-5, reason },
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        let SoftmaxProblem { rows, cols, scale } = self.0;
        // x is not among the inputs, y is: moving x by d multiplies the weights by exp(scale d).
        Some(Gradient::linear("softmax", move |inputs, d| {
            let [y, dy] = inputs else { return f64::NAN };
            let of_row = |r: usize| {
                let row = r * cols..(r + 1) * cols;
                let moved = |(y, d): (&f64, &f64)| y * (f64::from(scale) * d).exp();
                let weights: Vec<f64> =
                    y.data[row.clone()].iter().zip(&d.data[row.clone()]).map(moved).collect();
                let total: f64 = weights.iter().sum();
                if total == 0.0 { 0.0 } else { dot(&weights, &dy.data[row]) / total }
            };
            (0..rows).map(of_row).sum()
        }))
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols, scale| Self(SoftmaxProblem { rows, cols, scale });
        vec![
            case(1, 1, 1.0),
            // Row 1 is fully masked here and below.
            case(6, 7, 0.125),
            case(6, 64, 1.0),
            case(5, 131, 2.0),
            // Sums by blocks.
            case(1, 33_004, 0.5),
            case(10, 1560, 0.25),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        SoftmaxProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Gradient by `x` of [`softmax`](super::softmax()) from its result `y` and the gradient `dy` by that result, both
/// `(…, cols)`.
///
/// # Errors
/// As for [`softmax`](super::softmax()), and [`Error::Input`](crate::Error::Input) for a `dy` of another size.
pub fn softmax_backward(y: &Tensor, dy: &Tensor, scale: f32) -> Result<Tensor> {
    let (_, cols) = rows_of(SoftmaxBackward::STEM, y)?;
    by_rows(y, 1, &[Operand::Rows(y), Operand::Rows(dy), Operand::Result], |piece| {
        SoftmaxBackward(SoftmaxProblem { rows: piece.rows, cols, scale })
    })
}
