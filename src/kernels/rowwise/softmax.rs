//! `y = softmax(scale x)` over each row, stable for any finite values. Values of −3.4e38 and below count as masked; a
//! row that is masked throughout gives zeros rather than NaN, and one that holds a NaN is NaN throughout.
//!
//! Shapes: `x, y (rows, cols)`. Memory written: `y`.
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

/// The kernel of a softmax.
#[derive(Debug, Clone, PartialEq)]
pub struct Softmax(pub SoftmaxProblem);

/// Values up to this one count as masked.
#[cfg(feature = "verify")]
const ABSENT: f64 = -3.4e38;

impl fmt::Display for Softmax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "softmax({})", self.0)
    }
}

impl Kernel for Softmax {
    const STEM: &'static str = "softmax";
    const SHADER: Source = wgsl!("rowwise/softmax.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let SoftmaxProblem { rows, cols, .. } = self.0;
        vec![Slot::read("x", [rows, cols]), Slot::write("y", [rows, cols])]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        row_variants(caps, self.0.cols, pack(self.0.cols))
    }

    fn launch(&self, caps: &Caps, _variant: &Variant) -> Launch {
        self.0.launch(caps)
    }

    fn work(&self) -> Work {
        let n = (self.0.rows * self.0.cols) as f64;
        Work { flops: 8.0 * n, bytes: 8.0 * n }
    }
}

#[cfg(feature = "verify")]
impl Verified for Softmax {
    const FAMILY: &'static str = "rowwise";
    const SUMMARY: &'static str = "softmax over each row; a fully masked row gives zeros";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let SoftmaxProblem { rows, cols, scale } = self.0;
        let [x] = inputs else { return Vec::new() };
        let mut y = Array::zeros([rows, cols]);
        for (x, y) in x.data.chunks_exact(cols).zip(y.data.chunks_exact_mut(cols)) {
            let peak = largest(x.iter().copied());
            if !(peak <= ABSENT) {
                let weight = |x: &f64| (f64::from(scale) * (x - peak)).exp();
                let total: f64 = x.iter().map(weight).sum();
                x.iter().zip(y).for_each(|(x, y)| *y = weight(x) / total);
            }
        }
        vec![y]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let mut x = inputs::normal(rng, [self.0.rows, self.0.cols], 3.0);
        for (r, row) in x.data.chunks_exact_mut(self.0.cols).enumerate() {
            match r % 5 {
                // Fully masked, half of it by −∞.
                1 => row
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, v)| *v = if i % 2 == 0 { -3.402_823e38 } else { f64::NEG_INFINITY }),
                // Partly masked.
                2 => row.iter_mut().step_by(3).for_each(|v| *v = -3.402_823e38),
                // Far from zero, where exp alone overflows, and all equal.
                3 => row.fill(1e4),
                // One value above all others by more than exp can tell.
                4 => row[r / 5 * 21 % self.0.cols] = 5e3,
                // Along which the largest so far grows, and in which every number counts.
                _ if self.0.cols > 4096 => {
                    let grown = |(i, v): (usize, &mut f64)| *v = v.clamp(-1.0, 1.0) + (i / 3000) as f64;
                    row.iter_mut().enumerate().for_each(grown);
                }
                _ => {}
            }
        }
        vec![x]
    }

    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance> {
        // Shares of long rows are small, so the bound is relative. WGSL allows exp(x) 3 + 2|x| ulp, and devices may
        // flush subnormal numbers to zero.
        let reason = "exp errs by 3 + 2|x| ulp with |x| below 100; what is subnormal may be flushed";
        vec![match elem {
            Dtype::F16 => Tolerance { atol: 6.2e-5, rtol: 2e-3, reason },
            Dtype::Bf16 => Tolerance { atol: 1e-30, rtol: 1.6e-2, reason },
            _ => Tolerance { atol: 1e-30, rtol: 3e-5, reason },
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        let case = |rows, cols, scale| Self(SoftmaxProblem { rows, cols, scale });
        vec![
            case(1, 1, 1.0),
            case(0, 8, 1.0),
            // Row 1 is fully masked here and below.
            case(6, 7, 0.125),
            case(6, 64, 1.0),
            case(5, 131, 2.0),
            case(20, 68, 1.0),
            // Sums by blocks.
            case(1, 8200, 0.5),
            case(1, 33_004, 0.5),
            case(10, 1560, 0.25),
        ]
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        SoftmaxProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Softmax of `scale x` over the last axis, in the shape of `x`. Right for any finite values, in rows of any length.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for no column and a `scale` that is not finite and above zero; otherwise
/// those of [`kernels::run`](crate::kernels::run()).
pub fn softmax(x: &Tensor, scale: f32) -> Result<Tensor> {
    let (_, cols) = rows_of(Softmax::STEM, x)?;
    by_rows(x, 1, &[Operand::Rows(x), Operand::Result], |piece| {
        Softmax(SoftmaxProblem { rows: piece.rows, cols, scale })
    })
}
