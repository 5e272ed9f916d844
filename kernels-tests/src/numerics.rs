//! Runs one variant of one kernel on one case and compares it with its reference.

use foveal::Context;
use foveal::kernels::Variant;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::trial::Changed;
pub use foveal::kernels::trial::{Outcome, compare, rng};
use foveal::shader::Composed;

/// Runs and compares; the error text says where the numbers part and how to run the case again.
pub fn check(context: &Context, kernel: &dyn AnyKernel, variant: &Variant) -> Result<(), String> {
    let outcome = measure(context, kernel, variant, None)?;
    if outcome.faults.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nagain: {}", outcome.faults.join("\n"), again(kernel)))
}

/// Runs the variant, or `text` in place of its own, and compares; an error says why it could not be run.
pub fn measure(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    text: Option<&Composed>,
) -> Result<Outcome, String> {
    let trial = foveal::kernels::trial::trial(context, kernel, variant, text);
    pollster::block_on(trial).map_err(|e| e.to_string())
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
    let written = pollster::block_on(run).map_err(|e| e.to_string())?;
    match written.iter().find(|w| w.past_end > 0) {
        Some(w) => Err(format!("wrote {} elements past the end", w.past_end)),
        None => Ok(written.into_iter().map(|w| w.found).collect()),
    }
}

/// The command that runs this case alone.
fn again(kernel: &dyn AnyKernel) -> String {
    format!("cargo test --release --workspace --test numerics -- '{kernel}'")
}
