//! All mutants of one kernel: what is known of them, and what is still to be run.

use super::mutants::{Mutant, mutants};
use super::plan::{Plan, hash};
use super::pool::{End, Ended, Job, deal};
use super::progress::Progress;
use super::record::{Record, Store};
use foveal::Caps;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// How mutants are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of results.
    pub folder: PathBuf,
    /// Program that workers are.
    pub program: PathBuf,
    /// Workers at a time.
    pub workers: usize,
    /// The least seconds that a run may take before it counts as endless.
    pub limit: f64,
    /// Forget earlier results.
    pub fresh: bool,
    /// One way to share the work only.
    pub way: Option<String>,
    /// So many mutants only, the same ones each time.
    pub sample: Option<usize>,
}

/// A kernel's mutants and what became of each.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The kernel.
    pub stem: &'static str,
    /// Mutants and their ends.
    pub mutants: Vec<(Mutant, Record)>,
    /// Of so many that there are.
    pub of: usize,
}

/// How much longer than without a mutation a run may take.
const PATIENCE: f64 = 20.0;
/// What a run without a mutation may take.
const CONTROL_SECONDS: u64 = 600;

/// Runs every mutant of a kernel of which nothing is known yet.
///
/// # Errors
/// A kernel that is wrong without a mutation, no device, or a folder that cannot be written.
pub fn kernel(stem: &str, caps: &Caps, options: &Options) -> Result<Tried, String> {
    let plan = Plan::new(stem, caps, options.way.as_deref())?;
    let all = mutants(&plan)?;
    let of = all.len();
    let tried = tried(&plan, chosen(all, options.sample), caps, options)?;
    Ok(Tried { of, ..tried })
}

/// Of all mutants a number, spread over the kernel.
fn chosen(mut all: Vec<Mutant>, sample: Option<usize>) -> Vec<Mutant> {
    if let Some(count) = sample.filter(|count| *count < all.len()) {
        let order = |mutant: &Mutant| {
            hash((&mutant.file, &mutant.function, &mutant.text, mutant.column, &mutant.after))
        };
        all.sort_by_cached_key(order);
        all.truncate(count);
        all.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    }
    all
}

/// Runs mutants of a plan.
///
/// # Errors
/// See [`kernel`].
pub fn tried(plan: &Plan, all: Vec<Mutant>, caps: &Caps, options: &Options) -> Result<Tried, String> {
    let (stem, of) = (plan.entry.stem, all.len());
    let needed: BTreeSet<usize> = all.iter().flat_map(|mutant| &mutant.runs).copied().collect();
    let device = hash((&caps.adapter, &caps.driver));
    let keys: HashMap<usize, u64> =
        needed.iter().map(|&run| (run, hash((device, plan.key(&plan.runs[run]))))).collect();
    let key_of = |mutant: &Mutant| {
        let runs: Vec<u64> = mutant.runs.iter().filter_map(|run| keys.get(run)).copied().collect();
        hash((&mutant.change, runs))
    };
    let store = Mutex::new(Store::open(&options.folder, stem, options.fresh)?);
    let seconds = control(plan, &keys, &store, options)?;

    let mutant_keys: Vec<u64> = all.iter().map(key_of).collect();
    let open: Vec<usize> =
        (0..all.len()).filter(|&id| store.lock().unwrap().mutant(mutant_keys[id]).is_none()).collect();
    let state = Mutex::new(State { open: open.into_iter(), tries: HashMap::new(), seconds });
    let progress = Progress::new(stem, state.lock().unwrap().open.len());
    let next = || {
        let mut state = state.lock().unwrap();
        let id = state.open.next()?;
        let mutant = &all[id];
        let runs = state.order(mutant);
        let longest = runs.iter().map(|run| state.seconds[run]).fold(0.0, f64::max);
        let limit = Duration::from_secs_f64(options.limit.max(PATIENCE * longest));
        Some(Job { id, message: message(plan, options, mutant.change.to_json(), &runs), limit })
    };
    let done = |id: usize, ended: Ended| {
        let mutant: &Mutant = &all[id];
        state.lock().unwrap().learn(&mutant.file, &ended);
        progress.step(ended.end);
        store.lock().unwrap().keep(mutant_keys[id], mutant, &ended, plan).map(|_| ())
    };
    deal(&options.program, options.workers.min(progress.len()), next, done)?;
    progress.finish();
    let store = store.into_inner().unwrap();
    let ends = all.into_iter().zip(mutant_keys);
    let mutants = ends.filter_map(|(mutant, key)| Some((mutant, store.mutant(key)?.clone())));
    Ok(Tried { stem, mutants: mutants.collect(), of })
}

