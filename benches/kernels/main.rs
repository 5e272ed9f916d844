//! Times the registry's bench cases on this machine's adapter.
//!
//! `cargo bench --bench kernels -- [FILTER] [--max-seconds-per-row S] [--runs N] [--adapter WHICH] [--record] [--smoke]`
//!
//! First three small kernels measure what the adapter can do at most (`ceilings`); each row then says what share of
//! that it reaches and which ceiling binds. Tensors hold numbers of a fixed pattern, not a model's: times here depend on
//! sizes, not on values. A row that would take too long is skipped and says so; the estimate comes from the kernel's
//! smaller rows, or before the first of them from a test case and the low rates that foveal assumes of an adapter of
//! this class.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on should stop loudly")]

mod bounds;
mod ceilings;
mod report;
mod texts;
mod timing;

use bounds::Bounds;
use ceilings::Ceilings;
use clap::Parser;
use foveal::block_on;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::kernels::{Variant, Work};
use foveal::{AdapterChoice, Context, ContextOptions, Error, Result};
use report::Row;
use std::path::Path;
use std::process::ExitCode;

/// Times the kernels on sizes of real models.
#[derive(Parser)]
struct Args {
    /// Only rows whose kernel, model or problem holds this text
    #[arg(default_value = "")]
    filter: String,
    /// Skip a row that would take longer than this, warm-up included
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    max_seconds_per_row: f64,
    /// Timed runs of a row; fewer where they would take too long
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// Adapter: best, low-power, software, its number, or part of its name
    #[arg(long, default_value = "best")]
    adapter: AdapterChoice,
    /// Write benches/record/ADAPTER-DATE.csv
    #[arg(long)]
    record: bool,
    /// Run every kernel and variant once, at its smallest size; says that the rows work, not how fast they are
    #[arg(long)]
    smoke: bool,
    /// What cargo says to a bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rates of one kernel, in operations and bytes a second.
#[derive(Clone, Copy)]
struct Rates(f64, f64);

impl Rates {
    fn seconds(self, work: Work) -> f64 {
        (work.flops / self.0).max(work.bytes / self.1)
    }

    /// What a run shows: at least these rates.
    fn of(work: Work, seconds: f64) -> Self {
        Self((work.flops / seconds).max(1.0), (work.bytes / seconds).max(1.0))
    }

    fn faster(self, other: Self) -> Self {
        Self(self.0.max(other.0), self.1.max(other.1))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let context = block_on(Context::new(ContextOptions::default().adapter(args.adapter.clone())))?;
    let clock = if context.set_timing(true) { "device timestamps" } else { "wall clock" };
    context.set_timing(false);
    println!("{}\n{clock}, minimum and median of about {} runs", context.caps(), args.runs);
    println!(
        "A multiply-add counts two operations; bytes count every operand once, so that a row whose tensors fit a cache"
    );
    println!("may pass 100 % of the copy.");
    let ceilings = Ceilings::measure(&context, args.smoke)?;
    println!("{ceilings}");
    if report::software(&context) {
        println!(
            "This adapter is a CPU: rates on it compare kernels with each other and say nothing about a GPU."
        );
    }
    let bounds = bounds(&context)?;
    let bounds = bounds.as_ref();
    if bounds.is_some() {
        println!(
            "% loop: of the peak, what the instructions of the hottest loop allow by the record of this card's compiler."
        );
    }
    println!("\n{}", report::header(&context, &ceilings, bounds));
    let mut rows = Vec::new();
    for entry in REGISTRY {
        let cases = cases(&context, entry, args);
        let mut bench = Bench { context: &context, entry, args, rates: None };
        for (name, case) in cases {
            for variant in case.variants(context.caps()) {
                match bench.row(name, &*case, &variant)? {
                    Ok(row) => {
                        println!("{}", row.line(&context, &ceilings, bounds));
                        rows.push(row);
                    }
                    Err(reason) => {
                        println!("{:<26} {name:<36} SKIPPED: {reason}  {}", entry.stem, variant.name());
                    }
                }
                context.trim();
            }
        }
    }
    if args.smoke {
        println!("\n{} rows ran; their times hold the compilation of the kernels", rows.len());
        return Ok(());
    }
    // A ceiling measured beside another program's work is too low, and shares of it too high.
    let again = Ceilings::measure(&context, false)?;
    println!("\nafter the rows, {again}");
    if again.differ(&ceilings) {
        println!(
            "The ceilings differ by more than a quarter: this machine is busy, and shares above are not to be trusted."
        );
    }
    if args.record {
        report::record(&context, clock, &ceilings.higher(&again), bounds, &rows)
    } else {
        Ok(())
    }
}

/// What the records of compilers say of this adapter, if one is of its card.
fn bounds(context: &Context) -> Result<Option<Bounds>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record/isa");
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| Error::io(path, e));
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .map_err(|e| Error::io(&folder, e))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "tsv"))
        .collect();
    paths.sort();
    let texts = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    Ok(Bounds::of(&context.caps().adapter, texts.iter().map(String::as_str)))
}

