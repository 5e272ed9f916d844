//! What of a WGSL text can be edited: a reader of statements and expressions that keeps places and no types. It knows
//! what the shaders of this crate use and refuses what it does not know.

use super::expressions::rank;
use super::tokens::{Kind, Token, tokens};
use std::ops::Range;

/// A range of tokens.
pub type Span = Range<usize>;

/// A place that an edit can change.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `left op right`; `first` where nothing of the same rank stands before it.
    Binary {
        /// The operator.
        op: usize,
        /// Left operand, up to the operator before it of the same rank.
        left: Span,
        /// Right operand.
        right: Span,
        /// Whether `left` is all there is on the left.
        first: bool,
    },
    /// `op operand`.
    Unary {
        /// The operator.
        op: usize,
    },
    /// `name(arguments)`.
    Call {
        /// The name, without its template list.
        name: usize,
        /// All of it.
        whole: Span,
        /// Each argument.
        arguments: Vec<Span>,
    },
    /// `.field` of something.
    Member {
        /// The name after the point.
        field: usize,
        /// The name before the point, where it is one.
        of: Option<usize>,
    },
    /// A literal.
    Literal(usize),
    /// A name that is read, not called.
    Name(usize),
    /// The condition of an `if`.
    Condition(Span),
    /// A `for` that counts upwards: first value, condition, and what is added after each round (nothing for `++`).
    Count {
        /// First value.
        from: Span,
        /// Condition.
        condition: Span,
        /// What is added.
        step: Option<Span>,
    },
    /// A statement that a text may do without, with its semicolon.
    Statement(Span),
    /// The operator of a compound assignment.
    Assignment(usize),
    /// The length of an array type.
    Length(Span),
}

/// A member of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The struct.
    pub of: String,
    /// Its name.
    pub name: String,
    /// Its type, as written.
    pub kind: String,
    /// First byte of its name.
    pub start: usize,
}

/// A text that has been read.
#[derive(Debug, Clone, Default)]
pub struct Syntax {
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// Places and the function that each stands in; empty for a constant of the file.
    pub nodes: Vec<(Node, String)>,
    /// Members of its structs, in order.
    pub fields: Vec<Field>,
    /// Its constants of type u32.
    pub sizes: Vec<String>,
}

/// Reads a text.
///
/// # Errors
/// The line and what was expected there.
pub fn read(text: &str) -> Result<Syntax, String> {
    let fault = |at: usize, what: &str| {
        format!("line {}: expected {what}", text[..at.min(text.len())].matches('\n').count() + 1)
    };
    let tokens = tokens(text).map_err(|at| fault(at, "a token"))?;
    let mut reader =
        Reader { text, tokens, at: 0, function: String::new(), quiet: false, found: Syntax::default() };
    if let Err(what) = reader.file() {
        return Err(fault(reader.tokens.get(reader.at).map_or(text.len(), |t| t.start), what));
    }
    let Reader { tokens, found, .. } = reader;
    Ok(Syntax { tokens, ..found })
}

/// What was expected where reading stopped.
pub(super) type Step<T = ()> = Result<T, &'static str>;

pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    function: String,
    /// Reads without keeping places.
    quiet: bool,
    found: Syntax,
}

