//! The ways to steer that the examples compare.

use clap::ValueEnum;
use foveal::pipelines::text_to_video::ClipRequest;
use foveal::pipelines::text_to_video::temporal_control::{Guidance, TemporalMask};
use serde::{Deserialize, Serialize};

/// Built-in settings for a run of fewer steps than they were made for: the released code, too, guides those that come.
pub(crate) fn fitted(guidance: Guidance, steps: usize) -> Guidance {
    Guidance { steps: guidance.steps.within(steps), ..guidance }
}

/// How a clip is steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Not at all.
    Uncontrolled,
    /// Words are hidden from frames in the cross-attention; no gradient.
    Mask,
    /// The released TempoControl code, step by step.
    #[value(alias = "parity")]
    Released,
    /// The gradient with this crate's defaults.
    Default,
    /// Both the mask and the gradient.
    #[value(name = "mask+default")]
    #[serde(rename = "mask+default")]
    MaskDefault,
}

impl Mode {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uncontrolled => "uncontrolled",
            Self::Mask => "mask",
            Self::Released => "released",
            Self::Default => "default",
            Self::MaskDefault => "mask+default",
        }
    }

    /// Settings of the gradient in a run of `steps`; `default` stands for the default ones. `None` where nothing moves the
    /// latent.
    pub(crate) fn guidance(self, default: &Guidance, steps: usize) -> Option<Guidance> {
        match self {
            Self::Uncontrolled | Self::Mask => None,
            Self::Released => Some(fitted(Guidance::released(), steps)),
            Self::Default | Self::MaskDefault => Some(default.clone()),
        }
    }

    /// Sets a request up. Where nothing moves the latent, the attention is read at the steps of `default` all the
    /// same, which leaves the clip as it is.
    pub(crate) fn apply(self, request: &mut ClipRequest, default: &Guidance, mask: TemporalMask) {
        let reading = || Guidance { updates: 0, unused_work: false, ..default.clone() };
        request.guidance = Some(self.guidance(default, request.steps).unwrap_or_else(reading));
        request.mask = matches!(self, Self::Mask | Self::MaskDefault).then_some(mask);
    }
}
