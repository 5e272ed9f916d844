//! Measured errors of the kernels by adapter: measured on a machine that has it, kept in `kernels-tests/record`, and told
//! in the table of kernels.

use crate::numerics;
use foveal::kernels::registry::REGISTRY;
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

const HEADER: &str = "kernel,error_over_tolerance,runs,case,variant";

impl Record {
    /// Runs every kernel × variant × case on the context's adapter; an error where one of them is wrong.
    pub fn measure(context: &Context) -> Result<Self, String> {
        let mut kernels = Vec::new();
        for entry in REGISTRY {
            let mut largest = Largest {
                stem: entry.stem.into(),
                share: 0.0,
                runs: 0,
                case: String::new(),
                variant: String::new(),
            };
            for case in (entry.cases)() {
                for variant in case.variants(context.caps()) {
                    let found = numerics::measure(context, &*case, &variant, None)?;
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
            kernels.push(largest);
        }
        let Caps { adapter, driver, class, .. } = context.caps().clone();
        Ok(Self { adapter, driver, class: class.to_string(), kernels })
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
        std::fs::write(&path, self.to_text()).map_err(failed)?;
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
