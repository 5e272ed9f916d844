//! `y = gelu(x) = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`: the tanh form, as in Wan.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// Gelu in its tanh form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gelu;

impl Pointwise for Gelu {
    const STEM: &'static str = "gelu";
    const SHADER: Source = wgsl!("elementwise/gelu.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, GELU];
    const INPUTS: &'static [&'static str] = &["x"];
    const RESULT: &'static str = "y";
    const FLOPS: f64 = 12.0;
}

#[cfg(feature = "verify")]
impl Formula for Gelu {
    const SUMMARY: &'static str = "gelu, tanh form";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 1.0, "WGSL's exp errs by 3 + 2|x| ulp, its quotient by 2.5");

    fn value(x: &[f64]) -> f64 {
        let [x] = *x else { return f64::NAN };
        gelu_of(x)
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n)]
    }

    fn gradient_of() -> Option<Gradient> {
        None
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("wan-1.3b frame", 1560 * 8960), ("wan-1.3b 480p", 32_760 * 8960)]
    }
}

/// Gelu of every element, tanh form. Below −20 the result is 0 to within 2e-33, at −∞ too; NaN stays NaN.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    each::<Gelu>(&[x])
}
