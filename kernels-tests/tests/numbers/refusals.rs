//! Numbers, sizes and settings that mean nothing, or that the device would take for others, end in typed errors: of
//! kernels, shapes, the optimiser, the sampler, models and pipelines.

use super::options::refused;
use super::{context, download, full};
use foveal::autograd::{Tape, Var};
use foveal::block_on;
use foveal::kernels::attention::{
    AttentionProblem, AttentionShape, Mask, Mass, Readout, Tables, relative_bias,
};
use foveal::kernels::optim::{AdamW, AdamWStep, adamw};
use foveal::kernels::probe::ProbeBounds;
use foveal::kernels::rowwise::rope_table;
use foveal::kernels::token::{PatchOrder, Patches, RowMap, sum_rows, unpatchify};
use foveal::kernels::{Kernel, matmul};
use foveal::models::bert::{self, BertConfig, Texts};
use foveal::models::dashfusion::{Batch, DashFusionConfig, Frames, Padding, forward, keys, represent};
use foveal::models::umt5::{Umt5, Umt5Config, Umt5Weights};
use foveal::models::wan::{Wan, WanConfig, WanOptions, WanText};
use foveal::nn::{Linear, Optimiser, Parameters, Precision};
use foveal::pipelines::schedules::{AfterEdit, Sampler, Solver, StepPlan};
use foveal::pipelines::schedules::{SamplerState, noise, noise_on};
use foveal::pipelines::schedules::{Schedule, SigmaGrid};
use foveal::pipelines::sentiment::data::{DESCRIPTION, Dataset, FEATURES};
use foveal::pipelines::sentiment::metrics::Convention;
use foveal::pipelines::sentiment::{Description, SentimentModel, TrainEvent, TrainOptions, Trainer};
use foveal::pipelines::text_to_video::curve::{TimeAxis, TimingCurve};
use foveal::pipelines::text_to_video::memory_plan::{PlanRequest, memory_plan};
use foveal::pipelines::text_to_video::temporal_control::{
    Control, Event, Guidance, Prompts, TemporalMask, TimedTokens, Update, sample,
};
use foveal::weights::WeightStore;
use foveal::{Caps, Context, ContextOptions, Dtype, Error, HostTensor, Shape, Tensor};
use kernels_tests::{random_wan, root, tiny_dashfusion};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const HUGE: usize = usize::MAX;

#[test]
fn rates_and_decays_fit_f32() {
    let c = context();
    let [p, g, m, v] = [1.0, 0.5, 0.0, 0.0].map(|v| full(&c, &[4], v));
    let settings = |lr, weight_decay| AdamW { lr, weight_decay, ..AdamW::default() };
    for (lr, decay, step) in [(1e39, 0.0, 1), (1e38, 0.0, 1), (1e20, 1e20, 1000)] {
        refused(adamw(&p, &g, &m, &v, &settings(lr, decay), step), "a step beyond f32");
    }
    assert_eq!(download(&p), [1.0; 4]);
    // At the first step the rate counts tenfold.
    assert!(AdamWStep { count: 4, settings: settings(1e38, 0.0), step: 1000 }.check().is_ok());
    for count in [0, (1 << 31) + 1, HUGE] {
        refused(AdamWStep { count, settings: AdamW::default(), step: 1 }.check(), "a number of elements");
    }
    assert!(AdamWStep { count: 1 << 31, settings: AdamW::default(), step: 1 }.check().is_ok());
}

