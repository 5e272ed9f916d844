//! Makes a clip twice from the same noise, once as the model likes and once with words timed by curves, and writes a
//! report that shows both.
//!
//! `cargo xtask demo`, or
//! `cargo run --release --example temporal_control -- --prompt "a green ring" --word "green ring" --curve 2..6 --seed 3`

#[path = "support/demo/mod.rs"]
mod demo;
#[path = "support/shared/mod.rs"]
mod shared;

use clap::Parser;
use demo::args::Args;
use demo::clips::{Demo, Take, Word};
use demo::folder::Folder;
use demo::heat::HeatRecorder;
use demo::report;
use demo::size::Lattice;
use foveal::pipelines::text_to_video::curve::{TimeAxis, chart};
use foveal::pipelines::text_to_video::plan::{Plan, PlanWord};
use foveal::pipelines::text_to_video::temporal_control::{Event, Guidance, GuidedSteps, TemporalMask};
use foveal::pipelines::text_to_video::{ClipRequest, TimedWord};
use shared::detector::Object;
use shared::film;
use shared::interrupt::Interrupt;
use shared::mode::{Mode, fitted};
use shared::progress::Progress;
use shared::session::{Session, end, unless_stopped};
use shared::warning::warn;
use std::error::Error;
use std::process::ExitCode;

/// Colours for words that name none.
const INKS: [[u8; 3]; 4] = [[235, 150, 60], [90, 190, 220], [190, 130, 230], [130, 200, 100]];

fn main() -> ExitCode {
    end(run(&Args::parse()))
}

/// One report: both requests, and where it goes.
struct Job {
    folder: Folder,
    plain: ClipRequest,
    steered: ClipRequest,
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Whatever can be wrong with what was asked for is found out before the device is opened.
    let plan = args.plan()?;
    let open = |(seed, path)| Ok((seed, Folder::open(path, report::NAME, &report::FILES)?));
    let seeds = args.seeds(&plan)?;
    let folders: Vec<(u64, Folder)> =
        seeds.iter().map(|(seed, path)| open((*seed, path))).collect::<foveal::Result<_>>()?;
    let interrupt = Interrupt::watch()?;

    let mut session = args.place.open()?;
    let (plain, axis) = request(args, &session, &plan)?;
    if let Some(detector) = &mut session.detector {
        detector.size = [plain.size[1], plain.size[2]];
    }
    let default = fitted(Guidance::default(), plain.steps);
    let settings = args.mode.guidance(&default, plain.steps).unwrap_or(default);
    let job = |(seed, folder)| {
        let (mut plain, mut steered) = (plain.clone(), plain.clone());
        (plain.seed, steered.seed) = (seed, seed);
        Mode::Uncontrolled.apply(&mut plain, &settings, TemporalMask::default());
        args.mode.apply(&mut steered, &settings, TemporalMask::default());
        Job { folder, plain, steered }
    };
    let jobs: Vec<Job> = folders.into_iter().map(job).collect();
    announce(args, &session, &plan, &jobs, &axis);

    let mut progress = Progress::new(jobs.iter().flat_map(|job| [&job.plain, &job.steered]), &interrupt);
    for (written, job) in jobs.iter().enumerate() {
        let name = |name: &str| match jobs.len() {
            1 => name.to_owned(),
            _ => format!("seed {} {name}", job.plain.seed),
        };
        let remains = || {
            let path = job.folder.path().display();
            let this = match job.folder.replaces {
                true => format!("the earlier report in {path} is unchanged"),
                false => format!("no report was made in {path}"),
            };
            if jobs.len() == 1 {
                this
            } else {
                format!("{this}; {written} of {} reports are written", jobs.len())
            }
        };
        let mut take = |called: &str, request: &ClipRequest| {
            let made = shoot(&session, &name(called), request, &settings.steps, &plan, &mut progress);
            unless_stopped(made, &interrupt, remains)
        };
        let (before, after) = (take("uncontrolled", &job.plain)?, take("controlled", &job.steered)?);
        if written + 1 == jobs.len() {
            progress.finish();
        }
        let demo = demo(args, &session, &plan, job, before, after);
        progress.suspend(|| {
            report::summary(&demo);
            report::write(&demo, &job.folder)
        })?;
    }
    Ok(())
}

