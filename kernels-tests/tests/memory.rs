//! Memory of a guided step: a read of the map with its gradient by the latent must not pay for a map.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Keep, Tape};
use foveal::kernels::temporal::{TemporalObjective, temporal_loss};
use foveal::models::umt5::keys::{Umt5Format, Umt5Param};
use foveal::models::umt5::{Umt5, Umt5Config, Umt5Weights};
use foveal::models::wan::{Capture, WanConfig, WanOptions};
use foveal::nn::Precision;
use foveal::pipelines::schedules::noise;
use foveal::pipelines::schedules::{Sampler, Solver};
use foveal::pipelines::schedules::{Schedule, SigmaGrid};
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::memory_plan::{PlanRequest, memory_plan};
use foveal::pipelines::text_to_video::temporal_control::{
    Control, Event, Guidance, GuidedSteps, Prompts, TimedTokens, sample,
};
use foveal::weights::WeightStore;
use foveal::{AdapterChoice, Context, ContextOptions, HostTensor, Tensor};
use kernels_tests::random_wan;
use std::ops::ControlFlow;

/// Sizes that a test varies.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    heads: usize,
    text_len: usize,
    /// Tokens are `3 · side²`.
    side: usize,
}

const DIM: usize = 64;
const LAYERS: usize = 3;
const FRAMES: usize = 3;

fn config(s: Sizes) -> WanConfig {
    let json = format!(
        r#"{{"model_type":"t2v","dim":{DIM},"ffn_dim":128,"freq_dim":32,"text_dim":24,"text_len":{},"num_heads":{},
            "num_layers":{LAYERS},"in_dim":4,"out_dim":4,"patch_size":[1,2,2],"eps":1e-6,"qk_norm":true,"cross_attn_norm":true}}"#,
        s.text_len, s.heads
    );
    WanConfig::from_bytes("config.json", json.as_bytes()).unwrap()
}

/// Bytes that one guided step needs on top of weights and text.
fn guided_step(s: Sizes) -> u64 {
    let options = ContextOptions::default().adapter(AdapterChoice::Best);
    let context = foveal::block_on(Context::new(options)).unwrap();
    let wan = random_wan(&context, config(s), Precision::F32, |_, _| ());
    let text = wan.text(&HostTensor::zeros([5, 24])).unwrap();
    let time = wan.time(900.0).unwrap();
    foveal::block_on(context.finish()).unwrap();
    let before = context.memory().live;
    context.reset_peak();

    let latent = noise(1, [4, FRAMES, 2 * s.side, 2 * s.side]);
    let mut weights = vec![0.0; s.text_len];
    weights[2] = 1.0;
    let capture = Capture { map_only: true, ..Capture::new(weights, 1, LAYERS) };
    let mut tape = Tape::record();
    let leaf = tape.leaf(Tensor::from_host(&context, &latent).unwrap());
    let asked = WanOptions { capture: Some(capture), ..WanOptions::default() };
    let map = wan.forward(&mut tape, &leaf, &time, &text, &asked).unwrap().map.unwrap();
    let masks = Tensor::from_f32(&context, [1, FRAMES], &[0.0, 0.0, 1.0]).unwrap();
    let outcome = temporal_loss(map.tensor(), &masks, &TemporalObjective::released()).unwrap();
    let gradient = tape.backward(&[(&map, outcome.grad)]).unwrap().of(&leaf).unwrap().unwrap();
    let gradient = foveal::block_on(gradient.to_vec()).unwrap();
    assert!(
        gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|&g| g != 0.0),
        "no gradient reached the latent"
    );
    context.memory().peak - before
}

const BASE: Sizes = Sizes { heads: 4, text_len: 32, side: 8 };

fn tokens(s: Sizes) -> u64 {
    (FRAMES * s.side * s.side) as u64
}

#[test]
fn text_length_costs_no_map() {
    let (short, long) = (guided_step(BASE), guided_step(Sizes { text_len: 512, ..BASE }));
    // One map of one layer would be heads × tokens × 480 more positions of four bytes.
    let map = 4 * BASE.heads as u64 * tokens(BASE) * 480;
    assert!(
        long.saturating_sub(short) < map / 20,
        "{short} bytes with 32 positions, {long} with 512; one map is {map}"
    );
}

