//! Training, in a folder that one run at a time writes to.

use super::{Ended, bar, context, open, plot, print_measures};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use foveal::models::dashfusion::{DashFusionConfig, Fusion, loss};
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::metrics::Convention;
use foveal::pipelines::sentiment::{
    Description, Saving, ScoreRequest, SentimentModel, TrainEvent, TrainOptions, Trainer,
};
use foveal::weights::{FolderLock, require_writable};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// As [`Fusion`] is written.
const FUSIONS: [&str; 6] = ["hierarchical", "concatenation", "late", "text", "audio", "vision"];

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Folder with dataset.json and features.safetensors
    data: PathBuf,
    /// Hugging Face folder of a BERT encoder
    #[arg(long)]
    text_encoder: PathBuf,
    /// Folder for the model (`best`), its checkpoint and plots; the same command goes on with a run that was stopped there
    #[arg(long)]
    out: PathBuf,
    /// Sizes of the encoders and the fusion; widths and lengths come from the data
    #[arg(long, value_enum, default_value = "mosi")]
    preset: Preset,
    /// What the head sees: the fusion, plain concatenation, a sum of each modality's own score, or one modality
    #[arg(long, default_value = "hierarchical", value_parser = PossibleValuesParser::new(FUSIONS)
        .try_map(|name| serde_json::from_value::<Fusion>(name.into())))]
    fusion: Fusion,
    /// Times that every clip is seen; a larger number goes on with a run that has ended
    #[arg(long, default_value_t = 100)]
    epochs: u32,
    /// Clips of an optimiser step
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Clips of a pass, where a batch is too large for the device [default: all of a batch]
    #[arg(long)]
    part: Option<usize>,
    /// Largest learning rate, from which it falls to 0 at the end of the last epoch
    #[arg(long, visible_alias = "learning-rate", default_value_t = 5e-5)]
    rate: f64,
    /// Epochs in which the learning rate rises
    #[arg(long, default_value_t = 10)]
    warmup_epochs: u32,
    /// Share of the weights that a step takes off, times the learning rate
    #[arg(long, default_value_t = 1e-3)]
    weight_decay: f64,
    /// Weight of the contrast with six companions a clip; 0 trains seven times as fast
    #[arg(long, visible_alias = "contrastive-weight", default_value_t = loss::WEIGHT)]
    contrast: f64,
    /// Dropout of the audio and vision encoders' blocks
    #[arg(long, default_value_t = 0.5)]
    dropout: f32,
    /// Largest norm of a gradient [default: none]
    #[arg(long)]
    clip_norm: Option<f64>,
    /// Train the text encoder too
    #[arg(long)]
    train_text: bool,
    /// Decides first values, order, companions and dropout
    #[arg(long, default_value_t = 12)]
    seed: u64,
    /// Steps between checkpoints; there is one after every epoch too
    #[arg(long, default_value_t = 100)]
    checkpoint_steps: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    Mosi,
    Mosei,
    Sims,
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
    config.fusion = args.fusion;
    (config, convention)
}

fn options(args: &Train) -> TrainOptions {
    TrainOptions {
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
    }
}

pub(crate) async fn train(args: &Train) -> Ended {
    let data = Arc::new(open(&args.data)?);
    // Kept to the end: nobody else writes to the folder until then.
    let _lock = FolderLock::take(&args.out)?;
    let (losses, predicted) = (args.out.join("losses.svg"), args.out.join("predicted.svg"));
    let (checkpoint, best) = (args.out.join("checkpoint.safetensors"), args.out.join("best"));
    for path in [&losses, &predicted, &checkpoint] {
        require_writable(path)?;
    }
    let context = context().await?;
    let text = foveal::models::bert::BertConfig::open(&args.text_encoder)?;
    let (config, convention) = sizes(args, &data, text.hidden_size);
    let description = Description::new(config, convention, data.label_range).for_data(&data)?;
    let model = SentimentModel::fresh(&context, description, &args.text_encoder, args.seed)?;
    model.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let saving = Saving {
        checkpoint: Some(checkpoint.clone()),
        every_steps: Some(args.checkpoint_steps),
        best: Some(best.clone()),
    };
    let mut run = Trainer::new(model, data.clone(), options(args)).await?.with_saving(saving);
    if checkpoint.exists() {
        go_on(args, &mut run, run_steps(args, &data)?)?;
    }
    eprintln!("the run may be stopped at any time: the same command goes on from its last checkpoint");
    steps(args, &mut run, run_steps(args, &data)?, &losses).await?;
    if data.splits.get("test").is_some_and(|clips| !clips.is_empty()) {
        let model = SentimentModel::open(&context, &best)?;
        let request = ScoreRequest { batch: args.batch, ..ScoreRequest::split("test") };
        let found = model.evaluate(&data, &request, |_| ControlFlow::Continue(())).await?;
        print_measures(&found.metrics);
        plot::predicted(&found.scores, &found.labels, data.label_range, &predicted)?;
    }
    eprintln!("{}", args.out.display());
    Ok(true)
}

fn run_steps(args: &Train, data: &Dataset) -> foveal::Result<u64> {
    Ok(data.split("train")?.len().div_ceil(args.batch.max(1)) as u64 * u64::from(args.epochs))
}

fn go_on(args: &Train, run: &mut Trainer, all: u64) -> foveal::Result<()> {
    let before = run.resume(&args.out.join("checkpoint.safetensors"))?;
    let (steps, epochs, asked) = (before.steps, before.epochs, args.epochs);
    eprintln!("going on after step {steps} of {all}");
    if epochs != asked {
        let rate = run.learning_rate();
        eprintln!(
            "the run was to have {epochs} epochs and now has {asked}: from here on the learning rate is that of a run of {asked} epochs, at first {rate:.2e}"
        );
    } else if u64::from(steps) == all && run.history().len() == asked as usize {
        eprintln!("its {asked} epochs are done; a larger --epochs goes on with it");
    }
    Ok(())
}

async fn steps(
    args: &Train,
    run: &mut Trainer,
    all: u64,
    losses: &std::path::Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let bar = bar(all, "steps");
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
                if let Err(error) = plot::losses(&history, losses) {
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
        (outcome, _) => outcome.map_err(|error| stopped(args, error))?,
    };
    bar.finish();
    Ok(())
}

/// What broke off the run, and what is left of it.
fn stopped(args: &Train, error: foveal::Error) -> String {
    let out = args.out.display();
    format!("{error}\nwhat {out} holds is whole: the same command goes on from its last checkpoint")
}
