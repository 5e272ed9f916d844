//! How often an object is where its curve says: fixed prompts, curves and noise, by a strict detector.
//!
//! `cargo run --release --example temporal_accuracy -- --modes uncontrolled,default --resume out/accuracy.json`
//!
//! A frame is right when it is clean and shows the target once if it is wanted, and nothing of it if it is not, so that
//! neither painting the whole frame in the target's colour nor drawing it twice scores anything. Every mode starts from
//! the same noise. Settings are chosen on `--set tuning` and reported on `--set evaluation`. `--pass-through` measures
//! something else: how much of an edit of the latent is left in the finished clip, by what the solver's corrector does
//! about it.

#[path = "support/accuracy/mod.rs"]
mod accuracy;
#[path = "support/shared/mod.rs"]
mod shared;

use accuracy::overview::{self, Cell};
use accuracy::prompts::{self, Set, Task, Words};
use accuracy::record::{self, Record};
use accuracy::score::Score;
use accuracy::tuning::Tuning;
use accuracy::{pass_through, table};
use clap::Parser;
use foveal::Result;
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::Guidance;
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo, TimedWord};
use serde_json::{Map, Value, json};
use shared::detector::{Detector, RULE};
use shared::film;
use shared::mode::Mode;
use shared::progress::Progress;
use shared::session::{Place, Session, end, in_repository};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures how well curves are followed.
#[derive(Debug, Parser)]
struct Args {
    /// List of prompts: settings are chosen on one and reported on the other.
    #[arg(long, value_enum, default_value = "evaluation")]
    set: Set,
    /// Modes to compare: uncontrolled, mask, released (or parity), default, mask+default.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uncontrolled,default")]
    modes: Vec<Mode>,
    /// Only the first prompts.
    #[arg(long)]
    limit: Option<usize>,
    /// Added to each prompt's seed, for other noise.
    #[arg(long, default_value_t = 0)]
    seed_offset: u64,
    /// Which words get a curve: the target and others whose curve varies, or every object.
    #[arg(long, value_enum, default_value = "target")]
    words: Words,
    /// Denoising steps [default: the model's]
    #[arg(long)]
    steps: Option<usize>,
    /// File of prompts [default: the ones of the repository]
    #[arg(long)]
    prompts: Option<PathBuf>,
    /// Write everything measured here; rewritten after each clip.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Go on with an interrupted evaluation from its own JSON, and write it there; refused where settings differ. A
    /// file that does not exist yet is begun.
    #[arg(long, conflicts_with_all = ["json", "pass_through"])]
    resume: Option<PathBuf>,
    /// Draw every clip here (PNG); rewritten after each clip. With --resume, over the picture that is there.
    #[arg(long)]
    sheet: Option<PathBuf>,
    /// Measure how much of an edit of the latent reaches the finished clip, instead of the modes.
    #[arg(long)]
    pass_through: bool,
    /// Denoising steps after which --pass-through edits.
    #[arg(long, value_delimiter = ',', default_value = "0,2,4")]
    edit_after: Vec<usize>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    tuning: Tuning,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    // A mode that is named twice is drawn once.
    let mut known = Vec::new();
    args.modes.retain(|mode| {
        !known.contains(mode) && {
            known.push(*mode);
            true
        }
    });
    end(run(&args))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let session = args.place.open()?;
    let file = args.prompts.clone().unwrap_or_else(|| in_repository("tools/train_tiny_wan/prompts.json"));
    let mut tasks = prompts::read(&file, args.set, session.pipeline.defaults().size[0])?;
    tasks.truncate(args.limit.unwrap_or(usize::MAX));
    if args.pass_through { follow_edits(args, &session, &tasks) } else { evaluate(args, &session, &tasks) }
}

impl Args {
    fn steps(&self, pipeline: &TextToVideo) -> usize {
        self.steps.unwrap_or(pipeline.defaults().steps)
    }

    /// Of the modes that are named after it.
    fn guidance(&self, pipeline: &TextToVideo) -> Guidance {
        self.tuning.guidance(self.steps(pipeline))
    }

    fn request(&self, pipeline: &TextToVideo, task: &Task) -> Result<ClipRequest> {
        let mut request = pipeline.request(&task.prompt);
        request.seed = task.seed.wrapping_add(self.seed_offset);
        request.steps = self.steps(pipeline);
        for object in task.timed(self.words)?.into_iter().filter_map(|o| task.objects.get(o)) {
            let curve = TimingCurve::new(object.curve.clone())?;
            let phrase = object.phrase.clone();
            request.words.push(TimedWord { phrase, occurrence: Default::default(), curve });
        }
        Ok(request)
    }

