//! Which video tokens are kept, and from where on the others are left out.

use super::baselines;
use super::choice::Choice;
use super::scores::{ScoreRows, Scoring};
use super::tokens::VideoTokens;
use crate::kernels::attention::Mass;
use crate::kernels::elementwise::weighted_sum;
use crate::kernels::selection::{mass_count, top_k};
use crate::kernels::token::{embedding_of, pick_indices};
use crate::{Error, Result, Tensor};
use std::ops::Range;

/// From where on the other tokens are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once the scores are there, the prefill begins anew with the kept tokens' embeddings: no block holds others.
    TwoPass,
    /// Behind a block, which has seen all tokens as have those before it.
    Behind {
        /// The block.
        layer: usize,
        /// The blocks up to it forget the others too.
        compact: bool,
    },
}

/// What tokens are scored by.
#[derive(Debug, Clone, PartialEq)]
pub enum ScoreSource {
    /// The attention that they get.
    Attention(Scoring),
    /// How unlike they are to the token at their place a temporal step before, after Efficient Video Sampling (arXiv 2510.14624, as
    /// vLLM has it): what stands still is left out, and all of a video's first step comes first. A baseline, which does not ask
    /// what the question is.
    Change,
    /// Nothing of what they show: as evenly spread over the prompt as their number allows. A baseline.
    Uniform,
    /// Random numbers. A baseline.
    Random {
        /// Start of the numbers.
        seed: u64,
    },
}

/// Token selection: how tokens are scored, which are kept, and from where on.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// What tokens are scored by.
    pub source: ScoreSource,
    /// Which are kept.
    pub choice: Choice,
    /// From where on.
    pub when: When,
}

impl Selection {
    /// After FastV (Chen et al. 2024, arXiv 2403.06764): the second block's attention from the prompt's last token, mean over
    /// heads, decides, and the blocks behind it see `keep` (a share) of the video.
    pub fn fast_v(keep: f32) -> Self {
        Self {
            source: attention(1, ScoreRows::Last, Mass::Mean),
            choice: Choice::Share(keep),
            when: When::Behind { layer: 1, compact: false },
        }
    }

    /// After FlexSelect without its trained selector (Zhang et al. 2025): a block at five sevenths of the depth, the largest
    /// attention that any head of any token behind the video pays, and a second pass from the kept tokens' embeddings.
    pub fn flex_select(layers: usize, keep: f32) -> Self {
        Self {
            source: attention(at(layers, 5, 7), ScoreRows::BehindVideo, Mass::Max),
            choice: Choice::Share(keep),
            when: When::TwoPass,
        }
    }

    /// After the language model's stage of PruneVid (Huang et al. 2024, arXiv 2412.16117): a block at a third of the depth, the
    /// largest attention of any head of any token behind the video, the best of each temporal step, and all blocks forget the
    /// others.
    pub fn prune_vid(layers: usize, keep: f32) -> Self {
        let layer = at(layers, 1, 3);
        Self {
            source: attention(layer, ScoreRows::BehindVideo, Mass::Max),
            choice: Choice::SharePerStep(keep),
            when: When::Behind { layer, compact: true },
        }
    }

    /// For answers that say where and when: a block at two thirds of the depth, mean over heads and the tokens behind the video,
    /// a quota for every temporal step, and a second pass. Meant for prompts that state the time of each step as text.
    pub fn grounding(layers: usize, keep: f32) -> Self {
        Self {
            source: attention(at(layers, 2, 3), ScoreRows::BehindVideo, Mass::Mean),
            choice: Choice::SharePerStep(keep),
            when: When::TwoPass,
        }
    }

    /// The same scores with what the first token behind the video pays taken off, where they come from attention.
    pub fn with_contrast(mut self) -> Self {
        if let ScoreSource::Attention(scoring) = &mut self.source {
            scoring.contrast = true;
        }
        self
    }

    /// The same choice in one pass: the others are left out behind the last block that scores, and the blocks up to it forget
    /// them. What kept tokens took from the others until then stays with them, where a second pass never sees it. Of a model
    /// with so many `layers`; baselines, which need no block, wait for the one at two thirds of the depth.
    pub fn in_place(mut self, layers: usize) -> Self {
        let scores = match &self.source {
            ScoreSource::Attention(scoring) => scoring.layers.iter().max().copied(),
            _ => None,
        };
        self.when = When::Behind { layer: scores.unwrap_or(at(layers, 2, 3)), compact: true };
        self
    }

    /// After Efficient Video Sampling: the tokens that changed most since the temporal step before, in no block any other.
    pub fn change(keep: f32) -> Self {
        Self { source: ScoreSource::Change, choice: Choice::Share(keep), when: When::TwoPass }
    }

    /// Tokens as evenly spread as their number allows, in no block any other: what a selection by content is to be better than.
    pub fn uniform(keep: f32) -> Self {
        Self { source: ScoreSource::Uniform, choice: Choice::Share(keep), when: When::TwoPass }
    }

    /// Tokens by lot, likewise.
    pub fn random(keep: f32, seed: u64) -> Self {
        Self { source: ScoreSource::Random { seed }, choice: Choice::Share(keep), when: When::TwoPass }
    }
}

/// One block's attention, all heads alike.
fn attention(layer: usize, rows: ScoreRows, reduce: Mass) -> ScoreSource {
    ScoreSource::Attention(Scoring { reduce, ..Scoring::of_layer(layer, rows) })
}

/// The block at a share of the depth.
fn at(layers: usize, numerator: usize, denominator: usize) -> usize {
    (layers * numerator / denominator).min(layers.saturating_sub(1))
}

