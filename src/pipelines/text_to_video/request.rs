//! What a clip is asked for, and what a model folder says of its clips.

use super::curve::TimingCurve;
use super::temporal_control::{Guidance, TemporalMask};
use crate::models::tokenizer::WordMatch;
use crate::pipelines::schedules::{SchedulerConfig, SigmaGrid, Solver};
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

/// What a model folder says about the clips it was made for, with Wan's own values where it is silent.
///
/// `foveal.json` states sizes, times, steps, strengths, the negative prompt and `text_len`; `scheduler/scheduler_config.json` the
/// sampler and its shift. Where both state the shift they have to agree. Which grid of noise levels is the scheduler's, unless
/// `grid` of `foveal.json` (`wan`, `diffusers`) says which of the two UniPC samplers a model was made with.
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
    /// Which grid of noise levels.
    pub grid: SigmaGrid,
    /// Integration rule.
    pub solver: Solver,
    /// What to stay away from.
    pub negative_prompt: String,
    /// Text positions, where they are stated.
    pub text_len: Option<usize>,
}

impl ClipDefaults {
    /// Reads `foveal.json` and `scheduler/scheduler_config.json` of a folder, those that are there.
    ///
    /// # Errors
    /// [`Error::Io`]; as [`ClipDefaults::from_configs`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(folder: &std::path::Path) -> Result<Self> {
        let path = folder.join("foveal.json");
        let file =
            if path.exists() { ConfigFile::open(&path)? } else { ConfigFile::from_bytes(path, b"{}")? };
        let path = folder.join("scheduler").join("scheduler_config.json");
        let scheduler = if path.exists() { Some(ConfigFile::open(&path)?) } else { None };
        Self::from_configs(&file, scheduler.as_ref())
    }

    /// Reads the defaults from `foveal.json` alone. Errors as [`ClipDefaults::from_configs`].
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        Self::from_configs(file, None)
    }

    /// Reads the defaults from the two files; a pixel-space model states its size.
    ///
    /// # Errors
    /// [`Error::File`] for a value out of its range, a scheduler that is not built, and files that do not agree.
    pub fn from_configs(file: &ConfigFile, scheduler: Option<&ConfigFile>) -> Result<Self> {
        let pixel = file.has("frames");
        let size = |key: &str, wan: usize| file.usize_or(key, wan, 1..=4096);
        let size = [size("frames", 21)?, size("height", 60)?, size("width", 104)?];
        if size.iter().product::<usize>() > MAX_PLACES {
            let [frames, height, width] = size;
            return Err(file.refuse(format!(
                "`frames`, `height` and `width` {frames} × {height} × {width} make more than {MAX_PLACES} places"
            )));
        }
        let stated = match scheduler {
            Some(scheduler) => Some((scheduler, SchedulerConfig::from_config(scheduler)?)),
            None => None,
        };
        let (grid, solver) = sampler(file, stated)?;
        Ok(Self {
            size,
            fps: file.positive_or("fps", 16.0, 1000.0)?,
            frames_per_latent: if pixel { 1 } else { 4 },
            steps: file.usize_or("steps", 50, 1..=1000)?,
            guidance_scale: file.positive_or("guidance_scale", 6.0, 1000.0)? as f32,
            shift: shift(file, stated)?,
            grid,
            solver,
            negative_prompt: file.str("negative_prompt")?.unwrap_or_default().to_owned(),
            text_len: if file.has("text_len") { Some(file.usize("text_len", 1..=1 << 16)?) } else { None },
        })
    }
}

/// A scheduler's file, and what it says.
type Stated<'a> = Option<(&'a ConfigFile, SchedulerConfig)>;

/// The shift of both files.
fn shift(file: &ConfigFile, scheduler: Stated<'_>) -> Result<f64> {
    let own = file.positive_or("shift", 3.0, 1000.0)?;
    match scheduler {
        Some((other, SchedulerConfig { shift, .. })) if file.has("shift") && own != shift => {
            let other = other.path().display();
            Err(file.refuse(format!("`shift` is {own}, and {other} says {shift}: correct the wrong one")))
        }
        Some((_, SchedulerConfig { shift, .. })) => Ok(shift),
        None => Ok(own),
    }
}

