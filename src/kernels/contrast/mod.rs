//! Contrasts between vectors: which are alike, and how far they are from being as alike as they should be.

pub mod gram;
pub mod gram_backward;
pub mod nt_xent;
pub mod nt_xent_backward;

pub use gram::{Gram, gram};
pub use gram_backward::{GramBackward, gram_backward};
pub use nt_xent::{NtXent, nt_xent};
pub use nt_xent_backward::{NtXentBackward, nt_xent_backward};

use super::formula::largest;
use crate::tensor::Array;
use crate::{Error, Result, Tensor};
use rand::RngExt;
use rand_pcg::Pcg64;

/// Batch, rows and width of `x (batch, rows, dim)`.
fn sizes(stem: &'static str, x: &Tensor) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(x.dims())
        .map_err(|_| Error::problem(stem, format!("{} has not three axes", x.shape())))
}

fn check_sizes(stem: &'static str, sizes: [usize; 3]) -> Result<()> {
    if sizes.iter().try_fold(1usize, |p, &d| p.checked_mul(d)).is_none_or(|n| n == 0 || n >= 1 << 31) {
        return Err(Error::problem(stem, format!("sizes {sizes:?}: 1.. with a product below 2^31")));
    }
    Ok(())
}

fn check_temperature(stem: &'static str, temperature: f32) -> Result<()> {
    // Its reciprocal is what the shader multiplies with.
    if temperature.is_finite() && temperature > 0.0 && temperature.recip().is_finite() {
        return Ok(());
    }
    Err(Error::problem(stem, format!("temperature {temperature}: a positive number is needed")))
}

/// What a table's weight says: above 0 there is a pair, with that weight, and elsewhere none, whatever its similarity. A
/// weight that is no number counts, so that it is seen.
fn weight_of(weight: f64) -> Option<f64> {
    (!(weight <= 0.0)).then_some(weight)
}

/// Weighted loss of every pair, and 0 for what is no pair: the formula of both NT-Xent kernels.
fn pair_losses(rows: usize, temperature: f32, s: &[f64], positives: &[f64], negatives: &[f64]) -> Vec<f64> {
    let t = f64::from(temperature);
    let loss = |at: usize| {
        let (first, anchor) = (at / rows * rows, at % (rows * rows) / rows * rows);
        let Some(weight) = weight_of(positives[at % (rows * rows)]) else { return 0.0 };
        let negatives = || (0..rows).filter_map(|n| Some((s[first + n], weight_of(negatives[anchor + n])?)));
        let top = largest(negatives().map(|(s, _)| s).chain([s[at]]));
        let near = |s: f64| ((s - top) / t).exp();
        let others: f64 = negatives().map(|(s, weight)| weight * near(s)).sum();
        weight * ((near(s[at]) + others).ln() - (s[at] - top) / t)
    };
    (0..s.len()).map(loss).collect()
}

/// Similarities in −1..1 and tables: the first anchor has no negative, the last no positive.
fn inputs(rng: &mut Pcg64, batch: usize, rows: usize) -> Vec<Array> {
    let similarity = super::inputs::uniform(rng, [batch, rows, rows], -1.0, 1.0);
    let mut table = |of: fn(usize, usize) -> bool| {
        Array::from_fn([rows, rows], |i| {
            let there = of(i / rows, rows) && rng.random_bool(0.4);
            if there { rng.random_range(0.1..2.0) } else { 0.0 }
        })
    };
    let positives = table(|anchor, rows| anchor + 1 < rows);
    let negatives = table(|anchor, _| anchor > 0);
    vec![similarity, positives, negatives]
}
