//! Measured errors of the kernels by adapter: measured on a machine that has it, kept in `kernels-tests/record`, and told
//! in the table of kernels.

use crate::numerics;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::{Caps, Context};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The largest error of one kernel on one adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Largest {
    /// The kernel.
    pub stem: String,
    /// Error as a share of the tolerance; at most 1 where all tests pass.
    pub share: f64,
    /// Cases times variants that were run.
    pub runs: usize,
    /// The case that shows it.
    pub case: String,
    /// The variant that shows it.
    pub variant: String,
}

/// All kernels on one adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Name of the adapter.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
    /// Its class.
    pub class: String,
    /// One line a kernel.
    pub kernels: Vec<Largest>,
}

/// How far a measurement is.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A kernel is about to run.
    Begins {
        /// Its number among those asked for, from 1.
        number: usize,
        /// How many are asked for.
        of: usize,
        /// Its name.
        stem: &'a str,
        /// Its cases.
        cases: usize,
    },
    /// It has run.
    Ends(&'a Largest),
}

/// Every variant of these cases.
fn largest(context: &Context, stem: &str, cases: &[Box<dyn AnyKernel>]) -> Result<Largest, String> {
    let mut largest =
        Largest { stem: stem.into(), share: 0.0, runs: 0, case: String::new(), variant: String::new() };
    for case in cases {
        for variant in case.variants(context.caps()) {
            let found = numerics::measure(context, &**case, &variant, None)?;
            if let Some(fault) = found.faults.first() {
                return Err(format!("{case} {}: {fault}", variant.name()));
            }
            largest.runs += 1;
            if found.worst > largest.share || largest.case.is_empty() {
                (largest.share, largest.case, largest.variant) =
                    (found.worst, case.to_string(), variant.name());
            }
        }
    }
    Ok(largest)
}

const HEADER: &str = "kernel,error_over_tolerance,runs,case,variant";

impl Record {
    /// Runs every variant × case of the kernels of these names, or of all where there are none, on the context's adapter; an
    /// error where one of them is wrong, or a kernel is none. `progress` is told of each before and after it runs.
    pub fn measure(
        context: &Context,
        stems: &[String],
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Self, String> {
        if let Some(stem) = stems.iter().find(|stem| REGISTRY.iter().all(|entry| entry.stem != **stem)) {
            let all: Vec<_> = REGISTRY.iter().map(|entry| entry.stem).collect();
            return Err(format!("there is no kernel `{stem}`, but {}", all.join(", ")));
        }
        let asked = |entry: &&Entry| stems.is_empty() || stems.iter().any(|stem| stem == entry.stem);
        let entries: Vec<_> = REGISTRY.iter().filter(asked).collect();
        let mut kernels = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let cases = (entry.cases)();
            progress(Progress::Begins {
                number: number + 1,
                of: entries.len(),
                stem: entry.stem,
                cases: cases.len(),
            });
            let largest = largest(context, entry.stem, &cases)?;
            progress(Progress::Ends(&largest));
            kernels.push(largest);
        }
        let Caps { adapter, driver, class, .. } = context.caps().clone();
        Ok(Self { adapter, driver, class: class.to_string(), kernels })
    }

    /// What is kept below the root of the context's adapter, if anything, to be [`Self::completed`] by.
    ///
    /// # Errors
    /// Where that was measured on another driver: one record tells of one.
    pub fn kept(context: &Context, root: &Path) -> Result<Option<Self>, String> {
        let Caps { adapter, driver, class, .. } = context.caps().clone();
        let own = Self { adapter, driver, class: class.to_string(), kernels: Vec::new() };
        let text = std::fs::read_to_string(own.path(root)).ok();
        own.same_driver(text.as_deref().and_then(Self::from_text))
    }

    fn same_driver(&self, kept: Option<Self>) -> Result<Option<Self>, String> {
        match kept {
            Some(kept) if (&kept.adapter, &kept.driver) != (&self.adapter, &self.driver) => Err(format!(
                "the other kernels were measured on {} ({}), this is {} ({}): measure all",
                kept.adapter, kept.driver, self.adapter, self.driver
            )),
            kept => Ok(kept),
        }
    }

    /// The record with the rows of another that it lacks, in the registry's order; those of kernels that are no more go.
    pub fn completed(mut self, other: Self) -> Self {
        let place = |stem: &str| REGISTRY.iter().position(|entry| entry.stem == stem);
        let lacks = |kernel: &Largest| self.share(&kernel.stem).is_none() && place(&kernel.stem).is_some();
        let more: Vec<_> = other.kernels.into_iter().filter(lacks).collect();
        self.kernels.extend(more);
        self.kernels.sort_by_key(|kernel| place(&kernel.stem));
        self
    }

    /// The adapter's name without versions and sizes: `llvmpipe`, `SwiftShader`.
    pub fn short_name(&self) -> &str {
        let name = self.adapter.split(" (").next().unwrap_or_default();
        name.strip_suffix(" Device").unwrap_or(name)
    }

