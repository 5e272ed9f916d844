//! Tokens of WGSL, as far as edits need them: comments are left out, and the brackets of templates are told from
//! comparisons.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Identifier or keyword.
    Name,
    /// Literal number.
    Number,
    /// Operator or bracket.
    Sign,
    /// Opening or closing bracket of a template list.
    Template,
}

/// One token and where it stands in the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// Operators of several characters, longest first.
const LONG: &[&str] = &[
    "<<=", ">>=", "->", "==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=",
    "|=", "^=", "++", "--",
];

/// Whether a name before `<` begins a template list.
fn takes_template(name: &str) -> bool {
    let vectors = ["vec2", "vec3", "vec4", "array", "ptr", "bitcast", "atomic", "var"];
    vectors.contains(&name) || ["mat", "coop"].iter().any(|family| name.starts_with(family))
}

/// The tokens of a text.
///
/// # Errors
/// The byte where something stands that no token begins with.
pub fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let mut found: Vec<Token> = Vec::new();
    // Brackets that are open, and whether each is a template's.
    let mut open: Vec<bool> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let word = |part: fn(char) -> bool| rest.find(|c| !part(c)).unwrap_or(rest.len());
        let (kind, len) = if c.is_alphabetic() || c == '_' {
            (Kind::Name, word(|c| c.is_alphanumeric() || c == '_'))
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            (Kind::Number, number(rest))
        } else {
            let last = found.last();
            let named = last.is_some_and(|t| t.kind == Kind::Name && takes_template(&text[t.start..t.end]));
            match c {
                '<' if named => {
                    open.push(true);
                    (Kind::Template, 1)
                }
                '>' if open.last() == Some(&true) => {
                    open.pop();
                    (Kind::Template, 1)
                }
                '(' | '[' | '{' => {
                    open.push(false);
                    (Kind::Sign, 1)
                }
                ')' | ']' | '}' => {
                    open.pop();
                    (Kind::Sign, 1)
                }
                _ => match LONG.iter().find(|sign| rest.starts_with(**sign)) {
                    Some(sign) => (Kind::Sign, sign.len()),
                    None if "+-*/%<>=!&|^~.,;:@".contains(c) => (Kind::Sign, 1),
                    None => return Err(at),
                },
            }
        };
        found.push(Token { kind, start: at, end: at + len });
        at += len;
    }
    Ok(found)
}

/// Length of the number that a text begins with: decimal, hexadecimal, with an exponent and a suffix.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let mut len = if hexadecimal { 2 } else { 0 };
    while let Some(&byte) = bytes.get(len) {
        let before = len.checked_sub(1).and_then(|i| bytes.get(i)).copied().unwrap_or(0);
        let signed = !hexadecimal && matches!(byte, b'+' | b'-') && matches!(before, b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || signed) {
            break;
        }
        len += 1;
    }
    len
}

/// The tokens' texts joined by spaces: equal for texts that differ in comments and layout only.
pub fn normalised(text: &str) -> Option<String> {
    let tokens = tokens(text).ok()?;
    Some(tokens.iter().map(|t| &text[t.start..t.end]).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::{Kind, normalised, tokens};

    fn words(text: &str) -> Vec<&str> {
        tokens(text).unwrap().iter().map(|t| &text[t.start..t.end]).collect()
    }

    #[test]
    fn numbers_keep_exponents_and_suffixes() {
        assert_eq!(words("1.0e-3f+0x7fffu-.5*4u"), ["1.0e-3f", "+", "0x7fffu", "-", ".5", "*", "4u"]);
        assert_eq!(words("0xffe-1u"), ["0xffe", "-", "1u"]);
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(words("a // b + c\n  += d; // Σ"), ["a", "+=", "d", ";"]);
        assert_eq!(normalised("a+b // why\n"), normalised("a + b"));
    }

    #[test]
    fn templates_are_told_from_comparisons() {
        let text = "var x: array<vec4<f32>, max(A << 1u, 2u)>; if (a < b && c >> 1u > d) {}";
        let found = tokens(text).unwrap();
        let of = |kind| found.iter().filter(move |t| t.kind == kind).map(|t| &text[t.start..t.end]);
        assert_eq!(of(Kind::Template).collect::<Vec<_>>(), ["<", "<", ">", ">"]);
        assert!(words(text).contains(&">>"));
        assert_eq!(words("var<storage, read> x: array<f32>;").len(), 13);
    }

    #[test]
    fn what_is_no_token_is_placed() {
        assert_eq!(tokens("a + #"), Err(4));
    }
}
