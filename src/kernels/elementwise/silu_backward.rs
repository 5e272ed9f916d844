//! `dx = dy s (1 + x (1 − s))` with `s = 1 / (1 + exp(−x))`.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, LOGISTIC, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// Gradient of [`Silu`](super::Silu).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiluBackward;

impl Pointwise for SiluBackward {
    const STEM: &'static str = "silu_backward";
    const SHADER: Source = wgsl!("elementwise/silu_backward.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, LOGISTIC];
    const INPUTS: &'static [&'static str] = &["x", "dy"];
    const RESULT: &'static str = "dx";
    const FLOPS: f64 = 9.0;
}

#[cfg(feature = "verify")]
impl Formula for SiluBackward {
    const SUMMARY: &'static str = "gradient of silu by its input";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 2.0, "WGSL's exp errs by 3 + 2|x| ulp, times an outlier of dy");

    fn value(x: &[f64]) -> f64 {
        let [x, dy] = *x else { return f64::NAN };
        // Up to the limits at ±∞.
        dy * logistic(x) * (1.0 + x.clamp(-800.0, 800.0) * (1.0 - logistic(x)))
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n), inputs::normal(rng, [n], 1.0)]
    }

    fn gradient_of() -> Option<Gradient> {
        Some(Gradient::of("silu", vec![(0, 0)], |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            x.data.iter().zip(&dy.data).map(|(&x, &dy)| dy * x * logistic(x)).sum()
        }))
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("wan vae 384x41x120x208", 384 * 41 * 120 * 208)]
    }
}

/// Gradient of [`silu`](super::silu()) by `x` from the gradient `dy` by its result; beyond ±80 the slope is 0, to within
/// 2e-33, or 1.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn silu_backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    each::<SiluBackward>(&[x, dy])
}
