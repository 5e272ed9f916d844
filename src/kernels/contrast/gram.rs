//! `y[b, i, j] = x[b, i, :] · x[b, j, :]`: all products of a clip's vectors with each other; cosines, where the vectors
//! have length one.
//!
//! Shapes: `x (batch, rows, dim)`; `y (batch, rows, rows)` in f32. Memory written: `y`.
//!
//! Errors: sizes of zero, 2³¹ elements or more.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{GramProblem, sizes};
use crate::gpu::Caps;
use crate::kernels::{Kernel, Launch, Slot, Variant, Work, run};
use crate::shader::Source;
use crate::{Dtype, Result, Tensor, wgsl};
use std::fmt;

/// The kernel of products of all vectors of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram(pub GramProblem);

impl fmt::Display for Gram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gram({})", self.0)
    }
}

impl Kernel for Gram {
    const STEM: &'static str = "gram";
    const SHADER: Source = wgsl!("contrast/gram.wgsl");

    fn check(&self) -> Result<()> {
        self.0.check(Self::STEM)
    }

    fn slots(&self) -> Vec<Slot> {
        let GramProblem { batch, rows, dim } = self.0;
        vec![Slot::read("x", [batch, rows, dim]), Slot::write("y", [batch, rows, rows]).f32()]
    }

    fn variants(&self, caps: &Caps) -> Vec<Variant> {
        self.0.variants(caps)
    }

    fn launch(&self, caps: &Caps, variant: &Variant) -> Launch {
        self.0.launch(caps, variant, self.0.products())
    }

    fn work(&self) -> Work {
        let GramProblem { batch, rows, dim } = self.0;
        let products = self.0.products() as f64;
        Work { flops: 2.0 * products * dim as f64, bytes: 4.0 * (products + (batch * rows * dim) as f64) }
    }
}

#[cfg(feature = "verify")]
impl Verified for Gram {
    const FAMILY: &'static str = "contrast";
    const SUMMARY: &'static str = "products of all vectors of a group with each other";

    fn reference(&self, inputs: &[Array]) -> Vec<Array> {
        let [x] = inputs else { return Vec::new() };
        let GramProblem { batch, rows, .. } = self.0;
        vec![Array { shape: [batch, rows, rows].into(), data: self.0.products_of(x) }]
    }

    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array> {
        let GramProblem { batch, rows, dim } = self.0;
        vec![inputs::tame(rng, [batch, rows, dim], 1.0 / (dim as f64).sqrt())]
    }

    fn tolerance(&self, _elem: Dtype) -> Vec<Tolerance> {
        // The result is f32 whatever is read, and what is read is exact.
        vec![Tolerance {
            atol: 3e-6,
            rtol: 3e-6,
            reason: "f32 sum of a vector's terms, of order one together",
        }]
    }

    fn gradient_of(&self) -> Option<Gradient> {
        None
    }

    fn cases() -> Vec<Self> {
        GramProblem::cases().into_iter().map(Self).collect()
    }

    fn bench_cases() -> Vec<(&'static str, Self)> {
        GramProblem::bench_cases().into_iter().map(|(model, problem)| (model, Self(problem))).collect()
    }
}

/// Products of all rows of each of `x (batch, rows, dim)` with each other: `(batch, rows, rows)` f32. Sums are taken by
/// blocks, so that errors grow with the logarithm of `dim`.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for what has not three axes and for sizes of zero or 2³¹ elements and more;
/// otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn gram(x: &Tensor) -> Result<Tensor> {
    let [batch, rows, dim] = sizes(Gram::STEM, x)?;
    let y = Tensor::empty(x.context(), [batch, rows, rows], Dtype::F32)?;
    run(x.context(), &Gram(GramProblem { batch, rows, dim }), &[x, &y])?;
    Ok(y)
}
