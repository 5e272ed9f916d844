//! The measures that CMU-MOSI, CMU-MOSEI and CH-SIMS results are published in.
//!
//! Source: thuiar/MMSA, whose arithmetic in f32 (bin edges, clipping, rounding half to even) is kept.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which data set's conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// CMU-MOSI and CMU-MOSEI: labels in −3..3.
    Mosi,
    /// CH-SIMS: labels in −1..1.
    Sims,
}

/// Shares are in 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metrics {
    /// In the conventions of CMU-MOSI and CMU-MOSEI.
    Mosi(MosiMetrics),
    /// In the conventions of CH-SIMS.
    Sims(SimsMetrics),
}

/// Measures for labels in −3..3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MosiMetrics {
    /// Negative against not negative, over all clips.
    pub has0_acc2: f64,
    /// F1 of the same, weighted by the classes' sizes.
    pub has0_f1: f64,
    /// Negative against positive, over clips whose label is not 0.
    pub non0_acc2: f64,
    /// F1 of the same, weighted by the classes' sizes.
    pub non0_f1: f64,
    /// Rounded to −2..2.
    pub acc5: f64,
    /// Rounded to −3..3.
    pub acc7: f64,
    /// Mean absolute error, not clamped.
    pub mae: f64,
    /// Pearson's correlation; NaN where scores or labels are all alike.
    pub corr: f64,
}

/// Measures for labels in −1..1; scores and labels are clamped to that first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SimsMetrics {
    /// Up to 0 against above.
    pub acc2: f64,
    /// Cut at ±0.1.
    pub acc3: f64,
    /// Cut at ±0.1 and ±0.7.
    pub acc5: f64,
    /// F1 of the two classes, weighted by their sizes.
    pub f1: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Pearson's correlation; NaN where scores or labels are all alike.
    pub corr: f64,
}

impl Metrics {
    /// Measures of scores against labels.
    ///
    /// # Errors
    /// [`Error::Input`] for no clip or as many labels as scores not; [`Error::NonFinite`].
    pub fn of(convention: Convention, scores: &[f32], labels: &[f32]) -> Result<Self> {
        if scores.is_empty() || scores.len() != labels.len() {
            let reason = format!("{} scores for {} labels", scores.len(), labels.len());
            return Err(Error::input("metrics", reason));
        }
        for (what, values) in [("scores", scores), ("labels", labels)] {
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(Error::NonFinite { what: what.into(), index });
            }
        }
        Ok(match convention {
            Convention::Mosi => Self::Mosi(mosi(scores, labels)),
            Convention::Sims => Self::Sims(sims(scores, labels)),
        })
    }

    /// Mean absolute error.
    pub fn mae(&self) -> f64 {
        match self {
            Self::Mosi(m) => m.mae,
            Self::Sims(m) => m.mae,
        }
    }

    /// Names and values, in the order of the published tables.
    pub fn rows(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::Mosi(m) => vec![
                ("Acc-2 has0", m.has0_acc2),
                ("F1 has0", m.has0_f1),
                ("Acc-2 non0", m.non0_acc2),
                ("F1 non0", m.non0_f1),
                ("Acc-5", m.acc5),
                ("Acc-7", m.acc7),
                ("MAE", m.mae),
                ("Corr", m.corr),
            ],
            Self::Sims(m) => vec![
                ("Acc-2", m.acc2),
                ("Acc-3", m.acc3),
                ("Acc-5", m.acc5),
                ("F1", m.f1),
                ("MAE", m.mae),
                ("Corr", m.corr),
            ],
        }
    }
}

fn mosi(scores: &[f32], labels: &[f32]) -> MosiMetrics {
    let rounded = |bound: f32| share(scores, labels, |v| v.clamp(-bound, bound).round_ties_even());
    let sign = |s: &[f32], l: &[f32], of: fn(f32) -> bool| {
        let (s, l): (Vec<bool>, Vec<bool>) =
            (s.iter().map(|&v| of(v)).collect(), l.iter().map(|&v| of(v)).collect());
        (share(&s, &l, |v| v), weighted_f1(&s, &l))
    };
    let (has0_acc2, has0_f1) = sign(scores, labels, |v| v >= 0.0);
    let kept = scores.iter().zip(labels).filter(|(_, l)| **l != 0.0);
    let (s, l): (Vec<f32>, Vec<f32>) = kept.map(|(s, l)| (*s, *l)).unzip();
    let (non0_acc2, non0_f1) = sign(&s, &l, |v| v > 0.0);
    MosiMetrics {
        has0_acc2,
        has0_f1,
        non0_acc2,
        non0_f1,
        acc5: rounded(2.0),
        acc7: rounded(3.0),
        mae: mean_absolute_error(scores, labels),
        corr: correlation(scores, labels),
    }
}

