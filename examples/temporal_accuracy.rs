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

use accuracy::args::{Args, Outputs};
use accuracy::overview::{self, Cell};
use accuracy::prompts::{self, Task};
use accuracy::record::{self, Record};
use accuracy::score::Score;
use accuracy::{pass_through, table};
use clap::Parser;
use serde_json::json;
use shared::detector::Detector;
use shared::film;
use shared::interrupt::Interrupt;
use shared::progress::Progress;
use shared::repository::in_repository;
use shared::session::{Session, end, unless_stopped};
use shared::warning::warn;
use std::error::Error;
use std::process::ExitCode;

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
            (None, _) if self.args.pass_through => {
                format!("{done} were measured and are not kept: --json FILE keeps them")
            }
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
            if let Some(sheet) = args.sheet.as_ref().filter(|sheet| sheet.is_file()) {
                let bytes = std::fs::read(sheet).map_err(|e| foveal::Error::io(sheet, e))?;
                if !bytes.is_empty() {
                    // By its content: the name may have any ending that is taken for a new one.
                    let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png);
                    earlier =
                        Some(picture.map_err(|e| foveal::Error::file(sheet, e.to_string()))?.into_rgb8());
                }
            }
        }

        // Prompt by prompt, so that an evaluation that is cut short still compares its modes.
        let mut jobs = Vec::new();
        for (index, task) in tasks.iter().enumerate() {
            for (column, &mode) in
                args.modes.iter().enumerate().filter(|(_, mode)| !record.has(index, **mode))
            {
                let mut request = args.request(pipeline, task)?;
                mode.check("--modes", &request.words)
                    .map_err(|e| format!("prompt {} (\"{}\"): {e}", index + 1, task.prompt))?;
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