    /// Error of a kernel as a share of its tolerance, where it was measured.
    pub fn share(&self, stem: &str) -> Option<f64> {
        self.kernels.iter().find(|kernel| kernel.stem == stem).map(|kernel| kernel.share)
    }

    /// The file of this adapter below the root; a newer driver replaces an older one's numbers.
    pub fn path(&self, root: &Path) -> PathBuf {
        let words = self.short_name().split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
        let name = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
        folder(root).join(format!("{name}.csv"))
    }

    fn to_text(&self) -> String {
        let Self { adapter, driver, class, kernels } = self;
        let mut text = format!("# adapter: {adapter}\n# driver: {driver}\n# class: {class}\n{HEADER}\n");
        for Largest { stem, share, runs, case, variant } in kernels {
            let _ = writeln!(text, "{stem},{share:.3},{runs},\"{case}\",\"{variant}\"");
        }
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut of = |name: &str| Some(lines.next()?.strip_prefix(&format!("# {name}: "))?.to_owned());
        let (adapter, driver, class) = (of("adapter")?, of("driver")?, of("class")?);
        if lines.next()? != HEADER {
            return None;
        }
        let kernel = |line: &str| {
            let (numbers, names) = line.split_once(",\"")?;
            let (case, variant) = names.strip_suffix('"')?.split_once("\",\"")?;
            let mut fields = numbers.split(',');
            Some(Largest {
                stem: fields.next()?.into(),
                share: fields.next()?.parse().ok()?,
                runs: fields.next()?.parse().ok()?,
                case: case.into(),
                variant: variant.into(),
            })
        };
        Some(Self { adapter, driver, class, kernels: lines.map(kernel).collect::<Option<_>>()? })
    }

    /// Writes the adapter's file.
    pub fn write(&self, root: &Path) -> Result<PathBuf, String> {
        let path = self.path(root);
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        std::fs::create_dir_all(folder(root)).map_err(failed)?;
        foveal::weights::write_whole(&path, self.to_text().as_bytes()).map_err(|e| e.to_string())?;
        Ok(path)
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join("kernels-tests").join("record")
}

/// The records that are kept, by file name. A kernel that is no more makes one stale.
pub fn read(root: &Path) -> Result<Vec<Record>, String> {
    let entries = std::fs::read_dir(folder(root)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "csv")).collect();
    files.sort();
    let mut records = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let record = Record::from_text(&text).ok_or_else(|| format!("{}: not a record", file.display()))?;
        let gone = record.kernels.iter().find(|k| REGISTRY.iter().all(|entry| entry.stem != k.stem));
        if let Some(gone) = gone {
            return Err(format!(
                "{}: there is no kernel `{}`; `cargo xtask docs --measure` measures again",
                file.display(),
                gone.stem
            ));
        }
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::{Largest, Record};

    fn record() -> Record {
        let kernel = Largest {
            stem: "softmax".into(),
            share: 0.125,
            runs: 12,
            case: "softmax(rows=5,cols=131)".into(),
            variant: "f32(reduce.workgroup,WG_SIZE=8)".into(),
        };
        let adapter = "SwiftShader Device (Subzero)".into();
        Record { adapter, driver: "5.0".into(), class: "software".into(), kernels: vec![kernel] }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(Record::from_text(&record().to_text()), Some(record()));
        assert_eq!(record().share("softmax"), Some(0.125));
        assert_eq!(record().share("gelu"), None);
    }

    #[test]
    fn a_part_that_was_measured_keeps_the_other_rows() {
        let row = |stem: &str, share| Largest { stem: stem.into(), share, ..record().kernels[0].clone() };
        let older = Record {
            kernels: vec![row("gelu", 0.5), row("softmax", 0.25), row("gone", 0.9), row("embedding", 0.75)],
            ..record()
        };
        let newer = Record { kernels: vec![row("softmax", 0.3), row("silu", 0.1)], ..record() };
        let both = newer.clone().completed(older.clone());
        let rows: Vec<_> = both.kernels.iter().map(|kernel| (kernel.stem.as_str(), kernel.share)).collect();
        assert_eq!(rows, [("gelu", 0.5), ("silu", 0.1), ("softmax", 0.3), ("embedding", 0.75)]);
        assert_eq!(newer.same_driver(Some(older.clone())), Ok(Some(older.clone())));
        assert_eq!(newer.same_driver(None), Ok(None));
        let elsewhere = Record { driver: "6.0".into(), ..older };
        assert!(newer.same_driver(Some(elsewhere)).unwrap_err().contains("measure all"));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let text = record().to_text();
        for broken in
            ["", "# adapter: a\n", &text.replace("0.125", "small"), &text.replace("kernel,error", "x,y")]
        {
            assert_eq!(Record::from_text(broken), None, "{broken}");
        }
    }

    #[test]
    fn an_adapter_keeps_its_file_when_its_driver_changes() {
        let path = record().path("root".as_ref());
        assert_eq!(path.file_name().and_then(|n| n.to_str()), Some("swiftshader.csv"));
        assert_eq!(Record { adapter: "llvmpipe (LLVM 19)".into(), ..record() }.short_name(), "llvmpipe");
    }
}
