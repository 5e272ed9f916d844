//! Defects planted in copies of the shaders: the harness of `numerics` has to find each of them.
//!
//! A defect is an edit of a kernel's composed text. The edited copy runs through the same code as every numerical test,
//! on the kernel's own test cases, until a case shows wrong numbers; the copy without the edit has to pass that case.
//! A text that no longer holds the edited part exactly once fails the test, as does a copy that does not compile: what
//! is wanted is a defect that runs. As everywhere, workgroup memory begins with what was there before. Of a way that the
//! adapter does not have, cooperative matrices, only that is asked: whether the part still stands in texts for a device that has it.

mod attention;
mod defects;

use defects::Planted;
use foveal::kernels::Variant;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::{Caps, Context, ContextOptions, Dtype};
use kernels_tests::devices::{self, Devices};
use kernels_tests::{numerics, synthetic};
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;

/// Plants the defect and looks for the first case that shows it.
fn find(context: &Context, planted: &Planted, entry: &Entry) -> Result<(), String> {
    let mut tried = 0;
    for case in (entry.cases)() {
        for variant in variants_with(context.caps(), planted, &*case) {
            tried += 1;
            if shows(context, planted, &*case, &variant)? {
                println!("{}: shown by {case} {}", planted.name, variant.name());
                return Ok(());
            }
        }
    }
    Err(format!("no case of {} shows this in {tried} runs: its cases need one that does", planted.stem))
}

/// Variants of a case whose text holds the part.
fn variants_with(caps: &Caps, planted: &Planted, case: &dyn AnyKernel) -> Vec<Variant> {
    let caps = caps.clone().with(|caps| caps.class = planted.class.unwrap_or(caps.class));
    let of = |v: &Variant| v.matrices || v.elem == Dtype::F32;
    let named = |v: &Variant| planted.variants.split(' ').all(|word| v.name().contains(word));
    case.variants(&caps).into_iter().filter(|v| of(v) && named(v)).collect()
}

/// Whether a case shows the defect.
fn shows(
    context: &Context,
    planted: &Planted,
    case: &dyn AnyKernel,
    variant: &Variant,
) -> Result<bool, String> {
    let sound = case.composed(context.caps(), variant);
    let broken = sound.replaced(planted.part, planted.by).ok_or_else(|| {
        format!(
            "`{}` does not stand exactly once in {case} {}: plant the defect anew",
            planted.part,
            variant.name()
        )
    })?;
    let found = numerics::measure(context, case, variant, Some(&broken))
        .map_err(|e| format!("{case} {}: the copy with the defect does not run: {e}", variant.name()))?;
    if found.faults.is_empty() {
        return Ok(false);
    }
    let control = numerics::measure(context, case, variant, Some(&sound))?;
    match control.faults.first() {
        None => Ok(true),
        Some(fault) => Err(format!("{case} {}: wrong without the defect too: {fault}", variant.name())),
    }
}

/// Whether the part stands in the text of every variant that has the way, on devices that are not here.
fn stands(planted: &Planted, entry: &Entry) -> Result<(), String> {
    let mut found = 0;
    for caps in synthetic::caps().iter().filter(|caps| caps.matrix().is_some()) {
        for case in (entry.cases)() {
            for variant in variants_with(caps, planted, &*case) {
                let sound = case.composed(caps, &variant);
                if sound.replaced(planted.part, planted.by).is_none() {
                    let (part, variant) = (planted.part, variant.name());
                    return Err(format!(
                        "`{part}` does not stand exactly once in {case} {variant}: plant the defect anew"
                    ));
                }
                found += 1;
            }
        }
    }
    if found == 0 { Err(format!("no variant is named {}", planted.variants)) } else { Ok(()) }
}

fn main() {
    let mut arguments = Arguments::from_args();
    devices::compile_unoptimised();
    let threads = *arguments.test_threads.get_or_insert_with(Devices::threads);
    // A planted defect may index anything, so these copies alone are compiled with bounds checks.
    let options = ContextOptions::default().checked(true);
    let devices = Devices::open(threads, || foveal::block_on(Context::new(options.clone())));
    let devices = match devices {
        Ok(devices) => devices,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let caps = devices.borrow(|context| context.caps().clone());
    eprintln!("adapter: {caps}");
    let trial = |planted: &'static Planted| {
        let devices = devices.clone();
        let entry = REGISTRY.iter().find(|entry| entry.stem == planted.stem);
        let cases = entry.map(|entry| (entry.cases)()).unwrap_or_default();
        let way = if planted.variants.is_empty() { planted.stem } else { planted.variants };
        let matrices = planted.variants.contains("/matrices");
        let absent = matrices && cases.iter().all(|case| variants_with(&caps, planted, &**case).is_empty());
        let run = move || {
            let entry = entry.ok_or_else(|| format!("no kernel is named {}", planted.stem))?;
            if absent {
                return stands(planted, entry).map_err(Into::into);
            }
            devices.borrow(|context| find(context, planted, entry)).map_err(Into::into)
        };
        let name = format!("{way}: {}", planted.name);
        Trial::test(if absent { format!("{name}, its text alone") } else { name }, run)
    };
    // One of each kernel, where a part of the suite is asked for.
    let mut stems = BTreeSet::new();
    let defects =
        defects::all().filter(|planted| stems.insert(planted.stem) || !numerics::part_is_asked_for());
    let outcome = libtest_mimic::run(&arguments, defects.map(trial).collect());
    // Devices outlive the process's exit, where the driver's own handlers may tear them down.
    std::mem::forget(devices);
    outcome.exit();
}
