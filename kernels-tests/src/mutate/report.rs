//! What mutants say about a kernel's cases: survivors by place, and a table.

use super::explained::Explained;
use super::mutants::Mutant;
use super::pool::End;
use super::record::Record;
use super::session::Tried;
use crate::docs;
use foveal::Caps;
use foveal::kernels::registry::REGISTRY;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Where the table is kept, below the root.
pub const FILE: &str = "docs/mutation.md";
/// Line before the table.
pub const BEGIN: &str = "<!-- mutation:begin -->";
/// Line after the table.
pub const END: &str = "<!-- mutation:end -->";

/// One kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Mutants that are another program and compile.
    pub mutants: usize,
    /// Those that a case showed.
    pub found: usize,
    /// Survivors with a reason.
    pub explained: usize,
    /// How many times as many mutants there are as were tried: 1 where all were.
    pub spread: f64,
}

impl Counts {
    /// Survivors without a reason.
    pub fn survivors(&self) -> usize {
        self.mutants - self.found - self.explained
    }

    /// What was found of all that could be.
    pub fn share(&self) -> f64 {
        let could = self.mutants - self.explained;
        if could == 0 { 1.0 } else { self.found as f64 / could as f64 }
    }
}

/// Numbers and unexplained survivors of a kernel.
pub fn judged<'a>(tried: &'a Tried, explained: &[Explained]) -> (Counts, Vec<&'a (Mutant, Record)>) {
    let spread = tried.of as f64 / tried.mutants.len().max(1) as f64;
    let (mut counts, mut survivors) = (Counts { spread, ..Counts::default() }, Vec::new());
    for one in &tried.mutants {
        let (mutant, record) = one;
        if matches!(record.end, End::Invalid | End::Same) {
            continue;
        }
        counts.mutants += 1;
        if record.end.is_found() {
            counts.found += 1;
        } else if explained.iter().any(|e| e.speaks_of(tried.stem, mutant).is_some()) {
            counts.explained += 1;
        } else {
            survivors.push(one);
        }
    }
    (counts, survivors)
}

/// Survivors by place, as a person reads them.
pub fn listed(survivors: &[&(Mutant, Record)]) -> String {
    let mut text = String::new();
    for (mutant, record) in survivors {
        let Mutant { file, line, column, kind, function, .. } = mutant;
        let within = if function.is_empty() { String::new() } else { format!(" in {function}") };
        let _ = writeln!(text, "{file}:{line}:{column}: {kind}{within}: {}", mutant.edit());
        let _ = writeln!(text, "    {}    [{} runs, {:.1} s]", mutant.text, record.passed, record.seconds);
    }
    text
}

/// Explanations that no longer fit, by the kernels that were tried, each as a whole.
pub fn stale(all: &[Tried], explained: &[Explained]) -> Vec<String> {
    let everything = all.len() == REGISTRY.len();
    let mut faults = Vec::new();
    for entry in explained.iter().filter(|entry| everything || entry.is_exact()) {
        let ends = |number: usize| {
            let of = move |tried: &'_ Tried, (mutant, record): &'_ (Mutant, Record)| {
                (entry.speaks_of(tried.stem, mutant) == Some(number)).then_some(record.end)
            };
            all.iter().flat_map(move |tried| tried.mutants.iter().filter_map(move |one| of(tried, one)))
        };
        // A file that no kernel uses any more is only known to be one when every kernel was asked.
        let known = |tried: &Tried| tried.mutants.iter().any(|(mutant, _)| mutant.file == entry.file);
        let judge = all.iter().find(|tried| tried.stem == entry.found_by);
        for (number, edit) in entry.edits.iter().enumerate() {
            let place = format!("{} `{}`: {edit}", entry.file, entry.line);
            let ends: Vec<_> = ends(number).collect();
            if ends.is_empty() {
                let narrowed = !entry.kernels.is_empty()
                    && !all.iter().any(|t| entry.kernels.iter().any(|k| k == t.stem));
                if everything || (all.iter().any(known) && !narrowed && entry.found_by.is_empty()) {
                    faults.push(format!("{place}: there is no such edit"));
                }
            } else if ends.iter().all(|end| end.is_found()) && entry.is_exact() {
                faults.push(format!("{place}: nothing is left to explain, it is found"));
            } else if let Some(judge) = judge {
                // Asked as one of the others would be.
                let as_another = Explained { found_by: String::new(), ..entry.clone() };
                let missed = judge.mutants.iter().find(|(mutant, record)| {
                    let own = || explained.iter().any(|e| e.speaks_of(judge.stem, mutant).is_some());
                    let asked = as_another.speaks_of(judge.stem, mutant) == Some(number);
                    record.end == End::Survived && asked && !own()
                });
                if let Some((mutant, _)) = missed {
                    faults.push(format!("{place}: {} does not find {}", judge.stem, mutant.edit()));
                }
            }
        }
    }
    faults
}

