//! Capabilities of devices that this machine does not have: shaders are composed for all of them and checked as text.

use foveal::Caps;
use foveal::gpu::{AdapterClass, CoopMatrix, Cores};
use foveal::kernels::Variant;
use foveal::kernels::registry::{AnyKernel, Entry};
use std::collections::BTreeMap;

/// One set of capabilities for each kind of device that kernels tell apart.
pub fn caps() -> Vec<Caps> {
    let plain = Caps::webgpu_default();
    let named = |adapter: &str, class, f16, subgroup: u32, immediate_bytes| {
        plain.clone().with(|caps| {
            caps.adapter = adapter.into();
            caps.class = class;
            caps.f16 = f16;
            caps.subgroup = Some((subgroup, subgroup));
            caps.immediate_bytes = immediate_bytes;
            caps.timestamps = true;
        })
    };
    let matrices = |side: u32, caps: Caps| {
        caps.with(|caps| {
            caps.coop = vec![CoopMatrix::new([side; 3], "F16", "F32")];
            caps.workgroup_memory = 32 << 10;
        })
    };
    let cpu = |caps: Caps| caps.with(|caps| caps.cores = Cores::Cpu);
    vec![
        matrices(16, named("discrete with matrices", AdapterClass::Discrete, true, 32, 256)),
        matrices(16, named("discrete with matrices, subgroups of 64", AdapterClass::Discrete, true, 64, 256)),
        cpu(matrices(8, named("software with matrices", AdapterClass::Software, true, 8, 256))),
        cpu(named("software, subgroups of 8", AdapterClass::Software, true, 8, 256)),
        cpu(named("software, subgroups of 4", AdapterClass::Software, false, 4, 128)),
        named("discrete", AdapterClass::Discrete, true, 32, 256),
        named("discrete, two subgroup sizes", AdapterClass::Discrete, true, 32, 256)
            .with(|caps| caps.subgroup = Some((32, 64))),
        named("integrated without f16", AdapterClass::Integrated, false, 16, 128),
        named("apple", AdapterClass::Apple, true, 32, 0).with(|caps| caps.cores = Cores::Apple),
        plain,
    ]
}

/// What a browser can say of a device: no immediates and no cooperative matrices, and WebGPU's default limits. Subgroups
/// are of one known size or of a range.
pub fn browser_caps() -> Vec<Caps> {
    use AdapterClass::{Apple, Discrete, Integrated, Software};
    let mut found = Vec::new();
    for class in [Integrated, Discrete, Apple, Software] {
        for f16 in [false, true] {
            for subgroup in [None, Some((4, 4)), Some((32, 32)), Some((4, 64)), Some((32, 64))] {
                let adapter = format!("a browser's {class} adapter");
                found.push(Caps::webgpu_default().with(|caps| {
                    caps.adapter = adapter;
                    (caps.class, caps.f16, caps.subgroup) = (class, f16, subgroup);
                    caps.subgroup_enable = true;
                }));
            }
        }
    }
    found
}

/// Test cases and bench cases of a kernel.
pub fn all_cases(entry: &Entry) -> Vec<Box<dyn AnyKernel>> {
    let bench = (entry.bench_cases)().into_iter().map(|(_, case)| case);
    (entry.cases)().into_iter().chain(bench).collect()
}

/// The variants of some cases under some capabilities by name, each with the first case that has it.
pub fn variants<'a>(
    cases: &'a [Box<dyn AnyKernel>],
    caps: &[Caps],
) -> BTreeMap<String, (&'a dyn AnyKernel, Variant)> {
    let mut found = BTreeMap::new();
    for caps in caps {
        for case in cases {
            for variant in case.variants(caps) {
                found.entry(variant.name()).or_insert((&**case, variant));
            }
        }
    }
    found
}
