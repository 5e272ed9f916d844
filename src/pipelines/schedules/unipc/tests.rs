#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::pipelines::schedules::SigmaGrid;

/// A model: sample and noise level to velocity.
type Model = fn(f32, f32) -> f32;

/// The same velocity everywhere.
const CONSTANT: Model = |_, _| 0.3;
/// The exact velocity when clean data is normally distributed around 0 with variance 1.
const GAUSSIAN: Model = |z, sigma| {
    let alpha = 1.0 - sigma;
    (z - alpha * z / (alpha * alpha + sigma * sigma)) / sigma
};

fn sampler(grid: SigmaGrid, steps: usize, shift: f64, solver: Solver) -> Sampler {
    Sampler::new(Schedule::new(grid, steps, shift).unwrap(), solver)
}

/// The sample after every step, starting at 0.7; `edit` is added after a step and treated as told.
fn trace(sampler: &Sampler, model: Model, edit: Option<(usize, f32, AfterEdit)>) -> Vec<f32> {
    let (mut state, mut z, mut out) = (SolverState::new(), vec![0.7f32], Vec::new());
    for i in 0..sampler.steps() {
        let plan = match edit {
            Some((after, _, how)) if after + 1 == i => sampler.plan_after_edit(i, how),
            _ => sampler.plan(i),
        };
        let plan = plan.unwrap();
        let v = [model(z[0], plan.sigma)];
        z = state.step(&plan, &z, &v).unwrap();
        out.push(z[0]);
        if let Some((after, delta, _)) = edit
            && after == i
        {
            z[0] += delta;
        }
    }
    out
}

/// How much of an edit after a step reaches the result. Both models are linear, so its size is free;
/// a large one keeps the small fractions clear of rounding.
fn pass_through(sampler: &Sampler, model: Model, after: usize, how: AfterEdit) -> f64 {
    let last = |t: Vec<f32>| f64::from(*t.last().unwrap());
    (last(trace(sampler, model, Some((after, 8.0, how)))) - last(trace(sampler, model, None))) / 8.0
}

#[test]
fn follows_the_released_solver() {
    let unipc = sampler(SigmaGrid::Wan, 50, 3.0, Solver::UniPc);
    let check = |found: &[f32], at: &[(usize, f32)]| {
        for (i, expected) in at {
            assert!((found[*i] - expected).abs() < 2e-6, "step {i}: {} is not {expected}", found[*i]);
        }
    };
    let constant = [
        (0, 0.697972),
        (1, 0.695889),
        (2, 0.693748),
        (3, 0.691547),
        (4, 0.689282),
        (5, 0.686953),
        (49, 0.400100),
    ];
    check(&trace(&unipc, CONSTANT, None), &constant);
    let gaussian = [
        (0, 0.695269),
        (1, 0.690461),
        (2, 0.685561),
        (3, 0.680557),
        (4, 0.675452),
        (5, 0.670246),
        (10, 0.642652),
        (25, 0.546807),
        (48, 0.664084),
        (49, 0.702074),
    ];
    check(&trace(&unipc, GAUSSIAN, None), &gaussian);
}

#[test]
fn the_corrector_discards_an_edit() {
    let unipc = sampler(SigmaGrid::Wan, 50, 3.0, Solver::UniPc);
    // Measured on the released solver, to five places.
    let measured: [(Model, [f64; 4]); 2] =
        [(CONSTANT, [0.00648, 0.00742, 0.00796, 0.01002]), (GAUSSIAN, [0.00005, 0.00011, 0.00032, 0.00112])];
    for (model, fractions) in measured {
        for (after, expected) in [0, 1, 4, 10].into_iter().zip(fractions) {
            let found = pass_through(&unipc, model, after, AfterEdit::Ignore);
            assert!(
                (found - expected).abs() < 0.05 * expected + 5e-6,
                "after {after}: {found} is not {expected}"
            );
        }
    }
}

