//! Clips a second of DashFusion in its MOSI shape: scoring, and training without companions.
//!
//! `cargo bench --bench sentiment -- --bert none|small|base` beside
//! `python tools/dashfusion_parity/throughput.py --bert none|small|base`: the same work in PyTorch.
//!
//! Clips are of full length (39 tokens, 375 frames of audio, 500 of vision), so that nothing is saved by leaving padding
//! out. `small` is a BERT of 6 layers and width 384, `base` of 12 and 768; training trains it too.

use clap::{Parser, ValueEnum};
use foveal::autograd::{Tape, Var};
use foveal::block_on;
use foveal::kernels::optim::AdamW;
use foveal::models::bert::{self, BertConfig, Texts};
use foveal::models::dashfusion::{Batch, DashFusionConfig, Frames, Padding, forward, keys};
use foveal::nn::{Accumulated, Optimiser, Parameters, Weights};
use foveal::weights::{ConfigFile, WeightStore};
use foveal::{Context, ContextOptions, Result, Tensor};
use std::time::Instant;

const TOKENS: usize = 39;

#[derive(Debug, Parser)]
struct Args {
    /// Text encoder in front
    #[arg(long, value_enum, default_value = "none")]
    bert: Encoder,
    #[arg(long, default_value_t = 16)]
    batch: usize,
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Encoder {
    None,
    Small,
    Base,
}

struct Bench {
    config: DashFusionConfig,
    parameters: Parameters,
    bert: Option<(BertConfig, Texts)>,
    text: Var,
    lengths: Vec<usize>,
    audio: Frames,
    vision: Frames,
    target: Tensor,
}

/// Anything but zeros: some drivers are faster on those.
fn noise(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i as f64 * 0.7391).sin() * 1e3).fract() as f32).collect()
}

impl Bench {
    fn new(context: &Context, args: &Args) -> Result<Self> {
        let mut config = DashFusionConfig::mosi();
        let mut parameters = Parameters::new(context);
        let sizes = match args.bert {
            Encoder::None => None,
            Encoder::Small => Some((6, 384)),
            Encoder::Base => Some((12, 768)),
        };
        let mut encoder = None;
        if let Some((layers, width)) = sizes {
            config.text_width = width;
            let json = format!(
                r#"{{"model_type": "bert", "hidden_act": "gelu", "vocab_size": 30522, "hidden_size": {width},
                "num_hidden_layers": {layers}, "num_attention_heads": 12, "intermediate_size": {}}}"#,
                4 * width
            );
            let bert_config =
                BertConfig::from_config(&ConfigFile::from_bytes("config.json", json.as_bytes())?)?;
            let store = WeightStore::zeros("bert", bert::parameter_shapes(&bert_config));
            bert::load(&mut parameters, keys::TEXT_EXTRACTOR, &store, &bert_config)?;
            let ids =
                |clip: usize| (0..TOKENS).map(|t| (1000 + clip * 997 + t * 31) as u32 % 30_000).collect();
            encoder = Some((bert_config, Texts::new(&(0..args.batch).map(ids).collect::<Vec<_>>())?));
        }
        keys::initialise(&mut parameters, &config, 1)?;
        let frames = |what, frames: usize, width: usize| {
            let values = noise(frames * width);
            Frames::new(what, &vec![&values[..]; args.batch], width, frames, Padding::Masked)
        };
        let audio = frames("audio", config.audio_frames, config.audio_width)?;
        let vision = frames("vision", config.vision_frames, config.vision_width)?;
        let rows = args.batch * TOKENS;
        let text = Tensor::from_f32(context, [rows, config.text_width], &noise(rows * config.text_width))?;
        let target = Tensor::from_f32(context, [args.batch], &noise(args.batch))?;
        let lengths = vec![TOKENS; args.batch];
        Ok(Self {
            config,
            parameters,
            bert: encoder,
            text: Var::constant(text),
            lengths,
            audio,
            vision,
            target,
        })
    }

    fn forward(&self, tape: &mut Tape, weights: &Weights) -> Result<Var> {
        let text = match &self.bert {
            Some((config, texts)) => bert::encode(tape, weights, keys::TEXT_EXTRACTOR, config, texts)?,
            None => self.text.clone(),
        };
        let batch = Batch {
            text,
            text_lengths: self.lengths.clone(),
            audio: self.audio.clone(),
            vision: self.vision.clone(),
            padding: Padding::Masked,
        };
        Ok(forward(tape, weights, &self.config, &batch, None)?.score)
    }

    fn score(&self) -> Result<()> {
        let score = self.forward(&mut Tape::forward(), &self.parameters.constants())?;
        block_on(score.tensor().to_vec()).map(|_| ())
    }

    fn train(&self, optimiser: &mut Optimiser) -> Result<()> {
        let mut tape = Tape::record();
        let weights = self.parameters.on(&mut tape, &|_| true);
        let score = self.forward(&mut tape, &weights)?;
        let mse = tape.mean_squared_error(&score, &self.target)?;
        let found = tape.backward_from(&mse)?;
        let mut gradients = Accumulated::default();
        gradients.add(weights.gradients(&found)?)?;
        optimiser.step(&self.parameters, &gradients, 1e-5, &keys::decays)?;
        // A step is done when its last parameter is written.
        block_on(self.parameters.get("classifier.MLP.4.bias")?.to_vec()).map(|_| ())
    }
}

fn report(name: &str, args: &Args, mut step: impl FnMut() -> Result<()>) -> Result<()> {
    // The first compiles.
    step()?;
    let mut times = Vec::with_capacity(args.repeats);
    for _ in 0..args.repeats.max(1) {
        let begun = Instant::now();
        step()?;
        times.push(begun.elapsed().as_secs_f64());
    }
    let rate = |seconds: f64| args.batch as f64 / seconds;
    let (best, worst) = times.iter().fold((f64::MAX, 0f64), |(b, w), &t| (b.min(t), w.max(t)));
    let (bert, batch) = (args.bert, args.batch);
    println!(
        "{name} bert={bert:?} batch={batch}: {:.2} clips/s at best, {:.2} at worst of {}",
        rate(best),
        rate(worst),
        times.len()
    );
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let context = block_on(Context::new(ContextOptions::default()))?;
    println!("adapter: {}", context.caps());
    let bench = Bench::new(&context, &args)?;
    report("score", &args, || bench.score())?;
    let mut optimiser = Optimiser::new(AdamW { weight_decay: 1e-3, ..AdamW::default() });
    report("train", &args, || bench.train(&mut optimiser))
}