#[test]
fn tables_made_on_the_host_are_made_of_numbers_that_make_one() {
    let values = [0.5; 64];
    // Buckets, largest distance, heads, queries, keys.
    for (what, of) in [
        ("no bucket", [0, 8, 2, 3, 3]),
        ("too few buckets", [2, 8, 32, 3, 3]),
        ("buckets without a quarter", [6, 8, 2, 3, 3]),
        ("a distance of nothing", [32, 0, 2, 3, 3]),
        ("a distance within the exact ones", [32, 8, 2, 3, 3]),
        ("another embedding", [32, 128, 3, 3, 3]),
        ("an embedding that cannot be", [HUGE - 3, HUGE, 4, 3, 3]),
        ("more distances than there are", [32, 128, 2, HUGE, 3]),
        ("a table that is too large", [32, 128, 2, 1 << 31, 1 << 31]),
    ] {
        let [buckets, distance, heads, seq_q, seq_kv] = of;
        refused(relative_bias(&values, buckets, distance, heads, seq_q, seq_kv), what);
    }
    assert_eq!(relative_bias(&values, 32, 128, 2, 3, 4).unwrap(), [0.5; 12]);
    assert_eq!(relative_bias(&values, 32, 9, 2, 1000, 1000).unwrap().len(), 2 * 1999);
    for (positions, head_dim, theta) in [
        (3, 0, 1e4),
        (3, 7, 1e4),
        (3, 8, 0.0),
        (3, 8, -1e4),
        (3, 8, f64::NAN),
        (3, 8, f64::INFINITY),
        (3, 8, 1e-320),
        (1 << 31, 8, 1e4),
        (HUGE, 8, 1e4),
    ] {
        refused(rope_table(positions, head_dim, theta), "a rope table");
    }
    let smallest = rope_table(3, 8, 1e-300).unwrap();
    assert!(smallest.data().iter().all(|v| v.is_finite()));
    assert_eq!(rope_table(3, 8, 1e4).unwrap().shape().dims(), [3, 4, 2]);
}

#[test]
fn sizes_of_kernels_cannot_overflow() {
    let c = context();
    let of = |[heads, seq_q, seq_kv]: [usize; 3]| AttentionShape {
        batch: 1,
        heads,
        kv_heads: 1,
        seq_q,
        seq_kv,
        head_dim: 4,
    };
    let with = |sizes, mask, readout| AttentionProblem { mask, readout, ..AttentionProblem::new(of(sizes)) };
    let (none, temporal) = (Readout::default(), Mask::Temporal { tokens_per_frame: 1 });
    let columns = none.with_groups(64);
    for (what, problem) in [
        ("a temporal table", with([1, 1 << 20, 1 << 20], temporal, none)),
        ("a relative table", with([1 << 16, 1 << 13, 1 << 29], Mask::Relative, none)),
        ("columns of many keys", with([1, 1, 1 << 29], Mask::None, columns)),
        ("gradients of many queries", with([1, 1 << 29, 1], Mask::None, columns)),
    ] {
        refused(Tables::default().upload(&c, &problem), what);
    }
    let all = Readout::default().with_groups(64).with_mass(Mass::Max).with_entropy();
    for mask in [temporal, Mask::Relative] {
        let endless = with([HUGE; 3], mask, all);
        assert_eq!((endless.tables_len(), endless.map_grads_len()), (HUGE, HUGE));
        refused(Tables::default().upload(&c, &endless), "sizes without end");
    }

    let patches = |channels, patch| Patches {
        channels,
        frames: 2,
        height: 2,
        width: 2,
        patch,
        order: PatchOrder::ChannelFirst,
    };
    let x = full(&c, &[2, 4], 1.0);
    for bad in [patches(HUGE, [1; 3]), patches(1, [HUGE; 3]), patches(1, [0, 1, 1]), patches(0, [1; 3])] {
        let _ = bad.token_dims();
        refused(unpatchify(&x, bad), "patches");
    }
    assert_eq!(patches(3, [1, 2, 2]).token_dims(), [2, 12]);

    for rows in [u32::MAX as usize, 1 << 32, HUGE] {
        refused(RowMap::new(rows, []), "rows of an input");
        refused(RowMap::pick(rows, [Some(rows - 1)]), "a row");
    }
    let map = RowMap::pick(u32::MAX as usize - 1, [Some(1)]).unwrap();
    refused(sum_rows(&x, &map), "another number of rows");

    for (n, far) in [(1, HUGE), (HUGE, 1), (0, 1), (64, 1)] {
        refused(ProbeBounds { n, far }.check(), "a distance");
    }
    let product = |m, parts| matmul::Matmul {
        m,
        n: 1 << 15,
        k: 1 << 15,
        layout: matmul::Layout::Rows,
        epilogue: matmul::Epilogue::None,
        parts,
        piece: None,
    };
    assert!(product(1 << 15, 1).for_device(c.caps(), Dtype::F32).is_ok());
    refused(product(HUGE, 1).for_device(c.caps(), Dtype::F32), "a product");
    refused(product(1 << 15, 4).check(), "parts of a product");
}

