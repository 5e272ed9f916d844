//! `y = gelu(x) = x erfc(−x / √2) / 2`: the exact form, as in BERT and torch's default.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU_ERF, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// Gelu in its erf form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeluErf;

impl Pointwise for GeluErf {
    const STEM: &'static str = "gelu_erf";
    const SHADER: Source = wgsl!("elementwise/gelu_erf.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, GELU_ERF];
    const INPUTS: &'static [&'static str] = &["x"];
    const RESULT: &'static str = "y";
    const FLOPS: f64 = 12.0;
}

#[cfg(feature = "verify")]
impl Formula for GeluErf {
    const SUMMARY: &'static str = "gelu, erf form";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 1.0, "a fit of erfc to 9e-8, WGSL's exp errs by 3 + 2|x| ulp");

    fn value(x: &[f64]) -> f64 {
        let [x] = *x else { return f64::NAN };
        gelu_erf_of(x)
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n)]
    }

    fn gradient_of() -> Option<Gradient> {
        None
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("bert-base 16 texts of 39", 16 * 39 * 3072)]
    }
}

/// Gelu of every element, erf form. Below −20 the result is 0 to within 2e-33, at −∞ too; NaN stays NaN.
///
/// # Errors
/// Those of [`kernels::run`](crate::kernels::run()).
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    each::<GeluErf>(&[x])
}
