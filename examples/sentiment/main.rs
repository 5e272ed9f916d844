//! Trains a sentiment model on feature files, measures it, and scores clips in bulk.
//!
//! `cargo run --release --example sentiment -- train DATA --text-encoder BERT --out MODEL`
//! `cargo run --release --example sentiment -- evaluate DATA --model MODEL`
//! `cargo run --release --example sentiment -- score DATA --model MODEL --out scores.jsonl`
//!
//! `cargo run --release --example sentiment -- features CLIPS --out DATA`
//! `cargo run --release --example sentiment -- score clip.wav --text "What is said in it." --model MODEL`
//!
//! DATA is a folder that `features`, `tools/convert_mmsa` or `tools/sentiment_data` made, BERT a Hugging Face folder of a `BertModel`.
//! Training and scoring may be killed at any time: started again with the same arguments they go on.

mod clips;
mod list;
mod plot;
mod table;

use clap::{Args, Parser, Subcommand, ValueEnum};
use foveal::models::dashfusion::{DashFusionConfig, Fusion, Padding, loss};
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::log::ScoreLog;
use foveal::pipelines::sentiment::metrics::{Convention, Metrics};
use foveal::pipelines::sentiment::{
    Description, Saving, ScoreEvent, ScoreRequest, SentimentModel, TrainEvent, TrainOptions, Trainer,
};
use foveal::{Context, ContextOptions};
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Parser)]
#[command(about = "Multimodal sentiment from feature files")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a model on the splits `train` and `valid`
    Train(Train),
    /// Measures a model on a split
    Evaluate(Evaluate),
    /// Scores every clip of a data set, one line each, or one sound file
    Score(Score),
    /// Makes a data set of sounds and a list of what is said in them
    Features(clips::Features),
}

#[derive(Debug, Args)]
struct Train {
    /// Folder with dataset.json and features.safetensors
    data: PathBuf,
    /// Hugging Face folder of a BERT encoder
    #[arg(long)]
    text_encoder: PathBuf,
    /// Folder for the model, its checkpoint and plots
    #[arg(long)]
    out: PathBuf,
    /// Sizes of the encoders and the fusion; widths and lengths come from the data
    #[arg(long, value_enum, default_value = "mosi")]
    preset: Preset,
    /// What the head sees: the fusion, plain concatenation, or one modality
    #[arg(long, value_enum, default_value = "hierarchical")]
    fusion: FusionArg,
    #[arg(long, default_value_t = 100)]
    epochs: u32,
    /// Clips of an optimiser step
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Clips of a pass, where a batch is too large for the device
    #[arg(long)]
    part: Option<usize>,
    /// Largest learning rate
    #[arg(long, default_value_t = 5e-5)]
    rate: f64,
    #[arg(long, default_value_t = 10)]
    warmup_epochs: u32,
    #[arg(long, default_value_t = 1e-3)]
    weight_decay: f64,
    /// Weight of the contrast with six companions a clip; 0 trains seven times as fast
    #[arg(long, default_value_t = loss::WEIGHT)]
    contrast: f64,
    /// Dropout of the audio and vision encoders' blocks
    #[arg(long, default_value_t = 0.5)]
    dropout: f32,
    /// Largest norm of a gradient
    #[arg(long)]
    clip_norm: Option<f64>,
    /// Train the text encoder too
    #[arg(long)]
    train_text: bool,
    #[arg(long, default_value_t = 12)]
    seed: u64,
    /// Steps between checkpoints; there is one after every epoch too
    #[arg(long, default_value_t = 100)]
    checkpoint_steps: u32,
}

