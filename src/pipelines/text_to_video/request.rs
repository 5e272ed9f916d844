//! What a clip is asked for, and what a model folder says of its clips.

use super::curve::TimingCurve;
use super::temporal_control::{Guidance, TemporalMask};
use crate::models::tokenizer::WordMatch;
use crate::pipelines::schedules::{SigmaGrid, Solver};
use crate::weights::ConfigFile;
use crate::{Error, Result};

/// Most places of a latent, frames times height times width: hundreds of times what Wan draws, and small enough that
/// noise for it can be made.
const MAX_PLACES: usize = 1 << 28;

/// Refuses latents with more places than [`MAX_PLACES`].
pub(super) fn require_places([frames, height, width]: [usize; 3]) -> Result<()> {
    if frames.saturating_mul(height).saturating_mul(width) > MAX_PLACES {
        let reason = format!("{frames} × {height} × {width} make more than {MAX_PLACES} places");
        return Err(Error::input("size", reason));
    }
    Ok(())
}

/// A phrase of the prompt with the curve it is to follow.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedWord {
    /// Words of the prompt, in order.
    pub phrase: String,
    /// Which of its occurrences.
    pub occurrence: WordMatch,
    /// Wanted presence per latent frame.
    pub curve: TimingCurve,
}

impl TimedWord {
    /// Every occurrence of a phrase as whole words.
    pub fn new(phrase: impl Into<String>, curve: TimingCurve) -> Self {
        Self { phrase: phrase.into(), occurrence: WordMatch::default(), curve }
    }
}

/// One clip: a folder's defaults by [`TextToVideo::request`](super::TextToVideo), and what is to be otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipRequest {
    /// What to draw.
    pub prompt: String,
    /// What to stay away from.
    pub negative_prompt: String,
    /// Latent frames, height and width.
    pub size: [usize; 3],
    /// Seed of the noise.
    pub seed: u64,
    /// Denoising steps.
    pub steps: usize,
    /// Strength of classifier-free guidance.
    pub guidance_scale: f32,
    /// Shift of the noise levels towards noise.
    pub shift: f64,
    /// Which grid of noise levels.
    pub grid: SigmaGrid,
    /// Integration rule.
    pub solver: Solver,
    /// Words with curves.
    pub words: Vec<TimedWord>,
    /// Gradient steering, if any.
    pub guidance: Option<Guidance>,
    /// Mask in the cross-attention, if any.
    pub mask: Option<TemporalMask>,
    /// Rows that the feed-forward layers take at a time, for less memory.
    pub rows_at_a_time: Option<usize>,
}

/// What a model folder says about the clips it was made for (`foveal.json`), with Wan's own values where it is silent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClipDefaults {
    /// Latent frames, height and width.
    pub size: [usize; 3],
    /// Pixel frames a second.
    pub fps: f64,
    /// Pixel frames of a latent frame: 4 behind Wan's VAE, 1 in pixel space.
    pub frames_per_latent: usize,
    /// Denoising steps.
    pub steps: usize,
    /// Strength of classifier-free guidance.
    pub guidance_scale: f32,
    /// Shift of the noise levels.
    pub shift: f64,
}

impl ClipDefaults {
    /// Reads `foveal.json` of a folder, if there is one.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(folder: &std::path::Path) -> Result<Self> {
        let path = folder.join("foveal.json");
        let file =
            if path.exists() { ConfigFile::open(&path)? } else { ConfigFile::from_bytes(path, b"{}")? };
        Self::from_config(&file)
    }

    /// Reads the defaults from a parsed file; a pixel-space model states its size.
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        let pixel = file.has("frames");
        let size = |key: &str, wan: usize| file.usize_or(key, wan, 1..=4096);
        let size = [size("frames", 21)?, size("height", 60)?, size("width", 104)?];
        if size.iter().product::<usize>() > MAX_PLACES {
            let [frames, height, width] = size;
            return Err(file.refuse(format!(
                "`frames`, `height` and `width` {frames} × {height} × {width} make more than {MAX_PLACES} places"
            )));
        }
        Ok(Self {
            size,
            fps: file.positive_or("fps", 16.0, 1000.0)?,
            frames_per_latent: if pixel { 1 } else { 4 },
            steps: file.usize_or("steps", 50, 1..=1000)?,
            guidance_scale: file.positive_or("guidance_scale", 6.0, 1000.0)? as f32,
            shift: file.positive_or("shift", 3.0, 1000.0)?,
        })
    }
}
