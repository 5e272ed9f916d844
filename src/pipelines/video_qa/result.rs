//! What becomes of a question.

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// The model ended it.
    End,
    /// A text that was asked to end it.
    Stop,
    /// It has as many tokens as were allowed.
    Length,
}

/// A video token that was kept.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct KeptToken {
    /// Place in the prompt.
    pub place: usize,
    /// Which of the prompt's videos, from 0.
    pub video: usize,
    /// Temporal step.
    pub step: usize,
    /// Row of tokens.
    pub row: usize,
    /// Column of tokens.
    pub column: usize,
    /// Second in the middle of the step.
    pub time: f64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Ids of its tokens, without the model's one that ended it; those of a text that was asked to end it are among them.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that are video.
    pub video_tokens: usize,
    /// The video tokens that were kept, in their order; `None` without a selection.
    pub kept: Option<Vec<KeptToken>>,
    /// Scores of each video's tokens, step by step, row by row; empty where they were not asked for.
    pub scores: Vec<Vec<f32>>,
    /// Bytes of keys and values behind the prefill.
    pub cache: u64,
}

impl Answer {
    /// Tokens of a video that were kept, of each of its temporal steps.
    pub fn kept_per_step(&self, video: usize, steps: usize) -> Vec<usize> {
        let mut counts = vec![0; steps];
        for token in self.kept.iter().flatten().filter(|token| token.video == video) {
            if let Some(count) = counts.get_mut(token.step) {
                *count += 1;
            }
        }
        counts
    }
}