/// The table's row of a kernel.
fn row(stem: &str, counts: &Counts) -> String {
    let Counts { mutants, found, explained, spread } = counts;
    let (survivors, share) = (counts.survivors(), 100.0 * counts.share());
    let mutants = if *spread > 1.0 {
        format!("{mutants} of about {:.0}", *mutants as f64 * spread)
    } else {
        mutants.to_string()
    };
    format!("| `{stem}` | {mutants} | {found} | {explained} | {survivors} | {share:.1} % |")
}

/// The rows of several kernels under a head, for a terminal.
pub fn table(rows: &[(&str, Counts)]) -> String {
    let rows: BTreeMap<&str, String> = rows.iter().map(|(stem, counts)| (*stem, row(stem, counts))).collect();
    joined(&rows)
}

fn joined(rows: &BTreeMap<&str, String>) -> String {
    let mut text = String::from("| kernel | mutants | found | explained | survivors | share found |\n");
    text.push_str("|---|---:|---:|---:|---:|---:|\n");
    for entry in REGISTRY {
        if let Some(row) = rows.get(entry.stem) {
            text.push_str(row);
            text.push('\n');
        }
    }
    text
}

/// The part between the markers with these kernels' rows in it; other rows stay where they are of the same adapter.
pub fn merged(old: &str, caps: &Caps, rows: &[(&str, Counts)]) -> String {
    let head = format!("On {} ({}).", caps.adapter, caps.driver);
    let stem = |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(stem, _)| stem.to_owned());
    let kept: Vec<(String, &str)> = if old.contains(&head) {
        old.lines().filter_map(|line| Some((stem(line)?, line))).collect()
    } else {
        Vec::new()
    };
    let mut all: BTreeMap<&str, String> =
        kept.iter().map(|(stem, line)| (stem.as_str(), (*line).to_owned())).collect();
    all.extend(rows.iter().map(|(stem, counts)| (*stem, row(stem, counts))));
    format!("\n{head}\n\n{}\n", joined(&all))
}

