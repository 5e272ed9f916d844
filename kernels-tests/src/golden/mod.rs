//! Golden cases: results of the original projects, run again with this library.
//!
//! A case is a folder with `case.json` and `tensors.safetensors` (see `kernels-tests/golden/README.md`).
//! [`ops::OPS`] maps the name of an operation to a function that reads a [`Case`] and returns [`Outputs`];
//! everything that the case expects is then compared, and a tensor that the function left out is a failure.
//! Operations of systems that are not built ([`ops::NOT_BUILT`]) are skipped, any other unknown one fails, and where a
//! folder says in `expected.txt` what becomes of its cases, that is held against the run ([`expected`]).

pub mod case;
pub mod compare;
pub mod expected;
pub mod ops;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};

use foveal::{Context, Error, HostTensor, Result, Shape};

pub use case::{Bound, Case, Expected};
pub use compare::{Outcome, Value, compare};

/// An operation that golden cases can ask for.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    /// Its name in `case.json`.
    pub name: &'static str,
    /// Expected tensors that it may leave out, without `out/`; `*` stands for anything. For results of another
    /// convention than the library's own, such as `*_tf523`.
    pub optional: &'static [&'static str],
    /// Runs it.
    pub run: fn(&Context, &Case) -> Result<Outputs>,
}

impl Op {
    fn may_omit(&self, name: &str) -> bool {
        self.optional.iter().any(|pattern| matches(pattern, name))
    }
}

/// What the library answers golden cases with.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// Operations that it has.
    pub ops: &'static [Op],
    /// How the names of operations begin that belong to systems that are not built; their cases are skipped.
    pub not_built: &'static [&'static str],
}

/// What an operation gives: tensors by name, without `out/`, and checks that are no tensor comparisons.
#[derive(Debug, Default)]
pub struct Outputs {
    values: BTreeMap<String, Value>,
    checks: Vec<(String, std::result::Result<(), String>)>,
}

impl Outputs {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor.
    pub fn tensor(&mut self, name: impl AsRef<str>, tensor: HostTensor) -> &mut Self {
        self.insert(name.as_ref(), tensor.into())
    }

    /// Adds numbers computed on the host in f64.
    pub fn f64s(&mut self, name: impl AsRef<str>, shape: impl Into<Shape>, data: Vec<f64>) -> &mut Self {
        self.insert(name.as_ref(), Value { shape: shape.into(), data })
    }

    /// Adds integers.
    pub fn ints(&mut self, name: impl AsRef<str>, shape: impl Into<Shape>, data: &[i64]) -> &mut Self {
        self.f64s(name, shape, data.iter().map(|&i| i as f64).collect())
    }

    /// Adds the verdict on something else that the case pins, such as a value in a JSON file.
    pub fn check(&mut self, name: impl Into<String>, verdict: std::result::Result<(), String>) -> &mut Self {
        self.checks.push((name.into(), verdict));
        self
    }

    fn insert(&mut self, name: &str, value: Value) -> &mut Self {
        self.values.insert(name.strip_prefix("out/").unwrap_or(name).into(), value);
        self
    }

    /// Compares with everything that the case expects.
    ///
    /// # Errors
    /// When an expectation cannot be read.
    pub fn judge(&self, case: &Case, op: &Op) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for name in case.expected_names() {
            match self.values.get(&name) {
                Some(value) => outcomes.push(compare(&name, &case.expected(&name)?, value)),
                None if op.may_omit(&name) => {}
                None => outcomes.push(Outcome::failed(name, "expected, but the operation did not give it")),
            }
        }
        for (name, verdict) in &self.checks {
            let failure = verdict.clone().err();
            outcomes.push(Outcome { name: name.clone(), rel_l2: None, max_abs: None, failure });
        }
        if outcomes.is_empty() {
            outcomes.push(Outcome::failed("case", "nothing was compared"));
        }
        Ok(outcomes)
    }
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything expected is within its bound.
    Pass,
    /// Something is not, or the case or the operation broke.
    Fail,
    /// The operation belongs to a system that is not built.
    Skip,
}

/// The line of one case, and a line for each of its failures.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// Operation.
    pub op: String,
    /// Case.
    pub name: String,
    /// Tensors and checks.
    pub outcomes: Vec<Outcome>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "SKIP",
        };
        // NaN is worse than any number.
        let worse = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        let worst = |values: &mut dyn Iterator<Item = f64>| {
            values.reduce(worse).map_or_else(|| "-".into(), |v| format!("{v:.3e}"))
        };
        let rel_l2 = worst(&mut self.outcomes.iter().filter_map(|o| o.rel_l2));
        let max_abs = worst(&mut self.outcomes.iter().filter_map(|o| o.max_abs));
        write!(f, "{word} {} {} {rel_l2} {max_abs}", self.op, self.name)?;
        self.outcomes.iter().filter(|o| o.failure.is_some()).try_for_each(|o| write!(f, "\n    {o}"))
    }
}

