//! Bad use while a model runs: each ends in a typed error, the account of buffers returns to what it was, and the context
//! is usable again, or says that it is dead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, AttentionShape, Mask, Tables, attention};
use foveal::kernels::elementwise::gelu;
use foveal::kernels::matmul::Layout;
use foveal::kernels::{Then, matmul};
use foveal::models::wan::{Wan, WanConfig, WanText};
use foveal::nn::Precision;
use foveal::pipelines::schedules::noise;
use foveal::pipelines::schedules::{Sampler, Solver};
use foveal::pipelines::schedules::{Schedule, SigmaGrid};
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::{
    Control, Event, Guidance, Prompts, TemporalMask, TimedTokens, sample,
};
use foveal::pipelines::text_to_video::{TextToVideo, TimedWord};
use foveal::{Context, ContextOptions, Dtype, Error, HostTensor, Result, Tensor};
use kernels_tests::{limited_context, plain_context, random_wan, root};
use std::ops::ControlFlow;

const STEPS: usize = 4;
const LATENT: [usize; 4] = [4, 3, 8, 8];
const TEXT_LEN: usize = 8;

fn context() -> Context {
    block_on(Context::new(ContextOptions::default())).unwrap()
}

fn model(context: &Context, change: impl Fn(&str, &mut [f32])) -> Wan {
    let json = format!(
        r#"{{"model_type":"t2v","dim":32,"ffn_dim":64,"freq_dim":32,"text_dim":24,"text_len":{TEXT_LEN},"num_heads":2,
            "num_layers":2,"in_dim":4,"out_dim":4,"patch_size":[1,2,2]}}"#
    );
    random_wan(
        context,
        WanConfig::from_bytes("config.json", json.as_bytes()).unwrap(),
        Precision::F32,
        change,
    )
}

fn text(model: &Wan) -> WanText {
    model
        .text(&HostTensor::new([5, 24], (0..120).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap())
        .unwrap()
}

fn steered() -> Control {
    let curve = TimingCurve::new(vec![0.0, 0.5, 1.0]).unwrap();
    Control {
        groups: vec![TimedTokens { tokens: vec![2], curve }],
        guidance: Some(Guidance {
            steps: (0..2).collect(),
            updates: 1,
            threshold: 2.0,
            ..Guidance::default()
        }),
        mask: None,
    }
}

/// A guided run of a few steps.
fn run(
    model: &Wan,
    text: &WanText,
    latent: &HostTensor,
    hook: impl FnMut(&Event) -> ControlFlow<()> + Send,
) -> Result<Vec<f32>> {
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, STEPS, 3.0)?, Solver::UniPc);
    let prompts = Prompts::new(text.clone(), text.clone(), 1.0);
    let control = steered();
    block_on(async { sample(model, latent, &prompts, &sampler, Some(&control), hook).await?.to_vec().await })
}

