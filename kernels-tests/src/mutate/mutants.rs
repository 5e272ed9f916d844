//! All mutants of a kernel: edits of each file that its variants are composed of, and changes of what the host hands over.

use super::change::{Change, Step};
use super::edits::{Surroundings, edits};
use super::plan::Plan;
use super::program::program;
use super::syntax::{self, Syntax};
use crate::root;
use foveal::shader::Const;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One mutant.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutant {
    /// File below the root that a person looks at.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The line's text without the space around it.
    pub text: String,
    /// Function it stands in; empty outside of functions and on the host's side.
    pub function: String,
    /// What kind of slip it is, in words.
    pub kind: &'static str,
    /// What stands there.
    pub before: String,
    /// What stands there instead; empty where something is dropped.
    pub after: String,
    /// What is changed.
    pub change: Change,
    /// Runs that can show it, by their number in the plan.
    pub runs: Vec<usize>,
    /// Which of several edits that read alike, in lines that read alike of one function.
    pub nth: usize,
}

impl Mutant {
    /// The edit in one line, as the list of explained survivors names it.
    pub fn edit(&self) -> String {
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let after = line(&self.after);
        let nothing = after.is_empty() || (after == ";" && self.before.len() > 1);
        let which = if self.nth > 1 { format!(" #{}", self.nth) } else { String::new() };
        format!("{} → {}{which}", line(&self.before), if nothing { "nothing" } else { &after })
    }
}

/// Every mutant of what a plan runs, by file and line.
///
/// # Errors
/// A shader that cannot be read.
pub fn mutants(plan: &Plan) -> Result<Vec<Mutant>, String> {
    let mut files: BTreeMap<&str, (&str, Vec<usize>)> = BTreeMap::new();
    for (number, run) in plan.runs.iter().enumerate() {
        for (path, text) in run.composed.files().skip(1) {
            files.entry(path).or_insert((text, Vec::new())).1.push(number);
        }
    }
    let mut read = BTreeMap::new();
    for (path, (text, _)) in &files {
        read.insert(*path, syntax::read(text).map_err(|fault| format!("{path}: {fault}"))?);
    }
    let around = surroundings(plan, read.values());
    let mut found = Vec::new();
    for (path, (text, runs)) in &files {
        let runs = plan.plainest(runs.clone());
        for edit in edits(text, &read[path], &around) {
            let (line, column, whole, before) = edit.place(text);
            found.push(Mutant {
                file: (*path).to_owned(),
                line,
                column,
                text: whole.to_owned(),
                before: before.to_owned(),
                change: Change::File { path: (*path).to_owned(), text: edit.of(text) },
                runs: runs.clone(),
                function: edit.function,
                kind: edit.kind,
                after: edit.by,
                nth: 1,
            });
        }
    }
    let files: Vec<(&str, &str, &Syntax)> =
        files.iter().map(|(path, (text, _))| (*path, *text, &read[path])).collect();
    found.extend(host(plan, &files));
    let mut seen: HashMap<_, usize> = HashMap::new();
    for mutant in &mut found {
        let alike = (mutant.file.clone(), mutant.function.clone(), mutant.text.clone(), mutant.edit());
        let nth = seen.entry(alike).or_default();
        *nth += 1;
        mutant.nth = *nth;
    }
    Ok(found)
}

fn surroundings<'a>(plan: &Plan, read: impl Iterator<Item = &'a Syntax>) -> Surroundings {
    let consts = plan.runs.iter().flat_map(|run| &run.variant.consts);
    let sizes =
        consts.filter(|(_, value)| matches!(value, Const::U32(_))).map(|(name, _)| (*name).to_owned());
    let mut around = Surroundings { sizes: sizes.collect(), fields: Vec::new() };
    for syntax in read {
        around.sizes.extend(syntax.sizes.iter().cloned());
        around.fields.extend(syntax.fields.iter().cloned());
    }
    around
}

