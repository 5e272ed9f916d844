//! What the command line says.

use clap::{Args, ValueEnum};
use foveal::nn::Precision;
use foveal::pipelines::video_qa::{Look, QaDefaults, Question, Sampling, Selection, VideoQa};
use foveal::{AdapterChoice, Error, Result};
use std::path::PathBuf;

/// Where and with what is answered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Device and model")]
pub(crate) struct Place {
    /// Model folder, as Qwen2.5-VL is published [default: the small model of the repository]
    #[arg(long)]
    pub(crate) model: Option<PathBuf>,
    /// best, low-power, software, a number from the `devices` example, or part of a name
    #[arg(long, default_value = "best")]
    pub(crate) adapter: AdapterChoice,
    /// How the model lies in memory: f32, bf16, f16, bf16-weights or f16-weights
    #[arg(long, default_value = "f32")]
    pub(crate) precision: Precision,
    /// Gigabytes of device memory: what needs more is refused before anything is loaded, and blocks are read from the file each
    /// time where they do not fit beside the rest
    #[arg(long)]
    pub(crate) budget: Option<f64>,
    /// Read the language model's blocks from the file each time, so that the device holds one
    #[arg(long)]
    pub(crate) stream: bool,
}

/// Which frames are looked at.
#[derive(Debug, Args)]
#[command(next_help_heading = "Frames")]
pub(crate) struct Frames {
    /// Frames a second [default: as the model's folder says]
    #[arg(long)]
    fps: Option<f64>,
    /// Frames at most [default: as the model's folder says]
    #[arg(long)]
    max_frames: Option<usize>,
    /// First second
    #[arg(long)]
    start: Option<f64>,
    /// Last second
    #[arg(long)]
    end: Option<f64>,
    /// Frames a second of a folder of images
    #[arg(long, default_value_t = 2.0)]
    pub(crate) folder_fps: f64,
}

impl Frames {
    pub(crate) fn look(&self, defaults: &QaDefaults) -> Look {
        let mut look = Look { start: self.start, end: self.end, ..defaults.look() };
        look.sampling.fps = self.fps.unwrap_or(look.sampling.fps);
        look.sampling.max_frames = self.max_frames.unwrap_or(look.sampling.max_frames);
        look.sampling.min_frames = look.sampling.min_frames.min(look.sampling.max_frames);
        look
    }
}

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// A quota of each step by a late block, and a second pass
    Grounding,
    /// By the second block, after FastV
    FastV,
    /// By a late block, and a second pass, after FlexSelect
    FlexSelect,
    /// A quota of each step by an early block, after PruneVid
    PruneVid,
    /// What changed since the step before, after Efficient Video Sampling
    Change,
    /// Evenly spread, whatever they show
    Uniform,
    /// By lot
    Random,
}

/// Which video tokens are kept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Token selection")]
pub(crate) struct Choosing {
    /// Share of the video's tokens that is kept, 0 to 1
    #[arg(long, conflicts_with = "video_pruning_rate")]
    keep: Option<f32>,
    /// Share of the video's tokens that is dropped, 0 to 1
    #[arg(long)]
    video_pruning_rate: Option<f32>,
    /// How they are chosen [default: grounding]
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Take off the attention that tokens get whatever is asked
    #[arg(long)]
    contrast: bool,
    /// Leave the others out behind the block that scores, instead of in a second pass
    #[arg(long)]
    in_place: bool,
    /// Write the second of each temporal step before it
    #[arg(long)]
    timestamps: bool,
}

