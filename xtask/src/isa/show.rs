//! What is printed of a run.

use std::collections::{BTreeMap, BTreeSet};

use super::cards::Card;
use super::code::{Code, Counts, Kind, Span, vector};
use super::costs::Cost;
use super::marks::{Row, Run, Text};
use super::pass::{self, Pass};
use super::rates::Rates;

/// Of how many kernels the worst text is named.
const WORST: usize = 5;

/// A few lines about all texts of a card.
pub(super) fn summary(card: &Card, run: &Run) -> String {
    let rows: Vec<&Row> = run.texts.iter().map(|text| &text.row).collect();
    let with = |cost: Cost| rows.iter().filter(move |row| row.costs.get(cost).is_some_and(|n| n > 0.0));
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    let mut text = format!("{}, {}, by {}: {} texts", card.name, card.what, run.driver, rows.len());
    for (count, what) in [
        (failed, "do not compile"),
        (with(Cost::Spilled).count(), "spill registers"),
        (with(Cost::Scratch).count(), "have scratch"),
        (with(Cost::Matrix).count(), "have matrix instructions"),
    ] {
        text += &format!(", {count} {what}");
    }
    text.push('\n');
    for row in rows.iter().filter_map(|row| Some((row, row.error.as_deref()?))) {
        text += &format!("  does not compile: {}: {}\n", name(row.0), row.1);
    }
    let mut worst: Vec<&&Row> = with(Cost::Spilled).collect();
    // Scratch tells texts apart that spill alike.
    let by = |row: &Row, cost: Cost| row.costs.get(cost).unwrap_or(0.0);
    worst.sort_by(|a, b| {
        by(b, Cost::Spilled)
            .total_cmp(&by(a, Cost::Spilled))
            .then(by(b, Cost::Scratch).total_cmp(&by(a, Cost::Scratch)))
    });
    // One of each kernel: its texts spill alike.
    let mut named = BTreeSet::new();
    for row in worst.into_iter().filter(|row| named.insert(&row.kernel)).take(WORST) {
        text += &format!("  spills most: {}: {}\n", name(row), row.costs.known());
    }
    text + &ways(&rows)
}

/// Kernels and ways whose texts have matrix instructions, and those that were written for them and have none.
fn ways(rows: &[&Row]) -> String {
    let mut ways: BTreeMap<(&str, &str), (usize, usize, usize)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.matrices && row.error.is_none()) {
        let way = ways.entry((&row.kernel, &row.way)).or_default();
        let done = row.costs.get(Cost::Matrix).is_some_and(|count| count > 0.0);
        way.0 += 1;
        way.1 += usize::from(done);
        way.2 += usize::from(done && row.taken);
    }
    let line = |((kernel, way), (all, done, taken)): (&(&str, &str), &(usize, usize, usize))| {
        format!("  matrices: {kernel}.{way}: {done} of {all} texts have matrix instructions, {taken} taken\n")
    };
    ways.iter().map(line).collect()
}

fn name(row: &Row) -> String {
    format!("{} | {} | {}", row.kernel, row.case, row.variant)
}

/// One text's numbers.
pub(super) fn row(row: &Row) -> String {
    let what =
        row.error.clone().map_or_else(|| row.costs.known(), |error| format!("does not compile: {error}"));
    let taken = if row.taken { "" } else { " (not taken)" };
    format!("{}{taken}\n    {what}\n", name(row))
}

/// The loops of a text: counts of each, and the code of the one that does most of the work.
pub(super) fn loops(text: &Text, rates: Option<&Rates>) -> String {
    let mut shown = row(&text.row);
    let code = &text.code;
    let hottest = code.hottest();
    if code.0.is_empty() {
        return shown + "    the driver prints no code\n";
    }
    for span in code.loops() {
        let mark = if Some(span) == hottest { "hottest loop" } else { "loop" };
        shown += &format!("    {mark} {}: {}\n", place(code, span), counts(&code.counts(span)));
    }
    let Some(hottest) = hottest else { return shown };
    for span in code.skippable(hottest) {
        shown += &format!("      may be left out: {}: {}\n", place(code, span), counts(&code.counts(span)));
    }
    if let Some((rates, pass)) = rates.and_then(|rates| Some((rates, pass::of(code, hottest, rates)?))) {
        shown += &usual(code, &pass, rates);
    }
    for block in code.0.iter().take(hottest.1 + 1).skip(hottest.0) {
        if !block.label.is_empty() {
            shown += &format!("    {}:\n", block.label);
        }
        shown.extend(block.insts.iter().map(|inst| format!("        {}\n", inst.text)));
    }
    shown
}

/// What the usual pass takes, and its blocks with how often each is run.
fn usual(code: &Code, pass: &Pass, rates: &Rates) -> String {
    let tally = pass.tally(code, rates);
    let (overlap, serial) = tally.bounds(rates);
    let (unit, units) = match tally.products > 0.0 {
        true => ("a product of 16 × 16 × 16", tally.products),
        false => ("a multiply-add", tally.multiply_adds),
    };
    let per = |count: f64| count / units;
    let wide = if tally.locals > 0.0 { 100.0 * tally.locals128 / tally.locals } else { 0.0 };
    let blocks = pass.0.iter().map(|(at, times)| {
        let name = place(code, (*at, *at));
        if (times - 1.0).abs() < 0.5 { name } else { format!("{name} × {times}") }
    });
    let mut blocks: Vec<String> = blocks.collect();
    blocks.dedup();
    format!(
        "      usual pass: {units} times {unit}, each with vector {:.2}, lds {:.2} ({wide:.0} % by 128 bits), memory {:.2}; \
         barriers {}, overlap {overlap:.0} %, serial {serial:.0} %: {}\n",
        per(tally.vectors),
        per(tally.locals),
        per(tally.memories),
        tally.barriers,
        blocks.join(" ")
    )
}

fn place(code: &Code, (first, last): Span) -> String {
    let label = |at: usize| {
        let named = code.0.iter().take(at + 1).rev().find(|block| !block.label.is_empty());
        named.map_or("start", |block| &block.label)
    };
    if label(first) == label(last) {
        label(first).into()
    } else {
        format!("{}..{}", label(first), label(last))
    }
}

fn counts(counts: &Counts) -> String {
    let list =
        counts.iter().map(|(kind, count)| format!("{} {count}", kind.name())).collect::<Vec<_>>().join(", ");
    let of = |kind| counts.get(&kind).copied().unwrap_or(0) as f64;
    let vector = vector(counts) as f64;
    if of(Kind::Matrix) > 0.0 {
        let per = |count: f64| count / of(Kind::Matrix);
        format!("{list}; a matrix instruction: vector {:.1}, lds {:.1}", per(vector), per(of(Kind::Local)))
    } else if of(Kind::MultiplyAdd) > 0.0 {
        let per = |count: f64| count / of(Kind::MultiplyAdd);
        format!("{list}; a multiply-add: vector {:.2}, lds {:.2}", per(vector), per(of(Kind::Local)))
    } else {
        list
    }
}
