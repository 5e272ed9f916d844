//! The tables over many clips.

use super::score::Score;
use super::stats::{Estimate, difference, estimate, median};
use crate::shared::mode::Mode;
use serde_json::{Map, Value, json};

type Column = (&'static str, fn(&Score) -> Option<f64>);

const COLUMNS: [Column; 10] = [
    ("accuracy", |s| Some(s.accuracy)),
    ("presence", |s| s.presence),
    ("absence", |s| s.absence),
    ("exact clips", |s| Some(s.exact)),
    ("clean frames", |s| Some(s.clean)),
    ("one object", |s| s.one_object),
    ("shape right", |s| s.shape_right),
    ("all objects present", |s| Some(s.all_present)),
    ("others", |s| s.others),
    ("correlation", |s| s.correlation),
];

fn of(scores: &[Score], mode: Mode) -> impl Iterator<Item = &Score> {
    scores.iter().filter(move |s| s.mode == mode)
}

fn own(scores: &[Score], mode: Mode, column: fn(&Score) -> Option<f64>) -> Option<Estimate> {
    estimate(&of(scores, mode).filter_map(column).collect::<Vec<_>>())
}

/// Paired by prompt; prompts that a column is undefined for are left out.
fn change(scores: &[Score], mode: Mode, column: fn(&Score) -> Option<f64>) -> Option<Estimate> {
    let pair = |after: &Score| {
        let before = of(scores, Mode::Uncontrolled).find(|b| b.index == after.index)?;
        Some((column(before)?, column(after)?))
    };
    difference(&of(scores, mode).filter_map(pair).collect::<Vec<_>>())
}

fn seconds(scores: &[Score], mode: Mode) -> Option<f64> {
    median(&of(scores, mode).map(|s| s.seconds).collect::<Vec<_>>())
}

/// Cells in columns of even width, as Markdown.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: String = widths.iter().map(|w| format!("{}|", "-".repeat(w + 2))).collect();
    let (head, body) = rows.split_at(rows.len().min(1));
    head.iter().map(line).chain([format!("|{rule}\n")]).chain(body.iter().map(line)).collect()
}

/// Means by mode, then differences to the uncontrolled clips, each with its interval.
pub(crate) fn table(scores: &[Score], modes: &[Mode]) -> String {
    let show = |e: Option<Estimate>| {
        e.map_or_else(|| "-".into(), |e| format!("{:.3} [{:.3}, {:.3}]", e.mean, e.low, e.high))
    };
    let signed = |e: Option<Estimate>| {
        e.map_or_else(|| "-".into(), |e| format!("{:+.3} [{:+.3}, {:+.3}]", e.mean, e.low, e.high))
    };
    let row = |name: &str, modes: &[Mode], cell: &dyn Fn(Mode) -> String| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(modes.iter().map(|m| cell(*m))).collect()
    };
    let mut rows = vec![row("mean [95 % interval]", modes, &|m| m.name().into())];
    rows.extend(COLUMNS.map(|(name, column)| row(name, modes, &|m| show(own(scores, m, column)))));
    rows.push(row("clips", modes, &|m| of(scores, m).count().to_string()));
    rows.push(row("median seconds a clip", modes, &|m| {
        seconds(scores, m).map_or_else(|| "-".into(), |s| format!("{s:.1}"))
    }));
    let text = markdown(&rows);
    let compared: Vec<Mode> = modes.iter().copied().filter(|m| *m != Mode::Uncontrolled).collect();
    if compared.is_empty() || of(scores, Mode::Uncontrolled).next().is_none() {
        return text;
    }
    let mut rows = vec![row("against uncontrolled, paired", &compared, &|m| m.name().into())];
    rows.extend(COLUMNS.map(|(name, column)| row(name, &compared, &|m| signed(change(scores, m, column)))));
    text + "\n" + &markdown(&rows)
}

/// The tables as data.
pub(crate) fn summary(scores: &[Score], modes: &[Mode]) -> Value {
    let row = |&mode: &Mode| {
        let cell = |(name, column): Column| {
            let against = if mode == Mode::Uncontrolled { None } else { change(scores, mode, column) };
            (name.to_owned(), json!({ "mean": own(scores, mode, column), "against_uncontrolled": against }))
        };
        let cells: Map<String, Value> = COLUMNS.into_iter().map(cell).collect();
        json!({
            "mode": mode,
            "clips": of(scores, mode).count(),
            "median_seconds": seconds(scores, mode),
            "columns": cells,
        })
    };
    modes.iter().map(row).collect()
}