fn sims(scores: &[f32], labels: &[f32]) -> SimsMetrics {
    let clamped = |v: &[f32]| v.iter().map(|x| x.clamp(-1.0, 1.0)).collect::<Vec<_>>();
    let (scores, labels) = (clamped(scores), clamped(labels));
    // Classes are closed on the right.
    let cut = |edges: &'static [f32]| share(&scores, &labels, |v| edges.iter().filter(|&&e| v > e).count());
    let positive = |v: &[f32]| v.iter().map(|&x| x > 0.0).collect::<Vec<_>>();
    SimsMetrics {
        acc2: cut(&[0.0]),
        acc3: cut(&[-0.1, 0.1]),
        acc5: cut(&[-0.7, -0.1, 0.1, 0.7]),
        f1: weighted_f1(&positive(&scores), &positive(&labels)),
        mae: mean_absolute_error(&scores, &labels),
        corr: correlation(&scores, &labels),
    }
}

/// Share of places where both fall into one class.
fn share<T: Copy, C: PartialEq>(a: &[T], b: &[T], class: impl Fn(T) -> C) -> f64 {
    let same = a.iter().zip(b).filter(|(a, b)| class(**a) == class(**b)).count();
    same as f64 / a.len() as f64
}

/// Each class's F1, weighted by its share of the labels.
fn weighted_f1(found: &[bool], truth: &[bool]) -> f64 {
    let of = |class: bool| {
        let count = |f: bool, t: bool| {
            found.iter().zip(truth).filter(|&(&a, &b)| (a == class) == f && (b == class) == t).count() as f64
        };
        let (hit, false_alarm, miss) = (count(true, true), count(true, false), count(false, true));
        let f1 = if hit > 0.0 { 2.0 * hit / (2.0 * hit + false_alarm + miss) } else { 0.0 };
        f1 * (hit + miss)
    };
    (of(false) + of(true)) / truth.len() as f64
}

fn mean_absolute_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |v: &[f32]| v.iter().map(|&x| f64::from(x)).sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (f64::from(x) - ma, f64::from(y) - mb);
        (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
    }
    ab / (aa * bb).sqrt()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn perfect_scores_are_perfect_and_faults_are_named() {
        let labels = [-2.4, -0.2, 0.0, 1.5, 3.0];
        let Metrics::Mosi(m) = Metrics::of(Convention::Mosi, &labels, &labels).unwrap() else { panic!() };
        for one in [m.has0_acc2, m.has0_f1, m.non0_acc2, m.non0_f1, m.acc5, m.acc7, m.corr] {
            assert!((one - 1.0).abs() < 1e-12);
        }
        assert_eq!(m.mae, 0.0);
        let error = |s: &[f32], l: &[f32]| Metrics::of(Convention::Sims, s, l).unwrap_err().to_string();
        assert!(error(&[1.0], &[]).contains("1 scores for 0 labels"));
        assert!(error(&[f32::NAN], &[1.0]).contains("scores"));
    }

    #[test]
    fn classes_of_ties_and_edges() {
        let Metrics::Mosi(m) = Metrics::of(Convention::Mosi, &[0.5, 1.5, 9.0], &[0.0, 2.0, 3.0]).unwrap()
        else {
            panic!()
        };
        // Half to even: 0.5 is 0, 1.5 is 2; 9 is clamped.
        assert_eq!((m.acc5, m.acc7), (1.0, 1.0));
        let Metrics::Sims(m) = Metrics::of(Convention::Sims, &[0.1, 0.11, -5.0], &[0.0, 0.7, -1.0]).unwrap()
        else {
            panic!()
        };
        assert_eq!((m.acc3, m.acc5, m.acc2), (1.0, 1.0, 2.0 / 3.0));
    }
}
