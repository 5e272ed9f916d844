//! Composes one WGSL text from a typed head, modules and a body. Pure text: no device here.
//!
//! The head says what a variant is (`enable f16;`, `alias Elem = f16;`, `const ROWS: u32 = 4u;`); a module is a file
//! with the functions of one capability (`reduce.subgroup.wgsl`); the body is the kernel. WGSL allows any order of
//! declarations, so joining them is enough. Places in the joined text map back to the files.

use std::fmt::Write as _;

/// A WGSL file compiled into the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// Path below the repository's root.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Source {
    /// What its family calls it: `mask/window` of `shaders/attention/mask/window.wgsl`.
    pub fn name(&self) -> &'static str {
        let path = self.path.strip_prefix("shaders/").unwrap_or(self.path);
        let path = path.strip_suffix(".wgsl").unwrap_or(path);
        path.split_once('/').map_or(path, |(_, name)| name)
    }
}

/// Names a file below `shaders/` and includes its text.
#[macro_export]
macro_rules! wgsl {
    ($path:literal) => {
        $crate::shader::Source {
            path: concat!("shaders/", $path),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
        }
    };
}

/// A constant of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Const {
    /// `u32`
    U32(u32),
    /// `bool`
    Bool(bool),
}

/// The typed head of a variant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Head {
    /// `enable` names, in order.
    pub enables: Vec<&'static str>,
    /// Names for types, such as `Elem` for the storage type.
    pub aliases: Vec<(&'static str, &'static str)>,
    /// Constants.
    pub consts: Vec<(&'static str, Const)>,
}

/// Joined text with the way back to its files.
#[derive(Debug, Clone)]
pub struct Composed {
    text: String,
    /// First line (from 0) of each piece and the piece's path.
    pieces: Vec<(usize, &'static str)>,
}

/// Joins head, modules and body.
pub fn compose(head: &Head, modules: &[Source], body: Source) -> Composed {
    let mut text = String::new();
    for name in &head.enables {
        let _ = writeln!(text, "enable {name};");
    }
    for (name, of) in &head.aliases {
        let _ = writeln!(text, "alias {name} = {of};");
    }
    for (name, value) in &head.consts {
        let _ = match value {
            Const::U32(v) => writeln!(text, "const {name}: u32 = {v}u;"),
            Const::Bool(v) => writeln!(text, "const {name}: bool = {v};"),
        };
    }
    let mut pieces = vec![(0, "head")];
    for piece in modules.iter().chain([&body]) {
        pieces.push((text.lines().count(), piece.path));
        text.push_str(piece.text);
        if !piece.text.ends_with('\n') {
            text.push('\n');
        }
    }
    Composed { text, pieces }
}

impl Composed {
    /// The text with a part of it replaced; `None` unless that part stands in it exactly once.
    pub fn replaced(&self, part: &str, by: &str) -> Option<Self> {
        let (before, after) = self.text.split_once(part)?;
        if after.contains(part) {
            return None;
        }
        let line = before.matches('\n').count();
        let lines = |text: &str| text.matches('\n').count();
        let moved =
            |first: usize| if first > line { (first + lines(by)).saturating_sub(lines(part)) } else { first };
        let pieces = self.pieces.iter().map(|&(first, path)| (moved(first), path)).collect();
        Some(Self { text: [before, by, after].concat(), pieces })
    }

