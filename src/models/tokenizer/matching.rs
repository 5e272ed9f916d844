//! Where a phrase stands in a text.

use std::ops::Range;

use super::clean_prompt;
use super::fold::{fold, joins};
use crate::{Error, Result};

/// Most words that an error lists.
const LISTED_WORDS: usize = 40;

/// Which occurrences of a phrase are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordMatch {
    /// Every occurrence as whole words. Case, spaces, straight or curly quotes, composed or decomposed accents, full-width
    /// or narrow letters and characters that are never seen make no difference; a plural is another word.
    #[default]
    All,
    /// One such occurrence, counted from 0.
    Nth(usize),
    /// Every occurrence of the exact characters, also inside words: what TempoControl's code does, for
    /// comparison with it. "car" is found in "carpet".
    Released,
}

/// Byte ranges of the occurrences of a phrase, rising.
pub(super) fn find(text: &str, phrase: &str, which: WordMatch) -> Result<Vec<Range<usize>>> {
    let refuse = |reason: String| Error::input(format!("phrase \"{phrase}\""), reason);
    let spans = match which {
        WordMatch::Released => exact(text, phrase),
        WordMatch::All | WordMatch::Nth(_) => whole_words(text, &clean_prompt(phrase)),
    };
    if spans.is_empty() {
        let words = match words(text) {
            list if list.is_empty() => "no words".to_owned(),
            list => list.join(", "),
        };
        return Err(refuse(format!("the prompt does not contain it; it has: {words}")));
    }
    match which {
        WordMatch::Nth(n) => match spans.get(n) {
            Some(span) => Ok(vec![span.clone()]),
            None => Err(refuse(format!(
                "occurrence {n} was asked for, counted from 0; the prompt has {}",
                spans.len()
            ))),
        },
        WordMatch::All | WordMatch::Released => Ok(spans),
    }
}

fn exact(text: &str, phrase: &str) -> Vec<Range<usize>> {
    if phrase.is_empty() {
        Vec::new()
    } else {
        text.match_indices(phrase).map(|(i, m)| i..i + m.len()).collect()
    }
}

/// Occurrences without overlap that do not start or end inside a word.
fn whole_words(text: &str, phrase: &str) -> Vec<Range<usize>> {
    let (text, phrase) = (fold(text), fold(phrase));
    let (Some((first, _)), Some((last, _))) = (phrase.first(), phrase.last()) else { return Vec::new() };
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (start, window) in text.windows(phrase.len()).enumerate() {
        let (Some((_, head)), Some((_, tail))) = (window.first(), window.last()) else { continue };
        let before = start.checked_sub(1).and_then(|i| text.get(i));
        let after = text.get(start + phrase.len());
        // One character can be compared as several: an occurrence must not begin or end between those.
        let whole = before.is_none_or(|(c, range)| range != head && !joins(*c, *first))
            && after.is_none_or(|(c, range)| range != tail && !joins(*last, *c));
        let fresh = spans.last().is_none_or(|span| span.end <= head.start);
        if whole && fresh && window.iter().zip(&phrase).all(|((a, _), (b, _))| a == b) {
            spans.push(head.start..tail.end);
        }
    }
    spans
}

/// The different words of a text, in order.
fn words(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for word in text.split_whitespace().map(|w| w.trim_matches(|c: char| !c.is_alphanumeric())) {
        if found.len() == LISTED_WORDS {
            found.push("…");
            break;
        }
        if !word.is_empty() && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}
