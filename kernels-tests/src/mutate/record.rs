//! Results on disk, one line of JSON a mutant, so that a second run goes on where the first stopped.

use super::mutants::Mutant;
use super::plan::Plan;
use super::pool::{End, Ended};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is kept of a mutant.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// How it ended.
    pub end: End,
    /// The case that showed it.
    pub case: String,
    /// The variant that showed it.
    pub variant: String,
    /// What it showed, in one line.
    pub fault: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// Runs that passed before.
    pub passed: u64,
}

/// The results of one kernel, by a hash of all that decides them.
pub struct Store {
    path: PathBuf,
    file: File,
    mutants: HashMap<u64, Record>,
    controls: HashMap<u64, f64>,
}

impl Store {
    /// Opens a kernel's file in a folder, with what is in it or, `fresh`, without.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub fn open(folder: &Path, stem: &str, fresh: bool) -> Result<Self, String> {
        let path = folder.join(format!("{stem}.jsonl"));
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        let old = if fresh { String::new() } else { std::fs::read_to_string(&path).unwrap_or_default() };
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        if fresh {
            file.set_len(0).map_err(failed)?;
        }
        // A line that was cut off stays alone.
        if !old.is_empty() && !old.ends_with('\n') {
            writeln!(file).map_err(failed)?;
        }
        let (mut mutants, mut controls) = (HashMap::new(), HashMap::new());
        for value in old.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let key = |name: &str| u64::from_str_radix(value[name].as_str()?, 16).ok();
            if let (Some(key), Some(record)) = (key("key"), Record::from_json(&value)) {
                mutants.insert(key, record);
            } else if let (Some(key), Some(seconds)) = (key("control"), value["seconds"].as_f64()) {
                controls.insert(key, seconds);
            }
        }
        Ok(Self { path, file, mutants, controls })
    }

    /// What is known of a mutant.
    pub fn mutant(&self, key: u64) -> Option<&Record> {
        self.mutants.get(&key)
    }

    /// Seconds of a run without a mutation, which passed.
    pub fn control(&self, key: u64) -> Option<f64> {
        self.controls.get(&key).copied()
    }

    /// Keeps what became of a mutant.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep(&mut self, key: u64, mutant: &Mutant, ended: &Ended, plan: &Plan) -> Result<Record, String> {
        let (case, variant) = ended.run.map(|run| plan.name(run)).unwrap_or_default();
        let record = Record {
            end: ended.end,
            case,
            variant,
            fault: ended.fault.lines().next().unwrap_or_default().to_owned(),
            seconds: ended.seconds,
            passed: ended.passed.len() as u64,
        };
        let Mutant { file, line, column, kind, before, after, .. } = mutant;
        let Record { end, case, variant, fault, seconds, passed } = &record;
        self.write(&json!({
            "key": format!("{key:016x}"), "file": file, "line": line, "column": column, "kind": kind,
            "before": before, "after": after, "outcome": end.name(), "case": case, "variant": variant,
            "fault": fault, "seconds": seconds, "passed": passed,
        }))?;
        self.mutants.insert(key, record.clone());
        Ok(record)
    }

    /// Keeps that a run passes without a mutation.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep_control(&mut self, key: u64, seconds: f64) -> Result<(), String> {
        self.controls.insert(key, seconds);
        self.write(&json!({ "control": format!("{key:016x}"), "seconds": seconds }))
    }

    fn write(&mut self, value: &Value) -> Result<(), String> {
        // In one piece, so that a line is whole or cut off at the end of the file.
        let line = format!("{value}\n");
        self.file.write_all(line.as_bytes()).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

impl Record {
    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self {
            end: End::named(value["outcome"].as_str()?)?,
            case: text("case")?,
            variant: text("variant")?,
            fault: text("fault")?,
            seconds: value["seconds"].as_f64()?,
            passed: value["passed"].as_u64()?,
        })
    }
}
