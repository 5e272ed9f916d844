//! DashFusion on this machine's adapter: padding that leaves no trace, and training that follows PyTorch.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Tape, Var};
use foveal::block_on;
use foveal::kernels::optim::AdamW;
use foveal::models::dashfusion::{Batch, DashFusionConfig, Frames, Padding, forward, keys, loss, represent};
use foveal::nn::{Accumulated, Optimiser, Parameters, WarmupLinear, Weights};
use foveal::weights::WeightStore;
use foveal::{Context, HostTensor, Tensor};
use kernels_tests::golden::{Case, new_context};
use kernels_tests::root;
use serde_json::Value;

fn case() -> Case {
    Case::open(root().join("kernels-tests/golden/dash_forward_mosi_a")).unwrap()
}

fn json(name: &str) -> Value {
    let path = root().join("kernels-tests/training").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn parameters(context: &Context, case: &Case) -> Parameters {
    let mut parameters = Parameters::new(context);
    keys::load(&mut parameters, &case.weights(), &DashFusionConfig::mosi()).unwrap();
    parameters
}

/// Text, audio and vision of one clip, without padding.
#[derive(Clone)]
struct Clip {
    text: Vec<f32>,
    audio: Vec<f32>,
    vision: Vec<f32>,
}

/// A matrix of frames cut to a number of them.
fn rows(values: &[f32], width: usize, count: usize) -> Vec<f32> {
    values[..width * count].to_vec()
}

/// The golden clips by their true lengths.
fn golden_clips(case: &Case) -> Vec<Clip> {
    let [text, audio, vision] = ["text_hidden", "audio", "vision"].map(|n| case.input(n).unwrap());
    let lengths = |name: &str| case.usizes(name).unwrap();
    let (t, a, v) = (lengths("text_lengths"), lengths("audio_valid"), lengths("vision_valid"));
    let each = |all: &HostTensor, width: usize, i: usize, n: usize| {
        let own = all.data().len() / t.len();
        rows(&all.data()[i * own..], width, n)
    };
    let clip = |i: usize| Clip {
        text: each(&text, 768, i, t[i]),
        audio: each(&audio, 5, i, a[i]),
        vision: each(&vision, 20, i, v[i]),
    };
    (0..t.len()).map(clip).collect()
}

struct Inputs {
    text: Var,
    lengths: Vec<usize>,
    audio: Frames,
    vision: Frames,
    padding: Padding,
}

impl Inputs {
    /// `extra` more rows of text padding than the longest text needs.
    fn new(context: &Context, clips: &[&Clip], padding: Padding, extra: usize) -> Self {
        let c = DashFusionConfig::mosi();
        let lengths: Vec<usize> = clips.iter().map(|c| c.text.len() / 768).collect();
        let longest = lengths.iter().max().unwrap() + extra;
        let mut text = Vec::new();
        for clip in clips {
            text.extend(&clip.text);
            // Padding of the hidden state is whatever the text encoder made of it.
            text.extend((clip.text.len()..longest * 768).map(|i| ((i * 37 % 101) as f32 - 50.0) / 20.0));
        }
        let text = Var::constant(Tensor::from_f32(context, [clips.len() * longest, 768], &text).unwrap());
        let audio: Vec<&[f32]> = clips.iter().map(|c| &c.audio[..]).collect();
        let vision: Vec<&[f32]> = clips.iter().map(|c| &c.vision[..]).collect();
        let audio = Frames::new("audio", &audio, c.audio_width, c.audio_frames, padding).unwrap();
        let vision = Frames::new("vision", &vision, c.vision_width, c.vision_frames, padding).unwrap();
        Self { text, lengths, audio, vision, padding }
    }

    fn batch(&self) -> Batch {
        Batch {
            text: self.text.clone(),
            text_lengths: self.lengths.clone(),
            audio: self.audio.clone(),
            vision: self.vision.clone(),
            padding: self.padding,
        }
    }
}

fn scores(context: &Context, weights: &Weights, clips: &[&Clip], extra: usize) -> Vec<f32> {
    let inputs = Inputs::new(context, clips, Padding::Masked, extra);
    let config = DashFusionConfig::mosi();
    let pass = forward(&mut Tape::forward(), weights, &config, &inputs.batch(), None).unwrap();
    block_on(pass.score.tensor().to_vec()).unwrap()
}

#[test]
fn masked_scores_are_those_of_each_clip_without_padding() {
    let (context, case) = (new_context().unwrap(), case());
    let weights = parameters(&context, &case).constants();
    let clips = golden_clips(&case);
    let found = scores(&context, &weights, &clips.iter().collect::<Vec<_>>(), 3);
    let expected = json("dashfusion_masked.json");
    for (i, score) in found.iter().enumerate() {
        let expected = expected["by_length"][i]["prediction"].as_f64().unwrap();
        // The oracle is f64; the released weights amplify f32's rounding tenfold in the head.
        assert!((f64::from(*score) - expected).abs() < 1e-5, "clip {i}: {score}, not {expected}");
    }
}

#[test]
fn masked_scores_do_not_depend_on_the_batch() {
    let (context, case) = (new_context().unwrap(), case());
    let weights = parameters(&context, &case).constants();
    let golden = golden_clips(&case);
    let short = |of: &Clip, text: usize, audio: usize, vision: usize| Clip {
        text: rows(&of.text, 768, text),
        audio: rows(&of.audio, 5, audio),
        vision: rows(&of.vision, 20, vision),
    };
    // Texts shorter than the bottleneck, single frames, and missing modalities among them.
    let clips = [
        short(&golden[0], 3, 90, 41),
        short(&golden[1], 22, 1, 7),
        short(&golden[0], 13, 0, 120),
        short(&golden[1], 9, 64, 0),
        short(&golden[1], 5, 0, 0),
        short(&golden[0], 8, 33, 1),
    ];
    let alone: Vec<f32> = clips.iter().map(|c| scores(&context, &weights, &[c], 0)[0]).collect();
    assert!(alone.iter().all(|s| s.is_finite()));
    let spread =
        alone.iter().copied().fold(f32::MIN, f32::max) - alone.iter().copied().fold(f32::MAX, f32::min);
    assert!(spread > 0.1, "the clips' scores are too alike to tell anything: {alone:?}");
    for (order, extra) in
        [(vec![0, 1, 2, 3, 4, 5], 0), (vec![5, 2, 0], 9), (vec![1, 4], 2), (vec![3, 1, 3], 0)]
    {
        let batch: Vec<&Clip> = order.iter().map(|&i: &usize| &clips[i]).collect();
        for (i, score) in order.iter().zip(scores(&context, &weights, &batch, extra)) {
            let off = (score - alone[*i]).abs();
            assert!(off <= 1e-5, "clip {i} in {order:?} with {extra} rows more: {off:e} from alone");
        }
    }
}

#[test]
fn released_padding_does_leave_a_trace() {
    // What the property above would miss if the clips could not show it.
    let (context, case) = (new_context().unwrap(), case());
    let weights = parameters(&context, &case).constants();
    let golden = golden_clips(&case);
    let config = DashFusionConfig::mosi();
    let score = |clips: &[&Clip]| {
        let inputs = Inputs::new(&context, clips, Padding::Released, 0);
        let pass = forward(&mut Tape::forward(), &weights, &config, &inputs.batch(), None).unwrap();
        block_on(pass.score.tensor().to_vec()).unwrap()[0]
    };
    assert!((score(&[&golden[0]]) - score(&[&golden[0], &golden[1]])).abs() > 0.01);
}

/// Twenty AdamW steps on the golden clips and their companions, as `tools/dashfusion_parity` takes them in PyTorch.
fn follow(run: &str) {
    let (context, case) = (new_context().unwrap(), case());
    let record = json("dashfusion_parity.json");
    let (settings, run) = (&record["settings"], &record["runs"][run]);
    let parameters = parameters(&context, &case);
    let config = DashFusionConfig::mosi();
    let number = |v: &Value| v.as_f64().unwrap();

    let audio_all = case.input("audio").unwrap();
    let vision_all = case.input("vision").unwrap();
    let anchors: Vec<Clip> = golden_clips(&case)
        .into_iter()
        .enumerate()
        .map(|(i, clip)| Clip {
            audio: audio_all.data()[i * 375 * 5..(i + 1) * 375 * 5].to_vec(),
            vision: vision_all.data()[i * 500 * 20..(i + 1) * 500 * 20].to_vec(),
            ..clip
        })
        .collect();
    let store =
        WeightStore::open(root().join("kernels-tests/training/dashfusion_parity.safetensors")).unwrap();
    let [text, audio, vision] = ["text", "audio", "vision"].map(|n| store.load_any(n).unwrap());
    let count = text.shape().dims()[0];
    let part = |t: &HostTensor, i: usize| {
        let own = t.data().len() / count;
        t.data()[i * own..(i + 1) * own].to_vec()
    };
    let others: Vec<Clip> = (0..count)
        .map(|i| Clip { text: part(&text, i), audio: part(&audio, i), vision: part(&vision, i) })
        .collect();
    let anchors = Inputs::new(&context, &anchors.iter().collect::<Vec<_>>(), Padding::Released, 0);
    let others = Inputs::new(&context, &others.iter().collect::<Vec<_>>(), Padding::Released, 0);
    let target = Tensor::from_host(&context, &case.input("label").unwrap()).unwrap();

    let total_steps = settings["steps"].as_u64().unwrap() as u32;
    let plan = WarmupLinear {
        peak: number(&settings["peak_learning_rate"]),
        warmup: settings["warmup_steps"].as_u64().unwrap() as u32,
        total: total_steps,
    };
    let settings = AdamW { weight_decay: number(&run["weight_decay"]), ..AdamW::default() };
    let weight = number(&run["contrastive_weight"]);
    let mut optimiser = Optimiser::new(settings);
    let history = run["history"].as_array().unwrap();
    let mut worst = 0f64;
    for step in 0..=total_steps {
        let mut tape = Tape::record();
        let weights = parameters.on(&mut tape, &|_| true);
        let pass = forward(&mut tape, &weights, &config, &anchors.batch(), None).unwrap();
        let beside = represent(&mut tape, &weights, &config, &others.batch(), None).unwrap();
        let vectors = loss::embeddings(&mut tape, &pass.before, &beside).unwrap();
        let contrast = loss::contrast(&mut tape, &vectors, loss::TEMPERATURE).unwrap();
        let mse = tape.mean_squared_error(&pass.score, &target).unwrap();
        let clips = target.len();
        let read = |v: &Var| block_on(v.tensor().to_vec()).unwrap();
        let pull = read(&contrast.groups).iter().map(|&v| f64::from(v)).sum::<f64>() / clips as f64;
        let total = f64::from(read(&mse)[0]) + weight * pull;
        let expected = number(&history[step as usize]["total"]);
        worst = worst.max((total / expected - 1.0).abs());
        // What is asked for; PyTorch's own f32 is within 7e-6 of its f64.
        assert!((total / expected - 1.0).abs() < 1e-3, "step {step}: {total}, not {expected}");
        if step == total_steps {
            break;
        }
        let one = Tensor::from_f32(&context, [1], &[1.0]).unwrap();
        let share = vec![(weight / clips as f64) as f32; clips];
        let share = Tensor::from_f32(&context, [clips], &share).unwrap();
        let found = tape.backward(&[(&mse, one), (&contrast.groups, share)]).unwrap();
        let mut gradients = Accumulated::default();
        gradients.add(weights.gradients(&found).unwrap()).unwrap();
        if step == 0 {
            let norms = run["first_gradient_norms"].as_object().unwrap();
            let largest = norms.values().map(number).fold(0.0, f64::max);
            for (name, expected) in norms {
                let (_, gradient) = gradients.iter().find(|(n, _)| n == name).unwrap();
                let values = block_on(gradient.to_vec()).unwrap();
                let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                let expected = number(expected);
                // Sums over up to a thousand rows in f32.
                let off = (norm - expected).abs();
                assert!(off < 1e-3 * expected + 1e-6 * largest, "{name}: gradient of {norm}, not {expected}");
            }
        }
        optimiser.step(&parameters, &gradients, plan.rate(step), &keys::decays).unwrap();
    }
    println!("largest relative distance of the loss from PyTorch's: {worst:.1e}");
    for (name, expected) in run["final_weight_norms"].as_object().unwrap() {
        let values = block_on(parameters.get(name).unwrap().to_vec()).unwrap();
        let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        assert!((norm / number(expected) - 1.0).abs() < 1e-3, "{name}: {norm}, not {expected}");
    }
}

#[test]
fn training_follows_pytorch_as_released() {
    follow("released");
}

#[test]
fn training_follows_pytorch_where_decay_and_contrast_show() {
    follow("strong");
}