fn go_on(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A run that goes wrong at a step, on a context that is then as it was: same memory, same result as before.
fn recovers(spoil: impl Fn(&Context) -> ControlFlow<()> + Sync, mend: impl Fn(&Context)) -> Error {
    let context = context();
    let wan = model(&context, |_, _| ());
    let (text, latent) = (text(&wan), noise(1, LATENT));
    let good = run(&wan, &text, &latent, go_on).unwrap();
    assert!(good.iter().all(|v| v.is_finite()) && good.iter().any(|v| *v != 0.0));
    let live = context.memory().live;
    let spoiled = run(&wan, &text, &latent, |event| match event {
        Event::Stepped { step: 1, .. } => spoil(&context),
        _ => ControlFlow::Continue(()),
    });
    let error = spoiled.unwrap_err();
    mend(&context);
    block_on(context.finish()).unwrap();
    assert_eq!(context.memory().live, live, "the failed run kept buffers: {error}");
    assert_eq!(run(&wan, &text, &latent, go_on).unwrap(), good, "another result after {error}");
    assert_eq!(context.memory().live, live);
    error
}

#[test]
fn a_cancelled_run_leaves_nothing_behind() {
    let error = recovers(|_| ControlFlow::Break(()), |_| ());
    assert!(matches!(&error, Error::Cancelled(at) if at == "denoising step 1"), "{error:?}");
}

#[test]
fn out_of_memory_in_a_step_leaves_nothing_behind() {
    let spoil = |context: &Context| {
        context.set_memory_budget(Some(context.memory().live + 1000));
        ControlFlow::Continue(())
    };
    let error = recovers(spoil, |context| context.set_memory_budget(None));
    let Error::OutOfMemory { requested, live, limit: Some(limit), .. } = error else { panic!("{error:?}") };
    assert!(live <= limit && live + requested > limit, "{requested} {live} {limit}");
}

#[test]
fn wherever_memory_runs_out_it_is_given_back() {
    let context = context();
    let wan = model(&context, |_, _| ());
    let (text, latent) = (text(&wan), noise(1, LATENT));
    let live = context.memory().live;
    context.reset_peak();
    let good = run(&wan, &text, &latent, go_on).unwrap();
    let needed = context.memory().peak - live;
    // From nothing to enough: each budget ends at another allocation of the run.
    let mut refused = 0;
    for part in 0..=12 {
        context.set_memory_budget(Some(live + needed * part / 12));
        match run(&wan, &text, &latent, go_on) {
            Ok(found) => assert_eq!(found, good, "{part}/12"),
            Err(Error::OutOfMemory { limit, .. }) => {
                assert_eq!(limit, Some(live + needed * part / 12));
                refused += 1;
            }
            Err(other) => panic!("{part}/12: {other:?}"),
        }
        block_on(context.finish()).unwrap();
        assert_eq!(context.memory().live, live, "{part}/12");
    }
    assert!((6..=12).contains(&refused), "{refused} of 13 budgets were too small");
    // A model that does not fit leaves nothing of itself.
    context.set_memory_budget(Some(live + (1 << 19)));
    let pipeline = TextToVideo::open(&context, root().join("models/tiny-wan"));
    assert!(matches!(&pipeline, Err(Error::OutOfMemory { .. })), "{pipeline:?}");
    assert_eq!(context.memory().live, live);
}

#[test]
fn a_device_lost_in_a_step_is_dead_and_a_new_one_works() {
    for idle in [true, false] {
        lose_the_device(idle);
    }
}

/// Loses the device inside a step: with nothing left to do, or with the step's work in flight.
fn lose_the_device(idle: bool) {
    let context = context();
    let wan = model(&context, |_, _| ());
    let (text, latent) = (text(&wan), noise(1, LATENT));
    let good = run(&wan, &text, &latent, go_on).unwrap();
    let lost = run(&wan, &text, &latent, |event| {
        if let Event::Stepped { step: 1, .. } = event {
            if idle {
                block_on(context.finish()).unwrap();
            }
            context.device().destroy();
        }
        ControlFlow::Continue(())
    });
    let first = matches!(&lost, Err(Error::DeviceLost(_)));
    assert!(first, "{lost:?}");
    let finished = block_on(context.finish());
    assert!(matches!(finished, Err(Error::DeviceLost(_))), "{finished:?}");
    for _ in 0..2 {
        let again = run(&wan, &text, &latent, go_on);
        assert!(matches!(again, Err(Error::DeviceLost(_))), "{again:?}");
    }
    // What is left is dropped without harm, and the account closes.
    drop((wan, text));
    assert_eq!(context.memory().live, 0);
    let context = self::context();
    let wan = model(&context, |_, _| ());
    assert_eq!(run(&wan, &self::text(&wan), &latent, go_on).unwrap(), good);
}

#[test]
fn numbers_that_are_not_finite_are_found_at_their_step() {
    let context = context();
    let wan = model(&context, |_, _| ());
    let text = text(&wan);
    let live = context.memory().live;
    // In the noise that a caller hands in.
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut latent = noise(1, LATENT);
        latent.data_mut()[77] = bad;
        match run(&wan, &text, &latent, go_on) {
            Err(Error::NonFinite { what, index: 77, .. }) => assert_eq!(what, "latent"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(context.memory().live, live);
    // In a text encoding.
    let outcome = wan.text(&HostTensor::new([1, 24], [vec![0.0; 23], vec![f32::NAN]].concat()).unwrap());
    assert!(
        matches!(&outcome, Err(Error::NonFinite { what, index: 23, .. }) if what == "text encoding"),
        "{outcome:?}"
    );
    // Made by the model: of a damaged weight, or because its numbers grow too large.
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, STEPS, 3.0).unwrap(), Solver::UniPc);
    for bad in [f32::NAN, f32::INFINITY, 3e38] {
        let wan = model(&context, |key, values| {
            if key == "head.head.weight" {
                values[..64].fill(bad);
            }
        });
        let text = self::text(&wan);
        let prompts = Prompts::new(text.clone(), text.clone(), 1.0);
        let mut last = 0;
        let mut hook = |event: &Event| {
            if let Event::Stepped { step, .. } = event {
                last = *step;
            }
            ControlFlow::Continue(())
        };
        match block_on(sample(&wan, &noise(1, LATENT), &prompts, &sampler, None, &mut hook)) {
            Err(Error::NonFinite { what, .. }) => assert_eq!(what, "velocity of denoising step 0", "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
        assert!(last <= 1, "{bad}: found after step {last}");
    }
    block_on(context.finish()).unwrap();
    assert!(run(&wan, &text, &noise(1, LATENT), go_on).is_ok());
}

#[test]
fn wrong_shapes_are_refused_before_anything_is_recorded() {
    let context = context();
    let zeros = |dims: &[usize]| Tensor::zeros(&context, dims.to_vec(), Dtype::F32).unwrap();
    let shape = AttentionShape { batch: 1, heads: 2, kv_heads: 1, seq_q: 6, seq_kv: 4, head_dim: 8 };
    let problem =
        AttentionProblem { mask: Mask::Temporal { tokens_per_frame: 3 }, ..AttentionProblem::new(shape) };
    let tables = Tables::default().with_mask([0.0; 8]).upload(&context, &problem).unwrap();
    let (q, k) = (zeros(&[1, 6, 2, 8]), zeros(&[1, 4, 1, 8]));
    let x = zeros(&[4, 8]);
    block_on(context.finish()).unwrap();
    let (live, dispatches) = (context.memory().live, context.dispatches());
    let refusals: [(&str, Result<()>); 8] = [
        ("`q`", attention(&problem, &k, &k, &k, &tables).map(drop)),
        ("`k`", attention(&problem, &q, &q, &k, &tables).map(drop)),
        ("`v`", attention(&problem, &q, &k, &zeros(&[1, 4, 1, 4]), &tables).map(drop)),
        ("`tables`", attention(&problem, &q, &k, &k, &zeros(&[7])).map(drop)),
        ("tables.mask", Tables::default().with_mask([0.0; 9]).upload(&context, &problem).map(drop)),
        ("head_dim 6", {
            let odd = AttentionProblem::new(AttentionShape { head_dim: 6, ..shape });
            attention(&odd, &q, &k, &k, &tables).map(drop)
        }),
        ("key heads", {
            let uneven = AttentionProblem::new(AttentionShape { heads: 3, kv_heads: 2, ..shape });
            attention(&uneven, &q, &k, &k, &tables).map(drop)
        }),
        ("matmul", matmul(&x, &zeros(&[5, 7]), Layout::Rows, Then::Nothing).map(drop)),
    ];
    for (named, outcome) in refusals {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Shape { .. } | Error::Problem { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
    let nan = Tables::default().with_mask([f32::NAN; 8]).upload(&context, &problem);
    assert!(matches!(&nan, Err(Error::NonFinite { what, index: 0, .. }) if what == "tables.mask"), "{nan:?}");
    assert_eq!((context.memory().live, context.dispatches()), (live, dispatches));
    assert!(attention(&problem, &q, &k, &k, &tables).is_ok());
    block_on(context.finish()).unwrap();
}

#[test]
fn a_model_refuses_sizes_that_are_not_its_own() {
    let context = context();
    let wan = model(&context, |_, _| ());
    let text = text(&wan);
    let live = context.memory().live;
    for (latent, named) in [
        ([3, 3, 8, 8], "3 channels"),
        ([4, 3, 7, 8], "height"),
        ([4, 3, 8, 0], "width"),
        ([4, 2, 8, 8], "expected 2 values"),
        ([4, 1025, 2, 2], "rotary"),
    ] {
        let error = run(&wan, &text, &noise(1, latent), go_on).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
    for rows in [[9, 24], [5, 23]] {
        let outcome = wan.text(&HostTensor::zeros(rows));
        assert!(matches!(&outcome, Err(Error::Input { what, .. }) if what == "text encoding"), "{outcome:?}");
    }
    assert!(wan.time(f32::NAN).is_err());
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, STEPS, 3.0).unwrap(), Solver::UniPc);
    let prompts = Prompts::new(text.clone(), text.clone(), 1.0);
    type Spoil = fn(&mut Control);
    let spoiled: [(&str, Spoil); 3] = [
        ("position 8", |c| c.groups[0].tokens.push(TEXT_LEN)),
        ("no token", |c| c.groups[0].tokens.clear()),
        ("no word", |c| c.groups.clear()),
    ];
    for (named, spoil) in spoiled {
        let mut control = Control { mask: Some(TemporalMask::default()), ..steered() };
        spoil(&mut control);
        let error = block_on(sample(&wan, &noise(1, LATENT), &prompts, &sampler, Some(&control), go_on));
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::Input { .. }) && error.to_string().contains(named),
            "{named}: {error}"
        );
    }
    assert_eq!(context.memory().live, live);
}

#[test]
fn a_request_is_refused_by_what_is_wrong_with_it() {
    let context = context();
    let pipeline = TextToVideo::open(&context, root().join("models/tiny-wan")).unwrap();
    let dispatches = |context: &Context| context.dispatches();
    let word = |phrase: &str, curve: TimingCurve| TimedWord {
        phrase: phrase.into(),
        occurrence: Default::default(),
        curve,
    };
    let frames = pipeline.defaults().size[0];
    let on = || TimingCurve::constant(frames, 1.0).unwrap();
    let refused = |change: &dyn Fn(&mut foveal::pipelines::text_to_video::ClipRequest), named: &str| {
        let mut request = pipeline.request("a red square and a blue cross");
        request.steps = 2;
        request.guidance = Some(Guidance { steps: (0..2).collect(), ..Guidance::default() });
        request.words = vec![word("red square", on())];
        change(&mut request);
        let mut stepped = false;
        let mut hook = |_: &Event| {
            stepped = true;
            ControlFlow::Continue(())
        };
        let error = block_on(pipeline.generate(&request, &mut hook)).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert!(!stepped, "a step was made before: {error}");
    };
    refused(
        &|r| r.words = vec![word("zebra", on())],
        "\"zebra\": the prompt does not contain it; it has: a, red, square",
    );
    refused(&|r| r.words = vec![word("", on())], "does not contain it");
    refused(&|r| r.words.clear(), "no word with a curve");
    refused(
        &|r| r.words = vec![word("red", TimingCurve::constant(frames + 1, 1.0).unwrap())],
        "one per latent frame",
    );
    refused(&|r| r.prompt = String::new(), "does not contain it; it has: no words");
    let late = || TimingCurve::parse("4..", &pipeline.time_axis().unwrap()).unwrap();
    for (words, named) in [
        (
            [word("red square", late()), word("square", on())],
            "words \"red square\" and \"square\": both time \"square\"",
        ),
        ([word("red", late()), word("RED", late())], "leave one out"),
    ] {
        refused(&|r| r.words = words.to_vec(), named);
    }
    // The model reads 16 tokens, the end-of-sequence token among them.
    let long = "a red square and a blue cross and a green ring and a yellow square and a red cross";
    let cut = |r: &mut foveal::pipelines::text_to_video::ClipRequest, phrase: &str| {
        r.prompt = long.into();
        r.words = vec![word(phrase, late())];
    };
    refused(&|r| cut(r, "red cross"), "lies behind the 16 tokens that the prompt was cut to");
    assert!(long.ends_with(pipeline.tokenize(long).unwrap().cut_off().unwrap()));
    let mut told = Vec::new();
    let mut request = pipeline.request(long);
    request.steps = 1;
    let mut note = |event: &Event| {
        if let Event::PromptCut { negative, cut, .. } = event {
            told.push((*negative, cut.clone()));
        }
        ControlFlow::Continue(())
    };
    block_on(pipeline.generate(&request, &mut note)).unwrap();
    assert_eq!(told, [(false, pipeline.tokenize(long).unwrap().cut_off().unwrap().to_owned())]);
    refused(
        &|r| {
            r.guidance = Some(Guidance { steps: (0..2).collect(), ..Guidance::released() });
        },
        "every word is held or hidden throughout",
    );
    refused(
        &|r| (r.guidance, r.mask) = (None, Some(TemporalMask::default())),
        "a mask can only take words away",
    );
    refused(
        &|r| r.words = vec![word("red", TimingCurve::constant(frames, 0.5).unwrap())],
        "curve of word 0, counted from 0: 0.5 in every frame",
    );
    refused(&|r| r.steps = 0, "steps");
    refused(
        &|r| r.guidance = Some(Guidance::released()),
        "guided steps 2..11: there are none: the run has 2 denoising steps",
    );
    refused(&|r| r.shift = f64::NAN, "shift");
    refused(&|r| r.guidance_scale = f32::NAN, "guidance_scale");
    refused(&|r| r.size = [0, 16, 16], "frames");
    refused(&|r| r.size = [1 << 40, 16, 16], "frames");
    refused(&|r| r.size = [8, 15, 16], "height");
    // Curves: none at all, and none that parses.
    assert!(matches!(TimingCurve::new(Vec::new()), Err(Error::Input { .. })));
    let axis = pipeline.time_axis().unwrap();
    for spec in
        ["", " ", ",", "..", "5..5", "9..3", "keys:", "onset:", "0,1", "nan,0,0,0,0,0,0,0", "2,0,0,0,0,0,0,0"]
    {
        let outcome = TimingCurve::parse(spec, &axis);
        assert!(matches!(outcome, Err(Error::Input { .. })) || spec == "..", "{spec:?}: {outcome:?}");
    }
    // The context is none the worse for it.
    let before = dispatches(&context);
    let mut request = pipeline.request("a red square");
    request.steps = 1;
    let clip = block_on(pipeline.generate(&request, go_on)).unwrap();
    assert!(clip.clip.data().iter().all(|v| v.is_finite()) && dispatches(&context) > before);
}

#[test]
fn a_feature_that_the_device_lacks_is_named() {
    let context = plain_context().unwrap();
    assert!(!context.caps().f16);
    let live = context.memory().live;
    let half = Tensor::from_f32_as(&context, [8], &[1.0; 8], Dtype::F16);
    let error = half.and_then(|x| gelu(&x)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("shaders cannot use f16") && text.contains(&context.caps().adapter), "{text}");
    // What the device could store, but not at this size.
    let x = Tensor::from_f32_as(&context, [7], &[1.0; 7], Dtype::Bf16).unwrap();
    let text = gelu(&x).unwrap_err().to_string();
    assert!(text.contains("at this size the kernel stores f32; bf16 lies two in a word"), "{text}");
    drop(x);
    assert_eq!(context.memory().live, live);
    let x = Tensor::from_f32(&context, [8], &[1.0; 8]).unwrap();
    assert_eq!(block_on(gelu(&x).unwrap().to_vec()).unwrap().len(), 8);
}

/// What becomes of a device with one limit below WebGPU's default.
enum Small {
    /// It is refused for this reason.
    Refused(&'static str),
    /// It works, within these reasons for refusing a call on 64 and on 40,000 numbers.
    Works([Option<&'static str>; 2]),
}

#[test]
fn a_device_with_less_than_webgpus_limits_is_refused_by_the_limit_or_right() {
    use Small::{Refused, Works};
    let unsupported = |name: &str, error: Error, reason: &str| {
        let Error::Unsupported { reason: found, .. } = &error else { panic!("{name}: {error:?}") };
        assert!(found.contains(reason), "{name}: {error}");
    };
    type Limit = fn(&mut wgpu::Limits);
    let limits: [(&str, Limit, Small); 6] = [
        (
            "bindings",
            |l| l.max_storage_buffers_per_shader_stage = 4,
            Refused("4 storage buffers per kernel; 8 are needed"),
        ),
        (
            "workgroup memory",
            |l| l.max_compute_workgroup_storage_size = 64,
            Refused("64 bytes of workgroup memory; 16384 are needed"),
        ),
        (
            "invocations",
            |l| l.max_compute_invocations_per_workgroup = 4,
            Refused("4 invocations per workgroup; 256 are needed"),
        ),
        (
            "workgroups",
            |l| l.max_compute_workgroups_per_dimension = 8,
            Works([None, Some("at most 8 along an axis")]),
        ),
        // Calls are cut into what a binding holds.
        ("binding", |l| l.max_storage_buffer_binding_size = 4096, Works([None, None])),
        ("buffer", |l| l.max_buffer_size = 4096, Works([None, Some("its largest buffer is 4096 bytes")])),
    ];
    let values: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.37).sin()).collect();
    let whole = context();
    let of = |context: &Context, n: usize| -> Result<Vec<f32>> {
        let x = Tensor::from_f32(context, [n / 8, 8], &values[..n])?;
        let y = foveal::kernels::rowwise::softmax(&gelu(&x)?, 1.0)?;
        block_on(y.to_vec())
    };
    for (name, limit, expected) in limits {
        match (limited_context(wgpu::Features::empty(), limit), expected) {
            (Err(error), Refused(reason)) => {
                let Error::NoAdapter(found) = &error else { panic!("{name}: {error:?}") };
                assert!(found.contains(reason) && found.contains("app's device"), "{name}: {error}");
            }
            (Ok(context), Works(reasons)) => {
                for (n, reason) in [64, 40_000].into_iter().zip(reasons) {
                    match (of(&context, n), reason) {
                        (Ok(found), None) => {
                            let wanted = of(&whole, n).unwrap();
                            let worst =
                                found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                            // The same kernels, maybe other variants of them. A share of eight is below 0.3 here, and
                            // softmax's own bound is 3e-5 of it.
                            assert!(worst <= 1e-5, "{name} {n}: off by {worst}");
                        }
                        (Err(error), Some(reason)) => unsupported(name, error, reason),
                        (outcome, reason) => panic!("{name} {n}: {outcome:?}, expected {reason:?}"),
                    }
                }
                assert_eq!(context.memory().live, 0, "{name}");
            }
            (Ok(_), Refused(reason)) => panic!("{name}: accepted, expected {reason}"),
            (Err(error), Works(_)) => panic!("{name}: {error:?}"),
        }
    }
}
