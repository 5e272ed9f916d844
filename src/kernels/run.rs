//! From a problem and its tensors to a recorded dispatch.

use super::contract::{Element, Kernel, Launch, Variant};
use crate::gpu::{Access, Binding, Context, Dispatch, Later, PipelineKey, PipelineSource};
use crate::shader::{Composed, Source, compose};
use crate::{Caps, Dtype, Error, Result, Tensor, wgsl};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const PARAMS_IMMEDIATE: Source = wgsl!("shared/params.immediate.wgsl");
const STORE_FLOAT: Source = wgsl!("shared/store.float.wgsl");
const STORE_BF16: Source = wgsl!("shared/store.bf16.wgsl");
const PARAMS_UNIFORM: Source = wgsl!("shared/params.uniform.wgsl");

/// Runs the best variant for the tensors' storage type. `tensors` holds every slot, in order.
///
/// # Errors
/// [`Error::Problem`] for sizes and options that the kernel does not accept; [`Error::Shape`], [`Error::Dtype`] and
/// [`Error::Context`] for a tensor of another size, storage type or context; [`Error::Unsupported`] for what the device
/// or the kernel lacks; [`Error::Lost`] for values that were never computed; those of the device,
/// [`Error::OutOfMemory`] among them.
pub fn run<K: Kernel>(context: &Context, kernel: &K, tensors: &[&Tensor]) -> Result<()> {
    kernel.check()?;
    let slots = kernel.slots();
    let stored =
        |element| slots.iter().zip(tensors).find(|(s, _)| s.element == element).map(|(_, t)| t.dtype());
    let elem = stored(Element::Elem).unwrap_or(Dtype::F32);
    let weight = stored(Element::Weight);
    let fits = |v: &Variant| v.elem == elem && weight.is_none_or(|w| v.weight == w);
    let variants = kernel.variants(context.caps());
    let variant = variants.iter().find(|v| fits(v)).ok_or_else(|| Error::Unsupported {
        what: format!("{kernel} on {elem}{}", weight.map_or(String::new(), |w| format!(" with {w} weights"))),
        adapter: context.caps().adapter.clone(),
        reason: not_stored(context.caps(), &variants, elem, weight),
    })?;
    run_variant(context, kernel, variant, tensors)
}

/// Why no variant stores these types: the device's lack, or the kernel's for a problem of this size.
fn not_stored(caps: &Caps, variants: &[Variant], elem: Dtype, weight: Option<Dtype>) -> String {
    if [Some(elem), weight].contains(&Some(Dtype::F16)) && !caps.f16 {
        return "its shaders cannot use f16".into();
    }
    let mut stored: Vec<String> = Vec::new();
    for v in variants {
        let name =
            weight.map_or_else(|| v.elem.to_string(), |_| format!("{} with {} weights", v.elem, v.weight));
        if !stored.contains(&name) {
            stored.push(name);
        }
    }
    let stored = if stored.is_empty() { "none".into() } else { stored.join(", ") };
    let pairs = [Some(elem), weight].contains(&Some(Dtype::Bf16));
    let hint = if pairs {
        "; bf16 lies two in a word, so what is read at a time must hold an even number of elements"
    } else {
        ""
    };
    format!("at this size the kernel stores {stored}{hint}")
}

/// Runs one given variant; tests run them all.
pub fn run_variant<K: Kernel>(
    context: &Context,
    kernel: &K,
    variant: &Variant,
    tensors: &[&Tensor],
) -> Result<()> {
    start(context, kernel, variant, None, None, tensors)
}

/// Runs a text of the caller's in place of the variant's own, with the kernel's slots and launch: to try a change of
/// its WGSL, or to plant a defect that a test has to find. The text's entry point is named like the stem.
///
/// Like a kernel's own text it is compiled without run-time bounds checks, unless the variant has them or
/// [`crate::ContextOptions::checked`] is set.
pub fn run_composed<K: Kernel>(
    context: &Context,
    kernel: &K,
    variant: &Variant,
    text: &Composed,
    tensors: &[&Tensor],
) -> Result<()> {
    start(context, kernel, variant, Some(text), None, tensors)
}

/// Runs a variant with a launch of the caller's in place of its own, and with a text of theirs where one is given: to plant
/// a defect on the host's side that a test has to find. `params` keeps its length.
pub(super) fn run_launched<K: Kernel>(
    context: &Context,
    kernel: &K,
    variant: &Variant,
    text: Option<&Composed>,
    launch: &Launch,
    tensors: &[&Tensor],
) -> Result<()> {
    start(context, kernel, variant, text, Some(launch), tensors)
}

