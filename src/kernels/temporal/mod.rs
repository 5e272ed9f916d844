//! The temporal objective: how well the attention that words get over time follows a wish, and in which direction the
//! attention map should move.
//!
//! `map (groups, frames, tokens)` holds one attention map for each group of words: the probability that a place looks
//! at the words, averaged over layers, heads and the group's words. `masks (groups, frames)` holds the wish: near 1
//! where the words should be seen, near 0 where not.
//!
//! Three kernels: [`TemporalSignal`] reduces each frame to its sum and entropy, [`TemporalLoss`] makes the terms and
//! their gradient by those, [`TemporalSignalBackward`] carries it to the map. [`temporal_loss()`] runs them.

pub mod temporal_loss;
pub mod temporal_signal;
pub mod temporal_signal_backward;
#[cfg(feature = "verify")]
mod verified;

pub use temporal_loss::TemporalLoss;
pub use temporal_signal::TemporalSignal;
pub use temporal_signal_backward::TemporalSignalBackward;

use super::{Kernel, run};
use crate::{Dtype, Error, Result, Tensor};

/// Keeps a frame's probabilities and their logarithms finite.
#[cfg(feature = "verify")]
pub(crate) const EPS_ENTROPY: f64 = 1e-10;

/// Weights of the terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalWeights {
    /// Of the correlation with the mask.
    pub correlation: f32,
    /// Of the attention where the mask is on and off.
    pub magnitude: f32,
    /// Of the spatial entropy where the mask is on.
    pub entropy: f32,
    /// Of the variance over time, for masks that are always on.
    pub flatness: f32,
}

/// What magnitude and entropy divide by, and where a mask counts as off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalisation {
    /// By the number of frames that are on (or off); a mask equal to τ is neither. As the authors' code does.
    Released,
    /// By the number of all frames; a mask equal to τ is off. As the paper writes it.
    Paper,
}

/// How attention where the mask is on is weighed against attention where it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Magnitude {
    /// The difference of the sums over a frame: grows with the level of attention.
    Sum,
    /// The logarithm of the ratio of their means: the same at every level of attention.
    LogRatio,
}

/// Options of the temporal objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalObjective {
    /// Weights of the terms.
    pub weights: TemporalWeights,
    /// Masks above it are on.
    pub tau: f32,
    /// Divisors of the means.
    pub normalisation: Normalisation,
    /// Form of the magnitude.
    pub magnitude: Magnitude,
    /// Frames at the start that correlation and flatness leave out.
    pub skip_first: usize,
    /// Frames at the end that correlation and flatness leave out.
    pub skip_last: usize,
}

impl TemporalObjective {
    /// As the authors' released code computes it.
    pub fn released() -> Self {
        Self {
            weights: TemporalWeights { correlation: 1.0, magnitude: 0.3, entropy: 10.0, flatness: 0.0 },
            tau: 0.7,
            normalisation: Normalisation::Released,
            magnitude: Magnitude::Sum,
            skip_first: 1,
            skip_last: 1,
        }
    }

    /// As the paper writes it: only the first frame is left out, means are over all frames.
    pub fn paper() -> Self {
        Self { normalisation: Normalisation::Paper, skip_last: 0, ..Self::released() }
    }

    /// Every term keeps its weight whatever the level of attention, and words that are always wanted are kept steady.
    /// A level of attention twice as high halves every gradient; their balance stays.
    pub fn scale_free() -> Self {
        Self {
            weights: TemporalWeights { correlation: 1.0, magnitude: 1.0, entropy: 0.2, flatness: 1.0 },
            magnitude: Magnitude::LogRatio,
            skip_first: 0,
            skip_last: 0,
            ..Self::released()
        }
    }
}

/// The terms of one group.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupTerms {
    /// Pearson correlation of the signal with the mask.
    pub correlation: f32,
    /// Minus the attention where the mask is on.
    pub positive_magnitude: f32,
    /// Attention where the mask is off.
    pub negative_magnitude: f32,
    /// Spatial entropy where the mask is on.
    pub entropy: f32,
    /// Squared variation over time, for a mask that is always on.
    pub flatness: f32,
    /// The weighted sum; the objective is its mean over the groups.
    pub total: f32,
}

/// What the temporal objective says of a map.
#[derive(Debug, Clone)]
pub struct TemporalOutcome {
    /// `(groups, 6)`: the fields of [`GroupTerms`].
    pub terms: Tensor,
    /// `(groups, frames)`: attention over time, brought to 0..1.
    pub signal: Tensor,
    /// `(groups, frames, tokens)`: gradient of the mean total by the map.
    pub grad: Tensor,
}

impl TemporalOutcome {
    /// Downloads the terms.
    pub async fn group_terms(&self) -> Result<Vec<GroupTerms>> {
        let values = self.terms.to_vec().await?;
        let (groups, _) = values.as_chunks::<6>();
        let named =
            |&[correlation, positive_magnitude, negative_magnitude, entropy, flatness, total]: &[f32; 6]| {
                GroupTerms { correlation, positive_magnitude, negative_magnitude, entropy, flatness, total }
            };
        Ok(groups.iter().map(named).collect())
    }
}

