//! One case of one variant, run on the device and compared with its reference in f64. The numerical tests walk the whole
//! registry with this, a [`Context::self_test`] a small part of it.

use super::any_kernel::AnyKernel;
use super::contract::{Kernel, Launch, Slot, Variant};
use super::probe::ProbeBounds;
use super::verified::Tolerance;
use crate::gpu::{Access, Caps, Context};
use crate::shader::Composed;
use crate::tensor::Array;
use crate::{Dtype, Error, Result, Tensor};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Elements after each tensor: behind what is written they must stay untouched. They belong to the binding, since drivers
/// drop writes past one and read zeros there; a few tiles of the widest kernel fit in.
const GUARD: usize = 4096;
/// What they hold: a number, so that a NaN written there shows too; every storage type has it exactly.
const UNTOUCHED: f32 = -77.0;
/// The same of integers: f32 holds it, and no case has such an index.
const UNTOUCHED_INDEX: u32 = 0xba_dbad;

/// A generator that depends on the case's name alone, so that a filtered run sees the same numbers.
pub fn rng(case: &str) -> Pcg64 {
    let mut hasher = DefaultHasher::new();
    case.hash(&mut hasher);
    Pcg64::seed_from_u64(hasher.finish())
}

fn read_slots(slots: &[Slot]) -> impl Iterator<Item = &Slot> {
    slots.iter().filter(|s| s.access != Access::Write)
}

/// A tensor whose binding goes on with a guard band, as far as `slack` says, and the whole it is a part of. Behind what
/// is only read lies NaN, which spoils what is computed from it.
fn guarded(
    context: &Context,
    slot: &Slot,
    variant: &Variant,
    values: &[f32],
    slack: usize,
) -> Result<(Tensor, Tensor)> {
    let dtype = slot.dtype(variant);
    let len = slot.shape.len();
    let mut all = values.to_vec();
    all.resize(len + GUARD, if slot.access == Access::Read { f32::NAN } else { UNTOUCHED });
    let whole = match dtype {
        Dtype::U32 => {
            // What is not written yet is no index either.
            let id = |&v: &f32| match v {
                UNTOUCHED => UNTOUCHED_INDEX,
                v if v.is_nan() && slot.access != Access::Read => u32::MAX,
                v => v as u32,
            };
            let ids: Vec<u32> = all.iter().map(id).collect();
            Tensor::from_u32(context, [len + GUARD], &ids)?
        }
        _ => Tensor::from_f32_as(context, [len + GUARD], &all, dtype)?,
    };
    Ok((whole.narrow(0, len)?.reshape(slot.shape.clone())?.with_slack(slack), whole))
}

/// What a run left in a written slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its elements.
    pub found: Vec<f32>,
    /// Elements up to the last that was written behind it.
    pub past_end: usize,
}

/// What runs in place of a variant's own text and launch; by default nothing does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changed<'a> {
    /// See [`super::run_composed`].
    pub text: Option<&'a Composed>,
    /// See [`AnyKernel::run_launched`].
    pub launch: Option<&'a Launch>,
}

/// The launch of a variant in many small dispatches, or in several rows of workgroups, as of a problem too large for one: at
/// most three along an axis, or a sixteenth. None where that changes nothing.
pub fn in_few_workgroups(kernel: &dyn AnyKernel, caps: &Caps, variant: &Variant) -> Option<Launch> {
    let own = kernel.launch(caps, variant);
    let most = own.workgroups.iter().map(|n| n.div_ceil(16)).max().unwrap_or(0).max(3);
    let mut few = kernel.launch(&Caps { max_workgroups: most, ..caps.clone() }, variant);
    if let Some(cut) = few.cut.as_mut().filter(|_| few.workgroups.iter().any(|&n| n > most)) {
        cut.most = most;
    }
    (few != own).then_some(few)
}

