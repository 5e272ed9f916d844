//! A run is guided exactly after the steps that were asked for, gaps and all: its events, and what each does to the latent,
//! against the solver on the host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::models::wan::{Wan, WanConfig};
use foveal::nn::Precision;
use foveal::pipelines::schedules::noise;
use foveal::pipelines::schedules::{AfterEdit, Sampler, Solver, SolverState};
use foveal::pipelines::schedules::{Schedule, SigmaGrid};
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::{
    Control, Event, Guidance, GuidedSteps, Prompts, TimedTokens, Update, sample,
};
use foveal::{Context, ContextOptions, Error, HostTensor, Result, Tensor};
use kernels_tests::random_wan;
use std::ops::ControlFlow;

const STEPS: usize = 6;
const UPDATES: usize = 2;
const SIZE: f32 = 0.03;

/// An event with copies of its tensors.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Stepped { step: usize, velocity: Vec<f32>, latent: Vec<f32> },
    Read { step: usize, optimised: bool },
    Updated { step: usize, update: usize, gradient: Vec<f32>, latent: Vec<f32>, applied: bool },
    Done { step: usize, latent: Vec<f32> },
}

struct Bench {
    context: Context,
    model: Wan,
    sampler: Sampler,
    latent: HostTensor,
}

impl Bench {
    fn new() -> Self {
        let context = block_on(Context::new(ContextOptions::default())).unwrap();
        let json = r#"{"model_type":"t2v","dim":32,"ffn_dim":64,"freq_dim":32,"text_dim":24,"text_len":8,"num_heads":2,
            "num_layers":2,"in_dim":4,"out_dim":4,"patch_size":[1,2,2]}"#;
        let config = WanConfig::from_bytes("config.json", json.as_bytes()).unwrap();
        let model = random_wan(&context, config, Precision::F32, |_, _| ());
        let schedule = Schedule::new(SigmaGrid::Wan, STEPS, 3.0).unwrap();
        Self {
            context,
            model,
            sampler: Sampler::new(schedule, Solver::UniPc),
            latent: noise(1, [4, 3, 8, 8]),
        }
    }

    /// All that a run reports.
    fn run(&self, guidance: Option<Guidance>) -> Result<Vec<Seen>> {
        let encoded = HostTensor::new([5, 24], (0..120).map(|i| (i as f32 * 0.7).sin()).collect())?;
        let text = self.model.text(&encoded)?;
        let prompts = Prompts::new(text.clone(), text.clone(), 1.0);
        let curve = TimingCurve::new(vec![0.0, 0.5, 1.0])?;
        let control = guidance.map(|guidance| Control {
            groups: vec![TimedTokens { tokens: vec![2], curve }],
            guidance: Some(guidance),
            mask: None,
        });
        let host = |tensor: &Tensor| block_on(tensor.to_vec()).unwrap();
        let mut seen = Vec::new();
        let mut hook = |event: &Event| {
            seen.push(match event {
                Event::Stepped { step, velocity, latent, .. } => {
                    Seen::Stepped { step: *step, velocity: host(velocity), latent: host(latent) }
                }
                Event::Read { step, optimised, .. } => Seen::Read { step: *step, optimised: *optimised },
                Event::Updated { step, update, gradient, latent, applied, .. } => {
                    let (gradient, latent) = (host(gradient), host(latent));
                    Seen::Updated { step: *step, update: *update, gradient, latent, applied: *applied }
                }
                Event::Done { step, latent, .. } => Seen::Done { step: *step, latent: host(latent) },
                other => panic!("{other:?}"),
            });
            ControlFlow::Continue(())
        };
        let made = sample(&self.model, &self.latent, &prompts, &self.sampler, control.as_ref(), &mut hook);
        let made = block_on(async { made.await?.to_vec().await })?;
        assert!(matches!(seen.last(), Some(Seen::Done { latent, .. }) if *latent == made));
        Ok(seen)
    }
}

/// The gradient on such steps, never satisfied, so that every update is made.
fn on(steps: &str, guidance: Guidance) -> Guidance {
    Guidance { steps: steps.parse().unwrap(), updates: UPDATES, threshold: 2.0, ..guidance }
}

fn moving() -> Guidance {
    Guidance { update: Update::TrustRegion { size: SIZE }, ..Guidance::default() }
}

fn close(found: &[f32], expected: &[f32], what: &str) {
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let off = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let of = norm(&mut expected.iter().copied());
    assert!(found.len() == expected.len() && off <= 1e-5 * of, "{what}: {off} of {of}");
}

/// Kinds of events in order, `*` where updates follow a reading: `s` stepped, `r` read, `u` updated, `d` done.
fn outline(seen: &[Seen]) -> String {
    seen.iter()
        .map(|event| match event {
            Seen::Stepped { step, .. } => format!("{step}s"),
            Seen::Read { optimised, .. } => if *optimised { "r*" } else { "r" }.into(),
            Seen::Updated { .. } => "u".into(),
            Seen::Done { .. } => "d ".into(),
        })
        .collect()
}

