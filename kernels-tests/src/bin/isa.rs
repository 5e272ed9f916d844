//! Compiles every kernel and variant at the bench cases' sizes and marks each on standard error, where drivers that are asked
//! to print statistics and code of what they compile print them: `cargo xtask isa` reads both.
//!
//! Nothing is dispatched, so that a driver for a card that is not there will do.

use clap::Parser;
use foveal::gpu::list_adapters;
use foveal::kernels::Variant;
use foveal::kernels::registry::AnyKernel;
use foveal::{AdapterChoice, Caps, Context, ContextOptions, Dtype, SelfTest};
use kernels_tests::ways;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::process::ExitCode;

/// Compiles every kernel and variant at the bench cases' sizes and marks each on standard error.
#[derive(Parser)]
struct Args {
    /// Name of a kernel; without it all
    kernel: Option<String>,
    /// Only variants with this in their name
    #[arg(long, default_value = "")]
    variant: String,
    /// Part of the adapter's name
    #[arg(long)]
    adapter: String,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("isa: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let options = ContextOptions::default()
        .adapter(AdapterChoice::Name(args.adapter.clone()))
        .self_test(SelfTest::Skip);
    let context = foveal::block_on(Context::new(options)).map_err(|error| error.to_string())?;
    // As the driver lists them: a context takes its matrices only after they have been right, and nothing runs here.
    let listed = foveal::block_on(list_adapters());
    let ours = |caps: &Caps| caps.adapter == context.caps().adapter && caps.backend == context.caps().backend;
    let caps = listed.into_iter().map(|report| report.caps).find(ours);
    let caps = caps.ok_or("the adapter is not listed")?;
    mark("CAPS", &json!({ "adapter": caps.adapter, "driver": caps.driver, "caps": caps.to_string() }));
    let mut seen = HashSet::new();
    for entry in ways::kernels(args.kernel.as_deref())? {
        for (model, case) in (entry.bench_cases)() {
            let mut stored: Vec<(Dtype, Dtype)> = Vec::new();
            for variant in case.variants(&caps) {
                let types = (variant.elem, variant.weight);
                let taken = !stored.contains(&types);
                stored.push(types);
                let text = case.composed(&caps, &variant).text().to_owned();
                if variant.name().contains(&args.variant) && seen.insert((text, variant.checked)) {
                    mark("TEXT", &facts(&*case, model, &caps, &variant, taken));
                    let error = case.compile(&context, &variant).err();
                    mark("DONE", &json!(error.map(|error| error.to_string())));
                }
            }
        }
    }
    mark("END", &json!(seen.len()));
    Ok(())
}

/// What is told of a text: the first case that compiles to it, and whether a device like this would take the variant.
fn facts(case: &dyn AnyKernel, model: &str, caps: &Caps, variant: &Variant, taken: bool) -> Value {
    json!({
        "kernel": case.stem(),
        "case": format!("{model}: {case}"),
        "variant": variant.name(),
        "way": variant.way.to_string(),
        "taken": taken,
        "matrices": variant.matrices,
        "workgroups": case.launch(caps, variant).workgroups,
        "flops": case.work().flops,
        "bytes": bytes(case, variant),
    })
}

/// Bytes that a case moves under a variant. Kernels state those of f32; a narrower type moves less.
fn bytes(case: &dyn AnyKernel, variant: &Variant) -> f64 {
    let slots = case.slots();
    let all = |v: &Variant| slots.iter().map(|s| (s.shape.len() * s.dtype(v).size()) as f64).sum::<f64>();
    case.work().bytes * all(variant) / all(&Variant::new(Dtype::F32, 1)).max(1.0)
}

/// A line that no compiler prints.
fn mark(kind: &str, facts: &Value) {
    eprintln!("@@@{kind}\t{facts}");
}
