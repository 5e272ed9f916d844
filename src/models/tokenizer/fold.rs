//! Text as it is compared: what two spellings of the same words have in common.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// A compared character and the bytes of what was typed for it.
pub(super) type Folded = (char, Range<usize>);

/// The characters of a text as they are compared, each with the bytes that it came from: decomposed by compatibility (NFKD, so
/// that composed and decomposed accents, full-width and narrow letters, ligatures and presentation forms are the same), in
/// lower case, with straight quotes, plain hyphens and single spaces, and without characters that are never seen.
pub(super) fn fold(text: &str) -> Vec<Folded> {
    let mut folded: Vec<Folded> = Vec::with_capacity(text.len());
    let mut from = 0;
    for piece in pieces(text) {
        let range = from..from + piece.len();
        from = range.end;
        for c in piece.nfkd().filter(|c| !is_unseen(*c)).flat_map(char::to_lowercase) {
            let (one, two) = plain(c);
            let again = one == ' ' && folded.last().is_some_and(|(last, _)| *last == ' ');
            folded.extend((!again).then(|| (one, range.clone())));
            folded.extend(two.map(|c| (c, range.clone())));
        }
    }
    folded
}

/// Characters with the marks that stand on them: a decomposition reorders those, and nothing beyond.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let starts = |(_, c): &(usize, char)| canonical_combining_class(*c) == 0;
        let end = rest.char_indices().skip(1).find(starts).map_or(rest.len(), |(at, _)| at);
        let (piece, left) = rest.split_at(end);
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A lower-case character by the one or two that are compared for it.
fn plain(c: char) -> (char, Option<char>) {
    let one = match c {
        '\u{df}' => return ('s', Some('s')),
        '\u{3c2}' => '\u{3c3}',
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    };
    (one, None)
}

/// Byte order marks, soft hyphens, joiners, marks of direction and selectors of a glyph.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// True when two neighbouring characters belong to the same word.
pub(super) fn joins(left: char, right: char) -> bool {
    let in_word = |c: char| (c.is_alphanumeric() || c == '_' || is_combining_mark(c)) && !is_unspaced(c);
    is_combining_mark(right) || in_word(left) && in_word(right)
}

/// Scripts that do not put spaces between words: any place in them may be a word's edge.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Myanmar
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{30ff}' // Japanese kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{20000}'..='\u{3ffff}' // Han, rarer
    )
}
