//! What proving the kernels of this family shares.

pub(super) use crate::kernels::verified::*;
use rand::RngExt;

/// What a table's weight says: above 0 there is a pair, with that weight, and elsewhere none, whatever its similarity. A
/// weight that is no number counts, so that it is seen.
pub(super) fn weight_of(weight: f64) -> Option<f64> {
    (!(weight <= 0.0)).then_some(weight)
}

/// Weighted loss of every pair, and 0 for what is no pair: the formula of both NT-Xent kernels.
pub(super) fn pair_losses(
    rows: usize,
    temperature: f32,
    s: &[f64],
    positives: &[f64],
    negatives: &[f64],
) -> Vec<f64> {
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
pub(super) fn similarity_and_tables(rng: &mut Pcg64, batch: usize, rows: usize) -> Vec<Array> {
    let similarity = inputs::uniform(rng, [batch, rows, rows], -1.0, 1.0);
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

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