/// The temporal objective of `map (groups, frames, tokens)` for `masks (groups, frames)` and its gradient, both f32.
/// Sums are taken by blocks, so that errors grow with the logarithm of their length; a NaN in a group's map makes its
/// total and its gradient NaN.
///
/// # Errors
/// [`Error::Problem`] for sizes of zero or 2³² elements and more, and for weights and thresholds that are not finite;
/// otherwise those of [`kernels::run`](crate::kernels::run()).
pub fn temporal_loss(map: &Tensor, masks: &Tensor, objective: &TemporalObjective) -> Result<TemporalOutcome> {
    let &[groups, frames, tokens] = map.dims() else {
        return Err(Error::problem(
            TemporalLoss::STEM,
            format!("map {} is not (groups, frames, tokens)", map.shape()),
        ));
    };
    let context = map.context();
    check_sizes(TemporalLoss::STEM, groups, frames, tokens)?;
    let table = || Tensor::empty(context, [groups, frames], Dtype::F32);

    let (sums, entropies, slopes) = (table()?, table()?, table()?);
    run(context, &TemporalSignal { groups, frames, tokens }, &[map, &sums, &entropies, &slopes])?;

    let terms = Tensor::empty(context, [groups, 6], Dtype::F32)?;
    let (signal, dsums, dentropies) = (table()?, table()?, table()?);
    let loss = TemporalLoss { groups, frames, tokens, objective: *objective };
    run(context, &loss, &[&sums, &entropies, masks, &terms, &signal, &dsums, &dentropies])?;

    let grad = Tensor::empty(context, [groups, frames, tokens], Dtype::F32)?;
    let backward = TemporalSignalBackward { groups, frames, tokens };
    run(context, &backward, &[map, &sums, &slopes, &dsums, &dentropies, &grad])?;
    Ok(TemporalOutcome { terms, signal, grad })
}

fn check_sizes(stem: &'static str, groups: usize, frames: usize, tokens: usize) -> Result<()> {
    let elements = groups.checked_mul(frames).and_then(|n| n.checked_mul(tokens));
    // Terms are six a group.
    match elements {
        Some(n) if n > 0 && u32::try_from(n).is_ok() && u32::try_from(groups * 6).is_ok() => Ok(()),
        _ => Err(Error::problem(
            stem,
            format!(
                "groups={groups}, frames={frames}, tokens={tokens}: sizes are 1.. with a product below 2^32"
            ),
        )),
    }
}

#[cfg(all(test, feature = "verify"))]
mod tests {
    use super::*;
    use crate::kernels::Verified;
    use crate::tensor::Array;

    /// Terms and gradient of a map by the references of the three kernels.
    fn reference(map: &Array, masks: &Array, objective: TemporalObjective) -> (Vec<f64>, Array) {
        let [groups, frames, tokens] = map.shape.dims() else { return (Vec::new(), Array::default()) };
        let (groups, frames, tokens) = (*groups, *frames, *tokens);
        let stats = TemporalSignal { groups, frames, tokens }.reference(std::slice::from_ref(map));
        let [sums, entropies, slopes] = &stats[..] else { return (Vec::new(), Array::default()) };
        let loss = TemporalLoss { groups, frames, tokens, objective };
        let mut out = loss.reference(&[sums.clone(), entropies.clone(), masks.clone()]).into_iter();
        let (terms, _signal) = (out.next().unwrap_or_default(), out.next());
        let inputs = [map.clone(), sums.clone(), slopes.clone()].into_iter().chain(out).collect::<Vec<_>>();
        let mut grad = TemporalSignalBackward { groups, frames, tokens }.reference(&inputs);
        (terms.data, grad.remove(0))
    }

    /// A map with hand-checked terms: 21 frames of 12 tokens, wanted from frame 10 on.
    fn small_map() -> (Array, Array) {
        let map = Array::from_fn([1, 21, 12], |i| {
            let (t, token) = (i / 12, i % 12);
            let level = ((7 * t) % 11) as f64 / 10.0 + 0.01 * t as f64;
            0.01 * level * (1.0 + 0.1 * token as f64)
        });
        (map, Array::from_fn([1, 21], |t| if t >= 10 { 1.0 } else { 0.0 }))
    }

    #[test]
    fn released_terms_of_a_small_map() {
        let (map, masks) = small_map();
        let (terms, _) = reference(&map, &masks, TemporalObjective::released());
        let expected = [-0.00269748, -0.1209, 0.10323, 2.45972424, 0.0, 24.59463892];
        for (found, expected) in terms.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }

    #[test]
    fn the_three_kernels_together_are_the_gradient_of_the_total() {
        let (map, masks) = small_map();
        // Room below for finite differences: frame 0 is all zero.
        let map = Array::from_fn(map.shape.clone(), |i| map.data[i] + 0.002);
        let all = Array::from_fn(masks.shape.clone(), |_| 1.0);
        let objectives =
            [TemporalObjective::released(), TemporalObjective::paper(), TemporalObjective::scale_free()];
        for (objective, masks) in objectives.iter().flat_map(|o| [(o, &masks), (o, &all)]) {
            let (_, grad) = reference(&map, masks, *objective);
            for i in 0..map.len() {
                let total = |by: f64| {
                    let mut moved = map.clone();
                    moved.data[i] += by;
                    reference(&moved, masks, *objective).0[5]
                };
                let numeric = (total(1e-7) - total(-1e-7)) / 2e-7;
                let bound = 1e-4 * grad.data[i].abs() + 1e-4;
                assert!(
                    (numeric - grad.data[i]).abs() <= bound,
                    "{objective:?} {i}: {numeric} {}",
                    grad.data[i]
                );
            }
        }
    }
}
