//! Means over clips, and how sure they are.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Samples of the bootstrap.
const DRAWS: usize = 10_000;
/// Share of the samples inside the interval.
const INSIDE: f64 = 0.95;

/// Mean; none of nothing.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Middle value, the mean of the two middle ones where there are two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted.get(low)? + sorted.get(high)?) / 2.0)
}

/// A mean of paired differences with the interval that holds 95 % of the means of resampled pairs.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Difference {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Compares pairs (before, after). The same pairs give the same interval.
pub(crate) fn difference(pairs: &[(f64, f64)]) -> Option<Difference> {
    let changes: Vec<f64> = pairs.iter().map(|(before, after)| after - before).collect();
    let count = changes.len();
    let mut rng = Pcg64::seed_from_u64(95);
    // The high half of a product of 64 bits is uniform over 0..count but for a bias below count / 2^64.
    let mut pick = || ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize;
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| (0..count).filter_map(|_| changes.get(pick())).sum::<f64>() / count.max(1) as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means.get((share * (DRAWS - 1) as f64).round() as usize).copied();
    Some(Difference {
        mean: mean(&changes)?,
        low: at((1.0 - INSIDE) / 2.0)?,
        high: at((1.0 + INSIDE) / 2.0)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_few_values() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 4.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn a_constant_change_is_certain() {
        let found = difference(&[(0.25, 0.5), (0.5, 0.75), (0.0, 0.25)]).unwrap();
        assert_eq!(found, Difference { mean: 0.25, low: 0.25, high: 0.25 });
        assert_eq!(difference(&[]), None);
    }

    #[test]
    fn the_interval_is_that_of_the_normal_law_for_many_pairs() {
        // 400 changes of ±1 have a standard error of 0.05.
        let pairs: Vec<(f64, f64)> = (0..400).map(|i| (0.0, if i % 2 == 0 { 1.0 } else { -1.0 })).collect();
        let found = difference(&pairs).unwrap();
        assert_eq!(found.mean, 0.0);
        assert!((found.low + 0.098).abs() < 0.01 && (found.high - 0.098).abs() < 0.01, "{found:?}");
    }
}
