//! Numbers that are none: a NaN or an infinity in an input has to show in whatever depends on it, and nowhere else, such as
//! behind a mask. Which that is, the kernel's reference says.

use foveal::gpu::Access;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::trial::{Changed, Problem, execute, judged, rng};
use foveal::kernels::{Element, Variant};
use foveal::{Context, Dtype};
use rand_pcg::rand_core::Rng;

/// A reference of more operations is left out: each stray asks for one of its own.
pub(crate) const FEW_FLOPS: f64 = 3e6;

/// Plants strays in each input, one at a time, and compares. Inputs that follow from others are computed anew.
///
/// # Errors
/// Why a case could not be run.
pub fn check(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    changed: Changed<'_>,
) -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    // Probes ask the driver, and of no such numbers. Storage types differ in what matrices make of them only.
    let asked = (variant.elem == Dtype::F32 || variant.matrices) && !kernel.stem().starts_with("probe_");
    if kernel.work().flops > FEW_FLOPS || !asked {
        return Ok(faults);
    }
    let mut places = rng(&format!("strays of {kernel}"));
    let plain = kernel.inputs(&mut rng(&kernel.to_string()));
    let slots = kernel.slots();
    let read = slots.iter().filter(|slot| slot.access != Access::Write);
    for (n, slot) in read.enumerate() {
        // What the host computes and checks holds numbers.
        if slot.element == Element::U32 || slot.name == "tables" || slot.shape.is_empty() {
            continue;
        }
        let signed = if n % 2 == 0 { f64::INFINITY } else { f64::NEG_INFINITY };
        // Statistics are other kernels' results, in which no infinity is.
        let signed = if slot.name.starts_with("stats") { f64::NAN } else { signed };
        for stray in [f64::NAN, f64::NAN, signed] {
            let mut inputs = plain.clone();
            let at = (places.next_u64() % slot.shape.len() as u64) as usize;
            inputs[n].data[at] = stray;
            kernel.follow(&mut inputs);
            if inputs[n].data[at].total_cmp(&stray).is_ne() {
                // It follows from others itself.
                continue;
            }
            let mut problem = Problem::with(kernel, variant, inputs);
            let run = execute(context, kernel, variant, changed, &problem.inputs);
            let written = foveal::block_on(run).map_err(|e| e.to_string())?;
            if stray.is_infinite() {
                // Whether infinities cancel is a matter of rounding and of the order of sums.
                for (want, found) in problem.expected.iter_mut().zip(&written) {
                    let pairs = want.data.iter_mut().zip(&found.found);
                    let open = |(want, found): &(&mut f64, &f32)| {
                        !want.is_finite() && !found.is_finite() && (want.is_nan() || found.is_nan())
                    };
                    for (want, found) in pairs.filter(open) {
                        *want = f64::from(*found);
                    }
                }
            }
            let outcome = judged(kernel, variant, &written, &problem).map_err(|e| e.to_string())?;
            let place = format!("{stray} at {at} of `{}` {}", slot.name, slot.shape);
            faults.extend(outcome.faults.into_iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    Ok(faults)
}
