//! Lists the adapters of this machine: what each offers, which one a program takes, and why others are refused.
//!
//! `cargo run --release --example devices`
//!
//! With `--verify` every adapter computes results that are known, by each main kernel in every way to share the work that it
//! would take; the program fails where one is wrong. `--verify --adapter NAME` asks one adapter.

use clap::Parser;
use foveal::gpu::{AdapterReport, list_adapters};
use foveal::{AdapterChoice, Caps, Context, ContextOptions, SelfTest};
use std::process::ExitCode;
use std::time::Instant;

/// Lists the adapters of this machine: what each offers, which one a program takes, and why others are refused.
#[derive(Debug, Parser)]
#[command(name = "devices")]
struct Args {
    /// Compute known results on each adapter instead, by each main kernel in every way that it would take, and compare;
    /// fails where one is wrong
    #[arg(long)]
    verify: bool,
    /// Verify only this one: best, low-power, software, its number, or part of its name
    #[arg(long, requires = "verify")]
    adapter: Option<AdapterChoice>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.verify {
        return verify(args.adapter);
    }
    list();
    ExitCode::SUCCESS
}

fn list() {
    let adapters = foveal::block_on(list_adapters());
    if adapters.is_empty() {
        println!(
            "no adapter found: install a Vulkan, Metal or DX12 driver (on Linux without a GPU: mesa-vulkan-drivers)"
        );
        return;
    }
    for report in &adapters {
        print_adapter(report);
    }
    for (word, choice) in [
        ("best", AdapterChoice::Best),
        ("low-power", AdapterChoice::LowPower),
        ("software", AdapterChoice::Software),
    ] {
        let options = ContextOptions::default().adapter(choice);
        match foveal::block_on(Context::new(options)) {
            Ok(context) => {
                println!("`--adapter {word}` takes {} ({})", context.caps().adapter, context.caps().backend)
            }
            Err(error) => println!("`--adapter {word}`: {error}"),
        }
    }
}

/// Runs the full self-test and prints what came out wrong.
fn verify(choice: Option<AdapterChoice>) -> ExitCode {
    let every = || {
        let all = foveal::block_on(list_adapters());
        // One that no kernel can run on has nothing to verify; one known to compute wrongly has.
        let able =
            |r: &AdapterReport| r.refused.as_ref().is_none_or(|reason| reason.contains("wrong numbers"));
        all.into_iter().filter(able).map(|r| AdapterChoice::Index(r.index)).collect()
    };
    let choices = choice.map_or_else(every, |one| vec![one]);
    let mut sound = 0;
    for choice in &choices {
        let options = ContextOptions::default().adapter(choice.clone()).self_test(SelfTest::Skip);
        let start = Instant::now();
        let tested = foveal::block_on(async {
            let context = Context::new(options).await?;
            println!("{}", context.caps());
            context.self_test(SelfTest::Full).await
        });
        match tested {
            Ok(report) => {
                let worst = report.passed.iter().max_by(|a, b| a.1.total_cmp(&b.1));
                for fault in &report.faults {
                    println!("   WRONG  {fault}");
                }
                println!(
                    "   {} right, {} wrong, {:.1} s",
                    report.passed.len(),
                    report.faults.len(),
                    start.elapsed().as_secs_f64()
                );
                if let Some((case, error)) = worst {
                    println!("   largest error: {:.0} % of what is allowed, {case}", 100.0 * error);
                }
                sound += usize::from(report.faults.is_empty());
            }
            Err(error) => println!("   {choice}: {error}"),
        }
    }
    println!("{sound} of {} adapters compute rightly", choices.len());
    if sound == choices.len() && sound > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_adapter(report: &AdapterReport) {
    let caps = &report.caps;
    println!("{}: {}", report.index, caps.adapter);
    match &report.refused {
        Some(reason) => println!("   refused            {reason}"),
        None => println!("   usable             yes"),
    }
    for (name, value) in rows(caps) {
        println!("   {name:<18} {value}");
    }
    println!();
}

fn rows(caps: &Caps) -> [(&'static str, String); 12] {
    let yes_no = |b: bool| if b { "yes" } else { "no" }.to_owned();
    let coop = |m: &foveal::gpu::CoopMatrix| format!("{}x{}x{} {}→{}", m.m, m.n, m.k, m.input, m.accumulator);
    [
        ("kind", format!("{}, by {}", caps.class, caps.backend)),
        ("driver", caps.driver.clone()),
        ("16-bit floats", yes_no(caps.f16)),
        ("subgroups", caps.subgroup.map_or("no".into(), |(low, high)| format!("{low} to {high} wide"))),
        (
            "matrix units",
            match caps.coop.as_slice() {
                [] => "no".into(),
                shapes => shapes.iter().map(coop).collect::<Vec<_>>().join(", "),
            },
        ),
        ("timestamps", yes_no(caps.timestamps)),
        ("immediates", format!("{} bytes", caps.immediate_bytes)),
        ("largest buffer", mebibytes(caps.max_buffer)),
        ("largest binding", mebibytes(caps.max_binding)),
        ("workgroup memory", format!("{} KiB", caps.workgroup_memory >> 10)),
        ("workgroup size", format!("{} invocations", caps.max_invocations)),
        ("bindings", format!("{} of a kernel", caps.max_storage_bindings)),
    ]
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