    /// Everything that a clip depends on beside its prompt and its mode.
    fn settings(&self, session: &Session) -> Map<String, Value> {
        let defaults = session.pipeline.defaults();
        let settings = [
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("set", json!(format!("{:?}", self.set).to_lowercase())),
            ("model", json!(session.model)),
            ("adapter", json!(session.pipeline.context().caps().to_string())),
            ("precision", json!(session.pipeline.transformer().precision().to_string())),
            ("steps", json!(self.steps(&session.pipeline))),
            ("guidance_scale", json!(defaults.guidance_scale)),
            ("shift", json!(defaults.shift)),
            ("seed_offset", json!(self.seed_offset)),
            ("detector", json!(RULE)),
            ("words", json!(format!("{:?}", self.words).to_lowercase())),
            ("default", json!(format!("{:?}", self.guidance(&session.pipeline)))),
            ("released", json!(format!("{:?}", Guidance::released()))),
            ("mask", json!(format!("{:?}", self.tuning.mask()))),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

fn evaluate(args: &Args, session: &Session, tasks: &[Task]) -> Result<(), Box<dyn Error>> {
    let no_palette = "the model states no palette, so its clips cannot be measured";
    let detector: &Detector = session.detector.as_ref().ok_or(no_palette)?;
    let pipeline = &session.pipeline;
    let settings = args.settings(session);
    for (name, value) in
        settings.iter().filter(|(name, _)| ["default", "mask", "words"].contains(&name.as_str()))
    {
        println!("{name}: {}", value.as_str().unwrap_or_default());
    }
    let mut record = Record::new(settings, &args.modes);
    let mut earlier = None;
    if let Some(path) = args.resume.as_ref().filter(|path| path.exists()) {
        record.resume(path, tasks)?;
        println!("resumed: {} clips of {}", record.scores.len(), path.display());
        if let Some(sheet) = args.sheet.as_ref().filter(|sheet| sheet.exists()) {
            earlier = Some(image::open(sheet)?.into_rgb8());
        }
    }

    // Prompt by prompt, so that an evaluation that is cut short still compares its modes.
    let mut jobs = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        for (column, &mode) in args.modes.iter().enumerate().filter(|(_, mode)| !record.has(index, **mode)) {
            let mut request = args.request(pipeline, task)?;
            mode.check(&request.words)?;
            mode.apply(&mut request, &args.guidance(pipeline), args.tuning.mask());
            jobs.push((index, task, column, mode, request));
        }
    }
    let mut progress = Progress::new(jobs.iter().map(|job| &job.4));
    let mut cells: Vec<Cell> = Vec::new();
    for (row, task, column, mode, request) in &jobs {
        progress.begin(&format!("{} {}/{}", mode.name(), row + 1, tasks.len()), request);
        let film = film::shoot(pipeline, request, &mut progress, &mut |_| Ok(()))?;
        let reports = detector.read(&film.frames, &task.asked(detector)?);
        // The target is the first word in every case.
        let reached = film.reached().first().copied();
        let score = Score::new((*mode, *row, task), &reports, reached, film.seconds, film.readings.clone())?;
        progress.say(&score.line());
        cells.push(Cell {
            row: *row,
            column: *column,
            curve: score.curve.clone(),
            ink: detector.colour_in(&task.target).unwrap_or([200; 3]),
            right: score.right.clone(),
            frames: film.frames,
        });
        record.scores.push(score);
        if let Some(path) = args.resume.as_ref().or(args.json.as_ref()) {
            record.write(path)?;
        }
        if let Some(path) = &args.sheet {
            overview::write(&cells, request.size, earlier.as_ref(), path)?;
        }
    }
    progress.finish();
    record.scores.retain(|score| score.index < tasks.len());
    println!("\n{}", table::table(&record.scores, &args.modes));
    Ok(())
}

fn follow_edits(args: &Args, session: &Session, tasks: &[Task]) -> Result<(), Box<dyn Error>> {
    let guidance = args.guidance(&session.pipeline);
    let mut jobs = Vec::new();
    for task in tasks {
        let request = args.request(&session.pipeline, task)?;
        if let Some(step) = args.edit_after.iter().find(|step| **step + 1 >= request.steps) {
            return Err(format!(
                "--edit-after {step}: the last edit is possible after step {}",
                request.steps.saturating_sub(2)
            )
            .into());
        }
        jobs.push(pass_through::requests(&request, &guidance, &args.edit_after));
    }
    let mut progress = Progress::new(jobs.iter().flatten());
    let mut rows = Vec::new();
    for (prompt, requests) in jobs.iter().enumerate() {
        rows.extend(pass_through::measure(&session.pipeline, prompt, requests, &mut progress)?);
        if let Some(path) = &args.json {
            let rules = pass_through::RULES.map(|(_, name)| name);
            let value = json!({ "settings": args.settings(session), "rules": rules, "pass_through": rows });
            record::write_whole(path, &value)?;
        }
    }
    progress.finish();
    if let Some(request) = jobs.iter().flatten().next() {
        println!("\n{}", pass_through::table(&rows, &args.edit_after, request)?);
    }
    Ok(())
}
