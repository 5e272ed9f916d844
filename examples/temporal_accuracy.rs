//! How often an object is where its curve says: fixed prompts, curves and noise, by a strict detector.
//!
//! `cargo run --release --example temporal_accuracy -- --modes uncontrolled,default --json out/accuracy.json`
//!
//! A frame is right when the target is present exactly if it is wanted *and* the frame is clean, so that painting the
//! whole frame in the target's colour scores nothing. Every mode starts from the same noise. Settings are chosen on
//! `--set tuning` and reported on `--set evaluation`.

#[path = "support/canvas.rs"]
mod canvas;
#[path = "support/detector.rs"]
mod detector;
#[path = "support/film.rs"]
mod film;
#[path = "support/mode.rs"]
mod mode;
#[path = "support/overview.rs"]
mod overview;
#[path = "support/progress.rs"]
mod progress;
#[path = "support/prompts.rs"]
mod prompts;
#[path = "support/score.rs"]
mod score;
#[path = "support/stats.rs"]
mod stats;

use clap::{Parser, ValueEnum};
use detector::Detector;
use foveal::pipelines::curve::TimingCurve;
use foveal::pipelines::temporal_control::{Guidance, TemporalMask, Update};
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo, TimedWord};
use foveal::pipelines::unipc::AfterEdit;
use mode::Mode;
use overview::Cell;
use progress::Progress;
use prompts::{Set, Task};
use score::Score;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures how well curves are followed.
#[derive(Debug, Parser)]
struct Args {
    /// List of prompts: settings are chosen on one and reported on the other.
    #[arg(long, value_enum, default_value = "evaluation")]
    set: Set,
    /// Modes to compare.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uncontrolled,default")]
    modes: Vec<Mode>,
    /// Only the first prompts.
    #[arg(long)]
    limit: Option<usize>,
    /// Added to each prompt's seed, for other noise.
    #[arg(long, default_value_t = 0)]
    seed_offset: u64,
    /// Which words get a curve: the target alone, or every object (the others always on).
    #[arg(long, value_enum, default_value = "target")]
    words: Words,
    /// Denoising steps [default: the model's]
    #[arg(long)]
    steps: Option<usize>,
    /// File of prompts [default: the ones of the repository]
    #[arg(long)]
    prompts: Option<PathBuf>,
    /// Model folder [default: the tiny model of the repository]
    #[arg(long)]
    model: Option<PathBuf>,
    /// best, low-power, software, a number from the `devices` example, or part of a name.
    #[arg(long, default_value = "best")]
    adapter: String,
    /// Write everything measured here; rewritten after each clip.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw every clip here (PNG); rewritten after each clip.
    #[arg(long)]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    tuning: Tuning,
}

