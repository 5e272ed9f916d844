//! Which token comes next, by the logits of all.

use crate::{Error, Result};
use rand::RngExt;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use std::collections::BTreeSet;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the most likely token each time.
    pub temperature: f32,
    /// Of the most likely tokens, as few as together have this probability, are drawn from; 1 for all.
    pub top_p: f32,
    /// At most so many of the most likely tokens are drawn from; 0 for any number.
    pub top_k: usize,
    /// What the logits of tokens that were there before are divided by, where positive, or multiplied with, where negative
    /// (Keskar et al. 2019, arXiv 1909.05858); 1 for none.
    pub repetition_penalty: f32,
    /// Start of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    /// The most likely token each time.
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, repetition_penalty: 1.0, seed: 0 }
    }
}

/// Draws tokens.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    rng: Pcg64,
    before: BTreeSet<u32>,
}

impl Sampler {
    /// Tokens of `prompt` count as there before.
    ///
    /// # Errors
    /// [`Error::Input`] for a temperature below 0, a probability outside 0 to 1 and a penalty that is not above 0.
    pub fn new(sampling: Sampling, prompt: &[u32]) -> Result<Self> {
        let Sampling { temperature, top_p, repetition_penalty, seed, .. } = sampling;
        let refuse = |what: &str, reason: String| Err(Error::input(what, reason));
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return refuse("temperature", format!("{temperature}: 0 or above"));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return refuse("top_p", format!("{top_p}: above 0 and up to 1"));
        }
        if !(repetition_penalty > 0.0 && repetition_penalty.is_finite()) {
            return refuse("repetition_penalty", format!("{repetition_penalty}: above 0"));
        }
        Ok(Self { sampling, rng: Pcg64::seed_from_u64(seed), before: prompt.iter().copied().collect() })
    }

    /// The next token, which counts as there from now on.
    ///
    /// # Errors
    /// [`Error::Input`] for a logit that is NaN or +∞, and for no logits.
    pub fn next(&mut self, logits: &[f32]) -> Result<u32> {
        let Sampling { temperature, top_p, top_k, repetition_penalty: penalty, .. } = self.sampling;
        let mut scored: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
        if let Some((place, _)) = logits.iter().enumerate().find(|(_, v)| v.is_nan() || **v == f32::INFINITY)
        {
            return Err(Error::input("logits", format!("the one of token {place} is not finite")));
        }
        if penalty != 1.0 {
            for (_, v) in scored.iter_mut().filter(|(id, _)| self.before.contains(id)) {
                *v = if *v > 0.0 { *v / penalty } else { *v * penalty };
            }
        }
        // Of equals the lower id.
        let best = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let Some(&first) = scored.iter().min_by(|a, b| best(a, b)) else {
            return Err(Error::input("logits", "there are none"));
        };
        let chosen = if temperature == 0.0 {
            first.0
        } else {
            scored.sort_unstable_by(best);
            if top_k > 0 {
                scored.truncate(top_k);
            }
            let weight = |v: f32| f64::from((v - first.1) / temperature).exp();
            let total: f64 = scored.iter().map(|(_, v)| weight(*v)).sum();
            let mut mass = 0.0;
            let few = scored
                .iter()
                .position(|(_, v)| {
                    mass += weight(*v);
                    mass >= f64::from(top_p) * total
                })
                .map_or(scored.len(), |last| last + 1);
            scored.truncate(few);
            let kept: f64 = scored.iter().map(|(_, v)| weight(*v)).sum();
            let mut drawn = self.rng.random_range(0.0..1.0) * kept;
            let hit = scored.iter().find(|(_, v)| {
                drawn -= weight(*v);
                drawn < 0.0
            });
            hit.or(scored.last()).map_or(first.0, |(id, _)| *id)
        };
        self.before.insert(chosen);
        Ok(chosen)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_most_likely_token_and_of_equals_the_first() {
        let mut sampler = Sampler::new(Sampling::default(), &[]).unwrap();
        assert_eq!(sampler.next(&[0.0, 2.0, 2.0, f32::NEG_INFINITY]).unwrap(), 1);
        assert!(sampler.next(&[]).is_err());
        assert!(sampler.next(&[0.0, f32::NAN]).unwrap_err().to_string().contains("token 1"));
        assert!(sampler.next(&[f32::INFINITY]).is_err());
    }

    #[test]
    fn a_repeated_token_is_held_back() {
        let asked = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
        let mut sampler = Sampler::new(asked, &[1]).unwrap();
        // 4 becomes 2, below 3; then that one has been there, and 1.5 is below 2.
        assert_eq!(sampler.next(&[3.0, 4.0, -1.0]).unwrap(), 0);
        assert_eq!(sampler.next(&[3.0, 4.0, -1.0]).unwrap(), 1);
        // A negative logit becomes lower.
        let mut sampler = Sampler::new(asked, &[0]).unwrap();
        assert_eq!(sampler.next(&[-1.0, -1.5]).unwrap(), 1);
    }

    #[test]
    fn draws_follow_the_probabilities_within_the_nucleus() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let count = |sampling: Sampling| {
            let mut counts = [0usize; 4];
            let mut sampler = Sampler::new(sampling, &[]).unwrap();
            (0..4000).for_each(|_| counts[sampler.next(&logits).unwrap() as usize] += 1);
            counts
        };
        let all = Sampling { temperature: 1.0, ..Sampling::default() };
        for (count, share) in count(all).into_iter().zip([0.5, 0.3, 0.15, 0.05]) {
            assert!((count as f64 / 4000.0 - share).abs() < 0.03, "{count} {share}");
        }
        // 0.5 + 0.3 reach 0.75; of two the shares are 5/8 and 3/8.
        let few = count(Sampling { top_p: 0.75, ..all });
        assert!(few[2] == 0 && few[3] == 0 && (few[0] as f64 / 4000.0 - 0.625).abs() < 0.03, "{few:?}");
        assert_eq!(count(Sampling { top_k: 1, ..all }), [4000, 0, 0, 0]);
        // The same seed draws the same.
        assert_eq!(count(all), count(all));
        assert_ne!(count(all), count(Sampling { seed: 1, ..all }));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |change: &dyn Fn(&mut Sampling)| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            Sampler::new(sampling, &[]).unwrap_err().to_string()
        };
        for temperature in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(with(&|s| s.temperature = temperature).contains("temperature"));
        }
        for top_p in [0.0, 1.5, f32::NAN] {
            assert!(with(&|s| s.top_p = top_p).contains("top_p"));
        }
        for penalty in [0.0, -1.0, f32::NAN] {
            assert!(with(&|s| s.repetition_penalty = penalty).contains("repetition_penalty"));
        }
    }
}
