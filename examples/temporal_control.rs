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
use demo::clips::{Demo, Shown, Take, Word, describe};
use demo::heat::HeatRecorder;
use demo::{page, pictures, plot};
use foveal::pipelines::text_to_video::ClipRequest;
use foveal::pipelines::text_to_video::curve::chart;
use foveal::pipelines::text_to_video::plan::{CurveSource, Plan, PlanWord};
use foveal::pipelines::text_to_video::temporal_control::{Event, Guidance, TemporalMask};
use shared::detector::{Object, RULE};
use shared::film;
use shared::mode::{Mode, fitted};
use shared::progress::Progress;
use shared::session::{Place, Session, end};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Of the example that runs without arguments. Prompt, curves and seed were chosen because they show the effect well:
/// left alone, the model shows the square first and the cross throughout.
const PROMPT: &str = "a red square and a blue cross";
const WORDS: [(&str, &str); 2] = [("red square", "4..8"), ("blue cross", "0..4")];
const SEED: u64 = 1;

/// Times words of a prompt by curves and shows the effect.
#[derive(Debug, Parser)]
struct Args {
    /// What to draw [default: "a red square and a blue cross"]
    #[arg(long)]
    prompt: Option<String>,
    /// Words of the prompt that follow a curve; may be repeated, with a curve for each [default, with the default
    /// prompt: "red square" and "blue cross"]
    #[arg(long)]
    word: Vec<String>,
    /// When the word should be seen: latent frames 4..8, pixel frames 12f..40f, seconds 0s..1.5s, a level 4..8@0.5,
    /// onset:3, offset:1s, pulse:0s/0.25s/1s, ramp:2..6, keys:0=0,5=1 (step:, smooth:), one value a latent frame,
    /// audio:FILE (audio:FILE@0.5s, audio:released:FILE), or on [default, with the default prompt: 4..8 and 0..4]
    #[arg(long, allow_hyphen_values = true)]
    curve: Vec<String>,
    /// Words and curves from a file, .toml or .json; the flags below win over what it states.
    #[arg(long, conflicts_with_all = ["prompt", "word", "curve"])]
    plan: Option<PathBuf>,
    /// Seed of the noise [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Denoising steps [default: the model's]
    #[arg(long)]
    steps: Option<usize>,
    /// Strength of classifier-free guidance [default: the model's]
    #[arg(long)]
    guidance_scale: Option<f32>,
    /// How the second clip is steered: uncontrolled, mask, released (or parity), default, mask+default.
    #[arg(long, value_enum, default_value = "default")]
    mode: Mode,
    /// Folder of the report.
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// The plan of a file, of the flags, or of the default prompt.
fn plan(args: &Args) -> Result<Plan, Box<dyn Error>> {
    let word = |(phrase, curve): (&str, &str)| -> foveal::Result<PlanWord> {
        let curve = CurveSource::from_argument(curve)?;
        Ok(PlanWord { phrase: phrase.into(), occurrence: Default::default(), curve })
    };
    let mut plan = match (&args.plan, args.word.as_slice(), args.curve.as_slice()) {
        (Some(path), ..) => Plan::open(path)?,
        (None, [], []) if args.prompt.as_deref().is_none_or(|p| p == PROMPT) => {
            Plan::new(PROMPT, WORDS.into_iter().map(word).collect::<foveal::Result<_>>()?)
        }
        (None, [], []) => return Err("a prompt of your own needs at least one --word and its --curve".into()),
        (None, words, curves) if words.len() == curves.len() => {
            let pairs = words.iter().map(String::as_str).zip(curves.iter().map(String::as_str));
            let prompt = args.prompt.as_deref().unwrap_or(PROMPT);
            Plan::new(prompt, pairs.map(word).collect::<foveal::Result<_>>()?)
        }
        (None, words, curves) => {
            let (words, curves) = (words.len(), curves.len());
            return Err(format!("{words} --word and {curves} --curve: each word needs one curve").into());
        }
    };
    plan.seed = args.seed.or(plan.seed).or(Some(SEED));
    plan.steps = args.steps.or(plan.steps);
    plan.guidance_scale = args.guidance_scale.or(plan.guidance_scale);
    plan.check()?;
    if plan.words.is_empty() {
        return Err("the plan has no words: there is nothing to time".into());
    }
    Ok(plan)
}

/// Colours for words that name none.
const INKS: [[u8; 3]; 4] = [[235, 150, 60], [90, 190, 220], [190, 130, 230], [130, 200, 100]];

/// Words as they are shown: with a colour, and the object that is measured for them.
fn shown(plan: &Plan, request: &ClipRequest, session: &Session, asked: &[Object]) -> Vec<Word> {
    let detector = session.detector.as_ref();
    let word =
        |((timed, planned), ink): ((&foveal::pipelines::text_to_video::TimedWord, &PlanWord), &[u8; 3])| {
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

fn main() -> ExitCode {
    end(run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let plan = plan(args)?;
    let session = args.place.open()?;
    let pipeline = &session.pipeline;
    let axis = pipeline.time_axis()?;
    let mut plain = pipeline.request(&plan.prompt);
    for warning in plan.apply(&mut plain, &axis)? {
        eprintln!("warning: {warning}");
    }
    let detector = session.detector.as_ref();
    let asked = Demo::objects(detector, &plan.prompt);
    let words = shown(&plan, &plain, &session, &asked);

    let mut steered = plain.clone();
    let default = fitted(Guidance::default(), plain.steps);
    let settings = args.mode.guidance(&default, plain.steps).unwrap_or(default);
    Mode::Uncontrolled.apply(&mut plain, &settings, TemporalMask::default());
    args.mode.apply(&mut steered, &settings, TemporalMask::default());

    let mut facts = facts(&session, args, &steered);
    println!("prompt: {}", plan.prompt);
    for word in &words {
        println!("word: {} at {}", word.phrase, word.spec);
    }
    let rows: Vec<_> = steered.words.iter().map(|w| (w.phrase.as_str(), &w.curve)).collect();
    println!("\n{}", chart(&axis, &rows));
    for (name, value) in &facts {
        println!("{name}: {value}");
    }

    let mut progress = Progress::new([&plain, &steered]);
    let mut take = |name: &str, request: &ClipRequest| -> Result<Take, Box<dyn Error>> {
        progress.begin(name, request);
        let mut heat = HeatRecorder::default();
        let film = film::shoot(pipeline, request, &mut progress, &mut |event: &Event| heat.observe(event))?;
        let [frames, height, width] = request.size;
        let grid = pipeline.transformer().config().grid(frames, height, width)?;
        let heat = foveal::block_on(heat.finish(&settings.steps, grid[2]))?;
        let reports = detector.map(|d| d.read(&film.frames, &asked)).unwrap_or_default();
        progress.say(&format!("{name}: made in {:.1} s", film.seconds));
        Ok(Take { film, heat, reports })
    };
    let (before, after) = (take("uncontrolled", &plain)?, take("controlled", &steered)?);
    progress.finish();

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
    let (size, fps) = (plain.size, pipeline.defaults().fps);
    let demo = Demo { prompt: plan.prompt, words, size, fps, before, after, facts };
    summary(&demo);
    write(&demo, &args.out)
}

fn facts(session: &Session, args: &Args, request: &ClipRequest) -> Vec<(&'static str, String)> {
    let pipeline = &session.pipeline;
    let caps = pipeline.context().caps();
    let [frames, height, width] = request.size;
    let mask = request
        .mask
        .map_or_else(|| "none".into(), |m| format!("{} of a word is left where its curve is 0", m.floor));
    let guidance = request.guidance.as_ref().filter(|g| g.updates > 0);
    vec![
        ("mode", args.mode.name().into()),
        ("gradient", guidance.map_or_else(|| "none".into(), describe)),
        ("mask", mask),
        ("seed", request.seed.to_string()),
        ("denoising steps", format!("{}, {:?}, shift {}", request.steps, request.solver, request.shift)),
        ("guidance scale", request.guidance_scale.to_string()),
        ("clip", format!("{frames} frames of {height} × {width}, {} a second", pipeline.defaults().fps)),
        ("detector", if session.detector.is_some() { RULE } else { "none" }.into()),
        ("model", format!("{}, {}", session.model, pipeline.transformer().precision())),
        ("adapter", format!("{} ({}, {})", caps.adapter, caps.class, caps.backend)),
        ("driver", caps.driver.clone()),
    ]
}

fn summary(demo: &Demo) {
    for (group, word) in demo.words.iter().enumerate() {
        for (name, take) in [("uncontrolled", &demo.before), ("controlled", &demo.after)] {
            let seen: String = (0..word.curve.len())
                .map(|f| match take.shown(word, f) {
                    Some(Shown::Once) => '#',
                    Some(Shown::Wrongly) => '!',
                    Some(Shown::No) => '.',
                    None => '?',
                })
                .collect();
            let right = take
                .accuracy(word)
                .map_or_else(String::new, |a| format!(", right in {:.0} % of frames", 100.0 * a));
            let reached =
                take.film.reached().get(group).map_or_else(String::new, |c| format!(", correlation {c:.2}"));
            println!("{name}: {} [{seen}]{right}{reached}, {:.1} s", word.phrase, take.film.seconds);
            for (frame, flaw, _) in take.flaws(word) {
                println!("  frame {frame} is not right: {flaw}");
            }
        }
    }
}

fn write(demo: &Demo, out: &Path) -> Result<(), Box<dyn Error>> {
    let failed = |path: &Path, e: std::io::Error| foveal::Error::io(path, e);
    std::fs::create_dir_all(out).map_err(|e| failed(out, e))?;
    pictures::animation(demo, &out.join("clip.gif"))?;
    pictures::sheet(demo, &out.join("sheet.png"))?;
    pictures::strip(demo, &demo.before, &out.join("uncontrolled.png"))?;
    pictures::strip(demo, &demo.after, &out.join("controlled.png"))?;
    plot::curves(demo, &out.join("curves.svg"))?;
    for (name, text) in
        [("result.json", serde_json::to_string_pretty(&demo.json())?), ("index.html", page::html(demo))]
    {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
    }
    println!("written to {}", out.display());
    Ok(())
}
