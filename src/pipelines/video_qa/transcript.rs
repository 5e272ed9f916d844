//! An answer as its tokens come.

use crate::Result;
use crate::models::tokenizer::Tokenizer;

/// Gathers tokens into text, and says what each one adds.
#[derive(Debug)]
pub(super) struct Transcript<'t> {
    tokenizer: &'t Tokenizer,
    stop: &'t [String],
    ids: Vec<u32>,
    /// Bytes of the text that were told.
    told: usize,
    /// Where a stop text begins.
    end: Option<usize>,
}

impl<'t> Transcript<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer, stop: &'t [String]) -> Self {
        Self { tokenizer, stop, ids: Vec::new(), told: 0, end: None }
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Takes a token: what it adds to the text, and whether the text now has an end that was asked for. What may be the beginning
    /// of one, or of a character, is held back.
    pub(super) fn push(&mut self, id: u32) -> Result<(String, bool)> {
        self.ids.push(id);
        let text = self.tokenizer.decode(&self.ids)?;
        let stops = self.stop.iter().filter(|stop| !stop.is_empty());
        self.end = stops.clone().filter_map(|stop| text.find(stop.as_str())).min();
        let sure = match self.end {
            Some(end) => end,
            None => {
                let whole = text.trim_end_matches('\u{fffd}');
                whole.len() - held(whole, stops)
            }
        };
        let added = text.get(self.told..sure).unwrap_or_default().to_owned();
        self.told = self.told.max(sure);
        Ok((added, self.end.is_some()))
    }

    /// The whole text, what of it was held back, and its tokens.
    pub(super) fn finish(self) -> Result<(String, String, Vec<u32>)> {
        let mut text = self.tokenizer.decode(&self.ids)?;
        if let Some(end) = self.end {
            text.truncate(end);
        }
        let rest = text.get(self.told..).unwrap_or_default().to_owned();
        Ok((text, rest, self.ids))
    }
}

/// Bytes at the end of a text with which one of `stops` may begin.
fn held<'a>(text: &str, stops: impl Iterator<Item = &'a String>) -> usize {
    let longest = |stop: &'a String| {
        let begins = |n: &usize| stop.get(..*n).is_some_and(|head| text.ends_with(head));
        (1..stop.len()).rev().find(begins).unwrap_or(0)
    };
    stops.map(longest).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::held;

    #[test]
    fn what_may_begin_an_end_is_held_back() {
        let held = |text: &str, stops: &[&str]| {
            let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
            held(text, stops.iter())
        };
        assert_eq!(held("so it en", &["end"]), 2);
        assert_eq!(held("so it ab", &["ab\u{20ac}"]), 2);
        assert_eq!(held("so it \u{20ac}", &["\u{20ac}!", "x"]), 3);
        assert_eq!(held("an an", &["an an an"]), 5);
        assert_eq!(held("nothing", &["end", "x"]), 0);
        assert_eq!(held("", &["end"]), 0);
    }
}
