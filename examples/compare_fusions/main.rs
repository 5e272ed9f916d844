//! Trains small sentiment models that differ in their fusion on one data set, under one budget, and notes what each comes to.
//!
//! `cargo run --release --example compare_fusions -- train DATA --text-encoder BERT --out runs.jsonl`
//! `cargo run --release --example compare_fusions -- time DATA --text-encoder BERT`
//!
//! `train` takes every combination of the lists that it is given and adds a line of JSON for each: measures on `valid` at the
//! epoch that was best there, and with `--test` on `test` for that epoch's weights. A run ends once `--patience` epochs brought
//! nothing better. Combinations that have their line already are left out, so a study that was stopped goes on. `time` trains and scores
//! with all fusions in turn, so that what else the machine does meets all of them alike. `evaluate` measures models that
//! are there. A study's table: `tools/fusion_study`.

use clap::{Args, Parser, Subcommand};
use foveal::models::dashfusion::{DashFusionConfig, Fusion, keys};
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::metrics::{Convention, Metrics};
use foveal::pipelines::sentiment::{
    Description, ScoreRequest, SentimentModel, TextMemory, TrainEvent, TrainOptions, Trainer,
};
use foveal::{Context, ContextOptions, HostTensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug, Parser)]
#[command(about = "Fusions of a sentiment model against each other")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains every combination and notes its measures
    Train(Train),
    /// Clips a second of every fusion, taken in turn
    Time(Time),
    /// Measures trained models on a split, a line of JSON each on stdout
    Evaluate(Evaluate),
}

#[derive(Debug, Args)]
struct Shape {
    /// Folder with dataset.json and features.safetensors
    data: PathBuf,
    /// Hugging Face folder of a BERT encoder, which stays as it is
    #[arg(long)]
    text_encoder: PathBuf,
    /// hierarchical, concatenation, late, text, audio, vision
    #[arg(long, value_delimiter = ',', value_parser = fusion, default_value = ALL)]
    fusions: Vec<Fusion>,
    /// Width of all streams; four heads, feed-forward layers twice as wide
    #[arg(long, default_value_t = 64)]
    width: usize,
    /// Blocks of the audio and of the vision encoder
    #[arg(long, default_value_t = 1)]
    layers: usize,
    /// Bottleneck tokens of each level of the hierarchical fusion
    #[arg(long, value_delimiter = ',', default_value = "8,4")]
    levels: Vec<usize>,
    /// Clips of an optimiser step
    #[arg(long, default_value_t = 32)]
    batch: usize,
}

#[derive(Debug, Args)]
struct Train {
    #[command(flatten)]
    shape: Shape,
    /// A line of JSON a run
    #[arg(long)]
    out: PathBuf,
    #[arg(long, value_delimiter = ',', default_value = "1")]
    seeds: Vec<u64>,
    /// Largest learning rates
    #[arg(long, value_delimiter = ',', default_value = "1e-3")]
    rates: Vec<f64>,
    /// Dropouts of the encoders' blocks
    #[arg(long, value_delimiter = ',', default_value = "0.1")]
    dropouts: Vec<f32>,
    #[arg(long, value_delimiter = ',', default_value = "1e-3")]
    weight_decays: Vec<f64>,
    /// Weights of the contrast, which only the hierarchical fusion has
    #[arg(long, value_delimiter = ',', default_value = "0")]
    contrasts: Vec<f64>,
    #[arg(long, default_value_t = 20)]
    epochs: u32,
    /// Epochs without a better error on `valid` after which a run ends
    #[arg(long, default_value_t = 5)]
    patience: u32,
    /// Measure the best epoch's weights on `test` too
    #[arg(long)]
    test: bool,
}

