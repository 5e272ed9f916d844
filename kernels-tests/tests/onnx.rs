//! Every ONNX operator case that the kernels can state, on every variant of this machine's adapter.
//!
//! A case that is not listed in [`SKIPPED`] must run; the last test fails when fewer ran than are committed.

use foveal::{Context, ContextOptions};
use kernels_tests::{onnx, root};
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases of an operator form that no kernel has, with the reason. One that would run is a mistake here.
const SKIPPED: &[(&str, &[&str])] = &[
    ("our gelu is the tanh form", &["gelu_default_1", "gelu_default_2"]),
    (
        "scores are not squashed by tanh before the softmax (softcap)",
        &[
            "attention_3d_diff_heads_sizes_softcap",
            "attention_3d_gqa_softcap",
            "attention_3d_softcap",
            "attention_3d_with_past_and_present_qk_matmul_softcap",
            "attention_4d_diff_heads_sizes_softcap",
            "attention_4d_gqa_softcap",
            "attention_4d_softcap",
            "attention_4d_softcap_neginf_mask",
            "attention_4d_softcap_neginf_mask_poison",
            "attention_4d_with_qk_matmul_softcap",
            "attention_local_window_gqa_rank4_mask",
        ],
    ),
];

fn main() {
    let arguments = Arguments::from_args();
    let folder = root().join("kernels-tests/onnx");
    let cases = onnx::load(&folder);
    let context = pollster::block_on(Context::new(ContextOptions::default())).map_err(|e| e.to_string());
    let (cases, context) = match (cases, context) {
        (Ok(cases), Ok(context)) => (cases, context),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let skipped: BTreeSet<&str> = SKIPPED.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let known: BTreeSet<String> = cases.iter().map(|case| case.name.clone()).collect();
    let expected = cases.len() - skipped.len();
    eprintln!("adapter: {}", context.caps());
    eprintln!("{} cases of ONNX, {expected} to run", cases.len());
    for (reason, names) in SKIPPED {
        eprintln!("skipped, {reason}: {}", names.join(", "));
    }
    let (ran, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut trials = Vec::new();
    for case in cases {
        let (context, name) = (context.clone(), format!("{} {}", case.op, case.name));
        let skip = skipped.contains(case.name.as_str());
        let (ran, runs) = (ran.clone(), runs.clone());
        trials.push(Trial::test(if skip { format!("{name} (skipped)") } else { name }, move || {
            match (onnx::check(&context, &case), skip) {
                (Ok(variants), false) => {
                    ran.fetch_add(1, Ordering::Relaxed);
                    runs.fetch_add(variants, Ordering::Relaxed);
                    Ok(())
                }
                (Err(_), true) => Ok(()),
                (Err(error), false) => Err(error.into()),
                (Ok(_), true) => Err("listed as skipped, yet it runs".into()),
            }
        }));
    }
    trials.push(Trial::test("every skipped case exists and the rest is what is committed", move || {
        let unknown: Vec<&str> = skipped.iter().copied().filter(|name| !known.contains(*name)).collect();
        if !unknown.is_empty() {
            return Err(format!("no such cases: {unknown:?}").into());
        }
        match expected >= COMMITTED {
            true => Ok(()),
            false => Err(format!("{expected} cases run, {COMMITTED} are committed").into()),
        }
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let (ran, runs) = (ran.load(Ordering::Relaxed), runs.load(Ordering::Relaxed));
    eprintln!("{ran} cases agree with ONNX in {runs} runs of kernel variants");
    conclusion.exit();
}

/// Cases that ran when the files were last written.
const COMMITTED: usize = 162;
