//! The Know-Show benchmark.

use crate::ask::{self, stopped};
use crate::interrupt::{Interrupt, Stopped};
use crate::looking::Looking;
use crate::warning::warn;
use crate::{Cli, Ended, open, questions_bar};
use foveal::pipelines::video_qa::know_show::{
    FrameSizes, Prediction, Report, Respondent, Row, SurveyEvent, find_video, judge, read_folder, survey,
};
use foveal::pipelines::video_qa::{FrameSource, VideoQa};
use foveal::weights::write_whole;
use foveal::{Error, Result};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The model, with where the questions' videos are.
struct Model<'a> {
    cli: &'a Cli,
    model: &'a VideoQa,
    videos: &'a BTreeMap<&'a str, PathBuf>,
    stop: &'a Interrupt,
    looking: Looking<'a>,
}

impl Respondent for Model<'_> {
    async fn respond(&mut self, row: &Row, prompt: &str) -> Result<Prediction> {
        let path = self.videos.get(row.question_id.as_str()).ok_or_else(|| {
            Error::input("video", format!("`{}` is not in the folder of videos", row.video_id))
        })?;
        let visual = self.looking.at(path, [None; 2]).await?;
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
    let found = |row: &'_ Row| find_video(videos, row);
    let paths: BTreeMap<&str, PathBuf> =
        rows.iter().filter_map(|row| Some((row.question_id.as_str(), found(row)?))).collect();
    let (there, missing): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| paths.contains_key(row.question_id.as_str()));
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
    let first = paths.values().find_map(|path| open::video(cli, path).ok());
    let model = open::model(cli, first.as_ref().map(FrameSource::info).as_slice()).await?;
    let bar = questions_bar(there.len());
    let looking = Looking::new(cli, &model, stop);
    let mut respondent = Model { cli, model: &model, videos: &paths, stop, looking };
    let there: Vec<Row> = there.into_iter().cloned().collect();
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
