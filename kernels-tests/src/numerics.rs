//! Runs one variant of one kernel on one case and compares it with its reference.

use foveal::gpu::Access;
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::{Slot, Tolerance, Variant};
use foveal::tensor::Array;
use foveal::{Context, Dtype, Tensor};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Elements after each output that must stay untouched.
const GUARD: usize = 64;

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

/// A tensor with a guard band of NaN behind it, and the whole it is a part of.
fn guarded(context: &Context, slot: &Slot, elem: Dtype, values: &[f32]) -> Result<(Tensor, Tensor), String> {
    let dtype = slot.dtype(elem);
    let len = slot.shape.len();
    let mut all = values.to_vec();
    all.resize(len + GUARD, f32::NAN);
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

/// Runs a variant on given values of the read slots, in slot order, and returns what the written slots hold. Written
/// memory starts as NaN; writing past the end of a tensor is an error.
pub fn execute(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    inputs: &[Vec<f32>],
) -> Result<Vec<Vec<f32>>, String> {
    let slots = kernel.slots();
    if read_slots(&slots).count() != inputs.len() {
        return Err(format!("{} inputs for {} read slots", inputs.len(), read_slots(&slots).count()));
    }
    let mut given = inputs.iter();
    let mut tensors = Vec::new();
    for slot in &slots {
        let values = match slot.access {
            Access::Write => vec![f32::NAN; slot.shape.len()],
            _ => given.next().cloned().unwrap_or_default(),
        };
        if values.len() != slot.shape.len() {
            return Err(format!("`{}`: {} values for {}", slot.name, values.len(), slot.shape));
        }
        tensors.push(guarded(context, slot, variant.elem, &values)?);
    }
    let parts: Vec<&Tensor> = tensors.iter().map(|(part, _)| part).collect();
    kernel.run(context, variant, &parts).map_err(|e| e.to_string())?;
    let mut written = Vec::new();
    for (slot, (_, whole)) in slots.iter().zip(&tensors).filter(|(s, _)| s.access != Access::Read) {
        let mut found = pollster::block_on(whole.to_vec()).map_err(|e| e.to_string())?;
        let guard = found.split_off(slot.shape.len());
        if let Some(at) = guard.iter().position(|v| !v.is_nan()) {
            return Err(format!("`{}`: wrote {} elements past its end", slot.name, at + 1));
        }
        written.push(found);
    }
    Ok(written)
}

/// Runs and compares; the error text says where the numbers part and how to run the case again.
pub fn check(context: &Context, kernel: &dyn AnyKernel, variant: &Variant) -> Result<(), String> {
    let inputs = rounded_inputs(kernel, variant.elem);
    let expected = kernel.reference(&inputs);
    let values: Vec<Vec<f32>> = inputs.iter().map(Array::to_f32).collect();
    let found = execute(context, kernel, variant, &values)?;
    let (slots, tolerances) = (kernel.slots(), kernel.tolerance(variant.elem));
    if found.len() != expected.len() || found.len() != tolerances.len() {
        return Err(format!(
            "{} written slots, {} references, {} tolerances",
            found.len(),
            expected.len(),
            tolerances.len()
        ));
    }
    let written = slots.iter().filter(|s| s.access != Access::Read);
    for (((slot, found), want), tolerance) in written.zip(&found).zip(&expected).zip(&tolerances) {
        if want.len() != found.len() {
            return Err(format!(
                "`{}`: reference has {} values, kernel {}",
                slot.name,
                want.len(),
                found.len()
            ));
        }
        compare(slot.name, found, want, tolerance).map_err(|e| format!("{e}\nagain: {}", again(kernel)))?;
    }
    Ok(())
}

/// The command that runs this case alone.
fn again(kernel: &dyn AnyKernel) -> String {
    format!("cargo test --release --workspace --test numerics -- '{kernel}'")
}

/// `|found − expected| <= atol + rtol·|expected|` for every element; NaN fails.
pub fn compare(name: &str, found: &[f32], expected: &Array, t: &Tolerance) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut worst = (0usize, -1.0f64);
    for (i, (&f, &e)) in found.iter().zip(&expected.data).enumerate() {
        let error = (f64::from(f) - e).abs();
        let bound = t.atol + t.rtol * e.abs();
        // Written so that NaN fails.
        if !(error <= bound) {
            wrong.push(i);
            let excess = if error.is_nan() { f64::INFINITY } else { error / bound };
            if excess > worst.1 {
                worst = (i, excess);
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
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
