//! Lists the adapters of this machine: what each offers, which one a program takes, and why others are refused.
//!
//! `cargo run --release --example devices`

use foveal::gpu::{AdapterReport, list_adapters};
use foveal::{AdapterChoice, Caps, Context, ContextOptions};

fn main() {
    let adapters = pollster::block_on(list_adapters());
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
        let options = ContextOptions { adapter: choice, ..ContextOptions::default() };
        match pollster::block_on(Context::new(options)) {
            Ok(context) => {
                println!("`--adapter {word}` takes {} ({})", context.caps().adapter, context.caps().backend)
            }
            Err(error) => println!("`--adapter {word}`: {error}"),
        }
    }
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