/// Compiles a variant of a kernel as [`run_variant`] would, and runs nothing: a driver's compiler can be judged where no
/// device executes. The variant need not be one that the context would take.
///
/// # Errors
/// What [`Kernel::check`] says of the kernel; [`Error::Shader`] where the driver refuses the text; [`Error::Unsupported`] on a
/// dry run, which compiles nothing.
pub fn compile<K: Kernel>(context: &Context, kernel: &K, variant: &Variant) -> Result<()> {
    kernel.check()?;
    if context.is_plan() {
        return Err(Error::unsupported(K::STEM, &context.caps().adapter, "a dry run compiles nothing"));
    }
    let access: Vec<Access> = kernel.slots().iter().map(|s| s.access).collect();
    let params_bytes = kernel.launch(context.caps(), variant).params.len();
    let source = || source::<K>(context.caps(), variant, None, &access, params_bytes);
    context.pipeline(key::<K>(variant, params_bytes, None), || Ok(source())).map(drop)
}

fn key<K: Kernel>(variant: &Variant, params_bytes: usize, text: Option<&Composed>) -> PipelineKey {
    let mut hasher = DefaultHasher::new();
    (variant, params_bytes, text.map(Composed::text)).hash(&mut hasher);
    PipelineKey { stem: K::STEM, variant: hasher.finish() }
}

fn start<K: Kernel>(
    context: &Context,
    kernel: &K,
    variant: &Variant,
    text: Option<&Composed>,
    launch: Option<&Launch>,
    tensors: &[&Tensor],
) -> Result<()> {
    kernel.check()?;
    let slots = kernel.slots();
    check_tensors::<K>(context, &slots, variant, tensors)?;
    let launch = launch.cloned().unwrap_or_else(|| kernel.launch(context.caps(), variant));
    let access: Vec<Access> = slots.iter().map(|s| s.access).collect();
    let params_bytes = launch.params.len();
    let key = key::<K>(variant, params_bytes, text);
    let pipeline = if context.is_plan() {
        context.note(key, || {
            let (variant, text, access) = (variant.clone(), text.cloned(), access.clone());
            Arc::new(move |caps: &Caps| source::<K>(caps, &variant, text.as_ref(), &access, params_bytes))
                as Later
        });
        None
    } else {
        let source = || source::<K>(context.caps(), variant, text, &access, params_bytes);
        Some(context.pipeline(key, || Ok(source()))?)
    };
    let mut aligned = Vec::with_capacity(tensors.len());
    for (slot, tensor) in slots.iter().zip(tensors) {
        aligned.push(bindable::<K>(context.caps(), slot, tensor)?);
    }
    let bindings: Vec<Binding<'_>> = aligned.iter().map(Tensor::binding).collect();
    let work = kernel.work();
    let Launch { mut params, workgroups, cut } = launch;
    let all: u64 = workgroups.iter().map(|&n| u64::from(n)).product();
    let steps = match cut {
        Some(cut) => {
            let cuts = context.cuts(K::STEM, all, work.flops, work.bytes);
            cut_steps(workgroups, cut.axis, cuts, context.caps().max_workgroups.min(cut.most))
        }
        None => workgroups,
    };
    for first in first_workgroups(workgroups, steps) {
        let counts: [u32; 3] = std::array::from_fn(|axis| steps[axis].min(workgroups[axis] - first[axis]));
        if let Some(cut) = cut {
            write_first(&mut params, cut.first_at, first);
        }
        let share = counts.iter().map(|&n| f64::from(n)).product::<f64>() / all as f64;
        match &pipeline {
            Some(pipeline) => context.dispatch(&Dispatch {
                pipeline: pipeline.clone(),
                access: &access,
                bindings: &bindings,
                params: &params,
                workgroups: counts,
                flops: work.flops * share,
                bytes: work.bytes * share,
                first: first == [0; 3],
            })?,
            None => context.rehearse(K::STEM, &label::<K>(variant), &access, &bindings, counts)?,
        }
    }
    Ok(())
}

fn label<K: Kernel>(variant: &Variant) -> String {
    format!("{} {}", K::STEM, variant.name())
}

/// What a variant, or a text in its place, is compiled from.
fn source<K: Kernel>(
    caps: &Caps,
    variant: &Variant,
    text: Option<&Composed>,
    access: &[Access],
    params_bytes: usize,
) -> PipelineSource {
    let own = || composed::<K>(caps, variant, params_bytes);
    PipelineSource {
        label: label::<K>(variant),
        composed: text.cloned().unwrap_or_else(own),
        access: access.to_vec(),
        params_bytes: params_bytes as u32,
        checked: variant.checked,
    }
}

