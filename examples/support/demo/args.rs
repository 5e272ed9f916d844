//! What is asked for on the command line, checked before anything is opened.

use super::size::{Frames, Pixels};
use crate::shared::mode::Mode;
use crate::shared::session::{MAX_STEPS, Place};
use clap::Parser;
use foveal::pipelines::text_to_video::plan::{CurveSource, Plan, PlanWord};
use foveal::pipelines::text_to_video::temporal_control::Guidance;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;

/// Of the example that runs without arguments. Prompt, curves and seed were chosen because they show the effect well:
/// left alone, the model shows the square first and the cross throughout.
const PROMPT: &str = "a red square and a blue cross";
const WORDS: [(&str, &str); 2] = [("red square", "4..8"), ("blue cross", "0..4")];
const SEED: u64 = 1;

/// Makes a clip twice from the same noise, once as the model likes and once with words timed by curves, and writes a report
/// that shows both.
///
/// Without arguments it shows "a red square and a blue cross", each in its half of the clip.
#[derive(Debug, Parser)]
#[command(name = "temporal_control")]
pub(crate) struct Args {
    /// What to draw [default: "a red square and a blue cross"]
    #[arg(long)]
    prompt: Option<String>,
    /// What to stay away from [default: the model's]
    #[arg(long)]
    negative_prompt: Option<String>,
    /// Words of the prompt that follow a curve; may be repeated, with a curve for each [default, with the default
    /// prompt: "red square" and "blue cross"]
    #[arg(long)]
    word: Vec<String>,
    /// When the word should be seen: latent frames 4..8, pixel frames 12f..40f, seconds 0s..1.5s, a level 4..8@0.5,
    /// onset:3, offset:1s, pulse:0s/0.25s/1s, ramp:2..6, keys:0=0,5=1 (step:, smooth:), one value a latent frame,
    /// audio:FILE (audio:FILE@0.5s, audio:released:FILE), on (held throughout) or off (hidden throughout). A frame's time is
    /// when it appears, the first at 0s
    /// [default, with the default prompt: 4..8 and 0..4]
    #[arg(long, allow_hyphen_values = true)]
    curve: Vec<String>,
    /// Words and curves from a file, .toml or .json; the other flags win over what it states.
    #[arg(long, conflicts_with_all = ["prompt", "word", "curve"])]
    plan: Option<PathBuf>,
    /// Seeds of the noise, such as 1,2,3: a report each, in the folders seed-1, seed-2 … of --out where there are several
    /// [default: 1]
    #[arg(long, value_delimiter = ',')]
    seed: Vec<u64>,
    /// Width and height of the clip in pixels, WIDTHxHEIGHT [default: the model's]
    #[arg(long)]
    pub(crate) size: Option<Pixels>,
    /// Length of the clip in pixel frames [default: the model's]
    #[arg(long)]
    pub(crate) frames: Option<Frames>,
    /// Denoising steps, 1 to 1000 [default: the model's]
    #[arg(long)]
    steps: Option<usize>,
    /// Strength of classifier-free guidance; 1 leaves the negative prompt out [default: the model's]
    #[arg(long, allow_negative_numbers = true)]
    guidance_scale: Option<f32>,
    /// How the second clip is steered: uncontrolled, mask, released (or parity), default, mask+default.
    #[arg(long, value_enum, default_value = "default")]
    pub(crate) mode: Mode,
    /// Folder of the report. An earlier report of this program is replaced; a folder in which something else has the name of
    /// one of its files is refused.
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Args {
    /// The plan of a file, of the flags, or of the default prompt.
    ///
    /// # Errors
    /// For what cannot be meant, by the flag.
    pub(crate) fn plan(&self) -> Result<Plan, Box<dyn Error>> {
        self.place.allow("--mode", self.mode, &Guidance::default())?;
        if let Some(steps) = self.steps.filter(|steps| !(1..=MAX_STEPS).contains(steps)) {
            return Err(format!("--steps {steps}: 1 to {MAX_STEPS} can be").into());
        }
        if let Some(scale) = self.guidance_scale.filter(|scale| !scale.is_finite()) {
            return Err(format!("--guidance-scale {scale}: a finite number was expected").into());
        }
        let word = |(phrase, curve): (&str, &str)| -> foveal::Result<PlanWord> {
            let curve = CurveSource::from_argument(curve)?;
            Ok(PlanWord { phrase: phrase.into(), occurrence: Default::default(), curve })
        };
        let mut plan = match (&self.plan, self.word.as_slice(), self.curve.as_slice()) {
            (Some(path), ..) => Plan::open(path)?,
            (None, [], []) if self.prompt.as_deref().is_none_or(|p| p == PROMPT) => {
                Plan::new(PROMPT, WORDS.into_iter().map(word).collect::<foveal::Result<_>>()?)
            }
            (None, [], []) => {
                return Err("a prompt of your own needs at least one --word and its --curve".into());
            }
            (None, words, curves) if words.len() == curves.len() => {
                let pairs = words.iter().map(String::as_str).zip(curves.iter().map(String::as_str));
                let prompt = self.prompt.as_deref().unwrap_or(PROMPT);
                Plan::new(prompt, pairs.map(word).collect::<foveal::Result<_>>()?)
            }
            (None, words, curves) => {
                let (words, curves) = (words.len(), curves.len());
                return Err(format!("{words} --word and {curves} --curve: each word needs one curve").into());
            }
        };
        plan.negative_prompt = self.negative_prompt.clone().or(plan.negative_prompt);
        plan.steps = self.steps.or(plan.steps);
        plan.guidance_scale = self.guidance_scale.or(plan.guidance_scale);
        plan.check()?;
        if plan.words.is_empty() {
            return Err("the plan has no words: there is nothing to time".into());
        }
        Ok(plan)
    }

    /// Seeds, those of the flags before the plan's, each with the folder of its report.
    ///
    /// # Errors
    /// For a seed that is given twice.
    pub(crate) fn seeds(&self, plan: &Plan) -> Result<Vec<(u64, PathBuf)>, Box<dyn Error>> {
        let mut known = BTreeSet::new();
        if let Some(twice) = self.seed.iter().find(|seed| !known.insert(**seed)) {
            return Err(format!("--seed {twice} is given twice").into());
        }
        Ok(match self.seed.as_slice() {
            [] => vec![(plan.seed.unwrap_or(SEED), self.out.clone())],
            [one] => vec![(*one, self.out.clone())],
            several => several.iter().map(|seed| (*seed, self.out.join(format!("seed-{seed}")))).collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("temporal_control").chain(line.split_whitespace()))
    }

    fn refusal(line: &str) -> String {
        match args(line) {
            Err(error) => error.to_string(),
            Ok(args) => match args.plan() {
                Err(error) => error.to_string(),
                Ok(plan) => args.seeds(&plan).unwrap_err().to_string(),
            },
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_flag() {
        for (line, words) in [
            ("--no-such-flag", "--no-such-flag"),
            ("--prompt ring", "--word"),
            ("--word ring", "1 --word and 0 --curve"),
            ("--curve on", "0 --word and 1 --curve"),
            ("--seed -1", "-1"),
            ("--seed 1,2,1", "--seed 1 is given twice"),
            ("--seed x", "--seed"),
            ("--steps 0", "--steps 0"),
            ("--steps 1001", "1 to 1000"),
            ("--guidance-scale nan", "--guidance-scale NaN"),
            ("--guidance-scale=-inf", "--guidance-scale -inf"),
            ("--size 16", "WIDTHxHEIGHT"),
            ("--size 16x16x8", "--frames"),
            ("--size 0x16", "0x16"),
            ("--size 16x-2", "WIDTHxHEIGHT"),
            ("--size 99999999999999999999x16", "WIDTHxHEIGHT"),
            ("--frames 0", "--frames"),
            ("--frames 1.5", "--frames"),
            ("--precision f64", "f64"),
            ("--precision f16", "--mode default"),
            ("--precision f16 --mode released", "--precision bf16"),
            ("--precision f16 --mode mask+default", "--mode mask+default"),
            ("--plan p.toml --prompt ring", "--plan"),
            ("--plan no-such-plan.toml", "no-such-plan.toml"),
        ] {
            let text = refusal(line);
            assert!(text.contains(words), "{line}: {text}");
            for code in ["Some(", "UniPc", "SigmaGrid", "ParseIntError", "Dtype", "MaskDefault"] {
                assert!(!text.contains(code), "{line}: {text}");
            }
        }
    }

    #[test]
    fn without_a_gradient_f16_is_let_in() {
        for line in
            ["--precision f16 --mode mask", "--precision f16 --mode uncontrolled", "--precision f16-weights"]
        {
            args(line).unwrap().plan().unwrap();
        }
    }

    #[test]
    fn flags_win_and_every_seed_has_a_folder() {
        let folder = |name: &str| PathBuf::from(name);
        let plan = args("--negative-prompt ring --steps 3").unwrap().plan().unwrap();
        assert_eq!((plan.negative_prompt.as_deref(), plan.steps), (Some("ring"), Some(3)));
        let seeds = |line: &str, plan: &Plan| args(line).unwrap().seeds(plan).unwrap();
        assert_eq!(seeds("--out o", &plan), [(1, folder("o"))]);
        assert_eq!(seeds("--seed 7 --out o", &plan), [(7, folder("o"))]);
        let two = [(7, folder("o/seed-7")), (0, folder("o/seed-0"))];
        assert_eq!(seeds("--seed 7,0 --out o", &plan), two);
        assert_eq!(seeds("--seed 7 --seed 0 --out o", &plan), two);
        let mut stated = plan;
        stated.seed = Some(5);
        assert_eq!(seeds("--out o", &stated), [(5, folder("o"))]);
        assert_eq!(seeds("--seed 7 --out o", &stated), [(7, folder("o"))]);
    }
}