#[test]
fn shapes_that_cannot_be_counted_are_refused() {
    let c = context();
    assert_eq!(Shape::from([3, 4]).checked_len(), Some(12));
    assert_eq!(Shape::from([]).checked_len(), Some(1));
    assert_eq!(Shape::from([HUGE / 4, 0]).checked_len(), Some(0));
    for dims in [vec![HUGE, 2], vec![HUGE], vec![HUGE / 2], vec![0, HUGE, 2], vec![1 << 32, 1 << 32, 0]] {
        let shape = Shape::from(dims.clone());
        assert_eq!((shape.checked_len(), shape.len()), (None, HUGE), "{shape}");
        assert_eq!(shape.is_empty(), dims.contains(&0));
        refused(HostTensor::new(shape.clone(), Vec::new()), "a host tensor");
        refused(full(&c, &[0, 3], 0.0).reshape(shape.clone()), "a reshape");
        for dtype in [Dtype::F32, Dtype::Bf16] {
            refused(Tensor::empty(&c, shape.clone(), dtype), "a tensor");
            refused(Tensor::from_bytes(&c, shape.clone(), dtype, &[]), "a tensor of bytes");
        }
        assert_eq!(HostTensor::zeros(shape).shape().dims(), [0]);
    }
    // Countable, and more than memory has.
    assert_eq!(HostTensor::zeros([HUGE / 4]).shape().dims(), [0]);
    assert!(noise(1, [HUGE; 4]).data().is_empty());
    refused(noise_on(&c, 1, [HUGE; 4]), "noise");
    refused(noise_on(&c, 1, [0, HUGE, HUGE, 1]), "noise");
    let axis = TimeAxis::new(4, 4, 16.0).unwrap();
    assert!(axis.seconds_of(HUGE).1 >= axis.seconds_of(4).1);
}

#[test]
fn weights_that_a_storage_does_not_hold_are_refused() {
    let c = context();
    let linear = |v: f32, storage| {
        let mut values = vec![0.5; 16];
        values[5] = v;
        Linear::new(&c, &HostTensor::new([4, 4], values).unwrap(), None, storage)
    };
    for (v, storage) in [(7e4, Dtype::F16), (-65520.0, Dtype::F16), (f32::MAX, Dtype::Bf16)] {
        match linear(v, storage) {
            Err(Error::Input { what, reason, .. }) => {
                assert!(what == "linear weight" && reason.contains("element 5"), "{reason}");
            }
            other => panic!("{v} as {storage}: {other:?}"),
        }
    }
    assert!(linear(f32::MAX, Dtype::F32).is_ok() && linear(7e4, Dtype::Bf16).is_ok());
    if c.caps().f16 {
        assert!(linear(65504.0, Dtype::F16).is_ok());
    }
}

