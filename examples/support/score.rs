//! What one clip is worth, and the tables over many.

use super::detector::FrameReport;
use super::film::Reading;
use super::mode::Mode;
use super::prompts::Task;
use super::stats::{Difference, difference, mean, median};
use foveal::Result;
use serde::Serialize;
use std::fmt::Write;

/// One clip, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Score {
    pub(crate) mode: Mode,
    pub(crate) index: usize,
    prompt: String,
    target: String,
    seed: u64,
    /// Frames that are clean and show the target exactly if it is wanted.
    pub(crate) right: Vec<bool>,
    /// Their share.
    accuracy: f64,
    /// The same over the frames of the other objects; none where there are none.
    others: Option<f64>,
    /// Every frame is right for the target.
    exact: f64,
    /// Share of frames that are clean.
    clean: f64,
    /// Every object is seen in some frame.
    all_present: f64,
    /// Over frames in which an object is present: it has its shape.
    shape_right: Option<f64>,
    /// Of the target's attention with its curve, at the last reading.
    correlation: Option<f64>,
    seconds: f64,
    /// Pixels of each object's colour by frame.
    pixels: Vec<Vec<usize>>,
    readings: Vec<Reading>,
}

impl Score {
    /// Measures a clip. `group` is the target's place among the words that were scored.
    pub(crate) fn new(
        (mode, index, task): (Mode, usize, &Task),
        reports: &[FrameReport],
        reached: Option<f32>,
        seconds: f64,
        readings: Vec<Reading>,
    ) -> Result<Self> {
        let target = task.target()?;
        let share = |right: &[bool]| mean(&right.iter().map(|r| f64::from(u8::from(*r))).collect::<Vec<_>>());
        let right = |object: usize| -> Vec<bool> {
            let curve = task.objects.get(object).map(|o| o.curve.as_slice()).unwrap_or_default();
            let seen =
                reports.iter().map(|r| r.clean.then(|| r.objects.get(object).is_some_and(|s| s.present)));
            seen.zip(curve).map(|(seen, wanted)| seen == Some(*wanted >= 0.5)).collect()
        };
        let ours = right(target);
        let others: Vec<bool> = (0..task.objects.len()).filter(|o| *o != target).flat_map(right).collect();
        let ever = |o: usize| reports.iter().any(|r| r.objects.get(o).is_some_and(|s| s.present));
        let shapes: Vec<bool> =
            reports.iter().flat_map(|r| &r.objects).filter_map(|s| s.shape_right).collect();
        Ok(Self {
            mode,
            index,
            prompt: task.prompt.clone(),
            target: task.target.clone(),
            seed: task.seed,
            accuracy: share(&ours).unwrap_or(0.0),
            others: share(&others),
            exact: f64::from(u8::from(ours.iter().all(|r| *r))),
            right: ours,
            clean: share(&reports.iter().map(|r| r.clean).collect::<Vec<_>>()).unwrap_or(0.0),
            all_present: f64::from(u8::from((0..task.objects.len()).all(ever))),
            shape_right: share(&shapes),
            correlation: reached.map(f64::from),
            seconds,
            pixels: (0..task.objects.len())
                .map(|o| reports.iter().map(|r| r.objects.get(o).map_or(0, |s| s.pixels)).collect())
                .collect(),
            readings,
        })
    }

    /// One line while the evaluation runs.
    pub(crate) fn line(&self) -> String {
        let shown = |v: Option<f64>| v.map_or_else(|| "   -".into(), |v| format!("{v:.2}"));
        format!(
            "{:<13} {:>2} {:<36} accuracy {:.3} clean {:.2} correlation {} {:.1} s",
            self.mode.name(),
            self.index,
            self.prompt,
            self.accuracy,
            self.clean,
            shown(self.correlation),
            self.seconds
        )
    }
}

type Column = (&'static str, fn(&Score) -> Option<f64>);

const COLUMNS: [Column; 7] = [
    ("accuracy", |s| Some(s.accuracy)),
    ("exact", |s| Some(s.exact)),
    ("clean", |s| Some(s.clean)),
    ("all there", |s| Some(s.all_present)),
    ("others", |s| s.others),
    ("shape", |s| s.shape_right),
    ("correlation", |s| s.correlation),
];

fn of(scores: &[Score], mode: Mode) -> impl Iterator<Item = &Score> {
    scores.iter().filter(move |s| s.mode == mode)
}

/// Paired by prompt; prompts that a column is undefined for are left out.
fn change(scores: &[Score], mode: Mode, column: fn(&Score) -> Option<f64>) -> Option<Difference> {
    let pair = |after: &Score| {
        let before = of(scores, Mode::Uncontrolled).find(|b| b.index == after.index)?;
        Some((column(before)?, column(after)?))
    };
    difference(&of(scores, mode).filter_map(pair).collect::<Vec<_>>())
}

/// Means by mode, then differences to the uncontrolled clips.
pub(crate) fn table(scores: &[Score], modes: &[Mode]) -> String {
    let mut text = format!("\n{:<13} {:>5}", "mode", "clips");
    // Writing to a string does not fail.
    let mut put = |part: String| {
        let _ = text.write_str(&part);
    };
    COLUMNS.iter().for_each(|(name, _)| put(format!(" {name:>11}")));
    put(format!(" {:>13}\n", "median s/clip"));
    for &mode in modes {
        put(format!("{:<13} {:>5}", mode.name(), of(scores, mode).count()));
        for (_, column) in COLUMNS {
            let value = mean(&of(scores, mode).filter_map(column).collect::<Vec<_>>());
            put(value.map_or_else(|| format!(" {:>11}", "-"), |v| format!(" {v:>11.3}")));
        }
        let seconds = median(&of(scores, mode).map(|s| s.seconds).collect::<Vec<_>>());
        put(seconds.map_or_else(String::new, |s| format!(" {s:>13.1}")) + "\n");
    }
    let compared = modes.iter().filter(|m| **m != Mode::Uncontrolled);
    for &mode in compared.filter(|_| of(scores, Mode::Uncontrolled).next().is_some()) {
        put(format!("\n{} against uncontrolled, paired by prompt, 95 % bootstrap interval\n", mode.name()));
        for (name, column) in COLUMNS {
            if let Some(Difference { mean, low, high }) = change(scores, mode, column) {
                put(format!("  {name:<11} {mean:+.3}  [{low:+.3}, {high:+.3}]\n"));
            }
        }
    }
    text
}

/// The table as data.
pub(crate) fn summary(scores: &[Score], modes: &[Mode]) -> serde_json::Value {
    let row = |&mode: &Mode| {
        let cell = |(name, column): Column| {
            let value = mean(&of(scores, mode).filter_map(column).collect::<Vec<_>>());
            let change = if mode == Mode::Uncontrolled { None } else { change(scores, mode, column) };
            (name.to_owned(), serde_json::json!({ "mean": value, "against_uncontrolled": change }))
        };
        let cells: serde_json::Map<String, serde_json::Value> = COLUMNS.into_iter().map(cell).collect();
        let seconds = median(&of(scores, mode).map(|s| s.seconds).collect::<Vec<_>>());
        serde_json::json!({ "mode": mode, "clips": of(scores, mode).count(), "median_seconds": seconds, "columns": cells })
    };
    modes.iter().map(row).collect()
}
