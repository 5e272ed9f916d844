//! Trains a sentiment model on feature files, measures it, and scores clips in bulk.
//!
//! `cargo run --release --example sentiment -- train DATA --text-encoder BERT --out MODEL`
//! `cargo run --release --example sentiment -- evaluate DATA --model MODEL/best`
//! `cargo run --release --example sentiment -- score DATA --model MODEL/best --out scores.jsonl`
//!
//! `cargo run --release --example sentiment -- features CLIPS --out DATA`
//! `cargo run --release --example sentiment -- score clip.wav --text "What is said in it." --model MODEL/best`
//!
//! DATA is a folder that `features`, `tools/convert_mmsa` or `tools/sentiment_data` made, BERT a Hugging Face folder of a `BertModel`.
//! Training and scoring may be killed at any time: started again with the same arguments they go on.

mod clips;
mod list;
mod plot;
mod scores;
mod train;

use clap::{Parser, Subcommand};
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::metrics::Metrics;
use foveal::{Context, ContextOptions};
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Multimodal sentiment from feature files: train a model, measure it, score clips in bulk
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: 0, done; 1, an error; 2, arguments that cannot be; 3, scored, but some clips \
    have a line that says why they have no score.\n\nTraining and scoring may be stopped at any time, by ctrl-C or otherwise: files are \
    whole or as they were before, and the same command goes on."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a model on the splits `train` and `valid`, and measures it on `test` where there is one
    Train(Box<train::Train>),
    /// Measures a model on a split
    Evaluate(scores::Evaluate),
    /// Scores every clip of a data set, one line each, or one sound file
    Score(scores::Score),
    /// Makes a data set of sounds and a list of what is said in them
    Features(clips::Features),
}

/// Whether a command did all that was asked, and not only most of it.
type Ended = Result<bool, Box<dyn Error>>;

/// Some clips have no score.
const INCOMPLETE: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = foveal::block_on(async {
        match &cli.command {
            Command::Train(args) => train::train(args).await,
            Command::Evaluate(args) => scores::evaluate(args).await,
            Command::Score(args) => scores::score(args).await,
            Command::Features(args) => clips::features(args),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(INCOMPLETE),
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

fn print_measures(measures: &Metrics) {
    for (name, value) in measures.rows() {
        println!("{name:<12} {value:.4}");
    }
}
