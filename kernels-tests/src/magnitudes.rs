//! Rows of every size: what a type's exponents can hold must come out with as many digits as if it were of order one, whatever a
//! way makes of it before it multiplies. Which results are right, the kernel's reference says.

use crate::strays::FEW_FLOPS;
use foveal::gpu::Access;
use foveal::kernels::Variant;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::trial::{Changed, Problem, execute, rng};
use foveal::tensor::Array;
use foveal::{Context, Dtype};
use rand_pcg::rand_core::Rng;

/// Of the largest result of a row, what an error may be: roundings of bf16 to eight bits.
const SHARE: f64 = 0.04;

/// Scales the rows of a problem's operands by powers of two and compares.
///
/// # Errors
/// Why a case could not be run.
pub fn check(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    changed: Changed<'_>,
) -> Result<Vec<String>, String> {
    let multiplies = ["attention", "attention_backward_dq", "attention_backward_dkv", "matmul"];
    let asked = variant.elem == Dtype::Bf16 && multiplies.contains(&kernel.stem());
    if kernel.work().flops > FEW_FLOPS || !asked {
        return Ok(Vec::new());
    }
    let mut exponents = rng(&format!("magnitudes of {kernel}"));
    let mut inputs = kernel.inputs(&mut rng(&kernel.to_string()));
    let slots = kernel.slots();
    let read = slots.iter().filter(|slot| slot.access != Access::Write);
    for (slot, input) in read.zip(&mut inputs) {
        let width = slot.shape.dims().last().copied().unwrap_or(1).max(1);
        let forward = kernel.stem() == "attention";
        for row in input.data.chunks_mut(width) {
            let any = (exponents.next_u64() % 49) as i32 - 24;
            let (exponent, growth) = match (kernel.stem(), slot.name) {
                // Scores stay what they were.
                (_, "q") => (40, 0),
                (_, "k") => (-40, 0),
                (_, "v") if forward => (any, 0),
                // What is multiplied by gradients of the output: a row that outweighed others would cancel with itself.
                (_, "v") => (60, 0),
                (_, "d_o") => (any / 3, 0),
                // Late inputs of a product outgrow the first.
                ("matmul", "x") => (any, 30),
                ("matmul", "w") => (-30, 0),
                _ => (0, 0),
            };
            for (n, v) in row.iter_mut().enumerate() {
                *v *= 2f64.powi(exponent + if 2 * n > width { growth } else { 0 });
            }
        }
    }
    kernel.follow(&mut inputs);
    let problem = Problem::with(kernel, variant, inputs);
    let run = execute(context, kernel, variant, changed, &problem.inputs);
    let written = foveal::block_on(run).map_err(|e| e.to_string())?;
    let names = slots.iter().filter(|slot| slot.access != Access::Read).map(|slot| slot.name);
    let pairs = names.zip(&written).zip(&problem.expected);
    let gradients = kernel.stem().contains("backward");
    // Statistics are as good as scores, which are those of the plain problem.
    Ok(pairs
        .filter(|((name, _), _)| *name != "stats")
        .filter_map(|((name, written), want)| compare(name, gradients, &written.found, want))
        .collect())
}

/// The first row with an error beyond its share of the row's largest result.
fn compare(name: &str, gradients: bool, found: &[f32], want: &Array) -> Option<String> {
    let width = want.shape.dims().last().copied().unwrap_or(1).max(1);
    let rows = found.chunks(width).zip(want.data.chunks(width)).enumerate();
    for (row, (found, want)) in rows {
        let largest = want.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        // A row that sees one key: its gradient is 0 as a difference of two numbers that f32 rounds.
        if gradients && largest == 0.0 {
            continue;
        }
        for (n, (&found, &want)) in found.iter().zip(want).enumerate() {
            let error = (f64::from(found) - want).abs();
            if !(error <= SHARE * largest) {
                return Some(format!(
                    "rows of many magnitudes: `{name}` row {row}, {n}: found {found:e} expected {want:e}, of a row up to \
                     {largest:e}"
                ));
            }
        }
    }
    None
}
