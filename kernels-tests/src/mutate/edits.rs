//! Small edits of a shader, each at one place, of the kinds that a slip of the hand makes.
//!
//! Types are not known here: an edit that does not compile is found out later and does not count.

use super::syntax::{Field, Node, Span, Syntax};
use super::tokens::{Kind, normalised};
use std::collections::BTreeSet;

/// An edit of a file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What kind of slip it is, in words.
    pub kind: &'static str,
    /// First byte of what is replaced.
    pub start: usize,
    /// Byte after it.
    pub end: usize,
    /// What stands there instead.
    pub by: String,
    /// The function it stands in; empty for a constant of the file.
    pub function: String,
}

impl Edit {
    /// The text with the edit.
    pub fn of(&self, text: &str) -> String {
        [&text[..self.start], &self.by, &text[self.end..]].concat()
    }

    /// Line and column from 1, the line's text, and what is replaced.
    pub fn place<'a>(&self, text: &'a str) -> (usize, usize, &'a str, &'a str) {
        let begin = text[..self.start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[begin..].lines().next().unwrap_or_default();
        let column = text[begin..self.start].chars().count() + 1;
        (text[..begin].matches('\n').count() + 1, column, line.trim(), &text[self.start..self.end])
    }
}

/// What is known of the texts that a file is composed with.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Names of u32 constants.
    pub sizes: BTreeSet<String>,
    /// Members of structs.
    pub fields: Vec<Field>,
}

/// All edits of a text that leave another program, each once.
pub fn edits(text: &str, syntax: &Syntax, around: &Surroundings) -> Vec<Edit> {
    let mut maker = Maker { text, syntax, around, function: "", found: Vec::new() };
    for (node, function) in &syntax.nodes {
        maker.function = function;
        maker.node(node);
    }
    let mut seen = BTreeSet::from([normalised(text)]);
    let mut found = maker.found;
    found.retain(|edit| seen.insert(normalised(&edit.of(text))));
    // What is inside comes before what is around it.
    found.sort_by_key(|edit| edit.start);
    found
}

struct Maker<'a> {
    text: &'a str,
    syntax: &'a Syntax,
    around: &'a Surroundings,
    function: &'a str,
    found: Vec<Edit>,
}

