//! Writes every WGSL text that a browser could be given, each once: `texts FILE`.
//!
//! One JSON object for each, with what another compiler needs to judge it and a person to find the place that it names.

use clap::Parser;
use foveal::gpu::Access;
use foveal::kernels::Variant;
use foveal::kernels::registry::{AnyKernel, REGISTRY};
use foveal::shader::Composed;
use foveal::{Caps, Dtype};
use kernels_tests::synthetic;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes every WGSL text that a browser could be given, each once.
#[derive(Parser)]
struct Args {
    /// The JSON file to write
    file: PathBuf,
}

fn main() -> ExitCode {
    let Args { file } = Args::parse();
    let texts = texts();
    let json = Value::from(texts).to_string();
    match foveal::weights::write_whole(&file, json.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("texts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The texts of all kernels, cases and variants under a browser's capabilities.
fn texts() -> Vec<Value> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for entry in REGISTRY {
        let cases = synthetic::all_cases(entry);
        for caps in synthetic::browser_caps() {
            for case in &cases {
                for variant in case.variants(&caps) {
                    let composed = case.composed(&caps, &variant);
                    if seen.insert(composed.text().to_owned()) {
                        found.push(described(&**case, &caps, &variant, &composed));
                    }
                }
            }
        }
    }
    found
}

/// A text, the features and bindings of a device that it is for, and where its lines come from.
fn described(case: &dyn AnyKernel, caps: &Caps, variant: &Variant, composed: &Composed) -> Value {
    let f16 = [variant.elem, variant.weight].contains(&Dtype::F16);
    let features = [("shader-f16", f16), ("subgroups", variant.subgroup)];
    let features: Vec<_> = features.into_iter().filter_map(|(name, needed)| needed.then_some(name)).collect();
    let binding = |access| if access == Access::Read { "read-only-storage" } else { "storage" };
    let bindings: Vec<_> = case.slots().iter().map(|slot| binding(slot.access)).collect();
    let variant = format!("{case} {} on {}", variant.name(), caps.adapter);
    json!({
        "kernel": case.stem(),
        "variant": variant,
        "features": features,
        "bindings": bindings,
        "pieces": composed.pieces(),
        "text": composed.text(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Value, texts};

    #[test]
    fn texts_ask_for_nothing_that_no_browser_has() {
        let texts = texts();
        assert!(texts.len() > 1000, "only {} texts", texts.len());
        for text in texts {
            let wgsl = text["text"].as_str().unwrap_or_default();
            let enabled = wgsl.lines().filter_map(|line| line.strip_prefix("enable ")?.strip_suffix(';'));
            let features = enabled.map(|name| if name == "f16" { "shader-f16" } else { name });
            assert_eq!(text["features"], Value::from_iter(features), "{}", text["variant"]);
            assert!(!wgsl.contains("var<immediate>"), "{}", text["variant"]);
        }
    }
}
