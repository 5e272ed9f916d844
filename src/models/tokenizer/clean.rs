//! Prompt cleaning as Wan's text encoder does it.

use unicode_normalization::UnicodeNormalization;

/// Names of the characters U+00A0 to U+00FF in HTML, in order. Their semicolon is optional.
const LATIN_1: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute \
    micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave \
    Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml \
    Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth \
    ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";
/// Other names whose semicolon is optional.
const LOOSE: [(&str, char); 10] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("AMP", '&'),
    ("LT", '<'),
    ("GT", '>'),
    ("QUOT", '"'),
    ("COPY", '\u{a9}'),
    ("REG", '\u{ae}'),
];
/// Names that need their semicolon.
const STRICT: [(&str, char); 24] = [
    ("apos", '\''),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("sbquo", '\u{201a}'),
    ("ldquo", '\u{201c}'),
    ("rdquo", '\u{201d}'),
    ("bdquo", '\u{201e}'),
    ("dagger", '\u{2020}'),
    ("bull", '\u{2022}'),
    ("hellip", '\u{2026}'),
    ("prime", '\u{2032}'),
    ("lsaquo", '\u{2039}'),
    ("rsaquo", '\u{203a}'),
    ("euro", '\u{20ac}'),
    ("trade", '\u{2122}'),
    ("larr", '\u{2190}'),
    ("rarr", '\u{2192}'),
    ("minus", '\u{2212}'),
    ("infin", '\u{221e}'),
];
/// What browsers read for the numbers 0x80 to 0x9f: the Windows-1252 characters.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d,
    0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a,
    0x153, 0x9d, 0x17e, 0x178,
];
/// Longest name that is looked at.
const MAX_NAME: usize = 32;

/// Cleans a prompt as Wan's text encoder does: HTML character references are resolved twice, byte order marks and other
/// control characters are taken out, Latin ligatures are written in letters, full-width and half-width characters in their
/// usual width, curly quotes straight, accents composed (NFC), runs of whitespace become one space, and both ends are
/// trimmed. Case is kept.
///
/// Two limits against the Python original: of its `ftfy` pass the repair of wrongly decoded text is left out, and named
/// references are those of Latin-1 and general punctuation; another name stays as it is. Plain prompts are not affected by
/// either.
pub fn clean_prompt(prompt: &str) -> String {
    let text: String = plain(&unescape(&unescape(prompt)));
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Characters as `ftfy` leaves them.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Those that are whitespace to Python stay for the split.
            '\0'..='\u{8}' | '\u{e}'..='\u{1b}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => {}
            '\u{fff9}'..='\u{fffc}' => {}
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
            '\u{201c}'..='\u{201f}' => out.push('"'),
            '\u{132}' | '\u{133}' | '\u{149}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}' => {
                out.extend(c.nfkd().map(|c| if c == '\u{2bc}' { '\'' } else { c }));
            }
            '\u{fb00}'..='\u{fb06}' | '\u{ff01}'..='\u{ffef}' => out.extend(c.nfkc()),
            c => out.push(c),
        }
    }
    out.nfc().collect()
}

/// Python's `\s`: Unicode whitespace and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Resolves HTML character references once, as Python's `html.unescape`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let resolved = match after.strip_prefix('#') {
            Some(number) => numeric(number),
            None => named(after),
        };
        match resolved {
            Some((character, left)) => {
                out.extend(character);
                rest = left;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of `#…` (`None` inside: it is dropped) and the text after the reference.
fn numeric(text: &str) -> Option<(Option<char>, &str)> {
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (number, left) = digits.split_at(end);
    if number.is_empty() {
        return None;
    }
    // Too many digits are past the last character anyway.
    let code = u32::from_str_radix(number, radix).unwrap_or(u32::MAX);
    let dropped = matches!(code, 0x01..=0x08 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef)
        || (code <= 0x10_ffff && code & 0xfffe == 0xfffe);
    let character = match code {
        0 => Some('\u{fffd}'),
        0x80..=0x9f => WINDOWS_1252.get(code as usize - 0x80).and_then(|c| char::from_u32(u32::from(*c))),
        _ if dropped => None,
        _ => Some(char::from_u32(code).unwrap_or('\u{fffd}')),
    };
    Some((character, left.strip_prefix(';').unwrap_or(left)))
}

/// The character of a name and the text after the reference; without a semicolon the longest name that
/// the text starts with counts.
fn named(text: &str) -> Option<(Option<char>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()).min(MAX_NAME);
    let (name, left) = text.split_at(end);
    if let Some(left) = left.strip_prefix(';')
        && let Some(c) = loose(name).or_else(|| STRICT.iter().find(|(n, _)| *n == name).map(|(_, c)| *c))
    {
        return Some((Some(c), left));
    }
    let cut = (2..=name.len())
        .rev()
        .find_map(|n| text.split_at_checked(n).and_then(|(name, left)| loose(name).map(|c| (c, left))));
    cut.map(|(c, left)| (Some(c), left))
}

fn loose(name: &str) -> Option<char> {
    let latin = || {
        LATIN_1.split_ascii_whitespace().zip('\u{a0}'..='\u{ff}').find(|(n, _)| *n == name).map(|(_, c)| c)
    };
    LOOSE.iter().find(|(n, _)| *n == name).map(|(_, c)| *c).or_else(latin)
}