impl ScoreSource {
    /// Scores of the prompt's tokens `(tokens)` that need no block to run.
    ///
    /// # Errors
    /// [`Error::Input`] for attention, whose scores blocks show, and for a choice that this source cannot serve; otherwise those of
    /// the kernels.
    pub(super) fn before(&self, embeddings: &Tensor, tokens: &VideoTokens, choice: Choice) -> Result<Tensor> {
        let scores = match self {
            Self::Attention(_) => {
                return Err(Error::input("selection", "attention's scores come from blocks"));
            }
            Self::Change if matches!(choice, Choice::Mass(_)) => {
                let reason = "a share of how much tokens change is not told, since a first step changes beyond measure: choose a \
                              number or a share of the tokens";
                return Err(Error::input("tokens kept", reason));
            }
            Self::Change => return baselines::change(embeddings, tokens),
            Self::Uniform => baselines::uniform(tokens, choice)?,
            Self::Random { seed } => baselines::random(tokens, *seed),
        };
        Tensor::from_f32(embeddings.context(), [tokens.length], &scores)
    }
}

/// Tokens that are kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kept {
    /// Places in the prompt, ascending `(tokens)` u32: all that is not video, and the chosen of what is.
    pub ids: Tensor,
    /// How many of them are video.
    pub video: usize,
}

/// Chooses among the video tokens by `scores (tokens)` f32 of the prompt's tokens up to its last that scores or further: of equal
/// scores those of earlier places. Nothing comes to the host but a number, and that for [`Choice::Mass`] alone.
///
/// # Errors
/// [`Error::Input`] for scores that end before the video does, more than all tokens, a share outside 0 to 1, steps out of order;
/// otherwise those of the kernels.
pub async fn choose(scores: &Tensor, tokens: &VideoTokens, choice: Choice) -> Result<Kept> {
    tokens.check()?;
    let (known, all) = (scores.len(), tokens.count());
    if known < tokens.end() || known > tokens.length {
        let (end, length) = (tokens.end(), tokens.length);
        let reason = format!("of {known} tokens, of a prompt of {length} whose video ends at {end}");
        return Err(Error::input("scores", reason));
    }
    let asked = match (choice.count(all)?, choice) {
        (Some(asked), _) => asked,
        (None, Choice::Mass(share)) => {
            let of_video = of_video(scores, &tokens.ids())?;
            let count = mass_count(&of_video.reshape([1, all])?, share)?.to_u32().await?;
            count.first().map_or(0, |&count| count as usize).min(all)
        }
        (None, _) => 0,
    };
    match choice {
        Choice::PerStep(_) | Choice::SharePerStep(_) => per_step(scores, tokens, choice, asked),
        _ => of_all(scores, tokens, asked),
    }
}

/// Scores of some tokens `(ids)`.
fn of_video(scores: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let ids = Tensor::from_u32(scores.context(), [ids.len()], ids)?;
    embedding_of(&scores.reshape([scores.len(), 1])?, &ids)
}

/// The best of all. What is not video gets a score above any, so that one selection over the prompt leaves its ids in order.
fn of_all(scores: &Tensor, tokens: &VideoTokens, k: usize) -> Result<Kept> {
    const ABOVE_ANY: f32 = 1e30;
    let (context, known) = (scores.context(), scores.len());
    let video = tokens.is_video();
    let bias: Vec<f32> = video.iter().take(known).map(|&v| if v { 0.0 } else { ABOVE_ANY }).collect();
    let raised = weighted_sum(&[(scores, 1.0), (&Tensor::from_f32(context, [known], &bias)?, 1.0)])?;
    let known_kept = known - tokens.count() + k;
    // What lies behind the scores is text.
    let mut ids = vec![0u32; known_kept];
    ids.extend(known as u32..tokens.length as u32);
    let ids = Tensor::from_u32(context, [ids.len()], &ids)?;
    top_k(&raised.reshape([1, known])?, &[known_kept], 0, &ids, 0)?;
    Ok(Kept { ids, video: k })
}

/// A quota of each temporal step. The host knows how many each keeps and so where their ids belong.
fn per_step(scores: &Tensor, tokens: &VideoTokens, choice: Choice, k: usize) -> Result<Kept> {
    let context = scores.context();
    let quotas = choice.quotas(k, &tokens.groups);
    let kept: usize = quotas.iter().sum();
    let video = tokens.ids();
    let of_video = of_video(scores, &video)?;
    // Ids are places among the video tokens first, and behind those among the others.
    let mut places = video;
    let mut ids = Vec::with_capacity(tokens.length);
    let mut starts = Vec::with_capacity(quotas.len());
    let mut at = 0;
    let mut others = |ids: &mut Vec<u32>, range: Range<usize>| {
        for place in range {
            ids.push(places.len() as u32);
            places.push(place as u32);
        }
    };
    for (group, &quota) in tokens.groups.iter().zip(&quotas) {
        others(&mut ids, at..group.start);
        starts.push(ids.len());
        ids.extend(std::iter::repeat_n(0, quota));
        at = group.end;
    }
    others(&mut ids, at..tokens.length);
    if ids.is_empty() {
        return Err(Error::input("tokens kept", "none of the prompt"));
    }
    let ids = Tensor::from_u32(context, [ids.len()], &ids)?;
    let mut first = 0;
    for ((group, &quota), &start) in tokens.groups.iter().zip(&quotas).zip(&starts) {
        let n = group.len();
        let of_group = of_video.reshape([of_video.len()])?.narrow(first, n)?.reshape([1, n])?;
        top_k(&of_group, &[quota], first, &ids, start)?;
        first += n;
    }
    let places = Tensor::from_u32(context, [1, places.len()], &places)?;
    let ids = pick_indices(&places, &ids)?;
    Ok(Kept { ids: ids.reshape([ids.len()])?, video: kept })
}
