//! Means over clips, and how sure they are.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde::Serialize;

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

/// A mean with the interval that holds 95 % of the means of resampled values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Mean of values and its percentile bootstrap interval; none of nothing. The same values give the same interval.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    let count = values.len();
    let mean = mean(values)?;
    let mut rng = Pcg64::seed_from_u64(95);
    // The high half of a product of 64 bits is uniform over 0..count but for a bias below count / 2^64.
    let mut pick = || ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize;
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| (0..count).filter_map(|_| values.get(pick())).sum::<f64>() / count as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means.get((share * (DRAWS - 1) as f64).round() as usize).copied();
    Some(Estimate { mean, low: at((1.0 - INSIDE) / 2.0)?, high: at((1.0 + INSIDE) / 2.0)? })
}

/// Compares pairs (before, after) by the mean of their differences, so that what the pair shares drops out.
pub(crate) fn difference(pairs: &[(f64, f64)]) -> Option<Estimate> {
    estimate(&pairs.iter().map(|(before, after)| after - before).collect::<Vec<_>>())
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
    fn what_never_varies_is_certain() {
        let found = difference(&[(0.25, 0.5), (0.5, 0.75), (0.0, 0.25)]).unwrap();
        assert_eq!(found, Estimate { mean: 0.25, low: 0.25, high: 0.25 });
        assert_eq!(estimate(&[0.5]), Some(Estimate { mean: 0.5, low: 0.5, high: 0.5 }));
        assert_eq!(difference(&[]), None);
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn the_interval_is_that_of_the_normal_law_for_many_values() {
        // 400 values of ±1 have a standard error of 0.05.
        let values: Vec<f64> = (0..400).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let found = estimate(&values).unwrap();
        assert_eq!(found.mean, 0.0);
        assert!((found.low + 0.098).abs() < 0.01 && (found.high - 0.098).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn pairs_are_surer_than_their_halves() {
        // Prompts differ much, and each gains 0.1 or 0.2.
        let pairs: Vec<(f64, f64)> = (0..48)
            .map(|i| (f64::from(i % 8) / 8.0, f64::from(i % 8) / 8.0 + 0.1 + 0.1 * f64::from(i % 2)))
            .collect();
        let width = |e: Estimate| e.high - e.low;
        let paired = difference(&pairs).unwrap();
        let alone = estimate(&pairs.iter().map(|p| p.1).collect::<Vec<_>>()).unwrap();
        assert!((paired.mean - 0.15).abs() < 1e-12 && paired.low > 0.1, "{paired:?}");
        assert!(width(paired) < 0.25 * width(alone), "{paired:?} {alone:?}");
    }
}
