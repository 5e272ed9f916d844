//! What proving the kernels of this family shares.

pub(super) use super::EPS_ENTROPY;
pub(super) use crate::kernels::verified::*;

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
