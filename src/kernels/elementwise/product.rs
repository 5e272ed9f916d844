//! `y = a ⊙ b`, element by element. Linear in `a`: the gradient by `a` is the product of `dy` and `b`.

#[cfg(feature = "verify")]
use super::verified::*;
use super::{Pointwise, each};
use crate::shader::Source;
use crate::{Result, Tensor, wgsl};

/// The product of two tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product;

impl Pointwise for Product {
    const STEM: &'static str = "product";
    const SHADER: Source = wgsl!("elementwise/product.wgsl");
    const MODULES: &'static [Source] = &[];
    const INPUTS: &'static [&'static str] = &["a", "b"];
    const RESULT: &'static str = "y";
    const FLOPS: f64 = 1.0;
}

#[cfg(feature = "verify")]
impl Formula for Product {
    const SUMMARY: &'static str = "product of two tensors, element by element";
    const TOLERANCE: (f64, f64, &'static str) = (1e-6, 1.0, "one rounded product");

    fn value(x: &[f64]) -> f64 {
        let [a, b] = *x else { return f64::NAN };
        a * b
    }

    fn inputs(rng: &mut Pcg64, n: usize) -> Vec<Array> {
        vec![inputs::normal(rng, [n], 1.0), inputs::tame(rng, [n], 1.0)]
    }

    fn gradient_of() -> Option<Gradient> {
        Some(Gradient::linear(Self::STEM, |inputs, x| {
            let [dy, b] = inputs else { return f64::NAN };
            x.data.iter().zip(&b.data).zip(&dy.data).map(|((x, b), dy)| x * b * dy).sum()
        }))
    }

    fn bench_cases() -> Vec<(&'static str, usize)> {
        vec![("dashfusion 16 clips of vision", 16 * 501 * 128)]
    }
}

/// Product of two tensors of one shape and storage type.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    each::<Product>(&[a, b])
}
