//! Every ONNX operator case that the kernels can state, on every variant of this machine's adapter.
//!
//! A case that is not listed in [`SKIPPED`] must run, one that is must be refused for the reason that stands there, and
//! a run of everything fails when other than [`COMMITTED`] cases truly ran.

use foveal::{Context, ContextOptions};
use kernels_tests::devices::{self, Devices};
use kernels_tests::{onnx, root};
use libtest_mimic::{Arguments, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases of an operator form that no kernel has, with the reason and how [`onnx::check`] refuses them. One that would
/// run, or that fails for another reason, is a mistake here.
const SKIPPED: &[(&str, &str, &[&str])] = &[(
    "scores are not squashed by tanh before the softmax",
    "softcap",
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
)];

fn main() {
    devices::compile_unoptimised();
    let mut arguments = Arguments::from_args();
    let threads = *arguments.test_threads.get_or_insert_with(Devices::threads);
    let folder = root().join("kernels-tests/onnx");
    let cases = onnx::load(&folder);
    let best = || foveal::block_on(Context::new(ContextOptions::default()));
    let devices = Devices::open(threads, best).map_err(|e| e.to_string());
    let (cases, devices) = match (cases, devices) {
        (Ok(cases), Ok(devices)) => (cases, devices),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    let skipped: BTreeMap<&str, &str> =
        SKIPPED.iter().flat_map(|(_, refusal, names)| names.iter().map(|name| (*name, *refusal))).collect();
    let known: BTreeSet<String> = cases.iter().map(|case| case.name.clone()).collect();
    devices.borrow(|context| eprintln!("adapter: {}", context.caps()));
    // Devices outlive the process's exit, as in the numerical suite.
    let kept = devices.clone();
    eprintln!("{} cases of ONNX, {} skipped", cases.len(), skipped.len());
    for (reason, _, names) in SKIPPED {
        eprintln!("skipped, {reason}: {}", names.join(", "));
    }
    let (ran, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut trials = Vec::new();
    for case in cases {
        let (devices, name) = (devices.clone(), format!("{} {}", case.op, case.name));
        let refusal = skipped.get(case.name.as_str()).copied();
        let (ran, runs) = (ran.clone(), runs.clone());
        let name = if refusal.is_some() { format!("{name} (skipped)") } else { name };
        trials.push(Trial::test(name, move || {
            match (devices.borrow(|context| onnx::check(context, &case)), refusal) {
                (Ok(variants), None) => {
                    ran.fetch_add(1, Ordering::Relaxed);
                    runs.fetch_add(variants, Ordering::Relaxed);
                    Ok(())
                }
                (Err(error), Some(refusal)) if error == refusal => Ok(()),
                (Err(error), Some(refusal)) => {
                    Err(format!("skipped for \"{refusal}\", yet it fails with: {error}").into())
                }
                (Err(error), None) => Err(error.into()),
                (Ok(_), Some(_)) => Err("listed as skipped, yet it runs".into()),
            }
        }));
    }
    trials.push(Trial::test("every skipped case exists", move || {
        let unknown: Vec<&str> = skipped.keys().copied().filter(|name| !known.contains(*name)).collect();
        if unknown.is_empty() { Ok(()) } else { Err(format!("no such cases: {unknown:?}").into()) }
    }));
    let all = trials.len();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let (ran, runs) = (ran.load(Ordering::Relaxed), runs.load(Ordering::Relaxed));
    eprintln!("{ran} cases agree with ONNX in {runs} runs of kernel variants");
    // Only a run of everything can say that too little ran; a failed case is reported as such.
    let whole = conclusion.num_passed as usize == all;
    if whole && ran != COMMITTED {
        eprintln!("{COMMITTED} cases are committed to run");
        std::process::exit(101);
    }
    std::mem::forget(kept);
    conclusion.exit();
}

/// Cases that ran when the files were last written.
const COMMITTED: usize = 164;