#[test]
fn moments_are_finite_and_means_of_squares_not_negative() {
    let c = context();
    let mut parameters = Parameters::new(&c);
    parameters.insert("a", &HostTensor::zeros([3])).unwrap();
    let mut optimiser = Optimiser::new(AdamW::default());
    let moments = |first: f32, second: f32| {
        let of = |v| HostTensor::new([3], vec![0.0, v, 0.0]).unwrap();
        [("a".to_owned(), [of(first), of(second)])]
    };
    for stray in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        refused(optimiser.restore(&parameters, 5, moments(stray, 0.0)), "a first moment");
        refused(optimiser.restore(&parameters, 5, moments(0.0, stray)), "a second moment");
    }
    refused(optimiser.restore(&parameters, 5, moments(0.0, -1e-30)), "a negative mean of squares");
    assert_eq!((optimiser.steps(), optimiser.moments().count()), (0, 0));
    optimiser.restore(&parameters, 5, moments(-1.0, 1.0)).unwrap();
    assert_eq!((optimiser.steps(), optimiser.moments().count()), (5, 1));
}

#[test]
fn steps_are_taken_in_order_and_of_tensors_that_are_there() {
    let c = context();
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, 4, 3.0).unwrap(), Solver::UniPc);
    let plan = |step, edit| sampler.plan_after_edit(step, edit).unwrap();
    let plain = |step| plan(step, AfterEdit::Ignore);
    let (z, v, edit) = (full(&c, &[4], 1.0), full(&c, &[4], 0.5), full(&c, &[4], 0.1));
    let mut state = SamplerState::new();
    refused(state.step(&plain(1), &z, &v, None), "the second step first");
    let mut early = plain(0);
    early.prediction.x0_prev = 0.5;
    refused(state.step(&early, &z, &v, None), "an estimate of before the first step");
    refused(state.step(&StepPlan { sigma: f32::NAN, ..plain(0) }, &z, &v, None), "no noise level");
    let first = state.step(&plain(0), &z, &v, None).unwrap();
    refused(state.step(&plain(0), &first, &v, None), "a step twice");
    refused(state.step(&plain(2), &first, &v, None), "a step left out");
    refused(state.step(&plan(1, AfterEdit::Transport), &first, &v, None), "an edit that is not there");
    // What was refused has left nothing behind, so the step can be taken again, and by a copy.
    let mut copy = state.clone();
    let second = state.step(&plan(1, AfterEdit::Transport), &first, &v, Some(&edit)).unwrap();
    let mut clean = SamplerState::new();
    let again = clean.step(&plain(0), &z, &v, None).unwrap();
    let again = clean.step(&plan(1, AfterEdit::Transport), &again, &v, Some(&edit)).unwrap();
    let copied = copy.step(&plan(1, AfterEdit::Transport), &first, &v, Some(&edit)).unwrap();
    assert_eq!((download(&second), download(&copied)), (download(&again), download(&again)));
    let third = state.step(&plain(2), &second, &v, None).unwrap();
    let last = state.step(&plain(3), &third, &v, None).unwrap();
    assert!(download(&last).iter().all(|v| v.is_finite()));
}

fn wan_config(layers: usize) -> WanConfig {
    let json = format!(
        r#"{{"model_type":"t2v","dim":32,"ffn_dim":64,"freq_dim":32,"text_dim":24,"text_len":8,"num_heads":2,
            "num_layers":{layers},"in_dim":4,"out_dim":4,"patch_size":[1,2,2]}}"#
    );
    WanConfig::from_bytes("config.json", json.as_bytes()).unwrap()
}

fn wan(context: &Context, layers: usize) -> (Wan, WanText) {
    let model = random_wan(context, wan_config(layers), Precision::F32, |_, _| ());
    let text = model.text(&HostTensor::zeros([5, 24])).unwrap();
    (model, text)
}

