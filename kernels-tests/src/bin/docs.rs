//! Writes the table of kernels into README.md: `docs [--check]`.

use clap::Parser;
use kernels_tests::{docs, root};
use std::process::ExitCode;

/// Writes the generated tables of the documentation.
#[derive(Parser)]
struct Args {
    /// Change nothing; fail when a table is stale
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let done = if Args::parse().check {
        docs::check(&root()).map(|()| "is up to date")
    } else {
        docs::update(&root(), false).map(|same| if same { "was up to date" } else { "rewritten" })
    };
    match done {
        Ok(state) => {
            println!("README.md: the table of kernels {state}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("docs: {message}");
            ExitCode::FAILURE
        }
    }
}