/// Runs the variant, or what takes its place, on values of the read slots, in slot order. Written memory begins as NaN and
/// has a guard band behind it, so that what is not written, or written past the end, shows.
///
/// # Errors
/// Why it could not be run.
pub async fn execute(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    changed: Changed<'_>,
    inputs: &[Vec<f32>],
) -> Result<Vec<Written>> {
    let slots = kernel.slots();
    if read_slots(&slots).count() != inputs.len() {
        let reason = format!("{} inputs for {} read slots", inputs.len(), read_slots(&slots).count());
        return Err(Error::problem(kernel.stem(), reason));
    }
    // One kernel asks what a device does at the end of a binding, so its own end with the tensor.
    let slack = if kernel.stem() == ProbeBounds::STEM { 0 } else { GUARD };
    let mut given = inputs.iter();
    let mut tensors = Vec::with_capacity(slots.len());
    for slot in &slots {
        let values = match slot.access {
            Access::Write => vec![f32::NAN; slot.shape.len()],
            _ => given.next().cloned().unwrap_or_default(),
        };
        if values.len() != slot.shape.len() {
            let reason = format!("`{}`: {} values for {}", slot.name, values.len(), slot.shape);
            return Err(Error::problem(kernel.stem(), reason));
        }
        tensors.push(guarded(context, slot, variant, &values, slack)?);
    }
    let parts: Vec<&Tensor> = tensors.iter().map(|(part, _)| part).collect();
    match (changed.launch, changed.text) {
        (Some(launch), text) => kernel.run_launched(context, variant, text, launch, &parts)?,
        (None, Some(text)) => kernel.run_composed(context, variant, text, &parts)?,
        (None, None) => kernel.run(context, variant, &parts)?,
    }
    let mut written = Vec::new();
    for (slot, (_, whole)) in slots.iter().zip(&tensors).filter(|(s, _)| s.access != Access::Read) {
        let (mut found, untouched) = match whole.dtype() {
            Dtype::U32 => {
                (whole.to_u32().await?.into_iter().map(|id| id as f32).collect(), UNTOUCHED_INDEX as f32)
            }
            _ => (whole.to_vec().await?, UNTOUCHED),
        };
        let guard = found.split_off(slot.shape.len().min(found.len()));
        let past_end = guard.iter().rposition(|v| *v != untouched).map_or(0, |at| at + 1);
        written.push(Written { found, past_end });
    }
    Ok(written)
}

/// How a run's outputs compare with the reference.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The largest error as a share of its bound; infinite where an output is not a number.
    pub worst: f64,
    /// What is wrong, one text an output.
    pub faults: Vec<String>,
}

/// A case's own inputs and what its reference makes of them, for variants of the same storage types: worth keeping where
/// many runs meet the same reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Values of the read slots, in slot order, rounded to what is stored.
    pub inputs: Vec<Vec<f32>>,
    /// Values of the written slots.
    pub expected: Vec<Array>,
}

impl Problem {
    /// The kernel's own, for what the variant stores.
    pub fn of(kernel: &dyn AnyKernel, variant: &Variant) -> Self {
        Self::with(kernel, variant, kernel.inputs(&mut rng(&kernel.to_string())))
    }

    /// With these inputs in place of the kernel's own.
    pub fn with(kernel: &dyn AnyKernel, variant: &Variant, mut inputs: Vec<Array>) -> Self {
        let slots = kernel.slots();
        for (slot, input) in read_slots(&slots).zip(&mut inputs) {
            for v in &mut input.data {
                *v = slot.dtype(variant).round(*v);
            }
        }
        let expected = kernel.reference(&inputs);
        Self { inputs: inputs.iter().map(Array::to_f32).collect(), expected }
    }
}

/// Runs the variant, or `text` in place of its own, on the kernel's own inputs and compares every output.
///
/// # Errors
/// Why it could not be run. Wrong numbers are faults of the outcome, not errors.
pub async fn trial(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    text: Option<&Composed>,
) -> Result<Outcome> {
    let changed = Changed { text, launch: None };
    compared(context, kernel, variant, changed, &Problem::of(kernel, variant)).await
}

