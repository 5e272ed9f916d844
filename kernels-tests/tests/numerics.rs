//! Every kernel × variant × case on this machine's adapter, against the kernel's f64 reference.
//!
//! A device with WebGPU's default limits and no features runs the variants that exist there: parameters come through the
//! uniform ring, without f16 and without subgroups.
//!
//! A software adapter also runs what a GPU of its capabilities would be given: the first and the last case in every
//! storage type, all others in f32. Sizes of workgroups and ways to share the work differ there.
//!
//! Each running test has a device to itself.

use foveal::kernels::registry::REGISTRY;
use foveal::{Context, ContextOptions};
use kernels_tests::devices::{self, Devices};
use kernels_tests::numerics::{self, Selected};
use kernels_tests::plain_context;
use libtest_mimic::{Arguments, Trial};
use std::sync::Arc;

fn main() {
    devices::compile_unoptimised();
    let mut arguments = Arguments::from_args();
    let threads = *arguments.test_threads.get_or_insert_with(Devices::threads);
    let best = || foveal::block_on(Context::new(ContextOptions::default()));
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
    let whole = !numerics::part_is_asked_for();
    let mut trials = Vec::new();
    for (label, devices, all) in [("", context, true), ("default-limits ", plain, false)] {
        let caps = devices.borrow(|context| context.caps().clone());
        for entry in REGISTRY {
            let cases = (entry.cases)();
            // The plain device repeats the first and the last case: the point is how parameters arrive.
            let ends = [0, cases.len().saturating_sub(1)];
            let kept = |run: &Selected| {
                let wanted = all || (!run.as_gpu && ends.contains(&run.case));
                wanted && (whole || numerics::is_in_part(run, cases.len()))
            };
            let runs: Vec<_> = numerics::selected(&cases, &caps).into_iter().filter(kept).collect();
            let cases: Vec<_> = cases.into_iter().map(Arc::new).collect();
            for Selected { case, as_gpu, variant } in runs {
                let (devices, case) = (devices.clone(), cases[case].clone());
                let label = if as_gpu { "as a GPU " } else { label };
                let name = format!("{label}{case} {}", variant.name());
                trials.push(Trial::test(name, move || {
                    let check = |context: &Context| numerics::check(context, &**case, &variant);
                    devices.borrow(check).map_err(Into::into)
                }));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    std::mem::forget(kept);
    conclusion.exit();
}