    /// Path and text of each file that it is joined of, in order; the first is the `head`.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lines = self.text.split_inclusive('\n').scan(0, |end, line| {
            *end += line.len();
            Some(*end)
        });
        let starts: Vec<usize> = std::iter::once(0).chain(lines).collect();
        let start = move |line: usize| starts.get(line).copied().unwrap_or(self.text.len());
        let ends = self.pieces.iter().skip(1).map(|(line, _)| *line).chain([usize::MAX]);
        self.pieces.iter().zip(ends).map(move |(&(line, path), end)| {
            (path, self.text.get(start(line)..start(end)).unwrap_or_default())
        })
    }

    /// The same with another text in place of one file's; `None` where that file is no part of it.
    pub fn with_file(&self, path: &str, by: &str) -> Option<Self> {
        let (mut text, mut pieces) = (String::new(), Vec::new());
        for (name, own) in self.files() {
            pieces.push((text.matches('\n').count(), name));
            text.push_str(if name == path { by } else { own });
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
        }
        pieces.iter().any(|(_, name)| *name == path).then_some(Self { text, pieces })
    }

    /// The WGSL text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// First line (from 0) and path of each file in the joined text, in order; the head stands first.
    pub fn pieces(&self) -> &[(usize, &'static str)] {
        &self.pieces
    }

    /// File, line and column of a place (lines and columns from 1) in the joined text.
    pub fn place(&self, line: usize, column: usize) -> String {
        let line0 = line.saturating_sub(1);
        let piece = self.pieces.iter().rev().find(|(first, _)| *first <= line0);
        let (first, path) = piece.copied().unwrap_or((0, "head"));
        format!("{path}:{}:{column}", line0 - first + 1)
    }

    /// Finds `wgsl:LINE:COLUMN` in a compiler's message and returns the place and the message.
    pub fn locate(&self, message: &str) -> (String, String) {
        let place = message.split("wgsl:").skip(1).find_map(|rest| {
            let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
            let line = numbers.next()?.parse().ok()?;
            let column = numbers.next()?.parse().ok()?;
            Some(self.place(line, column))
        });
        (place.unwrap_or_else(|| "unknown place".into()), message.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: Source = Source { path: "shaders/shared/m.wgsl", text: "fn f() {}\nfn g() {}\n" };
    const BODY: Source = Source { path: "shaders/x/x.wgsl", text: "fn x() {}\n" };

    #[test]
    fn a_part_is_replaced_where_it_stands_once() {
        let composed = compose(&Head::default(), &[MODULE], BODY);
        let longer = composed.replaced("fn f() {}", "// why\nfn f() {}").unwrap_or_else(|| composed.clone());
        assert_eq!(longer.text(), "// why\nfn f() {}\nfn g() {}\nfn x() {}\n");
        assert_eq!(longer.place(4, 1), "shaders/x/x.wgsl:1:1");
        assert!(composed.replaced("fn ", "").is_none() && composed.replaced("fn h", "").is_none());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let head = Head { consts: vec![("N", Const::U32(1))], ..Head::default() };
        let composed = compose(&head, &[MODULE], BODY);
        let files: Vec<_> = composed.files().collect();
        assert_eq!(
            files,
            [("head", "const N: u32 = 1u;\n"), (MODULE.path, MODULE.text), (BODY.path, BODY.text)]
        );
        let other = composed.with_file(MODULE.path, "fn h() {}").unwrap_or_else(|| composed.clone());
        assert_eq!(other.text(), "const N: u32 = 1u;\nfn h() {}\nfn x() {}\n");
        assert_eq!(other.place(3, 1), "shaders/x/x.wgsl:1:1");
        assert!(composed.with_file("shaders/none.wgsl", "").is_none());
        // Without a head, the first file begins where the head does.
        let bare = compose(&Head::default(), &[MODULE], BODY);
        assert_eq!(bare.with_file(MODULE.path, MODULE.text).map(|same| same.text), Some(bare.text));
    }

    #[test]
    fn joined_lines_map_back_to_their_files() {
        let aliases = vec![("Elem", "f16"), ("WeightElem", "f16")];
        let head = Head { enables: vec!["f16"], aliases, consts: vec![("WG_SIZE", Const::U32(64))] };
        let composed = compose(&head, &[MODULE], BODY);
        assert_eq!(composed.pieces(), [(0, "head"), (4, MODULE.path), (6, BODY.path)]);
        assert_eq!(composed.place(2, 1), "head:2:1");
        assert_eq!(composed.place(6, 4), "shaders/shared/m.wgsl:2:4");
        assert_eq!(composed.place(7, 1), "shaders/x/x.wgsl:1:1");
        assert_eq!(composed.locate("error\n  --- wgsl:6:9\n").0, "shaders/shared/m.wgsl:2:9");
        assert!(composed.text().starts_with("enable f16;\nalias Elem = f16;"));
    }
}
