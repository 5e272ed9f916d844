//! `y = silu(x) = x / (1 + exp(−x))`.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, LOGISTIC, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// Silu, also called swish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silu;

impl Pointwise for Silu {
    const STEM: &'static str = "silu";
    const SHADER: Source = wgsl!("elementwise/silu.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, LOGISTIC];
    const INPUTS: &'static [&'static str] = &["x"];
    const RESULT: &'static str = "y";
    const FLOPS: f64 = 5.0;
}

#[cfg(feature = "verify")]
impl Formula for Silu {
    const SUMMARY: &'static str = "silu";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 1.0, "WGSL's exp errs by 3 + 2|x| ulp, its quotient by 2.5");

    fn value(x: &[f64]) -> f64 {
        let [x] = *x else { return f64::NAN };
        // Down to the limit at −∞.
        x.clamp(-800.0, f64::INFINITY) * logistic(x)
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n)]
    }

    fn gradient_of() -> Option<Gradient> {
        None
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        // The time embedding of a step, and a stage of the video decoder.
        vec![("wan-1.3b time embedding", 1536), ("wan vae 384x41x120x208", 384 * 41 * 120 * 208)]
    }
}

/// Silu of every element. Below −80 the result is 0 to within 2e-33, at −∞ too; NaN stays NaN.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    each::<Silu>(&[x])
}
