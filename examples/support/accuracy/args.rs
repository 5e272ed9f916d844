//! What is asked for on the command line, checked before anything is opened, and what follows from it for a clip.

use super::file::File;
use super::prompts::{Set, Task, Words};
use super::tuning::Tuning;
use super::{overview, record};
use crate::shared::detector::RULE;
use crate::shared::mode::Mode;
use crate::shared::session::{MAX_STEPS, Place, Session};
use crate::shared::words;
use clap::Parser;
use foveal::Result;
use foveal::pipelines::text_to_video::curve::TimingCurve;
use foveal::pipelines::text_to_video::temporal_control::Guidance;
use foveal::pipelines::text_to_video::{ClipRequest, TextToVideo, TimedWord};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Measures how well curves are followed, over fixed prompts and noise, by a strict detector.
#[derive(Debug, Parser)]
#[command(name = "temporal_accuracy")]
pub(crate) struct Args {
    /// List of prompts: settings are chosen on one and reported on the other.
    #[arg(long, value_enum, default_value = "evaluation")]
    pub(crate) set: Set,
    /// Modes to compare: uncontrolled, mask, released (or parity), default, mask+default.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uncontrolled,default")]
    pub(crate) modes: Vec<Mode>,
    /// Only so many prompts, the first.
    #[arg(long)]
    pub(crate) limit: Option<usize>,
    /// Added to each prompt's seed, for other noise.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed_offset: u64,
    /// Which words get a curve: the target and others whose curve varies, or every object.
    #[arg(long, value_enum, default_value = "target")]
    pub(crate) words: Words,
    /// Denoising steps [default: the model's]
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// File of prompts [default: the ones of the repository]
    #[arg(long)]
    pub(crate) prompts: Option<PathBuf>,
    /// Write everything measured here; rewritten after each clip. An earlier result there is replaced, another file refused.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Go on with an interrupted evaluation from its own JSON, and write it there; refused where settings differ. A
    /// file that does not exist yet is begun.
    #[arg(long, conflicts_with_all = ["json", "pass_through"])]
    pub(crate) resume: Option<PathBuf>,
    /// Draw every clip here (PNG); rewritten after each clip. An earlier picture there is replaced; with --resume it is
    /// drawn over.
    #[arg(long)]
    pub(crate) sheet: Option<PathBuf>,
    /// Measure how much of an edit of the latent reaches the finished clip, instead of the modes.
    #[arg(long)]
    pub(crate) pass_through: bool,
    /// Denoising steps after which --pass-through edits.
    #[arg(long, value_delimiter = ',', default_value = "0,2,4")]
    pub(crate) edit_after: Vec<usize>,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// Where results go; held against other runs as long as this is kept.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// Of --json or --resume.
    pub(crate) json: Option<File>,
    pub(crate) sheet: Option<File>,
}

impl Args {
    /// Refuses what cannot be meant, by the flag.
    pub(crate) fn check(&self) -> Result<(), Box<dyn Error>> {
        if self.pass_through {
            self.place.allow_gradient("--pass-through")?;
        } else {
            let default = self.tuning.guidance(self.steps.unwrap_or(1));
            self.modes.iter().try_for_each(|mode| self.place.allow("--modes", *mode, &default))?;
        }
        if self.limit == Some(0) {
            return Err("--limit 0: there would be nothing to measure".into());
        }
        if let Some(steps) = self.steps.filter(|steps| !(1..=MAX_STEPS).contains(steps)) {
            return Err(format!("--steps {steps}: 1 to {MAX_STEPS} can be").into());
        }
        let extension = self.sheet.as_ref().and_then(|sheet| sheet.extension());
        if extension.is_some_and(|extension| !extension.eq_ignore_ascii_case("png")) {
            return Err("--sheet: a PNG is written, so its name should end in .png".into());
        }
        let json = self.resume.as_ref().or(self.json.as_ref());
        if json.is_some() && json == self.sheet.as_ref() {
            return Err("--sheet: it is the file of the results".into());
        }
        Ok(())
    }