/// Follows a run on the host: the solver from the velocities that the model gave, moved by the gradients that it gave, after
/// the steps in `moved` and after no other.
fn follow(bench: &Bench, seen: &[Seen], moved: &GuidedSteps, rule: AfterEdit) {
    let mut solver = SolverState::new();
    let mut z = bench.latent.data().to_vec();
    let sigmas = bench.sampler.schedule().sigmas();
    for event in seen {
        match event {
            Seen::Stepped { step, velocity, latent } => {
                let after = step.checked_sub(1).is_some_and(|before| moved.contains(before));
                let rule = if after { rule } else { AfterEdit::Ignore };
                let plan = bench.sampler.plan_after_edit(*step, rule).unwrap();
                z = solver.step(&plan, &z, velocity).unwrap();
                close(&z, latent, &format!("step {step}"));
            }
            Seen::Read { .. } => (),
            Seen::Updated { step, update, gradient, latent, applied } => {
                assert!(*applied && moved.contains(*step), "step {step}");
                let squares = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
                let rms = (squares / gradient.len() as f64).sqrt();
                let by = f64::from(SIZE * sigmas[step + 1]) / rms;
                let next = z.iter().zip(gradient).map(|(z, g)| (f64::from(*z) - by * f64::from(*g)) as f32);
                z = next.collect();
                close(&z, latent, &format!("step {step}, update {update}"));
            }
            Seen::Done { step, latent } => close(&z, latent, &format!("after step {step}")),
        }
    }
}

#[test]
fn the_latent_is_moved_after_the_steps_asked_for_and_no_other() {
    let bench = Bench::new();
    for (steps, expected) in [
        ("none", "0sd 1sd 2sd 3sd 4sd 5sd "),
        ("3", "0sd 1sd 2sd 3sr*uud 4sd 5sd "),
        ("0,2,3", "0sr*uud 1sd 2sr*uud 3sr*uud 4sd 5sd "),
        ("1,4", "0sd 1sr*uud 2sd 3sd 4sr*uud 5sd "),
        // The last step is left alone.
        ("1,3,5", "0sd 1sr*uud 2sd 3sr*uud 4sd 5sd "),
        ("0..6", "0sr*uud 1sr*uud 2sr*uud 3sr*uud 4sr*uud 5sd "),
    ] {
        for rule in [AfterEdit::Transport, AfterEdit::SkipCorrector, AfterEdit::Ignore] {
            let guidance = on(steps, Guidance { after_edit: rule, ..moving() });
            let seen = bench.run(Some(guidance.clone())).unwrap();
            assert_eq!(outline(&seen), expected, "{steps} {rule:?}");
            follow(&bench, &seen, &guidance.steps.within(STEPS - 1), rule);
        }
    }
}

#[test]
fn a_run_is_as_without_guidance_until_its_first_step_and_as_with_fewer_until_the_next() {
    let bench = Bench::new();
    let until = |seen: &[Seen], last: usize| -> Vec<Seen> {
        let end = seen.iter().position(|e| matches!(e, Seen::Stepped { step, .. } if *step == last)).unwrap();
        seen[..=end].to_vec()
    };
    let [free, one, two] =
        [None, Some("1"), Some("1,4")].map(|s| bench.run(s.map(|s| on(s, moving()))).unwrap());
    assert_eq!(until(&free, 1), until(&one, 1));
    assert_eq!(until(&one, 4), until(&two, 4));
    assert_ne!(until(&free, 2), until(&one, 2));
    assert_ne!(one.last(), two.last());
}

#[test]
fn the_released_code_reads_every_step_and_moves_after_the_last_one_too() {
    let bench = Bench::new();
    for (steps, expected) in [
        ("1,2,4", "0srd 1sr*uud 2sr*uud 3srd 4sr*uud 5srd "),
        ("0,5", "0sr*uud 1srd 2srd 3srd 4srd 5sr*uud "),
        ("none", "0srd 1srd 2srd 3srd 4srd 5srd "),
    ] {
        let seen = bench.run(Some(on(steps, Guidance::released()))).unwrap();
        assert_eq!(outline(&seen), expected, "{steps}");
    }
}

#[test]
fn steps_that_the_run_does_not_have_are_refused_by_name_before_any_work() {
    let bench = Bench::new();
    let before = bench.context.dispatches();
    for (steps, named) in
        [("6", "guided steps 6: "), ("0..3,6..9", "guided steps 6..9: "), ("5..7,9", "guided steps 6,9: ")]
    {
        let error = bench.run(Some(on(steps, moving()))).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(named) && text.contains("the run has 6 denoising steps"), "{text}");
    }
    // The text is encoded; nothing else is.
    let text_only = bench.context.dispatches() - before;
    bench.run(None).unwrap();
    assert!(bench.context.dispatches() - before > 4 * text_only);
}
