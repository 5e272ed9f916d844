//! The benches' ceilings as WGSL, and their bounds: the ceiling for cooperative matrices runs on few machines, bounds are of few
//! cards, and neither must rot on the others.

#![allow(clippy::panic, reason = "a test that cannot go on should stop loudly")]

// The bench's own, so that what is checked is what is timed.
#[path = "../../benches/kernels/bounds.rs"]
mod bounds;
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

#[test]
fn a_cards_record_bounds_the_rows_of_its_kernels() {
    let folder = root().join("benches/record/isa");
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let texts = [text("m1.tsv"), text("navi31.tsv"), text("navi31-sid.tsv")];
    let of = |adapter: &str| bounds::Bounds::of(adapter, texts.iter().map(String::as_str));
    assert_eq!(of("llvmpipe (LLVM 15.0.6, 256 bits)"), None);
    assert_eq!(of("Quadro M1200"), None);
    assert!(of("Apple M1").is_some());
    let bounds = of("AMD Radeon RX 7900 XTX (RADV NAVI31)").unwrap_or_else(|| panic!("a record of NAVI31"));
    let mut found = 0;
    for line in texts[1].lines().filter(|line| line.starts_with("attention\t")) {
        let fields: Vec<_> = line.split('\t').collect();
        let percent = bounds.percent(fields[0], fields[2]);
        assert!(percent.is_none_or(|percent| percent > 0.0 && percent <= 100.0), "{line}");
        found += usize::from(percent.is_some() && fields[2].contains("forward/matrices"));
    }
    assert!(found > 0, "attention by matrices has bounds");
}
