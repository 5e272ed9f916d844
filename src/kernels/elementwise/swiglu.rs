//! `y = silu(gate) x`: the gate of the feed-forward layers of Llama and Qwen.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{BETWEEN, LOGISTIC, Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// A gate in silu times a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swiglu;

impl Pointwise for Swiglu {
    const STEM: &'static str = "swiglu";
    const SHADER: Source = wgsl!("elementwise/swiglu.wgsl");
    const MODULES: &'static [Source] = &[BETWEEN, LOGISTIC];
    const INPUTS: &'static [&'static str] = &["gate", "x"];
    const RESULT: &'static str = "y";
    const FLOPS: f64 = 6.0;
}

#[cfg(feature = "verify")]
impl Formula for Swiglu {
    const SUMMARY: &'static str = "silu of a gate times a value";
    const TOLERANCE: (f64, f64, &'static str) =
        (1e-5, 2.0, "WGSL's exp errs by 3 + 2|x| ulp, its quotient by 2.5, times x");

    fn value(x: &[f64]) -> f64 {
        let [gate, x] = *x else { return f64::NAN };
        gate.clamp(-800.0, f64::INFINITY) * logistic(gate) * x
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![with_tails(rng, n), inputs::tame(rng, [n], 1.0)]
    }

    fn gradient_of() -> Option<Gradient> {
        None
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![
            ("qwen2.5-vl-3b a token", 11_008),
            ("qwen2.5-vl-3b vision, a temporal slice of 480x270", 680 * 3420),
        ]
    }
}

/// `silu(gate) x`, element by element, of two tensors of one shape; the gate as in [`silu`](super::silu()).
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) for shapes that differ; otherwise those of
/// [`kernels::run`](crate::kernels::run()).
pub fn swiglu(gate: &Tensor, x: &Tensor) -> Result<Tensor> {
    each::<Swiglu>(&[gate, x])
}