#[test]
fn a_steered_run_takes_settings_that_are_numbers() {
    let c = context();
    let (model, text) = wan(&c, 1);
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, 2, 3.0).unwrap(), Solver::UniPc);
    let prompts = Prompts::new(text.clone(), text.clone(), 1.0);
    let curve = TimingCurve::new(vec![0.0, 0.5, 1.0]).unwrap();
    let guided = Guidance { steps: (0..1).collect(), updates: 1, ..Guidance::default() };
    let run = |guidance: Option<Guidance>, mask: Option<TemporalMask>, latent: &HostTensor| {
        let groups = vec![TimedTokens { tokens: vec![2], curve: curve.clone() }];
        let control = Control { groups, guidance, mask };
        let go_on = |_: &Event| ControlFlow::Continue(());
        block_on(sample(&model, latent, &prompts, &sampler, Some(&control), go_on))
    };
    let latent = noise(1, [4, 3, 4, 4]);
    let before = c.dispatches();
    for floor in [f32::NAN, -0.1, 1.1, f32::INFINITY] {
        let mask = TemporalMask { floor, ..TemporalMask::default() };
        refused(run(None, Some(mask), &latent), "a floor");
    }
    let nan = Guidance { threshold: f32::NAN, ..guided.clone() };
    refused(run(Some(nan), None, &latent), "a threshold");
    for size in [f32::NAN, f32::INFINITY, -0.1] {
        let update = Update::TrustRegion { size };
        refused(run(Some(Guidance { update, ..guided.clone() }), None, &latent), "a trust region");
    }
    // Noise of a shape that no memory has is no latent.
    refused(run(None, Some(TemporalMask::default()), &noise(1, [4, 3, HUGE, HUGE])), "a latent");
    assert_eq!(c.dispatches(), before);
    let never = Guidance { threshold: f32::INFINITY, ..guided };
    assert!(run(Some(never), Some(TemporalMask { floor: 1.0, steps: 1 }), &latent).is_ok());
}

#[test]
fn a_transformer_refuses_texts_and_sizes_that_are_not_its_own() {
    let c = context();
    let (model, own) = wan(&c, 2);
    let (_, other) = wan(&c, 1);
    let latent = Var::constant(Tensor::from_host(&c, &noise(1, [4, 3, 4, 4])).unwrap());
    let time = model.time(500.0).unwrap();
    let pass = |text| model.forward(&mut Tape::forward(), &latent, &time, text, &WanOptions::default());
    refused(pass(&other), "a text of a model with fewer blocks");
    assert!(pass(&own).is_ok());

    let mut config = wan_config(1);
    config.patch_size = [1, 0, 2];
    refused(config.grid(3, 4, 4), "a patch of nothing");
    let request = |size| PlanRequest { guidance_scale: 1.0, ..PlanRequest::new(wan_config(1), size) };
    let plan = |size| block_on(memory_plan(&request(size), Caps::webgpu_default()));
    refused(plan([1024, 2048, 2048]), "a size beyond all noise");
    assert!(plan([3, 4, 4]).is_ok());
}

#[test]
fn text_encoders_refuse_sizes_that_make_no_batch() {
    let c = context();
    let json = br#"{"vocab_size":50,"d_model":24,"d_attn":32,"d_ff":40,"num_heads":2,"num_layers":1}"#;
    let config = Umt5Config::from_bytes("config.json", json).unwrap();
    let plan = Context::plan(c.caps().clone(), ContextOptions::default());
    let encoder = Umt5::new(&plan, Umt5Weights::planned(config)).unwrap();
    // Twice 2^63 ids are none where the product wraps around.
    refused(encoder.encode(&[], 1 << 63, &[1, 1]), "no id of very many");
    refused(encoder.encode(&[1], HUGE, &[1]), "one id of very many");
    assert!(encoder.encode(&[1, 2], 2, &[2]).is_ok());

    let config = BertConfig::open(text_folder()).unwrap();
    let mut parameters = Parameters::new(&c);
    bert::load(&mut parameters, "", &WeightStore::open(text_folder()).unwrap(), &config).unwrap();
    let (weights, texts) = (parameters.constants(), Texts::new(&[vec![1, 2, 3]]).unwrap());
    let encode = |config: &BertConfig| bert::encode(&mut Tape::forward(), &weights, "", config, &texts);
    for heads in [0, config.hidden_size - 1, HUGE] {
        let mut bad = config.clone();
        bad.heads = heads;
        refused(encode(&bad), "a number of heads");
    }
    assert!(encode(&config).is_ok());
}

