//! Where a word's curve comes from.

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

/// How a sound becomes a curve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioRule {
    /// A latent frame in which something begins has its strength, any other 0; see
    /// [`beat_curve`](crate::pipelines::text_to_video::beat_curve).
    #[default]
    Beats,
    /// The released code's: an onset envelope, its peaks kept and the rest smoothed; see
    /// [`audio_mask`](crate::pipelines::text_to_video::audio_mask).
    Released,
}

/// A curve that follows a sound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioCurve {
    /// wav, mp3 or any other that `pipelines::sounds::Recording` reads; relative to the plan's folder.
    pub file: PathBuf,
    /// Seconds into the clip at which the sound begins; negative to skip its beginning.
    #[serde(default)]
    pub start: f64,
    /// How it becomes a curve.
    #[serde(default)]
    pub rule: AudioRule,
    /// Stretch the sound to the clip instead of keeping its time. Without a word the released rule does, as its code, and
    /// beats keep their time.
    pub stretch: Option<bool>,
    /// Of the released rule: scaled onsets from here on keep their value.
    pub threshold: Option<f32>,
    /// Of the released rule: standard deviation of the smoothing of the others, in latent frames.
    pub sigma: Option<f64>,
}

impl CurveSource {
    /// Reads what a command line says: a form of [`TimingCurve::parse`]; `audio:FILE` for the beats of a sound, and
    /// `audio:FILE@1.5s` for one that begins 1.5 s into the clip; or `audio:released:FILE` for the released rule.
    ///
    /// # Errors
    /// [`Error::Input`] for a sound without a file or with a start that is not in seconds, or of the released rule with a
    /// start. A form is checked when the clip's frames are known.
    pub fn from_argument(text: &str) -> Result<Self> {
        let Some(sound) = text.trim().strip_prefix("audio:") else { return Ok(Self::Text(text.into())) };
        let (rule, sound) = match sound.trim_start().strip_prefix("released:") {
            Some(sound) => (AudioRule::Released, sound),
            None => (AudioRule::Beats, sound),
        };
        // A file name may hold an @ too: only seconds after the last one are a start.
        let start = sound.rsplit_once('@').and_then(|(file, at)| {
            let seconds: f64 = at.trim().strip_suffix('s')?.parse().ok()?;
            seconds.is_finite().then_some((file, seconds))
        });
        let (file, start) = start.unwrap_or((sound, 0.0));
        if file.trim().is_empty() {
            return Err(Error::input(
                format!("curve \"{text}\""),
                "expected audio:FILE, audio:FILE@1.5s or audio:released:FILE",
            ));
        }
        let file = PathBuf::from(file.trim());
        let sound = AudioCurve { file, start, rule, stretch: None, threshold: None, sigma: None };
        sound.check()?;
        Ok(Self::Audio(sound))
    }

    /// The curve over a clip's latent frames; `base` is the folder that a sound's file is relative to.
    ///
    /// # Errors
    /// As [`curve_with_warnings`](Self::curve_with_warnings).
    pub fn curve(&self, axis: &TimeAxis, base: &Path) -> Result<TimingCurve> {
        self.curve_with_warnings(axis, base).map(|(curve, _)| curve)
    }

    /// The same, and what was damaged in a sound's file and passed over.
    ///
    /// # Errors
    /// As the constructors of [`TimingCurve`] and, for a sound, `Recording::open`, `onsets` and `beat_curve`, or
    /// `onset_envelope` and `audio_mask`; [`Error::Input`] for settings of a sound that do not go together, for a sound in a
    /// build without the feature `audio`, and on wasm32, where there are no files.
    pub fn curve_with_warnings(&self, axis: &TimeAxis, base: &Path) -> Result<(TimingCurve, Vec<String>)> {
        let curve = match self {
            Self::Text(text) => TimingCurve::parse(text, axis),
            Self::Values(values) => {
                let curve = TimingCurve::new(values.clone())?;
                curve.require_frames(axis.latent_frames())?;
                Ok(curve)
            }
            Self::Keyframes { keys, interpolation } => TimingCurve::keyframes(axis, keys, *interpolation),
            Self::Audio(sound) => return sound.check().and_then(|()| sound.curve(axis, base)),
        };
        Ok((curve?, Vec::new()))
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
            Self::Audio(AudioCurve { file, start, rule, stretch, .. }) => {
                let released = if *rule == AudioRule::Released { "released:" } else { "" };
                write!(f, "audio:{released}{}", file.display())?;
                match (*stretch == Some(true), *start == 0.0) {
                    (true, _) => f.write_str(" stretched"),
                    (false, true) => Ok(()),
                    (false, false) => write!(f, "@{start}s"),
                }
            }
        }
    }
}