/// Changes to the default gradient and mask, for choosing them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings of the modes default, mask and mask+default")]
struct Tuning {
    /// Denoising steps that are steered, from the first.
    #[arg(long)]
    steps_guided: Option<usize>,
    /// Most updates after each of them.
    #[arg(long)]
    updates: Option<usize>,
    /// Root mean square of an update as a share of the noise level.
    #[arg(long)]
    size: Option<f32>,
    /// Correlation at which updates end.
    #[arg(long)]
    threshold: Option<f32>,
    /// Frames at the start that correlation and flatness leave out.
    #[arg(long)]
    skip_first: Option<usize>,
    /// Weight of the correlation.
    #[arg(long)]
    correlation: Option<f32>,
    /// Weight of the magnitude.
    #[arg(long)]
    magnitude: Option<f32>,
    /// Weight of the entropy.
    #[arg(long)]
    entropy: Option<f32>,
    /// Weight of the flatness.
    #[arg(long)]
    flatness: Option<f32>,
    /// What the solver does about an update.
    #[arg(long, value_enum)]
    after_edit: Option<After>,
    /// Share of attention that the mask leaves where the curve is 0.
    #[arg(long)]
    floor: Option<f32>,
    /// Denoising steps that are masked, from the first.
    #[arg(long)]
    mask_steps: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Words {
    Target,
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum After {
    Transport,
    Skip,
    Ignore,
}

impl Tuning {
    fn guidance(&self) -> Guidance {
        let mut g = Guidance::default();
        g.steps = 0..self.steps_guided.unwrap_or(g.steps.end);
        g.updates = self.updates.unwrap_or(g.updates);
        g.threshold = self.threshold.unwrap_or(g.threshold);
        if let Some(size) = self.size {
            g.update = Update::TrustRegion { size };
        }
        g.objective.skip_first = self.skip_first.unwrap_or(g.objective.skip_first);
        let w = &mut g.objective.weights;
        w.correlation = self.correlation.unwrap_or(w.correlation);
        w.magnitude = self.magnitude.unwrap_or(w.magnitude);
        w.entropy = self.entropy.unwrap_or(w.entropy);
        w.flatness = self.flatness.unwrap_or(w.flatness);
        g.after_edit = match self.after_edit {
            None => g.after_edit,
            Some(After::Transport) => AfterEdit::Transport,
            Some(After::Skip) => AfterEdit::SkipCorrector,
            Some(After::Ignore) => AfterEdit::Ignore,
        };
        g
    }

    fn mask(&self) -> TemporalMask {
        let m = TemporalMask::default();
        TemporalMask { floor: self.floor.unwrap_or(m.floor), steps: self.mask_steps.unwrap_or(m.steps) }
    }
}

impl Args {
    fn request(
        &self,
        pipeline: &TextToVideo,
        task: &Task,
        mode: Mode,
    ) -> Result<ClipRequest, Box<dyn Error>> {
        let mut request = pipeline.request(&task.prompt);
        request.seed = task.seed.wrapping_add(self.seed_offset);
        request.steps = self.steps.unwrap_or(request.steps);
        let target = task.target()?;
        // The target is the first word in every case.
        let order = std::iter::once(target).chain((0..task.objects.len()).filter(|o| *o != target));
        for object in order.filter_map(|o| task.objects.get(o)).take(if self.words == Words::All {
            usize::MAX
        } else {
            1
        }) {
            let curve = TimingCurve::new(object.curve.clone())?;
            request.words.push(TimedWord {
                phrase: object.phrase.clone(),
                occurrence: Default::default(),
                curve,
            });
        }
        mode.apply(&mut request, &self.tuning.guidance(), self.tuning.mask());
        Ok(request)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let (pipeline, folder) = film::open(&args.adapter, args.model.as_deref())?;
    let detector =
        Detector::open(&folder)?.ok_or("the model states no palette, so its clips cannot be measured")?;
    let shipped = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/train_tiny_wan/prompts.json");
    let file = args.prompts.clone().unwrap_or_else(shipped);
    let mut tasks = prompts::read(&file, args.set, pipeline.defaults().size[0])?;
    tasks.truncate(args.limit.unwrap_or(usize::MAX));
    let settings = format!("{:?}", args.tuning.guidance());
    println!("default: {settings}\nmask: {:?}\nwords: {:?}", args.tuning.mask(), args.words);

    // Prompt by prompt, so that an evaluation that is cut short still compares its modes.
    let mut jobs = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        for (column, &mode) in args.modes.iter().enumerate() {
            jobs.push((index, task, column, mode, args.request(&pipeline, task, mode)?));
        }
    }
    let mut progress = Progress::new(jobs.iter().map(|job| &job.4));
    let (mut scores, mut cells): (Vec<Score>, Vec<Cell>) = (Vec::new(), Vec::new());
    for (row, task, column, mode, request) in &jobs {
        progress.begin(&format!("{} {}/{}", mode.name(), row + 1, tasks.len()), request);
        let film = film::shoot(&pipeline, request, &mut progress, &mut |_| Ok(()))?;
        let reports = detector.read(&film.frames, &task.asked(&detector)?);
        let reached = film.reached().first().copied();
        let score = Score::new((*mode, *row, task), &reports, reached, film.seconds, film.readings.clone())?;
        progress.say(&score.line());
        let curve = task.objects.get(task.target()?).map(|o| o.curve.clone()).unwrap_or_default();
        let ink = detector.colour_in(&task.target).unwrap_or([200; 3]);
        cells.push(Cell {
            row: *row,
            column: *column,
            curve,
            ink,
            right: score.right.clone(),
            frames: film.frames,
        });
        scores.push(score);
        if let Some(path) = &args.json {
            let result = serde_json::json!({
                "set": format!("{:?}", args.set).to_lowercase(),
                "adapter": pipeline.context().caps().to_string(),
                "default": settings,
                "mask": format!("{:?}", args.tuning.mask()),
                "words": format!("{:?}", args.words).to_lowercase(),
                "summary": score::summary(&scores, &args.modes),
                "clips": scores,
            });
            std::fs::write(path, serde_json::to_string_pretty(&result)?)
                .map_err(|e| foveal::Error::io(path, e))?;
        }
        if let Some(path) = &args.sheet {
            overview::write(&cells, request.size, path)?;
        }
    }
    progress.finish();
    println!("{}", score::table(&scores, &args.modes));
    Ok(())
}
