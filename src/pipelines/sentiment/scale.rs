//! The scale on which a model takes audio features.

use super::features::FeatureSet;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Least deviation of a column that is scaled by it. A column that is constant in training says nothing, and dividing by
/// what rounding left of it would make any other value enormous.
const CONSTANT: f64 = 1e-3;

/// A set in words; features of MMSA's files have no name.
fn named(set: Option<&FeatureSet>, width: usize) -> String {
    set.map_or_else(|| format!("features without a name ({width} columns)"), ToString::to_string)
}

/// Two sets, with their widths, in words that tell them apart; none where they are the same.
pub(super) fn apart(
    (found, found_width): (Option<&FeatureSet>, usize),
    (expected, width): (Option<&FeatureSet>, usize),
) -> Option<[String; 2]> {
    if found == expected {
        return None;
    }
    let mut words = [named(found, found_width), named(expected, width)];
    // Of one name and version, and made by programs that do not agree on what those are.
    if let (Some(found), Some(expected)) = (found, expected)
        && words[0] == words[1]
        && let Some((a, b)) = found.columns.iter().zip(&expected.columns).find(|(a, b)| a != b)
    {
        for (words, column) in words.iter_mut().zip([a, b]) {
            let column: String = column.chars().take(60).collect();
            words.push_str(&format!(" with a column `{column}`"));
        }
    }
    Some(words)
}

/// A feature set with the mean and deviation of each column over the clips that a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioScale {
    /// The columns.
    pub features: FeatureSet,
    /// Mean of each.
    pub mean: Vec<f32>,
    /// Deviation of each; 1 of a column that is constant.
    pub deviation: Vec<f32>,
}

impl AudioScale {
    /// Of the rows of clips; those without audio have no say.
    ///
    /// # Errors
    /// [`Error::Input`] for no rows at all, or columns of another number than the set names.
    pub(super) fn of<'a>(
        features: FeatureSet,
        clips: impl Iterator<Item = &'a [f32]> + Clone,
    ) -> Result<Self> {
        let width = features.columns.len();
        let rows = || clips.clone().flat_map(|clip| clip.chunks_exact(width.max(1)));
        let count = rows().count() as f64;
        if count == 0.0 {
            return Err(Error::input("audio", "no training clip has any, so its columns have no scale"));
        }
        let mut mean = vec![0.0f64; width];
        for row in rows() {
            mean.iter_mut().zip(row).for_each(|(mean, v)| *mean += f64::from(*v) / count);
        }
        let mut square = vec![0.0f64; width];
        for row in rows() {
            let apart = square.iter_mut().zip(&mean).zip(row);
            apart.for_each(|((square, mean), v)| *square += (f64::from(*v) - mean).powi(2) / count);
        }
        let deviation = square.iter().map(|square| square.sqrt());
        let deviation = deviation.map(|d| if d > CONSTANT { d as f32 } else { 1.0 }).collect();
        let this = Self { features, mean: mean.iter().map(|&m| m as f32).collect(), deviation };
        this.check(width)?;
        Ok(this)
    }

    /// Refuses what a file may hold and no training run makes.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub(super) fn check(&self, width: usize) -> Result<()> {
        let refuse = |reason: String| Err(Error::input("audio scale", reason));
        if let Err(reason) = self.features.check(width) {
            return refuse(reason);
        }
        for (what, values) in [("means", &self.mean), ("deviations", &self.deviation)] {
            if values.len() != width {
                return refuse(format!("{} {what} for {width} columns", values.len()));
            }
        }
        let sound = |(mean, deviation): (&f32, &f32)| {
            mean.is_finite() && deviation.is_finite() && *deviation >= CONSTANT as f32
        };
        match self.mean.iter().zip(&self.deviation).position(|pair| !sound(pair)) {
            Some(at) => {
                let (mean, deviation) = (self.mean[at], self.deviation[at]);
                refuse(format!("column {at} has mean {mean} and deviation {deviation}"))
            }
            None => Ok(()),
        }
    }

    /// Rows by the scale: less the mean, over the deviation.
    pub(super) fn applied(&self, rows: &[f32]) -> Vec<f32> {
        let scales = self.mean.iter().zip(&self.deviation).cycle();
        rows.iter().zip(scales).map(|(v, (mean, deviation))| (v - mean) / deviation).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn set(columns: &[&str]) -> FeatureSet {
        FeatureSet { name: "mine".into(), version: 1, columns: columns.iter().map(|&c| c.into()).collect() }
    }

    #[test]
    fn columns_are_scaled_by_the_training_clips() {
        let clips: [&[f32]; 3] = [&[1.0, 7.0, 3.0, 7.0], &[], &[5.0, 7.0]];
        let scale = AudioScale::of(set(&["a", "b"]), clips.into_iter()).unwrap();
        assert_eq!((scale.mean.as_slice(), scale.deviation[1]), (&[3.0, 7.0][..], 1.0));
        assert!((scale.deviation[0] - (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
        let found = scale.applied(&[3.0, 7.5, 3.0 + scale.deviation[0], 7.0]);
        assert_eq!(found, [0.0, 0.5, 1.0, 0.0]);
        let error = AudioScale::of(set(&["a"]), [&[][..]].into_iter()).unwrap_err().to_string();
        assert_eq!(error, "audio: no training clip has any, so its columns have no scale");
    }

    #[test]
    fn sets_are_told_apart() {
        let (one, other) = (set(&["a", "b"]), set(&["a", "c"]));
        let words = |a: Option<&FeatureSet>, b: Option<&FeatureSet>| apart((a, 2), (b, 3)).unwrap();
        assert_eq!(apart((Some(&one), 2), (Some(&one), 2)), None);
        assert_eq!(apart((None, 2), (None, 3)), None, "widths are compared by whoever asks");
        let [found, expected] = words(Some(&one), None);
        assert_eq!(found, "`mine` version 1 (2 columns)");
        assert_eq!(expected, "features without a name (3 columns)");
        let [found, expected] = words(Some(&one), Some(&other));
        assert_eq!(found, "`mine` version 1 (2 columns) with a column `b`");
        assert_eq!(expected, "`mine` version 1 (2 columns) with a column `c`");
    }

    #[test]
    fn scales_and_sets_that_make_no_sense_are_refused() {
        let good = AudioScale { features: set(&["a", "b"]), mean: vec![0.0; 2], deviation: vec![1.0; 2] };
        good.check(2).unwrap();
        let error = |edit: fn(&mut AudioScale)| {
            let mut scale = good.clone();
            edit(&mut scale);
            scale.check(2).unwrap_err().to_string()
        };
        assert!(error(|s| s.mean.truncate(1)).contains("1 means for 2 columns"));
        assert!(error(|s| s.deviation[1] = 0.0).contains("column 1 has mean 0 and deviation 0"));
        assert!(error(|s| s.mean[0] = f32::NAN).contains("column 0"));
        assert!(error(|s| s.features.columns.truncate(1)).contains("1 names for 2 columns"));
        assert!(error(|s| s.features.columns[1] = "a".into()).contains("`a` comes twice"));
        assert!(error(|s| s.features.name.clear()).contains("no name"));
    }
}