impl<'a> Maker<'a> {
    fn word(&self, token: usize) -> &'a str {
        self.words(&(token..token + 1))
    }

    /// The text of tokens, comments between them included.
    fn words(&self, span: &Span) -> &'a str {
        let tokens = self.syntax.tokens.get(span.clone()).unwrap_or_default();
        tokens.first().zip(tokens.last()).map_or("", |(first, last)| &self.text[first.start..last.end])
    }

    fn edit(&mut self, kind: &'static str, span: Span, by: impl Into<String>) {
        let Some(tokens) = self.syntax.tokens.get(span) else { return };
        let Some((first, last)) = tokens.first().zip(tokens.last()) else { return };
        let function = self.function.to_owned();
        self.found.push(Edit { kind, start: first.start, end: last.end, by: by.into(), function });
    }

    fn token(&mut self, kind: &'static str, token: usize, by: impl Into<String>) {
        self.edit(kind, token..token + 1, by);
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Binary { op, left, right, first } => self.binary(*op, left, right, *first),
            Node::Unary { op } if ["-", "!"].contains(&self.word(*op)) => self.token("sign dropped", *op, ""),
            Node::Unary { .. } => {}
            Node::Call { name, whole, arguments } => self.call(*name, whole, arguments),
            Node::Member { field, of } => self.member(*field, *of),
            Node::Literal(token) => self.literal(*token),
            Node::Name(token) => {
                let name = self.word(*token);
                if self.around.sizes.contains(name) || self.syntax.sizes.iter().any(|size| size == name) {
                    self.token("constant", *token, format!("({name} + 1u)"));
                    self.token("constant", *token, format!("({name} - 1u)"));
                }
            }
            Node::Condition(span) => {
                self.edit("condition", span.clone(), "(true)");
                self.edit("condition", span.clone(), "(false)");
            }
            Node::Count { from, condition, step } => self.count(from, condition, step.as_ref()),
            Node::Statement(span) => {
                let barrier = self.word(span.start).ends_with("Barrier");
                let kind = if barrier { "barrier dropped" } else { "statement dropped" };
                self.edit(kind, span.clone(), ";");
            }
            Node::Assignment(op) => {
                let by: &[&str] = match self.word(*op) {
                    "+=" => &["-=", "="],
                    "-=" => &["+=", "="],
                    "*=" => &["+=", "="],
                    "/=" => &["*=", "="],
                    _ => &["="],
                };
                by.iter().for_each(|by| self.token("operator", *op, *by));
            }
            Node::Length(span) => {
                let length = format!("({}) - 1", self.words(span));
                self.edit("array one shorter", span.clone(), length);
            }
        }
    }

    fn binary(&mut self, op: usize, left: &Span, right: &Span, first: bool) {
        let sign = self.word(op);
        let by = match sign {
            "+" => "-",
            "-" => "+",
            "*" => "+",
            "/" => "*",
            "%" => "/",
            "<" => "<=",
            "<=" => "<",
            ">" => ">=",
            ">=" => ">",
            "==" => "!=",
            "!=" => "==",
            "&&" => "||",
            "||" => "&&",
            "<<" => ">>",
            ">>" => "<<",
            "&" => "|",
            "|" => "&",
            _ => "|",
        };
        self.token("operator", op, by);
        if ["==", "!=", "<", "<=", ">", ">="].contains(&sign) {
            return;
        }
        self.edit("term dropped", op..right.end, "");
        if first && ["+", "*", "&&", "||", "&", "|", "^"].contains(&sign) {
            self.edit("term dropped", left.start..op + 1, "");
        }
    }

    fn call(&mut self, name: usize, whole: &Span, arguments: &[Span]) {
        let word = self.word(name);
        let texts: Vec<&str> = arguments.iter().map(|span| self.words(span)).collect();
        match (word, texts.as_slice()) {
            ("min" | "max", [a, b]) => {
                self.token("min and max", name, if word == "min" { "max" } else { "min" });
                self.edit("bound dropped", whole.clone(), format!("({a})"));
                self.edit("bound dropped", whole.clone(), format!("({b})"));
            }
            ("clamp", [value, ..]) => self.edit("bound dropped", whole.clone(), format!("({value})")),
            ("select", [no, yes, when]) => {
                self.edit("select", whole.clone(), format!("select({yes}, {no}, {when})"));
                self.edit("select", whole.clone(), format!("({no})"));
                self.edit("select", whole.clone(), format!("({yes})"));
            }
            // Its arguments are alike to it.
            ("dot", _) => {}
            _ => {
                for (pair, spans) in texts.windows(2).zip(arguments.windows(2)) {
                    if let ([a, b], [first, second]) = (pair, spans) {
                        self.edit("arguments swapped", first.start..second.end, format!("{b}, {a}"));
                    }
                }
            }
        }
    }

    fn member(&mut self, field: usize, of: Option<usize>) {
        let name = self.word(field);
        let params = of.is_some_and(|of| self.word(of) == "params");
        let known: Vec<&Field> = self
            .syntax
            .fields
            .iter()
            .chain(&self.around.fields)
            .filter(|f| (f.of == "Params") == params)
            .collect();
        if let Some(at) = known.iter().position(|f| f.name == name) {
            let own = known[at];
            let siblings: Vec<&&Field> =
                known.iter().filter(|f| f.of == own.of && f.kind == own.kind).collect();
            let after = siblings.iter().skip_while(|f| f.name != name).nth(1).or(siblings.first());
            if let Some(sibling) = after.filter(|f| f.name != name) {
                let by = sibling.name.clone();
                self.token("field", field, by);
            }
        } else if name.chars().all(|c| "xyzw".contains(c)) {
            let by = match name {
                "x" => "y".to_owned(),
                "y" | "z" | "w" => "x".to_owned(),
                several => several.chars().rev().collect(),
            };
            self.token("component", field, by);
        }
    }

    fn literal(&mut self, token: usize) {
        let word = self.word(token);
        let minus = token > 0 && self.word(token - 1) == "-";
        if let Some(others) = neighbours(word) {
            others.into_iter().for_each(|other| self.token("constant", token, other));
        } else if let Ok(value) = word.trim_end_matches(['f', 'h']).parse::<f64>() {
            let by: &[f64] = match value {
                0.0 => &[1.0],
                1.0 => &[0.0, 1.01],
                _ if minus => &[value * 1.01],
                _ => &[value * 1.01, -value],
            };
            for value in by {
                let text = format!("{value:?}");
                self.token("constant", token, if *value < 0.0 { format!("({text})") } else { text });
            }
        }
    }

    fn count(&mut self, from: &Span, condition: &Span, step: Option<&Span>) {
        let step = step.map_or("1", |span| self.words(span));
        let first = self.words(from);
        let later = if first == "0u" && step == "1" { "1u".into() } else { format!("({first}) + {step}") };
        self.edit("first round left out", from.clone(), later);
        let compares = |at: &usize| {
            let kind = self.syntax.tokens.get(*at).map(|t| t.kind);
            kind == Some(Kind::Sign) && ["<", "<="].contains(&self.word(*at))
        };
        let mut signs = condition.clone().filter(compares);
        if let (Some(at), None) = (signs.next(), signs.next()) {
            let left = self.words(&(condition.start..at));
            self.edit("last round left out", condition.start..at, format!("{left} + {step}"));
        }
    }
}

