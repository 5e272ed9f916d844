//! The report: its files, and what is printed.

use super::clips::{Demo, Shown};
use super::folder::{Folder, RESULT};
use super::{page, pictures, plot};
use crate::shared::detector::RULE;
use crate::shared::mode::Mode;
use crate::shared::session::Session;
use crate::shared::words;
use foveal::pipelines::schedules::Solver;
use foveal::pipelines::text_to_video::ClipRequest;
use std::error::Error;

/// How a report of this program is known again.
pub(crate) const NAME: &str = "temporal_control";
/// The files of a report.
pub(crate) const FILES: [&str; 7] =
    ["clip.gif", "sheet.png", "uncontrolled.png", "controlled.png", "curves.svg", RESULT, "index.html"];

/// Settings and machine, as they are shown: name and value.
pub(crate) fn facts(session: &Session, mode: Mode, request: &ClipRequest) -> Vec<(&'static str, String)> {
    let pipeline = &session.pipeline;
    let caps = pipeline.context().caps();
    let [frames, height, width] = request.size;
    let solver = match request.solver {
        Solver::UniPc => "UniPC",
        Solver::Euler => "Euler",
    };
    let guidance = request.guidance.as_ref().filter(|g| g.updates > 0);
    let negative = Some(&request.negative_prompt).filter(|text| !text.is_empty());
    let mut facts = vec![
        ("mode", mode.name().into()),
        ("gradient", guidance.map_or_else(|| "none".into(), words::gradient)),
        ("mask", request.mask.as_ref().map_or_else(|| "none".into(), words::mask)),
        ("seed", request.seed.to_string()),
        ("denoising steps", format!("{}, {}, shift {}", request.steps, solver, request.shift)),
        ("guidance scale", request.guidance_scale.to_string()),
        ("clip", format!("{frames} frames of {height} × {width}, {} a second", pipeline.defaults().fps)),
        ("detector", if session.detector.is_some() { RULE } else { "none" }.into()),
        ("model", format!("{}, {}", session.model, pipeline.transformer().precision())),
        ("adapter", format!("{} ({}, {})", caps.adapter, caps.class, caps.backend)),
        ("driver", caps.driver.clone()),
    ];
    if let Some(text) = negative {
        facts.insert(0, ("negative prompt", text.clone()));
    }
    facts
}

/// What each word came to in both clips.
pub(crate) fn summary(demo: &Demo) {
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

/// Writes the report.
pub(crate) fn write(demo: &Demo, folder: &Folder) -> Result<(), Box<dyn Error>> {
    let made: [Vec<u8>; FILES.len()] = [
        pictures::animation(demo)?,
        pictures::sheet(demo)?,
        pictures::strip(demo, &demo.before)?,
        pictures::strip(demo, &demo.after)?,
        plot::curves(demo)?.into(),
        serde_json::to_vec_pretty(&demo.json())?,
        page::html(demo).into(),
    ];
    let files: Vec<(&str, Vec<u8>)> = FILES.into_iter().zip(made).collect();
    folder.write(&files)?;
    let page = folder.path().join("index.html");
    println!("report: {}", std::path::absolute(&page).unwrap_or(page).display());
    Ok(())
}