#[test]
fn heads_cost_their_row_statistics_only() {
    let (few, many) = (
        guided_step(Sizes { heads: 2, text_len: 256, ..BASE }),
        guided_step(Sizes { heads: 16, text_len: 256, ..BASE }),
    );
    // Statistics of 14 more heads: lse kept for two attentions a layer, lse and delta while a gradient runs.
    let statistics = 14 * tokens(BASE) * 4 * (2 * LAYERS as u64 + 6);
    let map = 14 * tokens(BASE) * 256 * 4;
    assert!(
        many.saturating_sub(few) < statistics.min(map / 4),
        "{few} bytes with 2 heads, {many} with 16; one map is {map} more"
    );
}

#[test]
fn tokens_cost_in_proportion() {
    let sizes = [8, 16].map(|side| Sizes { text_len: 256, side, ..BASE });
    let [small, large] = sizes.map(|s| guided_step(s) as f64);
    // Four times the tokens: four times the activations, give or take the pool's rounding; a map of self-attention
    // would be sixteen times.
    assert!(
        large < 4.6 * small,
        "{small} bytes for {} tokens, {large} for {}",
        tokens(sizes[0]),
        tokens(sizes[1])
    );
}

/// What a run is asked for beside its sizes.
#[derive(Debug, Clone, Copy)]
struct Levers {
    precision: Precision,
    keep: Keep,
    rows_at_a_time: Option<usize>,
    updates: usize,
}

const PLAIN: Levers =
    Levers { precision: Precision::F32, keep: Keep::Attention, rows_at_a_time: None, updates: 2 };

fn control(levers: Levers, steps: &GuidedSteps) -> Control {
    let curve = TimingCurve::new(vec![0.0, 1.0, 1.0]).unwrap();
    // Never satisfied, so that every update is made.
    let Levers { keep, updates, .. } = levers;
    let guidance = Guidance { keep, threshold: 2.0, steps: steps.clone(), updates, ..Guidance::default() };
    let groups = vec![TimedTokens { tokens: vec![1, 2], curve }];
    Control { guidance: Some(guidance), ..Control::new(groups) }
}

/// A guided run: the clip, and the most bytes that were in use.
fn guided_run(s: Sizes, levers: Levers, steps: usize, guided: &GuidedSteps) -> (Vec<f32>, u64) {
    let context = foveal::block_on(Context::new(ContextOptions::default())).unwrap();
    let wan = random_wan(&context, config(s), levers.precision, |_, _| ());
    let encoded = HostTensor::zeros([s.text_len, 24]);
    let (positive, negative) = (wan.text(&encoded).unwrap(), wan.text(&encoded).unwrap());
    let prompts = Prompts { rows_at_a_time: levers.rows_at_a_time, ..Prompts::new(positive, negative, 6.0) };
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, steps, 3.0).unwrap(), Solver::UniPc);
    let latent = noise(1, [4, FRAMES, 2 * s.side, 2 * s.side]);
    let control = control(levers, guided);
    let go_on = |_: &Event| ControlFlow::Continue(());
    context.reset_peak();
    let clip = sample(&wan, &latent, &prompts, &sampler, Some(&control), go_on);
    let clip = foveal::block_on(async { clip.await?.to_vec().await }).unwrap();
    (clip, context.memory().peak)
}

fn planned(s: Sizes, levers: Levers, guided: &GuidedSteps) -> u64 {
    let request = PlanRequest {
        precision: levers.precision,
        control: Some(control(levers, guided)),
        rows_at_a_time: levers.rows_at_a_time,
        ..PlanRequest::new(config(s), [FRAMES, 2 * s.side, 2 * s.side])
    };
    let caps = foveal::block_on(Context::new(ContextOptions::default())).unwrap().caps().clone();
    foveal::block_on(memory_plan(&request, caps)).unwrap().peak()
}

