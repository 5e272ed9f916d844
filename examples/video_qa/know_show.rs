//! The Know-Show benchmark.

use crate::ask::{self, stopped};
use crate::interrupt::{Interrupt, Stopped};
use crate::warning::warn;
use crate::{Cli, Ended, open};
use foveal::pipelines::video_qa::know_show::{
    FrameSizes, Prediction, Report, Respondent, Row, SurveyEvent, find_video, judge, read_folder, survey,
};
use foveal::pipelines::video_qa::{VideoQa, Visual};
use foveal::weights::write_whole;
use foveal::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The model, and the video that it looked at last: neighbours in the files often ask about one.
struct Model<'a> {
    cli: &'a Cli,
    model: &'a VideoQa,
    videos: &'a Path,
    stop: &'a Interrupt,
    last: Option<(PathBuf, Visual)>,
}

impl Respondent for Model<'_> {
    async fn respond(&mut self, row: &Row, prompt: &str) -> Result<Prediction> {
        let path = find_video(self.videos, row).ok_or_else(|| {
            Error::input("video", format!("`{}` is not in the folder of videos", row.video_id))
        })?;
        if !matches!(&self.last, Some((known, _)) if *known == path) {
            let mut video = open::video(self.cli, &path)?;
            let seen = self
                .model
                .look(&mut video, &self.cli.frames.look(self.model.defaults()), |_| ask::flow(self.stop))
                .await?;
            self.last = Some((path, seen));
        }
        let Some((_, visual)) = &self.last else {
            return Err(Error::input("video", "nothing was looked at"));
        };
        let question = self.cli.asking.question(self.model, prompt)?;
        let answer = self.model.answer(&[visual], &question, |_| ask::flow(self.stop)).await?;
        let size = |s: foveal::models::qwen2_5_vl::processor::Size| [s.width as f64, s.height as f64];
        Ok(Prediction {
            question_id: row.question_id.clone(),
            output: answer.text,
            sizes: Some(FrameSizes::new(size(visual.resized), size(visual.size))?),
        })
    }
}

pub(crate) async fn know_show(cli: &Cli, folder: &Path, stop: &Interrupt) -> Ended {
    let (Some(out), Some(videos)) = (&cli.out, &cli.videos) else {
        return Err("--out or --videos is missing".into());
    };
    let rows = read_folder(folder)?;
    let missing: Vec<&Row> = rows.iter().filter(|row| find_video(videos, row).is_none()).collect();
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, e))?;
    let mut names: Vec<&str> = missing.iter().map(|row| row.video_id.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    write_whole(out.join("missing_videos.txt"), (names.join("\n") + "\n").as_bytes())?;
    if !missing.is_empty() {
        warn(format!(
            "{} of {} questions are about {} videos that are not there (missing_videos.txt)",
            missing.len(),
            rows.len(),
            names.len()
        ));
    }
    let there: Vec<Row> = rows.iter().filter(|row| find_video(videos, row).is_some()).cloned().collect();
    let first = there.iter().find_map(|row| open::video(cli, &find_video(videos, row)?).ok());
    let model = open::model(cli, first.as_ref().map(open::info).as_slice()).await?;
    let bar = ProgressBar::new(there.len() as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} questions {elapsed}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut respondent = Model { cli, model: &model, videos, stop, last: None };
    let mut failed = 0;
    let log = out.join("predictions.jsonl");
    let done = survey(&there, &mut respondent, &log, |event| {
        match event {
            SurveyEvent::Answered { done, .. } => bar.set_position(done as u64),
            SurveyEvent::Failed { question_id, error, .. } => {
                failed += 1;
                bar.suspend(|| warn(format!("question {question_id}: {error}")));
            }
            _ => {}
        }
        ask::flow(stop)
    })
    .await;
    bar.finish_and_clear();
    let predictions = match stopped(done) {
        Err(error) if error.is::<Stopped>() => return Err(error),
        other => other?,
    };
    let judged = judge(&rows, &predictions)?;
    let report = Report::of(&judged);
    let table = report.to_markdown();
    write_whole(out.join("report.md"), table.as_bytes())?;
    let json = serde_json::to_vec_pretty(&report)?;
    write_whole(out.join("report.json"), &json)?;
    // A closed pipe is no reason to fail: the table is in a file too.
    let _ = writeln!(std::io::stdout(), "{table}");
    Ok(failed == 0 && missing.is_empty())
}
