//! The device, the model and the detector that a run works with, and how a program ends.

use super::detector::Detector;
use super::interrupt::{self, Interrupt, Stopped};
use super::mode::Mode;
use super::repository::in_repository;
use super::warning::warn;
use foveal::nn::Precision;
use foveal::pipelines::text_to_video::TextToVideo;
use foveal::pipelines::text_to_video::temporal_control::Guidance;
use foveal::{AdapterChoice, Context, ContextOptions, Dtype};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Most denoising steps of any schedule.
pub(crate) const MAX_STEPS: usize = 1000;

/// Where a run takes place.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device and model")]
pub(crate) struct Place {
    /// best, low-power, software, a number from the `devices` example, or part of a name.
    #[arg(long, default_value = "best")]
    adapter: AdapterChoice,
    /// Model folder, or a .safetensors file of the transformer in one [default: the tiny model of the repository]
    #[arg(long)]
    model: Option<PathBuf>,
    /// How the model lies in memory: f32, bf16, f16 (only for modes without a gradient), bf16-weights or f16-weights.
    #[arg(long, default_value = "f32")]
    pub(crate) precision: Precision,
}

/// An open model.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) pipeline: TextToVideo,
    /// None where the model states no palette.
    pub(crate) detector: Option<Detector>,
    /// The model's folder, without what leads to it.
    pub(crate) model: String,
}

impl Place {
    /// Refuses f16 for what takes a gradient, before anything is opened. `flag` is what asks for it, as it is typed.
    pub(crate) fn allow_gradient(&self, flag: &str) -> Result<(), String> {
        if self.precision.activations != Dtype::F16 {
            return Ok(());
        }
        Err(format!(
            "--precision {} with {flag}: the gradient is smaller than what f16 holds; use --precision bf16 or f16-weights, or a \
             mode without a gradient (--mode mask, --modes uncontrolled,mask)",
            self.precision
        ))
    }

    /// The same for a way to steer, `default` being the settings of the default one; `flag` is the name of its flag.
    pub(crate) fn allow(&self, flag: &str, mode: Mode, default: &Guidance) -> Result<(), String> {
        // Without updates the attention is only read.
        match mode.guidance(default, 1).filter(|g| g.updates > 0) {
            Some(_) => self.allow_gradient(&format!("{flag} {}", mode.name())),
            None => Ok(()),
        }
    }

    /// Opens the adapter and the model; prints which adapter it is.
    pub(crate) fn open(&self) -> foveal::Result<Session> {
        let options = ContextOptions::default().adapter(self.adapter.clone());
        let context = foveal::block_on(Context::new(options))?;
        println!("adapter: {}", context.caps());
        let folder = self.model.clone().unwrap_or_else(|| in_repository("models/tiny-wan"));
        let pipeline = TextToVideo::open_as(&context, &folder, self.precision)?;
        pipeline.warnings().iter().for_each(warn);
        let model = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let detector = Detector::open(pipeline.folder())?;
        Ok(Session { pipeline, detector, model })
    }
}

/// What became of a clip; one that ctrl-C has cut short leaves behind what `remains` says.
pub(crate) fn unless_stopped<T>(
    made: foveal::Result<T>,
    interrupt: &Interrupt,
    remains: impl FnOnce() -> String,
) -> Result<T, Box<dyn Error>> {
    match made {
        Err(foveal::Error::Cancelled(at)) if interrupt.asked() => {
            Err(Stopped(format!("at {at}; {}", remains())).into())
        }
        made => Ok(made?),
    }
}

/// Prints the error of a run that failed. The device is closed by then: whoever has opened it has returned.
pub(crate) fn end(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Stopped>() => {
            eprintln!("{error}");
            ExitCode::from(interrupt::CODE)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
