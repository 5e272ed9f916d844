//! Runs one variant of one kernel on one case and compares it with its reference.

use foveal::gpu::Access;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::{Slot, Tolerance, Variant};
use foveal::shader::Composed;
use foveal::tensor::Array;
use foveal::{Context, Dtype, Tensor};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Elements after each output that must stay untouched.
const GUARD: usize = 64;
/// What they hold: a number, so that a NaN written there shows too; every storage type has it exactly.
const UNTOUCHED: f32 = -77.0;

/// A generator that depends on the case's name alone, so that a filtered run sees the same numbers.
pub fn rng(case: &str) -> Pcg64 {
    let mut hasher = DefaultHasher::new();
    case.hash(&mut hasher);
    Pcg64::seed_from_u64(hasher.finish())
}

/// The kernel's inputs, rounded to what the variant stores.
pub fn rounded_inputs(kernel: &dyn AnyKernel, elem: Dtype) -> Vec<Array> {
    let mut inputs = kernel.inputs(&mut rng(&kernel.to_string()));
    let slots = kernel.slots();
    for (slot, input) in read_slots(&slots).zip(&mut inputs) {
        for v in &mut input.data {
            *v = slot.dtype(elem).round(*v);
        }
    }
    inputs
}

fn read_slots(slots: &[Slot]) -> impl Iterator<Item = &Slot> {
    slots.iter().filter(|s| s.access != Access::Write)
}

/// A tensor with a guard band behind it, and the whole it is a part of. Behind what is only read lies NaN, which spoils
/// what is computed from it.
fn guarded(context: &Context, slot: &Slot, elem: Dtype, values: &[f32]) -> Result<(Tensor, Tensor), String> {
    let dtype = slot.dtype(elem);
    let len = slot.shape.len();
    let mut all = values.to_vec();
    all.resize(len + GUARD, if slot.access == Access::Read { f32::NAN } else { UNTOUCHED });
    let whole = match dtype {
        Dtype::U32 => {
            let ids: Vec<u32> = all.iter().map(|&v| v as u32).collect();
            Tensor::from_u32(context, [len + GUARD], &ids)
        }
        _ => Tensor::from_f32_as(context, [len + GUARD], &all, dtype),
    }
    .map_err(|e| e.to_string())?;
    let part = whole.narrow(0, len).and_then(|t| t.reshape(slot.shape.clone())).map_err(|e| e.to_string())?;
    Ok((part, whole))
}

/// How a run's outputs compare with the reference.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The largest error as a share of its bound; infinite where an output is not a number.
    pub worst: f64,
    /// What is wrong, one text an output.
    pub faults: Vec<String>,
}

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
    let inputs = rounded_inputs(kernel, variant.elem);
    let expected = kernel.reference(&inputs);
    let slots = kernel.slots();
    if read_slots(&slots).count() != inputs.len() {
        return Err(format!("{} inputs for {} read slots", inputs.len(), read_slots(&slots).count()));
    }
    let mut given = inputs.iter();
    let mut tensors = Vec::new();
    for slot in &slots {
        let values = match slot.access {
            Access::Write => vec![f32::NAN; slot.shape.len()],
            _ => given.next().map(Array::to_f32).unwrap_or_default(),
        };
        tensors.push(guarded(context, slot, variant.elem, &values)?);
    }
    let parts: Vec<&Tensor> = tensors.iter().map(|(part, _)| part).collect();
    let run = match text {
        Some(text) => kernel.run_composed(context, variant, text, &parts),
        None => kernel.run(context, variant, &parts),
    };
    run.map_err(|e| e.to_string())?;

    let tolerances = kernel.tolerance(variant.elem);
    let outputs = slots.iter().zip(&tensors).filter(|(s, _)| s.access != Access::Read);
    let outputs: Vec<_> = outputs.collect();
    if outputs.len() != expected.len() || outputs.len() != tolerances.len() {
        return Err(format!(
            "{} written slots, {} references, {} tolerances",
            outputs.len(),
            expected.len(),
            tolerances.len()
        ));
    }
    let mut outcome = Outcome::default();
    for (((slot, (_, whole)), want), tolerance) in outputs.into_iter().zip(&expected).zip(&tolerances) {
        let found = pollster::block_on(whole.to_vec()).map_err(|e| e.to_string())?;
        let (found, guard) = found.split_at(slot.shape.len());
        if want.len() != found.len() {
            return Err(format!(
                "`{}`: reference has {} values, kernel {}",
                slot.name,
                want.len(),
                found.len()
            ));
        }
        if let Some(at) = guard.iter().position(|v| *v != UNTOUCHED) {
            outcome.faults.push(format!("`{}`: wrote {} elements past its end", slot.name, at + 1));
        }
        outcome.worst = outcome.worst.max(worst(found, want, tolerance).1);
        outcome.faults.extend(compare(slot.name, found, want, tolerance).err());
    }
    Ok(outcome)
}