#[test]
fn dashfusion_refuses_sizes_that_make_no_model() {
    let c = context();
    let text = Var::constant(full(&c, &[1, 32], 0.1));
    let [audio, vision] =
        [33, 25].map(|width| Frames::new("frames", &[&vec![0.1; width]], width, 4, Padding::Masked).unwrap());
    let batch = Batch { text, text_lengths: vec![1], audio, vision, padding: Padding::Masked };
    let weights = Parameters::new(&c).constants();
    type Spoil = fn(&mut DashFusionConfig);
    let spoiled: [Spoil; 5] = [
        |config| config.heads = 0,
        |config| config.heads = 3,
        |config| config.d_model = HUGE,
        |config| config.bottlenecks.clear(),
        |config| config.encoder_dropout = f32::NAN,
    ];
    for spoil in spoiled {
        let mut config = tiny_dashfusion();
        spoil(&mut config);
        let mut parameters = Parameters::new(&c);
        let zeros = WeightStore::zeros("none", []);
        for error in [
            keys::initialise(&mut parameters, &config, 1).err(),
            keys::load(&mut parameters, &zeros, &config).err(),
            forward(&mut Tape::forward(), &weights, &config, &batch, None).err(),
            represent(&mut Tape::forward(), &weights, &config, &batch, None).err(),
        ] {
            match error {
                Some(Error::Input { what, .. }) => assert_eq!(what, "DashFusion configuration"),
                other => panic!("{config:?}: {other:?}"),
            }
        }
        assert_eq!(parameters.count(), 0);
    }
    for (width, table) in [(0, 4), (HUGE, 4), ((1 << 16) + 1, 4), (2, (1 << 16) + 1), (2, HUGE)] {
        for padding in [Padding::Masked, Padding::Released] {
            refused(Frames::new("audio", &[&[]], width, table, padding), "frames");
        }
        refused(Frames::new("audio", &[&[0.5, 0.5]], width, table, Padding::Released), "frames");
    }
}

fn data_folder() -> PathBuf {
    root().join("kernels-tests/training/sentiment_tiny")
}

fn text_folder() -> PathBuf {
    root().join("kernels-tests/golden/bert_encode_tiny/model")
}

fn sentiment(context: &Context) -> SentimentModel {
    let description = Description::new(tiny_dashfusion(), Convention::Mosi, [-3.0, 3.0]);
    SentimentModel::fresh(context, description, &text_folder(), 3).unwrap()
}

/// The tiny data set without its last clips of the split `train`.
fn fewer_clips(left_out: usize) -> Dataset {
    let text = std::fs::read(data_folder().join(DESCRIPTION)).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let clips = json["splits"]["train"].as_array_mut().unwrap();
    clips.truncate(clips.len() - left_out);
    let features = WeightStore::open(data_folder().join(FEATURES)).unwrap();
    Dataset::from_parts(Path::new(DESCRIPTION), json.to_string().as_bytes(), &features).unwrap()
}

#[test]
fn hidden_states_are_whole_tokens() {
    let c = context();
    let mut model = sentiment(&c);
    let (whole, broken) = (vec![0.1; 64], vec![0.1; 33]);
    assert_eq!(model.text_batch(&[&whole]).unwrap().1, [2]);
    refused(model.text_batch(&[&whole, &broken]), "a token and a bit");
    model.text_config.hidden_size = 0;
    refused(model.text_batch(&[&whole]), "tokens without width");
}

fn train_options() -> TrainOptions {
    TrainOptions { epochs: 2, batch: 6, part: 6, seed: 7, ..TrainOptions::default() }
}