    /// Takes the files of the results.
    pub(crate) fn outputs(&self) -> Result<Outputs> {
        let open = |path: &Path, what: &str, ours: fn(&[u8]) -> bool| File::open(path, what, ours);
        // What may be resumed is looked at when it is read.
        let resumed = self.resume.as_ref().map(|path| open(path, "a result", |_| true)).transpose()?;
        let result = "a result of this program";
        let json = self.json.as_ref().map(|path| open(path, result, record::is_result)).transpose()?;
        let sheet = self.sheet.as_ref().map(|path| open(path, "a picture", overview::is_png)).transpose()?;
        Ok(Outputs { json: resumed.or(json), sheet })
    }

    pub(crate) fn steps(&self, pipeline: &TextToVideo) -> usize {
        self.steps.unwrap_or(pipeline.defaults().steps)
    }

    /// Of the modes that are named after it.
    pub(crate) fn guidance(&self, pipeline: &TextToVideo) -> Guidance {
        self.tuning.guidance(self.steps(pipeline))
    }

    pub(crate) fn request(&self, pipeline: &TextToVideo, task: &Task) -> Result<ClipRequest> {
        let mut request = pipeline.request(&task.prompt);
        request.seed = task.seed.wrapping_add(self.seed_offset);
        request.steps = self.steps(pipeline);
        for object in task.timed(self.words)?.into_iter().filter_map(|o| task.objects.get(o)) {
            let curve = TimingCurve::new(object.curve.clone())?;
            let phrase = object.phrase.clone();
            request.words.push(TimedWord { phrase, occurrence: Default::default(), curve });
        }
        Ok(request)
    }

    /// Everything that a clip depends on beside its prompt and its mode.
    pub(crate) fn settings(&self, session: &Session) -> Map<String, Value> {
        let defaults = session.pipeline.defaults();
        let settings = [
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("set", json!(format!("{:?}", self.set).to_lowercase())),
            ("model", json!(session.model)),
            ("adapter", json!(session.pipeline.context().caps().to_string())),
            ("precision", json!(session.pipeline.transformer().precision().to_string())),
            ("steps", json!(self.steps(&session.pipeline))),
            ("guidance_scale", json!(defaults.guidance_scale)),
            ("shift", json!(defaults.shift)),
            ("seed_offset", json!(self.seed_offset)),
            ("detector", json!(RULE)),
            ("words", json!(format!("{:?}", self.words).to_lowercase())),
            ("default", json!(words::gradient(&self.guidance(&session.pipeline)))),
            ("released", json!(words::gradient(&Guidance::released()))),
            ("mask", json!(words::mask(&self.tuning.mask()))),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        let words = std::iter::once("temporal_accuracy").chain(line.split_whitespace());
        match Args::try_parse_from(words) {
            Ok(args) => args.check().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_flag() {
        for (line, words) in [
            ("--no-such-flag", "--no-such-flag"),
            ("--modes mask,none", "--modes"),
            ("--limit 0", "--limit 0"),
            ("--size nan", "--size"),
            ("--threshold inf", "finite"),
            ("--limit -1", "-1"),
            ("--steps 0", "--steps 0"),
            ("--steps 1001", "1 to 1000"),
            ("--sheet o.gif", ".png"),
            ("--json o.png --sheet o.png", "--sheet"),
            ("--resume o.png --sheet o.png", "--sheet"),
            ("--resume o.json --json p.json", "--json"),
            ("--resume o.json --pass-through", "--pass-through"),
            ("--precision f16", "--modes default"),
            ("--precision f16 --modes mask,released", "--modes released"),
            ("--precision f16 --modes mask --pass-through", "--pass-through"),
        ] {
            assert!(refusal(line).contains(words), "{line}: {}", refusal(line));
        }
        for line in
            ["--precision f16 --modes uncontrolled,mask", "--sheet o.PNG --json o.json", "--sheet /dev/null"]
        {
            let words = std::iter::once("temporal_accuracy").chain(line.split_whitespace());
            Args::try_parse_from(words).unwrap().check().unwrap();
        }
    }
}