/// Grid and rule of both files.
fn sampler(file: &ConfigFile, scheduler: Stated<'_>) -> Result<(SigmaGrid, Solver)> {
    let grids = [
        ("wan", SigmaGrid::Wan, Solver::UniPc),
        ("diffusers", SigmaGrid::Diffusers, Solver::UniPc),
        ("flow-match-euler", SigmaGrid::FlowMatchEuler, Solver::Euler),
    ];
    file.require_one_of("grid", &grids.map(|(name, ..)| name))?;
    let own = file.str("grid")?.and_then(|name| grids.iter().find(|grid| grid.0 == name));
    match (own, scheduler) {
        (None, None) => Ok((SigmaGrid::Wan, Solver::UniPc)),
        (None, Some((_, SchedulerConfig { grid, solver, .. }))) => Ok((grid, solver)),
        (Some((name, _, solver)), Some((other, stated))) if *solver != stated.solver => {
            let other = other.path().display();
            Err(file.refuse(format!("`grid` is \"{name}\", and {other} names a sampler of another kind")))
        }
        (Some((_, grid, solver)), _) => Ok((*grid, *solver)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const UNIPC: &str = r#"{"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction",
        "use_flow_sigmas": true, "flow_shift": 5.0}"#;
    const EULER: &str = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#;

    fn read(foveal: &str, scheduler: Option<&str>) -> Result<ClipDefaults> {
        let file = |name: &str, json: &str| ConfigFile::from_bytes(name, json.as_bytes()).unwrap();
        let scheduler = scheduler.map(|json| file("scheduler_config.json", json));
        ClipDefaults::from_configs(&file("foveal.json", foveal), scheduler.as_ref())
    }

    #[test]
    fn the_scheduler_decides_what_foveal_json_leaves_open() {
        let sampler = |foveal, scheduler| {
            let d = read(foveal, scheduler).unwrap();
            (d.grid, d.solver, d.shift)
        };
        assert_eq!(sampler("{}", None), (SigmaGrid::Wan, Solver::UniPc, 3.0));
        assert_eq!(sampler("{}", Some(UNIPC)), (SigmaGrid::Diffusers, Solver::UniPc, 5.0));
        assert_eq!(sampler("{}", Some(EULER)), (SigmaGrid::FlowMatchEuler, Solver::Euler, 1.0));
        assert_eq!(sampler(r#"{"grid": "wan"}"#, Some(UNIPC)), (SigmaGrid::Wan, Solver::UniPc, 5.0));
        assert_eq!(sampler(r#"{"shift": 5}"#, Some(UNIPC)), (SigmaGrid::Diffusers, Solver::UniPc, 5.0));
        assert_eq!(sampler(r#"{"shift": 8}"#, None), (SigmaGrid::Wan, Solver::UniPc, 8.0));
        let euler = sampler(r#"{"grid": "flow-match-euler"}"#, None);
        assert_eq!(euler, (SigmaGrid::FlowMatchEuler, Solver::Euler, 3.0));
        let d = read(r#"{"text_len": 16, "negative_prompt": "blur"}"#, None).unwrap();
        assert_eq!((d.text_len, d.negative_prompt.as_str()), (Some(16), "blur"));
    }

    #[test]
    fn files_that_disagree_are_refused_by_both_names() {
        for (foveal, scheduler) in
            [(r#"{"shift": 3}"#, UNIPC), (r#"{"shift": 3}"#, EULER), (r#"{"grid": "wan"}"#, EULER)]
        {
            let text = read(foveal, Some(scheduler)).unwrap_err().to_string();
            assert!(text.starts_with("foveal.json: ") && text.contains("scheduler_config.json"), "{text}");
        }
        for foveal in [r#"{"grid": "karras"}"#, r#"{"text_len": 0}"#, r#"{"negative_prompt": 1}"#] {
            let text = read(foveal, Some(UNIPC)).unwrap_err().to_string();
            assert!(text.starts_with("foveal.json: `"), "{text}");
        }
        let other = UNIPC.replace("UniPC", "DPMSolver");
        assert!(read("{}", Some(&other)).unwrap_err().to_string().contains("DPMSolverMultistepScheduler"));
    }
}
