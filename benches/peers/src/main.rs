//! Times foveal against burn (wgpu, on the same adapter) and candle (CPU) on the same operations and numbers.
//!
//! `cargo run --release` in this folder; `README.md` says how to read the table. Every row runs in a process of its own,
//! in which the libraries take turns: a first call then costs what a new program pays, and a library that chooses its
//! kernels for longer than a row may last can be left behind.

mod burn_tensors;
mod candle_tensors;
mod foveal_kernels;
mod library;
mod measure;
mod report;
mod rows;

use clap::Parser;
use foveal::AdapterChoice;
use library::{Library, Result};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Of layer norm.
const EPS: f32 = 1e-6;

/// Exit status of a row whose libraries disagree.
const DISAGREE: u8 = 3;

/// Times foveal against burn and candle.
#[derive(Parser)]
struct Args {
    /// Only rows whose name holds this text
    #[arg(long, default_value = "")]
    filter: String,
    /// Rounds of a row, in each of which every library has its turn
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Leave burn out
    #[arg(long)]
    skip_burn: bool,
    /// Leave candle out
    #[arg(long)]
    skip_candle: bool,
    /// End a row after this long; where burn has not even finished its first call by then, the row is run without it
    #[arg(long, value_name = "SECONDS", default_value_t = 900.0)]
    max_seconds_per_row: f64,
    /// Also write the table to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Adapter: best, low-power, software, its number, or part of its name
    #[arg(long, default_value = "best")]
    adapter: AdapterChoice,
    /// Run this row in this process
    #[arg(long, hide = true)]
    row: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.row {
        Some(at) => one(&args, at),
        None => all(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DISAGREE),
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one row; whether the libraries agree.
fn one(args: &Args, at: usize) -> Result<bool> {
    // Short of the limit, so that what was measured is still printed.
    let deadline = Instant::now() + Duration::from_secs_f64(0.9 * args.max_seconds_per_row);
    let op = rows::all()[at];
    let foveal = foveal_kernels::Foveal::new(&args.adapter)?;
    let caps = foveal.context.caps().clone();
    let mut libraries: Vec<Box<dyn Library>> = vec![Box::new(foveal)];
    if !args.skip_candle {
        libraries.push(Box::new(candle_tensors::Candle));
    }
    if !args.skip_burn {
        libraries.push(Box::new(burn_tensors::Burn::new(&caps)?));
    }
    let row = measure::row(op, &libraries, args.rounds, deadline)?;
    print!("{}", report::lines(&row));
    if let Some(path) = &args.csv {
        report::append(path, &row)?;
    }
    Ok(row.disagreeing().next().is_none())
}

/// Runs every row that the filter leaves; whether all went well.
fn all(args: &Args) -> Result<bool> {
    let about = about(args)?;
    about.iter().for_each(|line| println!("{line}"));
    println!("\n{}", report::header());
    if let Some(path) = &args.csv {
        report::begin(path, &about)?;
    }
    let mut well = true;
    for (at, op) in rows::all().iter().enumerate().filter(|(_, op)| op.to_string().contains(&args.filter)) {
        let Err(why) = child(args, at, args.skip_burn) else { continue };
        well = false;
        println!("{op}: {why}");
        if !args.skip_burn && why != Failure::Disagree {
            let note = format!("without burn, since the row {why}");
            println!("  again {note}");
            if let Some(path) = &args.csv {
                report::append_note(path, op, "burn", &note)?;
            }
            if let Err(why) = child(args, at, true) {
                println!("{op}: {why}");
            }
        }
    }
    Ok(well)
}

/// Why a row is not whole.
#[derive(Debug, Clone, PartialEq)]
enum Failure {
    Disagree,
    Late(f64),
    Other(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disagree => f.write_str("shows results that differ"),
            Self::Late(seconds) => write!(f, "was not done after {seconds:.0} s"),
            Self::Other(reason) => write!(f, "ended with {reason}"),
        }
    }
}

/// Runs a row in a process of its own, and ends that when its time is over.
fn child(args: &Args, at: usize, skip_burn: bool) -> std::result::Result<(), Failure> {
    let other = |error: std::io::Error| Failure::Other(error.to_string());
    let mut command = Command::new(std::env::current_exe().map_err(other)?);
    command.args(std::env::args_os().skip(1)).args(["--row", &at.to_string()]);
    if skip_burn && !args.skip_burn {
        command.arg("--skip-burn");
    }
    let start = Instant::now();
    let mut child = command.spawn().map_err(other)?;
    loop {
        if let Some(status) = child.try_wait().map_err(other)? {
            return match status.code() {
                Some(0) => Ok(()),
                Some(code) if code == i32::from(DISAGREE) => Err(Failure::Disagree),
                _ => Err(Failure::Other(status.to_string())),
            };
        }
        if start.elapsed().as_secs_f64() > args.max_seconds_per_row {
            child.kill().and_then(|()| child.wait()).map_err(other)?;
            return Err(Failure::Late(args.max_seconds_per_row));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is measured, and on what.
fn about(args: &Args) -> Result<Vec<String>> {
    let foveal = foveal_kernels::Foveal::new(&args.adapter)?;
    let caps = foveal.context.caps();
    let processors = std::thread::available_parallelism()?;
    Ok(vec![
        format!("adapter: {}", caps.adapter),
        format!("driver: {}, through {}", caps.driver, caps.backend),
        format!("processors: {processors}"),
        format!("foveal: commit {}", report::commit()),
        format!(
            "peers: burn {} (wgpu, autotune, no fusion), candle {} (CPU); wgpu {}",
            library::version("burn-tensor"),
            library::version("candle-core"),
            library::version("wgpu")
        ),
        "seconds of one call; CPU s of all threads, GFLOP/C per CPU second; a ratio above 1 says that foveal is faster; \
         median (min..max) over rounds"
            .to_owned(),
    ])
}
