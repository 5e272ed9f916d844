//! What a run reports on its way.

use crate::Tensor;
use crate::kernels::temporal::GroupTerms;

/// What a run reports while it goes. It may be cloned and sent to another thread; its tensors may be overwritten later, so copy
/// what is to be kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A prompt has more tokens than the text encoder takes; the run goes on without its end.
    #[non_exhaustive]
    PromptCut {
        /// It is the negative prompt.
        negative: bool,
        /// What was cut off.
        cut: String,
    },
    /// A denoising step is done.
    #[non_exhaustive]
    Stepped {
        /// Index of the step.
        step: usize,
        /// Velocity after classifier-free guidance.
        velocity: Tensor,
        /// Latent at the next noise level.
        latent: Tensor,
    },
    /// The map was read after a step, before any update.
    #[non_exhaustive]
    Read {
        /// Index of the step.
        step: usize,
        /// Terms of each group.
        terms: Vec<GroupTerms>,
        /// Map `(groups, frames, height · width)`.
        map: Tensor,
        /// Attention over time, 0..1 `(groups, frames)`.
        signal: Tensor,
        /// Updates will follow.
        optimised: bool,
    },
    /// An update was made, or computed and discarded because the threshold was met.
    #[non_exhaustive]
    Updated {
        /// Index of the step.
        step: usize,
        /// Number of the update.
        update: usize,
        /// Terms of each group before it.
        terms: Vec<GroupTerms>,
        /// Gradient of the objective by the latent.
        gradient: Tensor,
        /// Latent after it.
        latent: Tensor,
        /// False where it was discarded.
        applied: bool,
    },
    /// A step with its updates is over.
    #[non_exhaustive]
    Done {
        /// Index of the step.
        step: usize,
        /// Latent that the next step starts from.
        latent: Tensor,
        /// The threshold ended the updates.
        stopped_early: bool,
    },
}
