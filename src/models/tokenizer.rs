//! Prompts to token ids, and words of a prompt to the positions of their tokens.
//!
//! Cleaning and word matching work on plain text and byte ranges; only the `Tokenizer` itself needs the
//! `tokenizers` feature, and an app that brings its own ids can build an [`Encoding`] from them.

mod clean;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod hugging_face;
mod matching;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod word_piece;

pub use clean::clean_prompt;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub use hugging_face::Tokenizer;
pub use matching::WordMatch;

use crate::{Error, Result};

/// A tokenised prompt. Position `i` of `ids` is row `i` of the text encoder's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, the end-of-sequence token last.
    pub ids: Vec<u32>,
    /// Byte range of each token in `text`; empty for the end-of-sequence token.
    pub offsets: Vec<(usize, usize)>,
    /// The prompt as it was tokenised: cleaned, unless it was encoded raw.
    pub text: String,
}

impl Encoding {
    /// Positions of the tokens of a word or phrase, rising.
    ///
    /// # Errors
    /// [`Error::Input`] when the text does not contain the phrase (the words it has are listed), has
    /// too few occurrences of it, or was cut off before it.
    pub fn token_indices(&self, phrase: &str, which: WordMatch) -> Result<Vec<usize>> {
        let spans = matching::find(&self.text, phrase, which)?;
        // Half-open ranges: the empty one of the end token overlaps nothing.
        let overlaps = |(from, to): (usize, usize)| {
            from < to && spans.iter().any(|span| from < span.end && span.start < to)
        };
        let positions = self.offsets.iter().enumerate().filter(|(_, range)| overlaps(**range));
        let indices: Vec<usize> = positions.map(|(i, _)| i).collect();
        if indices.is_empty() {
            let reason = format!("it lies after the {} tokens that the prompt was cut to", self.ids.len());
            return Err(Error::input(format!("phrase \"{phrase}\""), reason));
        }
        Ok(indices)
    }
}