/// How the answer is drawn.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answer")]
pub(crate) struct Answering {
    /// Tokens at most
    #[arg(long, default_value_t = 256)]
    max_tokens: usize,
    /// What logits are divided by; 0 takes the most likely token [default: as the model's folder says]
    #[arg(long)]
    temperature: Option<f32>,
    /// Probability of the most likely tokens that are drawn from
    #[arg(long)]
    top_p: Option<f32>,
    /// Tokens that are drawn from, at most; 0 for any number
    #[arg(long)]
    top_k: Option<usize>,
    /// What is repeated is less likely by this
    #[arg(long)]
    repetition_penalty: Option<f32>,
    /// Start of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A text that ends the answer; may be given several times
    #[arg(long)]
    stop: Vec<String>,
    /// What the model is told first
    #[arg(long)]
    system: Option<String>,
    /// Tokens of the prompt that are computed at a time: fewer need less memory
    #[arg(long, default_value_t = 512)]
    chunk: usize,
}

impl Choosing {
    /// An option that says how tokens are chosen, where one is given.
    fn how(&self) -> Option<&'static str> {
        let given = [
            ("--contrast", self.contrast),
            ("--in-place", self.in_place),
            ("--preset", self.preset.is_some()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// The share that is kept; none where all are.
    pub(crate) fn keep(&self) -> Result<Option<f32>> {
        let keep = match (self.keep, self.video_pruning_rate) {
            (Some(keep), _) => Some(("--keep", keep, keep)),
            (None, Some(rate)) => Some(("--video-pruning-rate", rate, 1.0 - rate)),
            (None, None) => None,
        };
        let baseline = matches!(self.preset, Some(Preset::Change | Preset::Uniform | Preset::Random));
        match (keep, self.how()) {
            (Some((flag, given, _)), _) if !(0.0..=1.0).contains(&given) => {
                Err(Error::input(flag, format!("a share of {given}: 0 to 1")))
            }
            (None, Some(flag)) => {
                Err(Error::input(flag, "it says how tokens are chosen; say how many stay: --keep 0.25"))
            }
            (Some(_), _) if baseline && self.contrast => {
                Err(Error::input("--contrast", "it is of attention, by which this preset does not choose"))
            }
            (Some((_, _, keep)), _) => Ok(Some(keep)),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn selection(&self, layers: usize, seed: u64) -> Result<Option<Selection>> {
        let selection = self.keep()?.map(|keep| match self.preset.unwrap_or(Preset::Grounding) {
            Preset::Grounding => Selection::grounding(layers, keep),
            Preset::FastV => Selection::fast_v(keep),
            Preset::FlexSelect => Selection::flex_select(layers, keep),
            Preset::PruneVid => Selection::prune_vid(layers, keep),
            Preset::Change => Selection::change(keep),
            Preset::Uniform => Selection::uniform(keep),
            Preset::Random => Selection::random(keep, seed),
        });
        let selection = if self.contrast { selection.map(Selection::with_contrast) } else { selection };
        Ok(if self.in_place { selection.map(|chosen| chosen.in_place(layers)) } else { selection })
    }
}

/// Everything that makes a question of a text.
#[derive(Debug, Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) choosing: Choosing,
    #[command(flatten)]
    pub(crate) answering: Answering,
}

impl Asking {
    pub(crate) fn question(&self, model: &VideoQa, text: &str) -> Result<Question> {
        let a = &self.answering;
        let layers = model.model().config().layers;
        let plain = model.question(text);
        Ok(Question {
            system: a.system.clone(),
            selection: self.choosing.selection(layers, a.seed)?,
            timestamps: self.choosing.timestamps,
            sampling: Sampling {
                temperature: a.temperature.unwrap_or(plain.sampling.temperature),
                top_p: a.top_p.unwrap_or(plain.sampling.top_p),
                repetition_penalty: a.repetition_penalty.unwrap_or(plain.sampling.repetition_penalty),
                seed: a.seed,
                top_k: a.top_k.unwrap_or(plain.sampling.top_k),
            },
            max_tokens: a.max_tokens,
            stop: a.stop.clone(),
            chunk: a.chunk,
            ..plain
        })
    }

    pub(crate) fn max_tokens(&self) -> usize {
        self.answering.max_tokens
    }

    pub(crate) fn chunk(&self) -> usize {
        self.answering.chunk
    }
}