/// Writes these kernels' rows into the table below a root.
///
/// # Errors
/// A file that cannot be read or written, or that has no place for a table.
pub fn write(root: &Path, caps: &Caps, rows: &[(&str, Counts)]) -> Result<(), String> {
    let path = root.join(FILE);
    let failed = |e: std::io::Error| format!("{FILE}: {e}");
    let old = std::fs::read_to_string(&path).map_err(failed)?;
    let inside =
        old.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map_or("", |(inside, _)| inside);
    let new =
        docs::between(&old, (BEGIN, END), &merged(inside, caps, rows)).map_err(|e| format!("{FILE} {e}"))?;
    foveal::weights::write_whole(&path, new.as_bytes()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Counts, End, Explained, Mutant, Record, Tried, judged, listed, merged, stale};
    use crate::mutate::change::Change;
    use foveal::Caps;

    fn one(after: &str, end: End) -> (Mutant, Record) {
        let mutant = Mutant {
            file: "shaders/attention/tile.wgsl".into(),
            line: 31,
            column: 9,
            text: "let row = n / SLAB;".into(),
            function: "stage_slab".into(),
            kind: "constant",
            before: "SLAB".into(),
            after: after.into(),
            change: Change::Cut,
            runs: Vec::new(),
            nth: 1,
        };
        let text = String::new;
        let record = Record { end, case: text(), variant: text(), fault: text(), seconds: 0.0, passed: 3 };
        (mutant, record)
    }

    fn entry(edit: &str, found_by: &str) -> Explained {
        Explained {
            file: "shaders/attention/tile.wgsl".into(),
            edits: vec![edit.into()],
            found_by: found_by.into(),
            reason: "a test".into(),
            ..Explained::default()
        }
    }

    #[test]
    fn survivors_are_listed_unless_they_are_explained() {
        let ends = [End::Found, End::Endless, End::Survived, End::Survived, End::Invalid, End::Same];
        let mutants =
            ends.into_iter().zip(["a", "b", "c", "d", "e", "f"]).map(|(end, after)| one(after, end));
        let tried = Tried { stem: "attention", mutants: mutants.collect(), of: 12 };
        let (counts, survivors) = judged(&tried, &[entry("SLAB → c", "")]);
        assert_eq!(counts, Counts { mutants: 4, found: 2, explained: 1, spread: 2.0 });
        let text = listed(&survivors);
        assert!(
            text.starts_with("shaders/attention/tile.wgsl:31:9: constant in stage_slab: SLAB → d\n"),
            "{text}"
        );
    }

    #[test]
    fn explanations_go_stale() {
        let of = |stem, ends: &[(&str, End)]| Tried {
            stem,
            mutants: ends.iter().map(|(after, end)| one(after, *end)).collect(),
            of: ends.len(),
        };
        let faults = |all: &[Tried], entry: Explained| stale(all, &[entry]).len();
        let survivor = of("matmul", &[("a", End::Survived), ("b", End::Found)]);
        let all = [survivor.clone(), of("attention", &[("a", End::Found), ("b", End::Survived)])];
        assert_eq!(faults(&all, entry("SLAB → a", "")), 0);
        assert_eq!(faults(&all, entry("SLAB → c", "")), 1);
        assert_eq!(faults(std::slice::from_ref(&survivor), entry("SLAB → b", "")), 1);
        assert_eq!(faults(&all, entry("SLAB → a", "attention")), 0);
        // What one kernel is to find, it has to find.
        let neither = [survivor, of("attention", &[("a", End::Survived)])];
        assert_eq!(faults(&neither, entry("SLAB → a", "attention")), 1);
    }

    #[test]
    fn shares_leave_out_what_is_explained() {
        let counts = Counts { mutants: 110, found: 95, explained: 10, spread: 1.0 };
        assert_eq!((counts.survivors(), counts.share()), (5, 0.95));
        assert_eq!(Counts::default().share(), 1.0);
    }

    #[test]
    fn rows_of_one_adapter_are_kept() {
        let caps = Caps::webgpu_default();
        let counts = |found| Counts { mutants: 20, found, explained: 0, spread: 1.0 };
        let first = merged("", &caps, &[("softmax", counts(20)), ("silu", counts(10))]);
        let second = merged(&first, &caps, &[("silu", counts(19)), ("gelu", counts(20))]);
        let stems: Vec<_> = second.lines().filter_map(|line| line.split('`').nth(1)).collect();
        assert_eq!(stems, ["gelu", "silu", "softmax"]);
        let sampled = merged("", &caps, &[("silu", Counts { spread: 2.5, ..counts(20) })]);
        assert!(sampled.contains("| `silu` | 20 of about 50 | 20 |"), "{sampled}");
        assert!(second.contains("| `silu` | 20 | 19 | 0 | 1 | 95.0 % |"), "{second}");
        let other = caps.with(|caps| caps.adapter = "another".into());
        assert!(!merged(&second, &other, &[("silu", counts(19))]).contains("softmax"));
    }
}
