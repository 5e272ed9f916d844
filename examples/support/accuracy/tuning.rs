//! Changes to the settings that an evaluation compares.

use crate::shared::mode::fitted;
use clap::ValueEnum;
use foveal::pipelines::schedules::AfterEdit;
use foveal::pipelines::text_to_video::temporal_control::{Guidance, GuidedSteps, TemporalMask, Update};

/// Changes to the default gradient and mask, for choosing them.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings of the modes default, mask and mask+default")]
pub(crate) struct Tuning {
    /// Denoising steps that are guided: 0..5, 1,2,4 or both; none
    #[arg(long, allow_hyphen_values = true)]
    guided_steps: Option<GuidedSteps>,
    /// Most updates after each of them.
    #[arg(long)]
    updates: Option<usize>,
    /// Root mean square of an update as a share of the noise level.
    #[arg(long, value_parser = finite)]
    size: Option<f32>,
    /// Correlation at which updates end.
    #[arg(long, value_parser = finite)]
    threshold: Option<f32>,
    /// Frames at the start that correlation and flatness leave out.
    #[arg(long)]
    skip_first: Option<usize>,
    /// Weight of the correlation.
    #[arg(long, value_parser = finite)]
    correlation: Option<f32>,
    /// Weight of the magnitude.
    #[arg(long, value_parser = finite)]
    magnitude: Option<f32>,
    /// Weight of the entropy.
    #[arg(long, value_parser = finite)]
    entropy: Option<f32>,
    /// Weight of the flatness.
    #[arg(long, value_parser = finite)]
    flatness: Option<f32>,
    /// What the solver does about an update.
    #[arg(long, value_enum)]
    after_edit: Option<After>,
    /// Share of attention that the mask leaves where the curve is 0.
    #[arg(long, value_parser = finite)]
    floor: Option<f32>,
    /// Denoising steps that are masked, from the first.
    #[arg(long)]
    mask_steps: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum After {
    Transport,
    Skip,
    Ignore,
}

fn finite(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite());
    number.ok_or_else(|| "a finite number was expected".into())
}

impl Tuning {
    /// The default gradient with the changes, for a run of `steps`.
    pub(crate) fn guidance(&self, steps: usize) -> Guidance {
        let mut g = fitted(Guidance::default(), steps);
        g.steps = self.guided_steps.clone().unwrap_or(g.steps);
        g.updates = self.updates.unwrap_or(g.updates);
        g.threshold = self.threshold.unwrap_or(g.threshold);
        if let Some(size) = self.size {
            g.update = Update::TrustRegion { size };
        }
        g.objective.skip_first = self.skip_first.unwrap_or(g.objective.skip_first);
        let w = &mut g.objective.weights;
        w.correlation = self.correlation.unwrap_or(w.correlation);
        w.magnitude = self.magnitude.unwrap_or(w.magnitude);
        w.entropy = self.entropy.unwrap_or(w.entropy);
        w.flatness = self.flatness.unwrap_or(w.flatness);
        g.after_edit = match self.after_edit {
            None => g.after_edit,
            Some(After::Transport) => AfterEdit::Transport,
            Some(After::Skip) => AfterEdit::SkipCorrector,
            Some(After::Ignore) => AfterEdit::Ignore,
        };
        g
    }

    /// The default mask with the changes.
    pub(crate) fn mask(&self) -> TemporalMask {
        let m = TemporalMask::default();
        TemporalMask { floor: self.floor.unwrap_or(m.floor), steps: self.mask_steps.unwrap_or(m.steps) }
    }
}
