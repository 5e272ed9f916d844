//! Survivors that mean the same as what they replace, each with the reason: `kernels-tests/mutation/explained.toml`.

use super::mutants::Mutant;
use std::path::Path;
use toml::{Table, Value};

/// Where they are listed, below the root.
pub const FILE: &str = "kernels-tests/mutation/explained.toml";

/// Edits that one reason explains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explained {
    /// File of the edits; a `*` at the end stands for anything.
    pub file: String,
    /// Text of their line; of any line where it is empty.
    pub line: String,
    /// Function they stand in; any where it is empty.
    pub function: String,
    /// Kernels whose cases the reason speaks of; all where there is none.
    pub kernels: Vec<String>,
    /// The edits as the list of survivors names them; a `*` at the end stands for anything.
    pub edits: Vec<String>,
    /// The kernel whose cases show them, where a module is that kernel's to answer for: others are excused.
    pub found_by: String,
    /// Why no case can show them, or why those of one kernel are enough.
    pub reason: String,
}

impl Explained {
    /// Whether it speaks of a mutant of a kernel: the number of its edit.
    pub fn speaks_of(&self, stem: &str, mutant: &Mutant) -> Option<usize> {
        let any = |pattern: &str, text: &str| pattern.is_empty() || pattern == text;
        let here = like(&self.file, &mutant.file)
            && any(&self.line, &mutant.text)
            && any(&self.function, &mutant.function)
            && (self.kernels.is_empty() || self.kernels.iter().any(|own| own == stem))
            && self.found_by != stem;
        let edit = mutant.edit();
        if here { self.edits.iter().position(|own| like(own, &edit)) } else { None }
    }

    /// Whether it names one file.
    pub fn is_exact(&self) -> bool {
        !self.file.ends_with('*')
    }
}

fn like(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |begin| text.starts_with(begin))
}

/// The list below a root; empty where there is none.
///
/// # Errors
/// A file that does not say what it should.
pub fn read(root: &Path) -> Result<Vec<Explained>, String> {
    match std::fs::read_to_string(root.join(FILE)) {
        Ok(text) => parse(&text).map_err(|fault| format!("{FILE}: {fault}")),
        Err(_) => Ok(Vec::new()),
    }
}

fn parse(text: &str) -> Result<Vec<Explained>, String> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    if let Some(other) = table.keys().find(|key| *key != "explained") {
        return Err(format!("`{other}` means nothing here; entries begin with [[explained]]"));
    }
    let entries = table.get("explained").and_then(Value::as_array).into_iter().flatten();
    (1..)
        .zip(entries)
        .map(|(number, entry)| one(entry).map_err(|what| format!("entry {number}: {what}")))
        .collect()
}

fn one(entry: &Value) -> Result<Explained, String> {
    let table = entry.as_table().ok_or("is no table")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("is no text");
    let mut explained = Explained::default();
    for (name, value) in table {
        let list = || -> Result<Vec<String>, &str> {
            value.as_array().ok_or("is no list")?.iter().map(text).collect()
        };
        let taken = match name.as_str() {
            "file" => text(value).map(|v| explained.file = v),
            "line" => text(value).map(|v| explained.line = v),
            "function" => text(value).map(|v| explained.function = v),
            "kernels" => list().map(|v| explained.kernels = v),
            "edits" => list().map(|v| explained.edits = v),
            "found_by" => text(value).map(|v| explained.found_by = v),
            "reason" => text(value).map(|v| explained.reason = v),
            _ => Err("means nothing here"),
        };
        taken.map_err(|what| format!("`{name}` {what}"))?;
    }
    let Explained { file, edits, reason, .. } = &explained;
    for (name, missing) in
        [("file", file.is_empty()), ("edits", edits.is_empty()), ("reason", reason.is_empty())]
    {
        if missing {
            return Err(format!("has no `{name}`"));
        }
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::mutate::change::Change;
    use crate::mutate::mutants::Mutant;

    fn mutant() -> Mutant {
        Mutant {
            file: "shaders/attention/tile.wgsl".into(),
            line: 31,
            column: 9,
            text: "let row = n / SLAB;".into(),
            function: "stage_slab".into(),
            kind: "constant",
            before: "SLAB".into(),
            after: "(SLAB + 1u)".into(),
            change: Change::Cut,
            runs: Vec::new(),
            nth: 1,
        }
    }

    const ENTRY: &str = "[[explained]]
file = 'shaders/attention/tile.wgsl'
line = 'let row = n / SLAB;'
edits = ['n → 1', 'SLAB → (SLAB + 1u)']
reason = 'a test'
";

    #[test]
    fn an_entry_speaks_of_its_edits() {
        let entries = parse(ENTRY).unwrap();
        assert_eq!(entries[0].speaks_of("attention", &mutant()), Some(1));
        let other = Mutant { after: "(SLAB - 1u)".into(), ..mutant() };
        assert_eq!(entries[0].speaks_of("attention", &other), None);
        let elsewhere = Mutant { text: "let d = n % SLAB;".into(), ..mutant() };
        assert_eq!(entries[0].speaks_of("attention", &elsewhere), None);
    }

    #[test]
    fn an_entry_may_be_narrower_or_wider() {
        let with = |more: &str| parse(&format!("{ENTRY}{more}")).unwrap().remove(0);
        assert_eq!(with("kernels = ['matmul']").speaks_of("attention", &mutant()), None);
        assert_eq!(with("function = 'stage_rows'").speaks_of("attention", &mutant()), None);
        assert_eq!(with("found_by = 'attention'").speaks_of("attention", &mutant()), None);
        assert_eq!(with("found_by = 'attention'").speaks_of("attention_join", &mutant()), Some(1));
        let wide = ENTRY.replace("tile.wgsl", "*").replace("'SLAB → (SLAB + 1u)'", "'SLAB → *'");
        assert_eq!(parse(&wide).unwrap()[0].speaks_of("attention", &mutant()), Some(1));
        assert!(!parse(&wide).unwrap()[0].is_exact());
    }

    #[test]
    fn what_says_too_little_is_refused() {
        for (broken, part) in [
            (ENTRY.replace("reason = 'a test'\n", ""), "reason"),
            (ENTRY.replace("reason", "why"), "`why`"),
            (ENTRY.replace("edits = [", "edits = [1, "), "`edits`"),
            (ENTRY.replace("explained", "survivors"), "`survivors`"),
            ("[[explained".to_owned(), ""),
        ] {
            let fault = parse(&broken).unwrap_err();
            assert!(fault.contains(part), "{fault}");
        }
    }
}