/// Workgroups of a cut along each axis: so many cuts along one, and along none more than a dispatch may have.
fn cut_steps(workgroups: [u32; 3], axis: usize, cuts: u64, most: u32) -> [u32; 3] {
    let mut steps = workgroups.map(|n| n.min(most.max(1)));
    if let (Some(step), Some(&total)) = (steps.get_mut(axis), workgroups.get(axis)) {
        let shortest = u64::from(total).div_ceil(cuts.clamp(1, u64::from(total.max(1))));
        *step = (*step).min(shortest as u32);
    }
    steps
}

/// The first workgroup of every cut; none where there are no workgroups, as of an empty tensor.
fn first_workgroups(workgroups: [u32; 3], steps: [u32; 3]) -> impl Iterator<Item = [u32; 3]> {
    let along = move |axis: usize| (0..workgroups[axis]).step_by(steps[axis].max(1) as usize);
    along(2).flat_map(move |z| along(1).flat_map(move |y| along(0).map(move |x| [x, y, z])))
}

fn write_first(params: &mut [u8], at: usize, first: [u32; 3]) {
    if let Some(bytes) = params.get_mut(at..at.saturating_add(12)) {
        bytes.copy_from_slice(bytemuck::bytes_of(&first));
    }
}

/// The tensor, or for one that is only read and starts where no binding may, a copy of it that does not.
fn bindable<K: Kernel>(caps: &Caps, slot: &super::Slot, tensor: &Tensor) -> Result<Tensor> {
    let align = caps.offset_alignment;
    let offset = tensor.binding().offset;
    if slot.access != Access::Read || offset.is_multiple_of(align) {
        return Ok(tensor.clone());
    }
    if !tensor.buffer().can_be_copied_from() {
        let reason = format!(
            "tensor `{}` begins at byte {offset}; what does not begin at a multiple of {align} is copied before it is bound",
            slot.name
        );
        return Err(Error::Usage { kernel: K::STEM, usage: "COPY_SRC", reason });
    }
    tensor.to_owned_copy()
}

/// The text of a variant as the device compiles it.
pub fn composed<K: Kernel>(caps: &Caps, variant: &Variant, params_bytes: usize) -> Composed {
    let params =
        if caps.immediate_bytes as usize >= params_bytes { PARAMS_IMMEDIATE } else { PARAMS_UNIFORM };
    let store = if variant.elem == Dtype::Bf16 { STORE_BF16 } else { STORE_FLOAT };
    let modules: Vec<Source> = variant.modules.iter().copied().chain([store, params]).collect();
    compose(&variant.head(caps), &modules, K::SHADER)
}

fn check_tensors<K: Kernel>(
    context: &Context,
    slots: &[super::Slot],
    variant: &Variant,
    tensors: &[&Tensor],
) -> Result<()> {
    if slots.len() != tensors.len() {
        return Err(Error::problem(
            K::STEM,
            format!("{} tensors given, {} needed", tensors.len(), slots.len()),
        ));
    }
    for (slot, tensor) in slots.iter().zip(tensors) {
        if !tensor.context().same(context) {
            return Err(tensor.foreign(K::STEM, slot.name, context));
        }
        let shape =
            |axis: &str, expected, found| Err(Error::shape(K::STEM, slot.name, axis, expected, found));
        let (expected, found) = (slot.shape.dims(), tensor.dims());
        if expected.len() != found.len() {
            return shape("rank", expected.len(), found.len());
        }
        if let Some(axis) = (0..expected.len()).find(|&i| expected.get(i) != found.get(i)) {
            let at = |dims: &[usize]| dims.get(axis).copied().unwrap_or(0);
            return shape(&axis.to_string(), at(expected), at(found));
        }
        let dtype = slot.dtype(variant);
        if tensor.dtype() != dtype {
            return Err(Error::dtype(K::STEM, slot.name, dtype, tensor.dtype()));
        }
    }
    Ok(())
}

/// Splits a number of workgroups over x and y so that neither passes the device's limit; kernels read the linear
/// number as `workgroup_id.y * num_workgroups.x + workgroup_id.x`.
pub fn grid(workgroups: usize, caps: &Caps) -> [u32; 3] {
    let most = caps.max_workgroups.max(1) as usize;
    if workgroups <= most {
        [workgroups as u32, 1, 1]
    } else {
        [most as u32, u32::try_from(workgroups.div_ceil(most)).unwrap_or(u32::MAX), 1]
    }
}