/// The whole numbers next to one, written like it; `None` where it is none.
fn neighbours(word: &str) -> Option<Vec<String>> {
    let digits = word.trim_end_matches(['u', 'i']);
    let suffix = &word[digits.len()..];
    let hexadecimal = digits.strip_prefix("0x");
    let value = hexadecimal.map_or_else(|| digits.parse(), |digits| u32::from_str_radix(digits, 16)).ok()?;
    let others = value.checked_add(1).into_iter().chain(value.checked_sub(1));
    let written = |v| if hexadecimal.is_some() { format!("0x{v:x}{suffix}") } else { format!("{v}{suffix}") };
    Some(others.map(written).collect())
}

#[cfg(test)]
mod tests {
    use super::{Surroundings, edits};
    use crate::mutate::syntax::read;
    use std::collections::BTreeSet;

    /// Texts that edits of one kind make of a function's body.
    fn made(kind: &str, body: &str) -> BTreeSet<String> {
        let around = Surroundings { sizes: BTreeSet::from(["TILE".to_owned()]), fields: Vec::new() };
        let text = format!("fn f() {{ {body} }}");
        let all = edits(&text, &read(&text).unwrap(), &around);
        let inside = |text: String| text["fn f() { ".len()..text.len() - 2].to_owned();
        all.iter().filter(|edit| edit.kind == kind).map(|edit| inside(edit.of(&text))).collect()
    }

    fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
        texts.map(str::to_owned).into()
    }

    #[test]
    fn operators_are_replaced() {
        let body = "a += b * c < d && e != f;";
        assert_eq!(
            made("operator", body),
            set([
                "a -= b * c < d && e != f;",
                "a = b * c < d && e != f;",
                "a += b + c < d && e != f;",
                "a += b * c <= d && e != f;",
                "a += b * c < d || e != f;",
                "a += b * c < d && e == f;",
            ])
        );
    }

    #[test]
    fn terms_are_dropped_with_what_binds_to_them() {
        assert_eq!(
            made("term dropped", "a = b + c * d;"),
            set(["a = b ;", "a =  c * d;", "a = b +  d;", "a = b + c ;"])
        );
        assert_eq!(made("term dropped", "a = b - c + d;"), set(["a = b  + d;", "a = b - c ;"]));
        assert_eq!(
            made("term dropped", "a = (b + c) / d;"),
            set(["a = (b + c) ;", "a = (b ) / d;", "a = ( c) / d;"])
        );
    }

    #[test]
    fn constants_change_by_one_or_a_hundredth() {
        assert_eq!(made("constant", "a = 0u;"), set(["a = 1u;"]));
        assert_eq!(made("constant", "a = 0x10u;"), set(["a = 0x11u;", "a = 0xfu;"]));
        assert_eq!(made("constant", "a = 2.0;"), set(["a = 2.02;", "a = (-2.0);"]));
        assert_eq!(made("constant", "a = 1.0;"), set(["a = 0.0;", "a = 1.01;"]));
        assert_eq!(made("constant", "a = TILE * b;"), set(["a = (TILE + 1u) * b;", "a = (TILE - 1u) * b;"]));
    }

    #[test]
    fn bounds_arms_and_signs_change() {
        assert_eq!(made("min and max", "a = min(b, c);"), set(["a = max(b, c);"]));
        assert_eq!(made("bound dropped", "a = min(b, c);"), set(["a = (b);", "a = (c);"]));
        assert_eq!(made("bound dropped", "a = clamp(b, c, d);"), set(["a = (b);"]));
        assert_eq!(
            made("select", "a = select(b, c, d);"),
            set(["a = select(c, b, d);", "a = (b);", "a = (c);"])
        );
        assert_eq!(made("sign dropped", "a = -b; c = !d;"), set(["a = b; c = !d;", "a = -b; c = d;"]));
    }

    #[test]
    fn statements_and_barriers_are_dropped() {
        let body = "workgroupBarrier(); if (a) { return; } let b = 1;";
        assert_eq!(made("barrier dropped", body), set(["; if (a) { return; } let b = 1;"]));
        assert_eq!(made("statement dropped", body), set(["workgroupBarrier(); if (a) { ; } let b = 1;"]));
        assert_eq!(
            made("condition", "if (a) { b++; } else if (c) { b--; }"),
            set([
                "if (true) { b++; } else if (c) { b--; }",
                "if (false) { b++; } else if (c) { b--; }",
                "if (a) { b++; } else if (true) { b--; }",
                "if (a) { b++; } else if (false) { b--; }",
            ])
        );
    }

    #[test]
    fn loops_lose_their_ends() {
        assert_eq!(
            made("first round left out", "for (var i = a; i < b; i++) { }"),
            set(["for (var i = (a) + 1; i < b; i++) { }"])
        );
        assert_eq!(
            made("last round left out", "for (var i = a; i < b; i += TILE) { }"),
            set(["for (var i = a; i + TILE < b; i += TILE) { }"])
        );
        // Where it is a change of the constant too, that is the one that counts.
        assert_eq!(made("first round left out", "for (var i = 0u; i < b; i++) { }"), set([]));
        assert!(
            made("operator", "for (var i = 8u; i > 0u; i /= 2u) { }")
                .iter()
                .all(|text| text.contains("/= 2u"))
        );
    }

    #[test]
    fn arguments_fields_and_components_are_exchanged() {
        assert_eq!(made("arguments swapped", "a = f(b, c, d);"), set(["a = f(c, b, d);", "a = f(b, d, c);"]));
        assert_eq!(made("arguments swapped", "a = f(b, b);"), set([]));
        assert_eq!(made("component", "a = b.x + c.zw;"), set(["a = b.y + c.zw;", "a = b.x + c.wz;"]));
        assert_eq!(
            made("array one shorter", "var a: array<array<f32, TILE>, 4>;"),
            set(["var a: array<array<f32, (TILE) - 1>, 4>;", "var a: array<array<f32, TILE>, (4) - 1>;",])
        );
        let text = "struct Params { n: u32, scale: f32, m: u32, } fn f() { a = params.m * params.n; b = params.scale; }";
        let all = edits(text, &read(text).unwrap(), &Surroundings::default());
        let fields: Vec<_> =
            all.iter().filter(|edit| edit.kind == "field").map(|edit| edit.of(text)).collect();
        assert_eq!(fields.len(), 2);
        assert!(fields[0].contains("params.n * params.n") && fields[1].contains("params.m * params.m"));
    }

    #[test]
    fn an_edit_knows_its_place() {
        let text = "// Σ\nfn f() {\n    a = b + 1u;\n}\n";
        let all = edits(text, &read(text).unwrap(), &Surroundings::default());
        let edit = all.iter().find(|edit| edit.kind == "constant").unwrap();
        assert_eq!(edit.place(text), (3, 13, "a = b + 1u;", "1u"));
        assert_eq!(edit.function, "f");
    }
}
