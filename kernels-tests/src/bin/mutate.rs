//! Mutation testing of the kernels: `mutate [KERNEL…]`.

use clap::Parser;
use foveal::kernels::registry::REGISTRY;
use kernels_tests::mutate::session::Options;
use kernels_tests::mutate::{explained, mutants, plan, pool, report, session, worker};
use kernels_tests::{devices, root};
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes small edits of kernels, one at a time, and lists those that no case of the numerical tests shows.
///
/// Results are kept below target/mutate, and what is known is not run again.
#[derive(Parser)]
struct Args {
    /// Names of kernels; all of them where there is none
    kernels: Vec<String>,
    /// One way to share the work only, `tiles`, or the variants with one module: `reduce.workgroup`, `mask/window`
    #[arg(long)]
    way: Option<String>,
    /// So many mutants of each kernel only, spread over it
    #[arg(long, value_name = "COUNT")]
    sample: Option<usize>,
    /// Processes that run mutants
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Seconds after which a run counts as endless, where it is quick without a mutation
    #[arg(long, default_value_t = 10.0)]
    limit: f64,
    /// Forget earlier results
    #[arg(long)]
    fresh: bool,
    /// Only list the mutants
    #[arg(long)]
    list: bool,
    /// Write the numbers into docs/mutation.md
    #[arg(long, conflicts_with_all = ["way", "list"])]
    table: bool,
    /// Folder of results
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    #[arg(long, hide = true)]
    worker: bool,
}

fn main() -> ExitCode {
    // Before anything else: the driver reads it when it is loaded.
    devices::compile_unoptimised();
    let args = Args::parse();
    let done = if args.worker { worker() } else { run(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mutate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn worker() -> Result<(), String> {
    worker::work().inspect_err(|reason| println!("{}", serde_json::json!({ "error": reason })))
}

fn run(args: &Args) -> Result<(), String> {
    let stems: Vec<&str> = match args.kernels.as_slice() {
        [] => REGISTRY.iter().map(|entry| entry.stem).collect(),
        some => some.iter().map(String::as_str).collect(),
    };
    let context = worker::open()?;
    let caps = context.caps();
    eprintln!("adapter: {caps}");
    if args.list {
        for stem in stems {
            let plan = plan::Plan::new(stem, caps, args.way.as_deref())?;
            let all = mutants::mutants(&plan)?;
            for mutant in &all {
                println!(
                    "{}:{}:{}: {}: {}",
                    mutant.file,
                    mutant.line,
                    mutant.column,
                    mutant.kind,
                    mutant.edit()
                );
            }
            eprintln!("{stem}: {} mutants, {} runs", all.len(), plan.runs.len());
        }
        return Ok(());
    }
    let options = Options {
        folder: args.results.clone().unwrap_or_else(|| root().join("target").join("mutate")),
        program: pool::own_program()?,
        workers: args.workers,
        limit: args.limit,
        fresh: args.fresh,
        way: args.way.clone(),
        sample: args.sample,
    };
    let explained = explained::read(&root())?;
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    for stem in stems {
        let tried = session::kernel(stem, caps, &options)?;
        let (counts, survivors) = report::judged(&tried, &explained);
        println!("{}", report::listed(&survivors));
        rows.push((tried.stem, counts));
        all.push(tried);
    }
    print!("{}", report::table(&rows));
    // A part of a kernel's mutants does not say what there is no mutant for.
    if args.way.is_none() && args.sample.is_none() {
        for fault in report::stale(&all, &explained) {
            println!("stale explanation: {fault}");
        }
    }
    if args.table {
        report::write(&root(), caps, &rows)?;
    }
    // The device outlives the process's exit, where the driver's own handlers may tear it down.
    std::mem::forget(context);
    Ok(())
}
