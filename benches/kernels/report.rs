//! What a row looks like on the terminal and in a record.

use crate::bounds::Bounds;
use crate::ceilings::Ceilings;
use crate::timing::Sample;
use foveal::gpu::AdapterClass;
use foveal::kernels::Work;
use foveal::{Context, Error, Result};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// One measured row.
pub(crate) struct Row {
    pub(crate) kernel: &'static str,
    pub(crate) case: &'static str,
    pub(crate) problem: String,
    pub(crate) variant: String,
    pub(crate) work: Work,
    pub(crate) sample: Sample,
}

impl Row {
    fn min(&self) -> f64 {
        self.sample.seconds.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.sample.seconds.get(self.sample.seconds.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Share in per cent of a ceiling, in work a second.
    fn share(&self, work: f64, ceiling: f64) -> f64 {
        100.0 * work / self.median() / ceiling
    }

    /// Per cent of the peak that a compiler's record of this card allows.
    fn by_compiler(&self, bounds: &Bounds) -> Option<f64> {
        bounds.percent(self.kernel, &self.variant)
    }

    /// The line of this row; [`header`] names its columns.
    pub(crate) fn line(&self, context: &Context, ceilings: &Ceilings, bounds: Option<&Bounds>) -> String {
        let mut line = format!(
            "{:<26} {:<36} {:>10.3} {:>10.3} {:>9.1} {:>8.2} {:>7.1} {:>7.1} ",
            self.kernel,
            self.case,
            self.min() * 1e3,
            self.median() * 1e3,
            self.work.flops / self.median() * 1e-9,
            self.work.bytes / self.median() * 1e-9,
            self.share(self.work.bytes, ceilings.copy),
            self.share(self.work.flops, ceilings.fma),
        );
        if let Some(coop) = ceilings.coop {
            let _ = write!(line, "{:>7.1} ", self.share(self.work.flops, coop));
        }
        if let Some(bounds) = bounds {
            let percent = self.by_compiler(bounds).map(|percent| format!("{percent:.0}"));
            let _ = write!(line, "{:>7} ", percent.unwrap_or_else(|| "-".into()));
        }
        let _ = write!(line, "{:<10} ", ceilings.bound(self.work).to_string());
        if software(context) {
            let rate =
                self.sample.cpu_seconds.map(|seconds| format!("{:.2}", self.work.flops / seconds * 1e-9));
            let _ = write!(line, "{:>9} ", rate.unwrap_or_else(|| "-".into()));
        }
        let _ = write!(line, "{:>9.1}  {}", self.sample.peak as f64 / f64::from(1 << 20), self.variant);
        line
    }
}

/// Names of the columns.
pub(crate) fn header(context: &Context, ceilings: &Ceilings, bounds: Option<&Bounds>) -> String {
    let mut line = format!(
        "{:<26} {:<36} {:>10} {:>10} {:>9} {:>8} {:>7} {:>7} ",
        "kernel", "case", "min ms", "median ms", "GFLOP/s", "GB/s", "% copy", "% fma"
    );
    if ceilings.coop.is_some() {
        let _ = write!(line, "{:>7} ", "% coop");
    }
    if bounds.is_some() {
        let _ = write!(line, "{:>7} ", "% loop");
    }
    let _ = write!(line, "{:<10} ", "binds");
    if software(context) {
        let _ = write!(line, "{:>9} ", "GFLOP/cpu");
    }
    let _ = write!(line, "{:>9}  variant", "peak MiB");
    line
}

/// The adapter is a CPU.
pub(crate) fn software(context: &Context) -> bool {
    context.caps().class == AdapterClass::Software
}

/// Writes `benches/record/ADAPTER-DATE.csv`: the ceilings, then a line a row.
pub(crate) fn record(
    context: &Context,
    clock: &str,
    ceilings: &Ceilings,
    bounds: Option<&Bounds>,
    rows: &[Row],
) -> Result<()> {
    let caps = context.caps();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches").join("record");
    let name = format!("{}-{}.csv", slug(&caps.adapter), date());
    let path = folder.join(&name);
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let machine =
        [&*caps.adapter, &caps.driver, &caps.backend, &commit(), &date(), clock].map(quoted).join(",");
    let mut text = String::from(
        "adapter,driver,backend,commit,date,clock,kernel,case,problem,variant,runs,ms_min,ms_median,gflop_per_s,gb_per_s,\
         percent_of_copy,percent_of_fma,percent_of_coop,percent_by_compiler,binds,gflop_per_cpu_s,peak_bytes\n",
    );
    let (copy, fma) = (("copy", None, Some(ceilings.copy)), ("f32 multiply-add", Some(ceilings.fma), None));
    let coop = ("cooperative matrix, f16 to f32", ceilings.coop, None);
    for (name, flops, bytes) in [copy, fma, coop].into_iter().filter(|c| c.1.is_some() || c.2.is_some()) {
        let rate = |rate: Option<f64>| rate.map_or(String::new(), |rate| format!("{:.3}", rate * 1e-9));
        let _ = writeln!(text, "{machine},ceiling,\"{name}\",,,,,,{},{},,,,,,,", rate(flops), rate(bytes));
    }
    for row in rows {
        let coop = ceilings.coop.map(|coop| format!("{:.2}", row.share(row.work.flops, coop)));
        let by_compiler =
            bounds.and_then(|bounds| row.by_compiler(bounds)).map(|percent| format!("{percent}"));
        let cpu = row.sample.cpu_seconds.map(|seconds| format!("{:.3}", row.work.flops / seconds * 1e-9));
        let _ = writeln!(
            text,
            "{machine},{},{},{},{},{},{:.4},{:.4},{:.2},{:.3},{:.2},{:.2},{},{},{},{},{}",
            row.kernel,
            quoted(row.case),
            quoted(&row.problem),
            quoted(&row.variant),
            row.sample.seconds.len(),
            row.min() * 1e3,
            row.median() * 1e3,
            row.work.flops / row.median() * 1e-9,
            row.work.bytes / row.median() * 1e-9,
            row.share(row.work.bytes, ceilings.copy),
            row.share(row.work.flops, ceilings.fma),
            coop.unwrap_or_default(),
            by_compiler.unwrap_or_default(),
            ceilings.bound(row.work),
            cpu.unwrap_or_default(),
            row.sample.peak
        );
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    std::fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
    println!("\nwritten: benches/record/{name}");
    Ok(())
}

/// Lower-case letters and digits, the rest as single dashes.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// The commit that is measured, marked where files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".into() };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|files| !files.is_empty());
    if changed { format!("{commit} with changes") } else { commit }
}

/// Today in UTC, year-month-day.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    // Days since 0000-03-01, so that a leap day is the last of its year (Hinnant's civil calendar).
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", 400 * era + year + later)
}
