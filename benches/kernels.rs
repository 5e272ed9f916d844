//! Times the registry's bench cases on this machine's adapter.
//!
//! `cargo bench --bench kernels -- [FILTER] [--max-seconds-per-row S] [--runs N] [--adapter WHICH] [--record]`
//!
//! Tensors hold numbers of a fixed pattern, not a model's: times here depend on sizes, not on values. A row that would
//! take too long is skipped and says so; the estimate comes from the kernel's smaller rows, or before the first of
//! them from a test case and the low rates that foveal assumes of an adapter of this class.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot go on should stop loudly")]

use clap::Parser;
use foveal::gpu::Timing;
use foveal::kernels::registry::{AnyKernel, REGISTRY};
use foveal::kernels::{Element, Slot, Variant, Work};
use foveal::{AdapterChoice, Context, ContextOptions, Error, Result, Tensor};
use pollster::block_on;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
    /// What cargo says to a bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// One measured row.
struct Row {
    kernel: &'static str,
    case: &'static str,
    problem: String,
    variant: String,
    /// Seconds of each run, ascending.
    seconds: Vec<f64>,
    work: Work,
    peak: u64,
}

impl Row {
    fn min(&self) -> f64 {
        self.seconds.first().copied().unwrap_or(f64::NAN)
    }

