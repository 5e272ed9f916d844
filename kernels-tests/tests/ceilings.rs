//! The benches' ceilings as WGSL: the one for cooperative matrices runs on few machines and must not rot on the others.

#![allow(clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::shader::{Const, Head, Source, compose};
use kernels_tests::{root, tree};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Head, further files and abilities of each ceiling, as `benches/kernels/ceilings.rs` composes it.
const CEILINGS: &[(&str, Option<&str>)] = &[
    ("copy.wgsl", None),
    ("fma.wgsl", None),
    ("coop.wgsl", Some("coop.8.wgsl")),
    ("coop.wgsl", Some("coop.16.wgsl")),
];

#[test]
fn every_ceiling_is_valid() {
    let files = tree::files(&root(), "benches/ceilings", &[".wgsl"]);
    let params = tree::files(&root(), "shaders/shared", &["params.uniform.wgsl"]);
    let source = |files: &[tree::File], name: &str| {
        let file = files.iter().find(|file| file.path.ends_with(&format!("/{name}")));
        let file = file.unwrap_or_else(|| panic!("no file {name}"));
        assert!(tree::directives(file).is_empty(), "{}", file.path);
        Source { path: "a ceiling", text: file.text.clone().leak() }
    };
    for &(body, shape) in CEILINGS {
        let coop = shape.is_some();
        let head = Head {
            enables: if coop { vec!["f16", "wgpu_cooperative_matrix"] } else { Vec::new() },
            aliases: if coop { vec![("Elem", "f16")] } else { Vec::new() },
            consts: vec![("WG_SIZE", Const::U32(32)), ("STEPS", Const::U32(4))],
        };
        let modules: Vec<Source> = shape
            .map(|name| source(&files, name))
            .into_iter()
            .chain([source(&params, "params.uniform.wgsl")])
            .collect();
        let composed = compose(&head, &modules, source(&files, body));
        let abilities = if coop {
            Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX
        } else {
            Capabilities::empty()
        };
        let module = naga::front::wgsl::parse_str(composed.text()).unwrap_or_else(|e| panic!("{body}: {e}"));
        let valid = Validator::new(ValidationFlags::all(), abilities).validate(&module);
        assert!(valid.is_ok(), "{body} with {shape:?}: {:?}", valid.err());
        assert_eq!(module.entry_points[0].name, "ceiling");
    }
    let used = |file: &tree::File| {
        CEILINGS.iter().any(|(body, shape)| {
            file.path.ends_with(&format!("/{body}"))
                || shape.is_some_and(|s| file.path.ends_with(&format!("/{s}")))
        })
    };
    let unused: Vec<_> = files.iter().filter(|file| !used(file)).map(|file| &file.path).collect();
    assert!(unused.is_empty(), "not tested: {unused:?}");
}
