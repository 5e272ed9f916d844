//! `dx = dy gelu'(x)`, erf form: the slope is `erfc(−x / √2) / 2 + x exp(−x² / 2) / √(2π)`.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU_ERF, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// Gradient of [`GeluErf`](super::GeluErf).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeluErfBackward;

impl Pointwise for GeluErfBackward {
    const STEM: &'static str = "gelu_erf_backward";
    const SHADER: Source = wgsl!("elementwise/gelu_erf_backward.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, GELU_ERF];
    const INPUTS: &'static [&'static str] = &["x", "dy"];
    const RESULT: &'static str = "dx";
    const FLOPS: f64 = 20.0;
}

#[cfg(feature = "verify")]
impl Formula for GeluErfBackward {
    const SUMMARY: &'static str = "gradient of gelu by its input";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 2.0, "WGSL's exp errs by 3 + 2|x| ulp, times an outlier of dy");

    fn value(x: &[f64]) -> f64 {
        let [x, dy] = *x else { return f64::NAN };
        dy * gelu_erf_slope(x)
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n), inputs::normal(rng, [n], 1.0)]
    }

    fn gradient_of() -> Option<Gradient> {
        Some(Gradient::of("gelu_erf", vec![(0, 0)], |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            x.data.iter().zip(&dy.data).map(|(&x, &dy)| dy * gelu_erf_of(x)).sum()
        }))
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("bert-base 16 texts of 39", 16 * 39 * 3072)]
    }
}

/// Gradient of [`gelu_erf`](super::gelu_erf()) by `x` from the gradient `dy` by its result; beyond ±20 the slope is 0
/// or 1.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn gelu_erf_backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    each::<GeluErfBackward>(&[x, dy])
}
