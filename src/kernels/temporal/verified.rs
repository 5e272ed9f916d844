//! What proving the kernels of this family shares.

pub(super) use super::EPS_ENTROPY;
use super::temporal_loss::TERMS;
use super::{Magnitude, Normalisation, TemporalLoss, TemporalObjective};
pub(super) use crate::kernels::verified::*;

pub(super) const EPS_RANGE: f64 = 1e-6;
pub(super) const EPS_VARIANCE: f64 = 1e-6;
pub(super) const EPS_SIGNAL: f64 = 1e-8;

/// One group's terms, signal and gradient by sums and entropies.
pub(super) struct GroupLoss {
    pub(super) terms: [f64; TERMS],
    pub(super) signal: Vec<f64>,
    pub(super) dsums: Vec<f64>,
    pub(super) dentropies: Vec<f64>,
}

pub(super) fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count();
    if n == 0 { 0.0 } else { values.sum::<f64>() / n as f64 }
}

impl TemporalLoss {
    /// A side of the magnitude: its value and its derivative by one of the sums.
    pub(super) fn side(&self, sums: &[f64], members: &[bool]) -> (f64, f64) {
        let n = members.iter().filter(|&&m| m).count();
        if n == 0 {
            return (0.0, 0.0);
        }
        let n = if self.objective.normalisation == Normalisation::Paper { self.frames } else { n } as f64;
        let sum: f64 = sums.iter().zip(members).filter(|(_, m)| **m).map(|(s, _)| s).sum();
        match self.objective.magnitude {
            Magnitude::Sum => (sum / n, 1.0 / n),
            Magnitude::LogRatio => {
                let n = n * self.tokens as f64;
                ((sum / n + EPS_SIGNAL).ln(), 1.0 / (sum + EPS_SIGNAL * n))
            }
        }
    }

    /// The formula for one group.
    pub(super) fn group(&self, sums: &[f64], entropies: &[f64], mask: &[f64]) -> GroupLoss {
        let TemporalObjective { weights, tau, normalisation, .. } = self.objective;
        let [w_r, w_m, w_e, w_f] =
            [weights.correlation, weights.magnitude, weights.entropy, weights.flatness].map(f64::from);
        let tau = f64::from(tau);
        let (frames, tokens) = (self.frames, self.tokens as f64);
        let (first, count) = self.window();
        let window = first..first + count;
        let n = count as f64;

        let s: Vec<f64> = sums.iter().map(|s| s / tokens).collect();
        let low = smallest(s.iter().copied());
        let high = largest(s.iter().copied());
        let width = high - low + EPS_RANGE;
        let a: Vec<f64> = s.iter().map(|s| (s - low) / width).collect();

        let (mean_a, mean_m) = (mean(window.clone().map(|t| a[t])), mean(window.clone().map(|t| mask[t])));
        let covariance = mean(window.clone().map(|t| (a[t] - mean_a) * (mask[t] - mean_m)));
        let sigma_a = (mean(window.clone().map(|t| (a[t] - mean_a).powi(2))) + EPS_VARIANCE).sqrt();
        let sigma_m = (mean(window.clone().map(|t| (mask[t] - mean_m).powi(2))) + EPS_VARIANCE).sqrt();
        let r = covariance / (sigma_a * sigma_m);

        let on: Vec<bool> = mask.iter().map(|&m| m > tau).collect();
        let paper = normalisation == Normalisation::Paper;
        let off: Vec<bool> = mask.iter().map(|&m| if paper { m <= tau } else { m < tau }).collect();
        let (positive, by_on) = self.side(sums, &on);
        let (negative, by_off) = self.side(sums, &off);

        let on_count = on.iter().filter(|&&m| m).count();
        let on_divisor = if paper { frames } else { on_count.max(1) } as f64;
        let entropy =
            entropies.iter().zip(&on).filter(|(_, on)| **on).map(|(h, _)| h).sum::<f64>() / on_divisor;

        let is_static = on[0] && mask.iter().all(|&m| m == mask[0]);
        let scale = mean(window.clone().map(|t| s[t])) + EPS_SIGNAL;
        let deviation = |t: usize| (s[t] - (scale - EPS_SIGNAL)) / scale;
        let flatness = if is_static { mean(window.clone().map(|t| deviation(t).powi(2))) } else { 0.0 };

        // By the signal, then by the mean of a frame: directly and through minimum and maximum.
        let slope = |t: usize| match window.contains(&t) {
            true => {
                -w_r / n
                    * ((mask[t] - mean_m) / (sigma_a * sigma_m) - r * (a[t] - mean_a) / (sigma_a * sigma_a))
            }
            false => 0.0,
        };
        let all: f64 = (0..frames).map(slope).sum();
        let weighted: f64 = (0..frames).map(|t| slope(t) * a[t]).sum();
        let ties = |value: f64| s.iter().filter(|&&s| s == value).count() as f64;
        let dsums = (0..frames).map(|t| {
            let mut by_mean = slope(t) / width;
            by_mean -= if s[t] == high { weighted / width / ties(high) } else { 0.0 };
            by_mean += if s[t] == low { (weighted - all) / width / ties(low) } else { 0.0 };
            if is_static && window.contains(&t) {
                by_mean += w_f * 2.0 * (deviation(t) - flatness) / (scale * n);
            }
            by_mean / tokens - if on[t] { w_m * by_on } else { 0.0 } + if off[t] { w_m * by_off } else { 0.0 }
        });
        let total = -w_r * r + w_m * (negative - positive) + w_e * entropy + w_f * flatness;
        GroupLoss {
            terms: [r, -positive, negative, entropy, flatness, total],
            dsums: dsums.collect(),
            dentropies: on.iter().map(|&on| if on { w_e / on_divisor } else { 0.0 }).collect(),
            signal: a,
        }
    }

    pub(super) fn all_groups(&self, inputs: &[Array]) -> Vec<GroupLoss> {
        let [sums, entropies, masks] = inputs else { return Vec::new() };
        let rows = |x: &Array, g: usize| x.data[g * self.frames..(g + 1) * self.frames].to_vec();
        (0..self.groups).map(|g| self.group(&rows(sums, g), &rows(entropies, g), &rows(masks, g))).collect()
    }
}

/// Sum, entropy and mean slope of the entropy of one frame: the formula of the signal and, once more, of its gradient.
pub(super) fn frame_stats(frame: &[f64]) -> [f64; 3] {
    let sum: f64 = frame.iter().sum();
    let p = frame.iter().map(|a| a / (sum + EPS_ENTROPY));
    let (entropy, slope) = p.fold((0.0, 0.0), |(entropy, slope), p| {
        let log = (p + EPS_ENTROPY).ln();
        (entropy - p * log, slope + p * (log + p / (p + EPS_ENTROPY)))
    });
    [sum, entropy, slope]
}