/// What the plan and the flags ask of the model, without anything that steers, and the time its curves are given in.
fn request(args: &Args, session: &Session, plan: &Plan) -> Result<(ClipRequest, TimeAxis), Box<dyn Error>> {
    let pipeline = &session.pipeline;
    let (config, defaults) = (pipeline.transformer().config(), pipeline.defaults());
    // Told before a clip is made that nothing could show.
    if config.out_dim != 3 {
        return Err(format!(
            "the model makes latents of {} channels, and the VAE that would show them is not part of the crate yet: this program \
             shows models that make pixels",
            config.out_dim
        )
        .into());
    }
    let mut request = pipeline.request(&plan.prompt);
    let lattice = Lattice::new(defaults, config.patch_size, config.rope_max_seq_len);
    request.size = lattice.latent(request.size, args.size, args.frames)?;
    let axis = TimeAxis::new(request.size[0], defaults.frames_per_latent, defaults.fps)?;
    plan.apply(&mut request, &axis)?.iter().for_each(warn);
    args.mode.check("--mode", &request.words)?;
    for (name, prompt) in [("prompt", &request.prompt), ("negative prompt", &request.negative_prompt)] {
        if let Some(cut) = pipeline.tokenize(prompt)?.cut_off() {
            warn(format!("the {name} is longer than the model reads; this end of it is left out: {cut}"));
        }
    }
    if request.guidance_scale == 1.0 && !request.negative_prompt.is_empty() {
        warn("at a guidance scale of 1 the negative prompt is not looked at");
    }
    Ok((request, axis))
}

/// Prints what will be made.
fn announce(args: &Args, session: &Session, plan: &Plan, jobs: &[Job], axis: &TimeAxis) {
    let Some(first) = jobs.first() else { return };
    println!("prompt: {}", plan.prompt);
    for word in &plan.words {
        println!("word: {} at {}", word.phrase, word.curve);
    }
    let rows: Vec<_> = first.steered.words.iter().map(|w| (w.phrase.as_str(), &w.curve)).collect();
    println!("\n{}", chart(axis, &rows));
    for (name, value) in report::facts(session, args.mode, &first.steered) {
        match (name, jobs.len()) {
            ("seed", 2..) => {
                let seeds: Vec<String> = jobs.iter().map(|job| job.plain.seed.to_string()).collect();
                println!("seeds: {}", seeds.join(", "));
            }
            _ => println!("{name}: {value}"),
        }
    }
    for job in jobs.iter().filter(|job| job.folder.replaces) {
        println!("the report in {} will be replaced", job.folder.path().display());
    }
}

/// Makes one of the two clips.
fn shoot(
    session: &Session,
    name: &str,
    request: &ClipRequest,
    guided: &GuidedSteps,
    plan: &Plan,
    progress: &mut Progress,
) -> foveal::Result<Take> {
    let pipeline = &session.pipeline;
    progress.begin(name, request);
    let mut heat = HeatRecorder::default();
    let film = film::shoot(pipeline, request, progress, &mut |event: &Event| heat.observe(event))?;
    let [frames, height, width] = request.size;
    let grid = pipeline.transformer().config().grid(frames, height, width)?;
    let heat = foveal::block_on(heat.finish(guided, grid[2]))?;
    let detector = session.detector.as_ref();
    let asked = Demo::objects(detector, &plan.prompt);
    let reports = detector.map(|d| d.read(&film.frames, &asked)).unwrap_or_default();
    progress.say(&format!("{name}: made in {:.1} s", film.seconds));
    Ok(Take { film, heat, reports })
}

/// Everything that a report shows.
fn demo(args: &Args, session: &Session, plan: &Plan, job: &Job, before: Take, after: Take) -> Demo {
    let mut facts = report::facts(session, args.mode, &job.steered);
    for (name, take, note) in
        [("uncontrolled", &before, "; kernels were compiled within that time"), ("controlled", &after, "")]
    {
        let updates = take.film.readings.iter().filter(|r| r.update.is_some()).count();
        let peak = take.film.peak_device_bytes as f64 / f64::from(1 << 20);
        facts.push((
            name,
            format!(
                "{:.1} s, {updates} updates, at most {peak:.1} MiB on the device{note}",
                take.film.seconds
            ),
        ));
    }
    let asked = Demo::objects(session.detector.as_ref(), &plan.prompt);
    let words = shown(plan, &job.steered, session, &asked);
    let (size, fps) = (job.steered.size, session.pipeline.defaults().fps);
    Demo { prompt: plan.prompt.clone(), words, size, fps, before, after, facts }
}

/// Words as they are shown: with a colour, and the object that is measured for them.
fn shown(plan: &Plan, request: &ClipRequest, session: &Session, asked: &[Object]) -> Vec<Word> {
    let detector = session.detector.as_ref();
    let word = |((timed, planned), ink): ((&TimedWord, &PlanWord), &[u8; 3])| {
        let object = detector.and_then(|d| d.objects(&timed.phrase).first().copied());
        Word {
            phrase: timed.phrase.clone(),
            curve: timed.curve.values().to_vec(),
            spec: planned.curve.to_string(),
            ink: detector.and_then(|d| d.colour_in(&timed.phrase)).unwrap_or(*ink),
            object: object.and_then(|o| asked.iter().position(|a| *a == o)),
        }
    };
    request.words.iter().zip(&plan.words).zip(INKS.iter().cycle()).map(word).collect()
}
