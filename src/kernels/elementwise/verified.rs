//! What proving the kernels of this family shares.

pub(super) use crate::kernels::verified::*;

/// Tails of both signs, zeros of both signs and a tiny value, over the first elements.
pub(super) fn add_tails(x: &mut Array) {
    let tails = [-1e4, 1e4, -30.0, 30.0, 0.0, -0.0, -8.0, 6e-8];
    x.data.iter_mut().skip(1).zip(tails).for_each(|(x, tail)| *x = tail);
}

pub(super) fn map(a: &Array, f: impl Fn(f64) -> f64) -> Array {
    Array::from_fn(a.shape.clone(), |i| f(a.data[i]))
}

pub(super) fn map2(a: &Array, b: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
    Array::from_fn(a.shape.clone(), |i| f(a.data[i], b.data[i]))
}
