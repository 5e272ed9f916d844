//! What one clip is worth.

use super::prompts::Task;
use super::stats::mean;
use crate::shared::detector::{Flaw, FrameReport, WANTED};
use crate::shared::film::Reading;
use crate::shared::mode::Mode;
use foveal::Result;
use serde::{Deserialize, Serialize};

/// One clip, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    pub(crate) mode: Mode,
    pub(crate) index: usize,
    pub(crate) prompt: String,
    pub(crate) target: String,
    pub(crate) seed: u64,
    /// The target's.
    pub(crate) curve: Vec<f32>,
    /// Frames that are clean and show the target exactly if it is wanted.
    pub(crate) right: Vec<bool>,
    /// Their share.
    pub(crate) accuracy: f64,
    /// Share of the frames in which the target is wanted that are right; none where it is never wanted.
    pub(crate) presence: Option<f64>,
    /// Share of the frames in which the target is not wanted that are right; none where it always is.
    pub(crate) absence: Option<f64>,
    /// Accuracy over the frames of the other objects; none where there are none.
    pub(crate) others: Option<f64>,
    /// Every frame is right for the target, and most of the frames that show it show its shape.
    pub(crate) exact: f64,
    /// Share of frames that are clean.
    pub(crate) clean: f64,
    /// Every object is seen in some frame.
    pub(crate) all_present: f64,
    /// Over objects and frames in which one is present: it has its shape.
    pub(crate) shape_right: Option<f64>,
    /// Over objects and frames in which something of one is there: it is one object, neither drawn twice nor a part.
    pub(crate) one_object: Option<f64>,
    /// Frames in which the target is drawn twice or torn.
    pub(crate) doubled: usize,
    /// Of the target's attention with its curve, at the last reading.
    pub(crate) correlation: Option<f64>,
    pub(crate) seconds: f64,
    /// Pixels of each object's colour by frame.
    pub(crate) pixels: Vec<Vec<usize>>,
    /// Pixels of each piece of them.
    pub(crate) pieces: Vec<Vec<Vec<usize>>>,
    pub(crate) readings: Vec<Reading>,
}

fn share(right: &[bool]) -> Option<f64> {
    mean(&right.iter().map(|r| f64::from(u8::from(*r))).collect::<Vec<_>>())
}

impl Score {
    /// Measures a clip. `reached` is the correlation of the target's attention with its curve.
    pub(crate) fn new(
        (mode, index, task): (Mode, usize, &Task),
        reports: &[FrameReport],
        reached: Option<f32>,
        seconds: f64,
        readings: Vec<Reading>,
    ) -> Result<Self> {
        let target = task.target()?;
        let curve = |object: usize| task.objects.get(object).map(|o| o.curve.as_slice()).unwrap_or_default();
        let right = |object: usize| -> Vec<bool> {
            reports.iter().zip(curve(object)).map(|(report, wanted)| report.right(object, *wanted)).collect()
        };
        let sightings = |object: usize| reports.iter().filter_map(move |r| r.objects.get(object));
        let shapes =
            |object: usize| -> Vec<bool> { sightings(object).filter_map(|s| s.shape_right).collect() };
        let whole = |object: usize| -> Vec<bool> {
            sightings(object).filter(|s| s.seen()).map(|s| s.flaw.is_none()).collect()
        };
        let ours = right(target);
        let of = |wanted: bool| -> Vec<bool> {
            let frames = ours.iter().zip(curve(target)).filter(|(_, value)| (**value >= WANTED) == wanted);
            frames.map(|(right, _)| *right).collect()
        };
        let objects = 0..task.objects.len();
        let others: Vec<bool> = objects.clone().filter(|o| *o != target).flat_map(right).collect();
        let ever = |o: usize| sightings(o).any(|s| s.present);
        let shaped = share(&shapes(target)).is_none_or(|s| s > 0.5);
        Ok(Self {
            mode,
            index,
            prompt: task.prompt.clone(),
            target: task.target.clone(),
            seed: task.seed,
            curve: curve(target).to_vec(),
            accuracy: share(&ours).unwrap_or(0.0),
            presence: share(&of(true)),
            absence: share(&of(false)),
            others: share(&others),
            exact: f64::from(u8::from(shaped && ours.iter().all(|r| *r))),
            right: ours,
            clean: share(&reports.iter().map(|r| r.clean).collect::<Vec<_>>()).unwrap_or(0.0),
            all_present: f64::from(u8::from(objects.clone().all(ever))),
            shape_right: share(&objects.clone().flat_map(shapes).collect::<Vec<_>>()),
            one_object: share(&objects.clone().flat_map(whole).collect::<Vec<_>>()),
            doubled: sightings(target).filter(|s| s.flaw == Some(Flaw::Doubled)).count(),
            correlation: reached.map(f64::from),
            seconds,
            pixels: objects.clone().map(|o| sightings(o).map(|s| s.pixels).collect()).collect(),
            pieces: objects.map(|o| sightings(o).map(|s| s.pieces.clone()).collect()).collect(),
            readings,
        })
    }

    /// One line while the evaluation runs.
    pub(crate) fn line(&self) -> String {
        let shown = |v: Option<f64>| v.map_or_else(|| "   -".into(), |v| format!("{v:.2}"));
        format!(
            "{:<13} {:>2} {:<36} accuracy {:.3} clean {:.2} correlation {} {:.1} s{}",
            self.mode.name(),
            self.index,
            self.prompt,
            self.accuracy,
            self.clean,
            shown(self.correlation),
            self.seconds,
            match self.doubled {
                0 => String::new(),
                frames => format!(", drawn twice or torn in {frames} of {} frames", self.right.len()),
            }
        )
    }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