    fn median(&self) -> f64 {
        self.seconds.get(self.seconds.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn print(&self) {
        println!(
            "{:<30} {:<36} {:>10.3} {:>10.3} {:>10.1} {:>8.2} {:>9.1}  {}",
            self.kernel,
            self.case,
            self.min() * 1e3,
            self.median() * 1e3,
            self.work.flops / self.median() * 1e-9,
            self.work.bytes / self.median() * 1e-9,
            self.peak as f64 / f64::from(1 << 20),
            self.variant,
        );
    }
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
    let context =
        block_on(Context::new(ContextOptions { adapter: args.adapter.clone(), ..Default::default() }))?;
    let clock = if context.set_timing(true) { "device timestamps" } else { "wall clock" };
    context.set_timing(false);
    println!("{}\n{clock}, median and minimum of up to {} runs\n", context.caps(), args.runs);
    println!(
        "{:<30} {:<36} {:>10} {:>10} {:>10} {:>8} {:>9}  variant",
        "kernel", "case", "min ms", "median ms", "GFLOP/s", "GB/s", "peak MiB"
    );
    let assumed = assumed_rates(&context);
    let mut rows = Vec::new();
    for entry in REGISTRY {
        let named =
            |name: &str, case: &dyn AnyKernel| format!("{} {name} {case}", entry.stem).contains(&args.filter);
        let mut cases: Vec<_> =
            (entry.bench_cases)().into_iter().filter(|(name, case)| named(name, &**case)).collect();
        // Small ones first: their rates decide whether the large ones are worth trying.
        cases.sort_by(|(_, a), (_, b)| assumed.seconds(a.work()).total_cmp(&assumed.seconds(b.work())));
        let mut rates = None;
        for (name, case) in cases {
            for variant in case.variants(context.caps()) {
                let skipped = |reason: &str| {
                    println!("{:<30} {name:<36} SKIPPED: {reason}  {}", entry.stem, variant.name())
                };
                if let Some(reason) = too_large(&context, &*case, &variant) {
                    skipped(&reason);
                    continue;
                }
                let known = match rates {
                    Some(known) => known,
                    None => *rates.insert(first_rates(&context, &(entry.cases)())?),
                };
                // One run to compile and warm up, one to time.
                let estimate = 2.0 * known.seconds(case.work());
                if estimate > args.max_seconds_per_row {
                    skipped(&format!(
                        "two runs would take about {estimate:.0} s, above {} s",
                        args.max_seconds_per_row
                    ));
                    continue;
                }
                match measure(&context, &*case, &variant, args) {
                    Ok((seconds, peak)) => {
                        let row = Row {
                            kernel: entry.stem,
                            case: name,
                            problem: case.to_string(),
                            variant: variant.name(),
                            seconds,
                            work: case.work(),
                            peak,
                        };
                        row.print();
                        rates = Some(Rates::of(row.work, row.median()));
                        rows.push(row);
                    }
                    Err(Error::OutOfMemory { requested, live, .. }) => {
                        skipped(&format!("no room for {requested} bytes beside {live}"));
                    }
                    Err(error) => return Err(error),
                }
                context.trim();
            }
        }
    }
    if args.record { record(&context, clock, &rows) } else { Ok(()) }
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
    let tensors = tensors(context, &**case, &variant)?;
    let tensors: Vec<_> = tensors.iter().collect();
    timed(context, &**case, &variant, &tensors)?;
    Ok(Rates::of(case.work(), timed(context, &**case, &variant, &tensors)?).faster(assumed))
}

/// Seconds of each run, ascending, and the most bytes live meanwhile.
fn measure(
    context: &Context,
    case: &dyn AnyKernel,
    variant: &Variant,
    args: &Args,
) -> Result<(Vec<f64>, u64)> {
    context.reset_peak();
    let tensors = tensors(context, case, variant)?;
    let tensors: Vec<_> = tensors.iter().collect();
    let start = Instant::now();
    timed(context, case, variant, &tensors)?;
    let mut seconds = vec![timed(context, case, variant, &tensors)?];
    while seconds.len() < args.runs && start.elapsed().as_secs_f64() + seconds[0] < args.max_seconds_per_row {
        seconds.push(timed(context, case, variant, &tensors)?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds, context.memory().peak))
}

/// Seconds of one call, all its dispatches together.
fn timed(context: &Context, case: &dyn AnyKernel, variant: &Variant, tensors: &[&Tensor]) -> Result<f64> {
    block_on(context.finish())?;
    let device = context.set_timing(true);
    let start = Instant::now();
    case.run(context, variant, tensors)?;
    if device {
        let timings: Vec<Timing> = block_on(context.take_timings())?;
        context.set_timing(false);
        Ok(timings.iter().map(|t| t.seconds).sum())
    } else {
        block_on(context.finish())?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// A tensor for every slot. What is an index is below every table's length; what is always f32 is in 0..1.
fn tensors(context: &Context, case: &dyn AnyKernel, variant: &Variant) -> Result<Vec<Tensor>> {
    let slots = case.slots();
    let rows =
        slots.iter().filter(|s| s.element == Element::Elem).filter_map(|s| s.shape.dims().first()).min();
    let rows = rows.copied().unwrap_or(1).max(1) as u32;
    let mut tensors = Vec::with_capacity(slots.len());
    for slot in &slots {
        tensors.push(filled(context, slot, variant, rows)?);
    }
    Ok(tensors)
}

fn filled(context: &Context, slot: &Slot, variant: &Variant, rows: u32) -> Result<Tensor> {
    // Scrambles the bits of an index, so that neighbours differ.
    let noise =
        |i: u32| (i ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b).rotate_left(13).wrapping_mul(0xc2b2_ae35) >> 8;
    let unit = |i: u32| noise(i) as f32 / (1 << 24) as f32;
    let n = slot.shape.len() as u32;
    match slot.element {
        Element::U32 => Tensor::from_u32(
            context,
            slot.shape.clone(),
            &(0..n).map(|i| noise(i) % rows).collect::<Vec<_>>(),
        ),
        Element::F32 => Tensor::from_f32(context, slot.shape.clone(), &(0..n).map(unit).collect::<Vec<_>>()),
        Element::Elem | Element::Weight => {
            let values: Vec<_> = (0..n).map(|i| 2.0 * unit(i) - 1.0).collect();
            Tensor::from_f32_as(context, slot.shape.clone(), &values, slot.dtype(variant))
        }
    }
}

fn record(context: &Context, clock: &str, rows: &[Row]) -> Result<()> {
    let caps = context.caps();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches").join("record");
    let name = format!("{}-{}.csv", slug(&caps.adapter), date());
    let path = folder.join(&name);
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let machine = [&*caps.adapter, &caps.driver, &caps.backend, &commit(), clock].map(quoted).join(",");
    let mut text = String::from(
        "adapter,driver,backend,commit,clock,kernel,case,problem,variant,runs,ms_min,ms_median,gflop_per_s,gb_per_s,peak_bytes\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{machine},{},{},{},{},{},{:.4},{:.4},{:.2},{:.3},{}",
            row.kernel,
            quoted(row.case),
            quoted(&row.problem),
            quoted(&row.variant),
            row.seconds.len(),
            row.min() * 1e3,
            row.median() * 1e3,
            row.work.flops / row.median() * 1e-9,
            row.work.bytes / row.median() * 1e-9,
            row.peak
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
