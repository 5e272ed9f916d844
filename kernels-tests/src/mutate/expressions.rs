//! Types and expressions, for [`super::syntax`].

use super::syntax::{Node, Reader, Span, Step};
use super::tokens::Kind;

/// How tightly an operator binds; 0 for what is none.
pub(super) fn rank(sign: &str) -> u8 {
    match sign {
        "||" => 1,
        "&&" => 2,
        "|" => 3,
        "^" => 4,
        "&" => 5,
        "==" | "!=" => 6,
        "<" | "<=" | ">" | ">=" => 7,
        "<<" | ">>" => 8,
        "+" | "-" => 9,
        "*" | "/" | "%" => 10,
        _ => 0,
    }
}

/// Above comparisons, whose signs would end a template list.
const IN_TEMPLATE: u8 = 8;

impl Reader<'_> {
    /// `: type`, where there is one.
    pub(super) fn typed(&mut self) -> Step {
        if self.skip(":") { self.kind_of_value() } else { Ok(()) }
    }

    pub(super) fn kind_of_value(&mut self) -> Step {
        let array = self.name()? == "array";
        if self.kind() == Some(Kind::Template) && self.word() == "<" {
            self.at += 1;
            let mut first = true;
            while self.word() != ">" {
                let from = self.at;
                if first || self.tokens.get(self.at).is_some_and(|t| t.kind == Kind::Name) && !array {
                    self.kind_of_value()?;
                } else {
                    self.quietly(|reader| reader.expression(IN_TEMPLATE))?;
                    if array {
                        self.push(Node::Length(from..self.at));
                    }
                }
                first = false;
                self.skip(",");
            }
            self.at += 1;
        }
        Ok(())
    }

    /// A template list whose contents say nothing here, such as `<storage, read>`.
    pub(super) fn template(&mut self) -> Step {
        if self.kind() == Some(Kind::Template) && self.word() == "<" {
            self.at -= 1;
            self.kind_of_value()?;
        }
        Ok(())
    }

    pub(super) fn parenthesis(&mut self) -> Step<Vec<Span>> {
        let mut arguments = Vec::new();
        self.need("(")?;
        while !self.skip(")") {
            arguments.push(self.expression(0)?);
            if self.word() != ")" {
                self.need(",")?;
            }
        }
        Ok(arguments)
    }

    /// An expression of operators that bind more tightly than `above`.
    pub(super) fn expression(&mut self, above: u8) -> Step<Span> {
        let whole = self.at;
        let mut left = self.operand()?;
        let (mut first, mut last_rank) = (true, u8::MAX);
        loop {
            let op = self.at;
            let rank = if self.kind() == Some(Kind::Sign) { rank(self.word()) } else { 0 };
            if rank <= above {
                return Ok(whole..self.at);
            }
            // `a * b + c`: what `+` meets on its left is the whole product.
            if rank < last_rank {
                (left, first) = (whole..op, true);
            }
            self.at += 1;
            let right = self.expression(rank)?;
            self.push(Node::Binary { op, left, right: right.clone(), first });
            (left, first, last_rank) = (right, false, rank);
        }
    }

    fn operand(&mut self) -> Step<Span> {
        let first = self.at;
        if self.kind() == Some(Kind::Sign) && ["-", "!", "~", "&", "*"].contains(&self.word()) {
            self.at += 1;
            self.operand()?;
            self.push(Node::Unary { op: first });
            return Ok(first..self.at);
        }
        match self.kind() {
            Some(Kind::Number) => {
                self.at += 1;
                self.push(Node::Literal(first));
            }
            Some(Kind::Name) => {
                // Values of types begin with a type, which may have a template list.
                self.kind_of_value()?;
                if self.word() == "(" {
                    let arguments = self.parenthesis()?;
                    self.push(Node::Call { name: first, whole: first..self.at, arguments });
                } else {
                    self.push(Node::Name(first));
                }
            }
            _ if self.word() == "(" => {
                self.parenthesis()?;
            }
            _ => return Err("an expression"),
        }
        loop {
            if self.skip("[") {
                self.expression(0)?;
                self.need("]")?;
            } else if self.skip(".") {
                let field = self.at;
                self.name()?;
                let of = (field - 2 == first).then_some(first);
                self.push(Node::Member { field, of });
            } else {
                return Ok(first..self.at);
            }
        }
    }
}
