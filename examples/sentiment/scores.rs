//! Measuring a model, and scoring clips in bulk.

use super::{Ended, bar, clips, context, open, print_measures};
use clap::Args;
use foveal::models::dashfusion::Padding;
use foveal::pipelines::sentiment::log::ScoreLog;
use foveal::pipelines::sentiment::{ScoreEvent, ScoreRequest, SentimentModel};
use foveal::weights::require_writable;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Folder with dataset.json and features.safetensors
    data: PathBuf,
    /// Folder of a trained model, such as OUT/best of `train`
    #[arg(long)]
    model: PathBuf,
    /// Clips that are measured; all of them need labels
    #[arg(long, default_value = "test")]
    split: String,
    /// Clips of a pass
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Pad as the released code does, where scores depend on the batch
    #[arg(long)]
    compat: bool,
    /// File for a plot of predicted against true scores, as SVG
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Print the measures as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Score {
    /// Folder with dataset.json and features.safetensors, or a sound file, whose score goes to stdout
    data: PathBuf,
    /// Folder of a trained model, such as OUT/best of `train`
    #[arg(long)]
    model: PathBuf,
    /// File for the scores of a data set, .jsonl or .csv; clips that have a line in it are not scored again
    #[arg(long, conflicts_with = "text")]
    out: Option<PathBuf>,
    #[command(flatten)]
    clip: clips::OneClip,
    /// Only clips of this split
    #[arg(long)]
    split: Option<String>,
    /// Clips of a pass
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Pad as the released code does, where scores depend on the batch
    #[arg(long)]
    compat: bool,
}

pub(crate) async fn model(path: &Path, compat: bool) -> foveal::Result<SentimentModel> {
    let mut model = SentimentModel::open(&context().await?, path)?;
    if compat {
        model.padding = Padding::Released;
    }
    Ok(model)
}

pub(crate) async fn evaluate(args: &Evaluate) -> Ended {
    let data = open(&args.data)?;
    if let Some(path) = &args.plot {
        require_writable(path)?;
    }
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
        super::plot::predicted(&found.scores, &found.labels, data.label_range, path)?;
    }
    Ok(true)
}

/// Scores the clips of a data set; `false` where some of them have a line that says why they have no score.
pub(crate) async fn score(args: &Score) -> Ended {
    if args.clip.text.is_some() || args.data.is_file() {
        return clips::score(&args.data, &args.clip, &args.model).await;
    }
    let out = args.out.as_ref().ok_or("scores of a data set go to a file: --out scores.jsonl")?;
    let data = open(&args.data)?;
    let total = match &args.split {
        Some(split) => data.split(split)?.len(),
        None => data.splits.values().map(Vec::len).sum(),
    };
    // Before the model is loaded: a file of something else, or one that another run writes to, is told of at once.
    let mut log = ScoreLog::open(out)?;
    let model = model(&args.model, args.compat).await?;
    let request = ScoreRequest { split: args.split.clone(), batch: args.batch, ..ScoreRequest::default() };
    let (bar, before) = (bar(total as u64, "clips"), log.len());
    let outcome = log.fill(&model, &data, &request, |event| {
        let (new, of) = match event {
            ScoreEvent::Unscored { clips, of, .. } => {
                bar.suspend(|| {
                    for clip in clips {
                        eprintln!("clip `{}` has no score: {}", clip.id.escape_debug(), clip.reason);
                    }
                });
                (clips.len(), *of)
            }
            ScoreEvent::Scored { scores, of, .. } => (scores.len(), *of),
            _ => return ControlFlow::Continue(()),
        };
        if bar.position() == 0 {
            bar.set_position((total - of) as u64);
            bar.reset_eta();
        }
        bar.inc(new as u64);
        ControlFlow::Continue(())
    });
    let scores = outcome.await?.scores;
    bar.finish();
    let missing = scores.iter().filter(|score| !score.missing.is_empty()).count();
    eprintln!(
        "{} new scores, {missing} of them without audio or vision; {before} clips had a line before",
        scores.len()
    );
    let (out, all, without) = (out.display(), log.len(), log.unscored());
    eprintln!("{out}: {all} clips, {without} of them without a score");
    Ok(without == 0)
}