fn message(plan: &Plan, options: &Options, change: Value, runs: &[usize]) -> Value {
    json!({ "stem": plan.entry.stem, "way": options.way, "change": change, "runs": runs })
}

/// Seconds of each run without a mutation; all have to pass.
fn control(
    plan: &Plan,
    keys: &HashMap<usize, u64>,
    store: &Mutex<Store>,
    options: &Options,
) -> Result<HashMap<usize, f64>, String> {
    // Runs of one text stay together, so that it is compiled once.
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut missing: Vec<usize> = keys
        .iter()
        .filter(|(_, key)| store.lock().unwrap().control(**key).is_none())
        .map(|(run, _)| *run)
        .collect();
    missing.sort_unstable();
    for run in missing {
        groups.entry(plan.runs[run].text).or_default().push(run);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let progress = Progress::new(&format!("{} unchanged", plan.entry.stem), groups.len());
    let waiting = Mutex::new(0..groups.len());
    let next = || {
        let id = waiting.lock().unwrap().next()?;
        let message = message(plan, options, Value::Null, &groups[id]);
        Some(Job { id, message, limit: Duration::from_secs(CONTROL_SECONDS) })
    };
    let done = |_, ended: Ended| {
        if ended.end != End::Survived {
            let (case, variant) = ended.run.map(|run| plan.name(run)).unwrap_or_default();
            let (end, fault) = (ended.end.name(), ended.fault);
            return Err(format!("{case} {variant} is wrong without a mutation: {end}: {fault}"));
        }
        progress.step(ended.end);
        let mut store = store.lock().unwrap();
        ended.passed.iter().try_for_each(|(run, seconds)| store.keep_control(keys[run], *seconds))
    };
    deal(&options.program, options.workers.min(groups.len()), next, done)?;
    progress.finish();
    let store = store.lock().unwrap();
    Ok(keys.iter().map(|(run, key)| (*run, store.control(*key).unwrap_or_default())).collect())
}

/// What is still to be run, and what is best run first.
struct State {
    open: std::vec::IntoIter<usize>,
    /// How often a run found a mutant and how often it passed, of a file and (empty) of all.
    tries: HashMap<(String, usize), [f64; 2]>,
    seconds: HashMap<usize, f64>,
}

impl State {
    fn learn(&mut self, file: &str, ended: &Ended) {
        let found = ended.run.filter(|_| ended.end.is_found()).map(|run| (run, 0));
        for (run, which) in ended.passed.iter().map(|(run, _)| (*run, 1)).chain(found) {
            for file in [file, ""] {
                self.tries.entry((file.to_owned(), run)).or_default()[which] += 1.0;
            }
        }
    }

    /// The runs of a mutant, those first that are likely to find it for the time that they take: where a run's chance is
    /// not known, it is even, and what it did with other files' mutants counts a quarter.
    fn order(&self, mutant: &Mutant) -> Vec<usize> {
        let tries = |file: &str, run| self.tries.get(&(file.to_owned(), run)).copied().unwrap_or_default();
        let worth = |run: &usize| {
            let (here, all) = (tries(&mutant.file, *run), tries("", *run));
            let [found, passed] = [0, 1].map(|which| 1.0 + here[which] + 0.25 * (all[which] - here[which]));
            found / (found + passed) / (0.02 + self.seconds.get(run).copied().unwrap_or(0.0))
        };
        let mut runs = mutant.runs.clone();
        runs.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, HashMap, Mutant, State};
    use crate::mutate::change::Change;
    use crate::mutate::pool::End;

    #[test]
    fn cheap_runs_come_first_until_others_are_known_to_find_more() {
        let seconds = HashMap::from([(0, 1.0), (1, 0.5), (2, 4.0)]);
        let mut state = State { open: Vec::new().into_iter(), tries: HashMap::new(), seconds };
        let text = String::new;
        let mutant = Mutant {
            file: "a".into(),
            line: 1,
            column: 1,
            text: text(),
            function: text(),
            kind: "constant",
            before: text(),
            after: text(),
            change: Change::Cut,
            runs: vec![0, 1, 2],
            nth: 1,
        };
        assert_eq!(state.order(&mutant), [1, 0, 2]);
        let ended =
            Ended { end: End::Found, run: Some(0), fault: text(), seconds: 0.0, passed: vec![(1, 0.5)] };
        for _ in 0..4 {
            state.learn("a", &ended);
        }
        assert_eq!(state.order(&mutant), [0, 1, 2]);
    }
}
