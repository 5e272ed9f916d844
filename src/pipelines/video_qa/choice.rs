//! How many tokens are kept.

use crate::{Error, Result};
use std::ops::Range;

/// How many tokens are kept, and among which they compete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// So many of all.
    Count(usize),
    /// So many of all, as evenly as possible from every temporal step: of `k` in `n` steps each keeps `k / n`, the first `k mod n`
    /// one more; what a small step has not goes to larger ones. No moment is lost.
    PerStep(usize),
    /// This share of all, 0 to 1.
    Share(f32),
    /// This share of every temporal step's tokens.
    SharePerStep(f32),
    /// As few as together have this share of the score of all that is above 0, 0 to 1. The number is read back, once.
    Mass(f32),
}

impl Choice {
    /// Tokens of each temporal step, `k` together, where they have a quota each: a number as evenly as the steps' sizes allow, a
    /// share of every step's own tokens. What does not divide goes to the first steps that have room.
    pub(super) fn quotas(self, k: usize, groups: &[Range<usize>]) -> Vec<usize> {
        let (n, all) = (groups.len().max(1), groups.iter().map(Range::len).sum::<usize>());
        let own = |group: &Range<usize>| match self {
            Self::SharePerStep(_) => (k as u64 * group.len() as u64 / all.max(1) as u64) as usize,
            _ => (k / n).min(group.len()),
        };
        let mut quotas: Vec<usize> = groups.iter().map(own).collect();
        let mut left = k.min(all).saturating_sub(quotas.iter().sum());
        while left > 0 {
            for (quota, group) in quotas.iter_mut().zip(groups) {
                if left > 0 && *quota < group.len() {
                    *quota += 1;
                    left -= 1;
                }
            }
        }
        quotas
    }

    /// How many of all, where that does not depend on scores.
    pub(super) fn count(self, all: usize) -> Result<Option<usize>> {
        let asked = match self {
            Self::Count(k) | Self::PerStep(k) => k,
            Self::Share(share) | Self::SharePerStep(share) => Self::count_of(share, all)?,
            Self::Mass(share) => {
                Self::count_of(share, all)?;
                return Ok(None);
            }
        };
        if asked > all {
            return Err(Error::input("tokens kept", format!("{asked} of {all}")));
        }
        Ok(Some(asked))
    }

    fn count_of(share: f32, all: usize) -> Result<usize> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::input("tokens kept", format!("a share of {share}: 0 to 1")));
        }
        Ok((f64::from(share) * all as f64).round() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_even_and_lose_nothing() {
        let even: Vec<Range<usize>> = (0..8).map(|i| i * 25..(i + 1) * 25).collect();
        assert_eq!(Choice::PerStep(50).quotas(50, &even), [7, 7, 6, 6, 6, 6, 6, 6]);
        assert_eq!(Choice::SharePerStep(0.25).quotas(50, &even), [7, 7, 6, 6, 6, 6, 6, 6]);
        let uneven = [0..10, 10..20, 20..110, 110..200];
        assert_eq!(Choice::PerStep(100).quotas(100, &uneven), [10, 10, 40, 40]);
        assert_eq!(Choice::SharePerStep(0.5).quotas(100, &uneven), [5, 5, 45, 45]);
        for choice in [Choice::PerStep(0), Choice::SharePerStep(0.0)] {
            for k in 0..=200 {
                let quotas = choice.quotas(k, &uneven);
                assert_eq!(quotas.iter().sum::<usize>(), k);
                assert!(quotas.iter().zip(&uneven).all(|(quota, group)| *quota <= group.len()));
            }
        }
        assert_eq!(Choice::PerStep(3).quotas(3, &[]), Vec::<usize>::new());
    }
}