#[derive(Debug, Args)]
struct Evaluate {
    /// Folder with dataset.json and features.safetensors
    data: PathBuf,
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value = "test")]
    split: String,
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Pad as the released code does
    #[arg(long)]
    compat: bool,
    /// Predicted against true, as SVG
    #[arg(long)]
    plot: Option<PathBuf>,
    /// The measures as JSON, on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Score {
    /// Folder with dataset.json and features.safetensors, or a sound file (wav, mp3, flac, ogg) whose score goes to stdout
    data: PathBuf,
    #[arg(long)]
    model: PathBuf,
    /// scores.jsonl or scores.csv of a data set; clips that it has are not scored again
    #[arg(long, conflicts_with = "text")]
    out: Option<PathBuf>,
    #[command(flatten)]
    clip: clips::OneClip,
    /// Only clips of this split
    #[arg(long)]
    split: Option<String>,
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Pad as the released code does
    #[arg(long)]
    compat: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    Mosi,
    Mosei,
    Sims,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FusionArg {
    Hierarchical,
    Concatenation,
    Text,
    Audio,
    Vision,
}

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = foveal::block_on(async {
        match &cli.command {
            Command::Train(args) => train(args).await,
            Command::Evaluate(args) => measure(args).await,
            Command::Score(args) => score(args).await,
            Command::Features(args) => clips::features(args),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn context() -> foveal::Result<Context> {
    let context = Context::new(ContextOptions::default()).await?;
    eprintln!("adapter: {}", context.caps().adapter);
    Ok(context)
}

fn open(path: &Path) -> foveal::Result<Dataset> {
    let data = Dataset::open(path)?;
    let clips: Vec<String> = data.splits.iter().map(|(name, c)| format!("{} {name}", c.len())).collect();
    eprintln!("data: {}, {} clips", data.name, clips.join(", "));
    if data.cleaned > 0 {
        eprintln!("data: {} audio values were minus infinity and are 0 now", data.cleaned);
    }
    Ok(data)
}

fn bar(length: u64, unit: &str) -> ProgressBar {
    let style = format!("{{bar:30}} {{pos}}/{{len}} {unit} {{elapsed}}, {{eta}} left, {{per_sec}} {{msg}}");
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn sizes(args: &Train, data: &Dataset, text_width: usize) -> (DashFusionConfig, Convention) {
    let (mut config, convention) = match args.preset {
        Preset::Mosi => (DashFusionConfig::mosi(), Convention::Mosi),
        Preset::Mosei => (DashFusionConfig::mosei(), Convention::Mosi),
        Preset::Sims => (DashFusionConfig::sims(), Convention::Sims),
    };
    // Positions for clips longer than the data's own, as the published tables have them.
    let [audio, vision] = data.longest();
    config.text_width = text_width;
    (config.audio_width, config.vision_width) = (data.audio_width, data.vision_width);
    (config.audio_frames, config.vision_frames) =
        (config.audio_frames.max(audio), config.vision_frames.max(vision));
    config.encoder_dropout = args.dropout;
    config.fusion = match args.fusion {
        FusionArg::Hierarchical => Fusion::Hierarchical,
        FusionArg::Concatenation => Fusion::Concatenation,
        FusionArg::Text => Fusion::Text,
        FusionArg::Audio => Fusion::Audio,
        FusionArg::Vision => Fusion::Vision,
    };
    (config, convention)
}

async fn train(args: &Train) -> Outcome {
    let data = Arc::new(open(&args.data)?);
    let context = context().await?;
    let text = foveal::models::bert::BertConfig::open(&args.text_encoder)?;
    let (config, convention) = sizes(args, &data, text.hidden_size);
    let description = Description::new(config, convention, data.label_range).for_data(&data)?;
    let model = SentimentModel::fresh(&context, description, &args.text_encoder, args.seed)?;
    let options = TrainOptions {
        epochs: args.epochs,
        batch: args.batch,
        part: args.part.unwrap_or(args.batch),
        learning_rate: args.rate,
        warmup_epochs: args.warmup_epochs,
        weight_decay: args.weight_decay,
        contrastive_weight: args.contrast,
        clip_norm: args.clip_norm,
        train_text: args.train_text,
        seed: args.seed,
    };
    std::fs::create_dir_all(&args.out)?;
    let (checkpoint, best) = (args.out.join("checkpoint.safetensors"), args.out.join("best"));
    let saving = Saving {
        checkpoint: Some(checkpoint.clone()),
        every_steps: Some(args.checkpoint_steps),
        best: Some(best.clone()),
    };
    let mut run = Trainer::new(model, data.clone(), options).await?.with_saving(saving);
    if checkpoint.exists() {
        run.resume(&checkpoint)?;
        eprintln!("going on after step {}", run.steps());
    }
    let per_epoch = data.split("train")?.len().div_ceil(args.batch) as u64;
    let bar = bar(per_epoch * u64::from(args.epochs), "steps");
    bar.set_position(run.steps().into());
    bar.reset_eta();
    let mut history = run.history().to_vec();
    let mut failure = None;
    let outcome = run.run(|event| {
        match event {
            TrainEvent::Step(step) => {
                bar.set_position(step.step.into());
                bar.set_message(format!("error² {:.3} contrast {:.3}", step.mse, step.contrast));
            }
            TrainEvent::Epoch { record: epoch, best, .. } => {
                let mark = if *best { ", the best so far" } else { "" };
                let (mse, mae) = (epoch.train_mse, epoch.valid.mae());
                let line = format!("epoch {}: error² {mse:.4}, valid MAE {mae:.4}{mark}", epoch.epoch);
                bar.suspend(|| eprintln!("{line}"));
                history.push(epoch.clone());
                if let Err(error) = plot::losses(&history, &args.out.join("losses.svg")) {
                    failure = Some(error.to_string());
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let outcome = outcome.await;
    match (outcome, failure) {
        (Err(foveal::Error::Cancelled(_)), Some(error)) => return Err(error.into()),
        (outcome, _) => outcome?,
    };
    bar.finish();
    if data.splits.get("test").is_some_and(|clips| !clips.is_empty()) {
        let model = SentimentModel::open(&context, &best)?;
        let request = ScoreRequest { batch: args.batch, ..ScoreRequest::split("test") };
        let found = model.evaluate(&data, &request, |_| ControlFlow::Continue(())).await?;
        print_measures(&found.metrics);
        plot::predicted(&found.scores, &found.labels, data.label_range, &args.out.join("predicted.svg"))?;
    }
    eprintln!("{}", args.out.display());
    Ok(())
}

fn print_measures(measures: &Metrics) {
    for (name, value) in measures.rows() {
        println!("{name:<12} {value:.4}");
    }
}

async fn model(path: &Path, compat: bool) -> foveal::Result<SentimentModel> {
    let mut model = SentimentModel::open(&context().await?, path)?;
    if compat {
        model.padding = Padding::Released;
    }
    Ok(model)
}

async fn measure(args: &Evaluate) -> Outcome {
    let data = open(&args.data)?;
    let model = model(&args.model, args.compat).await?;
    let request = ScoreRequest { batch: args.batch, ..ScoreRequest::split(&args.split) };
    let found = model.evaluate(&data, &request, |_| ControlFlow::Continue(())).await?;
    if args.json {
        println!("{}", serde_json::to_string(&found.metrics)?);
    } else {
        print_measures(&found.metrics);
        let part = data.split(&args.split)?.iter().filter(|c| !c.missing().is_empty()).count();
        println!("{} clips, {part} of them without audio or vision", found.scores.len());
    }
    if let Some(path) = &args.plot {
        plot::predicted(&found.scores, &found.labels, data.label_range, path)?;
    }
    Ok(())
}

async fn score(args: &Score) -> Outcome {
    if args.clip.text.is_some() || args.data.is_file() {
        return clips::score(&args.data, &args.clip, &args.model).await;
    }
    let out = args.out.as_ref().ok_or("scores of a data set go to a file: --out scores.jsonl")?;
    let data = open(&args.data)?;
    let mut log = ScoreLog::open(out)?;
    let model = model(&args.model, args.compat).await?;
    let total = match &args.split {
        Some(split) => data.split(split)?.len(),
        None => data.splits.values().map(Vec::len).sum(),
    };
    let request = ScoreRequest { split: args.split.clone(), batch: args.batch, skip: log.ids().clone() };
    let bar = bar(total as u64, "clips");
    let mut written = Ok(());
    let outcome = model.score(&data, &request, |event| {
        let ScoreEvent::Scored { scores, done, of, .. } = event else { return ControlFlow::Continue(()) };
        if *done == scores.len() {
            bar.set_position((total - of) as u64);
            bar.reset_eta();
        }
        bar.inc(scores.len() as u64);
        written = log.add(scores);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let outcome = outcome.await;
    written?;
    let scores = outcome?.scores;
    bar.finish();
    let done = total - scores.len();
    let missing = scores.iter().filter(|score| !score.missing.is_empty()).count();
    eprintln!(
        "{}: {} clips, {done} of them from before; {missing} new ones lack a modality",
        out.display(),
        log.len()
    );
    Ok(())
}
