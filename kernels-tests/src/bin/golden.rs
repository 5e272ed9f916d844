//! Runs golden cases and prints one line for each.
//!
//! `golden DIR [--filter OP_PREFIX]`; ends with 1 when a case fails and 2 when nothing could be run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kernels_tests::devices::Devices;
use kernels_tests::golden::{self, Verdict};

/// Compares this library with results of the original projects.
#[derive(Parser)]
struct Args {
    /// Folder to search for cases: every folder below it with a case.json
    dir: PathBuf,
    /// Run only the operations whose name begins like this
    #[arg(long, value_name = "OP_PREFIX", default_value = "")]
    filter: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Each thread has a device of its own; this one says early where there is none.
    match golden::new_context() {
        Ok(context) => eprintln!("adapter: {}", context.caps()),
        Err(error) => {
            eprintln!("golden: {error}");
            return ExitCode::from(2);
        }
    }
    golden::collect_panics();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let run = golden::run_all(golden::ops::LIBRARY, &args.dir, &args.filter, Devices::threads(), |report| {
        println!("{report}");
        *match report.verdict {
            Verdict::Pass => &mut passed,
            Verdict::Fail => &mut failed,
            Verdict::Skip => &mut skipped,
        } += 1;
    });
    if let Err(error) = run {
        eprintln!("golden: {error}");
        return ExitCode::from(2);
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
