//! Kernels that the programs of this crate live by, each with the few cases that ask for every way to share the work.

use super::Variant;
use super::any_kernel::AnyKernel;
use super::registry::{Entry, REGISTRY};
use crate::Dtype;
use crate::gpu::Caps;
use std::collections::BTreeSet;

const FLAGSHIPS: [&str; 11] = [
    "attention",
    "attention_columns",
    "attention_column_mass",
    "attention_backward_delta",
    "attention_backward_dq",
    "attention_backward_dkv",
    "matmul",
    "layer_norm",
    "rms_norm",
    "softmax",
    "temporal_loss",
];

type Module = (&'static str, Dtype, Dtype);

/// What is wanted of a variant: its modules with the types of its elements and weights; or those alone that only cooperative
/// matrices take.
fn modules(variant: &Variant, matrices_alone: bool) -> impl Iterator<Item = Module> + '_ {
    let wanted = move |path: &&str| !matrices_alone || (variant.matrices && path.contains("matri"));
    let paths = variant.modules.iter().map(|module| module.path).filter(wanted);
    paths.map(|path| (path, variant.elem, variant.weight))
}

/// Cases in which each module that is wanted of the ways which this device would take has its turn.
pub(super) fn cases(caps: &Caps, matrices_alone: bool) -> Vec<Box<dyn AnyKernel>> {
    let entries = REGISTRY.iter().filter(|e| FLAGSHIPS.contains(&e.stem));
    entries.flat_map(|entry| cases_of(entry, caps, matrices_alone)).collect()
}

/// Those of one kernel: first the largest below a million operations, which says most for its cost, then those that hold
/// what it lacks.
fn cases_of(entry: &Entry, caps: &Caps, matrices_alone: bool) -> Vec<Box<dyn AnyKernel>> {
    let mut cases = (entry.cases)();
    let cost = |case: &dyn AnyKernel| {
        let flops = case.work().flops;
        if flops < 1e6 { 1e6 - flops } else { flops }
    };
    cases.sort_by(|a, b| cost(&**a).total_cmp(&cost(&**b)));
    let mut seen = BTreeSet::new();
    cases.retain(|case| {
        let before = seen.len();
        seen.extend(case.variants(caps).iter().flat_map(|variant| modules(variant, matrices_alone)));
        seen.len() > before
    });
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{AdapterClass, CoopMatrix};

    #[test]
    fn a_driver_is_asked_by_every_probe() {
        let probes = REGISTRY.iter().filter(|entry| entry.family == "probe").map(|entry| entry.stem);
        let asked: BTreeSet<_> = crate::kernels::probe::cases().iter().map(|case| case.stem()).collect();
        assert_eq!(asked, probes.collect());
    }

    #[test]
    fn a_full_test_asks_every_way_that_a_device_would_take() {
        let matrix =
            |side| CoopMatrix { m: side, n: side, k: side, input: "f16".into(), accumulator: "f32".into() };
        let gpu = |class, subgroup, coop: &[u32]| Caps {
            class,
            subgroup: Some(subgroup),
            f16: true,
            cores: if class == AdapterClass::Apple {
                crate::gpu::Cores::Apple
            } else {
                crate::gpu::Cores::Other
            },
            coop: coop.iter().copied().map(matrix).collect(),
            workgroup_memory: 48 << 10,
            max_invocations: 1024,
            ..Caps::webgpu_default()
        };
        let devices = [
            Caps::webgpu_default(),
            gpu(AdapterClass::Discrete, (32, 32), &[16]),
            gpu(AdapterClass::Discrete, (32, 64), &[16]),
            gpu(AdapterClass::Apple, (4, 64), &[8]),
            gpu(AdapterClass::Integrated, (8, 32), &[]),
            gpu(AdapterClass::Software, (8, 8), &[8]),
            gpu(AdapterClass::Software, (4, 4), &[]),
        ];
        for caps in devices {
            for matrices_alone in [false, true] {
                let asked = cases(&caps, matrices_alone);
                let wanted = |cases: &[Box<dyn AnyKernel>]| -> BTreeSet<Module> {
                    let variants: Vec<_> = cases.iter().flat_map(|case| case.variants(&caps)).collect();
                    variants.iter().flat_map(|variant| modules(variant, matrices_alone)).collect()
                };
                let held = wanted(&asked);
                for entry in REGISTRY.iter().filter(|e| FLAGSHIPS.contains(&e.stem)) {
                    let all = wanted(&(entry.cases)());
                    let is_asked = asked.iter().any(|case| case.stem() == entry.stem);
                    assert_eq!(is_asked, !all.is_empty(), "{}", entry.stem);
                    for module in all {
                        assert!(held.contains(&module), "{caps}: {} {module:?} is not asked", entry.stem);
                    }
                }
            }
            let matrices = cases(&caps, true);
            let few = matrices.is_empty() == caps.coop.is_empty() && matrices.len() <= 8;
            assert!(few, "{caps}: {} cases", matrices.len());
            let all: f64 = cases(&caps, false).iter().map(|case| case.work().flops).sum();
            assert!(all < 2e8, "{caps}: {all:.1e} operations");
        }
    }
}