#[derive(Debug, Args)]
struct Time {
    #[command(flatten)]
    shape: Shape,
    /// Times that every fusion has its turn
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

#[derive(Debug, Args)]
struct Evaluate {
    /// Folder with dataset.json and features.safetensors
    data: PathBuf,
    /// Folders of models, all with the same frozen text encoder
    #[arg(long, num_args = 1.., required = true)]
    models: Vec<PathBuf>,
    #[arg(long, default_value = "test")]
    split: String,
    #[arg(long, default_value_t = 32)]
    batch: usize,
}

const ALL: &str = "hierarchical,concatenation,late,text,audio,vision";

fn fusion(name: &str) -> Result<Fusion, String> {
    let quoted = serde_json::Value::String(name.to_owned());
    serde_json::from_value(quoted).map_err(|_| format!("`{name}` is none of {ALL}"))
}

/// What a run is asked for: two lines with the same are the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Asked {
    data: String,
    fusion: Fusion,
    seed: u64,
    rate: f64,
    dropout: f32,
    weight_decay: f64,
    contrast: f64,
    width: usize,
    layers: usize,
    levels: Vec<usize>,
    batch: usize,
    epochs: u32,
    patience: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measures {
    mae: f64,
    corr: f64,
}

impl From<&Metrics> for Measures {
    fn from(all: &Metrics) -> Self {
        let corr = match all {
            Metrics::Mosi(m) => m.corr,
            Metrics::Sims(m) => m.corr,
        };
        Self { mae: all.mae(), corr }
    }
}

/// A line of the study.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    asked: Asked,
    /// Parameters that take part, without the text encoder's.
    parameters: usize,
    epochs_run: u32,
    best_epoch: u32,
    /// Mean squared error over the training clips in the best epoch and in the last.
    train_mse: [f64; 2],
    valid: Measures,
    test: Option<Measures>,
    seconds: f64,
    adapter: String,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = match &Cli::parse().command {
        Command::Train(args) => foveal::block_on(study(args)),
        Command::Time(args) => foveal::block_on(time(args)),
        Command::Evaluate(args) => foveal::block_on(evaluate(args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What all runs share.
struct Bench {
    context: Context,
    data: Arc<Dataset>,
    memory: TextMemory,
    text_width: usize,
}

impl Bench {
    async fn new(shape: &Shape) -> Outcome<Self> {
        let data = Arc::new(Dataset::open(&shape.data)?);
        let context = Context::new(ContextOptions::default()).await?;
        eprintln!("adapter: {}", context.caps().adapter);
        let text = foveal::models::bert::BertConfig::open(&shape.text_encoder)?;
        Ok(Self { context, data, memory: TextMemory::default(), text_width: text.hidden_size })
    }

    fn config(&self, shape: &Shape, fusion: Fusion, dropout: f32) -> DashFusionConfig {
        let [audio_frames, vision_frames] = self.data.longest();
        DashFusionConfig {
            text_width: self.text_width,
            audio_width: self.data.audio_width,
            vision_width: self.data.vision_width,
            audio_frames,
            vision_frames,
            d_model: shape.width,
            heads: 4,
            alignment_head_dim: shape.width / 4,
            ffn: 2 * shape.width,
            audio_layers: shape.layers,
            vision_layers: shape.layers,
            bottlenecks: shape.levels.clone(),
            position_dropout: 0.1,
            encoder_dropout: dropout,
            fusion,
        }
    }

    async fn trainer(
        &self,
        shape: &Shape,
        config: DashFusionConfig,
        options: TrainOptions,
    ) -> Outcome<Trainer> {
        let description = Description::new(config, Convention::Mosi, self.data.label_range);
        let model = SentimentModel::fresh(&self.context, description, &shape.text_encoder, options.seed)?;
        let model = model.with_text_memory(self.memory.clone());
        Ok(Trainer::new(model, self.data.clone(), options).await?)
    }
}

/// Parameters that take part in the model's passes, the text encoder's left out.
fn taken(model: &SentimentModel) -> usize {
    let fusion = model.description.model.fusion;
    let own = |name: &str| !name.starts_with(keys::TEXT_EXTRACTOR) && keys::takes_part(name, fusion);
    model.parameters.iter().filter(|(name, _)| own(name)).map(|(_, t)| t.len()).sum()
}

fn lines(path: &Path) -> Outcome<Vec<Line>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(|e| foveal::Error::io(path, e))?;
    let line = |(n, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| format!("{} line {}: {e}", path.display(), n + 1).into())
    };
    text.lines().enumerate().map(line).collect()
}

async fn study(args: &Train) -> Outcome<()> {
    let bench = Bench::new(&args.shape).await?;
    let known = lines(&args.out)?;
    let io = |e| foveal::Error::io(&args.out, e);
    let mut out = std::fs::OpenOptions::new().create(true).append(true).open(&args.out).map_err(io)?;
    for asked in combinations(args, &bench.data) {
        let twin = known.iter().find(|l| l.asked == asked && (l.test.is_some() || !args.test));
        if twin.is_some() {
            continue;
        }
        let line = one(args, &bench, asked).await?;
        eprintln!(
            "{:?} seed {} rate {} dropout {}: epoch {} of {}, train error² {:.3}, valid MAE {:.4}, {:.0} s",
            line.asked.fusion,
            line.asked.seed,
            line.asked.rate,
            line.asked.dropout,
            line.best_epoch,
            line.epochs_run,
            line.train_mse[0],
            line.valid.mae,
            line.seconds
        );
        writeln!(out, "{}", serde_json::to_string(&line)?).and_then(|()| out.flush()).map_err(io)?;
    }
    Ok(())
}

fn combinations(args: &Train, data: &Dataset) -> Vec<Asked> {
    let mut all = Vec::new();
    for &seed in &args.seeds {
        for &fusion in &args.shape.fusions {
            for &rate in &args.rates {
                for &dropout in &args.dropouts {
                    for &weight_decay in &args.weight_decays {
                        for &contrast in &args.contrasts {
                            all.push(Asked {
                                data: data.name.clone(),
                                fusion,
                                seed,
                                rate,
                                dropout,
                                weight_decay,
                                contrast,
                                width: args.shape.width,
                                layers: args.shape.layers,
                                levels: args.shape.levels.clone(),
                                batch: args.shape.batch,
                                epochs: args.epochs,
                                patience: args.patience,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

/// The model's own parameters on the host, by name.
async fn copied(model: &SentimentModel) -> foveal::Result<BTreeMap<String, HostTensor>> {
    let mut all = BTreeMap::new();
    for (name, tensor) in model.parameters.iter().filter(|(name, _)| !name.starts_with(keys::TEXT_EXTRACTOR))
    {
        all.insert(name.to_owned(), HostTensor::new(tensor.dims(), tensor.to_vec().await?)?);
    }
    Ok(all)
}

async fn one(args: &Train, bench: &Bench, asked: Asked) -> Outcome<Line> {
    let options = TrainOptions {
        epochs: asked.epochs,
        batch: asked.batch,
        part: asked.batch,
        learning_rate: asked.rate,
        warmup_epochs: 1,
        weight_decay: asked.weight_decay,
        contrastive_weight: asked.contrast,
        clip_norm: Some(1.0),
        train_text: false,
        seed: asked.seed,
    };
    let config = bench.config(&args.shape, asked.fusion, asked.dropout);
    let mut run = bench.trainer(&args.shape, config, options).await?;
    let (begun, mut best) = (Instant::now(), None);
    while let Some(event) = run.next().await? {
        let TrainEvent::Epoch { record, best: better, .. } = event else { continue };
        if better {
            best = Some((record.clone(), copied(&run.model).await?));
        }
        let since = best.as_ref().map_or(0, |(best, _)| record.epoch - best.epoch);
        if since >= args.patience {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (record, weights) = best.ok_or("no epoch has a number as its error")?;
    for (name, values) in &weights {
        run.model.parameters.insert(name.as_str(), values)?;
    }
    let mut test = None;
    if args.test {
        let request = ScoreRequest { batch: asked.batch, ..ScoreRequest::split("test") };
        let found = run.model.evaluate(&bench.data, &request, |_| ControlFlow::Continue(())).await?;
        test = Some(Measures::from(&found.metrics));
    }
    let last = run.history().last().map_or(record.train_mse, |last| last.train_mse);
    Ok(Line {
        asked,
        parameters: taken(&run.model),
        epochs_run: run.history().len() as u32,
        best_epoch: record.epoch,
        train_mse: [record.train_mse, last],
        valid: Measures::from(&record.valid),
        test,
        seconds,
        adapter: bench.context.caps().adapter.to_string(),
    })
}

async fn evaluate(args: &Evaluate) -> Outcome<()> {
    let data = Dataset::open(&args.data)?;
    let context = Context::new(ContextOptions::default()).await?;
    eprintln!("adapter: {}", context.caps().adapter);
    let (memory, request) = (TextMemory::default(), ScoreRequest::split(&args.split));
    let request = ScoreRequest { batch: args.batch, ..request };
    for folder in &args.models {
        let model = SentimentModel::open(&context, folder)?.with_text_memory(memory.clone());
        let found = model.evaluate(&data, &request, |_| ControlFlow::Continue(())).await?;
        let Measures { mae, corr } = Measures::from(&found.metrics);
        let line = serde_json::json!({ "model": folder.display().to_string(), "mae": mae, "corr": corr, "scores": found.scores });
        println!("{line}");
    }
    Ok(())
}

/// The middle one of some numbers.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn time(args: &Time) -> Outcome<()> {
    let (bench, batch) = (Bench::new(&args.shape).await?, args.shape.batch);
    let mut runs = Vec::new();
    for &fusion in &args.shape.fusions {
        let options =
            TrainOptions { batch, part: batch, seed: 1, contrastive_weight: 0.0, ..TrainOptions::default() };
        let run = bench.trainer(&args.shape, bench.config(&args.shape, fusion, 0.1), options).await?;
        runs.push((fusion, run, Vec::new(), Vec::new()));
    }
    let request = ScoreRequest { batch, ..ScoreRequest::split("valid") };
    let clips = bench.data.split("valid")?.len() as f64;
    // The first round compiles, and is not counted.
    for round in 0..=args.rounds {
        for (_, run, train, score) in &mut runs {
            let begun = Instant::now();
            run.next().await?;
            let step = batch as f64 / begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            run.model.score(&bench.data, &request, |_| ControlFlow::Continue(())).await?;
            if round > 0 {
                train.push(step);
                score.push(clips / begun.elapsed().as_secs_f64());
            }
        }
    }
    println!("{:<14} {:>10} {:>9} {:>9}", "fusion", "parameters", "train/s", "score/s");
    for (fusion, run, train, score) in runs {
        let name = serde_json::to_string(&fusion)?.replace('"', "");
        println!("{name:<14} {:>10} {:>9.1} {:>9.1}", taken(&run.model), median(train), median(score));
    }
    Ok(())
}
