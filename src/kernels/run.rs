//! From a problem and its tensors to a recorded dispatch.

use super::contract::{Element, Kernel, Launch, Variant};
use crate::gpu::{Access, Binding, Context, Dispatch, PipelineKey, PipelineSource};
use crate::shader::{Composed, Source, compose};
use crate::{Caps, Dtype, Error, Result, Tensor, wgsl};
use std::hash::{DefaultHasher, Hash, Hasher};

const PARAMS_IMMEDIATE: Source = wgsl!("shared/params.immediate.wgsl");
const STORE_FLOAT: Source = wgsl!("shared/store.float.wgsl");
const STORE_BF16: Source = wgsl!("shared/store.bf16.wgsl");
const PARAMS_UNIFORM: Source = wgsl!("shared/params.uniform.wgsl");

/// Runs the best variant for the tensors' storage type. `tensors` holds every slot, in order.
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
    let hint = if pairs { "; bf16 lies two in a word, so its rows must hold an even number" } else { "" };
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
    check_tensors::<K>(&slots, variant, tensors)?;
    let launch = launch.cloned().unwrap_or_else(|| kernel.launch(context.caps(), variant));
    let access: Vec<Access> = slots.iter().map(|s| s.access).collect();
    let label = || format!("{} {}", K::STEM, variant.name());
    let pipeline = if context.is_plan() {
        None
    } else {
        let mut hasher = DefaultHasher::new();
        (variant, launch.params.len(), text.map(Composed::text)).hash(&mut hasher);
        let key = PipelineKey { stem: K::STEM, variant: hasher.finish() };
        Some(context.pipeline(key, || {
            Ok(PipelineSource {
                label: label(),
                composed: match text {
                    Some(text) => text.clone(),
                    None => composed::<K>(context.caps(), variant, launch.params.len()),
                },
                access: access.clone(),
                params_bytes: launch.params.len() as u32,
                checked: variant.checked,
            })
        })?)
    };
    // A view that starts at an odd place cannot be bound; what is only read is copied to where it can.
    let align = context.caps().offset_alignment;
    let mut aligned = Vec::with_capacity(tensors.len());
    for (slot, tensor) in slots.iter().zip(tensors) {
        let odd = slot.access == Access::Read && !tensor.binding().offset.is_multiple_of(align);
        aligned.push(if odd { tensor.to_owned_copy()? } else { (*tensor).clone() });
    }
    let bindings: Vec<Binding<'_>> = aligned.iter().map(Tensor::binding).collect();
    let work = kernel.work();
    let (mut params, mut workgroups) = (launch.params, launch.workgroups);
    let (axis, first_at) = launch.split.unwrap_or((0, usize::MAX));
    // None for an empty tensor.
    let total = workgroups.get(axis).copied().unwrap_or(0);
    let cuts = if launch.split.is_some() { context.cuts(work.flops, work.bytes).min(total) } else { 1 };
    let step = total.div_ceil(cuts.max(1));
    let mut first = 0;
    while first < total {
        let count = step.min(total - first);
        if let Some(at) = params.get_mut(first_at..first_at.saturating_add(4)) {
            at.copy_from_slice(&first.to_le_bytes());
        }
        if let Some(n) = workgroups.get_mut(axis) {
            *n = count;
        }
        let share = f64::from(count) / f64::from(total);
        match &pipeline {
            Some(pipeline) => context.dispatch(&Dispatch {
                pipeline: pipeline.clone(),
                bindings: &bindings,
                params: &params,
                workgroups,
                flops: work.flops * share,
                bytes: work.bytes * share,
            })?,
            None => context.rehearse(&label(), &access, &bindings, workgroups)?,
        }
        first += count;
    }
    Ok(())
}

/// The text of a variant as the device compiles it.
pub fn composed<K: Kernel>(caps: &Caps, variant: &Variant, params_bytes: usize) -> Composed {
    let params =
        if caps.immediate_bytes as usize >= params_bytes { PARAMS_IMMEDIATE } else { PARAMS_UNIFORM };
    let store = if variant.elem == Dtype::Bf16 { STORE_BF16 } else { STORE_FLOAT };
    let modules: Vec<Source> = variant.modules.iter().copied().chain([store, params]).collect();
    compose(&variant.head(caps), &modules, K::SHADER)
}

fn check_tensors<K: Kernel>(slots: &[super::Slot], variant: &Variant, tensors: &[&Tensor]) -> Result<()> {
    if slots.len() != tensors.len() {
        return Err(Error::problem(
            K::STEM,
            format!("{} tensors given, {} needed", tensors.len(), slots.len()),
        ));
    }
    for (slot, tensor) in slots.iter().zip(tensors) {
        let shape = |axis: String, expected, found| {
            Err(Error::Shape { kernel: K::STEM, tensor: slot.name.into(), axis, expected, found })
        };
        let (expected, found) = (slot.shape.dims(), tensor.dims());
        if expected.len() != found.len() {
            return shape("rank".into(), expected.len(), found.len());
        }
        if let Some(axis) = (0..expected.len()).find(|&i| expected.get(i) != found.get(i)) {
            let at = |dims: &[usize]| dims.get(axis).copied().unwrap_or(0);
            return shape(axis.to_string(), at(expected), at(found));
        }
        let dtype = slot.dtype(variant);
        if tensor.dtype() != dtype {
            return Err(Error::Dtype {
                kernel: K::STEM,
                tensor: slot.name.into(),
                expected: dtype.to_string(),
                found: tensor.dtype().to_string(),
            });
        }
    }
    Ok(())
}

/// Splits a number of workgroups over x and y so that neither passes the device's limit; kernels read the linear
/// number as `workgroup_id.y * num_workgroups.x + workgroup_id.x`.
pub fn grid(workgroups: usize, caps: &Caps) -> [u32; 3] {
    let n = workgroups as u32;
    if n <= caps.max_workgroups {
        [n, 1, 1]
    } else {
        [caps.max_workgroups, n.div_ceil(caps.max_workgroups), 1]
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
