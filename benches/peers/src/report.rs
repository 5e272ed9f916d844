//! The table on the terminal, and the same as CSV.

use crate::library::Result;
use crate::measure::{Row, Spread};
use crate::rows::Op;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Columns of the table; seconds are of one call.
pub fn header() -> String {
    format!(
        "{:<22} {:>8} {:>8} {:>8} {:>8} {:>8}  {:<22} {:<22} {:<8} {}",
        "library",
        "first s",
        "min s",
        "median s",
        "CPU s",
        "GFLOP/C",
        "CPU s, peer : foveal",
        "wall, peer : foveal",
        "differs",
        "function"
    )
}

/// The lines of a row.
pub fn lines(row: &Row) -> String {
    let mut text = format!("{}\n", row.op);
    for (i, m) in row.libraries.iter().enumerate() {
        let (wall, cpu) = (m.wall(), m.cpu());
        let spread = |s: Spread| format!("{:.2} ({:.2}..{:.2})", s.median, s.min, s.max);
        let (by_cpu, by_wall, differs) = if i == 0 {
            Default::default()
        } else {
            let foveal = &row.libraries[0];
            let (by_cpu, by_wall) = (m.over(foveal, |s| s.cpu), m.over(foveal, |s| s.wall));
            (spread(by_cpu), spread(by_wall), format!("{:.1e}", m.difference))
        };
        let _ = writeln!(
            text,
            "{:<22} {:>8.2} {:>8.4} {:>8.4} {:>8.4} {:>8.2}  {by_cpu:<22} {by_wall:<22} {differs:<8} {}",
            m.library,
            m.first.wall,
            wall.min,
            wall.median,
            cpu.median,
            row.op.flops() / cpu.median * 1e-9,
            m.function
        );
    }
    if row.idle > 0.1 {
        let _ = writeln!(text, "  with nothing to do, this process uses {:.2} of a processor", row.idle);
    }
    for m in row.disagreeing() {
        let (library, bound) = (&m.library, row.op.tolerance());
        let _ = writeln!(
            text,
            "  FAILED: {library} and foveal differ by {:.1e}, above {bound:.0e}",
            m.difference
        );
    }
    text
}

const COLUMNS: &str = "operation,library,function,rounds,calls_per_round,first_wall_s,first_cpu_s,wall_min_s,wall_median_s,\
    cpu_median_s,gflop_per_cpu_s,cpu_ratio_median,cpu_ratio_min,cpu_ratio_max,wall_ratio_median,wall_ratio_min,\
    wall_ratio_max,difference,idle_cpu,note";

/// Begins a CSV file: what was measured on what, as comments, then the names of the columns.
pub fn begin(path: &Path, about: &[String]) -> Result<()> {
    let comments: String = about.iter().map(|line| format!("# {line}\n")).collect();
    Ok(std::fs::write(path, format!("{comments}{COLUMNS}\n"))?)
}

/// Adds a row to it.
pub fn append(path: &Path, row: &Row) -> Result<()> {
    let mut text = String::new();
    for m in &row.libraries {
        let (wall, cpu) = (m.wall(), m.cpu());
        let foveal = &row.libraries[0];
        let spread = |s: Spread| format!("{:.4},{:.4},{:.4}", s.median, s.min, s.max);
        let _ = writeln!(
            text,
            "{},\"{}\",\"{}\",{},{},{:.4},{:.4},{:.6},{:.6},{:.6},{:.4},{},{},{:.2e},{:.3},",
            row.op,
            m.library,
            m.function,
            m.rounds.len(),
            m.calls,
            m.first.wall,
            m.first.cpu,
            wall.min,
            wall.median,
            cpu.median,
            row.op.flops() / cpu.median * 1e-9,
            spread(m.over(foveal, |s| s.cpu)),
            spread(m.over(foveal, |s| s.wall)),
            m.difference,
            row.idle
        );
    }
    add(path, &text)
}

/// Adds a line that says why a library has no numbers.
pub fn append_note(path: &Path, op: &Op, library: &str, note: &str) -> Result<()> {
    let empty = ",".repeat(COLUMNS.split(',').count() - 3);
    add(path, &format!("{op},\"{library}\"{empty},\"{note}\"\n"))
}

fn add(path: &Path, text: &str) -> Result<()> {
    Ok(OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())?)
}

/// The commit that is measured, marked where files differ from it.
pub fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".into() };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|files| !files.is_empty());
    if changed { format!("{commit} with changes") } else { commit }
}
