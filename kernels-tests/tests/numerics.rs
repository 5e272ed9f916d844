//! Every kernel × variant × case on this machine's adapter, against the kernel's f64 reference.
//!
//! A second device with WebGPU's default limits and no features runs the variants that exist there: parameters come
//! through the uniform ring, without f16 and without subgroups.

use foveal::kernels::registry::REGISTRY;
use foveal::{AdapterChoice, Context, ContextOptions};
use kernels_tests::{numerics, plain_context};
use libtest_mimic::{Arguments, Trial};
use std::sync::Arc;

fn main() {
    let arguments = Arguments::from_args();
    let context = match pollster::block_on(Context::new(ContextOptions {
        adapter: AdapterChoice::Best,
        ..Default::default()
    })) {
        Ok(context) => context,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    eprintln!("adapter: {}", context.caps());
    let plain = match plain_context() {
        Ok(context) => context,
        Err(error) => {
            eprintln!("device with default limits: {error}");
            std::process::exit(2);
        }
    };
    let mut trials = Vec::new();
    for (label, context, all) in [("", context, true), ("default-limits ", plain, false)] {
        for entry in REGISTRY {
            for (i, case) in (entry.cases)().into_iter().enumerate() {
                let case = Arc::new(case);
                // The plain device repeats the first and the last case: the point is how parameters arrive.
                if !all && i != 0 && i + 1 != (entry.cases)().len() {
                    continue;
                }
                for variant in case.variants(context.caps()) {
                    let (context, case) = (context.clone(), case.clone());
                    let name = format!("{label}{case} {}", variant.name());
                    trials.push(Trial::test(name, move || {
                        numerics::check(&context, &**case, &variant).map_err(Into::into)
                    }));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
