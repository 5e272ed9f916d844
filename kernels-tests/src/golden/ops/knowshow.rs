//! Know-Show: what is read in given answers to given questions, and what they are worth.

use super::super::{Bound, Case, Outputs};
use foveal::pipelines::video_qa::know_show::{Judged, Predictions, Report, RoleScore, Scenario, judge, read};
use foveal::{Context, Error, HostTensor, Result};
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};

/// `knowshow.eval`: every parse result and score, and the measures of all.
pub(super) fn eval(_context: &Context, case: &Case) -> Result<Outputs> {
    let files = case.param("data_files").and_then(Value::as_array);
    let files = files.ok_or_else(|| case.malformed("parameter `data_files` is missing or no list"))?;
    let mut rows = Vec::new();
    for file in files {
        let name =
            file.as_str().ok_or_else(|| case.malformed("parameter `data_files` is not a list of texts"))?;
        rows.extend(read(below(case, name)?)?);
    }
    let predictions = Predictions::read(below(case, case.str("predictions")?)?, &rows)?;
    let judged = judge(&rows, &predictions)?;
    let report = serde_json::to_value(Report::of(&judged)).map_err(|e| case.malformed(e.to_string()))?;

    let mut out = Outputs::new();
    let roles = || judged.iter().flat_map(|j| j.score.roles.iter().map(|(_, role)| role));
    let flat = |of: fn(&RoleScore) -> Option<f64>| roles().map(|role| stored(of(role))).collect();
    listed(&mut out, "iou_best_flat", flat(|role| role.iou_best))?;
    listed(&mut out, "iou_nearest_flat", flat(|role| role.iou_nearest))?;
    let joint = |j: &Judged| stored(j.score.joint.map(|right| if right { 1.0 } else { 0.0 }));
    listed(&mut out, "joint", judged.iter().map(joint).collect())?;
    listed(&mut out, "time", judged.iter().map(|j| stored(j.parsed.time)).collect())?;

    let near = match case.expected("iou_best_flat")?.bound {
        Bound::Within { max_abs, .. } => max_abs,
        Bound::Exact => 0.0,
    };
    let path = below(case, case.str("expected")?)?;
    let text = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let expected: Value = serde_json::from_slice(&text).map_err(|e| Error::file(&path, e.to_string()))?;
    out.check("expected.json/rows", same_rows(&expected["rows"], &judged, near));
    out.check("expected.json/metrics", same("metrics", &expected["metrics"], &report, near));
    // The report has nothing that is not expected either.
    out.check("report", same("metrics", &report, &expected["metrics"], near));
    if let Some(metrics) = case.param("expected_metrics") {
        out.check("expected_metrics", same("metrics", metrics, &report, near));
    }
    Ok(out)
}

/// A file of the case. A case must not read outside its own folder.
fn below(case: &Case, name: &str) -> Result<PathBuf> {
    if Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        Ok(case.dir.join(name))
    } else {
        Err(case.malformed(format!("`{name}` is not below the case")))
    }
}

/// As the case stores it: −1 for what cannot be scored or was not read, and in f32, since the bound on
/// seconds is narrower than their spacing there.
fn stored(value: Option<f64>) -> f32 {
    value.map_or(-1.0, |v| v as f32)
}

fn listed(out: &mut Outputs, name: &str, values: Vec<f32>) -> Result<()> {
    out.tensor(name, HostTensor::new([values.len()], values)?);
    Ok(())
}

fn same_rows(expected: &Value, judged: &[Judged], near: f64) -> Result<(), String> {
    let expected = expected.as_array().ok_or("`rows` is missing or no list")?;
    if expected.len() != judged.len() {
        return Err(format!("{} rows instead of {}", judged.len(), expected.len()));
    }
    for (expected, judged) in expected.iter().zip(judged) {
        let mut found = serde_json::to_value(judged).map_err(|e| e.to_string())?;
        found["file"] = json!(Scenario::ALL.iter().position(|s| *s == judged.scenario).map(|i| i + 1));
        same(&judged.question_id, expected, &found, near)?;
        // Roles are compared both ways, so that there is none too many.
        same(&judged.question_id, &found["parsed"]["boxes"], &expected["parsed"]["boxes"], near)?;
    }
    Ok(())
}

/// Whether all that is expected is found: counts, texts and truth values exactly, other numbers nearly.
fn same(at: &str, expected: &Value, found: &Value, near: f64) -> Result<(), String> {
    let differ = || Err(format!("{at}: {found} instead of {expected}"));
    match (expected, found) {
        (Value::Object(all), Value::Object(_)) => all.iter().try_for_each(|(key, value)| {
            let found = found.get(key).ok_or_else(|| format!("{at}.{key} is missing"))?;
            same(&format!("{at}.{key}"), value, found, near)
        }),
        (Value::Array(all), Value::Array(list)) if all.len() == list.len() => {
            let pairs = all.iter().zip(list).enumerate();
            pairs.into_iter().try_for_each(|(i, (e, f))| same(&format!("{at}[{i}]"), e, f, near))
        }
        (Value::Number(e), Value::Number(f)) => {
            let near = if e.is_f64() { near } else { 0.0 };
            match (e.as_f64(), f.as_f64()) {
                (Some(e), Some(f)) if (e - f).abs() <= near => Ok(()),
                _ => differ(),
            }
        }
        _ if expected == found => Ok(()),
        _ => differ(),
    }
}
