//! Every kernel × case × variant under synthetic capabilities, parsed and validated without a device.
//!
//! A variant gets only the abilities that it declares, so that f16 or a subgroup operation outside its variant is an
//! error here even where this machine's adapter would let it pass.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]

use foveal::gpu::Access;
use foveal::kernels::registry::{AnyKernel, REGISTRY};
use foveal::kernels::{Slot, Variant};
use foveal::shader::Composed;
use foveal::{Caps, Dtype};
use kernels_tests::params::{self, HostParams, Member};
use kernels_tests::{root, synthetic, tree};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ScalarKind, StorageAccess, TypeInner};
use std::collections::{BTreeMap, HashMap};

/// What every WebGPU device has.
const STORAGE_BINDINGS: usize = 8;
const WORKGROUP_BYTES: u32 = 16 << 10;
const WORKGROUP_SIZE: u32 = 256;
/// What foveal allows itself, so that parameters fit immediates everywhere.
const PARAMS_BYTES: u32 = 128;

/// What a compiled text says about its interface.
#[derive(Debug, Clone, Default, PartialEq)]
struct Facts {
    entry_points: Vec<String>,
    workgroup_size: u32,
    workgroup_bytes: u32,
    /// Bytes of `params`.
    params: Option<u32>,
    /// Their members.
    members: Vec<Member>,
    /// Binding in group 0, name, written.
    storage: Vec<(u32, String, bool)>,
}

fn facts(composed: &Composed, abilities: Capabilities) -> Result<Facts, String> {
    let text = composed.text();
    let place = |location: Option<naga::SourceLocation>| {
        location.map_or("unknown place".into(), |at| {
            composed.place(at.line_number as usize, at.line_position as usize)
        })
    };
    let module = naga::front::wgsl::parse_str(text)
        .map_err(|error| format!("{}: {}", place(error.location(text)), error.message()))?;
    Validator::new(ValidationFlags::all(), abilities).validate(&module).map_err(|error| {
        let causes: Vec<_> =
            std::iter::successors(std::error::Error::source(error.as_inner()), |e| e.source())
                .map(ToString::to_string)
                .collect();
        format!("{}: {}: {}", place(error.location(text)), error.as_inner(), causes.join(": "))
    })?;
    let mut facts = Facts {
        entry_points: module.entry_points.iter().map(|e| e.name.clone()).collect(),
        workgroup_size: module
            .entry_points
            .iter()
            .map(|e| e.workgroup_size.iter().product())
            .max()
            .unwrap_or(0),
        ..Facts::default()
    };
    for (_, global) in module.global_variables.iter() {
        let size = module.types[global.ty].inner.size(module.to_ctx());
        let name = global.name.clone().unwrap_or_default();
        match global.space {
            AddressSpace::WorkGroup => facts.workgroup_bytes += size,
            AddressSpace::Storage { access } => {
                let binding = global
                    .binding
                    .filter(|b| b.group == 0)
                    .ok_or(format!("`{name}` is not bound in group 0"))?;
                facts.storage.push((binding.binding, name, access.contains(StorageAccess::STORE)));
            }
            _ if name == "params" => {
                facts.params = Some(size);
                facts.members = members(&module, global.ty);
            }
            _ => {}
        }
    }
    facts.storage.sort();
    Ok(facts)
}

/// The members of a struct of the text.
fn members(module: &naga::Module, of: naga::Handle<naga::Type>) -> Vec<Member> {
    let TypeInner::Struct { members, .. } = &module.types[of].inner else { return Vec::new() };
    let member = |member: &naga::StructMember| {
        let scalar = match &module.types[member.ty].inner {
            TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Uint, width: 4 }) => "u32",
            TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Sint, width: 4 }) => "i32",
            TypeInner::Scalar(naga::Scalar { kind: ScalarKind::Float, width: 4 }) => "f32",
            _ => "no scalar of 32 bits",
        };
        let name = member.name.clone().unwrap_or_default();
        Member { name, scalar: scalar.into(), offset: member.offset }
    };
    members.iter().map(member).collect()
}

/// What the host says about a kernel's interface.
struct Host<'a> {
    stem: &'a str,
    slots: Vec<Slot>,
    /// Bytes of parameters that a launch hands over.
    params: usize,
    /// The structs of which that may be one.
    structs: &'a [HostParams],
}

