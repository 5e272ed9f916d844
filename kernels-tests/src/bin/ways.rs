//! Prints which way and variant each kernel takes, and why: `ways [KERNEL] [--caps NAME]`.

use clap::Parser;
use foveal::{Context, ContextOptions};
use kernels_tests::ways;
use std::process::ExitCode;

/// Prints, for the bench cases of kernels, which way to share the work a device takes and why.
#[derive(Parser)]
struct Args {
    /// Name of a kernel; without it all
    kernel: Option<String>,
    /// Part of the name of some capabilities that kernels tell apart, or `this` for this machine's adapter; without it all
    /// but `this`
    #[arg(long)]
    caps: Option<String>,
    /// Also the variants that could run and do not
    #[arg(long)]
    all: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ways: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let entries = ways::kernels(args.kernel.as_deref())?;
    let devices = match args.caps.as_deref() {
        Some("this") => {
            let context = foveal::block_on(Context::new(ContextOptions::default()));
            vec![context.map_err(|error| error.to_string())?.caps().clone()]
        }
        named => ways::capabilities(named)?,
    };
    print!("{}", ways::report(&entries, &devices, args.all));
    Ok(())
}
