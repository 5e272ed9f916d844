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

use accuracy::file::File;
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
use shared::interrupt::Interrupt;
use shared::mode::Mode;
use shared::progress::Progress;
use shared::session::{Place, Session, end, in_repository, unless_stopped};
use shared::warning::warn;
use shared::words;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures how well curves are followed, over fixed prompts and noise, by a strict detector.
#[derive(Debug, Parser)]
#[command(name = "temporal_accuracy")]
struct Args {
    /// List of prompts: settings are chosen on one and reported on the other.
    #[arg(long, value_enum, default_value = "evaluation")]
    set: Set,
    /// Modes to compare: uncontrolled, mask, released (or parity), default, mask+default.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uncontrolled,default")]
    modes: Vec<Mode>,
    /// Only so many prompts, the first.
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
    /// Write everything measured here; rewritten after each clip. An earlier result there is replaced, another file refused.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Go on with an interrupted evaluation from its own JSON, and write it there; refused where settings differ. A
    /// file that does not exist yet is begun.
    #[arg(long, conflicts_with_all = ["json", "pass_through"])]
    resume: Option<PathBuf>,
    /// Draw every clip here (PNG); rewritten after each clip. An earlier picture there is replaced; with --resume it is
    /// drawn over.
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

/// Where results go; held against other runs as long as this is kept.
struct Outputs {
    /// Of --json or --resume.
    json: Option<File>,
    sheet: Option<File>,
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Whatever can be wrong with what was asked for is found out before the device is opened.
    args.check()?;
    let outputs = args.outputs()?;
    let interrupt = Interrupt::watch()?;
    let session = args.place.open()?;
    let file = args.prompts.clone().unwrap_or_else(|| in_repository("tools/train_tiny_wan/prompts.json"));
    let mut tasks = prompts::read(&file, args.set, session.pipeline.defaults().size[0])?;
    if let Some(limit) = args.limit.filter(|limit| *limit > tasks.len()) {
        warn(format!("--limit {limit}: there are {} prompts", tasks.len()));
    }
    tasks.truncate(args.limit.unwrap_or(usize::MAX));
    let run = Run { args, session: &session, outputs: &outputs, interrupt: &interrupt };
    if args.pass_through { run.follow_edits(&tasks) } else { run.evaluate(&tasks) }
}

impl Args {
    /// Refuses what cannot be meant, by the flag.
    fn check(&self) -> Result<(), Box<dyn Error>> {
        if self.pass_through {
            self.place.allow_gradient("--pass-through")?;
        } else {
            self.modes.iter().try_for_each(|mode| self.place.allow("--modes", *mode))?;
        }
        if self.limit == Some(0) {
            return Err("--limit 0: there would be nothing to measure".into());
        }
        if self.steps == Some(0) {
            return Err("--steps 0: at least 1 is needed".into());
        }
        let extension = self.sheet.as_ref().and_then(|sheet| sheet.extension());
        if extension.is_some_and(|extension| !extension.eq_ignore_ascii_case("png")) {
            return Err("--sheet: a PNG is written, so its name should end in .png".into());
        }
        let json = self.resume.as_ref().or(self.json.as_ref());
        if json.is_some() && json == self.sheet.as_ref() {
            return Err("--sheet: it is the file of the results".into());
        }
        Ok(())
    }

    /// Takes the files of the results.
    fn outputs(&self) -> Result<Outputs> {
        let open = |path: &Path, what: &str, ours: fn(&[u8]) -> bool| File::open(path, what, ours);
        // What may be resumed is looked at when it is read.
        let resumed = self.resume.as_ref().map(|path| open(path, "a result", |_| true)).transpose()?;
        let result = "a result of this program";
        let json = self.json.as_ref().map(|path| open(path, result, record::is_result)).transpose()?;
        let sheet = self.sheet.as_ref().map(|path| open(path, "a picture", overview::is_png)).transpose()?;
        Ok(Outputs { json: resumed.or(json), sheet })
    }

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
            ("default", json!(words::gradient(&self.guidance(&session.pipeline)))),
            ("released", json!(words::gradient(&Guidance::released()))),
            ("mask", json!(words::mask(&self.tuning.mask()))),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

/// What both kinds of measurement work with.
struct Run<'a> {
    args: &'a Args,
    session: &'a Session,
    outputs: &'a Outputs,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    /// What a run that was asked to stop leaves behind.
    fn remains(&self, done: &str) -> String {
        match (&self.outputs.json, &self.args.resume) {
            (Some(_), Some(path)) => {
                format!("{done} are in {}; the same command goes on from there", path.display())
            }
            (Some(file), None) => format!("{done} are in {}", file.path.display()),
            (None, _) => format!("{done} were made and are not kept: --resume FILE keeps them"),
        }
    }

    fn evaluate(&self, tasks: &[Task]) -> Result<(), Box<dyn Error>> {
        let Self { args, session, .. } = *self;
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
            for (column, &mode) in
                args.modes.iter().enumerate().filter(|(_, mode)| !record.has(index, **mode))
            {
                let mut request = args.request(pipeline, task)?;
                mode.apply(&mut request, &args.guidance(pipeline), args.tuning.mask());
                jobs.push((index, task, column, mode, request));
            }
        }
        let mut progress = Progress::new(jobs.iter().map(|job| &job.4), self.interrupt);
        let mut cells: Vec<Cell> = Vec::new();
        for (row, task, column, mode, request) in &jobs {
            progress.begin(&format!("{} {}/{}", mode.name(), row + 1, tasks.len()), request);
            let film = film::shoot(pipeline, request, &mut progress, &mut |_| Ok(()));
            let film = unless_stopped(film, self.interrupt, || {
                self.remains(&format!("{} clips", record.scores.len()))
            })?;
            let reports = detector.read(&film.frames, &task.asked(detector)?);
            // The target is the first word in every case.
            let reached = film.reached().first().copied();
            let score =
                Score::new((*mode, *row, task), &reports, reached, film.seconds, film.readings.clone())?;
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
            if let Some(file) = &self.outputs.json {
                record.write(&file.path)?;
            }
            if let Some(file) = &self.outputs.sheet {
                overview::write(&cells, request.size, earlier.as_ref(), &file.path)?;
            }
        }
        progress.finish();
        record.scores.retain(|score| score.index < tasks.len());
        println!("\n{}", table::table(&record.scores, &args.modes));
        Ok(())
    }

    fn follow_edits(&self, tasks: &[Task]) -> Result<(), Box<dyn Error>> {
        let Self { args, session, .. } = *self;
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
        let mut progress = Progress::new(jobs.iter().flatten(), self.interrupt);
        let mut rows = Vec::new();
        for (prompt, requests) in jobs.iter().enumerate() {
            let measured = pass_through::measure(&session.pipeline, prompt, requests, &mut progress);
            rows.extend(unless_stopped(measured, self.interrupt, || {
                self.remains(&format!("{prompt} prompts of {}", jobs.len()))
            })?);
            if let Some(file) = &self.outputs.json {
                let rules = pass_through::RULES.map(|(_, name)| name);
                let value =
                    json!({ "settings": args.settings(session), "rules": rules, "pass_through": rows });
                record::write_json(&file.path, &value)?;
            }
        }
        progress.finish();
        if let Some(request) = jobs.iter().flatten().next() {
            println!("\n{}", pass_through::table(&rows, &args.edit_after, request)?);
        }
        Ok(())
    }
}
