//! Every kernel × variant × case on this machine's adapter, against the kernel's f64 reference.
//!
//! A device with WebGPU's default limits and no features runs the variants that exist there: parameters come through the
//! uniform ring, without f16 and without subgroups.
//!
//! A software adapter also runs what a GPU of its capabilities would be given: the first and the last case in every
//! storage type, every other case and all with ways for few rows or keys in f32. Sizes of workgroups and ways to share
//! the work differ there.
//!
//! Each running test has a device to itself.

use foveal::gpu::{AdapterClass, Caps};
use foveal::kernels::Variant;
use foveal::kernels::registry::REGISTRY;
use foveal::{Context, ContextOptions, Dtype};
use kernels_tests::devices::{self, Devices};
use kernels_tests::{numerics, plain_context};
use libtest_mimic::{Arguments, Trial};
use std::sync::Arc;

fn main() {
    devices::compile_unoptimised();
    let mut arguments = Arguments::from_args();
    let threads = *arguments.test_threads.get_or_insert_with(Devices::threads);
    let best = || pollster::block_on(Context::new(ContextOptions::default()));
    let open = || Ok((Devices::open(threads, best)?, Devices::open(threads, plain_context)?));
    let (context, plain) = match open() {
        Ok(both) => both,
        Err(error) => {
            let error: foveal::Error = error;
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    context.borrow(|context| eprintln!("adapter: {}", context.caps()));
    // Devices outlive the process's exit: one that its last test drops may be torn down while the driver's own handlers
    // for the exit run.
    let kept = (context.clone(), plain.clone());
    let mut trials = Vec::new();
    for (label, devices, all) in [("", context, true), ("default-limits ", plain, false)] {
        let caps = devices.borrow(|context| context.caps().clone());
        for entry in REGISTRY {
            for (i, case) in (entry.cases)().into_iter().enumerate() {
                let case = Arc::new(case);
                // The plain device repeats the first and the last case: the point is how parameters arrive.
                if !all && i != 0 && i + 1 != (entry.cases)().len() {
                    continue;
                }
                let own = case.variants(&caps);
                let gpu = Caps { class: AdapterClass::Discrete, ..caps.clone() };
                let mut others = if all { case.variants(&gpu) } else { Vec::new() };
                let ends = i == 0 || i + 1 == (entry.cases)().len();
                // Few cases have these ways to share the work.
                let rare = |name: String| [".few", ".held"].iter().any(|way| name.contains(way));
                let kept = |variant: &Variant| {
                    ends || (variant.elem == Dtype::F32 && (i % 2 == 0 || rare(variant.name())))
                };
                others.retain(|variant| kept(variant) && !own.contains(variant));
                let labelled =
                    |label, variants: Vec<_>| variants.into_iter().map(move |variant| (label, variant));
                for (label, variant) in labelled(label, own).chain(labelled("as a GPU ", others)) {
                    let (devices, case) = (devices.clone(), case.clone());
                    let name = format!("{label}{case} {}", variant.name());
                    trials.push(Trial::test(name, move || {
                        let check = |context: &Context| numerics::check(context, &**case, &variant);
                        devices.borrow(check).map_err(Into::into)
                    }));
                }
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    std::mem::forget(kept);
    conclusion.exit();
}
