//! Many questions, one line each.

use crate::interrupt::{Interrupt, Stopped};
use crate::looking::Looking;
use crate::warning::warn;
use crate::{Cli, Ended, ask, lines, open, questions_bar};
use foveal::pipelines::video_qa::{FrameSource, Grounded, VideoQa};
use foveal::weights::LineLog;
use foveal::{Error, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A question of the list.
#[derive(Debug)]
struct Asked {
    id: Value,
    video: PathBuf,
    question: String,
    start: Option<f64>,
    end: Option<f64>,
}

/// Reads a line; videos are found from the list's own folder.
fn asked(path: &Path, number: usize, value: &Value) -> Result<Asked> {
    let refuse = |reason: String| Error::file(path, format!("line {number}: {reason}"));
    let text = |key: &str| {
        let found = value.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        found.map(str::to_owned).ok_or_else(|| refuse(format!("`{key}`: expected a text")))
    };
    let second = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(v) => v.as_f64().map(Some).ok_or_else(|| refuse(format!("`{key}`: expected seconds"))),
    };
    let id = match value.get("id") {
        None => json!(number),
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        Some(_) => return Err(refuse("`id`: expected a text or a number".into())),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(Asked {
        id,
        video: folder.join(text("video")?),
        question: text("question")?,
        start: second("start")?,
        end: second("end")?,
    })
}

pub(crate) async fn batch(cli: &Cli, path: &Path, stop: &Interrupt) -> Ended {
    let Some(out) = &cli.out else { return Err("--out is missing".into()) };
    let list: Vec<Asked> = lines::read(path)?
        .iter()
        .map(|(number, value)| asked(path, *number, value))
        .collect::<Result<_>>()?;
    let mut by_id = BTreeMap::new();
    for question in &list {
        if by_id.insert(question.id.to_string(), question).is_some() {
            return Err(format!("{}: the id {} stands twice", path.display(), question.id).into());
        }
    }
    let ours = |line: &Value| {
        line.get("id").is_some() && (line.get("answer").is_some() || line.get("error").is_some())
    };
    let (mut log, there) = LineLog::open(out, ours)?;
    let mut done = BTreeSet::new();
    let mut failed = 0;
    for line in &there {
        let id = line.get("id").map(ToString::to_string).unwrap_or_default();
        let Some(question) = by_id.get(&id) else { continue };
        // Lines without a name of their own are numbered: a list that was changed would take another's answers for its own.
        if line.get("question").and_then(Value::as_str) != Some(&question.question) {
            return Err(format!(
                "{}: {} is the answer to another question than that of the list",
                out.display(),
                question.id
            )
            .into());
        }
        failed += usize::from(line.get("error").is_some());
        done.insert(id);
    }
    let left: Vec<&Asked> = list.iter().filter(|q| !done.contains(&q.id.to_string())).collect();
    eprintln!("questions: {}, {} of them answered before", list.len(), list.len() - left.len());
    if left.is_empty() {
        return Ok(failed == 0);
    }
    let first = left.iter().find_map(|q| open::video(cli, &q.video).ok());
    let model = open::model(cli, first.as_ref().map(FrameSource::info).as_slice()).await?;
    let bar = questions_bar(left.len());
    let mut looking = Looking::new(cli, &model, stop);
    for question in left {
        match one(cli, &model, question, &mut looking, stop).await {
            Ok(line) => log.add(&line)?,
            Err(error) if error.is::<Stopped>() => return Err(error),
            // A device that is gone answers none of the rest: those are for the next run.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Lost(_))) => return Err(error),
            Err(error) => {
                failed += 1;
                bar.suspend(|| warn(format!("question {}: {error}", question.id)));
                log.add(
                    &json!({ "id": question.id, "question": question.question, "error": error.to_string() }),
                )?;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    eprintln!("answers: {}", out.display());
    if failed > 0 {
        eprintln!("{failed} have none, and a line that says why; take their lines out to try them again");
    }
    Ok(failed == 0)
}

async fn one(
    cli: &Cli,
    model: &VideoQa,
    asked: &Asked,
    looking: &mut Looking<'_>,
    stop: &Interrupt,
) -> std::result::Result<Value, Box<dyn std::error::Error>> {
    let visual = ask::stopped(looking.at(&asked.video, [asked.start, asked.end]).await)?;
    let question = cli.asking.question(model, &asked.question)?;
    let (answer, seconds) = ask::answer(model, &[visual], &question, stop, |_| ()).await?;
    let grounded = Grounded::read(&answer.text);
    let boxes: Vec<Value> = grounded
        .boxes
        .iter()
        .map(|found| json!({ "label": found.label, "box": visual.to_source(found.corners) }))
        .collect();
    let times = visual.step_times();
    Ok(json!({
        "id": asked.id,
        "question": asked.question,
        "answer": answer.text,
        "finish": format!("{:?}", answer.finish).to_lowercase(),
        "boxes": boxes,
        "times": grounded.times,
        "prompt_tokens": answer.prompt_tokens,
        "video_tokens": answer.video_tokens,
        "kept": answer.kept.as_ref().map(Vec::len),
        "kept_per_step": answer.kept.as_ref().map(|_| answer.kept_per_step(0, times.len())),
        "cache_bytes": answer.cache,
        "answer_tokens": answer.ids.len(),
        "seconds": seconds,
    }))
}