impl AudioCurve {
    fn is_stretched(&self) -> bool {
        self.stretch.unwrap_or(self.rule == AudioRule::Released)
    }

    /// Fails for settings that do not go together.
    fn check(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::input(format!("sound {}", self.file.display()), reason));
        if !self.start.is_finite() {
            return refuse("its start is not finite");
        }
        if self.is_stretched() && self.start != 0.0 {
            return refuse(
                "it is stretched to the clip, so it has no start; the released rule takes one with stretch = false",
            );
        }
        if self.rule == AudioRule::Beats && (self.threshold.is_some() || self.sigma.is_some()) {
            return refuse("threshold and sigma belong to rule = \"released\"");
        }
        Ok(())
    }

    #[cfg(all(feature = "audio", not(target_arch = "wasm32")))]
    fn curve(&self, axis: &TimeAxis, base: &Path) -> Result<(TimingCurve, Vec<String>)> {
        use crate::pipelines::sounds::{Recording, onset_envelope, onsets};
        use crate::pipelines::text_to_video::audio_mask::{AudioMaskOptions, audio_mask, audio_mask_in_time};
        use crate::pipelines::text_to_video::beat_curve::beat_curve;
        /// Seconds of the sound that are read before and after what the clip has of it: onsets are told by what is around.
        const AROUND: f64 = 1.0;
        let clip = axis.seconds();
        if self.start > clip {
            let reason = format!("it begins at {}s, and the clip ends at {clip}s", self.start);
            return Err(Error::input(format!("sound {}", self.file.display()), reason));
        }
        let from = (-self.start - AROUND).max(0.0);
        let wanted = (!self.is_stretched()).then_some(from..clip - self.start + AROUND);
        let recording = Recording::open(base.join(&self.file), wanted)?;
        let curve = match self.rule {
            AudioRule::Beats => {
                let scale = if self.is_stretched() { clip / recording.seconds() } else { 1.0 };
                let found = onsets(&recording)?;
                let times: Vec<(f64, f32)> = found.iter().map(|o| (o.seconds * scale, o.strength)).collect();
                beat_curve(&times, self.start + from, axis)?
            }
            AudioRule::Released => {
                let default = AudioMaskOptions::default();
                let options = AudioMaskOptions {
                    frames: axis.latent_frames(),
                    threshold: self.threshold.unwrap_or(default.threshold),
                    sigma: self.sigma.unwrap_or(default.sigma),
                    ..default
                };
                let envelope = onset_envelope(&recording.mono())?;
                let found = if self.is_stretched() {
                    audio_mask(&envelope.values, &options)?
                } else {
                    let start = self.start + from;
                    audio_mask_in_time(&envelope.values, envelope.rate, start, axis, &options)?
                };
                TimingCurve::new(found.mask)?
            }
        };
        let named = |warning: &String| format!("{}: {warning}", self.file.display());
        Ok((curve, recording.warnings.iter().map(named).collect()))
    }

    #[cfg(not(all(feature = "audio", not(target_arch = "wasm32"))))]
    fn curve(&self, _: &TimeAxis, _: &Path) -> Result<(TimingCurve, Vec<String>)> {
        let reason = if cfg!(target_arch = "wasm32") {
            "there are no files here: decode its bytes and give the plan the values of its curve"
        } else {
            "sounds are read with the crate's feature `audio`"
        };
        Err(Error::input(format!("sound {}", self.file.display()), reason))
    }
}
