//! How much of an edit of the latent is left in the finished clip.
//!
//! After one denoising step the latent is moved once, by the first update of the gradient, and never again. The same
//! edit is made under each [`AfterEdit`]; what it changed in the finished clip is set against the edit itself. A step
//! that is not corrected differs from one that is, edit or no edit, so each is compared with a clip made under the same
//! rule with an edit of nothing.
//!
//! The clip changes for two reasons: the solver carries the edit, and the model answers a moved latent with another
//! velocity. [`carried`] is the first alone.

use super::stats::{Estimate, estimate};
use super::table::markdown;
use crate::shared::progress::Progress;
use foveal::pipelines::schedules::Schedule;
use foveal::pipelines::schedules::{AfterEdit, Sampler, SolverState};
use foveal::pipelines::text_to_video::temporal_control::{Event, Guidance, Update};
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo};
use foveal::{Error, HostTensor, Result, Tensor};
use serde::Serialize;

/// The rules, with what they do to the corrector.
pub(crate) const RULES: [(AfterEdit, &str); 3] = [
    (AfterEdit::Ignore, "corrector ignores the edit (released)"),
    (AfterEdit::SkipCorrector, "corrector skipped"),
    (AfterEdit::Transport, "corrector transports the edit (default)"),
];

/// One edit and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Passed {
    pub(crate) prompt: usize,
    /// Denoising step after which the latent was moved.
    pub(crate) step: usize,
    /// Place of the rule in [`RULES`].
    pub(crate) rule: usize,
    /// Root mean square of the edit.
    pub(crate) edit: f64,
    /// Norm of the clip's difference over the norm of the edit.
    pub(crate) relative: f64,
    /// The clip's difference along the edit over the norm of the edit: 1 when it arrives as it was made.
    pub(crate) along: f64,
}

/// Clips that [`measure`] makes for a prompt, as requests to plan the progress by.
pub(crate) fn requests(request: &ClipRequest, guidance: &Guidance, steps: &[usize]) -> Vec<ClipRequest> {
    let edited = |step: &usize| {
        let with = |size: f32, rule: AfterEdit| {
            let guidance = Guidance {
                steps: [*step].into_iter().collect(),
                after_last_step: false,
                updates: 1,
                // Out of reach, so that the edit is made whatever the attention is.
                threshold: f32::INFINITY,
                check_before: false,
                unused_work: false,
                update: Update::TrustRegion { size },
                after_edit: rule,
                ..guidance.clone()
            };
            ClipRequest { guidance: Some(guidance), mask: None, ..request.clone() }
        };
        let size = match guidance.update {
            Update::TrustRegion { size } => size,
            Update::AdamW(settings) => settings.lr as f32,
        };
        RULES.map(|(rule, _)| [with(0.0, rule), with(size, rule)])
    };
    steps.iter().flat_map(edited).flatten().collect()
}

/// Share of an edit after `step` that the solver itself carries to the end: what is left of an edit of 1 when the model's
/// velocities stay as they were. The solver is linear, so any velocities give the same.
pub(crate) fn carried(request: &ClipRequest, step: usize, rule: AfterEdit) -> Result<f32> {
    let schedule = Schedule::new(request.grid, request.steps, request.shift)?;
    let sampler = Sampler::new(schedule, request.solver);
    let mut state = SolverState::new();
    let mut latent = 0.0;
    for i in 0..sampler.steps() {
        let rule = if i == step + 1 { rule } else { AfterEdit::Ignore };
        let next = state.step(&sampler.plan_after_edit(i, rule)?, &[latent], &[0.0])?;
        latent = next.iter().sum::<f32>() + if i == step { 1.0 } else { 0.0 };
    }
    Ok(latent)
}

/// The one step that a request of [`requests`] guides.
fn edited_step(request: &ClipRequest) -> usize {
    request.guidance.as_ref().and_then(|g| g.steps.iter().next()).unwrap_or(0)
}

/// Makes the clips of [`requests`] and compares them in pairs.
pub(crate) fn measure(
    pipeline: &TextToVideo,
    prompt: usize,
    requests: &[ClipRequest],
    progress: &mut Progress,
) -> Result<Vec<Passed>> {
    let mut rows = Vec::new();
    let (pairs, _) = requests.as_chunks::<2>();
    for (index, [without, with]) in pairs.iter().enumerate() {
        let step = edited_step(with);
        let name = format!("prompt {} step {step}", prompt + 1);
        let (rest, _) = clip(pipeline, without, &name, progress)?;
        let (moved, edit) = clip(pipeline, with, &name, progress)?;
        rows.push(compare(&rest, &moved, &edit, (prompt, step, index % RULES.len()))?);
    }
    Ok(rows)
}

fn compare(
    rest: &HostTensor,
    moved: &HostTensor,
    edit: &[f32],
    (prompt, step, rule): (usize, usize, usize),
) -> Result<Passed> {
    let change = moved.data().iter().zip(rest.data()).map(|(a, b)| f64::from(*a) - f64::from(*b));
    let (mut of_change, mut of_edit, mut both) = (0.0, 0.0, 0.0);
    for (c, e) in change.zip(edit.iter().map(|e| f64::from(*e))) {
        of_change += c * c;
        of_edit += e * e;
        both += c * e;
    }
    if edit.len() != rest.data().len() || of_edit == 0.0 {
        return Err(Error::input("edit", format!("after step {step}: there was none to follow")));
    }
    Ok(Passed {
        prompt,
        step,
        rule,
        edit: (of_edit / edit.len() as f64).sqrt(),
        relative: (of_change / of_edit).sqrt(),
        along: both / of_edit,
    })
}

