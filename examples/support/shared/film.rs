//! Makes a clip and keeps what the run says about itself.

use super::progress::Progress;
use foveal::pipelines::text_to_video::temporal_control::Event;
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo};
use foveal::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::Instant;

/// The attention as it was scored once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// Denoising step it followed.
    pub(crate) step: usize,
    /// Update that it led to; none where the attention was only read.
    pub(crate) update: Option<usize>,
    /// Correlation of each word's attention over time with its curve.
    pub(crate) correlation: Vec<f32>,
    /// What is minimised, of each word.
    pub(crate) objective: Vec<f32>,
}

/// A clip with its making.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Film {
    /// 8-bit RGB, row-major, one entry a frame.
    #[serde(skip)]
    pub(crate) frames: Vec<Vec<u8>>,
    /// In the order in which they were made.
    pub(crate) readings: Vec<Reading>,
    /// Whole run.
    pub(crate) seconds: f64,
    /// Each denoising step with its updates. The device works behind the host, so time can move between neighbours.
    pub(crate) step_seconds: Vec<f64>,
    /// Most bytes alive on the device at once, weights included.
    pub(crate) peak_device_bytes: u64,
}

impl Film {
    /// Correlations at the last reading before a step's first update: what the attention became.
    pub(crate) fn reached(&self) -> &[f32] {
        let last = self.readings.iter().rev().find(|r| r.update.is_none_or(|u| u == 0));
        last.map(|r| r.correlation.as_slice()).unwrap_or_default()
    }
}

/// Generates a clip; `observe` sees every event.
///
/// # Errors
/// Those of [`TextToVideo::generate`], [`Error::Cancelled`] where the run was asked to stop.
pub(crate) fn shoot(
    pipeline: &TextToVideo,
    request: &ClipRequest,
    progress: &mut Progress,
    observe: &mut dyn FnMut(&Event) -> Result<()>,
) -> Result<Film> {
    pipeline.context().reset_peak();
    let start = Instant::now();
    let mut readings: Vec<Reading> = Vec::new();
    let mut step_ends = Vec::new();
    let mut failure = None;
    let mut hook = |event: &Event| {
        let mut reading =
            |step: usize, update: Option<usize>, terms: &[foveal::kernels::temporal::GroupTerms]| {
                readings.push(Reading {
                    step,
                    update,
                    correlation: terms.iter().map(|t| t.correlation).collect(),
                    objective: terms.iter().map(|t| t.total).collect(),
                });
            };
        match event {
            // Where updates follow, the first of them reports the same terms.
            Event::Read { step, terms, optimised: false, .. } => reading(*step, None, terms),
            Event::Updated { step, update, terms, .. } => reading(*step, Some(*update), terms),
            Event::Done { .. } => step_ends.push(start.elapsed().as_secs_f64()),
            _ => {}
        }
        let flow = progress.on(event);
        match observe(event) {
            Ok(()) => flow,
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let result = foveal::block_on(pipeline.generate(request, &mut hook));
    let clip = match (result, failure) {
        (Err(Error::Cancelled(_)), Some(error)) => return Err(error),
        (result, _) => result?,
    };
    let starts = std::iter::once(0.0).chain(step_ends.iter().copied());
    Ok(Film {
        frames: clip.to_rgb()?,
        step_seconds: starts.zip(&step_ends).map(|(from, to)| to - from).collect(),
        readings,
        seconds: start.elapsed().as_secs_f64(),
        peak_device_bytes: pipeline.context().memory().peak,
    })
}