#[test]
fn training_takes_options_of_any_size_or_refuses_them() {
    let c = context();
    let data = Dataset::open(data_folder()).unwrap();
    let new = |options| block_on(Trainer::new(sentiment(&c), data.clone(), options));
    for options in [
        TrainOptions { learning_rate: 1e39, ..train_options() },
        TrainOptions { contrastive_weight: 1e39, ..train_options() },
        TrainOptions { weight_decay: f64::INFINITY, ..train_options() },
        TrainOptions { learning_rate: f64::NAN, ..train_options() },
        TrainOptions { learning_rate: -1e-3, ..train_options() },
    ] {
        refused(new(options), "training options");
    }
    // Steps of a whole run, and clips of eight batches, that u32 and usize do not hold.
    let quiet = TrainOptions { contrastive_weight: 0.0, ..train_options() };
    for options in [
        TrainOptions { epochs: u32::MAX, warmup_epochs: u32::MAX, ..quiet.clone() },
        TrainOptions { epochs: u32::MAX, batch: HUGE, part: HUGE, ..quiet },
    ] {
        match block_on(new(options).unwrap().next()).unwrap() {
            Some(TrainEvent::Step(record)) => assert_eq!((record.step, record.of), (1, u32::MAX)),
            other => panic!("{other:?}"),
        }
    }
}

/// A checkpoint with another state: a safetensors file holds the length of its header, the header, and the tensors.
fn with_state(checkpoint: &[u8], edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let (length, rest) = checkpoint.split_at(8);
    let (header, tensors) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    let text = &mut header["__metadata__"]["state"];
    let mut saved: serde_json::Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    edit(&mut saved["state"]);
    *text = saved.to_string().into();
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes(), &header[..], tensors].concat()
}

#[test]
fn a_checkpoint_of_other_clips_is_refused() {
    fn new(context: &Context, data: &Dataset) -> Trainer {
        block_on(Trainer::new(sentiment(context), data.clone(), train_options())).unwrap()
    }
    fn other_clips(run: &mut Trainer, path: &Path, about: &str) {
        match run.resume(path) {
            Err(Error::File { reason, .. }) => assert!(reason.contains("other clips"), "{about}: {reason}"),
            other => panic!("{about}: {other:?}"),
        }
    }
    let c = context();
    let folder = std::env::temp_dir().join(format!("foveal_refusals_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("checkpoint.safetensors");
    let data = Dataset::open(data_folder()).unwrap();
    let mut run = new(&c, &data);
    // One step, with companions retrieved for it.
    block_on(run.next()).unwrap();
    block_on(run.checkpoint(&path)).unwrap();

    // As many steps an epoch, and fewer.
    for left_out in [1, 6] {
        let fewer = fewer_clips(left_out);
        let mut run = new(&c, &fewer);
        other_clips(&mut run, &path, &format!("{left_out} clips left out"));
        assert_eq!(run.steps(), 0);
    }
    let whole = std::fs::read(&path).unwrap();
    let changed = folder.join("changed.safetensors");
    type Edit = fn(&mut serde_json::Value);
    let edits: [(&str, Edit); 5] = [
        ("batches that the epoch does not have", |state| state["batches_done"] = 9.into()),
        ("steps that the epochs do not make", |state| state["epoch"] = 1.into()),
        ("batches without end", |state| state["batches_done"] = u64::MAX.into()),
        ("a companion that is no clip", |state| state["retrieval"]["same"][0][0] = 16.into()),
        ("companions of fewer clips", |state| {
            state["retrieval"]["alike"].as_array_mut().unwrap().pop();
        }),
    ];
    for (about, edit) in edits {
        std::fs::write(&changed, with_state(&whole, edit)).unwrap();
        other_clips(&mut run, &changed, about);
    }
    std::fs::write(&changed, with_state(&whole, |_| ())).unwrap();
    for path in [&changed, &path] {
        run.resume(path).unwrap();
        assert_eq!(run.steps(), 1);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
