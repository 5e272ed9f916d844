//! What proving the kernels of this family shares.

pub(super) use super::pointwise::Formula;
pub(super) use crate::kernels::verified::*;

/// Normal values behind tails of both signs, zeros of both signs and a tiny value.
pub(super) fn with_tails(rng: &mut Pcg64, n: usize) -> Array {
    let mut x = inputs::normal(rng, [n], 3.0);
    let tails = [-1e4, 1e4, -30.0, 30.0, 0.0, -0.0, -8.0, 6e-8];
    x.data.iter_mut().skip(1).zip(tails).for_each(|(x, tail)| *x = tail);
    x
}
