//! Writes the table of kernels into docs/kernels.md: `docs [--check | --measure [STEM…]]`.

use clap::Parser;
use foveal::{Context, ContextOptions};
use kernels_tests::errors::{Progress, Record};
use kernels_tests::{docs, root};
use std::process::ExitCode;
use std::time::Instant;

/// Writes the generated tables of the documentation.
#[derive(Parser)]
struct Args {
    /// Change nothing; fail when a table is stale
    #[arg(long)]
    check: bool,
    /// Measure the errors of these kernels, or of all, on this machine's adapter first, into kernels-tests/record
    #[arg(long, value_name = "STEM", num_args = 0.., conflicts_with = "check")]
    measure: Option<Vec<String>>,
}

fn measure(stems: &[String]) -> Result<(), String> {
    let context = foveal::block_on(Context::new(ContextOptions::default())).map_err(|e| e.to_string())?;
    eprintln!("adapter: {}", context.caps());
    // Asked before minutes go by.
    let kept = if stems.is_empty() { None } else { Record::kept(&context, &root())? };
    let mut start = Instant::now();
    let mut record = Record::measure(&context, stems, |progress| match progress {
        Progress::Begins { number, of, stem, cases } => {
            start = Instant::now();
            eprint!("{number}/{of} {stem}: {cases} cases… ");
        }
        Progress::Ends(found) => {
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{} runs, {:.2} of the tolerance, {seconds:.1} s", found.runs, found.share);
        }
    })?;
    let runs: usize = record.kernels.iter().map(|kernel| kernel.runs).sum();
    if let Some(kept) = kept {
        record = record.completed(kept);
    }
    let file = record.write(&root())?;
    println!("{}: {runs} runs", file.strip_prefix(root()).unwrap_or(&file).display());
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let measured = args.measure.map_or(Ok(()), |stems| measure(&stems));
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
