//! Every kernel × variant × case on this machine's adapter, against the kernel's f64 reference.
//!
//! A device with WebGPU's default limits and no features runs the variants that exist there: parameters come through the
//! uniform ring, without f16 and without subgroups.
//!
//! A software adapter also runs what a GPU of its capabilities would be given, the first and the last case in every
//! storage type and every other case in f32: sizes of workgroups and ways to share the work differ there.
//!
//! Each running test has a device to itself: a software driver compiles a device's kernels on one core, and compiling is
//! what takes the time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]

use foveal::gpu::{AdapterClass, Caps};
use foveal::kernels::Variant;
use foveal::kernels::registry::REGISTRY;
use foveal::{Context, ContextOptions, Dtype};
use kernels_tests::{numerics, plain_context};
use libtest_mimic::{Arguments, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

/// Devices of one kind, of which each test borrows one.
struct Devices(Mutex<Vec<Context>>);

impl Devices {
    fn open(count: usize, open: impl Fn() -> foveal::Result<Context>) -> foveal::Result<Arc<Self>> {
        let all = (0..count).map(|_| open()).collect::<foveal::Result<_>>()?;
        Ok(Arc::new(Self(Mutex::new(all))))
    }

    /// Runs `f` with a device that no other test has. There are as many as tests at a time.
    fn borrow<T>(&self, f: impl FnOnce(&Context) -> T) -> T {
        let context = self.0.lock().unwrap().pop().unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| f(&context)));
        self.0.lock().unwrap().push(context);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Mesa's own switch: its software driver compiles without optimising.
const UNOPTIMISED: (&str, &str) = ("GALLIVM_PERF", "nopt");

fn main() {
    // Compiling is what takes the time here, a third of it LLVM's optimiser on code that runs for a moment. The other
    // suites and the golden cases run what users get.
    if std::env::var_os(UNOPTIMISED.0).is_none() {
        // SAFETY: no other thread runs yet, and the driver is not loaded.
        unsafe { std::env::set_var(UNOPTIMISED.0, UNOPTIMISED.1) };
    }
    let mut arguments = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = *arguments.test_threads.get_or_insert(cores.min(4));
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
                let kept = |variant: &Variant| ends || (i % 2 == 0 && variant.elem == Dtype::F32);
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
