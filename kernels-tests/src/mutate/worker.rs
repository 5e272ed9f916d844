//! A process that runs mutants one after the other. A mutant may index anything, never end, or take the driver down with
//! it, so it is not run where the results are kept. Jobs come as lines of JSON, and what becomes of them goes back so.

use super::change::{Applied, Change};
use super::plan::{Plan, Run};
use super::program::program;
use crate::strays;
use foveal::kernels::trial::{Changed, compared};
use foveal::shader::Composed;
use foveal::{Context, ContextOptions, Error};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Jobs after which a device is opened anew: it keeps every kernel that it has compiled.
const JOBS_A_DEVICE: usize = 100;

/// Runs of a survivor that are asked again with strays in their inputs.
const STRAY_RUNS: usize = 12;

/// Opens a device the way mutants are run.
///
/// # Errors
/// No adapter, or one that fails its driver's self-test.
pub fn open() -> Result<Context, String> {
    // A mutant may index anything, so these are compiled with bounds checks.
    let options = ContextOptions::default().checked(true);
    foveal::block_on(Context::new(options)).map_err(|e| e.to_string())
}

/// Takes jobs from the standard input until it ends.
///
/// # Errors
/// A job that makes no sense, or no device.
pub fn work() -> Result<(), String> {
    let (jobs, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if jobs.send(line).is_err() {
                return;
            }
        }
        drop(jobs);
        // Whoever gave the jobs is gone, and the one that runs may never end.
        std::thread::sleep(Duration::from_secs(5));
        std::process::abort();
    });
    let mut bench = Bench { context: open()?, kernels: HashMap::new(), jobs: 0 };
    for line in lines {
        let job = serde_json::from_str(&line).map_err(|e| format!("not a job: {e}"))?;
        bench.job(&job)?;
    }
    Ok(())
}

/// Tells whoever gave the job.
fn tell(message: &Value) {
    let mut out = std::io::stdout().lock();
    // A reader that is gone ends the input too.
    let _ = writeln!(out, "{message}").and_then(|()| out.flush());
}

struct Bench {
    context: Context,
    /// By kernel and way.
    kernels: HashMap<(String, Option<String>), Known>,
    jobs: usize,
}

/// What is kept of a kernel from job to job.
struct Known {
    plan: Plan,
    /// The program of each text, without a mutation.
    programs: HashMap<u64, u64>,
}

impl Bench {
    fn job(&mut self, job: &Value) -> Result<(), String> {
        self.jobs += 1;
        if self.jobs.is_multiple_of(JOBS_A_DEVICE) {
            self.context = open()?;
        }
        let stem = job["stem"].as_str().unwrap_or_default();
        let way = job["way"].as_str();
        let key = (stem.to_owned(), way.map(str::to_owned));
        let Known { plan, programs } = match self.kernels.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(none) => {
                let plan = Plan::new(stem, self.context.caps(), way)?;
                none.insert(Known { plan, programs: HashMap::new() })
            }
        };
        let change = match &job["change"] {
            Value::Null => None,
            change => Some(Change::from_json(change).ok_or_else(|| format!("not a change: {change}"))?),
        };
        let numbers = job["runs"].as_array().into_iter().flatten().filter_map(Value::as_u64);
        let mut texts = HashMap::new();
        let (mut ran, mut invalid, mut broken) = (0, None, false);
        let mut asked: Vec<usize> = Vec::new();
        for number in numbers {
            let Some(run) = plan.runs.get(number as usize) else { continue };
            let applied = match &change {
                None => Applied::default(),
                Some(change) => match change.applied(run) {
                    Some(applied) => applied,
                    None => continue,
                },
            };
            if let Some(text) = &applied.text {
                // Runs of one text share what becomes of it.
                let made = texts.entry(run.text).or_insert_with(|| understood(text));
                let own = programs.entry(run.text);
                let own = own.or_insert_with(|| understood(&run.composed).unwrap_or_default());
                match made {
                    Ok(same) if same == own => continue,
                    Ok(_) => {}
                    Err(reason) => {
                        invalid = Some(reason.clone());
                        continue;
                    }
                }
            }
            tell(&json!({ "run": number }));
            let started = Instant::now();
            match attempt(&self.context, plan, run, &applied) {
                Ok(None) => {
                    ran += 1;
                    if run.variant.elem == foveal::Dtype::F32 {
                        asked.push(number as usize);
                    }
                    tell(&json!({ "passed": number, "seconds": started.elapsed().as_secs_f64() }));
                }
                Ok(Some(fault)) => {
                    tell(&json!({ "end": "found", "run": number, "fault": fault, "ran": ran }));
                    return Ok(());
                }
                Err(Error::Shader { message, .. }) => invalid = Some(message),
                Err(error) => {
                    tell(&json!({ "end": "found", "run": number, "fault": error.to_string(), "ran": ran }));
                    broken = true;
                    break;
                }
            }
        }
        if broken {
            self.context = open()?;
            return Ok(());
        }
        // As the suite does, with numbers that are none; of the runs that say anything, a few.
        for &number in asked.iter().take(STRAY_RUNS) {
            let Some(run) = plan.runs.get(number) else { continue };
            let applied = match &change {
                None => continue,
                Some(change) => change.applied(run).unwrap_or_default(),
            };
            tell(&json!({ "run": number }));
            let launch = applied.launches.as_ref().and_then(|launches| launches.first());
            let changed = Changed { text: applied.text.as_ref(), launch };
            let found = strays::check(&self.context, &*plan.cases[run.case], &run.variant, changed);
            let fault = match found {
                Ok(faults) => faults.into_iter().next(),
                Err(message) => Some(message),
            };
            if let Some(fault) = fault {
                tell(&json!({ "end": "found", "run": number, "fault": fault, "ran": ran }));
                return Ok(());
            }
        }
        let (end, fault) = match (ran, invalid) {
            (0, Some(reason)) => ("invalid", reason),
            (0, None) => ("same", String::new()),
            _ => ("survived", String::new()),
        };
        tell(&json!({ "end": end, "run": null, "fault": fault, "ran": ran }));
        Ok(())
    }
}

/// A text's program; a compiler that panics on it tells nothing, and the driver shall be asked.
fn understood(text: &Composed) -> Result<u64, String> {
    std::panic::catch_unwind(|| program(text.text())).unwrap_or(Ok(0))
}

/// Runs and compares: the first fault, where there is one.
fn attempt(context: &Context, plan: &Plan, run: &Run, applied: &Applied) -> Result<Option<String>, Error> {
    let (case, problem) = (&*plan.cases[run.case], plan.problem(run));
    for launch in applied.launches.as_ref().unwrap_or(&run.launches) {
        let changed = Changed { text: applied.text.as_ref(), launch: Some(launch) };
        let outcome = foveal::block_on(compared(context, case, &run.variant, changed, &problem))?;
        if let Some(fault) = outcome.faults.into_iter().next() {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}
