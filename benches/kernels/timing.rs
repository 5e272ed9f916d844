//! Runs a case and times it: device time where the adapter has timestamps, CPU time where it is a CPU.

use foveal::block_on;
use foveal::gpu::{AdapterClass, Timing};
use foveal::kernels::registry::AnyKernel;
use foveal::kernels::{Element, Slot, Variant, Work};
use foveal::{Context, Dtype, Result, Tensor};
use std::time::Instant;

/// Processor seconds of which a tick is a twentieth.
const COUNTABLE: f64 = 0.2;

/// What was measured of one row.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Seconds of each run, ascending.
    pub(crate) seconds: Vec<f64>,
    /// Seconds of all processors for one run, where that is known and long enough to count.
    pub(crate) cpu_seconds: Option<f64>,
    /// The most bytes live meanwhile.
    pub(crate) peak: u64,
}

/// Runs a case once to compile and warm up, then `runs` times or until `limit` seconds are over.
pub(crate) fn measure(
    context: &Context,
    case: &dyn AnyKernel,
    variant: &Variant,
    runs: usize,
    limit: f64,
) -> Result<Sample> {
    context.reset_peak();
    let tensors = tensors(context, &case.slots(), case.stem(), variant)?;
    let tensors: Vec<_> = tensors.iter().collect();
    let once = || timed(context, || case.run(context, variant, &tensors));
    let start = Instant::now();
    if runs > 1 {
        once()?;
    }
    // Where the device is a CPU, runs go on until enough of its time is used to be read off a clock of 100 ticks a second.
    let software = context.caps().class == AdapterClass::Software && runs > 1;
    let before = if software { cpu_seconds() } else { None };
    let used = || before.zip(cpu_seconds()).map(|(before, now)| now - before);
    let countable = |used: &f64| *used >= COUNTABLE;
    let mut seconds = vec![once()?];
    while (seconds.len() < runs || used().is_some_and(|used| !countable(&used)))
        && start.elapsed().as_secs_f64() + seconds[0] < limit
    {
        seconds.push(once()?);
    }
    let cpu_seconds = used().filter(countable).map(|used| used / seconds.len() as f64);
    seconds.sort_by(f64::total_cmp);
    Ok(Sample { seconds, cpu_seconds, peak: context.memory().peak })
}

/// Seconds of one call, all its dispatches together.
pub(crate) fn timed(context: &Context, run: impl FnOnce() -> Result<()>) -> Result<f64> {
    block_on(context.finish())?;
    let device = context.set_timing(true);
    let start = Instant::now();
    run()?;
    if device {
        let timings: Vec<Timing> = block_on(context.take_timings())?;
        context.set_timing(false);
        Ok(timings.iter().map(|t| t.seconds).sum())
    } else {
        block_on(context.finish())?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// Seconds that this process has spent on all processors together; Linux only.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold spaces; user and system time are numbers 12 and 13 after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Work of one call under a variant. Kernels state the bytes of f32; a narrower storage type moves less.
pub(crate) fn work(case: &dyn AnyKernel, variant: &Variant) -> Work {
    let slots = case.slots();
    let bytes = |v: &Variant| slots.iter().map(|s| (s.shape.len() * s.dtype(v).size()) as f64).sum::<f64>();
    let work = case.work();
    Work { bytes: work.bytes * bytes(variant) / bytes(&Variant::new(Dtype::F32, 1)).max(1.0), ..work }
}

/// A tensor for every slot. What is an index is below every table's length; what is always f32 is in 0..1.
pub(crate) fn tensors(
    context: &Context,
    slots: &[Slot],
    stem: &str,
    variant: &Variant,
) -> Result<Vec<Tensor>> {
    let rows =
        slots.iter().filter(|s| s.element == Element::Elem).filter_map(|s| s.shape.dims().first()).min();
    let rows = rows.copied().unwrap_or(1).max(1) as u32;
    let mut tensors = Vec::with_capacity(slots.len());
    // The work of this one counts four selected tokens: as many of its weights are not zero.
    let sparse = |slot: &Slot| stem == "attention_columns" && slot.name == "tables";
    for slot in slots {
        tensors.push(if sparse(slot) {
            let weights: Vec<f32> =
                (0..slot.shape.len()).map(|i| f32::from(u8::from(i % 256 == 7))).collect();
            Tensor::from_f32(context, slot.shape.clone(), &weights)?
        } else {
            filled(context, slot, variant, rows)?
        });
    }
    Ok(tensors)
}

fn filled(context: &Context, slot: &Slot, variant: &Variant, rows: u32) -> Result<Tensor> {
    // Scrambles the bits of an index, so that neighbours differ.
    let noise =
        |i: u32| (i ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b).rotate_left(13).wrapping_mul(0xc2b2_ae35) >> 8;
    let unit = |i: u32| noise(i) as f32 / (1 << 24) as f32;
    let n = slot.shape.len() as u32;
    match slot.element {
        Element::U32 => Tensor::from_u32(
            context,
            slot.shape.clone(),
            &(0..n).map(|i| noise(i) % rows).collect::<Vec<_>>(),
        ),
        Element::F32 => Tensor::from_f32(context, slot.shape.clone(), &(0..n).map(unit).collect::<Vec<_>>()),
        Element::Elem | Element::Weight => {
            let values: Vec<_> = (0..n).map(|i| 2.0 * unit(i) - 1.0).collect();
            Tensor::from_f32_as(context, slot.shape.clone(), &values, slot.dtype(variant))
        }
    }
}
