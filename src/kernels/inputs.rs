//! Inputs that try to break a kernel.

use crate::Shape;
use crate::tensor::Array;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// Normal values with a few outliers of twenty times the spread.
pub fn normal(rng: &mut Pcg64, shape: impl Into<Shape>, std: f64) -> Array {
    Array::from_fn(shape, |_| {
        let x: f64 = StandardNormal.sample(rng);
        if rng.random_bool(0.01) { x * std * 20.0 } else { x * std }
    })
}

/// Normal values without outliers, for operands whose products would otherwise leave f16's range.
pub fn tame(rng: &mut Pcg64, shape: impl Into<Shape>, std: f64) -> Array {
    Array::from_fn(shape, |_| {
        let x: f64 = StandardNormal.sample(rng);
        x * std
    })
}

/// Makes some rows large, from the fifth: every fourth has one number of 1e25, wherever that lies, and another in four is
/// 1e18 times what it was. Squares of either overflow.
pub fn enlarge(x: &mut Array, cols: usize) {
    for (r, row) in x.data.chunks_exact_mut(cols.max(1)).enumerate().skip(4) {
        match r % 4 {
            0 => row[r / 4 * 21 % cols] = 1e25,
            2 => row.iter_mut().for_each(|v| *v *= 1e18),
            _ => {}
        }
    }
}

/// Uniform values.
pub fn uniform(rng: &mut Pcg64, shape: impl Into<Shape>, low: f64, high: f64) -> Array {
    Array::from_fn(shape, |_| rng.random_range(low..high))
}

/// Indices below `end`.
pub fn indices(rng: &mut Pcg64, shape: impl Into<Shape>, end: usize) -> Array {
    Array::from_fn(shape, |_| rng.random_range(0..end.max(1)) as f64)
}
