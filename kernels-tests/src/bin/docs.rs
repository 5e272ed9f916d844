//! Writes the table of kernels into docs/kernels.md: `docs [--check | --measure]`.

use clap::Parser;
use foveal::{Context, ContextOptions};
use kernels_tests::errors::Record;
use kernels_tests::{docs, root};
use std::process::ExitCode;

/// Writes the generated tables of the documentation.
#[derive(Parser)]
struct Args {
    /// Change nothing; fail when a table is stale
    #[arg(long)]
    check: bool,
    /// Measure the errors on this machine's adapter first, into kernels-tests/record
    #[arg(long, conflicts_with = "check")]
    measure: bool,
}

fn measure() -> Result<(), String> {
    let context = foveal::block_on(Context::new(ContextOptions::default())).map_err(|e| e.to_string())?;
    eprintln!("adapter: {}", context.caps());
    let record = Record::measure(&context)?;
    let runs: usize = record.kernels.iter().map(|kernel| kernel.runs).sum();
    let file = record.write(&root())?;
    println!("{}: {runs} runs", file.strip_prefix(root()).unwrap_or(&file).display());
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let measured = if args.measure { measure() } else { Ok(()) };
    let done = measured.and_then(|()| {
        if args.check {
            docs::check(&root()).map(|()| "is up to date")
        } else {
            docs::update(&root(), false).map(|same| if same { "was up to date" } else { "rewritten" })
        }
    });
    match done {
        Ok(state) => {
            println!("{}: the table of kernels {state}", docs::FILE);
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("docs: {message}");
            ExitCode::FAILURE
        }
    }
}