#[test]
fn a_text_encoder_is_planned_by_encoding() {
    let json = br#"{"vocab_size":50,"d_model":24,"d_attn":32,"d_ff":40,"num_heads":2,"num_layers":2}"#;
    let config = Umt5Config::from_bytes("config.json", json).unwrap();
    let device = foveal::block_on(Context::new(ContextOptions::default())).unwrap();
    let plan = Context::plan(device.caps().clone(), ContextOptions::default());
    let zeros = |shape: Vec<usize>| (vec![0; 4 * shape.iter().product::<usize>()], shape);
    let header = |at: &mut usize, param: Umt5Param| {
        let (bytes, shape) = zeros(param.shape(&config));
        *at += bytes.len();
        let name = Umt5Format::HuggingFace.key(param);
        (name, serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [*at - bytes.len(), *at]}))
    };
    let mut end = 0;
    let entries: serde_json::Map<_, _> =
        Umt5Param::all(&config).into_iter().map(|param| header(&mut end, param)).collect();
    let text = serde_json::Value::Object(entries).to_string();
    let file = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &vec![0; end]].concat();
    let real = Umt5Weights::new(&WeightStore::from_bytes("zeros", file).unwrap(), config.clone()).unwrap();
    let peaks = [(device, real), (plan, Umt5Weights::planned(config.clone()))].map(|(context, weights)| {
        let encoder = Umt5::new(&context, weights).unwrap();
        let rows = encoder.encode(&[3, 4, 1, 7, 1, 0], 3, &[3, 2]).unwrap();
        assert_eq!(rows.dims(), [2, 3, 24]);
        assert!(encoder.encode(&[50], 1, &[1]).unwrap_err().to_string().contains("row 50"));
        foveal::block_on(context.finish()).unwrap();
        context.memory().peak
    });
    assert!(peaks[0] > 0 && peaks[0] == peaks[1], "in use and planned: {peaks:?}");
}

#[test]
fn a_plan_agrees_with_the_accounting_and_levers_change_no_result() {
    let s = Sizes { text_len: 64, ..BASE };
    let steps = (0..2).collect();
    let (clip, plain) = guided_run(s, PLAIN, 3, &steps);
    let others = [
        Levers { keep: Keep::Nothing, ..PLAIN },
        Levers { rows_at_a_time: Some(100), ..PLAIN },
        Levers { precision: Precision::BF16, keep: Keep::Nothing, rows_at_a_time: Some(128), ..PLAIN },
    ];
    for levers in [PLAIN].into_iter().chain(others) {
        let (found, peak) = guided_run(s, levers, 3, &steps);
        let plan = planned(s, levers, &steps);
        assert_eq!(plan, peak, "{levers:?}: bytes planned, and in use at the peak");
        if levers.precision == Precision::F32 {
            assert_eq!(found, clip, "{levers:?} changes the clip");
        }
        assert!(peak <= plain, "{levers:?} needs {peak} bytes, {plain} without it");
    }
}

#[test]
fn a_plan_holds_for_any_set_of_steps() {
    let s = Sizes { text_len: 64, ..BASE };
    for steps in ["none", "0", "1", "4", "0,3", "1,2,4", "0..5"] {
        let steps = steps.parse().unwrap();
        let (_, peak) = guided_run(s, PLAIN, 6, &steps);
        assert_eq!(planned(s, PLAIN, &steps), peak, "{steps}: bytes planned, and in use at the peak");
    }
}

#[test]
fn reading_without_updates_keeps_nothing_for_a_gradient() {
    let s = Sizes { text_len: 64, ..BASE };
    let steps = (0..2).collect();
    let reading = Levers { updates: 0, ..PLAIN };
    let (_, peak) = guided_run(s, reading, 3, &steps);
    assert_eq!(planned(s, reading, &steps), peak, "bytes planned, and in use at the peak");
    // A pass that records keeps the attention results of every block; one that reads keeps none, as one without guidance.
    let (_, moving) = guided_run(s, PLAIN, 3, &steps);
    let results = 4 * tokens(s) * (s.heads * 8) as u64;
    assert!(moving - peak > LAYERS as u64 * results, "{moving} bytes with updates, {peak} without");
}

#[test]
fn a_plan_that_does_not_fit_is_refused_with_both_numbers() {
    let s = BASE;
    let size = [FRAMES, 2 * s.side, 2 * s.side];
    let request = PlanRequest { guidance_scale: 1.0, ..PlanRequest::new(config(s), size) };
    let plan = foveal::block_on(memory_plan(&request, foveal::Caps::webgpu_default())).unwrap();
    assert!(plan.require(plan.peak()).is_ok());
    let text = plan.require(plan.peak() - 1).unwrap_err().to_string();
    assert!(text.contains("MB are needed"), "{text}");
    // A latent whose tokens are beyond a binding is refused without a device.
    let large = PlanRequest { size: [FRAMES, 2048, 2048], ..request };
    let text = foveal::block_on(memory_plan(&large, foveal::Caps::webgpu_default())).unwrap_err().to_string();
    assert!(text.contains("largest b"), "{text}");
}