/// The same for a problem that is at hand, with a launch of the caller's where `changed` has one.
///
/// # Errors
/// Why it could not be run. Wrong numbers are faults of the outcome, not errors.
pub async fn compared(
    context: &Context,
    kernel: &dyn AnyKernel,
    variant: &Variant,
    changed: Changed<'_>,
    problem: &Problem,
) -> Result<Outcome> {
    let written = execute(context, kernel, variant, changed, &problem.inputs).await?;
    judged(kernel, variant, &written, problem)
}

/// What a run wrote, compared with what was expected of it.
///
/// # Errors
/// Where the two are not of one kind.
pub fn judged(
    kernel: &dyn AnyKernel,
    variant: &Variant,
    written: &[Written],
    Problem { expected, .. }: &Problem,
) -> Result<Outcome> {
    let (slots, tolerances) = (kernel.slots(), kernel.tolerance(variant.elem));
    if written.len() != expected.len() || written.len() != tolerances.len() {
        let (slots, expected, tolerances) = (written.len(), expected.len(), tolerances.len());
        let reason = format!("{slots} written slots, {expected} references, {tolerances} tolerances");
        return Err(Error::problem(kernel.stem(), reason));
    }
    let mut outcome = Outcome::default();
    let names = slots.iter().filter(|s| s.access != Access::Read).map(|s| s.name);
    for (((name, Written { found, past_end }), want), tolerance) in
        names.zip(written).zip(expected).zip(&tolerances)
    {
        if want.len() != found.len() {
            let reason = format!("`{name}`: reference has {} values, kernel {}", want.len(), found.len());
            return Err(Error::problem(kernel.stem(), reason));
        }
        if *past_end > 0 {
            outcome.faults.push(format!("`{name}`: wrote {past_end} elements past its end"));
        }
        outcome.worst = outcome.worst.max(worst(found, want, tolerance).1);
        outcome.faults.extend(compare(name, found, want, tolerance).err());
    }
    Ok(outcome)
}

/// An element's error as a share of its bound `atol + rtol·|expected|`. Where a NaN or an infinity is expected the same one
/// has to be there, and elsewhere none.
fn excess(found: f32, expected: f64, t: &Tolerance) -> f64 {
    // What f32 cannot hold is an infinity in it.
    let class = expected as f32;
    if !class.is_finite() {
        return if found == class || (found.is_nan() && class.is_nan()) { 0.0 } else { f64::INFINITY };
    }
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

/// `|found − expected| <= atol + rtol·|expected|` for every element, and a NaN or an infinity exactly where one is expected.
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
        if let (Some(found), Some(expected)) = (found.get(i), expected.data.get(i)) {
            // Writing to a string does not fail.
            let _ = write!(text, "\n  [{i}] found {found} expected {expected}");
        }
    }
    Err(text)
}

#[cfg(test)]
mod tests {
    use super::{compare, worst};
    use crate::kernels::verified::Tolerance;
    use crate::tensor::Array;

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
    fn nan_and_infinities_are_compared_by_class() {
        let t = Tolerance { atol: 0.5, rtol: 0.25, reason: "a test" };
        let expected = Array { shape: [3].into(), data: vec![f64::NAN, f64::NEG_INFINITY, 1e39] };
        assert!(compare("y", &[f32::NAN, f32::NEG_INFINITY, f32::INFINITY], &expected, &t).is_ok());
        for (at, other) in
            [(0, 0.0), (0, f32::INFINITY), (1, f32::INFINITY), (1, -3e38), (1, f32::NAN), (2, 3e38)]
        {
            let mut found = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY];
            found[at] = other;
            assert!(compare("y", &found, &expected, &t).is_err(), "{other} at {at}");
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
