//! The benches' ceilings as WGSL: the one for cooperative matrices runs on few machines and must not rot on the others.

#![allow(clippy::panic, reason = "a test that cannot go on should stop loudly")]

// The bench's own, so that what is checked is what is timed.
#[path = "../../benches/kernels/texts.rs"]
mod texts;

use foveal::Caps;
use foveal::shader::Composed;
use kernels_tests::{root, tree};
use naga::valid::{Capabilities, ValidationFlags, Validator};

#[test]
fn every_ceiling_is_valid() {
    let caps = Caps::webgpu_default();
    let plain = Capabilities::empty();
    let coop = Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    let mut ceilings: Vec<(String, Composed, Capabilities)> =
        vec![("copy".into(), texts::copy(&caps, 32, 4), plain), ("fma".into(), texts::fma(&caps, 32), plain)];
    for size in [8, 16] {
        ceilings.push((format!("coop of {size}"), texts::coop(&caps, 32, size), coop));
    }
    assert_eq!(texts::COPY.path, "benches/ceilings/copy.wgsl");
    for (name, composed, abilities) in &ceilings {
        let module = naga::front::wgsl::parse_str(composed.text()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let valid = Validator::new(ValidationFlags::all(), *abilities).validate(&module);
        assert!(valid.is_ok(), "{name}: {:?}", valid.err());
        assert_eq!(module.entry_points[0].name, "ceiling", "{name}");
    }
    let files = tree::files(&root(), "benches/ceilings", &[".wgsl"]);
    for file in &files {
        assert!(tree::directives(file).is_empty(), "{}", file.path);
        let used = ceilings.iter().any(|(_, composed, _)| composed.text().contains(&file.text));
        assert!(used, "not tested: {}", file.path);
    }
}
