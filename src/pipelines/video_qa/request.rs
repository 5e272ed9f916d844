//! What is asked.

use super::sampling::Sampling;
use super::selection::Selection;
use crate::models::qwen2_5_vl::MropeRule;

/// A question about what is shown: `Question { timestamps: true, ..Question::new("When does it rain?") }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question.
    pub text: String,
    /// What the model is told first; `None` leaves it to the chat template.
    pub system: Option<String>,
    /// Which video tokens are kept; all without.
    pub selection: Option<Selection>,
    /// The second of each temporal step is written before it. Where all of a step's tokens are left out its time stays, so that
    /// a gap can be seen.
    pub timestamps: bool,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens of the answer, at most.
    pub max_tokens: usize,
    /// Texts that end the answer, which then has no part of them.
    pub stop: Vec<String>,
    /// How seconds become positions.
    pub rule: MropeRule,
    /// Tokens of the prompt that are computed at a time: fewer need less memory, more are faster.
    pub chunk: usize,
    /// Scores of all video tokens are read back, where there is a selection.
    pub scores: bool,
}

impl Question {
    /// The most likely answer from all tokens, up to 256 of its own, without stated times.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            system: None,
            selection: None,
            timestamps: false,
            sampling: Sampling::default(),
            max_tokens: 256,
            stop: Vec::new(),
            rule: MropeRule::default(),
            chunk: 512,
            scores: false,
        }
    }
}