#[test]
fn both_remedies_keep_an_edit() {
    let unipc = sampler(SigmaGrid::Wan, 50, 3.0, Solver::UniPc);
    for how in [AfterEdit::SkipCorrector, AfterEdit::Transport] {
        for after in [0, 1, 4, 10] {
            let constant = pass_through(&unipc, CONSTANT, after, how);
            assert!((0.98..1.02).contains(&constant), "{how:?} after {after}: {constant}");
            let gaussian = pass_through(&unipc, GAUSSIAN, after, how);
            assert!((0.95..1.15).contains(&gaussian), "{how:?} after {after}: {gaussian}");
        }
    }
    // Skipping once is what the released option does for an edit after the same step.
    let listed = unipc.clone().disable_corrector(&[4]).unwrap();
    let edited = Some((4, 0.1, AfterEdit::Ignore));
    assert_eq!(
        trace(&listed, GAUSSIAN, edited),
        trace(&unipc, GAUSSIAN, Some((4, 0.1, AfterEdit::SkipCorrector)))
    );
    // Carrying over an edit of nothing changes nothing.
    assert_eq!(trace(&unipc, GAUSSIAN, Some((4, 0.0, AfterEdit::Transport))), trace(&unipc, GAUSSIAN, None));
}

#[test]
fn transport_moves_the_last_sample() {
    // Adding the edit to the corrected sample is the corrector run on a moved last sample.
    let plan =
        sampler(SigmaGrid::Wan, 12, 3.0, Solver::UniPc).plan_after_edit(5, AfterEdit::Transport).unwrap();
    let sigmas = sampler(SigmaGrid::Wan, 12, 3.0, Solver::UniPc).schedule().sigmas().to_vec();
    let c = plan.correction.unwrap();
    assert!((c.last_sample * (sigmas[4] / sigmas[5]) - c.edit).abs() < 1e-6);
}

#[test]
fn euler_is_the_first_order_predictor() {
    let euler = sampler(SigmaGrid::FlowMatchEuler, 8, 5.0, Solver::Euler);
    let sigmas = euler.schedule().sigmas().to_vec();
    let (mut z, found) = (0.7f32, trace(&euler, GAUSSIAN, None));
    for (i, f) in found.iter().enumerate() {
        z += (sigmas[i + 1] - sigmas[i]) * GAUSSIAN(z, sigmas[i]);
        assert!((z - f).abs() < 1e-6, "step {i}: {f} is not {z}");
        let plan = euler.plan(i).unwrap();
        assert!(plan.correction.is_none() && plan.order == 1);
    }
}

#[test]
fn orders_and_consistency() {
    for grid in [SigmaGrid::Wan, SigmaGrid::Diffusers, SigmaGrid::FlowMatchEuler] {
        for steps in [1, 2, 3, 8, 50] {
            let unipc = sampler(grid, steps, 5.0, Solver::UniPc);
            let plans: Vec<StepPlan> = (0..steps).map(|i| unipc.plan(i).unwrap()).collect();
            for (i, plan) in plans.iter().enumerate() {
                assert_eq!(plan.order, if i == 0 || i + 1 == steps { 1 } else { 2 });
                assert_eq!(plan.correction.is_some(), i > 0);
                // If sample and clean estimates are all one value, so is the next sample: this also
                // catches a NaN from the infinite lambda at sigma 1.
                let p = plan.prediction;
                assert!((p.sample + p.x0 + p.x0_prev - 1.0).abs() < 1e-6, "{grid:?} {steps} {i}: {p:?}");
                if let Some(c) = plan.correction {
                    let sum = c.last_sample + c.x0 + c.x0_prev + c.x0_prev2;
                    assert!((sum - 1.0).abs() < 1e-6, "{grid:?} {steps} {i}: {c:?}");
                    // From sigma 1 the oldest estimate is infinitely far away and gets no weight either.
                    let from_one = i == 2 && grid == SigmaGrid::FlowMatchEuler;
                    assert_eq!(c.x0_prev2 == 0.0, i == 1 || from_one, "{grid:?} {steps} {i}: {c:?}");
                }
            }
        }
    }
}

#[test]
fn refuses_wrong_use() {
    let unipc = sampler(SigmaGrid::Wan, 4, 3.0, Solver::UniPc);
    assert!(unipc.plan(4).is_err() && unipc.plan(usize::MAX).is_err());
    assert!(unipc.clone().disable_corrector(&[4]).is_err());
    let mut state = SolverState::new();
    assert!(
        state.step(&unipc.plan(1).unwrap(), &[0.0], &[0.0]).unwrap_err().to_string().contains("0 is next")
    );
    assert!(
        state
            .step(&unipc.plan(0).unwrap(), &[0.0, 1.0], &[0.0])
            .unwrap_err()
            .to_string()
            .contains("velocity")
    );
    state.step(&unipc.plan(0).unwrap(), &[0.0, 1.0], &[0.0, 0.0]).unwrap();
    assert!(state.step(&unipc.plan(1).unwrap(), &[0.0], &[0.0]).unwrap_err().to_string().contains("sample"));
}