impl<'a> Reader<'a> {
    fn word_at(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |t| &self.text[t.start..t.end])
    }

    pub(super) fn word(&self) -> &'a str {
        self.word_at(self.at)
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|t| t.kind)
    }

    pub(super) fn skip(&mut self, word: &str) -> bool {
        let there = self.word() == word;
        self.at += usize::from(there);
        there
    }

    pub(super) fn need(&mut self, word: &'static str) -> Step {
        if self.skip(word) { Ok(()) } else { Err(word) }
    }

    pub(super) fn name(&mut self) -> Step<&'a str> {
        let word = self.word();
        if self.kind() != Some(Kind::Name) {
            return Err("a name");
        }
        self.at += 1;
        Ok(word)
    }

    pub(super) fn push(&mut self, node: Node) {
        if !self.quiet {
            self.found.nodes.push((node, self.function.clone()));
        }
    }

    fn file(&mut self) -> Step {
        while self.at < self.tokens.len() {
            self.attributes()?;
            self.function.clear();
            match self.word() {
                "struct" => self.structure()?,
                "fn" => self.function()?,
                "alias" | "enable" => {
                    while !self.skip(";") {
                        self.at += 1;
                        self.kind().ok_or(";")?;
                    }
                }
                "const" => {
                    self.at += 1;
                    let name = self.name()?;
                    if self.word_at(self.at + 1) == "u32" {
                        self.found.sizes.push(name.to_owned());
                    }
                    self.typed()?;
                    self.need("=")?;
                    self.expression(0)?;
                    self.need(";")?;
                }
                "var" => {
                    self.at += 1;
                    self.template()?;
                    self.name()?;
                    self.typed()?;
                    if self.skip("=") {
                        self.expression(0)?;
                    }
                    self.need(";")?;
                }
                _ => return Err("a declaration"),
            }
        }
        Ok(())
    }

    fn attributes(&mut self) -> Step {
        while self.skip("@") {
            self.name()?;
            if self.word() == "(" {
                self.quietly(Self::parenthesis)?;
            }
        }
        Ok(())
    }

    /// Reads what is no place for an edit.
    pub(super) fn quietly<T>(&mut self, read: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        let before = std::mem::replace(&mut self.quiet, true);
        let result = read(self);
        self.quiet = before;
        result
    }

    fn structure(&mut self) -> Step {
        self.at += 1;
        let of = self.name()?.to_owned();
        self.need("{")?;
        while !self.skip("}") {
            self.attributes()?;
            let start = self.tokens.get(self.at).map_or(0, |t| t.start);
            let name = self.name()?.to_owned();
            self.need(":")?;
            let first = self.at;
            self.kind_of_value()?;
            let kind = (first..self.at).map(|i| self.word_at(i)).collect();
            self.found.fields.push(Field { of: of.clone(), name, kind, start });
            self.skip(",");
        }
        Ok(())
    }

    fn function(&mut self) -> Step {
        self.at += 1;
        let name = self.name()?;
        self.function.push_str(name);
        self.need("(")?;
        while !self.skip(")") {
            self.attributes()?;
            self.name()?;
            self.typed()?;
            self.skip(",");
        }
        if self.skip("->") {
            self.attributes()?;
            self.kind_of_value()?;
        }
        self.block()
    }

    fn block(&mut self) -> Step {
        self.need("{")?;
        while !self.skip("}") {
            self.statement()?;
        }
        Ok(())
    }

    fn statement(&mut self) -> Step {
        let first = self.at;
        match self.word() {
            ";" => self.at += 1,
            "{" => self.block()?,
            "if" => {
                self.at += 1;
                let condition = self.expression(0)?;
                self.push(Node::Condition(condition));
                self.block()?;
                if self.skip("else") {
                    if self.word() == "if" { self.statement()? } else { self.block()? }
                }
            }
            "for" => self.counted()?,
            "while" => {
                self.at += 1;
                self.expression(0)?;
                self.block()?;
            }
            "loop" => {
                self.at += 1;
                let before = self.found.nodes.len();
                self.block()?;
                // Without one of its ends it rarely ends.
                let inside = self.found.nodes.split_off(before);
                let ends = |node: &Node| matches!(node, Node::Statement(span) if self.word_at(span.start) == "break");
                let kept: Vec<_> = inside.into_iter().filter(|(node, _)| !ends(node)).collect();
                self.found.nodes.extend(kept);
            }
            "let" | "var" | "const" => {
                self.declaration()?;
                self.need(";")?;
            }
            "return" => {
                self.at += 1;
                if self.word() != ";" {
                    self.expression(0)?;
                }
                self.need(";")?;
                self.push(Node::Statement(first..self.at));
            }
            "break" | "continue" => {
                self.at += 1;
                self.need(";")?;
                self.push(Node::Statement(first..self.at));
            }
            _ => {
                self.change()?;
                self.need(";")?;
                self.push(Node::Statement(first..self.at));
            }
        }
        Ok(())
    }

    /// The first value, where there is one.
    fn declaration(&mut self) -> Step<Option<Span>> {
        self.at += 1;
        self.template()?;
        self.name()?;
        self.typed()?;
        Ok(if self.skip("=") { Some(self.expression(0)?) } else { None })
    }

    /// An assignment, an increment or a call: operator and value, where there are some.
    fn change(&mut self) -> Step<(Option<usize>, Option<Span>)> {
        self.expression(0)?;
        let op = self.at;
        let word = self.word();
        if word == "++" || word == "--" {
            self.at += 1;
            return Ok((Some(op), None));
        }
        if word != "=" && !(word.ends_with('=') && rank(word.trim_end_matches('=')) > 0) {
            return Ok((None, None));
        }
        self.at += 1;
        if word != "=" {
            self.push(Node::Assignment(op));
        }
        let value = self.expression(0)?;
        Ok((Some(op), Some(value)))
    }

    fn counted(&mut self) -> Step {
        self.at += 1;
        self.need("(")?;
        let from = match self.word() {
            ";" => None,
            "var" => self.declaration()?,
            _ => self.change()?.1,
        };
        self.need(";")?;
        let condition = if self.word() == ";" { None } else { Some(self.expression(0)?) };
        self.need(";")?;
        let before = self.found.nodes.len();
        let (op, step) = if self.word() == ")" { (None, None) } else { self.change()? };
        self.need(")")?;
        // A loop that goes the other way rarely ends.
        let steps = self.found.nodes.split_off(before);
        self.found.nodes.extend(steps.into_iter().filter(|(node, _)| !matches!(node, Node::Assignment(_))));
        let upwards = op.is_some_and(|op| ["++", "+="].contains(&self.word_at(op)));
        if let (true, Some(from), Some(condition)) = (upwards, from, condition) {
            self.push(Node::Count { from, condition, step });
        }
        self.block()
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, read};

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        for (text, line) in [
            ("fn f() {\n    switch a { }\n}", "line 2"),
            ("fn f() {\n    a = ;\n}", "line 2"),
            ("fn f() {", "line 1"),
            ("override a: u32;", "line 1"),
            ("fn f() {}\n#", "line 2"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.starts_with(line), "{text}: {fault}");
        }
    }

    #[test]
    fn what_ends_a_loop_stays() {
        let statements = |text: &str| {
            let read = read(text).unwrap();
            read.nodes.iter().filter(|(node, _)| matches!(node, Node::Statement(_))).count()
        };
        assert_eq!(statements("fn f() { loop { if (a) { break; } b(); break; } return; }"), 2);
        assert_eq!(statements("fn f() { while (a) { break; } }"), 1);
    }

    #[test]
    fn places_know_their_functions() {
        let text = "const N: u32 = 2u * M; @compute @workgroup_size(N) fn f(@builtin(position) p: vec4<f32>) { a[i].x = p.y; }
                    struct S { n: u32, @align(16) v: vec4<f32> } alias E = vec2<f32>; var<private> x: array<f32, N>;";
        let read = read(text).unwrap();
        let of = |name: &str| read.nodes.iter().filter(|(_, function)| function == name).count();
        assert_eq!((of("f"), of("")), (6, 4));
        assert_eq!(read.sizes, ["N"]);
        let kinds: Vec<_> =
            read.fields.iter().map(|field| (field.name.as_str(), field.kind.as_str())).collect();
        assert_eq!(kinds, [("n", "u32"), ("v", "vec4<f32>")]);
        assert!(matches!(read.nodes.last(), Some((Node::Length(_), _))));
    }
}