/// Changes of parameters, grids and constants, for each way to share the work.
fn host(plan: &Plan, files: &[(&str, &str, &Syntax)]) -> Vec<Mutant> {
    let ways: BTreeSet<&str> = plan.runs.iter().map(|run| run.way.as_str()).collect();
    let (entry, mut found) = (plan.entry, Vec::new());
    let path = format!("src/kernels/{}/{}.rs", entry.family, entry.stem);
    let source = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
    for way in ways {
        let of_way = (0..plan.runs.len()).filter(|&run| plan.runs[run].way == way);
        let runs = plan.plainest(of_way.collect());
        let suffix = if way.is_empty() { String::new() } else { format!(" ({way})") };
        let mut push =
            |(file, line, text): (&str, usize, &str), kind, name: &str, change: Change, by: &str| {
                found.push(Mutant {
                    file: file.to_owned(),
                    line,
                    column: 1,
                    text: text.to_owned(),
                    function: String::new(),
                    kind,
                    before: name.to_owned(),
                    after: format!("{name} {by}{suffix}"),
                    change,
                    runs: runs.clone(),
                    nth: 1,
                });
            };
        let params = files.iter().flat_map(|(path, text, syntax)| {
            let own = syntax.fields.iter().filter(|field| field.of == "Params");
            own.map(move |field| (*path, *text, field))
        });
        let in_cut = |word: usize| {
            let cuts = runs.iter().flat_map(|&run| &plan.runs[run].launches).filter_map(|l| l.cut);
            cuts.into_iter().any(|cut| (cut.first_at..cut.first_at + 12).contains(&(word * 4)))
        };
        let texts: BTreeSet<&str> = runs.iter().map(|&run| plan.runs[run].composed.text()).collect();
        for (word, (path, text, field)) in params.enumerate() {
            // The first workgroup is written for each cut.
            if in_cut(word) || !texts.iter().any(|text| reads(text, &field.name)) {
                continue;
            }
            let number = text[..field.start].matches('\n').count();
            let place = (path, number + 1, text.lines().nth(number).unwrap_or_default().trim());
            let steps: &[Step] =
                if field.kind == "f32" { &[Step::Percent] } else { &[Step::More, Step::Less] };
            for &step in steps {
                push(place, "parameter", &field.name, Change::Param { word, step }, step.name());
            }
        }
        let launch = line_of(&source, "fn launch(");
        for (axis, name) in ["workgroups.x", "workgroups.y", "workgroups.z"].into_iter().enumerate() {
            for step in [Step::More, Step::Less, Step::Half] {
                let place = (path.as_str(), launch.0, launch.1);
                push(place, "workgroups", name, Change::Workgroups { axis, step }, step.name());
            }
        }
        if runs.iter().any(|&run| plan.runs[run].launches.iter().any(|l| l.cut.is_some())) {
            push((&path, launch.0, launch.1), "cut", "first_at", Change::Cut, "+ 4");
        }
        let variants = line_of(&source, "fn variants(");
        let consts: BTreeSet<(&str, bool)> = runs
            .iter()
            .flat_map(|&run| &plan.runs[run].variant.consts)
            .map(|(name, value)| (*name, matches!(value, Const::Bool(_))))
            .collect();
        for (name, flag) in consts {
            let steps: &[Step] = if flag { &[Step::Flip] } else { &[Step::More, Step::Less] };
            for &step in steps {
                let change = Change::Head { name: name.to_owned(), step };
                push((&path, variants.0, variants.1), "constant of the head", name, change, step.name());
            }
        }
    }
    found
}

/// Whether a program depends on one of its parameters.
fn reads(text: &str, name: &str) -> bool {
    let field = format!("params.{name}");
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let mut twice = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&field) {
        let after = at + field.len();
        twice.push_str(&rest[..at]);
        twice.push_str(&if ends(&rest[after..]) { format!("({field} + {field})") } else { field.clone() });
        rest = &rest[after..];
    }
    twice.push_str(rest);
    // Who takes all of them by another name may read any.
    let aliased = text
        .match_indices("params")
        .any(|(at, word)| text[at + word.len()..].trim_start().starts_with([';', ',', ')']));
    aliased || (twice != text && program(text) != program(&twice))
}

/// Number and text of the first line with a part in it.
fn line_of<'a>(text: &'a str, part: &str) -> (usize, &'a str) {
    let found = (1..).zip(text.lines()).find(|(_, line)| line.contains(part));
    found.map_or((1, ""), |(number, line)| (number, line.trim()))
}

#[cfg(test)]
mod tests {
    use super::reads;

    #[test]
    fn a_parameter_that_nothing_depends_on_is_told() {
        let text = "struct Params { n: u32, rows: u32, spare: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
fn unused() -> f32 {
    return params.spare;
}
@compute @workgroup_size(1)
fn f() {
    y[params.n] = 1.0;
}
";
        assert_eq!(["n", "rows", "spare"].map(|name| reads(text, name)), [true, false, false]);
        let aliased = text.replace("y[params.n] = 1.0;", "let p = params;\n    y[p.n] = f32(p.rows);");
        assert!(reads(&aliased, "rows"));
    }
}