/// Where the text and the host disagree, or the text asks for more than every device has.
fn faults(facts: &Facts, memory: u32, host: &Host<'_>) -> Vec<String> {
    let Host { stem, ref slots, params, structs } = *host;
    let mut faults = Vec::new();
    let mut expect = |good: bool, what: String| {
        if !good {
            faults.push(what)
        }
    };
    expect(facts.entry_points == [stem], format!("entry points {:?}", facts.entry_points));
    expect(facts.storage.len() <= STORAGE_BINDINGS, format!("{} storage bindings", facts.storage.len()));
    expect(facts.workgroup_bytes <= memory, format!("{} bytes of workgroup memory", facts.workgroup_bytes));
    expect(
        facts.workgroup_size <= WORKGROUP_SIZE,
        format!("{} invocations a workgroup", facts.workgroup_size),
    );
    let size = facts.params.unwrap_or(0);
    expect(size <= PARAMS_BYTES, format!("{size} bytes of parameters"));
    expect(
        size as usize == params,
        format!("{size} bytes of parameters in the shader, {params} on the host"),
    );
    let bound: Vec<_> =
        (0u32..).zip(slots).map(|(i, slot)| (i, slot.name.to_owned(), slot.access != Access::Read)).collect();
    expect(
        facts.storage == bound,
        format!("bindings {:?} in the shader, {bound:?} on the host", facts.storage),
    );
    if size as usize == params {
        faults.extend(params::fault(structs, &facts.members));
    }
    faults
}

/// Abilities that the variant declares and the device has.
fn abilities(caps: &Caps, variant: &Variant) -> Capabilities {
    let mut abilities = Capabilities::empty();
    abilities.set(Capabilities::IMMEDIATES, caps.immediate_bytes > 0);
    let takes_f16 = variant.matrices || [variant.elem, variant.weight].contains(&Dtype::F16);
    abilities.set(Capabilities::SHADER_FLOAT16, caps.f16 && takes_f16);
    abilities.set(Capabilities::SUBGROUP, caps.subgroup.is_some() && variant.subgroup);
    abilities.set(Capabilities::COOPERATIVE_MATRIX, caps.matrix().is_some() && variant.matrices);
    abilities
}

/// Compiled texts, so that each is compiled once.
type Cache = HashMap<(String, u64), Result<Facts, String>>;

fn check(
    kernel: &dyn AnyKernel,
    structs: &[HostParams],
    caps: &Caps,
    variant: &Variant,
    cache: &mut Cache,
) -> Vec<String> {
    let composed = kernel.composed(caps, variant);
    let abilities = abilities(caps, variant);
    let known = cache
        .entry((composed.text().to_owned(), abilities.bits()))
        .or_insert_with(|| facts(&composed, abilities));
    match known {
        Ok(facts) => {
            // No browser has cooperative matrices: their variants may use what the device has.
            let memory = if variant.matrices { caps.workgroup_memory } else { WORKGROUP_BYTES };
            let params = kernel.launch(caps, variant).params.len();
            faults(facts, memory, &Host { stem: kernel.stem(), slots: kernel.slots(), params, structs })
        }
        Err(message) => vec![message.clone()],
    }
}

#[test]
fn every_variant_compiles_within_webgpu_limits() {
    let mut cache = Cache::new();
    // Each fault once, with the first variant that shows it.
    let mut found = BTreeMap::new();
    let mut checked = 0;
    let files = tree::files(&root(), "src/kernels", &[".rs"]);
    for entry in REGISTRY {
        let structs = params::of_kernel(&files, entry);
        for caps in synthetic::caps() {
            for case in synthetic::all_cases(entry) {
                for variant in case.variants(&caps) {
                    checked += 1;
                    for fault in check(&*case, &structs, &caps, &variant, &mut cache) {
                        let at = || format!("{case} {} on {}", variant.name(), caps.adapter);
                        found.entry((entry.stem, fault)).or_insert_with(at);
                    }
                }
            }
        }
    }
    println!("{checked} variants of cases, {} texts", cache.len());
    assert!(cache.len() > REGISTRY.len(), "only {} texts", cache.len());
    let shown: Vec<_> = found.iter().map(|((stem, fault), at)| format!("{stem}: {fault}\n  {at}")).collect();
    assert!(found.is_empty(), "{} faults\n{}", found.len(), shown.join("\n"));
}

#[test]
fn browsers_get_the_line_that_enables_subgroups() {
    let browser = |caps: Caps| caps.with(|c| (c.subgroup_enable, c.immediate_bytes) = (true, 0));
    let mut with = 0;
    for entry in REGISTRY {
        for caps in synthetic::caps().into_iter().map(browser) {
            for case in (entry.cases)() {
                for variant in case.variants(&caps) {
                    let composed = case.composed(&caps, &variant);
                    let enabled = composed.text().lines().any(|line| line == "enable subgroups;");
                    assert_eq!(enabled, variant.subgroup, "{case} {}", variant.name());
                    with += usize::from(enabled);
                }
            }
        }
    }
    assert!(with > 0, "no variant uses subgroups");
}

