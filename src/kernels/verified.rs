//! What a kernel must say about itself to be proved right: its formula, inputs that try to break it, how close results
//! must come, and its cases.
//!
//! An app's own kernel may stop at [`Kernel`]. The library's kernels are `Verified` where the feature `verify` is on, which
//! leaves references out of a small build; the `probe` kernels always are, since every driver is asked by them.

use super::contract::Kernel;
pub(crate) use super::formula::*;
#[cfg(feature = "verify")]
pub use super::inputs;
pub use crate::Dtype;
pub use crate::tensor::Array;
/// The generator that [`Verified::inputs`] draws from.
pub use rand_pcg::Pcg64;

/// How close a result must be: `|found − expected| <= atol + rtol · |expected|`, with the reason for the numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Absolute part.
    pub atol: f64,
    /// Relative part.
    pub rtol: f64,
    /// Why these numbers.
    pub reason: &'static str,
}

impl Tolerance {
    /// A tolerance for f32 storage that grows with the rounding of narrower storage.
    ///
    /// `f32_rtol` covers the summation order. Arithmetic is f32 whatever the storage, so f16 adds one rounding of the
    /// result (2⁻¹¹) and bf16 one of 2⁻⁸; four of them leave room for a value that is stored on the way.
    pub fn for_elem(elem: Dtype, f32_rtol: f64, scale: f64, reason: &'static str) -> Self {
        match elem {
            Dtype::F16 => Self { atol: 2e-3 * scale, rtol: 2e-3, reason },
            Dtype::Bf16 => Self { atol: 1.6e-2 * scale, rtol: 1.6e-2, reason },
            _ => Self { atol: f32_rtol * scale, rtol: f32_rtol, reason },
        }
    }
}

/// What a backward kernel is the gradient of.
pub struct Gradient {
    /// Stem of the forward kernel.
    pub forward: &'static str,
    /// The scalar whose derivative is taken: gradients of the outputs times the outputs, in f64.
    pub loss: GradientLoss,
}

/// A loss of a backward kernel's read inputs.
pub type Loss = Box<dyn Fn(&[Array]) -> f64>;
/// A loss of a backward kernel's read inputs and one argument more.
pub type LinearLoss = Box<dyn Fn(&[Array], &Array) -> f64>;

/// A loss as a function of a backward kernel's own read inputs (in slot order).
pub enum GradientLoss {
    /// Output number `.0` is the derivative by input number `.1`, for each pair.
    Of(Loss, Vec<(usize, usize)>),
    /// Output 0 holds, one after the other, the derivatives by these inputs.
    Stacked(Loss, Vec<usize>),
    /// Output 0 is the derivative by a further argument of the output's shape, in which the loss is linear.
    Linear(LinearLoss),
}

impl Gradient {
    /// Output number `.0` of each pair is the derivative of `loss` by read input number `.1`.
    pub fn of(
        forward: &'static str,
        pairs: Vec<(usize, usize)>,
        loss: impl Fn(&[Array]) -> f64 + 'static,
    ) -> Self {
        Self { forward, loss: GradientLoss::Of(Box::new(loss), pairs) }
    }

    /// Output 0 holds, one after the other, the derivatives of `loss` by these read inputs.
    pub fn stacked(
        forward: &'static str,
        inputs: Vec<usize>,
        loss: impl Fn(&[Array]) -> f64 + 'static,
    ) -> Self {
        Self { forward, loss: GradientLoss::Stacked(Box::new(loss), inputs) }
    }

    /// For a kernel with one output that is the derivative by a tensor that is not among its own inputs because the
    /// forward is linear in it: `loss(inputs, x)`.
    pub fn linear(forward: &'static str, loss: impl Fn(&[Array], &Array) -> f64 + 'static) -> Self {
        Self { forward, loss: GradientLoss::Linear(Box::new(loss)) }
    }
}

/// A kernel that can be proved right. There is no default method but [`Verified::follow`].
pub trait Verified: Kernel {
    /// Folder of shader and host file.
    const FAMILY: &'static str;
    /// One line for the table of kernels.
    const SUMMARY: &'static str;

    /// The formula in f64: read slots in order (updated ones included) to written slots in order.
    fn reference(&self, inputs: &[Array]) -> Vec<Array>;
    /// Adversarial inputs for the read and updated slots: outliers, ties, padding.
    fn inputs(&self, rng: &mut Pcg64) -> Vec<Array>;
    /// Makes inputs that follow from others follow again, after one was changed: a map's statistics from q and k.
    fn follow(&self, _inputs: &mut [Array]) {}
    /// Tolerance of each written slot.
    fn tolerance(&self, elem: Dtype) -> Vec<Tolerance>;
    /// For a backward kernel, what it is the gradient of.
    fn gradient_of(&self) -> Option<Gradient>;
    /// Test cases; sizes of one, odd sizes, and empty or fully masked ones are among them.
    fn cases() -> Vec<Self>;
    /// Cases of real models: the model's name for the row, and the problem.
    fn bench_cases() -> Vec<(&'static str, Self)>;
}