/// The rows of a kernel. Small ones first: their rates decide whether the large ones are worth trying. A smoke run takes
/// the smallest alone, or a test case where that would take longer than a second.
fn cases(context: &Context, entry: &Entry, args: &Args) -> Vec<(&'static str, Box<dyn AnyKernel>)> {
    let assumed = assumed_rates(context);
    let seconds = |case: &dyn AnyKernel| assumed.seconds(case.work());
    let mut cases = (entry.bench_cases)();
    cases.retain(|(name, case)| format!("{} {name} {case}", entry.stem).contains(&args.filter));
    cases.sort_by(|(_, a), (_, b)| seconds(&**a).total_cmp(&seconds(&**b)));
    if args.smoke && !cases.is_empty() {
        cases.truncate(1);
        if cases.iter().any(|(_, case)| seconds(&**case) > 1.0) {
            let mut tests = (entry.cases)();
            tests.retain(|case| case.work().bytes > 0.0);
            tests.sort_by(|a, b| seconds(&**a).total_cmp(&seconds(&**b)));
            let middle = tests.len() / 2;
            cases = tests.drain(..).skip(middle).take(1).map(|case| ("a test case", case)).collect();
        }
    }
    cases
}

/// One kernel's rows, and what they have shown of its rates so far.
struct Bench<'a> {
    context: &'a Context,
    entry: &'a Entry,
    args: &'a Args,
    rates: Option<Rates>,
}

impl Bench<'_> {
    /// A measured row, or why it was left out.
    fn row(
        &mut self,
        name: &'static str,
        case: &dyn AnyKernel,
        variant: &Variant,
    ) -> Result<Result<Row, String>> {
        let Self { context, entry, args, .. } = *self;
        if let Some(reason) = too_large(context, case, variant) {
            return Ok(Err(reason));
        }
        let runs = if args.smoke { 1 } else { args.runs };
        if !args.smoke {
            let known = match self.rates {
                Some(known) => known,
                None => *self.rates.insert(first_rates(context, &(entry.cases)())?),
            };
            // One run to compile and warm up, one to time.
            let estimate = 2.0 * known.seconds(case.work());
            if estimate > args.max_seconds_per_row {
                let limit = args.max_seconds_per_row;
                return Ok(Err(format!("two runs would take about {estimate:.0} s, above {limit} s")));
            }
        }
        match timing::measure(context, case, variant, runs, args.max_seconds_per_row) {
            Ok(sample) => {
                let work = timing::work(case, variant);
                let (problem, variant) = (case.to_string(), variant.name());
                let row = Row { kernel: entry.stem, case: name, problem, variant, work, sample };
                self.rates = Some(Rates::of(row.work, row.median()));
                Ok(Ok(row))
            }
            Err(Error::OutOfMemory { requested, live, .. }) => {
                Ok(Err(format!("no room for {requested} bytes beside {live}")))
            }
            Err(error) => Err(error),
        }
    }
}

/// Bindings that the device does not take in one piece; above this floor such tensors are cut into rows.
fn too_large(context: &Context, case: &dyn AnyKernel, variant: &Variant) -> Option<String> {
    let caps = context.caps();
    case.slots().iter().find_map(|slot| {
        let bytes = (slot.shape.len() * slot.dtype(variant).size()) as u64;
        (bytes > caps.max_binding.min(caps.max_buffer)).then(|| {
            format!("`{}` of {bytes} bytes is above the device's binding of {}", slot.name, caps.max_binding)
        })
    })
}

/// What foveal assumes of the adapter's class.
fn assumed_rates(context: &Context) -> Rates {
    let (flops, bytes) = context.caps().assumed_rates();
    Rates(flops, bytes)
}

/// The largest test case, timed once warm. Test cases are too small to fill a GPU, so the assumed rates are the least.
fn first_rates(context: &Context, cases: &[Box<dyn AnyKernel>]) -> Result<Rates> {
    let assumed = assumed_rates(context);
    let Some(case) = cases.iter().max_by(|a, b| a.work().flops.total_cmp(&b.work().flops)) else {
        return Ok(assumed);
    };
    let Some(variant) = case.variants(context.caps()).into_iter().next() else { return Ok(assumed) };
    let sample = timing::measure(context, &**case, &variant, 2, 0.0)?;
    Ok(Rates::of(case.work(), sample.seconds[0]).faster(assumed))
}
