//! One question, its answer as it comes, and pictures of it.

use crate::interrupt::{Interrupt, Stopped};
use crate::warning::warn;
use crate::{Cli, Ended, bar, open, picture};
use foveal::models::qwen2_5_vl::processor::{RgbFrame, Size};
use foveal::pipelines::video_qa::{
    Answer, Event, FrameSource, Grounded, Question, SourceInfo, VideoQa, Visual,
};
use foveal::pipelines::videos::Video;
use foveal::{Error, Result};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Seconds of a question's parts.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Seconds {
    pub(crate) prefill: f64,
    pub(crate) decode: f64,
}

/// Looks at a video, with a bar.
pub(crate) async fn look(
    cli: &Cli,
    model: &VideoQa,
    video: &mut Video,
    stop: &Interrupt,
) -> std::result::Result<Visual, Box<dyn std::error::Error>> {
    let bar = bar("looking {bar:30} {pos}/{len} steps {elapsed}, {eta} left", 0);
    let seen = model
        .look(video, &cli.frames.look(model.defaults()), |event| {
            if let Event::Looked { steps, of, .. } = event {
                bar.set_length(*of as u64);
                bar.set_position(*steps as u64);
            }
            flow(stop)
        })
        .await;
    bar.finish_and_clear();
    stopped(seen)
}

pub(crate) fn flow(stop: &Interrupt) -> ControlFlow<()> {
    if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

pub(crate) fn stopped<T>(result: Result<T>) -> std::result::Result<T, Box<dyn std::error::Error>> {
    match result {
        Err(Error::Cancelled(place)) => {
            Err(Box::new(Stopped(format!("{place}; the answers so far are kept"))))
        }
        other => Ok(other?),
    }
}

/// Asks, telling `told` what each token adds.
pub(crate) async fn answer(
    model: &VideoQa,
    visuals: &[&Visual],
    question: &Question,
    stop: &Interrupt,
    mut told: impl FnMut(&str),
) -> std::result::Result<(Answer, Seconds), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let mut prefilled = start;
    let answer = model
        .answer(visuals, question, |event| {
            match event {
                Event::Prefilled { .. } => prefilled = Instant::now(),
                Event::Token { text, .. } => told(text),
                Event::Ended { rest, .. } => told(rest),
                _ => {}
            }
            flow(stop)
        })
        .await;
    let answer = stopped(answer)?;
    let seconds =
        Seconds { prefill: (prefilled - start).as_secs_f64(), decode: prefilled.elapsed().as_secs_f64() };
    Ok((answer, seconds))
}

pub(crate) async fn ask(cli: &Cli, text: &str, stop: &Interrupt) -> Ended {
    if cli.video.is_empty() && cli.image.is_empty() {
        return Err("nothing is shown: --video or --image".into());
    }
    let mut videos = cli.video.iter().map(|path| open::video(cli, path)).collect::<Result<Vec<Video>>>()?;
    let images = cli.image.iter().map(|path| image(path)).collect::<Result<Vec<_>>>()?;
    let mut shown: Vec<SourceInfo> = videos.iter().map(FrameSource::info).collect();
    let still = |&(_, height, width): &(Vec<u8>, usize, usize)| SourceInfo {
        frames: 1,
        fps: 1.0,
        size: Size { height, width },
    };
    shown.extend(images.iter().map(still));
    let model = open::model(cli, &shown).await?;
    let mut question = cli.asking.question(&model, text)?;
    question.scores = cli.out.is_some();

    let start = Instant::now();
    let mut seen = Vec::new();
    for video in &mut videos {
        seen.push(look(cli, &model, video, stop).await?);
    }
    for (pixels, height, width) in &images {
        seen.push(model.look_at_image(&RgbFrame::new(*height, *width, pixels)?)?);
    }
    model.context().finish().await?;
    let looking = start.elapsed().as_secs_f64();
    let rate = model.model().config().vision.tokens_per_second;
    for visual in seen.iter().filter(|_| !question.timestamps) {
        visual.warnings(rate, question.rule)?.iter().for_each(warn);
    }

    let visuals: Vec<&Visual> = seen.iter().collect();
    let (answer, seconds) = answer(&model, &visuals, &question, stop, |text| {
        // A closed pipe is no reason to lose the pictures.
        let mut out = std::io::stdout();
        let _ = write!(out, "{text}").and_then(|()| out.flush());
    })
    .await?;
    let _ = writeln!(std::io::stdout());
    tell(&answer, &visuals, looking, seconds);
    let grounded = Grounded::read(&answer.text);
    for found in &grounded.boxes {
        let corners = visuals.first().map_or(found.corners, |visual| visual.to_source(found.corners));
        let [x1, y1, x2, y2] = corners.map(|v| v.round());
        let name = if found.label.is_empty() { "box" } else { &found.label };
        let of = if videos.is_empty() { "picture" } else { "video" };
        eprintln!("{name}: [{x1}, {y1}, {x2}, {y2}] in pixels of the {of}");
    }
    if let (Some(out), Some(video), Some(visual)) = (&cli.out, videos.first_mut(), visuals.first()) {
        for path in picture::write(out, video, visual, &answer, &grounded)? {
            eprintln!("wrote {}", path.display());
        }
    }
    Ok(true)
}

fn tell(answer: &Answer, visuals: &[&Visual], looking: f64, seconds: Seconds) {
    if let Some(kept) = &answer.kept {
        eprintln!("kept: {} of {} video tokens", kept.len(), answer.video_tokens);
        for (number, visual) in visuals.iter().filter(|v| v.second_per_grid.is_some()).enumerate() {
            let times = visual.step_times();
            let counts = answer.kept_per_step(number, times.len());
            let parts: Vec<String> =
                times.iter().zip(&counts).map(|(time, count)| format!("{time:.1} s: {count}")).collect();
            eprintln!("kept by step: {}", parts.join(", "));
        }
    }
    eprintln!(
        "time: looking {looking:.2} s, prefill of {} tokens {:.2} s, {} tokens of the answer {:.2} s ({:.1} a second)",
        answer.prompt_tokens,
        seconds.prefill,
        answer.ids.len(),
        seconds.decode,
        answer.ids.len() as f64 / seconds.decode.max(1e-9)
    );
}

/// Pixels, height and width.
fn image(path: &Path) -> Result<(Vec<u8>, usize, usize)> {
    let mut video = Video::open(path)?;
    let mut found = None;
    Video::frames(&mut video, &[0], &mut |_, frame| {
        found = Some((frame.rgb.clone(), frame.height, frame.width));
        Ok(())
    })?;
    found.ok_or_else(|| Error::input(path.display().to_string(), "it has no picture"))
}
