//! Prompts to token ids, and words of a prompt to the positions of their tokens.
//!
//! Cleaning and word matching work on plain text and byte ranges; only the `Tokenizer` itself needs the
//! `tokenizers` feature, and an app that brings its own ids can build an [`Encoding`] from them.

#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod chat;
mod clean;
mod fold;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod hugging_face;
mod matching;
#[cfg(test)]
mod tests;
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
mod word_piece;

#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
pub use chat::{ChatMessage, ChatPart, ChatTemplate};
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
    /// Bytes of `text` that the tokens stand for; what follows was cut off for its length.
    pub kept: usize,
}

/// A special token as `tokenizer_config.json` has it: a string, or an object with its `content`.
#[cfg(all(feature = "tokenizers", not(target_arch = "wasm32")))]
fn token_text(value: &serde_json::Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

impl Encoding {
    /// The end of the prompt that was cut off because the text encoder takes no more tokens. What it says is not drawn.
    pub fn cut_off(&self) -> Option<&str> {
        // The library may cut within a character.
        let cut = (self.kept..=self.text.len()).find_map(|at| self.text.get(at..));
        cut.map(str::trim).filter(|cut| !cut.is_empty())
    }

    /// Byte ranges of a word or phrase in the text, rising, also behind the cut.
    ///
    /// # Errors
    /// [`Error::Input`] when the text does not contain the phrase (the words it has are listed) or has too few occurrences of
    /// it.
    pub fn places(&self, phrase: &str, which: WordMatch) -> Result<Vec<std::ops::Range<usize>>> {
        matching::find(&self.text, phrase, which)
    }

    /// Positions of the tokens of a word or phrase, rising.
    ///
    /// # Errors
    /// [`Error::Input`] when the text does not contain the phrase (the words it has are listed), has
    /// too few occurrences of it, or was cut off before or within it. Of several occurrences those behind the cut are left
    /// out, as they are of what is drawn.
    pub fn token_indices(&self, phrase: &str, which: WordMatch) -> Result<Vec<usize>> {
        let mut spans = self.places(phrase, which)?;
        let cut = |place: &str| {
            let tokens = self.ids.len();
            let reason =
                format!("it lies {place} the {tokens} tokens that the prompt was cut to: shorten the prompt");
            Err(Error::input(format!("phrase \"{phrase}\""), reason))
        };
        if which != WordMatch::Released {
            spans.retain(|span| span.start < self.kept);
            if spans.iter().any(|span| span.end > self.kept) {
                return cut("partly behind");
            }
        }
        // Half-open ranges: the empty one of the end token overlaps nothing.
        let overlaps = |(from, to): (usize, usize)| {
            from < to && spans.iter().any(|span| from < span.end && span.start < to)
        };
        let positions = self.offsets.iter().enumerate().filter(|(_, range)| overlaps(**range));
        let indices: Vec<usize> = positions.map(|(i, _)| i).collect();
        if indices.is_empty() { cut("behind") } else { Ok(indices) }
    }
}