/// The command that runs this case alone.
fn again(kernel: &dyn AnyKernel) -> String {
    format!("cargo test --release --workspace --test numerics -- '{kernel}'")
}

/// An element's error as a share of its bound `atol + rtol·|expected|`; infinite for NaN.
fn excess(found: f32, expected: f64, t: &Tolerance) -> f64 {
    let error = (f64::from(found) - expected).abs();
    let share = error / (t.atol + t.rtol * expected.abs());
    if error == 0.0 {
        0.0
    } else if share.is_nan() {
        f64::INFINITY
    } else {
        share
    }
}

/// Place and size of the largest error as a share of its bound.
fn worst(found: &[f32], expected: &Array, t: &Tolerance) -> (usize, f64) {
    let shares = found.iter().zip(&expected.data).map(|(&f, &e)| excess(f, e, t)).enumerate();
    shares.fold((0, 0.0), |worst, one| if one.1 > worst.1 { one } else { worst })
}

/// `|found − expected| <= atol + rtol·|expected|` for every element; NaN fails.
pub fn compare(name: &str, found: &[f32], expected: &Array, t: &Tolerance) -> Result<(), String> {
    let pairs = found.iter().zip(&expected.data).enumerate();
    let wrong: Vec<usize> =
        pairs.filter(|(_, (f, e))| !(excess(**f, **e, t) <= 1.0)).map(|(i, _)| i).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let worst = worst(found, expected, t);
    let mut text = format!(
        "`{name}` {}: {} of {} wrong, worst {:.1}× the bound at {} ({})",
        expected.shape,
        wrong.len(),
        found.len(),
        worst.1,
        worst.0,
        t.reason
    );
    for &i in wrong.iter().take(5).chain([&worst.0]) {
        let _ = write!(text, "\n  [{i}] found {} expected {}", found[i], expected.data[i]);
    }
    Err(text)
}

#[cfg(test)]
mod tests {
    use super::{compare, worst};
    use foveal::kernels::Tolerance;
    use foveal::tensor::Array;

    #[test]
    fn an_error_is_measured_against_its_bound() {
        let t = Tolerance { atol: 0.5, rtol: 0.25, reason: "a test" };
        let expected = Array { shape: [3].into(), data: vec![2.0, -2.0, 0.0] };
        assert_eq!(worst(&[2.5, -2.0, 0.0], &expected, &t), (0, 0.5));
        assert!(compare("y", &[3.0, -2.0, -0.5], &expected, &t).is_ok());
        assert!(compare("y", &[3.0, -3.25, 0.0], &expected, &t).is_err_and(|e| e.contains("1 of 3 wrong")));
        for broken in [f32::NAN, f32::INFINITY] {
            assert!(worst(&[2.0, broken, 0.0], &expected, &t) == (1, f64::INFINITY));
            assert!(compare("y", &[2.0, broken, 0.0], &expected, &t).is_err());
        }
    }

    #[test]
    fn a_bound_of_zero_asks_for_the_same_number() {
        let t = Tolerance { atol: 0.0, rtol: 0.0, reason: "a test" };
        let expected = Array { shape: [1].into(), data: vec![1.0] };
        assert!(compare("y", &[1.0], &expected, &t).is_ok());
        assert!(compare("y", &[1.0 + 1e-6], &expected, &t).is_err());
    }
}
