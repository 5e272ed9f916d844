//! Scores that do not ask what a token shows: what a selection by attention is to be better than.

use super::choice::Choice;
use super::gather::gather;
use super::tokens::VideoTokens;
use crate::kernels::rowwise::row_change;
use crate::{Dtype, Error, Result, Tensor};
use rand::RngExt;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use std::ops::Range;

/// 1 for as many video tokens as `choice` asks for, evenly spread over all of them or over each step's, and 0 for the others.
///
/// # Errors
/// [`Error::Input`] for [`Choice::Mass`], which has no number of its own, and as [`Choice::count`].
pub(super) fn uniform(tokens: &VideoTokens, choice: Choice) -> Result<Vec<f32>> {
    let all = tokens.count();
    let Some(asked) = choice.count(all)? else {
        let reason = "a share of the score says nothing where scores are even: choose a number or a share of the tokens";
        return Err(Error::input("tokens kept", reason));
    };
    let ids = tokens.ids();
    let per_step = matches!(choice, Choice::PerStep(_) | Choice::SharePerStep(_));
    let quotas = if per_step { choice.quotas(asked, &tokens.groups) } else { vec![asked] };
    let sizes: Vec<usize> =
        if per_step { tokens.groups.iter().map(|g| g.len()).collect() } else { vec![all] };
    let mut scores = vec![0.0; tokens.length];
    let mut first = 0;
    for (quota, size) in quotas.into_iter().zip(sizes) {
        for i in 0..quota {
            // The middle of each of `quota` equal parts.
            let place = first + (2 * i + 1) * size / (2 * quota);
            if let Some(score) = ids.get(place).and_then(|&id| scores.get_mut(id as usize)) {
                *score = 1.0;
            }
        }
        first += size;
    }
    Ok(scores)
}

/// How much each video token changed since the step before, and 0 for the others.
pub(super) fn change(embeddings: &Tensor, tokens: &VideoTokens) -> Result<Tensor> {
    let scores = Tensor::zeros(embeddings.context(), [tokens.length], Dtype::F32)?;
    for video in tokens.by_video() {
        let per_step = video.first().map_or(0, Range::len);
        // Text may stand between steps: their tokens are brought together first.
        let ids: Vec<u32> = video.iter().flat_map(|step| step.start as u32..step.end as u32).collect();
        let changes = row_change(&gather(embeddings, &ids)?, per_step)?;
        for (number, step) in video.iter().enumerate() {
            changes.narrow(number * per_step, per_step)?.copy_to(&scores.narrow(step.start, per_step)?)?;
        }
    }
    Ok(scores)
}

/// A number in 0..1 for every token of the prompt.
pub(super) fn random(tokens: &VideoTokens, seed: u64) -> Vec<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..tokens.length).map(|_| rng.random_range(0.0..1.0)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn marked(scores: &[f32]) -> Vec<usize> {
        scores.iter().enumerate().filter(|(_, v)| **v > 0.0).map(|(i, _)| i).collect()
    }

    #[test]
    fn even_places_are_even_and_as_many_as_asked() {
        let tokens = VideoTokens::of_one(20, 4, 3, 4);
        assert_eq!(marked(&uniform(&tokens, Choice::Count(3)).unwrap()), [6, 10, 14]);
        assert_eq!(marked(&uniform(&tokens, Choice::PerStep(3)).unwrap()), [6, 10, 14]);
        assert_eq!(marked(&uniform(&tokens, Choice::PerStep(4)).unwrap()), [5, 7, 10, 14]);
        for k in 0..=12 {
            assert_eq!(marked(&uniform(&tokens, Choice::Count(k)).unwrap()).len(), k);
            assert_eq!(marked(&uniform(&tokens, Choice::PerStep(k)).unwrap()).len(), k);
        }
        assert!(uniform(&tokens, Choice::Count(13)).is_err());
        assert!(uniform(&tokens, Choice::Mass(0.5)).unwrap_err().to_string().contains("even"));
    }

    #[test]
    fn lots_are_drawn_anew_by_the_seed_alone() {
        let tokens = VideoTokens::of_one(20, 4, 3, 4);
        assert_eq!(random(&tokens, 1), random(&tokens, 1));
        assert_ne!(random(&tokens, 1), random(&tokens, 2));
        assert!(random(&tokens, 1).iter().all(|v| (0.0..1.0).contains(v)));
    }
}
