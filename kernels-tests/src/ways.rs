//! Which way to share the work, and which variant, each kernel takes on devices of given capabilities, and why.

use crate::synthetic;
use foveal::kernels::Choices;
use foveal::kernels::registry::{AnyKernel, Entry, REGISTRY};
use foveal::{Caps, Dtype};
use std::fmt::Write as _;

/// The capabilities that a name is a part of; all of the synthetic ones without a name.
///
/// # Errors
/// A name that is no part of any, with those there are.
pub fn capabilities(wanted: Option<&str>) -> Result<Vec<Caps>, String> {
    let all = synthetic::caps();
    let names: Vec<String> = all.iter().map(|caps| caps.adapter.clone()).collect();
    let wanted = wanted.unwrap_or_default().to_lowercase();
    let found: Vec<Caps> =
        all.into_iter().filter(|caps| caps.adapter.to_lowercase().contains(&wanted)).collect();
    if found.is_empty() {
        return Err(format!(
            "no capabilities are named `{wanted}`; there are `this` and {}",
            names.join("; ")
        ));
    }
    Ok(found)
}

/// The kernels that a name is, or all.
///
/// # Errors
/// A name that no kernel has.
pub fn kernels(stem: Option<&str>) -> Result<Vec<&'static Entry>, String> {
    let found: Vec<_> = REGISTRY.iter().filter(|entry| stem.is_none_or(|stem| stem == entry.stem)).collect();
    if found.is_empty() {
        return Err(format!("no kernel is named `{}`", stem.unwrap_or_default()));
    }
    Ok(found)
}

/// What is stored: `f32`, or `f32 × bf16` where weights are narrower.
fn stored((elem, weight): (Dtype, Dtype)) -> String {
    if elem == weight { elem.to_string() } else { format!("{elem} × {weight}") }
}

/// The report on some kernels: for each bench case, device and storage type the variant that would run, then, with `all`, the
/// others that could.
pub fn report(entries: &[&Entry], devices: &[Caps], all: bool) -> String {
    let mut text = String::new();
    for entry in entries {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}: {}", entry.stem, entry.summary);
        for (name, case) in (entry.bench_cases)() {
            let _ = writeln!(text, "  {name}: {case}");
            for caps in devices {
                let choices = Choices::of(caps);
                let _ = writeln!(
                    text,
                    "    on {} ({} cores: {} rows an invocation, parts up to {} workgroups)",
                    caps.adapter, caps.cores, choices.rows, choices.workgroups
                );
                text += &lines(&*case, caps, all);
            }
        }
    }
    text
}

fn lines(case: &dyn AnyKernel, caps: &Caps, all: bool) -> String {
    let mut text = String::new();
    let mut taken = Vec::new();
    for variant in case.variants(caps) {
        let types = (variant.elem, variant.weight);
        let first = !taken.contains(&types);
        taken.push(types);
        if !first && !all {
            continue;
        }
        let [x, y, z] = case.launch(caps, &variant).workgroups;
        let (mark, size) = (if first { '>' } else { ' ' }, variant.number("WG_SIZE"));
        let (types, way) = (stored(types), variant.way);
        let _ = writeln!(text, "    {mark} {types:<11} {way:<9} {x} × {y} × {z} workgroups of {size}");
        if !variant.why.0.is_empty() {
            let _ = writeln!(text, "        why: {}", variant.why.0);
        }
        let _ = writeln!(text, "        {}", variant.name());
    }
    if text.is_empty() {
        text += "      it has no variant here\n";
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]
mod tests {
    use super::*;

    #[test]
    fn a_device_with_matrices_takes_them_in_16_bits_and_tiles_in_f32() {
        let entries = kernels(Some("attention")).unwrap();
        let devices = capabilities(Some("discrete with matrices")).unwrap();
        let text = report(&entries, &devices[..1], false);
        let at = text.find("q=32760,kv=32760").unwrap();
        let case = text[at..].lines().take(11).collect::<Vec<_>>().join("\n");
        for taken in ["> f32         tiles", "> f16         matrices", "> bf16        matrices"] {
            assert!(case.contains(taken), "{text}");
        }
        assert!(case.contains("why: 16 bits, and heads of whole matrices"), "{text}");
        assert!(report(&entries, &devices, true).len() > report(&entries, &devices, false).len());
    }

    #[test]
    fn what_is_unknown_is_told_the_known() {
        assert!(kernels(Some("sofmax")).is_err());
        let message = capabilities(Some("quantum")).unwrap_err();
        assert!(message.contains("apple"), "{message}");
        assert_eq!(capabilities(None).unwrap().len(), synthetic::caps().len());
    }

    #[test]
    fn each_way_says_why() {
        for entry in REGISTRY {
            for caps in synthetic::caps() {
                for case in synthetic::all_cases(entry) {
                    let mut variants = case.variants(&caps).into_iter();
                    assert_eq!(variants.find(|v| !v.way.is_empty() && v.why.0.is_empty()), None, "{case}");
                }
            }
        }
    }
}
