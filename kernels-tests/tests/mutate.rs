//! Mutation testing finds what there is to find, on one small kernel.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]

use foveal::kernels::registry::REGISTRY;
use kernels_tests::mutate::change::Change;
use kernels_tests::mutate::edits::{Surroundings, edits};
use kernels_tests::mutate::mutants::{Mutant, mutants};
use kernels_tests::mutate::plan::Plan;
use kernels_tests::mutate::pool::End;
use kernels_tests::mutate::report::{judged, listed};
use kernels_tests::mutate::session::{Options, tried};
use kernels_tests::mutate::{syntax, worker};
use kernels_tests::{devices, root, tree};
use std::path::Path;

const BODY: &str = "shaders/elementwise/silu.wgsl";

#[test]
fn every_shader_can_be_read_and_edited() {
    for file in tree::files(&root(), "shaders", &[".wgsl"]) {
        let read = syntax::read(&file.text);
        assert!(read.is_ok(), "{}: {}", file.path, read.unwrap_err());
        let read = read.unwrap();
        // Modules that only name types and bindings hold nothing to edit.
        let found = edits(&file.text, &read, &Surroundings::default());
        assert!(!found.is_empty() || read.nodes.is_empty(), "{} has no edit", file.path);
    }
}

#[test]
fn every_kernel_has_mutants_of_shader_and_host() {
    let caps = foveal::Caps::webgpu_default();
    for entry in REGISTRY {
        let plan = Plan::new(entry.stem, &caps, None).unwrap();
        let all = mutants(&plan).unwrap();
        let kinds = |kind| all.iter().filter(|mutant| mutant.kind == kind).count();
        assert!(all.iter().any(|mutant| mutant.file == entry.shader.path), "{}", entry.stem);
        assert!(kinds("parameter") > 0 && kinds("workgroups") > 0, "{}", entry.stem);
        assert!(all.iter().all(|mutant| !mutant.runs.is_empty() && mutant.line > 0), "{}", entry.stem);
    }
    assert!(Plan::new("sofmax", &caps, None).is_err());
    assert!(Plan::new("matmul", &caps, Some("tires")).is_err());
}

/// A mutant of silu's body with a part of its text replaced.
fn by_hand(plan: &Plan, part: &str, by: &str) -> Mutant {
    let mut mutant = mutants(plan).unwrap().into_iter().find(|mutant| mutant.file == BODY).unwrap();
    let text = plan.runs[0].composed.files().find(|(path, _)| *path == BODY).unwrap().1.to_owned();
    assert!(text.contains(part));
    (mutant.before, mutant.after) = (part.into(), by.into());
    mutant.change = Change::File { path: BODY.into(), text: text.replacen(part, by, 1) };
    mutant
}

#[test]
fn mutants_end_as_they_should_and_are_not_run_again() {
    devices::compile_unoptimised();
    let context = worker::open().unwrap();
    let caps = context.caps().clone();
    let plan = Plan::new("silu", &caps, None).unwrap();
    let cases = [
        ("v * logistic(v)", "v", End::Found),
        ("i < params.packs", "i < params.packs + 1u", End::Found),
        ("-100.0", "-100.5", End::Survived),
        ("step++", "step += 0u", End::Endless),
        ("let v = at_least(widen(x[i]), -100.0);", "let v = ;", End::Invalid),
        ("STEPS; step++", "1u * STEPS; step++", End::Same),
    ];
    let mut all: Vec<Mutant> = cases.iter().map(|(part, by, _)| by_hand(&plan, part, by)).collect();
    all.extend(mutants(&plan).unwrap().into_iter().filter(|m| m.kind == "parameter"));
    // A few runs say what has to be said here.
    all.iter_mut().for_each(|mutant| mutant.runs.truncate(3));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutate");
    let options = Options {
        folder: folder.clone(),
        program: env!("CARGO_BIN_EXE_mutate").into(),
        workers: 2,
        limit: 3.0,
        fresh: true,
        way: None,
        sample: None,
    };
    let first = tried(&plan, all.clone(), &caps, &options).unwrap();
    let ends: Vec<End> = first.mutants.iter().map(|(_, record)| record.end).collect();
    let expected = cases.iter().map(|(.., end)| *end).chain([End::Found; 2]);
    assert_eq!(ends, expected.collect::<Vec<_>>());
    let (_, record) = &first.mutants[0];
    assert!(record.case.starts_with("silu(n=") && record.fault.contains("wrong"), "{record:?}");
    let (counts, survivors) = judged(&first, &[]);
    assert_eq!((counts.mutants, counts.found, counts.survivors()), (6, 5, 1));
    let text = listed(&survivors);
    assert!(text.contains("-100.0 → -100.5"), "{text}");

    // All is known, even after a line that was cut off: no worker is started.
    let file = folder.join("silu.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{whole}{{\"key\": \"12")).unwrap();
    let known = Options { fresh: false, program: "no such program".into(), ..options };
    let second = tried(&plan, all.clone(), &caps, &known).unwrap();
    assert_eq!(second.mutants, first.mutants);

    // What is new is run, and needs a worker.
    all.push(by_hand(&plan, "-100.0", "-101.0"));
    let message = tried(&plan, all, &caps, &known).unwrap_err();
    assert!(message.contains("no such program"), "{message}");
    // Devices outlive the process's exit, where the driver's own handlers may tear them down.
    std::mem::forget(context);
}
