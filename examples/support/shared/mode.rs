//! The ways to steer that the examples compare.

use clap::ValueEnum;
use foveal::pipelines::text_to_video::temporal_control::{Guidance, TemporalMask};
use foveal::pipelines::text_to_video::{ClipRequest, TimedWord};
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

    /// Says which mode follows the words' curves where this one would not: the run would refuse them, but only once the clip
    /// without control is made. `flag` is what names the mode.
    pub(crate) fn check(self, flag: &str, words: &[TimedWord]) -> Result<(), String> {
        let levels = |word: &TimedWord| word.curve.values().iter().copied().fold(f32::NAN, f32::max);
        let constant = |word: &&TimedWord| word.curve.is_constant();
        let all = !words.is_empty() && words.iter().all(|word| word.curve.is_constant());
        match self {
            Self::Released if all => Err(format!(
                "{flag} released follows curves that change, and every word is on or off throughout: {flag} default holds and \
                 hides words, {flag} mask hides them"
            )),
            Self::Mask if all && words.iter().all(|word| levels(word) == 1.0) => Err(format!(
                "{flag} mask only takes words away, and every word is on throughout: {flag} default holds words"
            )),
            Self::Default => {
                match words.iter().filter(constant).find(|word| levels(word) > 0.0 && levels(word) < 1.0) {
                    Some(word) => Err(format!(
                        "\"{}\" is wanted at {} throughout: {flag} default holds words (on) or hides them (off), a level between \
                     is for {flag} mask or mask+default",
                        word.phrase,
                        levels(word)
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use foveal::pipelines::text_to_video::curve::TimingCurve;

    #[test]
    fn a_mode_that_would_do_nothing_names_one_that_does() {
        let word = |curve: &[f32; 3]| TimedWord::new("red square", TimingCurve::new(curve.to_vec()).unwrap());
        let outcome = |mode: Mode, curves: &[[f32; 3]]| {
            mode.check("--mode", &curves.iter().map(word).collect::<Vec<_>>()).err().unwrap_or_default()
        };
        let (on, off, half, late) = ([1.0; 3], [0.0; 3], [0.5; 3], [0.0, 0.5, 1.0]);
        for (mode, curves, named) in [
            (Mode::Released, &[on][..], "--mode default holds"),
            (Mode::Released, &[off, on], "--mode default holds"),
            (Mode::Released, &[half], "--mode mask hides"),
            (Mode::Mask, &[on, on], "--mode default holds"),
            (Mode::Default, &[late, half], "\"red square\" is wanted at 0.5 throughout"),
        ] {
            let found = outcome(mode, curves);
            assert!(found.contains(named), "{mode:?} {curves:?}: {found}");
        }
        for (mode, curves) in [
            (Mode::Released, &[on, late][..]),
            (Mode::Mask, &[on, off]),
            (Mode::Mask, &[half]),
            (Mode::Default, &[on]),
            (Mode::Default, &[off]),
            (Mode::MaskDefault, &[half]),
            (Mode::MaskDefault, &[on]),
            (Mode::Uncontrolled, &[on]),
        ] {
            assert_eq!(outcome(mode, curves), "", "{mode:?} {curves:?}");
        }
    }
}
