//! How many tokens are kept.

use crate::{Error, Result};
use std::ops::Range;

/// How many tokens are kept, and among which they compete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// So many of all.
    Count(usize),
    /// So many of all, as evenly as possible from every temporal step: of `k` in `n` steps each keeps `k / n`, the first `k mod n`
    /// one more. No moment is lost.
    PerStep(usize),
    /// This share of all, 0 to 1.
    Share(f32),
    /// This share of all, as evenly as possible from every temporal step.
    SharePerStep(f32),
    /// As few as together have this share of the score of all, 0 to 1. The number is read back, once.
    Mass(f32),
}

impl Choice {
    /// Tokens of each temporal step, where they have a quota each.
    pub(super) fn quotas(k: usize, groups: &[Range<usize>]) -> Vec<usize> {
        let n = groups.len().max(1);
        groups
            .iter()
            .enumerate()
            .map(|(i, group)| (k / n + usize::from(i < k % n)).min(group.len()))
            .collect()
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
