//! `dx = dy gelu'(x)`, tanh form: with `t = tanh(u)` the slope is `(1 + t) / 2 + x (1 − t²) u' / 2`.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// Gradient of [`Gelu`](super::Gelu).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeluBackward;

impl Pointwise for GeluBackward {
    const STEM: &'static str = "gelu_backward";
    const SHADER: Source = wgsl!("elementwise/gelu_backward.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, GELU];
    const INPUTS: &'static [&'static str] = &["x", "dy"];
    const RESULT: &'static str = "dx";
    const FLOPS: f64 = 20.0;
}

#[cfg(feature = "verify")]
impl Formula for GeluBackward {
    const SUMMARY: &'static str = "gradient of gelu by its input";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 2.0, "WGSL's exp errs by 3 + 2|x| ulp, times an outlier of dy");

    fn value(x: &[f64]) -> f64 {
        let [x, dy] = *x else { return f64::NAN };
        dy * gelu_slope(x)
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n), inputs::normal(rng, [n], 1.0)]
    }

    fn gradient_of() -> Option<Gradient> {
        Some(Gradient::of("gelu", vec![(0, 0)], |inputs| {
            let [x, dy] = inputs else { return f64::NAN };
            x.data.iter().zip(&dy.data).map(|(&x, &dy)| dy * gelu_of(x)).sum()
        }))
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("wan-1.3b frame", 1560 * 8960), ("wan-1.3b 480p", 32_760 * 8960)]
    }
}

/// Gradient of [`gelu`](super::gelu()) by `x` from the gradient `dy` by its result; beyond ±20 the slope is 0 or 1.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn gelu_backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    each::<GeluBackward>(&[x, dy])
}
