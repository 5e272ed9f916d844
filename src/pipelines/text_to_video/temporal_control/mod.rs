//! TempoControl: a word appears when its curve says so.
//!
//! At the first denoising steps the latent is moved so that the attention which each latent frame pays to the words
//! follows their curves: the columns of the cross-attention map are read without the map, scored against the curves,
//! and the gradient goes back through the transformer to the latent. [`Guidance::released`] follows the released code
//! step by step; [`Guidance::default`] mends what is wrong in it (each field says what). Independently, a
//! [`TemporalMask`] takes words away from frames inside the cross-attention, without gradients.
//!
//! A curve with one value is a wish too, alone or beside others:
//!
//! | every frame | [`Guidance::default`] | [`TemporalMask`] | [`Guidance::released`] |
//! |---|---|---|---|
//! | 1, held | attention is made even | the word is left as it is; refused where that is all | refused where no curve varies |
//! | 0, hidden | attention is lowered | the word is taken away | the same |
//! | between | refused without a mask, and left to it | that share of the word is left | as the released code: above τ as 1, below as 0 |
//!
//! Source: Schiber et al., TempoControl; released code Shira-Schiber/TempoControl at 701dbd2.

mod run;
mod steps;
mod wish;

pub use super::progress::Event;
pub use run::sample;
pub use steps::GuidedSteps;

use super::curve::TimingCurve;
use crate::autograd::Keep;
use crate::kernels::optim::AdamW;
use crate::kernels::temporal::TemporalObjective;
use crate::models::wan::WanText;
use crate::pipelines::schedules::AfterEdit;

/// A group of text tokens with the curve it is to follow.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedTokens {
    /// Positions in the text context.
    pub tokens: Vec<usize>,
    /// Wanted presence per latent frame, 0..1; all ones for something that is held, all zeros for something that is hidden.
    pub curve: TimingCurve,
}

/// How the latent is moved along the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Update {
    /// AdamW with fresh moments at each denoising step. Its first update is `lr · sign(gradient)` whatever the
    /// gradient's size, so nothing bounds how far the latent leaves what the model knows.
    AdamW(AdamW),
    /// Against the gradient, by `size · sigma` in root mean square: an update is never larger than a known part of the
    /// noise at hand, and where the gradient is small everywhere but at the object, only the object moves.
    TrustRegion {
        /// Root mean square of an update as a share of the noise level.
        size: f32,
    },
}

/// When a step's updates end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopWhen {
    /// The first group's correlation is above the threshold.
    FirstGroup,
    /// Every group has what it wants: a word whose curve varies is above the threshold; one that is held throughout has an
    /// attention that varies by a twentieth of its mean; one that is hidden throughout has a tenth of what the run read first.
    AllGroups,
}

/// Settings of the gradient: `Guidance { updates: 2, ..Guidance::default() }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// Denoising steps after which the latent is moved. Steps that the run does not have are refused.
    pub steps: GuidedSteps,
    /// Move it after the run's last step too, where that is among `steps`, as the released code does: no step follows that
    /// would fit the move in, so it stands in the clip as it was made.
    pub after_last_step: bool,
    /// Most updates after one step.
    pub updates: usize,
    /// Correlation at which updates stop.
    pub threshold: f32,
    /// Leave a step alone when the threshold is met before its first update.
    pub check_before: bool,
    /// Which groups are asked. The released code asks the first alone, so a second word is never waited for.
    pub stop_when: StopWhen,
    /// What is minimised.
    pub objective: TemporalObjective,
    /// How the latent is moved.
    pub update: Update,
    /// Score the moved latent with the timestep of the step just taken, as the released code does, rather than with
    /// the one that belongs to its noise level.
    pub previous_timestep: bool,
    /// What the next step's corrector does about the move. The released code's corrector discards it: about 1 % of a
    /// move reaches the result directly.
    pub after_edit: AfterEdit,
    /// Divide the sum over layers by one less than their number, as the released code does.
    pub released_layer_divisor: bool,
    /// What the gradient's pass keeps in memory rather than computes again. Results do not depend on it.
    pub keep: Keep,
    /// Read the map after every denoising step, and compute the gradient that a stop discards, as the released code
    /// does: nothing depends on either.
    pub unused_work: bool,
}

impl Guidance {
    /// True when the latent is to be moved after a step, counted from 0, of a run of `steps`.
    pub fn guides(&self, step: usize, steps: usize) -> bool {
        self.steps.contains(step) && (self.after_last_step || step + 1 < steps)
    }

    /// The released code with its settings for one object.
    pub fn released() -> Self {
        Self {
            steps: (0..11).collect(),
            after_last_step: true,
            updates: 10,
            threshold: 0.9,
            check_before: true,
            stop_when: StopWhen::FirstGroup,
            objective: TemporalObjective::released(),
            update: Update::AdamW(AdamW { lr: 5e-4, ..AdamW::default() }),
            previous_timestep: true,
            after_edit: AfterEdit::Ignore,
            released_layer_divisor: true,
            keep: Keep::Attention,
            unused_work: true,
        }
    }
}

impl Default for Guidance {
    /// The released code's faults mended.
    fn default() -> Self {
        Self {
            steps: (0..5).collect(),
            after_last_step: false,
            updates: 4,
            threshold: 0.9,
            check_before: true,
            stop_when: StopWhen::AllGroups,
            objective: TemporalObjective::scale_free(),
            update: Update::TrustRegion { size: 0.03 },
            previous_timestep: false,
            after_edit: AfterEdit::Transport,
            released_layer_divisor: false,
            keep: Keep::Attention,
            unused_work: false,
        }
    }
}

/// Takes words away from frames where their curve is low, inside the cross-attention of the conditional branch:
/// the bias of a word is `ln(floor + (1 − floor) · curve)`, so 1 leaves it alone and 0 leaves `floor` of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalMask {
    /// Share of attention left where the curve is 0; 0 hides the word altogether.
    pub floor: f32,
    /// Denoising steps that are masked, from the first.
    pub steps: usize,
}

impl Default for TemporalMask {
    fn default() -> Self {
        Self { floor: 0.0, steps: usize::MAX }
    }
}

/// What a sampling run is asked for: `Control { guidance, ..Control::new(groups) }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Words and their curves.
    pub groups: Vec<TimedTokens>,
    /// Gradient, if any.
    pub guidance: Option<Guidance>,
    /// Mask, if any.
    pub mask: Option<TemporalMask>,
}

impl Control {
    /// Words with curves, and nothing that follows them yet.
    pub fn new(groups: Vec<TimedTokens>) -> Self {
        Self { groups, guidance: None, mask: None }
    }
}

/// Conditional and negative text of a run.
#[derive(Debug, Clone)]
pub struct Prompts {
    /// The prompt.
    pub positive: WanText,
    /// What classifier-free guidance moves away from.
    pub negative: WanText,
    /// Its strength; at 1 the negative branch is not computed.
    pub scale: f32,
    /// Rows that the feed-forward layers take at a time; see [`crate::models::wan::WanOptions::rows_at_a_time`]. Results
    /// do not depend on it.
    pub rows_at_a_time: Option<usize>,
}

impl Prompts {
    /// Both texts with the strength of classifier-free guidance, all rows at a time.
    pub fn new(positive: WanText, negative: WanText, scale: f32) -> Self {
        Self { positive, negative, scale, rows_at_a_time: None }
    }
}
