//! Where a word's curve comes from.

use crate::pipelines::text_to_video::audio_mask::AudioMaskOptions;
use crate::pipelines::text_to_video::curve::{Interpolation, Moment, TimeAxis, TimingCurve};
use crate::{Error, Result};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A curve before the clip's frames are known.
#[derive(Debug, Clone, PartialEq)]
pub enum CurveSource {
    /// A one-line form; see [`TimingCurve::parse`].
    Text(String),
    /// One value per latent frame.
    Values(Vec<f32>),
    /// Keyframes; see [`TimingCurve::keyframes`].
    Keyframes {
        /// Times and values.
        keys: Vec<(Moment, f32)>,
        /// What happens between them.
        interpolation: Interpolation,
    },
    /// The onsets of a sound.
    Audio(AudioCurve),
}

/// A curve that follows a sound; see [`audio_mask`](crate::pipelines::text_to_video::audio_mask).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioCurve {
    /// wav, mp3, flac or ogg; relative to the plan's folder.
    pub file: PathBuf,
    /// Seconds into the clip at which the sound begins; negative to skip its beginning.
    #[serde(default)]
    pub start: f64,
    /// Stretch the sound to the clip, as the released code does, instead of keeping its time; with a `start` it is refused.
    #[serde(default)]
    pub stretch: bool,
    /// Scaled onsets from here on keep their value.
    #[serde(default = "threshold")]
    pub threshold: f32,
    /// Standard deviation of the smoothing of the others, in latent frames.
    #[serde(default = "sigma")]
    pub sigma: f64,
}

fn threshold() -> f32 {
    AudioMaskOptions::default().threshold
}

fn sigma() -> f64 {
    AudioMaskOptions::default().sigma
}

impl CurveSource {
    /// Reads what a command line says: a form of [`TimingCurve::parse`], or `audio:FILE` and `audio:FILE@1.5s`
    /// for a sound that begins 1.5 s into the clip.
    ///
    /// # Errors
    /// [`Error::Input`] for a sound without a file or with a start that is not in seconds. A form is checked
    /// when the clip's frames are known.
    pub fn from_argument(text: &str) -> Result<Self> {
        let Some(sound) = text.trim().strip_prefix("audio:") else { return Ok(Self::Text(text.into())) };
        // A file name may hold an @ too: only seconds after the last one are a start.
        let start = sound.rsplit_once('@').and_then(|(file, at)| {
            let seconds: f64 = at.trim().strip_suffix('s')?.parse().ok()?;
            seconds.is_finite().then_some((file, seconds))
        });
        let (file, start) = start.unwrap_or((sound, 0.0));
        if file.trim().is_empty() {
            return Err(Error::input(format!("curve \"{text}\""), "expected audio:FILE or audio:FILE@1.5s"));
        }
        let file = PathBuf::from(file.trim());
        Ok(Self::Audio(AudioCurve { file, start, stretch: false, threshold: threshold(), sigma: sigma() }))
    }

    /// The curve over a clip's latent frames; `base` is the folder that a sound's file is relative to.
    ///
    /// # Errors
    /// As the constructors of [`TimingCurve`] and, for a sound, the modules `audio` and `audio_mask`;
    /// [`Error::Input`] for a sound in a build without the feature `audio`, and on wasm32, where there are no files.
    pub fn curve(&self, axis: &TimeAxis, base: &Path) -> Result<TimingCurve> {
        match self {
            Self::Text(text) => TimingCurve::parse(text, axis),
            Self::Values(values) => {
                let curve = TimingCurve::new(values.clone())?;
                curve.require_frames(axis.latent_frames())?;
                Ok(curve)
            }
            Self::Keyframes { keys, interpolation } => TimingCurve::keyframes(axis, keys, *interpolation),
            Self::Audio(sound) if sound.stretch && sound.start != 0.0 => Err(Error::input(
                "sound",
                format!(
                    "it has start = {} and stretch = true: a stretched sound begins and ends with the clip, so leave one out",
                    sound.start
                ),
            )),
            Self::Audio(sound) => sound.curve(axis, base),
        }
    }

    /// The field of a plan that holds it.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Values(_) => "curve",
            Self::Keyframes { .. } => "keyframes",
            Self::Audio(_) => "audio",
        }
    }
}

/// As it would be typed.
impl fmt::Display for CurveSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.trim()),
            Self::Values(values) => {
                f.write_str(&values.iter().map(f32::to_string).collect::<Vec<_>>().join(","))
            }
            Self::Keyframes { keys, interpolation } => {
                let name = match interpolation {
                    Interpolation::Step => "step",
                    Interpolation::Linear => "keys",
                    Interpolation::Smooth => "smooth",
                };
                let keys: Vec<String> = keys.iter().map(|(at, value)| format!("{at}={value}")).collect();
                write!(f, "{name}:{}", keys.join(","))
            }
            Self::Audio(AudioCurve { file, start, stretch, .. }) => {
                write!(f, "audio:{}", file.display())?;
                match (stretch, *start == 0.0) {
                    (true, _) => f.write_str(" stretched"),
                    (false, true) => Ok(()),
                    (false, false) => write!(f, "@{start}s"),
                }
            }
        }
    }
}

impl AudioCurve {
    #[cfg(all(feature = "audio", not(target_arch = "wasm32")))]
    fn curve(&self, axis: &TimeAxis, base: &Path) -> Result<TimingCurve> {
        use crate::pipelines::sounds::{Sound, onset_envelope};
        use crate::pipelines::text_to_video::audio_mask::{audio_mask, audio_mask_in_time};
        let envelope = onset_envelope(&Sound::open(base.join(&self.file))?)?;
        let options = AudioMaskOptions {
            frames: axis.latent_frames(),
            threshold: self.threshold,
            sigma: self.sigma,
            ..AudioMaskOptions::default()
        };
        let found = if self.stretch {
            audio_mask(&envelope.values, &options)?
        } else {
            audio_mask_in_time(&envelope.values, envelope.rate, self.start, axis, &options)?
        };
        TimingCurve::new(found.mask)
    }

    #[cfg(not(all(feature = "audio", not(target_arch = "wasm32"))))]
    fn curve(&self, _: &TimeAxis, _: &Path) -> Result<TimingCurve> {
        let reason = if cfg!(target_arch = "wasm32") {
            "there are no files here: decode its bytes and give the plan the values of its curve"
        } else {
            "sounds are read with the crate's feature `audio`"
        };
        Err(Error::input(format!("sound {}", self.file.display()), reason))
    }
}