/// A finished clip and the edit that was made on its way.
fn clip(
    pipeline: &TextToVideo,
    request: &ClipRequest,
    name: &str,
    progress: &mut Progress,
) -> Result<(HostTensor, Vec<f32>)> {
    progress.begin(name, request);
    let at = edited_step(request);
    let (mut before, mut after): (Option<Tensor>, Option<Tensor>) = (None, None);
    let mut failure = None;
    let mut keep = |slot: &mut Option<Tensor>, latent: &Tensor| match latent.to_owned_copy() {
        Ok(copy) => *slot = Some(copy),
        Err(error) => failure = Some(error),
    };
    let made = foveal::block_on(pipeline.generate(request, |event| {
        match event {
            Event::Stepped { step, latent, .. } if *step == at => keep(&mut before, latent),
            Event::Updated { latent, .. } => keep(&mut after, latent),
            _ => {}
        }
        progress.on(event)
    }))?;
    if let Some(error) = failure {
        return Err(error);
    }
    let (Some(before), Some(after)) = (before, after) else {
        return Err(Error::input(
            "edit",
            format!("step {at} made none; the clip has {} steps", request.steps),
        ));
    };
    let (before, after) = (foveal::block_on(before.to_vec())?, foveal::block_on(after.to_vec())?);
    Ok((made.clip, after.iter().zip(&before).map(|(a, b)| a - b).collect()))
}

/// One row a step and rule. `request` states the solver.
pub(crate) fn table(rows: &[Passed], steps: &[usize], request: &ClipRequest) -> Result<String> {
    let mut lines = vec![
        ["edit after step", "rule", "edits", "clip's difference / edit", "along the edit", "solver alone"]
            .map(String::from)
            .to_vec(),
    ];
    for &step in steps {
        for (rule, (after, name)) in RULES.iter().enumerate() {
            let here = || rows.iter().filter(|r| (r.step, r.rule) == (step, rule));
            let show = |value: fn(&Passed) -> f64| {
                let found = estimate(&here().map(value).collect::<Vec<_>>());
                found.map_or_else(
                    || "-".into(),
                    |Estimate { mean, low, high }| format!("{mean:.3} [{low:.3}, {high:.3}]"),
                )
            };
            lines.push(vec![
                step.to_string(),
                (*name).to_owned(),
                here().count().to_string(),
                show(|r| r.relative),
                show(|r| r.along),
                format!("{:.3}", carried(request, step, *after)?),
            ]);
        }
    }
    Ok(markdown(&lines))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use foveal::pipelines::schedules::SigmaGrid;
    use foveal::pipelines::schedules::Solver;

    #[test]
    fn what_arrives_is_measured_against_the_edit() {
        let tensor = |values: &[f32]| HostTensor::new([1, 1, 1, 4], values.to_vec()).unwrap();
        let rest = tensor(&[1.0, 2.0, 3.0, 4.0]);
        let edit = [0.0, 0.0, 0.3, 0.4];
        let passed = |moved: &[f32]| compare(&rest, &tensor(moved), &edit, (0, 2, 1)).unwrap();
        let whole = passed(&[1.0, 2.0, 3.3, 4.4]);
        assert!((whole.relative - 1.0).abs() < 1e-6 && (whole.along - 1.0).abs() < 1e-6, "{whole:?}");
        assert!((whole.edit - 0.25).abs() < 1e-6);
        assert_eq!(passed(&[1.0, 2.0, 3.0, 4.0]).relative, 0.0);
        // As large, but elsewhere.
        let aside = passed(&[1.5, 2.0, 3.0, 4.0]);
        assert!((aside.relative - 1.0).abs() < 1e-6 && aside.along == 0.0, "{aside:?}");
        assert!(compare(&rest, &rest, &[0.0; 4], (0, 0, 0)).is_err());
    }

    #[test]
    fn the_released_corrector_lets_hardly_anything_through() {
        let request = ClipRequest {
            prompt: String::new(),
            negative_prompt: String::new(),
            size: [1; 3],
            seed: 0,
            steps: 50,
            guidance_scale: 1.0,
            shift: 3.0,
            grid: SigmaGrid::Wan,
            solver: Solver::UniPc,
            words: Vec::new(),
            guidance: None,
            mask: None,
            rows_at_a_time: None,
        };
        // Measured on the released solver with a constant velocity.
        for (step, share) in [(0, 0.006_48), (1, 0.007_42), (4, 0.007_96), (10, 0.010_02)] {
            let found = carried(&request, step, AfterEdit::Ignore).unwrap();
            assert!((found - share).abs() < 1e-4, "after step {step}: {found}");
            for rule in [AfterEdit::SkipCorrector, AfterEdit::Transport] {
                let found = carried(&request, step, rule).unwrap();
                assert!((found - 1.0).abs() < 0.02, "{rule:?} after step {step}: {found}");
            }
        }
    }
}
