//! Makes a clip twice from the same noise, once as the model likes and once with words timed by curves, and writes a
//! report that shows both.
//!
//! `cargo xtask demo`, or
//! `cargo run --release --example temporal_control -- --prompt "a green ring" --word "green ring" --curve 2..6 --seed 3`

mod support;

use clap::Parser;
use foveal::pipelines::curve::TimingCurve;
use foveal::pipelines::temporal_control::{Event, Guidance, TemporalMask};
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo, TimedWord};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use support::demo::{Demo, Take, Word, describe};
use support::detector::{Detector, Object};
use support::heat::HeatRecorder;
use support::mode::Mode;
use support::progress::Progress;
use support::{film, page, pictures, plot};

/// Of the example that runs without arguments. Prompt, curves and seed were chosen because they show the effect well:
/// left alone, the model shows the square first and the cross throughout.
const PROMPT: &str = "a red square and a blue cross";
const WORDS: [(&str, &str); 2] = [("red square", "4..8"), ("blue cross", "0..4")];
const SEED: u64 = 1;

/// Times words of a prompt by curves and shows the effect.
#[derive(Debug, Parser)]
struct Args {
    /// What to draw.
    #[arg(long, default_value = PROMPT)]
    prompt: String,
    /// Words of the prompt that follow a curve; may be repeated, with a curve for each [default, with the default
    /// prompt: "red square" and "blue cross"]
    #[arg(long)]
    word: Vec<String>,
    /// When the word should be seen: frames 4..8, seconds 0s..1.5s, onset:3, keys:0=0,5=1, or one value a frame
    /// [default, with the default prompt: 4..8 and 0..4]
    #[arg(long, allow_hyphen_values = true)]
    curve: Vec<String>,
    /// Seed of the noise.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Denoising steps [default: the model's]
    #[arg(long)]
    steps: Option<usize>,
    /// Strength of classifier-free guidance [default: the model's]
    #[arg(long)]
    guidance_scale: Option<f32>,
    /// How the second clip is steered.
    #[arg(long, value_enum, default_value = "default")]
    mode: Mode,
    /// best, low-power, software, a number from the `devices` example, or part of a name.
    #[arg(long, default_value = "best")]
    adapter: String,
    /// Model folder [default: the tiny model of the repository]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Folder of the report.
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
}

/// Words and curves as typed, or the ones of the default prompt.
fn pairs(args: &Args) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    match (args.word.as_slice(), args.curve.as_slice()) {
        ([], []) if args.prompt == PROMPT => {
            Ok(WORDS.map(|(word, curve)| (word.into(), curve.into())).to_vec())
        }
        ([], []) => Err("a prompt of your own needs at least one --word and its --curve".into()),
        (words, curves) if words.len() == curves.len() => {
            Ok(words.iter().cloned().zip(curves.iter().cloned()).collect())
        }
        (words, curves) => {
            Err(format!("{} --word and {} --curve: each word needs one curve", words.len(), curves.len())
                .into())
        }
    }
}

/// Colours for words that name none.
const INKS: [[u8; 3]; 4] = [[235, 150, 60], [90, 190, 220], [190, 130, 230], [130, 200, 100]];

fn words(
    args: &Args,
    pipeline: &TextToVideo,
    detector: Option<&Detector>,
    asked: &[Object],
) -> Result<(Vec<Word>, Vec<TimedWord>), Box<dyn Error>> {
    let axis = pipeline.time_axis()?;
    let (mut shown, mut timed) = (Vec::new(), Vec::new());
    for ((phrase, spec), ink) in pairs(args)?.into_iter().zip(INKS.iter().cycle()) {
        let curve = TimingCurve::parse(&spec, &axis)?;
        let object = detector.and_then(|d| d.objects(&phrase).first().copied());
        shown.push(Word {
            curve: curve.values().to_vec(),
            ink: detector.and_then(|d| d.colour_in(&phrase)).unwrap_or(*ink),
            object: object.and_then(|o| asked.iter().position(|a| *a == o)),
            phrase: phrase.clone(),
            spec,
        });
        timed.push(TimedWord { phrase, occurrence: Default::default(), curve });
    }
    Ok((shown, timed))
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
    let detector = Detector::open(&folder)?;
    let asked = Demo::objects(detector.as_ref(), &args.prompt);
    let (words, timed) = words(args, &pipeline, detector.as_ref(), &asked)?;

    let mut plain = pipeline.request(&args.prompt);
    plain.seed = args.seed;
    plain.steps = args.steps.unwrap_or(plain.steps);
    plain.guidance_scale = args.guidance_scale.unwrap_or(plain.guidance_scale);
    plain.words = timed;
    let mut steered = plain.clone();
    let settings = args.mode.guidance(&Guidance::default()).unwrap_or_default();
    Mode::Uncontrolled.apply(&mut plain, &settings, TemporalMask::default());
    args.mode.apply(&mut steered, &settings, TemporalMask::default());

    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut facts = facts(&pipeline, args, &steered, name);
    println!("prompt: {}", args.prompt);
    for word in &words {
        println!("word: {} at {} {:?}", word.phrase, word.spec, word.curve);
    }
    for (name, value) in &facts {
        println!("{name}: {value}");
    }

    let mut progress = Progress::new([&plain, &steered]);
    let mut take = |name: &str, request: &ClipRequest| -> Result<Take, Box<dyn Error>> {
        progress.begin(name, request);
        let mut heat = HeatRecorder::default();
        let film =
            film::shoot(&pipeline, request, &mut progress, &mut |event: &Event<'_>| heat.observe(event))?;
        let [frames, height, width] = request.size;
        let grid = pipeline.transformer().config().grid(frames, height, width)?;
        let heat = pollster::block_on(heat.finish(settings.steps.clone(), grid[2]))?;
        let reports = detector.as_ref().map(|d| d.read(&film.frames, &asked)).unwrap_or_default();
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
    let demo = Demo { prompt: args.prompt.clone(), words, size, fps, before, after, facts };
    summary(&demo);
    write(&demo, &args.out)
}

fn facts(
    pipeline: &TextToVideo,
    args: &Args,
    request: &ClipRequest,
    model: String,
) -> Vec<(&'static str, String)> {
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
        ("model", model),
        ("adapter", format!("{} ({}, {})", caps.adapter, caps.class, caps.backend)),
        ("driver", caps.driver.clone()),
    ]
}

fn summary(demo: &Demo) {
    for (group, word) in demo.words.iter().enumerate() {
        for (name, take) in [("uncontrolled", &demo.before), ("controlled", &demo.after)] {
            let seen: String = (0..word.curve.len())
                .map(|f| match take.present(word, f) {
                    Some(true) => '#',
                    Some(false) => '.',
                    None => '?',
                })
                .collect();
            let right = take
                .accuracy(word)
                .map_or_else(String::new, |a| format!(", right in {:.0} % of frames", 100.0 * a));
            let reached =
                take.film.reached().get(group).map_or_else(String::new, |c| format!(", correlation {c:.2}"));
            println!("{name}: {} [{seen}]{right}{reached}, {:.1} s", word.phrase, take.film.seconds);
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
