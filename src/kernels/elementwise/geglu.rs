//! `y = gelu(gate) x`, tanh form: the gate of UMT5's feed-forward.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, GELU, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// A gate in gelu, tanh form, times a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geglu;

impl Pointwise for Geglu {
    const STEM: &'static str = "geglu";
    const SHADER: Source = wgsl!("elementwise/geglu.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, GELU];
    const INPUTS: &'static [&'static str] = &["gate", "x"];
    const RESULT: &'static str = "y";
    const FLOPS: f64 = 13.0;
}

#[cfg(feature = "verify")]
impl Formula for Geglu {
    const SUMMARY: &'static str = "gelu of a gate times a value";
    const TOLERANCE: (f64, f64, &'static str) = (1e-5, 2.0, "WGSL's exp errs by 3 + 2|x| ulp, times x");

    fn value(x: &[f64]) -> f64 {
        let [gate, x] = *x else { return f64::NAN };
        gelu_of(gate) * x
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n), inputs::tame(rng, [n], 1.0)]
    }

    fn gradient_of() -> Option<Gradient> {
        None
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("umt5-xxl 512 tokens", 512 * 10_240)]
    }
}

/// `gelu(gate) x`, element by element, of two tensors of one shape; the gate as in [`gelu`](super::gelu()).
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn geglu(gate: &Tensor, x: &Tensor) -> Result<Tensor> {
    each::<Geglu>(&[gate, x])
}
