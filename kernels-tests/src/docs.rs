//! The table of kernels in the documentation, made from the registry.

use crate::errors::{self, Record};
use crate::synthetic;
use foveal::kernels::registry::{Entry, REGISTRY};
use std::fmt::Write as _;
use std::path::Path;

/// Where the table stands, below the root.
pub const FILE: &str = "docs/kernels.md";
/// Line before the table.
pub const BEGIN: &str = "<!-- kernels:begin -->";
/// Line after the table.
pub const END: &str = "<!-- kernels:end -->";

/// The table, one row a kernel.
///
/// Variants are counted over the test cases under synthetic capabilities, so that the number is the same on every
/// machine; errors are the committed ones.
pub fn table(records: &[Record]) -> String {
    let mut text = String::from("| kernel | family | what it computes | gradient of | cases | variants |");
    for record in records {
        let _ = write!(text, " error, {} |", record.short_name());
    }
    let _ = writeln!(text, "\n|---|---|---|---|---:|---:|{}", "---:|".repeat(records.len()));
    let caps = synthetic::caps();
    for Entry { stem, family, summary, cases, .. } in REGISTRY {
        let cases = cases();
        let gradient = cases.iter().find_map(|case| Some(format!("`{}`", case.gradient_of()?.forward)));
        let variants = synthetic::variants(&cases, &caps).len();
        let (gradient, summary) = (gradient.unwrap_or_default(), summary.replace('|', "\\|"));
        let _ = write!(
            text,
            "| [`{stem}`](../shaders/{family}/{stem}.wgsl) | {family} | {summary} | {gradient} | {} | {variants} |",
            cases.len()
        );
        for record in records {
            let share = record.share(stem).map(|share| format!("{share:.2}"));
            let _ = write!(text, " {} |", share.as_deref().unwrap_or("not measured"));
        }
        text.push('\n');
    }
    text
}

/// The text with the part between two markers replaced.
///
/// # Errors
/// A marker that is not there once, or is in the wrong place.
pub fn between(text: &str, markers: (&str, &str), part: &str) -> Result<String, String> {
    let (first, last) = markers;
    let once = |marker: &str| match text.matches(marker).count() {
        1 => Ok(text.find(marker).unwrap_or_default()),
        0 => Err(format!("has no line `{marker}`; the table stands between `{first}` and `{last}`")),
        n => Err(format!("has {n} lines `{marker}`; one is needed")),
    };
    let (begin, end) = (once(first)? + first.len(), once(last)?);
    if end < begin {
        return Err(format!("has `{last}` before `{first}`"));
    }
    Ok(format!("{}\n{part}{}", &text[..begin], &text[end..]))
}

/// The text with the table of kernels replaced.
pub fn with_table(text: &str, table: &str) -> Result<String, String> {
    between(text, (BEGIN, END), table)
}

/// Rewrites the table below `root`, or with `check` only says whether it would. True when it was up to date.
pub fn update(root: &Path, check: bool) -> Result<bool, String> {
    let path = root.join(FILE);
    let old = std::fs::read_to_string(&path).map_err(|e| format!("{FILE} cannot be read: {e}"))?;
    let new = with_table(&old, &table(&errors::read(root)?)).map_err(|e| format!("{FILE} {e}"))?;
    if new == old {
        return Ok(true);
    }
    if !check {
        foveal::weights::write_whole(&path, new.as_bytes()).map_err(|e| e.to_string())?;
    }
    Ok(false)
}

/// Fails where the table is not the registry's.
pub fn check(root: &Path) -> Result<(), String> {
    if update(root, true)? {
        return Ok(());
    }
    Err(format!("{FILE}: the table of kernels is stale; `cargo xtask docs` writes it"))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, table, with_table};
    use crate::errors::{Largest, Record};

    #[test]
    fn only_the_part_between_the_markers_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = with_table(&text, "| new |\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n| new |\n{END}\nafter\n"));
        assert_eq!(with_table(&new, "| new |\n").unwrap(), new);
    }

    #[test]
    fn markers_must_be_there_once_and_in_order() {
        assert!(with_table("no markers", "").unwrap_err().contains(BEGIN));
        assert!(with_table(BEGIN, "").unwrap_err().contains(END));
        assert!(with_table(&format!("{END}\n{BEGIN}"), "").unwrap_err().contains("before"));
        assert!(with_table(&format!("{BEGIN}{END}{END}"), "").unwrap_err().contains("2 lines"));
    }

    #[test]
    fn every_row_has_every_column() {
        let record = |adapter: &str, stem: &str| Record {
            adapter: adapter.into(),
            driver: String::new(),
            class: "software".into(),
            kernels: vec![Largest {
                stem: stem.into(),
                share: 0.456,
                runs: 1,
                case: String::new(),
                variant: String::new(),
            }],
        };
        let table = table(&[record("a (1)", "softmax"), record("b", "gelu")]);
        assert!(table.lines().count() > 2);
        for line in table.lines() {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 9, "{line}");
        }
        assert!(table.contains("| error, a | error, b |"), "{table}");
        let softmax = table.lines().find(|line| line.contains("[`softmax`]")).unwrap();
        assert!(softmax.ends_with("| 0.46 | not measured |"), "{softmax}");
    }
}
