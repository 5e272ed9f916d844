//! Runs one variant of one kernel on one case and compares it with its reference.

use crate::{magnitudes, strays};
use foveal::gpu::{AdapterClass, Cores};
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::trial::{
    Changed, Problem, Written, execute as execute_changed, in_few_workgroups, judged,
};
pub use foveal::kernels::trial::{Outcome, compare, rng};
use foveal::kernels::{Launch, Variant};
use foveal::shader::Composed;
use foveal::{Caps, Context, Dtype};

/// A variant that the suite runs on one of a kernel's cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// Number of the case.
    pub case: usize,
    /// It is what a GPU of the adapter's capabilities would be given, and not the adapter's own.
    pub as_gpu: bool,
    /// How it is compiled.
    pub variant: Variant,
}

/// What the suite runs on a device: all variants of its own, and what GPUs of its capabilities would be given beside
/// them, which is the first and the last case in every storage type and all others in f32.
pub fn selected(cases: &[Box<dyn AnyKernel>], caps: &Caps) -> Vec<Selected> {
    let as_gpu = |cores| caps.clone().with(|gpu| (gpu.class, gpu.cores) = (AdapterClass::Discrete, cores));
    let gpus = [Cores::Other, Cores::Apple].map(as_gpu);
    let mut found = Vec::new();
    for (case, kernel) in cases.iter().enumerate() {
        let own = kernel.variants(caps);
        let ends = case == 0 || case + 1 == cases.len();
        let kept = |v: &Variant| ends || v.elem == Dtype::F32;
        let mut others: Vec<Variant> = Vec::new();
        for variant in gpus.iter().flat_map(|gpu| kernel.variants(gpu)) {
            if kept(&variant) && !own.contains(&variant) && !others.contains(&variant) {
                others.push(variant);
            }
        }
        let of = |as_gpu| move |variant| Selected { case, as_gpu, variant };
        found.extend(own.into_iter().map(of(false)));
        found.extend(others.into_iter().map(of(true)));
    }
    found
}

/// Whether the environment asks for a part of the long suites, `FOVEAL_SUITE=part`: drivers compile for minutes what is run
/// for a moment, and what narrow storage adds to a case is the same few loads and stores.
pub fn part_is_asked_for() -> bool {
    std::env::var_os("FOVEAL_SUITE").is_some_and(|value| value == "part")
}

/// Whether a run belongs to that part: all of the device's own in f32, what a GPU would be given of every fourth case and of
/// those with ways for few rows or keys, which few cases have, and what narrow storage has of every fourth; of the last case
/// each.
pub fn is_in_part(run: &Selected, cases: usize) -> bool {
    let f32 = run.variant.elem == Dtype::F32 && run.variant.weight == Dtype::F32;
    let one_in = match (f32, run.as_gpu) {
        (true, false) => 1,
        (true, true) if ["few", "held"].contains(&run.variant.way) => 1,
        (true, true) => 4,
        (false, false) => 4,
        (false, true) => return false,
    };
    run.case.is_multiple_of(one_in) || run.case + 1 == cases
}

/// Runs and compares; the error text says where the numbers part and how to run the case again. A second run in many small
/// dispatches has to give the same bits.
pub fn check(context: &Context, kernel: &dyn AnyKernel, variant: &Variant) -> Result<(), String> {
    let problem = Problem::of(kernel, variant);
    let run = |launch: Option<&Launch>| {
        let changed = Changed { text: None, launch };
        foveal::block_on(execute_changed(context, kernel, variant, changed, &problem.inputs))
            .map_err(|e| e.to_string())
    };
    let written = run(None)?;
    let mut faults = judged(kernel, variant, &written, &problem).map_err(|e| e.to_string())?.faults;
    if let Some(few) = in_few_workgroups(kernel, context.caps(), variant) {
        let bits = |w: &[Written]| w.iter().flat_map(|w| &w.found).map(|v| v.to_bits()).collect::<Vec<_>>();
        let (one, other) = (bits(&written), bits(&run(Some(&few))?));
        let differ = one.iter().zip(&other).filter(|(a, b)| a != b).count();
        if differ > 0 {
            faults.push(format!("{differ} of {} elements differ in small dispatches: {few:?}", one.len()));
        }
    }
    if faults.is_empty() {
        faults = strays::check(context, kernel, variant, Changed::default())?;
    }
    if faults.is_empty() {
        faults = magnitudes::check(context, kernel, variant, Changed::default())?;
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nagain: {}", faults.join("\n"), again(kernel)))
}

/// Runs the variant, or `text` in place of its own, and compares; an error says why it could not be run.
pub fn measure(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    text: Option<&Composed>,
) -> Result<Outcome, String> {
    let trial = foveal::kernels::trial::trial(context, kernel, variant, text);
    foveal::block_on(trial).map_err(|e| e.to_string())
}

/// Runs a variant on given values of the read slots, in slot order, and returns what the written slots hold; writing past
/// the end of a tensor is an error.
pub fn execute(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    inputs: &[Vec<f32>],
) -> Result<Vec<Vec<f32>>, String> {
    let run = foveal::kernels::trial::execute(context, kernel, variant, Changed::default(), inputs);
    let written = foveal::block_on(run).map_err(|e| e.to_string())?;
    match written.iter().find(|w| w.past_end > 0) {
        Some(w) => Err(format!("wrote {} elements past the end", w.past_end)),
        None => Ok(written.into_iter().map(|w| w.found).collect()),
    }
}

/// The command that runs this case alone.
fn again(kernel: &dyn AnyKernel) -> String {
    format!("cargo test --profile checks --workspace --test numerics -- '{kernel}'")
}
