//! A card's record: a table of tab-separated columns below lines of comment, one row a text.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::cards::Card;
use super::costs::{Cost, Costs};
use super::marks::{Row, Run};
use crate::process::replace;
use crate::{Result, root};

/// Columns before those of costs.
const NAMES: [&str; 6] = ["kernel", "case", "variant", "way", "taken", "matrices"];

/// What is kept of a card.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record {
    pub(super) driver: String,
    pub(super) rows: Vec<Row>,
}

pub(super) fn path(card: &Card) -> PathBuf {
    root().join(format!("benches/record/isa/{}.tsv", card.name))
}

/// Writes what a run gave.
pub(super) fn write(card: &Card, run: &Run) -> Result<PathBuf> {
    let path = path(card);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let rows: Vec<&Row> = run.texts.iter().map(|text| &text.row).collect();
    replace(&path, &text(card, &run.driver, &rows))?;
    Ok(path)
}

/// Reads a card's record.
pub(super) fn read(card: &Card) -> Result<Record> {
    let path = path(card);
    let text = fs::read_to_string(&path)
        .map_err(|e| format!("{}: {e}; `cargo xtask isa {}` writes it", path.display(), card.name))?;
    parse(&text).map_err(|e| format!("{}: {e}", path.display()))
}

pub(super) fn text(card: &Card, driver: &str, rows: &[&Row]) -> String {
    let mut text = format!(
        "# What a compiler makes of the kernels for a card that is not there: nothing of this has executed. README.md has \
         the columns.\n# card: {}, {}\n# driver: {driver}\n",
        card.name, card.what
    );
    let names: Vec<&str> =
        NAMES.into_iter().chain(Cost::ALL.map(|(_, name)| name)).chain(["error"]).collect();
    text += &names.join("\t");
    text.push('\n');
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    for row in rows {
        let way = if row.way.is_empty() { "-" } else { &row.way };
        let Row { kernel, case, variant, .. } = row;
        let _ = write!(text, "{kernel}\t{case}\t{variant}\t{way}\t{}\t{}", yes(row.taken), yes(row.matrices));
        for (cost, _) in Cost::ALL {
            let _ = write!(text, "\t{}", row.costs.shown(cost));
        }
        let _ = writeln!(text, "\t{}", row.error.as_deref().unwrap_or("-"));
    }
    text
}

pub(super) fn parse(text: &str) -> Result<Record> {
    let mut record = Record::default();
    let mut columns: Option<Vec<&str>> = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}", number + 1);
        if let Some(comment) = line.strip_prefix('#') {
            if let Some(driver) = comment.trim().strip_prefix("driver: ") {
                record.driver = driver.into();
            }
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let Some(columns) = &columns else {
            columns = Some(fields);
            continue;
        };
        if fields.len() != columns.len() {
            return Err(wrong("not as many columns as have names"));
        }
        let field = |name: &str| {
            let at = columns.iter().position(|column| *column == name);
            at.map(|at| fields[at]).ok_or_else(|| wrong(&format!("no column {name}")))
        };
        let known = |name: &str| Ok::<_, String>(Some(field(name)?).filter(|value| *value != "-"));
        let mut costs = Costs::default();
        for (cost, name) in Cost::ALL {
            // A record from before these were told is compared in the others.
            if cost.is_of_pass() && !columns.contains(&name) {
                continue;
            }
            if let Some(value) = known(name)? {
                costs.set(cost, value.parse().map_err(|_| wrong(&format!("{name} is no number")))?);
            }
        }
        record.rows.push(Row {
            kernel: field("kernel")?.into(),
            case: field("case")?.into(),
            variant: field("variant")?.into(),
            way: known("way")?.unwrap_or_default().into(),
            taken: field("taken")? == "yes",
            matrices: field("matrices")? == "yes",
            error: known("error")?.map(Into::into),
            costs,
        });
    }
    Ok(record)
}