/// Invocations of a workgroup in kernels where each works alone: one vector register's worth on a CPU, a full warp
/// or two on a GPU.
pub fn lanes(caps: &Caps) -> u32 {
    match caps.class {
        crate::gpu::AdapterClass::Software => caps.subgroup.map_or(8, |(lo, _)| lo),
        _ => 64,
    }
}

#[cfg(all(test, feature = "verify"))]
mod tests {
    use super::*;
    use crate::gpu::{AdapterClass, ContextOptions};
    use crate::kernels::registry::REGISTRY;

    /// Cuts that bench cases come in, as the library would cut them: (kernel and case, workgroups, those of each cut).
    fn cut_bench_cases(caps: &Caps, assumed_rates: Option<(f64, f64)>) -> Vec<(String, u64, Vec<u64>)> {
        let options = ContextOptions::default().assumed_rates(assumed_rates);
        let context = Context::plan(caps.clone(), options);
        let mut all = Vec::new();
        for entry in REGISTRY {
            for (name, case) in (entry.bench_cases)() {
                let Some(variant) = case.variants(caps).into_iter().next() else { continue };
                let Launch { workgroups, cut: Some(cut), .. } = case.launch(caps, &variant) else { continue };
                let total: u64 = workgroups.iter().map(|&n| u64::from(n)).product();
                let work = case.work();
                let cuts = context.cuts(entry.stem, total, work.flops, work.bytes);
                let steps = cut_steps(workgroups, cut.axis, cuts, caps.max_workgroups);
                let counts = first_workgroups(workgroups, steps)
                    .map(|first| (0..3).map(|a| u64::from(steps[a].min(workgroups[a] - first[a]))).product());
                all.push((format!("{} {name} on {}", entry.stem, caps.class), total, counts.collect()));
            }
        }
        all
    }

    #[test]
    fn cuts_keep_a_gpu_filled() {
        for class in [AdapterClass::Integrated, AdapterClass::Discrete, AdapterClass::Apple] {
            let caps = Caps { class, f16: true, ..Caps::webgpu_default() };
            // As the first submissions have shown: 4 and 40 TFLOP/s that count. At what is assumed before, a slow device
            // could hold a filled cut for longer than a watchdog waits; a discrete one does not.
            let observed = if class == AdapterClass::Discrete { 4e13 } else { 4e12 };
            let mut found = cut_bench_cases(&caps, Some((observed, 2e11)));
            if class == AdapterClass::Discrete {
                found.extend(cut_bench_cases(&caps, None));
            }
            assert!(found.len() > 15, "{} cases are cut", found.len());
            for (case, total, cuts) in found {
                // The last has what is left.
                let filled = cuts.iter().rev().skip(1).all(|&n| n >= 1024);
                assert!(filled, "{case}: {total} workgroups in {cuts:?}");
                assert_eq!(cuts.iter().sum::<u64>(), total, "{case}");
            }
        }
    }

    #[test]
    fn long_work_on_a_cpu_is_cut() {
        let caps = Caps { class: AdapterClass::Software, ..Caps::webgpu_default() };
        let found = cut_bench_cases(&caps, None);
        assert!(found.iter().any(|(.., cuts)| cuts.len() > 100), "{found:?}");
    }

    #[test]
    fn cuts_cover_every_workgroup_once_within_the_limit() {
        for (workgroups, cuts, most) in [
            ([7, 1, 1], 3, 100),
            ([1, 70, 3], 5, 8),
            ([20, 9, 6], 1, 4),
            ([0, 4, 1], 2, 9),
            ([3, 1, 1], 99, 2),
        ] {
            for axis in 0..3 {
                let steps = cut_steps(workgroups, axis, cuts, most);
                let mut found = Vec::new();
                for first in first_workgroups(workgroups, steps) {
                    let end: [u32; 3] = std::array::from_fn(|a| (first[a] + steps[a]).min(workgroups[a]));
                    assert!((0..3).all(|a| end[a] - first[a] <= most));
                    for z in first[2]..end[2] {
                        for y in first[1]..end[1] {
                            found.extend((first[0]..end[0]).map(|x| [x, y, z]));
                        }
                    }
                }
                let count = found.len();
                found.sort_unstable();
                found.dedup();
                assert_eq!(count, found.len(), "one workgroup twice");
                assert_eq!(count as u32, workgroups.iter().product::<u32>());
            }
        }
        assert_eq!(cut_steps([6144, 12, 1], 0, 6, 65_535), [1024, 12, 1]);
    }
}