/// Runs one case. `context` is made on first use, and made anew after an operation broke.
pub fn run_case(library: Library, dir: &Path, context: &mut Option<Context>) -> Report {
    let (name, op_name) = Case::label(dir);
    let report = |verdict, outcomes| Report { verdict, op: op_name.clone(), name: name.clone(), outcomes };
    let case = match Case::open(dir) {
        Ok(case) => case,
        Err(error) => return report(Verdict::Fail, vec![Outcome::failed("case", error.to_string())]),
    };
    let Some(op) = library.ops.iter().find(|op| op.name == case.op) else {
        if library.not_built.iter().any(|system| case.op.starts_with(system)) {
            return report(Verdict::Skip, Vec::new());
        }
        let known: Vec<&str> = library.ops.iter().map(|op| op.name).collect();
        let reason = format!("there is no such operation; there are {}", known.join(", "));
        return report(Verdict::Fail, vec![Outcome::failed("op", reason)]);
    };
    let outcomes = perform(op, &case, context).unwrap_or_else(|reason| {
        // Whatever was recorded but not run stays behind with the broken context.
        *context = None;
        vec![Outcome::failed("op", reason)]
    });
    let failed = outcomes.iter().any(|o| o.failure.is_some());
    report(if failed { Verdict::Fail } else { Verdict::Pass }, outcomes)
}

fn perform(op: &Op, case: &Case, context: &mut Option<Context>) -> std::result::Result<Vec<Outcome>, String> {
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let context = match context {
            Some(context) => context,
            None => context.insert(new_context()?),
        };
        (op.run)(context, case)?.judge(case, op)
    }));
    match attempt {
        Ok(result) => result.map_err(|error: Error| error.to_string()),
        Err(_) => Err(format!("panic: {}", PANICS.with_borrow(|said| said.join("; ")))),
    }
}

/// A context on the best adapter of this machine.
///
/// # Errors
/// When there is no adapter, or it does not open.
pub fn new_context() -> Result<Context> {
    foveal::block_on(Context::new(foveal::ContextOptions::default()))
}

thread_local! {
    /// What was said by the panics of the case that is running.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Collects what panics say, for the report, instead of printing it.
pub fn collect_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.with_borrow_mut(|said| said.push(info.to_string().replace('\n', " ")));
    }));
}

/// Runs every case below a folder whose operation begins with `filter`, sorted by name, handing each report on in that order;
/// `threads` of them at a time, each with a device of its own. A case that the folder's `expected.txt` lists and that is not
/// there is reported as failed, unless a filter is set.
///
/// # Errors
/// When the folder cannot be read or has no such case: a run that tests nothing must not look well. [`Error::File`] for
/// an `expected.txt` that is not understood.
pub fn run_all(
    library: Library,
    root: &Path,
    filter: &str,
    threads: usize,
    mut each: impl FnMut(&Report),
) -> Result<()> {
    let mut cases: Vec<_> = find(root)?.into_iter().map(|dir| (Case::label(&dir), dir)).collect();
    if cases.is_empty() {
        return Err(Error::file(root, "no case.json in this folder or below it"));
    }
    cases.retain(|((_, op), _)| op.starts_with(filter) || op == "?");
    if cases.is_empty() {
        return Err(Error::file(root, format!("no case has an operation that begins with `{filter}`")));
    }
    cases.sort();
    let mut expected = expected::read(root)?;
    let open: Mutex<VecDeque<_>> = Mutex::new(cases.iter().map(|(_, dir)| dir).collect());
    std::thread::scope(|scope| {
        let (sender, reports) = mpsc::channel();
        let mut workers = Vec::new();
        for thread in 0..threads.max(1) {
            let (sender, open) = (sender.clone(), &open);
            workers.push(scope.spawn(move || {
                let mut context = None;
                // Neighbours use the same kernels, and each device compiles its own: every other thread comes from the end.
                let take = || {
                    let mut open = open.lock().unwrap();
                    if thread % 2 == 0 { open.pop_front() } else { open.pop_back() }
                };
                while let Some(dir) = take() {
                    PANICS.with_borrow_mut(Vec::clear);
                    // Nobody listens where the other side broke, and then there is nothing left to do.
                    if sender.send((dir, run_case(library, dir, &mut context))).is_err() {
                        return;
                    }
                }
            }));
        }
        drop(sender);
        let mut early = BTreeMap::new();
        for (_, dir) in &cases {
            while !early.contains_key(dir) {
                let Ok((dir, report)) = reports.recv() else { break };
                early.insert(dir, report);
            }
            let Some(mut report) = early.remove(dir) else { break };
            if let Some(fate) = expected.remove(&report.name) {
                fate.judge(&mut report);
            }
            each(&report);
        }
        // The scope waits for what the threads do and not for their end, at which the driver frees what it keeps for each: a
        // program that exits meanwhile tears the driver down under them.
        drop(reports);
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    if filter.is_empty() {
        expected.into_keys().map(expected::vanished).for_each(|report| each(&report));
    }
    Ok(())
}

/// Every folder with a `case.json`, at any depth; each once, whatever links lead to it.
///
/// # Errors
/// When a folder cannot be read.
pub fn find(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![root.to_path_buf()]);
    while let Some(dir) = open.pop() {
        let io = |e| Error::io(&dir, e);
        if !seen.insert(dir.canonicalize().map_err(io)?) {
            continue;
        }
        for entry in fs::read_dir(&dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "case.json") {
                found.push(dir.clone());
            }
        }
    }
    Ok(found)
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| matches(rest, &tail[i..]))
        }),
    }
}

#[cfg(test)]
mod tests;