/// Each check above, broken.
mod broken {
    use super::{Capabilities, Facts, Host, WORKGROUP_BYTES, facts, faults, params, tree};
    use foveal::kernels::Slot;
    use foveal::shader::{Head, Source, compose};

    const PARAMS: Source = Source {
        path: "shaders/shared/params.wgsl",
        text: "struct Params { n: u32 }\nvar<immediate> params: Params;\n",
    };

    fn compile(body: &'static str, abilities: Capabilities) -> Result<Facts, String> {
        facts(
            &compose(&Head::default(), &[PARAMS], Source { path: "shaders/x/x.wgsl", text: body }),
            abilities,
        )
    }

    const GOOD: &str = "@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
var<workgroup> part: array<f32, 64>;
@compute @workgroup_size(64)
fn x(@builtin(local_invocation_index) i: u32) {
    part[i] = a[i];
    b[i] = part[i] + f32(params.n);
}";

    #[test]
    fn errors_are_placed_in_their_files() {
        let parse = compile("fn x() {\n    let y = ;\n}", Capabilities::IMMEDIATES).unwrap_err();
        assert!(parse.starts_with("shaders/x/x.wgsl:2:13: "), "{parse}");
        let validate =
            compile("fn y() -> u32 {\n    if (params.n > 1u) { return 1u; }\n}\n", Capabilities::IMMEDIATES)
                .unwrap_err();
        assert!(validate.starts_with("shaders/x/x.wgsl:"), "{validate}");
    }

    #[test]
    fn undeclared_abilities_are_refused() {
        assert!(compile(GOOD, Capabilities::IMMEDIATES).is_ok());
        assert!(compile(GOOD, Capabilities::empty()).is_err());
        let sum = "@compute @workgroup_size(8) fn x(@builtin(local_invocation_index) i: u32) { let s = subgroupAdd(i + params.n); }";
        assert!(compile(sum, Capabilities::IMMEDIATES | Capabilities::SUBGROUP).is_ok());
        assert!(compile(sum, Capabilities::IMMEDIATES).is_err());
    }

    #[test]
    fn each_disagreement_is_one_fault() {
        let facts = compile(GOOD, Capabilities::IMMEDIATES).unwrap();
        let slots = || vec![Slot::read("a", [8]), Slot::write("b", [8])];
        let structs = params::structs(&tree::File::new("x.rs", "struct Params {\n    n: u32,\n}\n"));
        let all = |facts: &Facts, stem, slots: &[Slot], params| {
            let host = Host { stem, slots: slots.to_vec(), params, structs: &structs };
            faults(facts, WORKGROUP_BYTES, &host)
        };
        let count = |facts: &Facts, stem, slots: &[Slot], params| all(facts, stem, slots, params).len();
        assert_eq!(all(&facts, "x", &slots(), 4), Vec::<String>::new());
        assert_eq!(count(&facts, "y", &slots(), 4), 1);
        assert_eq!(count(&facts, "x", &slots(), 8), 1);
        assert_eq!(count(&facts, "x", &[Slot::read("a", [8]), Slot::read("b", [8])], 4), 1);
        assert_eq!(count(&facts, "x", &[Slot::write("b", [8]), Slot::read("a", [8])], 4), 1);
        let with = |change: fn(&mut Facts)| {
            let mut changed = facts.clone();
            change(&mut changed);
            changed
        };
        assert_eq!(facts.workgroup_bytes, 256);
        assert_eq!(count(&with(|f| f.workgroup_bytes = 16_385), "x", &slots(), 4), 1);
        assert_eq!(count(&with(|f| f.workgroup_size = 257), "x", &slots(), 4), 1);
        assert_eq!(count(&with(|f| f.params = Some(132)), "x", &slots(), 132), 1);
        assert_eq!(count(&with(|f| f.members[0].name = "m".into()), "x", &slots(), 4), 1);
        assert_eq!(count(&with(|f| f.members[0].scalar = "f32".into()), "x", &slots(), 4), 1);
        let many: Vec<_> = (0..9).map(|_| Slot::read("a", [1])).collect();
        let bound = with(|f| f.storage = (0..9).map(|i| (i, "a".into(), false)).collect());
        assert_eq!(count(&bound, "x", &many, 4), 1);
    }
}
